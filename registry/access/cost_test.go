package access

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func small() *town { return newTown(20_000, 2000, 300) }

// A check allocates nothing, whatever the sizes of what it compares: few grants or
// all groups' on the resource, a user in few groups or in all.
func TestAllowsDoesNotAllocate(t *testing.T) {
	town := small()
	s := (*Set)(nil).With(town.people()).With(town.rights())
	busy := townUser(0)
	d := &Delta{}
	for n := range town.groups {
		d.Members = append(d.Members, Member{MemberKey: MemberKey{busy, townGroup(n), SourceSync}})
	}
	s = s.With(d)
	qs := town.questions(1000, s)
	for i := range qs {
		switch i % 5 {
		case 1:
			qs[i].typ, qs[i].id = "dataset", everybodys
		case 2:
			qs[i].who.User = &User{ID: busy}
		case 3:
			qs[i].who.User, qs[i].typ, qs[i].id = &User{ID: busy}, "dataset", everybodys
		}
	}
	now, yes := time.Now(), 0
	if n := testing.AllocsPerRun(3, func() {
		for i := range qs {
			q := &qs[i]
			if s.IsAdmin(&q.who) || s.Allows(&q.who, q.typ, q.id, true, now) {
				yes++
			}
			s.UserOf("https://id.example.org/realms/muster", q.id)
			s.User(q.who.User.ID)
			s.GroupByName(q.who.Named[0])
			s.TokenByDigest([32]byte{byte(i)})
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d checks", n, len(qs))
	}
	if yes == 0 || yes == 4*len(qs) {
		t.Errorf("%d of %d are allowed", yes, 4*len(qs))
	}
}

// allocated is how many bytes a change of a set copies.
func allocated(s *Set, d *Delta) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	next := s.With(d)
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(next)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// A change costs what it changes: of one row hardly more in a set twenty times as
// large, and that of a group by its members and grants.
func TestChangesCostInProportion(t *testing.T) {
	few, lots := newTown(5000, 500, 100), newTown(100_000, 10_000, 2000)
	sets := map[*town]*Set{}
	for _, at := range []*town{few, lots} {
		sets[at] = (*Set)(nil).With(at.people()).With(at.rights())
	}
	for n, what := range []string{"a member", "a grant"} {
		a, b := allocated(sets[few], few.row(n)), allocated(sets[lots], lots.row(n))
		t.Logf("%s: %d bytes of few, %d of many", what, a, b)
		if b > 3*a || b > 32<<10 {
			t.Errorf("%s copies %d bytes, and %d in a set twenty times as large", what, a, b)
		}
	}
	crowd := &Delta{Groups: []Group{{ID: numberedID(8, 1), Name: "crowd"}}}
	for n := range 1000 {
		typ, id := lots.resource(n)
		crowd.Members = append(crowd.Members, Member{MemberKey: MemberKey{townUser(n), numberedID(8, 1), SourceAdmin}})
		crowd.Grants = append(crowd.Grants, Grant{ID: numberedID(7, n), Group: numberedID(8, 1), Type: typ, Resource: id})
	}
	s := sets[lots].With(crowd)
	gone := &Delta{GoneGroups: []ID{numberedID(8, 1)}}
	row := allocated(sets[lots], lots.row(1))
	if got := allocated(s, gone); got > 2000*row {
		t.Errorf("the deletion of a group with 1,000 members and 1,000 grants copies %d bytes, one row %d", got, row)
	}
	if after := s.With(gone); after.GrantTotal() != sets[lots].GrantTotal() || after.MemberTotal() != sets[lots].MemberTotal() {
		t.Errorf("%d grants and %d members are left", after.GrantTotal(), after.MemberTotal())
	}
}

// A grant takes no more memory than is stated.
func TestMemory(t *testing.T) {
	town := newTown(100_000, 1000, 1000)
	members := (*Set)(nil).With(town.people())
	before := heap()
	s := members.With(town.rights()) // whose texts are the set's, and are counted
	perGrant := (heap() - before) / town.grants
	var front Front
	front.Follow(s)
	inFront, tables := 0, front.tables.Load()
	for _, f := range []*flat{tables.people, tables.resources, tables.links, tables.names} {
		inFront += 8 * len(f.words) / town.grants // of which the heap has no part
	}
	t.Logf("%d bytes a grant, and %d in front", perGrant, inFront)
	if perGrant > 400 || inFront > 200 || inFront == 0 {
		t.Errorf("%d bytes a grant, and %d in front", perGrant, inFront)
	}
	runtime.KeepAlive(&front)
	runtime.KeepAlive(s)
	runtime.KeepAlive(members)
}

// Readers see whole sets while changes are made from several at once.
func TestReadersUnderChanges(t *testing.T) {
	town := small()
	var current atomic.Pointer[Set]
	first := (*Set)(nil).With(town.people()).With(town.rights())
	current.Store(first)
	qs := town.questions(500, first)
	key := MemberKey{townUser(1), townGroup(1), SourceBreakGlass}
	grant := Grant{ID: townGrant(town.grants + 1), Group: townGroup(1), Type: "worker", Resource: "only this one"}
	there := &Delta{Members: []Member{{MemberKey: key}}, Grants: []Grant{grant}}
	gone := &Delta{GoneMembers: []MemberKey{key}, GoneGrants: []ID{grant.ID}}
	var readers, writers sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		readers.Go(func() {
			who := &Who{User: &User{ID: key.User}}
			for i := 0; !stop.Load(); i++ {
				s, q := current.Load(), &qs[i%len(qs)]
				s.Allows(&q.who, q.typ, q.id, true, time.Now())
				if s.Allows(who, "worker", grant.Resource, false, time.Now()) != (s.Member(key) != nil) {
					t.Error("a membership came without the grant that came with it")
					return
				}
			}
		})
	}
	for n := range 2 {
		writers.Go(func() {
			for i := range 300 {
				from := current.Load() // both make sets of the same one at times
				next := from.With(town.row(2*i + n))
				if i%2 == 0 {
					next = next.With(there)
				} else {
					next = next.With(gone)
				}
				current.CompareAndSwap(from, next)
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}
