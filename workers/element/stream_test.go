package element

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
)

// columnsOf writes elements as a chunk, with separators that nobody may read.
func columnsOf(elements ...string) (data []byte, starts, ends []uint32) {
	for _, e := range elements {
		starts = append(starts, uint32(len(data)))
		data = append(data, e...)
		ends = append(ends, uint32(len(data)))
		data = append(data, ",\n}"...)
	}
	return data, starts, ends
}

func testNode(id string, k int) string {
	return fmt.Sprintf(`{"elementId":%q,"labels":["x"],"properties":{"k":%d}}`, id, k)
}

func testRel(id, start, end string) string {
	return fmt.Sprintf(`{"elementId":%q,"type":"T","startNodeElementId":%q,"endNodeElementId":%q,"properties":{}}`, id, start, end)
}

// TestStreamAgreesWithRequest: a stream, cut anywhere, sees the elements,
// repetitions and ends that a request over the same bytes sees.
func TestStreamAgreesWithRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "ü", "x\\y"})
		n := rapid.IntRange(0, 12).Draw(t, "nodes")
		nodes, rels := make([]string, n), make([]string, rapid.IntRange(0, 12).Draw(t, "relationships"))
		for i := range nodes {
			nodes[i] = testNode(id.Draw(t, "id"), rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "k"))
		}
		for i := range rels {
			rels[i] = testRel(id.Draw(t, "rel"), "a", id.Draw(t, "end"))
		}
		body := `{"parameters":{"type":"graph"},"data":{"nodes":[` + strings.Join(nodes, ",") + `],"relationships":[` + strings.Join(rels, ",") + `]}}`
		r, wantErr := ParseRequest([]byte(body), Options{})
		s := NewStream(TypeGraph, Options{})
		err := feed(t, s, Nodes, nodes, r)
		if err == nil {
			err = feed(t, s, Relationships, rels, r)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("stream: %v, request: %v\n%s", err, wantErr, body)
		}
		if err != nil {
			return
		}
		for i := range r.Relationships.Len() {
			a, b, ok := r.Ends(i)
			c, d, ok2 := s.Ends(i)
			if ok != ok2 || ok && (a != c || b != d) {
				t.Fatalf("ends of %d: %d %d %v, want %d %d %v", i, c, d, ok2, a, b, ok)
			}
		}
		for _, k := range []Kind{Nodes, Relationships} {
			if s.Len(k) != r.Batch(k).Len() || s.Places(k) != r.Batch(k).Places() {
				t.Fatalf("%d elements at %d places", s.Len(k), s.Places(k))
			}
			for p := range s.Places(k) {
				if s.Ordinal(k, p) != r.Batch(k).Ordinal(p) {
					t.Fatalf("place %d", p)
				}
			}
		}
	})
}

func feed(t *rapid.T, s *Stream, k Kind, elements []string, r *Request) error {
	for from := 0; from < len(elements); {
		to := min(len(elements), from+rapid.IntRange(1, 5).Draw(t, "chunk"))
		data, starts, ends := columnsOf(elements[from:to]...)
		c, err := s.Add(k, uint64(from), data, starts, ends)
		if err != nil {
			if !fault.Is(err, "invalid_request") {
				t.Fatalf("%v is no invalid_request", err)
			}
			return err
		}
		for i := range c.Batch.Len() {
			if r != nil && !bytes.Equal(c.Batch.Raw(i), r.Batch(k).Raw(c.From+i)) {
				t.Fatalf("element %d is %s", c.From+i, c.Batch.Raw(i))
			}
		}
		c.Release()
		from = to
	}
	return nil
}

func TestStreamRefusals(t *testing.T) {
	a, ar := testNode("a", 1), testRel("r", "a", "a")
	for name, c := range map[string]struct {
		typ  Type
		feed func(s *Stream) error
		want string
	}{
		"other kind": {TypeNodes, func(s *Stream) error { return add(s, Relationships, 0, ar) }, "another kind"},
		"gap":        {TypeNodes, func(s *Stream) error { return add(s, Nodes, 1, a) }, "begins at element 1 where 0 is next"},
		"late node": {TypeGraph, func(s *Stream) error {
			if err := add(s, Relationships, 0, ar); err != nil {
				return err
			}
			return add(s, Nodes, 0, a)
		}, "before the first relationship"},
		"changed": {TypeNodes, func(s *Stream) error {
			if err := add(s, Nodes, 0, a); err != nil {
				return err
			}
			return add(s, Nodes, 1, testNode("a", 2))
		}, "nodes[1]: the elementId of an earlier element"},
		"shape":   {TypeNodes, func(s *Stream) error { return add(s, Nodes, 0, a, `{"elementId":"b"}`) }, "nodes[1]: properties"},
		"no JSON": {TypeNodes, func(s *Stream) error { return add(s, Nodes, 0, a, `{"elementId":01}`) }, "nodes[1]: elementId"},
		"broken":  {TypeNodes, func(s *Stream) error { return add(s, Nodes, 0, strings.Replace(a, "1", "01", 1)) }, "nodes[0]: not valid JSON"},
		"cut":     {TypeNodes, func(s *Stream) error { return add(s, Nodes, 0, a[:len(a)-1]) }, "nodes[0]: the JSON ends too early"},
		"more":    {TypeNodes, func(s *Stream) error { return add(s, Nodes, 0, a+" ") }, "bytes after the element's end"},
		"columns": {TypeNodes, func(s *Stream) error {
			_, err := s.Add(Nodes, 0, []byte(a), []uint32{0}, nil)
			return err
		}, "differ in length"},
		"outside": {TypeNodes, func(s *Stream) error {
			_, err := s.Add(Nodes, 0, []byte(a), []uint32{0}, []uint32{1000})
			return err
		}, "ascend within data"},
		"backwards": {TypeNodes, func(s *Stream) error {
			_, err := s.Add(Nodes, 0, []byte(a+a), []uint32{uint32(len(a)), 0}, []uint32{uint32(2 * len(a)), uint32(len(a))})
			return err
		}, "ascend within data"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.feed(NewStream(c.typ, Options{}))
			if err == nil || !strings.Contains(err.Error(), c.want) || !fault.Is(err, "invalid_request") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func add(s *Stream, k Kind, base uint64, elements ...string) error {
	data, starts, ends := columnsOf(elements...)
	c, err := s.Add(k, base, data, starts, ends)
	if err == nil {
		c.Release()
	}
	return err
}

func TestStreamDropsUnknownMembers(t *testing.T) {
	s := NewStream(TypeNodes, Options{DropUnknownMembers: true})
	data, starts, ends := columnsOf(
		testNode("a", 1), strings.Replace(testNode("b", 1), `"labels"`, `"x":[1,{"y":2}],"labels"`, 1),
		testNode("c", 1), strings.Replace(testNode("d", 1), `{"elementId"`, `{"z":0, "elementId"`, 1))
	for n := range 2 {
		c, err := s.Add(Nodes, uint64(4*n), data, starts, ends)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			for i, id := range []string{"a", "b", "c", "d"} {
				if got := string(c.Batch.Raw(i)); got != testNode(id, 1) {
					t.Errorf("element %d is %s", i, got)
				}
			}
		} else if c.Batch.Len() != 0 || s.Len(Nodes) != 4 || s.Places(Nodes) != 8 {
			t.Errorf("%d elements anew, %d in all at %d places", c.Batch.Len(), s.Len(Nodes), s.Places(Nodes))
		}
		c.Release()
	}
}

func TestParseElements(t *testing.T) {
	data, starts, ends := columnsOf(testNode("a", 1), `{"elementId":"\u0062","labels":[],"properties":{}}`, testNode("ü", 3))
	b, err := ParseElements(Nodes, 7, data, starts, ends)
	if err != nil || b.Len() != 3 || string(b.ID(1)) != "b" || string(b.ID(2)) != "ü" {
		t.Fatal(b, err)
	}
	// What Columns gives, ParseElements takes.
	data, starts, ends = b.Columns(1, 3, nil, nil)
	again, err := ParseElements(Nodes, 0, data, starts, ends)
	if err != nil || again.Len() != 2 || !bytes.Equal(again.Raw(0), b.Raw(1)) {
		t.Fatal(again, err)
	}
	for _, elements := range [][]string{{testNode("a", 1), testNode("a", 1)}, {testNode("a", 1), testNode("a", 2)}, {``}, {`7`}} {
		data, starts, ends := columnsOf(elements...)
		if _, err := ParseElements(Nodes, 7, data, starts, ends); !fault.Is(err, "invalid_request") {
			t.Errorf("%q: %v", elements, err)
		}
	}
	if b, err := ParseElements(Nodes, 0, nil, nil, nil); err != nil || b.Len() != 0 {
		t.Error(err)
	}
}

func TestIDsDigest(t *testing.T) {
	r := parse(t, nodes(testNode("a", 1), testNode("bc", 1)), Options{})
	s := parse(t, nodes(testNode("ab", 1), testNode("c", 1)), Options{})
	u := parse(t, nodes(strings.Replace(testNode("a", 2), `"a"`, `"\u0061"`, 1), testNode("bc", 1)), Options{})
	if r.Nodes.IDsDigest() == s.Nodes.IDsDigest() {
		t.Error("the digest does not tell where an id ends")
	}
	if r.Nodes.IDsDigest() != u.Nodes.IDsDigest() {
		t.Error("the digest is of the ids as they were written")
	}
}

// FuzzColumns: whatever the columns say, nothing is read outside of them.
func FuzzColumns(f *testing.F) {
	data, _, _ := columnsOf(testNode("a", 1), testNode("b", 2))
	f.Add(data, uint32(0), uint32(54), uint32(57), uint32(111), true)
	f.Add(data, uint32(3), uint32(2), uint32(1), uint32(0), false)
	f.Fuzz(func(t *testing.T, data []byte, a, b, c, d uint32, drop bool) {
		s := NewStream(TypeNodes, Options{DropUnknownMembers: drop})
		chunk, err := s.Add(Nodes, 0, data, []uint32{a, c}, []uint32{b, d})
		if err != nil {
			return
		}
		for i := range chunk.Batch.Len() {
			raw := chunk.Batch.Raw(i)
			if !drop && !bytes.Equal(raw, data[a:b]) && !bytes.Equal(raw, data[c:d]) {
				t.Fatalf("element %q", raw)
			}
			agree(t, []byte(nodes(string(raw))), Options{})
		}
	})
}
