package access

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// town is a made-up organisation for measuring: users in up to 20 groups each, by
// all sources, grants of random groups on resources, two or three each on
// average, and one resource that every group has a grant on.
type town struct {
	grants, users, groups int
	rnd                   *rand.Rand
}

func newTown(grants, users, groups int) *town {
	return &town{grants, users, groups, rand.New(rand.NewPCG(1, 2))}
}

// million is the size that specs/access.md names.
func million() *town { return newTown(1_000_000, 100_000, 10_000) }

// townID is the nth id of a kind, shaped as a UUIDv7 of its own millisecond.
func townID(kind byte, n int) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:], uint64(1_700_000_000_000+n)<<16)
	rnd := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func townUser(n int) ID  { return townID(1, n) }
func townGroup(n int) ID { return townID(2, n) }
func townGrant(n int) ID { return townID(3, n) }

func townName(n int) string { return fmt.Sprintf("/departments/group %06d", n) }

// everybodys is the resource that every group has a grant on.
const everybodys = "shared.calendar"

// resource is the name of the nth resource; half of them are workers.
func (*town) resource(n int) (typ, id string) {
	if n%2 == 0 {
		return "worker", townID(4, n).String()
	}
	return "dataset", fmt.Sprintf("warehouse_%d.table_%07d", n%7, n)
}

// resources is how many there are.
func (t *town) resources() int { return t.grants * 2 / 5 }

// people are the users and groups, with what they are members of.
func (t *town) people() *Delta {
	d := &Delta{Groups: []Group{{ID: numberedID(9, 1), Name: Admin, System: true}, {ID: numberedID(9, 2), Name: Everyone, System: true}}}
	for n := range t.groups {
		d.Groups = append(d.Groups, Group{ID: townGroup(n), Name: townName(n), CreatedBy: "admin", CreatedAt: time.Now()})
	}
	for n := range t.users {
		name := fmt.Sprintf("user%06d", n)
		u := User{ID: townUser(n), Issuer: "https://id.example.org/realms/muster", Subject: townID(5, n).String(), Username: name, Email: name + "@example.org", Active: true}
		d.Users = append(d.Users, u)
		for range t.rnd.IntN(21) {
			k := MemberKey{u.ID, townGroup(t.rnd.IntN(t.groups)), Sources()[t.rnd.IntN(4)]}
			d.Members = append(d.Members, Member{MemberKey: k, AddedAt: time.Now(), AddedBy: "admin"})
		}
	}
	return d
}

// rights are the grants; one in ten has an end, half of which are over.
func (t *town) rights() *Delta {
	d := &Delta{}
	for n := range t.grants - t.groups {
		typ, id := t.resource(t.rnd.IntN(t.resources()))
		g := Grant{ID: townGrant(n), Group: townGroup(t.rnd.IntN(t.groups)), Type: typ, Resource: id, AssignedAt: time.Now(), AssignedBy: "admin"}
		if n%10 == 0 {
			g.Expires = time.Now().Add(time.Duration(1-n%20/10*2) * 24 * time.Hour)
		}
		d.Grants = append(d.Grants, g)
	}
	for n := range t.groups {
		d.Grants = append(d.Grants, Grant{ID: townGrant(t.grants - t.groups + n), Group: townGroup(n), Type: "dataset", Resource: everybodys, AssignedBy: "admin"})
	}
	return d
}

// question is one check.
type question struct {
	who     Who
	typ, id string
}

// questions are about random users and resources. What a request brings along
// lies in a row; what is known of it does not.
func (t *town) questions(n int, s *Set) []question {
	all := make([]question, n)
	for i := range all {
		q := &all[i]
		user := t.rnd.IntN(t.users)
		q.who.User, q.who.Sync = &User{ID: townUser(user)}, i%4 == 0
		for range 5 {
			q.who.Named = append(q.who.Named, townName(t.rnd.IntN(t.groups)))
		}
		q.typ, q.id = t.resource(t.rnd.IntN(t.resources()))
		if i%2 == 0 { // something that one of the user's groups can reach
			for m := range s.GroupsOf(q.who.User.ID) {
				for g := range s.GrantsOf(m.Group) {
					if t.rnd.IntN(10) == 0 {
						q.typ, q.id = g.Type, string([]byte(g.Resource))
						break
					}
				}
				if t.rnd.IntN(4) == 0 {
					break
				}
			}
		}
	}
	return all
}

// heap is how much memory is in use.
func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
