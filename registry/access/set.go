package access

import (
	"iter"
	"slices"
	"sync/atomic"
)

// Set is an immutable set of users, groups, memberships, grants and tokens. With
// makes another one that shares what is the same, so a change costs in proportion
// to the change. Reading takes no lock; what is returned must not be written. The
// zero value and nil are empty sets.
type Set struct {
	people    table[ID, *person]
	bodies    table[ID, *body]
	resources table[resourceKey, *resource]
	bound     table[subjectKey, boundItem]
	names     table[string, nameItem]
	tokens    table[ID, tokenItem]
	digests   table[[32]byte, digestItem]

	users  list[userItem]
	emails list[emailItem]
	groups list[groupItem]
	grants list[grantItem]

	// wild are the resources "*", which checks ask for beside others.
	wild []wildcard

	// id tells sets apart, since is how this one was made of others, and front
	// answers checks while it speaks for this set.
	id    uint64
	since atomic.Pointer[step]
	front atomic.Pointer[Front]

	members int
	// admin and everyone are the system groups, their Group nil while there are
	// none.
	admin, everyone nameItem
	// numbered is how many numbers of groups were ever given, free are those that
	// were given back.
	numbered uint32
	free     *numbers
}

// UserCount is how many users there are.
func (s *Set) UserCount() int {
	if s == nil {
		return 0
	}
	return s.people.values
}

// GroupCount is how many groups there are.
func (s *Set) GroupCount() int {
	if s == nil {
		return 0
	}
	return s.bodies.values
}

// MemberTotal is how many memberships there are, of all groups and sources.
func (s *Set) MemberTotal() int {
	if s == nil {
		return 0
	}
	return s.members
}

// GrantTotal is how many grants there are.
func (s *Set) GrantTotal() int {
	if s == nil {
		return 0
	}
	return s.grants.len()
}

// TokenCount is how many tokens there are.
func (s *Set) TokenCount() int {
	if s == nil {
		return 0
	}
	return s.tokens.values
}

// User returns the user with this id, or nil.
func (s *Set) User(id ID) *User {
	if p := s.person(id); p != nil {
		return p.user
	}
	return nil
}

func (s *Set) person(id ID) *person {
	if s == nil {
		return nil
	}
	p, _ := s.people.get(id)
	return p
}

// UserOf returns the user that tokens of this issuer call by this subject, or nil.
func (s *Set) UserOf(issuer, subject string) *User {
	if s == nil {
		return nil
	}
	b, _ := s.bound.get(subjectKey{issuer, subject})
	return b.User
}

// UnboundByEmail returns the user with this folded e-mail address whom no token
// has bound yet, or nil.
func (s *Set) UnboundByEmail(folded string) *User {
	for u := range s.UsersByEmail(folded) {
		if !u.Bound() {
			return u
		}
	}
	return nil
}

// UsersByEmail yields the users with this folded e-mail address, by id. None has
// the empty one.
func (s *Set) UsersByEmail(folded string) iter.Seq[*User] {
	return func(yield func(*User) bool) {
		if s == nil || folded == "" {
			return
		}
		for e := range s.emails.from(emailItem{folded, &User{}}) {
			if e.folded != folded || !yield(e.User) {
				return
			}
		}
	}
}

// UsersAfter yields the users with ids above after, by id, which is the order they
// were made in.
func (s *Set) UsersAfter(after ID) iter.Seq[*User] {
	return func(yield func(*User) bool) {
		if s == nil {
			return
		}
		for u := range s.users.from(userItem{&User{ID: after}}) {
			if u.ID != after && !yield(u.User) {
				return
			}
		}
	}
}

// Group returns the group with this id, or nil.
func (s *Set) Group(id ID) *Group {
	if b := s.body(id); b != nil {
		return b.group
	}
	return nil
}

func (s *Set) body(id ID) *body {
	if s == nil {
		return nil
	}
	b, _ := s.bodies.get(id)
	return b
}

// GroupByName returns the group with exactly this name, or nil.
func (s *Set) GroupByName(name string) *Group {
	if s == nil {
		return nil
	}
	n, _ := s.names.get(name)
	return n.Group
}

// GroupsAfter yields the groups with names above a name, by name.
func (s *Set) GroupsAfter(name string) iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		if s == nil {
			return
		}
		for g := range s.groups.from(groupItem{&Group{Name: name}}) {
			if g.Name != name && !yield(g.Group) {
				return
			}
		}
	}
}

// Member returns the membership with this key, or nil.
func (s *Set) Member(k MemberKey) *Member {
	p := s.person(k.User)
	if p == nil {
		return nil
	}
	m, _ := p.memberships.find(membership{Member: &Member{MemberKey: k}})
	return m.Member
}

// MembersOf yields the memberships of a group whose user and source come after
// those of a key, by user, then by source. The zero key is before all.
func (s *Set) MembersOf(group ID, after MemberKey) iter.Seq[*Member] {
	return func(yield func(*Member) bool) {
		b := s.body(group)
		if b == nil {
			return
		}
		probe := memberItem{&Member{MemberKey: after}}
		for m := range b.members.from(probe) {
			if m.compare(probe) > 0 && !yield(m.Member) {
				return
			}
		}
	}
}

// GroupsOf yields a user's memberships, by group, then by source. Everyone is
// only among them if there is a row.
func (s *Set) GroupsOf(user ID) iter.Seq[*Member] {
	return func(yield func(*Member) bool) {
		p := s.person(user)
		if p == nil {
			return
		}
		for m := range p.memberships.all() {
			if !yield(m.Member) {
				return
			}
		}
	}
}

// MemberCount is how many users are members of a group by at least one row.
func (s *Set) MemberCount(group ID) int {
	if b := s.body(group); b != nil {
		return b.people
	}
	return 0
}

// GrantCount is how many grants a group has.
func (s *Set) GrantCount(group ID) int {
	if b := s.body(group); b != nil {
		return b.grants.len()
	}
	return 0
}

// Grant returns the grant with this id, or nil.
func (s *Set) Grant(id ID) *Grant {
	if s == nil {
		return nil
	}
	g, _ := s.grants.find(grantItem{&Grant{ID: id}})
	return g.Grant
}

// GrantFor returns the grant that a group has on a resource, or nil; it may have
// expired.
func (s *Set) GrantFor(group ID, typ, resource string) *Grant {
	b, r := s.body(group), s.resource(typ, resource)
	if b == nil || r == nil {
		return nil
	}
	g, _ := r.find(b.number)
	return g.Grant
}

func (s *Set) resource(typ, id string) *resource {
	if s == nil {
		return nil
	}
	r, _ := s.resources.get(resourceKey{typ, id})
	return r
}

// wildcard is the resource "*" of a type, or nil.
func (s *Set) wildcard(typ string) *resource {
	for i := range s.wild {
		if s.wild[i].typ == typ {
			return s.wild[i].resource
		}
	}
	return nil
}

// GrantsAfter yields the grants with ids above after, by id.
func (s *Set) GrantsAfter(after ID) iter.Seq[*Grant] {
	return func(yield func(*Grant) bool) {
		if s == nil {
			return
		}
		for g := range s.grants.from(grantItem{&Grant{ID: after}}) {
			if g.ID != after && !yield(g.Grant) {
				return
			}
		}
	}
}

// GrantsOf yields the grants of a group, by id.
func (s *Set) GrantsOf(group ID) iter.Seq[*Grant] {
	return func(yield func(*Grant) bool) {
		b := s.body(group)
		if b == nil {
			return
		}
		for g := range b.grants.all() {
			if !yield(g.Grant) {
				return
			}
		}
	}
}

// GrantsTo yields the grants on exactly this resource, by the ids of their groups.
func (s *Set) GrantsTo(typ, resource string) iter.Seq[*Grant] {
	return func(yield func(*Grant) bool) {
		r := s.resource(typ, resource)
		if r == nil {
			return
		}
		grants := make([]*Grant, 0, r.len())
		for g := range r.all() {
			grants = append(grants, g.Grant)
		}
		slices.SortFunc(grants, func(a, b *Grant) int { return compareID(a.Group, b.Group) })
		for _, g := range grants {
			if !yield(g) {
				return
			}
		}
	}
}

// Token returns the token with this id, or nil; it may have expired or been
// revoked.
func (s *Set) Token(id ID) *Token {
	if s == nil {
		return nil
	}
	t, _ := s.tokens.get(id)
	return t.Token
}

// TokenByDigest returns the token with this SHA-256, or nil; it may have expired
// or been revoked.
func (s *Set) TokenByDigest(digest [32]byte) *Token {
	if s == nil {
		return nil
	}
	d, _ := s.digests.get(digest)
	return d.Token
}

// TokensOf yields a user's tokens, by id.
func (s *Set) TokensOf(user ID) iter.Seq[*Token] {
	return func(yield func(*Token) bool) {
		p := s.person(user)
		if p == nil {
			return
		}
		for t := range p.tokens.all() {
			if !yield(t.Token) {
				return
			}
		}
	}
}
