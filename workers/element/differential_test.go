package element

import (
	"bytes"
	"fmt"
	"testing"
)

// fast reads a body with the hand-written reader alone, and as a whole.
func fast(body []byte, o Options) (*Request, error) {
	r := new(Request)
	r.p.ahead.parts = 1
	if err := r.again(body, o); err != nil {
		return nil, err
	}
	return r, nil
}

// again reads a body with the hand-written reader alone, in memory that may have
// served another one.
func (r *Request) again(body []byte, o Options) error {
	r.reset(body, o)
	end := r.document(body)
	if end >= 0 && len(r.p.cuts) > 0 {
		body = without(body, r.p.cuts)
		r.reset(body, Options{})
		end = r.document(body)
	}
	if end < 0 {
		return fmt.Errorf("refused: %d", end)
	}
	return r.settle()
}

func slow(body []byte, o Options) (*Request, error) {
	r := new(Request)
	return r, r.parseReference(body, o)
}

// agree fails when the readers differ in verdict, positions or decoded text.
func agree(t *testing.T, body []byte, o Options) (accepted bool) {
	t.Helper()
	x, errFast := fast(body, o)
	y, errSlow := slow(body, o)
	if (errFast == nil) != (errSlow == nil) {
		t.Fatalf("fast: %v\nreference: %v\nbody: %q", errFast, errSlow, body)
	}
	if errFast != nil {
		return false
	}
	if x.Type != y.Type || !bytes.Equal(x.body, y.body) && !o.DropUnknownMembers {
		t.Fatalf("types %v and %v", x.Type, y.Type)
	}
	for _, k := range []Kind{Nodes, Relationships} {
		if d := differ(x.Batch(k), y.Batch(k)); d != "" {
			t.Fatalf("%s: %s\nbody: %q", k.Key(), d, body)
		}
	}
	return true
}

func differ(x, y *Batch) string {
	if x == nil || y == nil {
		if x != y {
			return "one reader has no batch"
		}
		return ""
	}
	if !bytes.Equal(x.body, y.body) {
		return "texts"
	}
	if len(x.recs) != len(y.recs) || len(x.ends) != len(y.ends) || x.Places() != y.Places() {
		return fmt.Sprintf("%d and %d elements", len(x.recs), len(y.recs))
	}
	for p := range x.Places() {
		if x.Ordinal(p) != y.Ordinal(p) {
			return "repetitions"
		}
	}
	for i := range x.recs {
		v, w := x.View(i), y.View(i)
		if d := differViews(&v, &w); d != "" {
			return fmt.Sprintf("element %d: %s", i, d)
		}
	}
	return ""
}

func differViews(v, w *View) string {
	switch {
	case v.rec.from != w.rec.from, v.rec.to != w.rec.to:
		return "place"
	case !bytes.Equal(v.ID(), w.ID()):
		return "id"
	case v.rec.props != w.rec.props:
		return "properties"
	case !bytes.Equal(v.LabelsRaw(), w.LabelsRaw()), !bytes.Equal(v.Type(), w.Type()):
		return "labels or type"
	case !bytes.Equal(v.Start(), w.Start()), !bytes.Equal(v.End(), w.End()):
		return "ends"
	case !bytes.Equal(v.StartLabel(), w.StartLabel()), !bytes.Equal(v.EndLabel(), w.EndLabel()):
		return "end labels"
	case (v.StartLabel() == nil) != (w.StartLabel() == nil):
		return "a start label"
	case v.PropertyCount() != w.PropertyCount():
		return "number of properties"
	}
	for j := range v.PropertyCount() {
		p, q := v.Property(j), w.Property(j)
		if !bytes.Equal(p.Name, q.Name) || !bytes.Equal(p.Value, q.Value) || v.ValueOffset(j) != w.ValueOffset(j) {
			return "property"
		}
	}
	return ""
}

// TestReadersAgree is the proof that the hand-written reader accepts what
// jsontext and the shape accept, and finds the same positions.
func TestReadersAgree(t *testing.T) {
	documents := 450_000
	if testing.Short() {
		documents = 20_000
	}
	accepted := 0
	g := newGen(1)
	var body []byte
	for n := range documents {
		if n%8 == 0 {
			body = g.body()
		}
		text := body
		if n%8 != 0 {
			text = g.damage(body)
		}
		if agree(t, text, Options{DropUnknownMembers: n%3 == 0}) {
			accepted++
		}
	}
	t.Logf("%d of %d documents accepted", accepted, documents)
	if accepted < documents/20 {
		t.Errorf("only %d of %d documents accepted: the generator is too wild to prove anything", accepted, documents)
	}
}

// TestPrefixesAskForMore: no prefix of a good element is refused, so that a
// reply may be read as it arrives.
func TestPrefixesAskForMore(t *testing.T) {
	g := newGen(3)
	var s Single
	for range 300 {
		g.b.Reset()
		g.loose = g.IntN(2) == 0
		k := Kind(1 + g.IntN(2))
		g.element(k, 1)
		text := []byte(g.b.String())
		if n, err := s.Element(text, k, 3); err != nil || n != len(text) {
			continue // the generator makes mistakes on purpose
		}
		for cut := range text {
			if _, err := s.Element(text[:cut:cut], k, 3); err != ErrMore {
				t.Fatalf("prefix %q of a good element: %v", text[:cut], err)
			}
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	g := newGen(2)
	for range 30 {
		f.Add(g.body(), false)
		f.Add(g.damage(g.body()), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, drop bool) {
		agree(t, body, Options{DropUnknownMembers: drop})
		same(t, apart(nil, sooner), body, Options{DropUnknownMembers: drop})
	})
}
