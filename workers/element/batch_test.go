package element

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// TestSegmentsAndColumns: whatever range is sent, in whichever form, it is the
// elements of that range and nothing else.
func TestSegmentsAndColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "elements")
		var list []string
		for i := range n {
			list = append(list, testNode(fmt.Sprint("id", i), i))
			if rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
				k := rapid.IntRange(0, i).Draw(t, "which")
				list = append(list, testNode(fmt.Sprint("id", k), k))
			}
		}
		body := `{"parameters":{"type":"nodes"},"data":[` + strings.Join(list, rapid.SampledFrom([]string{",", " ,\n"}).Draw(t, "comma")) + `]}`
		r, err := ParseRequest([]byte(body), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		b := r.Nodes
		if b.Len() != n || b.Sent() != n || b.Places() != len(list) {
			t.Fatalf("%d elements at %d places", b.Len(), b.Places())
		}
		from := rapid.IntRange(0, n).Draw(t, "from")
		to := rapid.IntRange(from, n).Draw(t, "to")
		segments := b.AppendSegments(nil, from, to)
		text := bytes.Join(segments, nil)
		if len(text) != b.Size(from, to) {
			t.Fatalf("%d bytes, Size says %d", len(text), b.Size(from, to))
		}
		if !b.Repeats() && len(segments) > 1 {
			t.Fatalf("%d segments without a repetition", len(segments))
		}
		var sent []json.RawMessage
		if err := json.Unmarshal([]byte("["+string(text)+"]"), &sent); err != nil || len(sent) != to-from {
			t.Fatalf("%s: %v", text, err)
		}
		data, starts, ends := b.Columns(from, to, nil, nil)
		for i := range to - from {
			if !bytes.Equal(sent[i], b.Raw(from+i)) {
				t.Fatalf("segment %d is %s", i, sent[i])
			}
			if !bytes.Equal(data[starts[i]:ends[i]], b.Raw(from+i)) {
				t.Fatalf("column %d is %s", i, data[starts[i]:ends[i]])
			}
		}
		for place := range b.Places() {
			if string(b.Raw(b.Ordinal(place))) != list[place] {
				t.Fatalf("place %d holds another element", place)
			}
		}
	})
}

// TestFind looks up what is there and what is not, from several goroutines at
// once, with ids that ascend (the table is built late) and that do not.
func TestFind(t *testing.T) {
	const n = 500
	for name, number := range map[string]func(int) int{
		"ascending":  func(i int) int { return 1000 + i },
		"descending": func(i int) int { return 5000 - i },
		"mixed":      func(i int) int { return i * 7919 % 10007 },
	} {
		t.Run(name, func(t *testing.T) {
			list := make([]string, n)
			for i := range list {
				list[i] = testNode(fmt.Sprint("4:x:", number(i)), i)
			}
			b := parse(t, nodes(list...), Options{}).Nodes
			if built := b.ids.built; built == (name == "ascending") {
				t.Errorf("table built: %v", built)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for i := range n {
						if got, ok := b.Find([]byte(fmt.Sprint("4:x:", number(i)))); !ok || got != i {
							t.Errorf("element %d found as %d, %v", i, got, ok)
						}
						if _, ok := b.Find([]byte(fmt.Sprint("4:y:", number(i)))); ok {
							t.Error("found what is not there")
						}
					}
				})
			}
			wg.Wait()
		})
	}
	if _, ok := parse(t, nodes(), Options{}).Nodes.Find([]byte("a")); ok {
		t.Error("found something in nothing")
	}
}

// TestTemplatesForgetNothing: elements whose names change in every way from one
// to the next are read as if each were alone.
func TestTemplatesForgetNothing(t *testing.T) {
	props := []string{
		`{"a":1,"b":2,"c":3}`, `{"a":1,"b":2}`, `{"a":1,"b":2,"c":3,"d":4}`, `{"a":1,"c":3,"b":2}`, `{"b":2,"a":1}`, `{}`,
		`{"a" : 1 , "b":2}`, `{"a":1,"\u0062":2}`, `{"\u0062":1,"a":2}`, `{"":0,"a":1}`, `{"a":{"a":{"a":1}},"b":[{"a":1}]}`,
	}
	bad := []string{
		`{"a":1,"b":2,"a":3}`, `{"a":1,"a":2}`, `{"a":1,"b":2,"c":3,"c":4}`, `{"a":1,"\u0061":2}`, `{"\u0062":1,"b":2}`,
		`{"a":1,"b":2,"c":3,"d":4,"b":5}`, `{"a":1 "b":2}`, `{"a":1,}`, `{"a"1}`, `{"a":}`, `{"a":{"b":1,"b":2}}`,
	}
	element := func(i int, p string) string {
		if i%2 == 0 {
			return fmt.Sprintf(`{"elementId":"%d","labels":[],"properties":%s}`, i, p)
		}
		return fmt.Sprintf(`{"properties":%s,"labels":["x"],"elementId":"%d"}`, p, i)
	}
	rapid.Check(t, func(t *rapid.T) {
		var list []string
		for i := range rapid.IntRange(1, 12).Draw(t, "elements") {
			list = append(list, element(i*rapid.IntRange(1, 2).Draw(t, "parity"), rapid.SampledFrom(props).Draw(t, "properties")))
		}
		spoilt := rapid.Bool().Draw(t, "spoilt")
		if spoilt {
			list = append(list, element(1000, rapid.SampledFrom(bad).Draw(t, "bad")))
		}
		body := []byte(nodes(list...))
		x, errFast := fast(body, Options{})
		y, errSlow := slow(body, Options{})
		if (errFast == nil) != (errSlow == nil) {
			t.Fatalf("fast: %v, reference: %v\n%s", errFast, errSlow, body)
		}
		if spoilt && errFast == nil {
			t.Fatalf("accepted %s", body)
		}
		if errFast == nil {
			if d := differ(x.Nodes, y.Nodes); d != "" {
				t.Fatalf("%s\n%s", d, body)
			}
		}
	})
}

// TestPoolCarriesNothingOver: requests that follow one another through the pool
// see nothing of each other.
func TestPoolCarriesNothingOver(t *testing.T) {
	g := newGen(31)
	for range 5_000 {
		body := g.body()
		if g.IntN(3) == 0 {
			body = g.damage(body)
		}
		pooled, err := ParseRequest(body, Options{})
		fresh, want := slow(body, Options{})
		if (err == nil) != (want == nil) {
			t.Fatalf("%v, fresh %v\n%s", err, want, body)
		}
		if err != nil {
			if err.Error() != want.Error() {
				t.Fatalf("%v, fresh %v", err, want)
			}
			continue
		}
		for _, k := range []Kind{Nodes, Relationships} {
			if d := differ(pooled.Batch(k), fresh.Batch(k)); d != "" {
				t.Fatalf("%s\n%s", d, body)
			}
		}
		pooled.Release()
		pooled.Release() // harmless
	}
}

func TestLongElementIsKeptWhole(t *testing.T) {
	long := strings.Repeat("ä\\n", 1<<18)
	r := parse(t, nodes(`{"elementId":"a","labels":[],"properties":{"k":"`+long+`"}}`, testNode("b", 1)), Options{})
	v := r.Nodes.View(0)
	if got := v.Property(0).Value; len(got) != len(long)+2 {
		t.Errorf("%d bytes", len(got))
	}
	raw, from, to := r.Nodes.Shape(0)
	if string(raw[from:to]) != "a" {
		t.Errorf("the id lies at %d to %d", from, to)
	}
	if _, from, to := parse(t, nodes(`{"elementId":"\u0061","labels":[],"properties":{}}`), Options{}).Nodes.Shape(0); from != 0 || to != 0 {
		t.Error("an escaped id has no bytes to match")
	}
}
