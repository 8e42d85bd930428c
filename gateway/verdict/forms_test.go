package verdict

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/element"
)

// formOrStrip reports whether the set strips a property.
func (s *Set) formOrStrip(i int, name string) bool {
	return slices.ContainsFunc(s.StripsOf(i), func(x Strip) bool { return x.Name == name })
}

func sortedNames(names []string) []string {
	slices.Sort(names)
	return names
}

// same2 compares sets by what they say, whatever they are made of.
func same2(a, b *Set) bool {
	x, y := a.Clone(), b.Clone()
	x.spell()
	y.spell()
	return same(x, y)
}

// sparseRequest draws nodes with some of the properties a, b and c; some nodes
// stand in it twice.
func sparseRequest(t *rapid.T) *element.Request {
	var parts []string
	for i := range rapid.IntRange(0, 70).Draw(t, "n") {
		var props []string
		for _, name := range rapid.Permutation([]string{`"a"`, `"\u0062"`, `"c"`}).Draw(t, "names")[:rapid.IntRange(0, 3).Draw(t, "count")] {
			props = append(props, name+rapid.SampledFrom([]string{":1", " : [1, 2]", ":\"x,y:}\""}).Draw(t, "value"))
		}
		text := fmt.Sprintf(`{"elementId":"n%d", "properties":{%s},"labels":[]}`, i, strings.Join(props, rapid.SampledFrom([]string{",", " ,\n"}).Draw(t, "comma")))
		parts = append(parts, text)
		if rapid.IntRange(0, 20).Draw(t, "again") == 0 {
			parts = append(parts, text)
		}
	}
	req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+strings.Join(parts, ",")+`]}`), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// drawStrips draws what rules may say: no masks.
func drawStrips(t *rapid.T, n int, label string) *Set {
	s := drawSet(t, n, label)
	s.masks = nil
	return s
}

// drawDense draws a set over a batch, with forms or without, and its like without.
func drawDense(t *rapid.T, b *element.Batch, label string) (dense, plain *Set) {
	plain = drawSet(t, b.Len(), label)
	if rapid.Bool().Draw(t, label+" dense") {
		rules := drawStrips(t, b.Len(), label+" rules")
		dense = Select(selected(b, rules), b)
		// Only properties that the elements have can be in forms.
		known := dense.Clone()
		known.spell()
		dense, plain = meet(dense, plain), meet(known, plain)
		return dense, plain
	}
	return plain.Clone(), plain
}

// TestFormsAreStrips holds that a set with forms behaves as its like with strips
// one by one, in everything that can be done with sets.
func TestFormsAreStrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		req := sparseRequest(t)
		defer req.Release()
		b := req.Nodes
		x, xs := drawDense(t, b, "x")
		y, ys := drawDense(t, b, "y")
		z, zs := drawDense(t, b, "z")
		if !same2(x, xs) {
			t.Fatal("drawn otherwise")
		}
		xy := meet(x, y)
		if !same2(xy, meet(xs, ys)) || !same2(xy, meet(y, x)) || !same2(meet(x, x), x) {
			t.Fatal("the meet differs")
		}
		if !same2(meet(xy, z), meet(x, meet(y, z))) || !same2(meet(x, y, z), meet(xs, ys, zs)) {
			t.Fatal("not associative")
		}
		if !below(xy, x) || !below(xy, y) || !same2(meet(x, NewWhole(b.Len())), x) {
			t.Fatal("not a meet")
		}
		for i := range b.Len() {
			if x.Whole(i) != xs.Whole(i) || !slices.Equal(x.StripsOf(i), xs.StripsOf(i)) {
				t.Fatalf("element %d", i)
			}
		}
		xs.spell() // nothing to do
		if xs.forms != nil || fmt.Sprint(x.AppendChunks(nil, 64)) != fmt.Sprint(xs.AppendChunks(nil, 64)) {
			t.Fatal("the chunks differ")
		}
		if fmt.Sprint(x.Counts()) != fmt.Sprint(xs.Counts()) {
			t.Fatal("counted otherwise")
		}
		if got, want := x.Spread(b.Places(), b.Ordinal), xs.Spread(b.Places(), b.Ordinal); !same2(got, want) {
			t.Fatal("spread otherwise")
		}
		sources := []SourceSet{{Cause{Rule: "x"}, x}, {Cause{Rule: "y"}, y}}
		plain := []SourceSet{{Cause{Rule: "x"}, xs}, {Cause{Rule: "y"}, ys}}
		if fmt.Sprint(Explain(b, sources)) != fmt.Sprint(Explain(b, plain)) {
			t.Fatal("explained otherwise")
		}
		checkWriting(t, req, xy, meet(xs, ys))
		checkChanging(t, x, xs)
	})
}

func checkWriting(t *rapid.T, req *element.Request, dense, plain *Set) {
	var got, want bytes.Buffer
	plain = plain.Clone()
	plain.spell()
	for to, s := range map[*bytes.Buffer]*Set{&got: dense, &want: plain} {
		a := NewAnswer(req, s, nil, AnswerOptions{})
		if n, err := a.WriteTo(to); err != nil || n != a.Size() {
			t.Fatal(err, n, a.Size())
		}
	}
	if got.String() != want.String() {
		t.Fatalf("%s\n%s", got.String(), want.String())
	}
}

// checkChanging changes both sets alike.
func checkChanging(t *rapid.T, dense, plain *Set) {
	dense, plain = dense.Clone(), plain.Clone()
	for i := range dense.n {
		switch rapid.IntRange(0, 6).Draw(t, "change") {
		case 0:
			dense.Hide(i)
			plain.Hide(i)
		case 1:
			dense.Strip(i, "a", "b")
			plain.Strip(i, "a", "b")
		case 2:
			dense.Mask(i, "a", []byte("2"))
			plain.Mask(i, "a", []byte("2"))
		}
	}
	if !same2(dense, plain) {
		t.Fatal("changed otherwise")
	}
	placed, other := NewWhole(dense.n+7), NewWhole(dense.n+7)
	placed.Place(7, dense)
	other.Place(7, plain)
	if !same2(placed, other) {
		t.Fatal("placed otherwise")
	}
}
