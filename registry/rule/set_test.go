package rule

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// naive is a set as a map.
type naive map[int64]Rule

func (n naive) sorted() []Rule {
	return slices.SortedFunc(maps.Values(n), func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
}

// named tells whether a rule names a subject, straight from the specification.
func named(r Rule, sub Subjects) bool {
	for _, u := range r.Users {
		if sub.User != "" && strings.EqualFold(u, sub.User) {
			return true
		}
	}
	for _, g := range r.Groups {
		if slices.Contains(sub.Groups, strings.TrimPrefix(g, "/")) {
			return true
		}
	}
	for _, c := range r.Clients {
		if sub.Client != "" && (c == sub.Client || c == "service-account-"+sub.Client) {
			return true
		}
	}
	return false
}

func (n naive) check(t *rapid.T, s *Set, sub Subjects, f Filter, m *Model) {
	if s.Len() != len(n) {
		t.Fatalf("%d rules, not %d", s.Len(), len(n))
	}
	var forSub, selected []Rule
	for _, r := range n.sorted() {
		got, there := s.Get(r.ID)
		byName, thereToo := s.ByName(r.Name)
		if !there || !thereToo || !reflect.DeepEqual(got, r) || !reflect.DeepEqual(byName, r) {
			t.Fatalf("%+v is %+v %v, by name %+v %v", r, got, there, byName, thereToo)
		}
		if r.Active && named(r, sub) {
			forSub = append(forSub, r)
		}
		if f.Meets(m, &r) {
			selected = append(selected, r)
		}
	}
	same(t, "All", slices.Collect(s.All(0)), n.sorted())
	same(t, fmt.Sprintf("For %+v", sub), slices.Collect(s.For(sub)), forSub)
	some := s.Named(sub)
	same(t, fmt.Sprintf("For what is named of %+v", sub), slices.Collect(s.For(some)), forSub)
	for _, alone := range append([]Subjects{{User: some.User}, {Client: some.Client}}, groupsAlone(some.Groups)...) {
		is := func(r Rule) bool { return named(r, alone) }
		if (alone.User != "" || alone.Client != "" || alone.Groups != nil) && !slices.ContainsFunc(n.sorted(), is) {
			t.Fatalf("no rule names %+v", alone)
		}
	}
	same(t, fmt.Sprintf("Select %+v", f), slices.Collect(s.Select(m, f, 0)), selected)
	if len(selected) > 0 {
		same(t, "the rest of Select", slices.Collect(s.Select(m, f, selected[0].ID)), selected[1:])
	}
}

func groupsAlone(groups []string) []Subjects {
	var all []Subjects
	for _, g := range groups {
		all = append(all, Subjects{Groups: []string{g}})
	}
	return all
}

func same(t *rapid.T, what string, got, want []Rule) {
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s gives %d: %+v\nnot %d: %+v", what, len(got), got, len(want), want)
	}
}

func anyFilter() *rapid.Generator[Filter] {
	return rapid.Custom(func(t *rapid.T) Filter {
		sometimes := func(what string, of ...string) string {
			return rapid.SampledFrom(append(of, "", "", "", "")).Draw(t, what)
		}
		f := Filter{
			NamePrefix: sometimes("prefix", "rule 1", "rule 10 "), User: sometimes("user", "ALICE", "ÄDMIN"),
			Group: sometimes("group", "/a/b", "a/b"), Client: sometimes("client", "c", "service-account-c"),
			CreatedBy: sometimes("by", "alice"), State: State(sometimes("state", "active", "inactive", "orphaned")),
		}
		if id := rapid.Int64Range(-5, 5).Draw(t, "entity"); id >= 0 {
			e := ID(id)
			f.Entity = &e
		}
		if rapid.IntRange(0, 4).Draw(t, "creator") == 0 {
			f.Creator = &Creator{"https://issuer", "s1", ""}
		}
		return f
	})
}

// TestSetIsAMap changes sets at random and compares them, and the ones before
// them, with maps.
func TestSetIsAMap(t *testing.T) {
	model := &Model{Entities: []Entity{{ID: 1, Title: "A", Properties: []Property{{2, "p"}}}}, Relationships: []Relationship{{ID: 3}}}
	rapid.Check(t, func(t *rapid.T) {
		sets, models := []*Set{nil}, []naive{{}}
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			from := rapid.IntRange(0, len(sets)-1).Draw(t, "from")
			next := maps.Clone(models[from])
			gone := rapid.SliceOfN(rapid.Int64Range(0, 60), 0, 10).Draw(t, "deleted")
			for _, id := range gone {
				delete(next, id)
			}
			var put []Rule
			for range rapid.IntRange(0, 12).Draw(t, "put") {
				r := anyRule().Draw(t, "rule")
				r.Name = fmt.Sprintf("rule %d of %d", r.ID, rapid.IntRange(0, 2).Draw(t, "version"))
				if slices.ContainsFunc(put, func(o Rule) bool { return o.ID == r.ID }) {
					continue
				}
				put = append(put, r)
				next[r.ID] = r
			}
			sets, models = append(sets, sets[from].With(put, gone)), append(models, next)
		}
		sub := SubjectsOf(rapid.SampledFrom([]string{"", "Alice", "bob"}).Draw(t, "user"), "", rapid.SliceOfN(rapid.SampledFrom([]string{"/a/b", "c", "Bob"}), 0, 3).Draw(t, "groups"))
		sub.Client = rapid.SampledFrom([]string{"", "c", "alice"}).Draw(t, "client")
		f := anyFilter().Draw(t, "filter")
		for i, s := range sets {
			models[i].check(t, s, sub, f, model)
		}
	})
}

func TestEmptySets(t *testing.T) {
	for name, s := range map[string]*Set{"nil": nil, "zero": {}, "emptied": SetOf(Rule{ID: 1, Name: "a"}).With(nil, []int64{1})} {
		if _, there := s.Get(1); there || s.Len() != 0 || s.PackedByName("a") != nil {
			t.Error(name, "has something")
		}
		for range s.All(0) {
			t.Error(name, "yields something")
		}
		for range s.For(Subjects{User: "alice", Groups: []string{"a"}, Client: "c"}) {
			t.Error(name, "names somebody")
		}
		if got := s.With([]Rule{{ID: 3, Name: "b", Users: []string{"x"}}}, []int64{1, 2}); got.Len() != 1 {
			t.Error(name, "takes nothing")
		}
	}
}

func TestSpans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfDistinct(rapid.Int64Range(1, 40), func(id int64) int64 { return id }).Draw(t, "ids")
		spans := SpansOf(ids)
		var back []int64
		for i, s := range spans {
			if s.Last < s.First || i > 0 && s.First <= spans[i-1].Last+1 {
				t.Fatalf("%v", spans)
			}
			for id := s.First; id <= s.Last; id++ {
				back = append(back, id)
			}
		}
		slices.Sort(ids)
		if !slices.Equal(back, ids) {
			t.Fatalf("%v is written as %v", ids, spans)
		}
	})
}

// TestReadersOfOldSets reads sets while others are made from them.
func TestReadersOfOldSets(t *testing.T) {
	base := SetOf(some(2000)...)
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			s := base
			for round := range 20 {
				if n%2 == 0 {
					s = s.With([]Rule{{ID: int64(10_000 + round), Name: fmt.Sprint("new ", round), Groups: []string{"all"}}}, []int64{int64(round + 1)})
				}
				got := 0
				for range base.For(Subjects{Groups: []string{"all"}}) {
					got++
				}
				if got != 2000 || base.Len() != 2000 {
					t.Errorf("%d of 2000", got)
				}
			}
		})
	}
	wg.Wait()
}

// some are typical rules: one in a group that all name, one user each, an entity
// with six properties, a relationship, two conditions.
func some(n int) []Rule {
	all := make([]Rule, n)
	for i := range all {
		all[i] = typical(i)
	}
	return all
}

func typical(i int) Rule {
	return Rule{
		ID: int64(i + 1), Name: fmt.Sprintf("loader/benchmark-department-%07d", i), Active: true,
		Users: []string{fmt.Sprintf("user-%06d@example.org", i%300_000)}, Groups: []string{"all", fmt.Sprintf("/departments/d%04d", i%5000)},
		Entities:      []EntityGrant{{ID(414 + i%50), []ID{5303, 5296, 5301, 5299, 5300, 5302}}},
		Relationships: []ID{415}, Conditions: []Condition{{5303, fmt.Sprint(2500 + i%1000)}, {5296, "Test"}}, Functions: []ID{12},
		Creator:   Creator{"https://keycloak.example.org/realms/muster", "7d0f2c0e-5f0b-4f39-9a3e-0a4b8f0f3a11", "nightly"},
		CreatedBy: "service-account-loader", Run: "0198c0de-7c1a-7d5e-8000-000000000001", CreatedAt: noon, UpdatedAt: noon, Revision: 12345,
	}
}

const million = 1_000_000

// packedMillion packs a million rules without keeping them unpacked.
func packedMillion() []*Packed {
	all := make([]*Packed, million)
	for i := range all {
		r := typical(i)
		all[i] = Pack(&r)
	}
	return all
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemoryOfAMillion holds the bound of 600 bytes a rule, indexes included, and
// that a change costs by its own size, though one group has all million rules.
func TestMemoryOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a gigabyte")
	}
	before := heap()
	s := (*Set)(nil).WithPacked(packedMillion(), nil)
	each := float64(heap()-before) / million
	t.Logf("%.0f bytes a rule, with three subjects each", each)
	if each > 600 {
		t.Errorf("%.0f bytes a rule; the bound is 600", each)
	}
	changeCosts(t, s)
	// What many small changes leave must not be larger either.
	for round := range 250 {
		var put []Rule
		var gone []int64
		for i := range 20 {
			r := typical((round*7919 + i*50021) % million)
			gone = append(gone, r.ID)
			r.ID = int64(million + 1 + round*20 + i)
			put = append(put, r)
		}
		s = s.With(put, gone)
	}
	each = float64(heap()-before) / float64(s.Len())
	t.Logf("%.0f bytes a rule after 5,000 were replaced, %d rules", each, s.Len())
	if each > 600 {
		t.Errorf("%.0f bytes a rule after changes; the bound is 600", each)
	}
	runtime.KeepAlive(s)
}

// changeCosts counts what changes allocate, beside the same in a small set.
func changeCosts(t *testing.T, s *Set) {
	t.Helper()
	small := SetOf(some(1000)...)
	for name, change := range map[string]func(s *Set) *Set{
		"replace one": func(s *Set) *Set { r := typical(500); r.Active = false; return s.With([]Rule{r}, nil) },
		"add one":     func(s *Set) *Set { return s.With([]Rule{typical(2 * million)}, nil) },
		"remove one":  func(s *Set) *Set { return s.With(nil, []int64{500}) },
	} {
		large, little := allocated(func() { change(s) }), allocated(func() { change(small) })
		t.Logf("%s: %d bytes in a million, %d in a thousand", name, large, little)
		// A path of each of five trees, which have four levels instead of two.
		if large > 100_000 || large > 8*little {
			t.Errorf("%s allocates %d bytes in a million rules, %d in a thousand", name, large, little)
		}
	}
}

func allocated(do func()) uint64 {
	const times = 20
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	for range times {
		do()
	}
	runtime.ReadMemStats(&b)
	return (b.TotalAlloc - a.TotalAlloc) / times
}

func BenchmarkSet(b *testing.B) {
	all := packedMillion()
	s := (*Set)(nil).WithPacked(all, nil)
	b.Run("build a million", func(b *testing.B) {
		for b.Loop() {
			(*Set)(nil).WithPacked(all, nil)
		}
	})
	b.Run("replace one of a million", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			s.WithPacked([]*Packed{all[n%million]}, nil)
		}
	})
	b.Run("rules of one user", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			for range s.For(Subjects{User: fmt.Sprintf("user-%06d@example.org", n%300_000)}) {
			}
		}
	})
	b.Run("orphans of a million", func(b *testing.B) {
		m := &Model{}
		for b.Loop() {
			for range s.Select(m, Filter{State: StateOrphaned}, 0) {
			}
		}
	})
}
