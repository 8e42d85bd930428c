package storetest

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

func testAccessDeletions(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	member, grant, token := memberOf(1, 1, access.SourceAdmin), grantOf(1, 1), tokenOf(1, 1)
	kept := access.Delta{Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1)}}
	applyAccess(t, s, kept)                                                                                                                       // 1
	rows := access.Delta{Members: []access.Member{member}, Grants: []access.Grant{grant}, Tokens: []access.Token{token}}                          //
	applyAccess(t, s, rows)                                                                                                                       // 2
	gone := access.Delta{GoneMembers: []access.MemberKey{member.MemberKey}, GoneGrants: []access.ID{grant.ID}, GoneTokens: []access.ID{token.ID}} //
	applyAccess(t, s, gone)                                                                                                                       // 3
	wantAccess(t, s, 0, kept)
	wantAccess(t, s, 1, gone)
	wantAccess(t, s, 2, gone)
	wantAccess(t, s, 3, access.Delta{})
	// What is gone already goes again without harm.
	applyAccess(t, s, gone) // 4
	wantAccess(t, s, 3, gone)
	member.AddedBy = "bob"
	rows.Members = []access.Member{member}
	applyAccess(t, s, rows) // 5: all back again, so no longer gone
	wantAccess(t, s, 2, rows)
	wantAccess(t, s, 4, rows)
	// A worker of the same name as a record of access is another thing.
	insert(t, s, Worker(1)) // 6
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(1)) })
	if c := load(t, s, 6); c.Access != nil || len(c.Deleted) != 1 {
		t.Errorf("%+v", c)
	}
	applyAccess(t, s, access.Delta{GoneUsers: []access.ID{accessID('u', 1)}, GoneGroups: []access.ID{accessID('g', 1)}})
	if c := load(t, s, 7); c.Full || len(c.Deleted) != 0 || len(c.Access.GoneUsers) != 1 || len(c.Access.GoneGroups) != 1 {
		t.Errorf("%+v", c)
	}
	wantAccess(t, s, 0, access.Delta{})
}

func testAccessForgotten(t *testing.T, b Backend) {
	s := opened(t, at(b.Place(t), b.Forgetful))
	applyAccess(t, s, access.Delta{Groups: []access.Group{groupOf(1), groupOf(2)}}) // 1
	applyAccess(t, s, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})      // 2
	for range Remembered {
		insert(t, s)
	}
	wantAccess(t, s, 1, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})
	applyAccess(t, s, access.Delta{Groups: []access.Group{groupOf(3)}})
	if c := load(t, s, 1); !c.Full || len(c.Access.Groups) != 2 {
		t.Errorf("a deletion is lost to who was away: %+v", c)
	}
}

// testGroupBack puts a group again that was removed with its members and grants:
// who was away in between has to hear that those are gone.
func testGroupBack(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	applyAccess(t, s, access.Delta{
		Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1)},
		Members: []access.Member{memberOf(1, 1, access.SourceAdmin)}, Grants: []access.Grant{grantOf(1, 1)},
	})
	applyAccess(t, s, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}})
	applyAccess(t, s, access.Delta{Groups: []access.Group{groupOf(1)}})
	wantAccess(t, s, 1, access.Delta{GoneGroups: []access.ID{accessID('g', 1)}, Groups: []access.Group{groupOf(1)}})
	wantAccess(t, s, 2, access.Delta{Groups: []access.Group{groupOf(1)}})
}

// testManyGrants stores, loads and removes more rows than one statement takes.
func testManyGrants(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	const n = 50_003
	d := access.Delta{Users: []access.User{userOf(1)}, Groups: []access.Group{groupOf(1), groupOf(2)}}
	for i := range n {
		d.Grants = append(d.Grants, grantOf(i, 1+i%2))
		d.Users = append(d.Users, userOf(2+i))
		d.Members = append(d.Members, memberOf(2+i, 1+i%2, access.SourceAdmin))
	}
	applyAccess(t, s, d)
	wantAccess(t, s, 0, d)
	some := access.Delta{}
	for i := range n / 2 {
		some.GoneGrants = append(some.GoneGrants, accessID('r', i))
		some.GoneMembers = append(some.GoneMembers, memberOf(2+i, 1+i%2, access.SourceAdmin).MemberKey)
	}
	applyAccess(t, s, some)
	wantAccess(t, s, 1, some)
	d.Grants, d.Members = d.Grants[n/2:], d.Members[n/2:]
	wantAccess(t, s, 0, d)
}

// accessModel is what a store is to hold, by keys as text.
type accessModel struct {
	users   map[access.ID]access.User
	groups  map[access.ID]access.Group
	members map[access.MemberKey]access.Member
	grants  map[access.ID]access.Grant
	tokens  map[access.ID]access.Token
}

func newAccessModel() accessModel {
	return accessModel{
		map[access.ID]access.User{}, map[access.ID]access.Group{}, map[access.MemberKey]access.Member{},
		map[access.ID]access.Grant{}, map[access.ID]access.Token{},
	}
}

func (m accessModel) clone() accessModel {
	return accessModel{maps.Clone(m.users), maps.Clone(m.groups), maps.Clone(m.members), maps.Clone(m.grants), maps.Clone(m.tokens)}
}

// apply is what a change comes to; what is gone goes before what is put.
func (m accessModel) apply(d *access.Delta) {
	for _, id := range d.GoneGroups {
		delete(m.groups, id)
	}
	for _, id := range d.GoneUsers {
		delete(m.users, id)
	}
	without := func(group, user access.ID) bool {
		return slices.Contains(d.GoneGroups, group) || slices.Contains(d.GoneUsers, user)
	}
	maps.DeleteFunc(m.members, func(k access.MemberKey, _ access.Member) bool {
		return without(k.Group, k.User) || slices.Contains(d.GoneMembers, k)
	})
	maps.DeleteFunc(m.grants, func(id access.ID, g access.Grant) bool {
		return without(g.Group, access.ID{}) || slices.Contains(d.GoneGrants, id)
	})
	maps.DeleteFunc(m.tokens, func(id access.ID, k access.Token) bool {
		return without(access.ID{}, k.User) || slices.Contains(d.GoneTokens, id)
	})
	for _, u := range d.Users {
		m.users[u.ID] = u
	}
	for _, g := range d.Groups {
		m.groups[g.ID] = g
	}
	for _, k := range d.Members {
		m.members[k.MemberKey] = k
	}
	for _, g := range d.Grants {
		m.grants[g.ID] = g
	}
	for _, k := range d.Tokens {
		m.tokens[k.ID] = k
	}
}

// draw makes a change of the model: single puts and removals, of a small world, so
// that keys meet again.
func (m accessModel) draw(t *rapid.T) access.Delta {
	var d access.Delta
	user, group := rapid.IntRange(0, 3).Draw(t, "user"), rapid.IntRange(0, 3).Draw(t, "group")
	u, g := userOf(user), groupOf(group)
	member := memberOf(user, group, rapid.SampledFrom([]access.Source{access.SourceAdmin, access.SourceSync}).Draw(t, "source"))
	// A resource for each grant, so that nothing is unique but by its id.
	grant, token := grantOf(10*group+rapid.IntRange(0, 2).Draw(t, "grant"), group), tokenOf(10*user, user)
	version := rapid.IntRange(1, 1000).Draw(t, "version")
	_, hasUser := m.users[u.ID]
	_, hasGroup := m.groups[g.ID]
	op := rapid.IntRange(0, 11).Draw(t, "op")
	switch {
	case op == 0:
		d.GoneUsers = []access.ID{u.ID}
	case op == 1:
		d.GoneGroups = []access.ID{g.ID}
	case op == 2:
		d.GoneMembers = []access.MemberKey{member.MemberKey}
	case op == 3:
		d.GoneGrants, d.GoneTokens = []access.ID{grant.ID}, []access.ID{token.ID}
	case !hasUser || op == 4:
		u.Name, u.Revision = fmt.Sprint("name ", version), int64(version)
		d.Users = []access.User{u}
	case !hasGroup || op == 5:
		g.Description = fmt.Sprint("described ", version)
		d.Groups = []access.Group{g}
	case op < 8:
		member.AddedBy = fmt.Sprint("added ", version)
		d.Members = []access.Member{member}
	case op < 10:
		grant.AssignedBy = fmt.Sprint("assigned ", version)
		d.Grants = []access.Grant{grant}
	default:
		token.Name = fmt.Sprint("token ", version)
		d.Tokens = []access.Token{token}
	}
	return d
}

// testAccessHistories compares the store with a model, and what Load tells of any
// past revision with what really changed since.
func testAccessHistories(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	model := newAccessModel()
	past := []accessModel{model}
	rapid.Check(t, func(t *rapid.T) {
		d := model.draw(t)
		if _, err := s.Write(context.Background(), func(ctx context.Context, tx registry.Tx) error { return tx.ApplyAccess(ctx, &d) }); err != nil {
			t.Fatal(err)
		}
		model = model.clone()
		model.apply(&d)
		past = append(past, model)
		from := rapid.IntRange(0, len(past)-1).Draw(t, "from")
		c, err := s.Load(context.Background(), registry.Revision(from))
		if err != nil {
			t.Fatal(err)
		}
		got := past[from].clone()
		if c.Full {
			got = newAccessModel()
		}
		if c.Access != nil {
			got.apply(c.Access)
		}
		if !reflect.DeepEqual(got, model) {
			t.Fatalf("from revision %d by\n%+v\ncomes\n%+v, not\n%+v", from, c.Access, got, model)
		}
	})
}
