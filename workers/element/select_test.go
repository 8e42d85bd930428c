package element

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// choice is a random selection of a batch, and what it leaves of each element:
// nil for nothing.
type choice struct {
	sel  Selection
	left [][]byte
}

// keptOracle writes element i without the properties whose positions are not
// kept, by the standard library: decoded where AppendKept works on bytes.
func keptOracle(t *testing.T, b *Batch, i int, f *Form) []byte {
	t.Helper()
	if f == nil {
		return b.Raw(i)
	}
	v := b.View(i)
	var props bytes.Buffer
	for j := range v.PropertyCount() {
		if !f.Keeps(j) {
			continue
		}
		if props.Len() > 0 {
			props.WriteByte(',')
		}
		p := v.Property(j)
		fmt.Fprintf(&props, "%s:%s", p.Name, p.Value)
	}
	raw := b.Raw(i)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	from, to := v.PropertiesRaw()
	if got := string(raw[from:to]); got != string(members["properties"]) {
		t.Fatalf("PropertiesRaw is %s; the object is %s", got, members["properties"])
	}
	return slices.Concat(raw[:from], []byte("{"), props.Bytes(), []byte("}"), raw[to:])
}

// choose draws what is left of a batch.
func (g *gen) choose(t *testing.T, b *Batch) *choice {
	t.Helper()
	c := &choice{left: make([][]byte, b.Len())}
	c.sel.Reset(b.Len())
	style := g.IntN(4) // some selections leave nearly all, some nearly nothing
	for i := range b.Len() {
		if g.IntN(4) > style {
			continue
		}
		form := uint32(0)
		if n := b.PropertyCount(i); g.IntN(3) > 0 {
			keep := make([]uint64, (n+63)/64)
			for j := range n {
				if g.IntN(3) > 0 {
					keep[j>>6] |= 1 << (j & 63)
				}
			}
			form = c.sel.AddForm(NewForm(n, keep, nil))
		}
		c.sel.Show(i, form)
		c.left[i] = keptOracle(t, b, i, c.sel.Form(i))
	}
	if b.Len() > 0 && g.IntN(5) == 0 {
		i := g.IntN(b.Len())
		c.sel.Hide(i)
		c.left[i] = nil
	}
	return c
}

// good returns the next body that is accepted.
func (g *gen) good(o Options) ([]byte, *Request) {
	for {
		body := g.body()
		if r, err := ParseRequest(body, o); err == nil {
			return body, r
		}
	}
}

// again returns a request of the same elements, some of them several times.
func (g *gen) again(t *testing.T, r *Request) ([]byte, *Request) {
	t.Helper()
	c := map[Kind]*choice{}
	for _, k := range []Kind{Nodes, Relationships} {
		c[k] = &choice{}
		for n := 0; r.Batch(k).rows() > 0 && n < 2*r.Batch(k).Len(); n++ {
			i := n
			if n >= r.Batch(k).Len() {
				i = g.IntN(r.Batch(k).Len())
			}
			c[k].left = append(c[k].left, r.Batch(k).Raw(i))
		}
		g.Shuffle(len(c[k].left), func(i, j int) { c[k].left[i], c[k].left[j] = c[k].left[j], c[k].left[i] })
	}
	body := []byte(selectedBody(r.Type, c))
	repeated, err := ParseRequest(body, Options{})
	if err != nil {
		t.Fatalf("%v of %s", err, body)
	}
	return body, repeated
}

// rows is Len for batches that may not be there.
func (b *Batch) rows() int {
	if b == nil {
		return 0
	}
	return b.Len()
}

func kept(left [][]byte) (list [][]byte) {
	for _, e := range left {
		if e != nil {
			list = append(list, e)
		}
	}
	return list
}

// checkSelected holds a batch that was selected against the elements that should
// be left, and against what reading their text anew finds.
func checkSelected(t *testing.T, got, from *Batch, c *choice, again *Batch) {
	t.Helper()
	want := kept(c.left)
	if got.Len() != len(want) || got.Len() != c.sel.Count() || again.Len() != len(want) {
		t.Fatalf("%d elements left, %d read anew, %d counted; want %d", got.Len(), again.Len(), c.sel.Count(), len(want))
	}
	for i, e := range want {
		if !bytes.Equal(got.Raw(i), e) {
			t.Fatalf("element %d is\n%s\nwant\n%s", i, got.Raw(i), e)
		}
		v, w := got.View(i), again.View(i)
		if d := differViews(&v, &w); d != "" {
			t.Fatalf("element %d differs from its text read anew by its %s\n%s", i, d, e)
		}
	}
	places := 0
	for p := range from.Places() {
		i := from.Ordinal(p)
		if !c.sel.Visible(i) {
			continue
		}
		if places >= got.Places() || !bytes.Equal(got.ID(got.Ordinal(places)), from.ID(i)) {
			t.Fatalf("place %d is not element %d any more", places, i)
		}
		places++
	}
	if got.Places() != places || got.Repeats() != (places != got.Len()) {
		t.Fatalf("%d places, repeats %v; want %d places of %d", got.Places(), got.Repeats(), places, got.Len())
	}
	for i := range from.Len() {
		n, found := got.Find(from.ID(i))
		if found != c.sel.Visible(i) || found && !bytes.Equal(got.ID(n), from.ID(i)) {
			t.Fatalf("element %d: found %v, visible %v", i, found, c.sel.Visible(i))
		}
	}
}

// TestSelectAgreesWithReading: what Select computes without reading is what
// reading its body finds, whatever was taken away, in fresh and in used memory.
func TestSelectAgreesWithReading(t *testing.T) {
	documents := 20_000
	if testing.Short() {
		documents = 2_000
	}
	g := newGen(11)
	var buf []byte
	for range documents {
		body, r := g.good(Options{DropUnknownMembers: g.IntN(2) == 0})
		if g.IntN(2) == 0 {
			once := r
			body, r = g.again(t, once)
			once.Release()
		}
		choices := map[Kind]*choice{}
		sel := map[Kind]*Selection{}
		for _, k := range []Kind{Nodes, Relationships} {
			if b := r.Batch(k); b != nil {
				choices[k] = g.choose(t, b)
				sel[k] = &choices[k].sel
			}
		}
		var out *Request
		out, buf = r.Select(buf, sel[Nodes], sel[Relationships])
		if want := selectedBody(r.Type, choices); string(buf) != want {
			t.Fatalf("of %s\nis left %s\nwant    %s", body, buf, want)
		}
		again, err := ParseRequest(bytes.Clone(buf), Options{Reader: Reference})
		if err != nil || again.Type != out.Type {
			t.Fatalf("%v of %s", err, buf)
		}
		for _, k := range []Kind{Nodes, Relationships} {
			if (out.Batch(k) == nil) != (r.Batch(k) == nil) {
				t.Fatalf("%s: there is another list than before", k.Key())
			}
			if out.Batch(k) != nil {
				checkSelected(t, out.Batch(k), r.Batch(k), choices[k], again.Batch(k))
			}
		}
		checkEnds(t, out, again)
		again.Release()
		out.Release()
		r.Release()
	}
}

// selectedBody writes what should be left by hand.
func selectedBody(typ Type, c map[Kind]*choice) string {
	list := func(k Kind) string { return "[" + string(bytes.Join(kept(c[k].left), []byte(","))) + "]" }
	data := ""
	switch typ {
	case TypeNodes:
		data = list(Nodes)
	case TypeRelationships:
		data = list(Relationships)
	default:
		data = `{"nodes":` + list(Nodes) + `,"relationships":` + list(Relationships) + `}`
	}
	return `{"parameters":{"type":"` + typ.String() + `"},"data":` + data + `}`
}

func checkEnds(t *testing.T, out, again *Request) {
	t.Helper()
	if out.Relationships == nil {
		return
	}
	for i := range out.Relationships.Len() {
		s, e, ok := out.Ends(i)
		if s2, e2, ok2 := again.Ends(i); s != s2 || e != e2 || ok != ok2 {
			t.Fatalf("relationship %d connects %d and %d (%v); read anew %d and %d (%v)", i, s, e, ok, s2, e2, ok2)
		}
	}
}

// TestChunkSelectAgreesWithReading is the same for what comes in a stream.
func TestChunkSelectAgreesWithReading(t *testing.T) {
	g := newGen(12)
	for range 3_000 {
		_, r := g.good(Options{})
		for _, k := range []Kind{Nodes, Relationships} {
			b := r.Batch(k)
			if b == nil {
				continue
			}
			data, starts, ends := b.Columns(0, b.Len(), nil, nil)
			whole, err := ParseElements(k, 0, data, starts, ends)
			if err != nil {
				t.Fatal(err)
			}
			c := g.choose(t, whole)
			chunk := &Chunk{Batch: whole}
			out := chunk.Select(7, &c.sel)
			if out.From != 7 {
				t.Fatalf("from %d", out.From)
			}
			data, starts, ends = out.Batch.Columns(0, out.Batch.Len(), nil, nil)
			again, err := ParseElements(k, 0, data, starts, ends)
			if err != nil {
				t.Fatalf("%v of %s", err, data)
			}
			checkSelected(t, out.Batch, whole, c, again)
			out.Release()
		}
		r.Release()
	}
}

// Selections of parts, put together, are the selection of the whole, wherever the
// parts meet.
func TestSelectionAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		forms := []*Form{nil, NewForm(1, []uint64{0}, []string{"a"}), NewForm(1, []uint64{1}, nil)}
		pick := rapid.SliceOfN(rapid.IntRange(-1, len(forms)-1), 0, 300).Draw(t, "elements") // -1 is hidden
		var whole Selection
		whole.Reset(0)
		numbers := map[*Form]uint32{}
		for at := 0; at < len(pick) || at == 0; {
			n := min(rapid.IntRange(1, 130).Draw(t, "part"), len(pick)-at)
			var part Selection
			part.Reset(n)
			for i, f := range pick[at : at+n] {
				switch {
				case f == 0:
					part.Show(i, 0)
				case f > 0:
					part.Show(i, part.AddForm(forms[f]))
				}
			}
			whole.Append(&part, func(f *Form) uint32 {
				if _, known := numbers[f]; !known {
					numbers[f] = whole.AddForm(f)
				}
				return numbers[f]
			})
			if at += n; n == 0 {
				break
			}
		}
		shown := 0
		for i, f := range pick {
			if f >= 0 {
				shown++
			}
			if whole.Visible(i) != (f >= 0) || whole.Form(i) != forms[max(f, 0)] {
				t.Fatalf("element %d of %v: visible %v in form %v", i, pick, whole.Visible(i), whole.Form(i))
			}
		}
		if whole.Len() != len(pick) || whole.Count() != shown || whole.Whole() != (shown == len(pick) && len(numbers) == 0) {
			t.Fatalf("%d elements, %d left, whole %v: %v", whole.Len(), whole.Count(), whole.Whole(), pick)
		}
	})
}

// A form or a selection of other elements is a defect that must not pass for a
// decision.
func TestSelectionsOfOthersPanic(t *testing.T) {
	r := parse(t, nodes(node, strings.Replace(node, `"a"`, `"b"`, 1)), Options{})
	var short, wrong Selection
	short.Reset(1)
	wrong.Reset(2)
	wrong.Show(0, wrong.AddForm(NewForm(2, []uint64{3}, nil)))
	for name, f := range map[string]func(){
		"selection": func() { r.Select(nil, &short, nil) },
		"form":      func() { r.Select(nil, &wrong, nil) },
		"kept":      func() { r.Nodes.AppendKept(nil, 0, wrong.Form(0)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: nothing was said", name)
				}
			}()
			f()
		}()
	}
}

// Names tell elements apart by their names' order and spelling, and by nothing
// else.
func TestNames(t *testing.T) {
	g := newGen(13)
	seed := maphash.MakeSeed()
	spelled := func(b *Batch, i int) (names []string) {
		for name := range b.Properties(i) {
			names = append(names, string(name))
		}
		return names
	}
	same, compared := 0, 0
	for range 2_000 {
		_, r := g.good(Options{})
		for _, k := range []Kind{Nodes, Relationships} {
			b := r.Batch(k)
			if b == nil {
				continue
			}
			var n Names
			for i := range b.Len() {
				n.Take(b, i)
				want := spelled(b, i)
				size := 0
				for j, name := range want {
					size += len(name)
					if string(n.Token(j)) != name {
						t.Fatalf("name %d is %s, want %s", j, n.Token(j), name)
					}
				}
				if n.Len() != len(want) || n.Size() != size || b.PropertyCount(i) != len(want) {
					t.Fatalf("%d names of %d bytes; want %q", n.Len(), n.Size(), want)
				}
				for other := range b.Len() {
					equal := slices.Equal(want, spelled(b, other))
					if b.SameNames(other, &n) != equal {
						t.Fatalf("%q and %q: same is %v", want, spelled(b, other), !equal)
					}
					if equal && b.HashNames(seed, other) != b.HashNames(seed, i) {
						t.Fatalf("%q hashes to two values", want)
					}
					if compared++; equal && other != i {
						same++
					}
				}
			}
		}
		r.Release()
	}
	if same < 100 {
		t.Errorf("only %d of %d pairs had the same names: nothing is proven", same, compared)
	}
}
