package element

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestSingleTellsWhatIsWrong(t *testing.T) {
	var s Single
	for text, check := range map[string]func(error) bool{
		``:                  func(err error) bool { return err == ErrMore },
		`{"elementId":"a"`:  func(err error) bool { return err == ErrMore },
		`{"elementId":01`:   func(err error) bool { var e *ShapeError; return errors.As(err, &e) && !e.NotObject() && !e.Unnamed() },
		`[]`:                func(err error) bool { var e *ShapeError; return errors.As(err, &e) && e.NotObject() },
		`{"x":1}`:           func(err error) bool { var e *ShapeError; return errors.As(err, &e) && e.Unnamed() },
		`{"elementId":"a"x`: func(err error) bool { return err == ErrNotJSON },
	} {
		if _, err := s.Element([]byte(text), Nodes, 2); !check(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if n, err := s.Value([]byte(`{"a":[1]},`), 0); n != 9 || err != nil {
		t.Error(n, err)
	}
	if n, err := s.String([]byte(`"a\"b" `)); n != 6 || err != nil {
		t.Error(n, err)
	}
	if _, err := s.String([]byte(`7`)); err != ErrNotJSON {
		t.Error(err)
	}
	if _, err := s.String(nil); err != ErrMore {
		t.Error(err)
	}
	s.Release()
}

// TestFollowAgreesWithElement: what Follow takes, the strict reading takes too,
// and both see the same differences; damaged texts included.
func TestFollowAgreesWithElement(t *testing.T) {
	rounds := 150_000
	if testing.Short() {
		rounds = 15_000
	}
	g := newGen(11)
	var f, s Single
	followed := 0
	var r *Request
	for n := range rounds {
		if n%50 == 0 {
			r = nil
			for r == nil || r.Nodes == nil || r.Nodes.Len() == 0 {
				r, _ = ParseRequest(g.body(), Options{}) // the generator makes mistakes on purpose
			}
		}
		k := g.IntN(r.Nodes.Len())
		text := rewritten(g, r.Nodes.Raw(k))
		if g.IntN(2) == 0 {
			text = g.damage(text)
		}
		size, err := f.Follow(text, r.Nodes, k, 2)
		if err != nil {
			if err != ErrMore && err != ErrOther {
				t.Fatal(err)
			}
			continue
		}
		followed++
		if want, err := s.Element(text, Nodes, 2); err != nil || size != want {
			t.Fatalf("Follow read %d bytes, Element %d: %v\n%s", size, want, err, text)
		}
		v, w := r.Nodes.View(k), s.View()
		if d := differences(&f, &v, &w); d != "" {
			t.Fatalf("%s\nsent %s\ncame %s", d, v.Raw(), text)
		}
	}
	t.Logf("%d of %d followed", followed, rounds)
	if followed < rounds/10 {
		t.Error("too few to prove anything")
	}
}

// rewritten writes an element anew, with some properties left out or changed.
func rewritten(g *gen, raw []byte) []byte {
	v := jsontext.Value(bytes.Clone(raw))
	switch g.IntN(4) {
	case 0:
		_ = v.Indent() // valid before and after
	case 1:
		_ = v.Compact() // likewise
	case 2:
		_ = v.Canonicalize() // may round numbers: a change to find
	}
	text := string(v)
	if g.IntN(2) == 0 {
		text = strings.Replace(text, g.pick(`1`, `"a`, `true`, `name1`, `é`), g.pick(`2`, `"b`, `null`, `name2`, `\u00e9`, ``), 1)
	}
	return []byte(text)
}

// differences compares what Follow found with a slow comparison.
func differences(f *Single, sent, came *View) string {
	if !bytes.Equal(sent.ID(), came.ID()) || !Equal(sent.LabelsRaw(), came.LabelsRaw()) {
		return "Follow took another element"
	}
	came2 := map[string][]byte{}
	for j := range came.PropertyCount() {
		p := came.Property(j)
		came2[string(AppendText(nil, p.Name))] = p.Value
	}
	var missing, changed []string
	for j := range sent.PropertyCount() {
		p := sent.Property(j)
		name := string(AppendText(nil, p.Name))
		value, there := came2[name]
		delete(came2, name)
		switch {
		case !there:
			missing = append(missing, fmt.Sprint(j))
		case !Equal(p.Value, value):
			changed = append(changed, fmt.Sprint(j))
		}
	}
	if len(came2) > 0 {
		return "Follow took an added property"
	}
	var missing2, changed2 []string
	for _, j := range f.Missing() {
		missing2 = append(missing2, fmt.Sprint(j))
	}
	for j := range sent.PropertyCount() { // in the order of the element
		for _, c := range f.Changes() {
			if c.Property == j {
				changed2 = append(changed2, fmt.Sprint(j))
			}
		}
	}
	if fmt.Sprint(missing, changed) != fmt.Sprint(missing2, changed2) {
		return fmt.Sprintf("missing %v changed %v, want %v and %v", missing2, changed2, missing, changed)
	}
	return ""
}

// TestFollowIsNoTrap: an element with very many properties in another order is
// left to the strict reading, which has a table, rather than searched.
func TestFollowIsNoTrap(t *testing.T) {
	const n = 5000
	r := parse(t, nodes(`{"elementId":"a","labels":[],"properties":{`+many(n)+`}}`), Options{})
	text := []byte(`{"elementId":"a","labels":[],"properties":{` + reversed(n) + `}}`)
	var s Single
	if _, err := s.Follow(text, r.Nodes, 0, 2); err != ErrOther {
		t.Error(err)
	}
}

func TestAllocationsDoNotGrowWithElements(t *testing.T) {
	for _, n := range []int{1_000, 20_000} {
		body := sampleBody(n)
		for name, o := range map[string]Options{"strict": {}, "drop": {DropUnknownMembers: true}} {
			got := testing.AllocsPerRun(5, func() {
				r, err := ParseRequest(body, o)
				if err != nil {
					t.Fatal(err)
				}
				r.Nodes.Find([]byte("absent"))
				for i := range r.Nodes.Len() {
					v := r.Nodes.View(i)
					if v.PropertyCount() == 0 || len(v.ID()) == 0 {
						t.Fatal("empty")
					}
				}
				r.Release()
			})
			if limit := 20 + float64(n)/100; got > limit {
				t.Errorf("%s: %v allocations for %d elements", name, got, n)
			}
		}
	}
}
