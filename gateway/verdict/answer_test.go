package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/element"
)

func request(t testing.TB, body string) *element.Request {
	t.Helper()
	r, err := element.ParseRequest([]byte(body), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	return r
}

func written(t testing.TB, a *Answer) string {
	t.Helper()
	var b bytes.Buffer
	n, err := a.WriteTo(&b)
	if err != nil || n != a.Size() || int64(b.Len()) != n {
		t.Fatalf("wrote %d of %d bytes (%d): %v", n, a.Size(), b.Len(), err)
	}
	return b.String()
}

const (
	nodeA = `{"elementId":"a", "labels":["x"],"properties":{ "k" : 1.50 ,"l":[1, 2] , "\u006d":"v" } }`
	nodeB = `{"elementId":"b","labels":[],"properties":{}}`
	nodeC = `{"properties":{"k":null},"labels":[],"elementId":"c"}`
)

func TestAnswerBytes(t *testing.T) {
	r := request(t, `{"parameters":{"type":"nodes"},"data":[`+nodeA+" ,\n"+nodeB+`,`+nodeC+`,`+nodeB+`]}`)
	wrap := func(s string) string { return `{"result":{"nodes":[` + s + `]}}` }
	for name, c := range map[string]struct {
		change func(s *Set)
		want   string
	}{
		"whole":      {func(*Set) {}, wrap(nodeA + "," + nodeB + "," + nodeC + "," + nodeB)},
		"none":       {func(s *Set) { s.Hide(0); s.Hide(1); s.Hide(2) }, wrap("")},
		"repetition": {func(s *Set) { s.Hide(1) }, wrap(nodeA + "," + nodeC)},
		"strip": {func(s *Set) { s.Strip(0, "l"); s.Hide(1); s.Hide(2) },
			wrap(`{"elementId":"a", "labels":["x"],"properties":{"k":1.50,"\u006d":"v"} }`)},
		"strip escaped": {func(s *Set) { s.Strip(0, "m"); s.Hide(1); s.Hide(2) },
			wrap(`{"elementId":"a", "labels":["x"],"properties":{"k":1.50,"l":[1, 2]} }`)},
		"strip all": {func(s *Set) { s.Strip(0, "m", "k", "l"); s.Hide(1); s.Hide(2) },
			wrap(`{"elementId":"a", "labels":["x"],"properties":{} }`)},
		"mask": {func(s *Set) { s.Mask(0, "l", []byte(`"***"`)); s.Hide(1); s.Hide(2) },
			wrap(`{"elementId":"a", "labels":["x"],"properties":{ "k" : 1.50 ,"l":"***" , "\u006d":"v" } }`)},
		"mask equal": {func(s *Set) { s.Mask(0, "k", []byte(`15e-1`)); s.Hide(1); s.Hide(2) }, wrap(nodeA)},
		"mask and strip": {func(s *Set) { s.Mask(0, "k", []byte(`0`)); s.Strip(0, "l"); s.Hide(1); s.Hide(2) },
			wrap(`{"elementId":"a", "labels":["x"],"properties":{"k":0,"\u006d":"v"} }`)},
		"strip last": {func(s *Set) { s.Strip(2, "k") },
			wrap(nodeA + "," + nodeB + `,{"properties":{},"labels":[],"elementId":"c"},` + nodeB)},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewWhole(r.Nodes.Len())
			c.change(s)
			if got := written(t, NewAnswer(r, s, nil, AnswerOptions{})); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestStripTellsNothing: whatever was stripped, what remains is written alike.
func TestStripTellsNothing(t *testing.T) {
	left := map[string]bool{}
	for _, props := range []string{`{"k":1,"secret":2}`, `{ "k":1 , "secret":2 }`, `{"secret":2,"k":1}`, `{"k":1,"secret":{"a":"long"} }`, `{"k":1, "other":1,"secret":2}`} {
		r := request(t, `{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":[],"properties":`+props+`}]}`)
		s := NewWhole(1)
		s.Strip(0, "secret", "other")
		left[written(t, NewAnswer(r, s, nil, AnswerOptions{}))] = true
	}
	if len(left) != 1 {
		t.Errorf("%d different texts: %v", len(left), left)
	}
}

func TestAnswerOfGraph(t *testing.T) {
	const rel = `{"elementId":"r","type":"T","startNodeElementId":"a","endNodeElementId":"b","startNodeLabel":"x","properties":{}}`
	r := request(t, `{"data":{"relationships":[`+rel+`],"nodes":[`+nodeA+`,`+nodeB+`]},"parameters":{"type":"graph"}}`)
	got := written(t, NewAnswer(r, NewWhole(2), NewWhole(1), AnswerOptions{Explain: []byte(`[]`)}))
	want := `{"result":{"nodes":[` + nodeA + `,` + nodeB + `],"relationships":[` + rel + `]},"explain":[]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	rels := NewWhole(1)
	rels.Hide(0)
	got = written(t, NewAnswer(r, NewHidden(2), rels, AnswerOptions{}))
	if got != `{"result":{"nodes":[],"relationships":[]}}` {
		t.Errorf("empty: %s", got)
	}
}

func TestRunsAreSingleSlices(t *testing.T) {
	var nodes []string
	for i := range 1000 {
		nodes = append(nodes, strings.Replace(nodeB, `"b"`, `"`+strings.Repeat("i", i+1)+`"`, 1))
	}
	r := request(t, `{"parameters":{"type":"nodes"},"data":[`+strings.Join(nodes, ",")+`]}`)
	s := NewWhole(1000)
	for i := 0; i < 1000; i += 100 {
		s.Hide(i)
	}
	a := NewAnswer(r, s, nil, AnswerOptions{})
	if n := len(a.Segments()); n > 24 {
		t.Errorf("%d segments for 10 runs", n)
	}
	written(t, a)
}

// TestAnswerIsSubset: what is written is the input's elements in order, decoded
// equal but for what was taken away.
func TestAnswerIsSubset(t *testing.T) {
	all := batches(t)
	rapid.Check(t, func(t *rapid.T) {
		b := all[rapid.IntRange(0, 1).Draw(t, "kind")]
		s := NewWhole(b.Len())
		for i := range b.Len() {
			switch rapid.IntRange(0, 4).Draw(t, "verdict") {
			case 0:
				s.Hide(i)
			case 1:
				s.Strip(i, rapid.SampledFrom([]string{"name", "n", "x", "none", "absent"}).Draw(t, "name"))
			case 2:
				s.Mask(i, rapid.SampledFrom([]string{"name", "n", "x", "none", "absent"}).Draw(t, "name"), []byte(`"***"`))
			}
		}
		w := rewriter{set: s, batch: b}
		for i := range b.Len() {
			text := b.Raw(i)
			if w.touched(i) {
				text = w.element(i)
			}
			checkRewritten(t, b, s, i, text)
		}
	})
}

func checkRewritten(t *rapid.T, b *element.Batch, s *Set, i int, text []byte) {
	if !s.Visible(i) {
		return
	}
	was, _ := decode(b.Raw(i))
	now, ok := decode(text)
	if !ok {
		t.Fatalf("%s is no JSON", text)
	}
	props := was.(map[string]any)["properties"].(map[string]any)
	for _, x := range s.StripsOf(i) {
		delete(props, x.Name)
	}
	for _, x := range s.MasksOf(i) {
		if _, there := props[x.Name]; there {
			props[x.Name] = "***"
		}
	}
	if canonical(was) != canonical(now) {
		t.Fatalf("%s became %s", b.Raw(i), text)
	}
}

func TestWriteToConnection(t *testing.T) {
	r := request(t, `{"parameters":{"type":"nodes"},"data":[`+nodeA+`,`+nodeB+`,`+nodeC+`]}`)
	s := NewWhole(3)
	s.Hide(1)
	a := NewAnswer(r, s, nil, AnswerOptions{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte)
	go func() {
		defer close(got)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		text, _ := io.ReadAll(c) // a cut connection shows as a short text
		got <- text
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.WriteTo(c); err != nil || n != a.Size() {
		t.Fatal(n, err)
	}
	c.Close()
	if text := <-got; string(text) != written(t, a) {
		t.Errorf("%s", text)
	}
	// Written once, it can be written again.
	written(t, a)
}

type fullDisk struct{ room int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n := f.room
		f.room = 0
		return n, errors.New("full")
	}
	f.room -= len(p)
	return len(p), nil
}

func TestWriteErrorIsToldWithTheCount(t *testing.T) {
	r := request(t, `{"parameters":{"type":"nodes"},"data":[`+nodeA+`]}`)
	a := NewAnswer(r, NewWhole(1), nil, AnswerOptions{})
	if n, err := a.WriteTo(&fullDisk{room: 10}); err == nil || n != 10 {
		t.Error(n, err)
	}
}

func TestExplain(t *testing.T) {
	r := request(t, `{"parameters":{"type":"nodes"},"data":[`+nodeA+`,`+nodeB+`,`+nodeC+`]}`)
	w1 := SourceSet{Cause{Worker: &fault.WorkerRef{UUID: "u1", Name: "one"}}, NewWhole(3)}
	w2 := SourceSet{Cause{Worker: &fault.WorkerRef{UUID: "u2", Name: "two"}, Reason: "secret"}, NewWhole(3)}
	w1.Set.Hide(1)
	w1.Set.Explain(1, "age")
	w2.Set.Hide(1)
	w1.Set.Strip(0, "k")
	w2.Set.Mask(0, "k", []byte(`0`))
	w2.Set.Mask(0, "l", []byte(`0`))
	got, err := ExplainJSON(Explain(r.Nodes, []SourceSet{w1, w2}))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"kind":"nodes","elementId":"a","verdict":"stripped","properties":["k"],"by":[{"worker":{"uuid":"u1","name":"one"},"reason":""},{"worker":{"uuid":"u2","name":"two"},"reason":"secret"}]},` +
		`{"kind":"nodes","elementId":"a","verdict":"masked","properties":["l"],"by":[{"worker":{"uuid":"u2","name":"two"},"reason":"secret"}]},` +
		`{"kind":"nodes","elementId":"b","verdict":"hidden","properties":[],"by":[{"worker":{"uuid":"u1","name":"one"},"reason":"age"},{"worker":{"uuid":"u2","name":"two"},"reason":"secret"}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if none, err := ExplainJSON(nil); err != nil || string(none) != "[]" {
		t.Error(string(none), err)
	}
	before, after := NewWhole(3), NewWhole(3)
	before.Hide(0)
	after.Hide(0)
	after.Hide(2)
	c := Closure(before, after)
	if !c.Set.Visible(0) || c.Set.Visible(2) || c.Cause.Rule != RuleClosure {
		t.Error("closure explains what others hid")
	}
	if !json.Valid(got) {
		t.Error("no JSON")
	}
}
