package verdict

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/element"
)

// drawSet draws verdicts over n elements; half of the sets have no sparse part.
func drawSet(t *rapid.T, n int, label string) *Set {
	s := NewWhole(n)
	sparse := rapid.Bool().Draw(t, label+" sparse")
	for i := range n {
		switch k := rapid.IntRange(0, 5).Draw(t, label); {
		case k == 0:
			s.Hide(i)
		case !sparse:
		case k == 1:
			s.Strip(i, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label+" name"))
		case k == 2:
			s.Mask(i, rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, label+" name"),
				[]byte(rapid.SampledFrom([]string{`"x"`, `1`, `1.0`, `1e0`, `null`, `"\u0078"`}).Draw(t, label+" mask")))
		case k == 3:
			s.Strip(i, "a", "b")
			s.Mask(i, "b", []byte(`1`))
			s.Mask(i, "c", []byte(`1`))
		}
	}
	return s
}

func same(a, b *Set) bool {
	return a.n == b.n && slices.Equal(a.visible, b.visible) &&
		(len(a.strips)+len(b.strips) == 0 || slices.Equal(a.strips, b.strips)) &&
		slices.EqualFunc(a.masks, b.masks, func(x, y Mask) bool {
			return compareMasks(x, y) == 0 && string(x.Value) == string(y.Value)
		})
}

func meet(a *Set, others ...*Set) *Set {
	s := a.Clone()
	Meet(s, others...)
	return s
}

// below reports whether a shows nothing that b does not show.
func below(a, b *Set) bool {
	for i := range a.n {
		if a.Visible(i) && !b.Visible(i) {
			return false
		}
		if !a.Visible(i) {
			continue
		}
		for _, x := range b.StripsOf(i) {
			if !slices.Contains(a.StripsOf(i), x) {
				return false
			}
		}
		for _, x := range b.MasksOf(i) {
			kept := slices.ContainsFunc(a.MasksOf(i), func(y Mask) bool {
				return y.Name == x.Name && element.Equal(x.Value, y.Value)
			})
			if !kept && !slices.Contains(a.StripsOf(i), Strip{x.Ordinal, x.Name}) {
				return false
			}
		}
	}
	return true
}

func TestMeetIsALattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 150).Draw(t, "n")
		a, b, c := drawSet(t, n, "a"), drawSet(t, n, "b"), drawSet(t, n, "c")
		ab := meet(a, b)
		if !same(meet(a, a), a) {
			t.Fatal("not idempotent")
		}
		if !same(ab, meet(b, a)) {
			t.Fatal("not commutative")
		}
		abc := meet(a, b, c)
		if !same(meet(ab, c), abc) || !same(meet(a, meet(b, c)), abc) || !same(meet(c, a, b), abc) {
			t.Fatal("not associative")
		}
		if !same(meet(a, NewWhole(n)), a) {
			t.Fatal("whole is not neutral")
		}
		if !same(meet(a, NewHidden(n)), NewHidden(n)) {
			t.Fatal("hidden does not win")
		}
		if !below(ab, a) || !below(ab, b) || !below(abc, ab) {
			t.Fatal("a source more reveals something")
		}
	})
}

// TestMeetExhaustively runs over every combination of three sources on one
// element with two properties.
func TestMeetExhaustively(t *testing.T) {
	var sets []*Set
	values := [][]byte{nil, []byte(`1`), []byte(`1.0`), []byte(`2`)}
	for strip := range 4 {
		for _, x := range values {
			for _, y := range values {
				s := NewWhole(1)
				if strip&1 != 0 {
					s.Strip(0, "x")
				}
				if strip&2 != 0 {
					s.Strip(0, "y")
				}
				if x != nil {
					s.Mask(0, "x", x)
				}
				if y != nil {
					s.Mask(0, "y", y)
				}
				sets = append(sets, s)
			}
		}
	}
	sets = append(sets, NewHidden(1))
	for _, a := range sets {
		for _, b := range sets {
			ab := meet(a, b)
			if !same(ab, meet(b, a)) || !below(ab, a) {
				t.Fatal("pair")
			}
			for _, c := range sets {
				if !same(meet(ab, c), meet(a, meet(b, c))) {
					t.Fatalf("triple %v %v %v", a, b, c)
				}
			}
		}
	}
}

// TestChunkingChangesNothing: judged in pieces and put together, or judged at
// once, the verdicts are the same.
func TestChunkingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		whole := drawSet(t, n, "whole")
		c := NewCollector(rapid.SampledFrom([]int{-1, n}).Draw(t, "known"), true)
		for _, chunk := range whole.AppendChunks(nil, rapid.IntRange(1, 200).Draw(t, "size")) {
			if err := c.Add(chunk); err != nil {
				t.Fatal(err)
			}
		}
		got, err := c.Finish(n)
		if err != nil || !same(got, whole) {
			t.Fatal("collected otherwise", err)
		}
		placed := NewWhole(n)
		for from := 0; from < n; {
			to := min(n, from+rapid.SampledFrom([]int{1, 7, 63, 64, 100, 128}).Draw(t, "piece"))
			part := NewHidden(to - from)
			for i := range part.n {
				if whole.Visible(from + i) {
					part.Show(i)
				}
				for _, x := range whole.StripsOf(from + i) {
					part.Strip(i, x.Name)
				}
				for _, x := range whole.MasksOf(from + i) {
					part.Mask(i, x.Name, x.Value)
				}
			}
			placed.Place(from, part)
			from = to
		}
		if !same(placed, whole) {
			t.Fatal("placed otherwise")
		}
	})
}

// ring is a graph: relationship i connects nodes ends[i].
type ring [][2]int

func (r ring) Ends(i int) (start, end int, ok bool) {
	return r[i][0], r[i][1], r[i][0] >= 0 && r[i][1] >= 0
}

func TestCloseIsIdempotentAndSlowlyRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 80).Draw(t, "nodes")
		m := rapid.IntRange(0, 150).Draw(t, "relationships")
		g := make(ring, m)
		for i := range g {
			g[i] = [2]int{rapid.IntRange(-1, n-1).Draw(t, "start"), rapid.IntRange(-1, n-1).Draw(t, "end")}
		}
		nodes, rels := drawSet(t, n, "node"), drawSet(t, m, "rel")
		before := rels.Clone()
		CloseOver(g, nodes, rels)
		for i := range m {
			want := before.Visible(i)
			for _, end := range g[i] {
				want = want && end >= 0 && nodes.Visible(end)
			}
			if rels.Visible(i) != want {
				t.Fatalf("relationship %d", i)
			}
		}
		again := rels.Clone()
		CloseOver(g, nodes, again)
		if !same(again, rels) || !below(rels, before) {
			t.Fatal("not idempotent")
		}
		// Closing before or after the meet makes no difference.
		other := drawSet(t, m, "other")
		x, y := meet(rels, other), meet(before, other)
		CloseOver(g, nodes, y)
		if !same(x, y) {
			t.Fatal("closure and meet do not commute")
		}
	})
}

func TestCloseOfRequests(t *testing.T) {
	body := `{"parameters":{"type":"graph"},"data":{
	"nodes":[{"elementId":"a","labels":[],"properties":{}},{"elementId":"\u0062","labels":[],"properties":{}}],
	"relationships":[%s]}}`
	rel := func(id, start, end string) string {
		return fmt.Sprintf(`{"elementId":"%s","type":"T","startNodeElementId":"%s","endNodeElementId":"%s","properties":{}}`, id, start, end)
	}
	req, err := element.ParseRequest([]byte(fmt.Sprintf(body,
		rel("1", "a", "b")+","+rel("2", "a", "c")+","+rel("3", `\u0061`, "a")+","+rel("4", "b", "b"))), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer req.Release()
	nodes, rels := NewWhole(2), NewWhole(4)
	Close(req, nodes, rels)
	if got := fmt.Sprintf("%b", rels.visible[0]); got != "1101" {
		t.Errorf("with all nodes: %s", got)
	}
	nodes.Hide(1)
	Close(req, nodes, rels)
	if got := fmt.Sprintf("%b", rels.visible[0]); got != "100" {
		t.Errorf("without b: %s", got)
	}
}

func TestMeetRefusesOtherBatches(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("sets over different batches were met")
		}
	}()
	Meet(NewWhole(3), NewWhole(4))
}

func TestMeetAllocatesNothing(t *testing.T) {
	dst, others := NewWhole(100_000), make([]*Set, 8)
	for i := range others {
		others[i] = NewWhole(100_000)
		others[i].Hide(i * 100)
	}
	if n := testing.AllocsPerRun(20, func() { Meet(dst, others...) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if dst.CountVisible() != 100_000-8 {
		t.Errorf("%d visible", dst.CountVisible())
	}
}
