package access

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkAllows asks about random users and random resources, with nothing of
// them in the processor's caches. "map" is the floor: as many look-ups in Go's
// own map, of a resource's name and of a user's id, with values of the same size
// and nothing decided.
func BenchmarkAllows(b *testing.B) {
	t := million()
	s := (*Set)(nil).With(t.people()).With(t.rights())
	asked := t.questions(1<<17, s)
	now := time.Now()
	kinds := []struct {
		name string
		edit func(q question) question
	}{
		{"mixed", func(q question) question { return q }},
		{"wildcard", func(q question) question { return q }},
		{"unknown resource", func(q question) question { q.id += "?"; return q }},
		{"groups of the token only", func(q question) question { q.who.User = nil; return q }},
		{"10,000 grants on it", func(q question) question { q.typ, q.id = "dataset", everybodys; q.who.Named = nil; return q }},
	}
	for _, k := range kinds {
		qs := make([]question, len(asked))
		for i := range asked {
			qs[i] = k.edit(asked[i])
		}
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			yes, i := 0, 0
			for b.Loop() {
				q := &qs[i&(len(qs)-1)]
				if s.Allows(&q.who, q.typ, q.id, k.name == "wildcard", now) {
					yes++
				}
				i++
			}
			b.ReportMetric(float64(yes)/float64(b.N), "allowed/op")
		})
	}
	b.Run("admin", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if s.IsAdmin(&asked[i&(len(asked)-1)].who) {
				b.Fatal("nobody is in Admin here")
			}
			i++
		}
	})
	benchMap(b, t, asked)
}

// floor is what cannot be done without: Go's own maps find a resource and a user.
type floor struct {
	resources map[resourceKey]*[144]byte
	users     map[ID]*[144]byte
}

func newFloor(t *town) floor {
	f := floor{map[resourceKey]*[144]byte{}, map[ID]*[144]byte{}}
	for n := range t.resources() {
		typ, id := t.resource(n)
		f.resources[resourceKey{typ, id}] = new([144]byte)
	}
	for n := range t.users {
		f.users[townUser(n)] = new([144]byte)
	}
	return f
}

func (f floor) ask(q *question) int {
	sum := int(f.users[q.who.User.ID][0])
	if r := f.resources[resourceKey{q.typ, q.id}]; r != nil {
		sum += int(r[0])
	}
	return sum
}

func benchMap(b *testing.B, t *town, asked []question) {
	f := newFloor(t)
	b.Run("map", func(b *testing.B) {
		sum, i := 0, 0
		for b.Loop() {
			sum += f.ask(&asked[i&(len(asked)-1)])
			i++
		}
		if sum != 0 {
			b.Fatal(sum)
		}
	})
}

// BenchmarkAllowsUnderChanges measures single checks while a thousand changes a
// second are made and published, in turn with the floor of BenchmarkAllows: all
// questions to the one, then all to the other, so that neither has the caches from
// the other. Every number has two readings of the clock in it, whose median is told.
func BenchmarkAllowsUnderChanges(b *testing.B) {
	t := million()
	var current atomic.Pointer[Set]
	var front Front
	publish := func(s *Set) {
		front.Follow(s)
		current.Store(s)
	}
	publish((*Set)(nil).With(t.people()).With(t.rights()))
	asked := t.questions(1<<17, current.Load())
	floor := newFloor(t)
	stop, done := make(chan struct{}), make(chan int)
	go func() { done <- t.churn(&current, publish, stop) }()
	touched, i, began := 0, 0, time.Now()
	ways := []struct {
		name string
		ask  func(q *question)
		took []time.Duration
	}{
		{name: "", ask: func(q *question) {
			l := current.Load().Look(q.who.User, q.typ, q.id, true)
			if l.IsAdmin(&q.who) || l.Allows(&q.who, began) {
				touched++
			}
		}},
		{name: "map-", ask: func(q *question) { touched += floor.ask(q) }},
	}
	const most = 1 << 22
	for b.Loop() {
		w := &ways[i/len(asked)%len(ways)]
		q := &asked[i&(len(asked)-1)]
		touched += q.touch()
		start := time.Now()
		w.ask(q)
		if took := time.Since(start); len(w.took) < most {
			w.took = append(w.took, took)
		}
		i++
	}
	ran := time.Since(began)
	close(stop)
	changes := <-done
	for _, w := range ways {
		if slices.Sort(w.took); len(w.took) == 0 {
			continue // the first round asks once
		}
		for name, share := range map[string]float64{"p5-ns": 0.05, "p50-ns": 0.5, "p99-ns": 0.99} {
			b.ReportMetric(float64(w.took[int(share*float64(len(w.took)-1))]), w.name+name)
		}
	}
	b.ReportMetric(clock(), "clock-ns")
	b.ReportMetric(float64(changes)/ran.Seconds(), "changes/s")
	if touched == 0 {
		b.Fatal("nothing was asked")
	}
}

// touch reads what a request has just read itself: texts from their beginning to
// their end.
func (q *question) touch() int {
	sum := int(q.who.User.ID[0]) + int(q.typ[0]) + int(q.id[0]) + int(q.id[len(q.id)-1])
	for _, name := range q.who.Named {
		sum += int(name[0]) + int(name[len(name)-1])
	}
	return sum
}

// clock is what reading the clock twice takes.
func clock() float64 {
	took := make([]time.Duration, 10_001)
	for i := range took {
		start := time.Now()
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return float64(took[len(took)/2])
}

// churn changes memberships and grants a thousand times a second, and tells how
// often it did.
func (t *town) churn(current *atomic.Pointer[Set], publish func(*Set), stop <-chan struct{}) int {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-stop:
			return n
		case <-tick.C:
		}
		for due := int(time.Since(began).Milliseconds()); n < due; n++ {
			publish(current.Load().With(t.row(n)))
		}
	}
}

// row is a change of one row: a new grant and its end, a new member and theirs.
func (t *town) row(n int) *Delta {
	key := MemberKey{townUser(n % t.users), townGroup(n % t.groups), SourceAdmin}
	typ, id := t.resource(n / 4 % t.resources())
	grant := Grant{ID: townGrant(t.grants + n/4), Group: townGroup(n / 4 % t.groups), Type: typ, Resource: id}
	switch n % 4 {
	case 0:
		return &Delta{Members: []Member{{MemberKey: key}}}
	case 1:
		return &Delta{Grants: []Grant{grant}}
	case 2:
		return &Delta{GoneMembers: []MemberKey{{townUser((n - 2) % t.users), townGroup((n - 2) % t.groups), SourceAdmin}}}
	default:
		return &Delta{GoneGrants: []ID{grant.ID}}
	}
}

// BenchmarkWith is a change of one row, among ten thousand grants and among a
// million, and the making of the whole set.
func BenchmarkWith(b *testing.B) {
	for _, t := range []*town{newTown(10_000, 1000, 100), million()} {
		before := heap()
		members := (*Set)(nil).With(t.people()) // whose texts are the set's, and are counted
		between := heap()
		s := members.With(t.rights())
		perGrant, perMember := float64(heap()-between)/float64(s.GrantTotal()), float64(between-before)/float64(members.MemberTotal())
		b.Run(sizeOf(t)+"/row", func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				s = s.With(t.row(n))
				n++
			}
			b.ReportMetric(perGrant, "B/grant")
			b.ReportMetric(perMember, "B/member+user")
		})
		b.Run(sizeOf(t)+"/everything", func(b *testing.B) {
			b.ReportAllocs()
			people, rights := t.people(), t.rights()
			for b.Loop() {
				(*Set)(nil).With(people).With(rights)
			}
		})
		runtime.KeepAlive(s)
	}
}

func sizeOf(t *town) string {
	if t.grants >= 1_000_000 {
		return "1,000,000 grants"
	}
	return "10,000 grants"
}
