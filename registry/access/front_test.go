package access

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A front answers as walking over everything would, for the newest set and for all
// that it followed before, and is asked of most of them.
func TestFrontIsTheSpecification(t *testing.T) {
	near, far, yes := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var front Front
		states, sets, followed := []naive{newNaive()}, []*Set{nil}, []int{}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			last := len(states) - 1
			from := last
			if last > 0 && rapid.IntRange(0, 7).Draw(t, "fork") == 0 {
				from-- // what was made last is never shown to anybody
			}
			next := states[from].step(t)
			s := sets[from].With(diff(t, states[from], next))
			if from < last && len(followed) > 0 && followed[len(followed)-1] == last {
				continue // it was
			}
			states, sets = append(states, next), append(sets, s)
			if rapid.IntRange(0, 3).Draw(t, "follow") > 0 {
				front.Follow(s)
				followed = append(followed, len(sets)-1)
			}
			for _, k := range followed {
				for range 6 {
					w := &Who{Named: rapid.SliceOfN(rapid.SampledFrom(names), 0, 5).Draw(t, "named"), Sync: rapid.Bool().Draw(t, "sync")}
					user := &User{ID: userID(rapid.IntRange(0, 6).Draw(t, "who"))}
					if rapid.IntRange(0, 3).Draw(t, "stored") > 0 {
						w.User = user
					}
					typ, res := rapid.SampledFrom(types).Draw(t, "type"), rapid.SampledFrom(resources).Draw(t, "resource")
					wildcard := rapid.Bool().Draw(t, "wildcard")
					l := sets[k].Look(user, typ, res, wildcard)
					if l.near {
						near++
					} else {
						far++
					}
					via := states[k].via(w, typ, res, wildcard, epoch)
					if got := l.Allows(w, epoch); got != (len(via) > 0) {
						t.Fatalf("set %d, near %v: Allows %+v %s %s %v is %v, but there is %v", k, l.near, w, typ, res, wildcard, got, via)
					} else if got {
						yes++
					}
					if got := l.IsAdmin(w); got != states[k].isAdmin(w) {
						t.Fatalf("set %d, near %v: IsAdmin %+v is %v", k, l.near, w, got)
					}
				}
			}
		}
	})
	if near == 0 || far == 0 || yes == 0 {
		t.Errorf("%d questions were answered by the front, %d by sets, %d allowed", near, far, yes)
	}
}

// What is looked for on a front that grew is what was there, and a front of nothing
// answers for nothing.
func TestFrontGrows(t *testing.T) {
	town := newTown(4000, 300, 60)
	var front Front
	front.Follow(nil)
	s := (*Set)(nil).With(town.people())
	front.Follow(s)
	rights := town.rights()
	for from := 0; from < len(rights.Grants); from += 97 {
		s = s.With(&Delta{Grants: rights.Grants[from:min(from+97, len(rights.Grants))]})
		front.Follow(s)
	}
	plain := (*Set)(nil).With(newTown(4000, 300, 60).people()).With(s.everything())
	now, near := time.Now(), 0
	for _, q := range town.questions(20_000, s) {
		l := s.Look(q.who.User, q.typ, q.id, true)
		if l.near {
			near++
		}
		if got, want := l.Allows(&q.who, now), plain.Allows(&q.who, q.typ, q.id, true, now); got != want {
			t.Fatalf("%+v: %v, not %v", q, got, want)
		}
	}
	if near != 20_000 {
		t.Errorf("the front answered %d", near)
	}
	front.Follow(nil)
	if l := s.Look(&User{ID: townUser(1)}, "worker", "x", false); l.near {
		t.Error("a front of nothing answers")
	}
}

// everything are the grants of a set.
func (s *Set) everything() *Delta {
	d := &Delta{}
	for g := range s.GrantsAfter(ID{}) {
		d.Grants = append(d.Grants, *g)
	}
	return d
}

// Readers of a front that is written get what their own set says.
func TestFrontUnderChanges(t *testing.T) {
	town := small()
	var front Front
	var current atomic.Pointer[Set]
	publish := func(s *Set) {
		front.Follow(s)
		current.Store(s)
	}
	publish((*Set)(nil).With(town.people()).With(town.rights()))
	key := MemberKey{townUser(1), townGroup(1), SourceBreakGlass}
	grant := Grant{ID: townGrant(town.grants + 1), Group: townGroup(1), Type: "worker", Resource: "only this one"}
	all := Grant{ID: townGrant(town.grants + 2), Group: townGroup(1), Type: "worker", Resource: "*"}
	admin := MemberKey{key.User, numberedID(9, 1), SourceSeed}
	there := &Delta{Members: []Member{{MemberKey: key}}, Grants: []Grant{grant, all}, GoneMembers: []MemberKey{admin}}
	// Never are the user in the group and the grant there at once, but in there.
	apart := []*Delta{
		{GoneMembers: []MemberKey{key}}, there, {GoneGrants: []ID{grant.ID, all.ID}},
		{GoneMembers: []MemberKey{key}, Members: []Member{{MemberKey: admin}}}, {Grants: []Grant{grant, all}},
	}
	var readers sync.WaitGroup
	var stop atomic.Bool
	var near, allowed atomic.Int64
	for range 2 {
		readers.Go(func() {
			who := &Who{User: &User{ID: key.User}}
			for !stop.Load() {
				s := current.Load()
				for range 50 { // the set grows old
					l := s.Look(who.User, "worker", grant.Resource, false)
					if l.near {
						near.Add(1)
					}
					got := l.Allows(who, time.Now())
					if got {
						allowed.Add(1)
					}
					if got != (s.Member(key) != nil && s.Grant(grant.ID) != nil) {
						t.Error("the front says of a set what it does not")
						return
					}
					if s.Allows(who, "worker", "another one", true, time.Now()) != got {
						t.Error("the front says of a set and everything what it does not")
						return
					}
					if is := s.IsAdmin(who); is != (s.Member(admin) != nil) {
						t.Errorf("the front says of a set that somebody is in Admin: %v", is)
						return
					}
				}
			}
		})
	}
	for i := 0; i < 20_000 || near.Load() == 0 || allowed.Load() == 0; i++ {
		next := current.Load().With(apart[i%len(apart)])
		if i%3 == 0 {
			next = next.With(town.row(i))
		}
		publish(next)
		if i%100 == 0 {
			runtime.Gosched()
		}
	}
	stop.Store(true)
	readers.Wait()
}

// Asking a front allocates nothing, and following a change costs what was changed.
func TestFrontCosts(t *testing.T) {
	town := small()
	var front Front
	s := (*Set)(nil).With(town.people()).With(town.rights())
	front.Follow(s)
	qs := town.questions(1000, s)
	now, yes := time.Now(), 0
	if n := testing.AllocsPerRun(3, func() {
		for i := range qs {
			q := &qs[i]
			l := s.Look(q.who.User, q.typ, q.id, true)
			if !l.near {
				t.Fatal("the front is not asked")
			}
			if l.IsAdmin(&q.who) || l.Allows(&q.who, now) {
				yes++
			}
		}
	}); n != 0 || yes == 0 {
		t.Errorf("%v allocations for %d checks, of which %d are allowed", n, len(qs), yes)
	}
	before := front.tables.Load()
	for _, f := range []*flat{before.people, before.resources, before.links, before.names} {
		if !f.shared {
			t.Error("keys of a table that is read may move")
		}
	}
	var m, after runtime.MemStats
	bytes := uint64(0)
	for n := range 400 {
		s = s.With(town.row(n))
		runtime.ReadMemStats(&m)
		front.Follow(s)
		runtime.ReadMemStats(&after)
		bytes += after.TotalAlloc - m.TotalAlloc
	}
	if front.tables.Load() != before || bytes > 400*2000 {
		t.Errorf("400 rows took %d bytes, and new tables: %v", bytes, front.tables.Load() != before)
	}
}

// Grants that end are followed too: given, put off, made endless, over, taken back.
func TestFrontFollowsEnds(t *testing.T) {
	var front Front
	s := inGroups(1, SourceAdmin)
	front.Follow(s)
	look := func() bool {
		t.Helper()
		l := s.Look(&User{ID: userID(1)}, "worker", "w", false)
		if !l.near {
			t.Fatal("the front is not asked")
		}
		return l.Allows(stored(1), epoch)
	}
	for i, end := range []time.Duration{time.Hour, -time.Hour, 2 * time.Hour, 0, time.Hour, -1, 1, time.Minute} {
		g := Grant{ID: grantID(7), Group: groupID(0), Type: "worker", Resource: "w"}
		if end != 0 {
			g.Expires = epoch.Add(end)
		}
		s = s.With(&Delta{Grants: []Grant{g}})
		front.Follow(s)
		if look() != (end >= 0) {
			t.Errorf("%d: an end after %s", i, end)
		}
	}
	for _, c := range []struct {
		end  time.Time
		want bool
	}{{time.Unix(-5, 0), false}, {time.Unix(0, 0), false}, {time.Unix(1<<32+5, 0), true}, {time.Unix(1<<32-1, 0), true}, {time.Unix(1, 0), false}} {
		s = s.With(&Delta{Grants: []Grant{{ID: grantID(7), Group: groupID(0), Type: "worker", Resource: "w", Expires: c.end}}})
		front.Follow(s)
		if look() != c.want {
			t.Errorf("an end at %s", c.end)
		}
	}
	s = s.With(&Delta{GoneGrants: []ID{grantID(7)}})
	front.Follow(s)
	if look() {
		t.Error("a grant that is gone")
	}
}

// A front whose tables were made of a set does not know what was gone before: those
// who ask for an older one are answered by that.
func TestFrontOfAnOlderSet(t *testing.T) {
	var front Front
	old := inGroups(1, SourceAdmin).With(&Delta{Grants: []Grant{{ID: grantID(7), Group: groupID(0), Type: "worker", Resource: "w"}}})
	front.Follow(old)
	gone := &Delta{GoneUsers: []ID{userID(1)}, GoneGrants: []ID{grantID(7)}}
	for i := range 2 * maxTouched { // all is made anew
		gone.Users = append(gone.Users, User{ID: userID(10 + i), Active: true})
	}
	before := front.tables.Load()
	front.Follow(old.With(gone))
	if front.tables.Load() == before {
		t.Fatal("the tables are those of before")
	}
	l, admin := old.Look(&User{ID: userID(1)}, "worker", "w", false), old.LookFor(&User{ID: userID(1)})
	if !l.Allows(stored(1), epoch) || l.near || admin.near {
		t.Errorf("near %v and %v, allowed %v", l.near, admin.near, l.Allows(stored(1), epoch))
	}
}
