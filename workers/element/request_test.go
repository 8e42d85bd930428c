package element

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
)

const (
	node = `{"elementId":"a","labels":["x"],"properties":{"k":1}}`
	rel  = `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","properties":{}}`
)

func nodes(elements ...string) string {
	return `{"parameters":{"type":"nodes"},"data":[` + strings.Join(elements, ",") + `]}`
}

func rels(elements ...string) string {
	return `{"parameters":{"type":"relationships"},"data":[` + strings.Join(elements, ",") + `]}`
}

func parse(t *testing.T, body string, o Options) *Request {
	t.Helper()
	r, err := ParseRequest([]byte(body), o)
	if err != nil {
		t.Fatalf("%v\nbody: %s", err, body)
	}
	t.Cleanup(r.Release)
	return r
}

// refusal is a bad body and the words that must tell of it.
type refusal struct{ body, want string }

// shapeRefusals are the mistakes of shape.
func shapeRefusals() map[string]refusal {
	return map[string]refusal{
		"empty":             {"", "ends too early"},
		"truncated":         {`{"parameters":`, "ends too early (byte 14)"},
		"no object":         {`[]`, "the body has to be an object"},
		"trailing bytes":    {nodes() + "x", "after the end of the JSON document (byte 41)"},
		"second document":   {nodes() + nodes(), "after the end"},
		"byte order mark":   {"\xef\xbb\xbf" + nodes(), "not valid JSON (byte 0)"},
		"no type":           {`{"parameters":{},"data":[]}`, "parameters.type has to be there"},
		"no parameters":     {`{"data":[]}`, "parameters.type has to be there"},
		"odd parameters":    {`{"parameters":[],"data":[]}`, "parameters has to be an object"},
		"unknown type":      {`{"parameters":{"type":"edges"},"data":[]}`, "nodes, relationships or graph (byte 22)"},
		"type no string":    {`{"parameters":{"type":null},"data":[]}`, "nodes, relationships or graph"},
		"no data":           {`{"parameters":{"type":"nodes"}}`, "data has to be there"},
		"data no array":     {`{"parameters":{"type":"nodes"},"data":{}}`, "data has to be an array"},
		"graph no object":   {`{"parameters":{"type":"graph"},"data":[]}`, "an object with nodes and relationships"},
		"graph half":        {`{"parameters":{"type":"graph"},"data":{"nodes":[]}}`, "both nodes and relationships"},
		"graph odd list":    {`{"parameters":{"type":"graph"},"data":{"nodes":[],"relationships":7}}`, "data.relationships has to be an array"},
		"no element":        {nodes(node, `7`), "data[1]: an element has to be an object"},
		"no id":             {nodes(node, `{"labels":[],"properties":{}}`), "data[1]: elementId has to be there"},
		"empty id":          {nodes(`{"elementId":"","labels":[],"properties":{}}`), "data[0]: elementId"},
		"id no string":      {nodes(`{"elementId":7,"labels":[],"properties":{}}`), "data[0]: elementId has to be there and to be a string that is not empty (byte 52)"},
		"long id":           {nodes(`{"elementId":"` + strings.Repeat("i", MaxID+1) + `","labels":[],"properties":{}}`), "longer than"},
		"no labels":         {nodes(`{"elementId":"a","properties":{}}`), "data[0]: labels has to be there"},
		"labels no strings": {nodes(`{"elementId":"a","labels":["x",1],"properties":{}}`), "data[0]: labels"},
		"labels null":       {nodes(`{"elementId":"a","labels":null,"properties":{}}`), "data[0]: labels"},
		"no properties":     {nodes(`{"elementId":"a","labels":[]}`), "data[0]: properties"},
		"properties list":   {nodes(`{"elementId":"a","labels":[],"properties":[]}`), "data[0]: properties"},
		"unnamed member":    {nodes(`{"elementId":"a","labels":[],"properties":{},"x":1}`), "data[0]: a member that the contract does not name"},
		"spelling":          {nodes(`{"elementID":"a","labels":[],"properties":{}}`), "data[0]: a member"},
		"node with type":    {nodes(`{"elementId":"a","labels":[],"properties":{},"type":"T"}`), "data[0]: a member"},
		"rel with labels":   {rels(strings.Replace(rel, `"type"`, `"labels":[],"type"`, 1)), "data[0]: a member"},
		"rel without type":  {rels(strings.Replace(rel, `"type":"T",`, ``, 1)), "data[0]: type"},
		"rel without start": {rels(strings.Replace(rel, `"startNodeElementId":"a",`, ``, 1)), "data[0]: startNodeElementId"},
		"rel without end":   {rels(strings.Replace(rel, `"endNodeElementId":"b",`, ``, 1)), "data[0]: endNodeElementId"},
		"rel odd label":     {rels(strings.Replace(rel, `"type"`, `"startNodeLabel":null,"type"`, 1)), "startNodeLabel and endNodeLabel"},
	}
}

// textRefusals are repeated ids and bad JSON.
func textRefusals() map[string]refusal {
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	return map[string]refusal{
		"same id":            {nodes(node, `{"elementId":"a","labels":["x"],"properties":{"k":2}}`), "data[1]: the elementId of data[0] again"},
		"same id escaped":    {nodes(node, strings.Replace(node, `"a"`, `"\u0061"`, 1)), "data[1]: the elementId of data[0] again"},
		"duplicate name":     {nodes(`{"elementId":"a","labels":[],"properties":{"k":1,"k":2}}`), "data[0]: an object has the same name twice (byte 88)"},
		"duplicate escaped":  {nodes(`{"elementId":"a","labels":[],"properties":{"k":1,"\u006b":2}}`), "same name twice"},
		"duplicate nested":   {nodes(`{"elementId":"a","labels":[],"properties":{"k":{"x":1,"x":1}}}`), "same name twice"},
		"duplicate top":      {`{"parameters":{"type":"nodes"},"data":[],"data":[]}`, "same name twice"},
		"duplicate member":   {nodes(`{"elementId":"a","elementId":"a","labels":[],"properties":{}}`), "same name twice"},
		"duplicate param":    {`{"parameters":{"type":"nodes","type":"nodes"},"data":[]}`, "same name twice"},
		"duplicate of many":  {nodes(`{"elementId":"a","labels":[],"properties":{` + many(100) + `,"p66":0}}`), "same name twice"},
		"invalid UTF-8":      {nodes("{\"elementId\":\"a\xff\",\"labels\":[],\"properties\":{}}"), "data[0]: invalid UTF-8"},
		"surrogate as bytes": {nodes("{\"elementId\":\"\xed\xa0\x80\",\"labels\":[],\"properties\":{}}"), "invalid UTF-8"},
		"lone surrogate":     {nodes(`{"elementId":"\ud800","labels":[],"properties":{}}`), "data[0]: half a surrogate pair"},
		"lone low surrogate": {nodes(`{"elementId":"\udc00","labels":[],"properties":{}}`), "data[0]: half a surrogate pair"},
		"no escape":          {nodes(`{"elementId":"\ud8zz","labels":[],"properties":{}}`), "data[0]: not valid JSON"},
		"control byte":       {nodes("{\"elementId\":\"a\n\",\"labels\":[],\"properties\":{}}"), "data[0]: not valid JSON"},
		"leading zero":       {nodes(`{"elementId":"a","labels":[],"properties":{"k":01}}`), "data[0]: not valid JSON"},
		"bare point":         {nodes(`{"elementId":"a","labels":[],"properties":{"k":1.}}`), "not valid JSON"},
		"NaN":                {nodes(`{"elementId":"a","labels":[],"properties":{"k":NaN}}`), "not valid JSON"},
		"trailing comma":     {nodes(node + ","), "not valid JSON"},
		"too deep":           {nodes(`{"elementId":"a","labels":[],"properties":{"k":` + deep + `}}`), "nested too deeply, more than 1000"},
		"far too deep":       {nodes(`{"elementId":"a","labels":[],"properties":{"k":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`), "nested too deeply, more than 1000"},
		"graph place":        {`{"parameters":{"type":"graph"},"data":{"nodes":[],"relationships":[` + rel + `,` + strings.Replace(rel, `"T"`, `1`, 1) + `]}}`, "data.relationships[1]: type"},
		"graph same id":      {`{"parameters":{"type":"graph"},"data":{"relationships":[],"nodes":[` + node + `,` + strings.Replace(node, `1`, `2`, 1) + `]}}`, "data.nodes[1]: the elementId of data.nodes[0] again"},
	}
}

func TestRefusals(t *testing.T) {
	cases := shapeRefusals()
	maps.Copy(cases, textRefusals())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, reader := range []Reader{Fast, Reference} {
				_, err := ParseRequest([]byte(c.body), Options{Reader: reader})
				var f *fault.Error
				if !errors.As(err, &f) || f.Code != "invalid_request" || f.Kind != fault.Invalid {
					t.Fatalf("reader %d: %v, want invalid_request", reader, err)
				}
				if !strings.Contains(f.Detail, c.want) {
					t.Errorf("reader %d: %q, want %q in it", reader, f.Detail, c.want)
				}
			}
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"p`)
		b.WriteString(strings.Repeat("0", i/10%2)) // some names share their length
		b.WriteString(itoa(i))
		b.WriteString(`":0`)
	}
	return b.String()
}

func itoa(i int) string { return ordinalText(0, i) }

func TestMessagesQuoteNothing(t *testing.T) {
	const secret = "s3cr3t"
	for _, body := range []string{
		nodes(`{"elementId":"` + secret + `","labels":["` + secret + `"],"properties":{"` + secret + `":"` + secret + `","` + secret + `":1}}`),
		nodes(`{"elementId":"` + secret + `","labels":[],"properties":{"k":` + secret + `}}`),
		nodes(`{"elementId":"`+secret+`","labels":[],"properties":{}}`, `{"elementId":"`+secret+`","labels":[],"properties":{"k":0}}`),
		`{"parameters":{"type":"` + secret + `"},"data":[]}`,
		nodes(`{"elementId":"a","labels":[],"properties":{},"` + secret + `":1}`),
	} {
		_, err := ParseRequest([]byte(body), Options{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

// TestContractBodies reads the published samples.
func TestContractBodies(t *testing.T) {
	for name, kind := range map[string]Kind{"nodes": Nodes, "relationships": Relationships} {
		body, err := os.ReadFile(filepath.Join("testdata", "filter-"+name+"-request.json"))
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, string(body), Options{})
		if b := r.Batch(kind); b.Len() != 2 || b.Places() != 2 || b.Repeats() {
			t.Errorf("%s: %d elements", name, b.Len())
		}
	}
}

func TestAccepted(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth-4) + strings.Repeat("]", MaxDepth-4)
	for name, body := range map[string]string{
		"empty":              nodes(),
		"white space":        " \n{ \"data\" : [ " + node + " ] ,\t\"parameters\" : { \"type\" : \"nodes\" } }\r\n",
		"data first":         `{"data":[` + node + `],"parameters":{"type":"nodes"}}`,
		"escaped names":      `{"d\u0061ta":[` + node + `],"parameters":{"t\u0079pe":"n\u006fdes"}}`,
		"top-level extras":   `{"trace":{"a":[1,{"b":null}]},"parameters":{"type":"nodes","page":7},"data":[]}`,
		"graph extras":       `{"parameters":{"type":"graph"},"data":{"relationships":[],"x":[],"nodes":[]}}`,
		"deep":               nodes(`{"elementId":"a","labels":[],"properties":{"k":` + deep + `}}`),
		"pair of surrogates": nodes(`{"elementId":"\ud83d\ude00","labels":[],"properties":{}}`),
		"many names":         nodes(`{"elementId":"a","labels":[],"properties":{` + many(200) + `}}`),
		"labels absent":      rels(rel),
		"labels there":       rels(strings.Replace(rel, `"type"`, `"startNodeLabel":"","endNodeLabel":"L","type"`, 1)),
		"same id both kinds": `{"parameters":{"type":"graph"},"data":{"nodes":[` + node + `],"relationships":[` + strings.Replace(rel, `"r"`, `"a"`, 1) + `]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			parse(t, body, Options{})
			parse(t, body, Options{Reader: Reference})
		})
	}
}

func TestRepetitions(t *testing.T) {
	other := strings.Replace(node, `"a"`, `"b"`, 1)
	r := parse(t, nodes(node, other, node, node, strings.Replace(node, `"a"`, `"c"`, 1)), Options{})
	b := r.Nodes
	if b.Len() != 3 || b.Places() != 5 || !b.Repeats() {
		t.Fatalf("%d elements at %d places", b.Len(), b.Places())
	}
	for place, want := range []int{0, 1, 0, 0, 2} {
		if got := b.Ordinal(place); got != want {
			t.Errorf("place %d is element %d, want %d", place, got, want)
		}
	}
	var text []byte
	for _, s := range b.AppendSegments(nil, 0, b.Len()) {
		text = append(text, s...)
	}
	want := node + "," + other + "," + strings.Replace(node, `"a"`, `"c"`, 1)
	if string(text) != want || b.Size(0, 3) != len(want) {
		t.Errorf("sent %s", text)
	}
	if i, ok := b.Find([]byte("c")); !ok || i != 2 {
		t.Errorf("c is element %d, %v", i, ok)
	}
}

func TestDropUnknownMembers(t *testing.T) {
	const kept = `{"elementId":"a","labels":[],"properties":{"x":1}}`
	for _, e := range []string{
		kept,
		`{"x":1,"elementId":"a","labels":[],"properties":{"x":1}}`,
		`{"elementId":"a","x":{"y":[1]},"labels":[],"properties":{"x":1}}`,
		`{"elementId":"a","x":1, "y":2,"labels":[],"properties":{"x":1}}`,
		`{"elementId":"a","labels":[],"properties":{"x":1},"x":1}`,
		`{"elementId":"a","labels":[],"properties":{"x":1} , "x":1,"y":2}`,
		`{"x":1,"elementId":"a","y":2,"labels":[],"properties":{"x":1},"z":3}`,
	} {
		for _, reader := range []Reader{Fast, Reference} {
			r := parse(t, nodes(e, strings.Replace(e, `"a"`, `"b"`, 1)), Options{DropUnknownMembers: true, Reader: reader})
			if got := string(r.Nodes.Raw(0)); got != kept {
				t.Errorf("%s became %s", e, got)
			}
			if got := string(r.Nodes.ID(1)); got != "b" {
				t.Errorf("the second is %s", got)
			}
		}
	}
	// What is dropped is still checked.
	for _, e := range []string{
		`{"x":1,"x":2,"elementId":"a","labels":[],"properties":{}}`,
		`{"x":{"a":1,"a":1},"elementId":"a","labels":[],"properties":{}}`,
		`{"x":1}`,
	} {
		if _, err := ParseRequest([]byte(nodes(e)), Options{DropUnknownMembers: true}); err == nil {
			t.Errorf("%s was accepted", e)
		}
	}
}

func TestParts(t *testing.T) {
	r := parse(t, `{"parameters":{"type":"graph"},"data":{"nodes":[
		{"elementId":"n\u0031","labels":[ "x" , "\u0079" ],"properties":{ "a" : [1, 2] ,"b\n":"v" }},
		{"elementId":"n2","labels":[],"properties":{}}],
		"relationships":[{"elementId":"r","type":"T\t","startNodeElementId":"n1","endNodeElementId":"n\u0032","startNodeLabel":"S","properties":{}},
		{"elementId":"s","type":"T","startNodeElementId":"n1","endNodeElementId":"gone","properties":{}}]}}`, Options{})
	var labels []string
	for l := range r.Nodes.Labels(0) {
		labels = append(labels, string(AppendText(nil, l)))
	}
	if strings.Join(labels, " ") != "x y" {
		t.Errorf("labels %q", labels)
	}
	var props []string
	for name, value := range r.Nodes.Properties(0) {
		props = append(props, string(name)+"="+string(value))
	}
	if strings.Join(props, " ") != `"a"=[1, 2] "b\n"="v"` {
		t.Errorf("properties %q", props)
	}
	v := r.Nodes.View(0)
	if !TextEqual(v.Property(1).Name, "b\n") || TextEqual(v.Property(1).Name, "b") {
		t.Error("TextEqual compares raw text")
	}
	if got := string(r.Relationships.Type(0)); got != "T\t" {
		t.Errorf("type %q", got)
	}
	start, end := r.Relationships.EndLabels(0)
	if string(start) != "S" || end != nil {
		t.Errorf("labels of the ends %q %q", start, end)
	}
	if s, e, ok := r.Ends(0); s != 0 || e != 1 || !ok {
		t.Errorf("ends %d %d %v", s, e, ok)
	}
	if _, _, ok := r.Ends(1); ok {
		t.Error("a missing node was found")
	}
	if r.Nodes.Type(0) != nil || r.Nodes.Kind() != Nodes || r.Batch(Relationships) != r.Relationships {
		t.Error("nodes have no type")
	}
}
