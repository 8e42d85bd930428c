package rules

import (
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

// TestSetsAreNumbered: equal sets have one number, however many there are and
// however short they are written.
func TestSetsAreNumbered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := setTable{width: 2}
		known := map[[2]uint64]int32{}
		word := rapid.Uint64Range(0, 6)
		for range rapid.IntRange(1, 120).Draw(t, "sets") {
			set := [2]uint64{word.Draw(t, "low"), word.Draw(t, "high")}
			words := set[:]
			if set[1] == 0 {
				words = set[:1]
			}
			k := s.number(words)
			if before, ok := known[set]; ok && before != k || !ok && int(k) != len(known) {
				t.Fatalf("%v is number %d of %v", set, k, known)
			}
			known[set] = k
			if !slices.Equal(s.words[2*k:2*k+2], set[:]) {
				t.Fatalf("set %d is %v, not %v", k, s.words[2*k:2*k+2], set)
			}
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
