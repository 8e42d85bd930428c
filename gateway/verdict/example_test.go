package verdict_test

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/workers/element"
)

// Two workers judge two nodes: one hides the second, the other takes a property
// of the first away.
func Example() {
	req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+
		`{"elementId":"1","labels":["Person"],"properties":{"name":"Ada","salary":1.50}},`+
		`{"elementId":"2","labels":["Person"],"properties":{}}]}`), element.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer req.Release()
	merged := verdict.NewWhole(req.Nodes.Len())
	for _, reply := range []string{
		`{"result":{"nodes":[{"elementId":"1","labels":["Person"],"properties":{"name":"Ada","salary":1.5}}]}}`,
		`{"result":{"nodes":[{"elementId":"2","labels":["Person"],"properties":{}},{"elementId":"1","labels":["Person"],"properties":{"name":"Ada"}}]}}`,
	} {
		set, err := verdict.ReadReply(strings.NewReader(reply), req.Nodes, verdict.ReplyOptions{}, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		verdict.Meet(merged, set)
	}
	if _, err := verdict.NewAnswer(req, merged, nil, verdict.AnswerOptions{}).WriteTo(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {"result":{"nodes":[{"elementId":"1","labels":["Person"],"properties":{"name":"Ada"}}]}}
}

func ExampleReadReply_violation() {
	req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+
		`{"elementId":"1","labels":["Person"],"properties":{"salary":1}}]}`), element.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer req.Release()
	_, err = verdict.ReadReply(strings.NewReader(
		`{"result":{"nodes":[{"elementId":"1","labels":["Person","Admin"],"properties":{"salary":1}}]}}`),
		req.Nodes, verdict.ReplyOptions{}, nil)
	var v *verdict.Violation
	fmt.Println(errors.As(err, &v) && v.Reason == verdict.ReasonChangedLabels)
	// Output:
	// true
}
