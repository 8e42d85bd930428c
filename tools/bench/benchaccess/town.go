package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// town is a made-up organisation: users in up to 20 groups each, by all sources,
// and as many grants for each group on random resources, two or three on each; one
// in ten ends, half of those a day ago, and one resource is everybody's. It draws the
// same each time it is made.
type town struct {
	grants, users, groups int
	// began is when it was made, from which grants end.
	began time.Time
	rnd   *rand.Rand
}

func newTown(grants, users, groups int) *town {
	return &town{grants: grants, users: users, groups: groups, began: time.Now(), rnd: rand.New(rand.NewPCG(1, 2))}
}

// question is one check, with its answer.
type question struct {
	who     access.Who
	typ, id string
	allowed bool
	// stored is the answer without the groups that the token names, and with all
	// memberships: what statements are asked.
	stored bool
}

// numbered is the nth id of a kind, shaped as a UUIDv7 of its own millisecond.
func numbered(kind byte, n int) access.ID {
	var id access.ID
	rnd := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	binary.BigEndian.PutUint64(id[:], uint64(1_700_000_000_000+n)<<16)
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func groupName(n int) string { return fmt.Sprintf("/departments/group %06d", n) }

// everybodys is the resource that every group has a grant on.
const everybodys = "shared.calendar"

// resources is how many others there are.
func (t *town) resources() int { return t.grants * 2 / 5 }

// resource is the name of the nth one; half of them are workers.
func resource(n int) (typ, id string) {
	if n%2 == 0 {
		return "worker", numbered('r', n).String()
	}
	return "dataset", fmt.Sprintf("warehouse_%d.table_%07d", n%7, n)
}

// people are the users and groups, with what they are members of.
func (t *town) people() *access.Delta {
	d := &access.Delta{Groups: []access.Group{
		{ID: numbered('s', 1), Name: access.Admin, System: true}, {ID: numbered('s', 2), Name: access.Everyone, System: true},
	}}
	for n := range t.groups {
		d.Groups = append(d.Groups, access.Group{ID: numbered('g', n), Name: groupName(n), CreatedBy: "admin", CreatedAt: t.began})
	}
	for n := range t.users {
		name := fmt.Sprintf("user%06d", n)
		d.Users = append(d.Users, access.User{
			ID: numbered('u', n), Issuer: "https://id.example.org/realms/muster", Subject: numbered('n', n).String(),
			Username: name, Email: name + "@example.org", Active: true,
		})
		const most = 20
		for _, g := range t.some(t.rnd.IntN(most+1), t.groups) {
			k := access.MemberKey{User: numbered('u', n), Group: numbered('g', g), Source: access.Sources()[t.rnd.IntN(len(access.Sources()))]}
			d.Members = append(d.Members, access.Member{MemberKey: k, AddedAt: t.began, AddedBy: "admin"})
		}
	}
	return d
}

// rights are the grants. No resource has two of one group, which nobody would take.
func (t *town) rights() *access.Delta {
	d := &access.Delta{}
	add := func(group int, typ, id string, ends time.Time) {
		d.Grants = append(d.Grants, access.Grant{
			ID: numbered('p', len(d.Grants)), Group: numbered('g', group), Type: typ, Resource: id,
			AssignedAt: t.began, AssignedBy: "admin", Expires: ends,
		})
	}
	for group := range t.groups {
		for _, r := range t.some(t.perGroup()-1, t.resources()) {
			typ, id := resource(r)
			var ends time.Time
			if n := len(d.Grants); n%10 == 0 {
				ends = t.began.Add(time.Duration(1-n%20/10*2) * 24 * time.Hour)
			}
			add(group, typ, id, ends)
		}
		add(group, "dataset", everybodys, time.Time{})
	}
	return d
}

func (t *town) perGroup() int { return t.grants / t.groups }

// some are distinct numbers below a bound, as many as there are.
func (t *town) some(n, below int) []int {
	n = min(n, below)
	seen, all := make(map[int]bool, n), make([]int, 0, n)
	for len(all) < n {
		if i := t.rnd.IntN(below); !seen[i] {
			seen[i] = true
			all = append(all, i)
		}
	}
	return all
}

// book is who may what, by walking over all rows.
type book struct {
	sources map[access.ID]map[access.ID]access.Source // of a user, by group
	called  map[string]access.ID
	grants  map[[2]string][]*access.Grant
	began   time.Time
}

func newBook(t *town, people, rights *access.Delta) *book {
	b := &book{map[access.ID]map[access.ID]access.Source{}, map[string]access.ID{}, map[[2]string][]*access.Grant{}, t.began}
	for _, g := range people.Groups {
		b.called[g.Name] = g.ID
	}
	for _, m := range people.Members {
		if b.sources[m.User] == nil {
			b.sources[m.User] = map[access.ID]access.Source{}
		}
		b.sources[m.User][m.Group] = m.Source
	}
	for i := range rights.Grants {
		g := &rights.Grants[i]
		b.grants[[2]string{g.Type, g.Resource}] = append(b.grants[[2]string{g.Type, g.Resource}], g)
	}
	return b
}

// answer fills in what is to be answered.
func (b *book) answer(q *question) {
	in := b.sources[q.who.User.ID]
	named := map[access.ID]bool{}
	for _, name := range q.who.Named {
		named[b.called[name]] = true
	}
	for _, g := range b.grants[[2]string{q.typ, q.id}] {
		if !g.InForce(b.began) {
			continue
		}
		source, member := in[g.Group]
		q.stored = q.stored || member
		q.allowed = q.allowed || named[g.Group] || member && (q.who.Sync || source != access.SourceSync)
	}
}

// questions are about random users and random resources, every other one about some
// that one of the user's groups has a grant on. The texts are their own, not those
// of rows.
func (t *town) questions(n int, people, rights *access.Delta) []question {
	const names = 5 // in a token
	b := newBook(t, people, rights)
	all := make([]question, n)
	for i := range all {
		q := &all[i]
		m := people.Members[t.rnd.IntN(len(people.Members))]
		q.who.User, q.who.Sync = &access.User{ID: m.User}, i%4 == 0
		for range names {
			q.who.Named = append(q.who.Named, groupName(t.rnd.IntN(t.groups)))
		}
		q.typ, q.id = resource(t.rnd.IntN(t.resources()))
		if i%2 == 0 {
			group := int(binary.BigEndian.Uint64(m.Group[:8])>>16) - 1_700_000_000_000
			g := &rights.Grants[group*t.perGroup()+t.rnd.IntN(t.perGroup())]
			q.typ, q.id = g.Type, strings.Clone(g.Resource)
		}
		b.answer(q)
	}
	return all
}

// row is the nth of changes of one row: a new member and a new grant, and both taken
// back. What a question is about is none of it: the groups have no other members and
// no other grants.
func (t *town) row(n int) *access.Delta {
	round := n / changesAround
	key := access.MemberKey{User: numbered('u', round%t.users), Group: numbered('x', round%newcomers), Source: access.SourceAdmin}
	typ, id := resource(round % t.resources())
	grant := access.Grant{ID: numbered('y', round), Group: numbered('x', (round+1)%newcomers), Type: typ, Resource: id}
	switch n % changesAround {
	case 0:
		return &access.Delta{Members: []access.Member{{MemberKey: key}}}
	case 1:
		return &access.Delta{Grants: []access.Grant{grant}}
	case 2:
		return &access.Delta{GoneMembers: []access.MemberKey{key}}
	default:
		return &access.Delta{GoneGrants: []access.ID{grant.ID}}
	}
}

// changesAround are the changes of row until all is as before, newcomers the groups
// that they are about.
const (
	changesAround = 4
	newcomers     = 100
)

// strangers are the groups of row.
func strangers() *access.Delta {
	d := &access.Delta{}
	for n := range newcomers {
		d.Groups = append(d.Groups, access.Group{ID: numbered('x', n), Name: fmt.Sprint("newcomer ", n)})
	}
	return d
}
