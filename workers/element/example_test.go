package element_test

import (
	"fmt"

	"github.com/muster-fleet/muster/workers/element"
)

func ExampleParseRequest() {
	body := []byte(`{"parameters":{"type":"nodes"},"data":[
		{"elementId":"4:x:1","labels":["Person"],"properties":{"name":"Ada","born":1815}},
		{"elementId":"4:x:2","labels":["Person"],"properties":{}}]}`)
	req, err := element.ParseRequest(body, element.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer req.Release()
	for i := range req.Nodes.Len() {
		fmt.Printf("%s\n", req.Nodes.ID(i))
		for name, value := range req.Nodes.Properties(i) {
			fmt.Printf("  %s = %s\n", name, value)
		}
	}
	// Output:
	// 4:x:1
	//   "name" = "Ada"
	//   "born" = 1815
	// 4:x:2
}

func ExampleParseRequest_mistake() {
	_, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[{"elementId":7}]}`), element.Options{})
	fmt.Println(err)
	// Output:
	// invalid_request: data[0]: elementId has to be there and to be a string that is not empty (byte 52)
}

func ExampleEqual() {
	fmt.Println(element.Equal([]byte(`{"a":1.50,"b":"\u00e9"}`), []byte(`{ "b": "é", "a": 15e-1 }`)))
	fmt.Println(element.Equal([]byte(`9007199254740993`), []byte(`9007199254740992`)))
	// Output:
	// true
	// false
}

func ExampleReadObject() {
	members, err := element.ReadObject([]byte(`{"class":"result","version":"1.0.0"}`), 1<<16)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range members {
		fmt.Printf("%s: %s\n", m.Name, m.Value)
	}
	_, err = element.ReadObject([]byte(`{"class":"result","class":"other"}`), 1<<16)
	fmt.Println(err)
	// Output:
	// class: "result"
	// version: "1.0.0"
	// an object has the same name twice at byte 18
}
