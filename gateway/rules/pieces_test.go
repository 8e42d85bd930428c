package rules

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry/rule"
)

// TestPiecesAreNotShared: what is cut from a piece of memory stays as it was,
// whatever is cut, or appended to what was cut, afterwards.
func TestPiecesAreNotShared(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var piece []int
		var cut, want [][]int
		for n := range rapid.IntRange(1, 60).Draw(t, "cuts") {
			items := slices.Repeat([]int{n}, rapid.IntRange(0, 40).Draw(t, "items"))
			got := cutFrom(&piece, items...)
			cut, want = append(cut, got), append(want, items)
			_ = append(got, -1)
		}
		for n := range cut {
			if !slices.Equal(cut[n], want[n]) {
				t.Fatalf("piece %d is %v, was %v", n, cut[n], want[n])
			}
		}
	})
}

// TestSetsAreNumbered: equal sets have one number, however many there are, and
// unions have each member once.
func TestSetsAreNumbered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &compiler{}
		c.union.grow([]draft{{names: make([]string, 200)}})
		known := map[string]int32{}
		member := rapid.OneOf(rapid.IntRange(60, 70), rapid.IntRange(0, 199))
		for range rapid.IntRange(1, 120).Draw(t, "sets") {
			want := map[int]bool{}
			c.union.reset()
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				var part set
				for _, n := range rapid.SliceOfNDistinct(member, 0, 4, rapid.ID[int]).Draw(t, "part") {
					want[n] = true
					if n < 64 {
						part.head |= 1 << n
					} else {
						part.tail = append(part.tail, int32(n))
					}
				}
				c.union.add(&part)
			}
			k := c.sets.number(c.union.take(c))
			got := c.sets.sets[k]
			size := 0
			for n := range want {
				if n < 64 && got.head>>n&1 == 0 || n >= 64 && !slices.Contains(got.tail, int32(n)) {
					t.Fatalf("%d is not in %v", n, got)
				}
				size++
			}
			if bits.OnesCount64(got.head)+len(got.tail) != size || !slices.IsSorted(got.tail) {
				t.Fatalf("%v is not %v", got, want)
			}
			name := fmt.Sprint(want) // maps are printed in the order of their keys
			if before, ok := known[name]; ok && before != k || !ok && int(k) != len(known) {
				t.Fatalf("%v is number %d of %v", want, k, known)
			}
			known[name] = k
		}
	})
}

// TestValuesShareEntries: whatever grants ask for, a value leads to the parts of
// those that ask for it, and values asked for by the same ones share them.
func TestValuesShareEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b building
		var pieces []part
		want := map[string][]part{}
		text := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "text")) })
		for rule := range rapid.Int32Range(1, 20).Draw(t, "grants") {
			p := part{rule: rule, clause: -1}
			texts := rapid.SliceOfNDistinct(text, 1, 12, rapid.ID[string]).Draw(t, "texts")
			b.enter(&pieces, texts, p)
			for _, v := range texts {
				want[v] = append(want[v], p)
			}
		}
		distinct, used := map[string]bool{}, map[int32]bool{}
		for v, parts := range want {
			k := b.values.find([]byte(v))
			if k < 0 || !slices.Equal(b.entries[k].parts, parts) {
				t.Fatalf("%s leads to %d of %+v, not to %v", v, k, b.entries, parts)
			}
			distinct[fmt.Sprint(parts)], used[k] = true, true
		}
		// The first few had entries of their own, and keep themselves apart.
		if len(used) > len(distinct)+fewValues+1 {
			t.Errorf("%d entries for %d ways of being asked for", len(used), len(distinct))
		}
		if b.values.find([]byte("31")) >= 0 {
			t.Error("a value that nobody asks for leads somewhere")
		}
	})
}

// TestIndexFindsWhatTheModelHas holds the sorted lists to maps, ids that repeat
// included: the last one counts.
func TestIndexFindsWhatTheModelHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.Custom(func(t *rapid.T) rule.ID { return rule.ID(rapid.IntRange(-2, 12).Draw(t, "id")) })
		title := rapid.SampledFrom([]string{"", "a", "b", "ab", "é"})
		m := &rule.Model{}
		for range rapid.IntRange(0, 6).Draw(t, "entities") {
			e := rule.Entity{ID: id.Draw(t, "entity"), Title: title.Draw(t, "title")}
			for range rapid.IntRange(0, 5).Draw(t, "properties") {
				e.Properties = append(e.Properties, rule.Property{ID: id.Draw(t, "property"), Title: title.Draw(t, "name")})
			}
			m.Entities = append(m.Entities, e)
		}
		x := newIndex(m)
		last := map[rule.ID]rule.Entity{}
		owners := map[rule.ID][]rule.ID{}
		for _, e := range m.Entities {
			last[e.ID] = e
			for _, p := range e.Properties {
				owners[p.ID] = append(owners[p.ID], e.ID)
			}
		}
		for wanted := rule.ID(-3); wanted < 14; wanted++ {
			var of []rule.ID
			for _, o := range x.ownersOf(wanted) {
				of = append(of, o.entity)
			}
			if !slices.Equal(of, owners[wanted]) {
				t.Fatalf("%d is owned by %v, not %v", wanted, of, owners[wanted])
			}
			k := x.entity(wanted)
			e, ok := last[wanted]
			if ok != (k >= 0) || ok && x.kinds[x.entities[k].kind].title != e.Title {
				t.Fatalf("entity %d is at %d of %+v", wanted, k, x)
			}
			if ok {
				holdNames(t, x, &x.entities[k], e)
			}
		}
	})
}

func holdNames(t *rapid.T, x *index, got *entity, want rule.Entity) {
	titles := map[rule.ID]string{}
	for _, p := range want.Properties {
		titles[p.ID] = p.Title
	}
	for id := rule.ID(-3); id < 14; id++ {
		name, ok := got.name(id)
		title, has := titles[id]
		if ok != has || ok && x.kinds[got.kind].names[name] != title {
			t.Fatalf("property %d of entity %d is %v, not %q", id, want.ID, ok, title)
		}
	}
}
