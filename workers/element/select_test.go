package element

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// drawSelection chooses elements and properties of a batch.
func (g *gen) drawSelection(b *Batch) *Selection {
	if b == nil {
		return nil
	}
	s := &Selection{}
	s.Reset(b.Len())
	for i := range b.Len() {
		switch n := b.PropertyCount(i); g.IntN(4) {
		case 0:
		case 1:
			s.Show(i, 0)
		default:
			keep := make([]uint64, (n+63)/64)
			for j := range n {
				if g.IntN(3) > 0 {
					keep[j>>6] |= 1 << (j & 63)
				}
			}
			s.Show(i, s.AddForm(NewForm(n, keep, nil)))
		}
	}
	return s
}

// naive writes what is left of a batch, and where each element is told again.
func naive(b *Batch, s *Selection) (elements []string) {
	for place := range b.Places() {
		i := b.Ordinal(place)
		if !s.Visible(i) {
			continue
		}
		raw := string(b.Raw(i))
		f := s.Form(i)
		if f == nil {
			elements = append(elements, raw)
			continue
		}
		v := b.View(i)
		from, to := v.PropertiesRaw()
		var kept []string
		for j := range v.PropertyCount() {
			if f.Keeps(j) {
				p := v.Property(j)
				kept = append(kept, string(p.Name)+":"+string(p.Value))
			}
		}
		elements = append(elements, raw[:from]+"{"+strings.Join(kept, ",")+"}"+raw[to:])
	}
	return elements
}

// TestSelectIsAReadingOfWhatIsLeft: the request that Select makes is the one that
// reading its body makes, and its body is what was left, each element once.
func TestSelectIsAReadingOfWhatIsLeft(t *testing.T) {
	made := 0
	var buf []byte
	for seed := range uint64(20_000) {
		g := newGen(seed)
		o := Options{DropUnknownMembers: seed%3 == 0}
		body := g.body()
		if seed%5 == 0 { // some elements twice
			body = bytes.ReplaceAll(body, []byte("1000"), []byte("1"))
		}
		req, err := ParseRequest(body, o)
		if err != nil {
			continue
		}
		made++
		nodes, rels := g.drawSelection(req.Nodes), g.drawSelection(req.Relationships)
		var left *Request
		left, buf = req.Select(buf, nodes, rels)
		again, err := ParseRequest(bytes.Clone(buf), Options{Reader: Reader(seed % 2)})
		if err != nil {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, body, buf)
		}
		if left.Type != again.Type || (left.Nodes == nil) != (req.Nodes == nil) || (left.Relationships == nil) != (req.Relationships == nil) {
			t.Fatalf("seed %d: another type", seed)
		}
		for _, k := range []Kind{Nodes, Relationships} {
			if req.Batch(k) == nil {
				continue
			}
			b := left.Batch(k)
			s := map[Kind]*Selection{Nodes: nodes, Relationships: rels}[k]
			b.order, again.Batch(k).order = nil, nil // looked at below
			if what := differ(b, again.Batch(k)); what != "" {
				t.Fatalf("seed %d: %s differs\n%s\n%s", seed, what, body, buf)
			}
			b.order = req.Batch(k).placesLeft(s, b.Len())
			if req.Batch(k).order == nil {
				b.order = nil
			}
			want := naive(req.Batch(k), s)
			for place := range b.Places() {
				if got := string(b.Raw(b.Ordinal(place))); got != want[place] {
					t.Fatalf("seed %d: place %d is %s, want %s", seed, place, got, want[place])
				}
			}
			if b.Places() != len(want) {
				t.Fatalf("seed %d: %d places, want %d", seed, b.Places(), len(want))
			}
		}
		if left.Nodes != nil && left.Relationships != nil {
			checkEnds(t, left, again)
		}
		left.Release()
		again.Release()
		req.Release()
	}
	if made < 5_000 {
		t.Errorf("only %d bodies were good", made)
	}
}

func checkEnds(t *testing.T, left, again *Request) {
	t.Helper()
	for i := range left.Relationships.Len() {
		a, b, ok := left.Ends(i)
		c, d, same := again.Ends(i)
		if a != c || b != d || ok != same {
			t.Fatalf("relationship %d connects %d and %d, %v; want %d and %d, %v", i, a, b, ok, c, d, same)
		}
	}
}

// TestSelectOfRepetitions: what stands twice is written once and has two places.
func TestSelectOfRepetitions(t *testing.T) {
	n := func(id string) string { return `{"elementId":"` + id + `","labels":["A"],"properties":{"p":1,"q":2}}` }
	req := parse(t, nodes(n("a"), n("b"), n("a"), n("c"), n("b"), n("c")), Options{})
	defer req.Release()
	s := &Selection{}
	s.Reset(3)
	s.Show(1, s.AddForm(NewForm(2, []uint64{1}, []string{"q"})))
	s.Show(2, 0)
	left, body := req.Select(nil, s, nil)
	defer left.Release()
	if want := `{"parameters":{"type":"nodes"},"data":[` + strings.Replace(n("b"), `,"q":2`, "", 1) + "," + n("c") + `]}`; string(body) != want {
		t.Errorf("%s", body)
	}
	if b := left.Nodes; b.Len() != 2 || b.Places() != 4 || fmt.Sprint(b.order) != "[0 1 0 1]" {
		t.Errorf("%d elements at %v", b.Len(), b.order)
	}
	s.Hide(2)
	s.Hide(1)
	s.Show(0, 0)
	left, _ = req.Select(nil, s, nil)
	if !left.Nodes.Repeats() || left.Nodes.Places() != 2 {
		t.Errorf("places %v", left.Nodes.order)
	}
	left.Release()
}

// TestChunksOfWhatIsLeft: the columns of what is left of a chunk are elements
// with nothing around them.
func TestChunksOfWhatIsLeft(t *testing.T) {
	for seed := range uint64(2_000) {
		g := newGen(seed)
		req, err := ParseRequest(g.body(), Options{})
		if err != nil || req.Nodes == nil || req.Nodes.Len() == 0 {
			continue
		}
		data, starts, ends := req.Nodes.Columns(0, req.Nodes.Len(), nil, nil)
		stream := NewStream(TypeNodes, Options{})
		c, err := stream.Add(Nodes, 0, data, starts, ends)
		if err != nil {
			t.Fatal(err)
		}
		s := g.drawSelection(c.Batch)
		left := c.Select(7, s)
		data, starts, ends = left.Batch.Columns(0, left.Batch.Len(), nil, nil)
		again, err := ParseElements(Nodes, 0, data, starts, ends)
		if err != nil || left.From != 7 {
			t.Fatal(err)
		}
		if what := differ(left.Batch, again); what != "" || string(data) != strings.Join(naive(c.Batch, s), "") {
			t.Fatalf("%s differs: %s", what, data)
		}
		left.Release()
		c.Release()
		req.Release()
	}
}

func TestSelections(t *testing.T) {
	var s, all Selection
	form := NewForm(2, []uint64{2}, []string{"p"})
	var want []string
	g := newGen(1)
	for range 50 {
		n := g.IntN(100)
		s.Reset(n)
		k := s.AddForm(form)
		for i := range n {
			switch g.IntN(3) {
			case 0:
				want = append(want, "hidden")
			case 1:
				s.Show(i, 0)
				want = append(want, "whole")
			default:
				s.Show(i, k)
				want = append(want, "formed")
			}
		}
		if s.Len() != n || s.Whole() && n > 0 {
			t.Fatal("length or wholeness")
		}
		calls := 0
		all.Append(&s, func(f *Form) uint32 {
			if calls++; f != form {
				t.Fatal("another form")
			}
			if len(all.Forms()) > 1 {
				return 1
			}
			return all.AddForm(f)
		})
		if calls != 1 {
			t.Fatalf("asked %d times", calls)
		}
	}
	visible := 0
	for i, w := range want {
		got := map[bool]string{false: "hidden", true: "whole"}[all.Visible(i)]
		if all.Form(i) != nil {
			got = "formed"
		}
		if got != w || (all.FormNumber(i) != 0) != (w == "formed") {
			t.Fatalf("element %d is %s, want %s", i, got, w)
		}
		if w != "hidden" {
			visible++
		}
	}
	if all.Len() != len(want) || all.Count() != visible || len(all.Words()) != (len(want)+63)/64 {
		t.Errorf("%d of %d", all.Count(), all.Len())
	}
	names, ok := form.Stripped()
	if !ok || !slices.Equal(names, []string{"p"}) || form.Count() != 2 || form.Keeps(0) || !form.Keeps(1) {
		t.Error("the form has changed")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("n", 20)
	text := func(id, props string) string {
		return `{"elementId":"` + id + `","labels":["A", "\u0042"],"properties":{` + props + `}}`
	}
	req := parse(t, nodes(
		text("a", `"p":1,"`+long+`": "x" ,"abcdefgh":[1]`),
		text("b", `"p" : 2,"`+long+`":null,"abcdefgh":{}`),
		text("c", `"\u0070":1,"`+long+`":1,"abcdefgh":1`),
		text("d", `"p":1,"`+long+`":1`),
		text("e", `"p":1,"`+long+`":1,"abcdefgi":1`),
		text("f", `"p":1,"`+long[1:]+`m":1,"abcdefgh":1`),
	), Options{})
	defer req.Release()
	b := req.Nodes
	var n Names
	n.Take(b, 0)
	if n.Len() != 3 || string(n.Token(0)) != `"p"` || string(n.Token(2)) != `"abcdefgh"` || n.Size() != 3+22+10 {
		t.Errorf("names of %d bytes", n.Size())
	}
	for i, want := range []bool{true, true, false, false, false, false} {
		if b.SameNames(i, &n) != want {
			t.Errorf("element %d: %v", i, !want)
		}
	}
	s := NewStream(TypeNodes, Options{}).seeds[0]
	if b.HashNames(s, 0) != b.HashNames(s, 1) || b.HashNames(s, 0) == b.HashNames(s, 4) {
		t.Error("hashes")
	}
	if string(b.Value(0, 1)) != `"x"` || string(b.Value(1, 2)) != `{}` || b.PropertyCount(3) != 2 || string(b.LabelsRaw(0)) != `["A", "\u0042"]` {
		t.Error("parts")
	}
}
