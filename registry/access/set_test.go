package access

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every look-up answers as walking over everything would, after any changes, in
// the newest set and in all those before it.
func TestSetIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states, sets := []naive{newNaive()}, []*Set{nil}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			last := states[len(states)-1]
			next := last.step(t)
			states = append(states, next)
			sets = append(sets, sets[len(sets)-1].With(diff(t, last, next)))
		}
		for i := range sets {
			states[i].check(t, sets[i])
		}
	})
}

// A set is the same however the changes that led to it were cut.
func TestAnyChunkingIsARebuild(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := newNaive()
		state, stepped := before, (*Set)(nil)
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			for range rapid.IntRange(1, 3).Draw(t, "at once") {
				state = state.step(t)
			}
			stepped = stepped.With(diff(t, before, state))
			before = state
		}
		state.check(t, stepped)
		state.check(t, (*Set)(nil).With(state.everything(t)))
		state.check(t, stepped.With(state.everything(t)))
	})
}

// Nobody may do anything that the specification does not say.
func TestAllowsIsTheSpecification(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, s := newNaive(), (*Set)(nil)
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			next := state.step(t)
			s, state = s.With(diff(t, state, next)), next
		}
		for range 20 {
			w := &Who{Named: rapid.SliceOfN(rapid.SampledFrom(names), 0, 5).Draw(t, "named"), Sync: rapid.Bool().Draw(t, "sync")}
			if rapid.IntRange(0, 3).Draw(t, "stored") > 0 {
				w.User = &User{ID: userID(rapid.IntRange(0, 6).Draw(t, "who"))}
			}
			typ, res := rapid.SampledFrom(types).Draw(t, "type"), rapid.SampledFrom(resources).Draw(t, "resource")
			wildcard := rapid.Bool().Draw(t, "wildcard")
			via := state.via(w, typ, res, wildcard, epoch)
			if got := s.Allows(w, typ, res, wildcard, epoch); got != (len(via) > 0) {
				t.Fatalf("Allows %+v %s %s %v is %v, but there is %v", w, typ, res, wildcard, got, via)
			}
			var got []Grant
			for g := range s.Via(w, typ, res, wildcard, epoch) {
				got = append(got, *g)
			}
			if !slices.IsSortedFunc(got, func(a, b Grant) int {
				if a.Resource != b.Resource {
					return map[bool]int{true: -1, false: 1}[b.Resource == "*"]
				}
				return lessBytes(a.Group, b.Group)
			}) {
				t.Fatalf("Via %+v is in disorder", got)
			}
			slices.SortFunc(got, func(a, b Grant) int { return lessBytes(a.ID, b.ID) })
			if !slices.Equal(got, via) {
				t.Fatalf("Via %+v %s %s gives %v, not %v", w, typ, res, got, via)
			}
			if s.IsAdmin(w) != state.isAdmin(w) {
				t.Fatalf("IsAdmin %+v is %v", w, s.IsAdmin(w))
			}
			in := state.names(w)
			for g := range s.GroupsFor(w) {
				if !in[g.Name] {
					t.Fatalf("GroupsFor %+v has %s, or has it twice", w, g.Name)
				}
				delete(in, g.Name)
			}
			if len(in) > 0 {
				t.Fatalf("GroupsFor %+v lacks %v", w, in)
			}
		}
	})
}
