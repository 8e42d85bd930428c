package access

import (
	"runtime"
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
