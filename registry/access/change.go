package access

import (
	"slices"
	"unique"
)

// With returns the set after a change: first what is gone is taken out, a group
// with its members and grants, a user with their memberships and tokens; then
// what was put replaces what has its key. What is gone need not be there. A
// membership or a token whose user is not there afterwards, and a membership or
// grant whose group is not, are left out. Names of groups, subjects of an issuer
// and digests are distinct, and so are group, type and resource of grants; where
// they are not, the last one counts. The delta is not kept. It is safe for
// concurrent use.
func (s *Set) With(d *Delta) *Set {
	if s == nil {
		s = new(Set)
	}
	if d.Empty() {
		return s
	}
	c := change{next: s.fork(), made: new(stamp), most: s.mostTouched()}
	c.remove(d)
	c.putUsers(d.Users)
	c.putGroups(d.Groups)
	for i := range d.Members {
		c.putMember(d.Members[i])
	}
	for i := range d.Grants {
		c.putGrant(d.Grants[i])
	}
	for i := range d.Tokens {
		c.putToken(d.Tokens[i])
	}
	c.remember(s)
	c.next.admin, _ = c.next.names.get(Admin)
	c.next.everyone, _ = c.next.names.get(Everyone)
	return c.next
}

// fork returns a set of the same things that may be changed.
func (s *Set) fork() *Set {
	return &Set{
		people:    s.people.copied(),
		bodies:    s.bodies.copied(),
		resources: s.resources.copied(),
		bound:     s.bound.copied(),
		names:     s.names.copied(),
		tokens:    s.tokens.copied(),
		digests:   s.digests.copied(),
		users:     s.users.copied(),
		emails:    s.emails.copied(),
		groups:    s.groups.copied(),
		grants:    s.grants.copied(),
		wild:      s.wild,
		members:   s.members,
		numbered:  s.numbered,
		free:      s.free,
	}
}

// change is a set that is being made.
type change struct {
	next    *Set
	made    *stamp
	touched touched
	// most is how much of that is remembered, less than nothing when it was more.
	most int
}

// person returns the record of a user, to be changed, or nil.
func (c *change) person(id ID) *person {
	p := c.next.person(id)
	if p == nil || p.made == c.made {
		return p
	}
	p = p.copied(c.made)
	c.touchedUser(id)
	c.next.people.put(id, p, c.made)
	return p
}

// body returns the record of a group, to be changed, or nil.
func (c *change) body(id ID) *body {
	b := c.next.body(id)
	if b == nil || b.made == c.made {
		return b
	}
	b = b.copied(c.made)
	c.next.bodies.put(id, b, c.made)
	return b
}

// resource returns the record of a resource, to be changed, or nil.
func (c *change) resource(key resourceKey) *resource {
	r := c.next.resource(key.typ, key.id)
	if r == nil || r.made == c.made {
		return r
	}
	r = r.copied(c.made)
	c.keep(key, r)
	return r
}

// keep enters a resource, which is the change's own.
func (c *change) keep(key resourceKey, r *resource) {
	if c.remembers() {
		c.touched.resources = append(c.touched.resources, key)
	}
	c.next.resources.put(key, r, c.made)
	if key.id == "*" {
		c.forgetWildcard(key.typ)
		c.next.wild = append(c.next.wild, wildcard{intern(key.typ), r})
	}
}

// forgetWildcard takes the resource "*" of a type out of those that checks ask for.
func (c *change) forgetWildcard(typ string) {
	c.next.wild = slices.DeleteFunc(slices.Clone(c.next.wild), func(w wildcard) bool { return w.typ == typ })
}

func (c *change) remove(d *Delta) {
	for _, id := range d.GoneGroups {
		c.removeGroup(id)
	}
	for _, id := range d.GoneUsers {
		c.removeUser(id)
	}
	for _, k := range d.GoneMembers {
		c.removeMember(k)
	}
	for _, id := range d.GoneGrants {
		c.removeGrant(id)
	}
	for _, id := range d.GoneTokens {
		c.removeToken(id)
	}
}

func (c *change) removeGroup(id ID) {
	b := c.next.body(id)
	if b == nil {
		return
	}
	for m := range b.members.all() {
		c.person(m.User).leave(membership{m.Member, b.number})
		c.linked(link{user: m.User, group: b.number})
		c.next.members--
	}
	for g := range b.grants.all() {
		c.unshare(g.Grant, b.number)
		c.next.grants.remove(g)
	}
	c.forgetName(b.group)
	c.next.bodies.remove(id, c.made)
	c.next.free = &numbers{b.number, c.next.free}
}

func (c *change) removeUser(id ID) {
	p := c.next.person(id)
	if p == nil {
		return
	}
	for m := range p.memberships.all() {
		c.leave(m.Member)
		c.linked(link{user: id, group: m.number})
		c.next.members--
	}
	for t := range p.tokens.all() {
		c.forgetToken(t.Token)
	}
	c.forgetUser(p.user)
	c.next.users.remove(userItem{p.user})
	c.next.people.remove(id, c.made)
	c.touchedUser(id)
}

func (c *change) removeMember(k MemberKey) {
	m := c.next.Member(k)
	if m == nil {
		return
	}
	number := c.next.body(k.Group).number
	c.person(k.User).leave(membership{m, number})
	c.linked(link{user: k.User, group: number})
	c.leave(m)
	c.next.members--
}

// leave takes a membership out of its group.
func (c *change) leave(m *Member) {
	b := c.body(m.Group)
	b.members.remove(memberItem{m})
	if !b.has(m.User) {
		b.people--
	}
}

// has reports whether a user is a member by any source.
func (b *body) has(user ID) bool {
	for m := range b.members.from(memberItem{&Member{MemberKey: MemberKey{User: user}}}) {
		return m.User == user
	}
	return false
}

func (c *change) removeGrant(id ID) {
	g := c.next.Grant(id)
	if g == nil {
		return
	}
	b := c.body(g.Group)
	b.grants.remove(grantItem{g})
	c.unshare(g, b.number)
	c.next.grants.remove(grantItem{g})
}

// unshare takes a grant from its resource, and the resource with the last one.
func (c *change) unshare(g *Grant, group uint32) {
	key := resourceKey{g.Type, g.Resource}
	r := c.resource(key)
	r.remove(group)
	c.linked(link{resource: key, group: group})
	if r.len() == 0 {
		c.next.resources.remove(key, c.made)
		if key.id == "*" {
			c.forgetWildcard(key.typ)
		}
	}
}

func (c *change) removeToken(id ID) {
	t := c.next.Token(id)
	if t == nil {
		return
	}
	c.person(t.User).tokens.remove(tokenItem{t})
	c.forgetToken(t)
}

func (c *change) forgetToken(t *Token) {
	c.next.tokens.remove(t.ID, c.made)
	if c.next.TokenByDigest(t.Digest) == t {
		c.next.digests.remove(t.Digest, c.made)
	}
}

// forgetUser takes a user out of the indexes by what may change.
func (c *change) forgetUser(u *User) {
	if u.Bound() && c.next.UserOf(u.Issuer, u.Subject) == u {
		c.next.bound.remove(subjectKey{u.Issuer, u.Subject}, c.made)
	}
	if folded := FoldEmail(u.Email); folded != "" {
		c.next.emails.remove(emailItem{folded, u})
	}
}

// forgetName takes a group out of the indexes by name.
func (c *change) forgetName(g *Group) {
	c.named(g.Name)
	if c.next.GroupByName(g.Name) == g {
		c.next.names.remove(g.Name, c.made)
		c.next.groups.remove(groupItem{g})
	}
}

// putUsers takes all old names out before new ones come, so that two users may
// swap theirs.
func (c *change) putUsers(users []User) {
	for i := range users {
		if old := c.next.User(users[i].ID); old != nil {
			c.forgetUser(old)
		}
	}
	for i := range users {
		u := users[i]
		u.Issuer = intern(u.Issuer)
		p := c.person(u.ID)
		if p == nil {
			p = &person{made: c.made, id: u.ID, user: &u}
			c.touchedUser(u.ID)
			c.next.people.put(u.ID, p, c.made)
		} else {
			c.forgetUser(p.user) // the delta may name a user twice
			p.user = &u
		}
		c.next.users.put(userItem{&u})
		if u.Bound() {
			c.next.bound.put(subjectKey{u.Issuer, u.Subject}, boundItem{&u}, c.made)
		}
		if folded := FoldEmail(u.Email); folded != "" {
			c.next.emails.put(emailItem{folded, &u})
		}
	}
}

// putGroups takes all old names out before new ones come, as putUsers does.
func (c *change) putGroups(groups []Group) {
	for i := range groups {
		if old := c.next.Group(groups[i].ID); old != nil {
			c.forgetName(old)
		}
	}
	for i := range groups {
		g := groups[i]
		g.CreatedBy = intern(g.CreatedBy)
		b := c.body(g.ID)
		if b == nil {
			b = &body{made: c.made, group: &g, number: c.number()}
			c.next.bodies.put(g.ID, b, c.made)
		} else {
			c.forgetName(b.group)
			renamed := b.group.Name != g.Name
			b.group = &g
			if renamed {
				c.tag(b)
			}
		}
		c.named(g.Name)
		c.next.names.put(g.Name, nameItem{&g, b.number}, c.made)
		c.next.groups.put(groupItem{&g})
	}
}

// tag tells the grants of a group that is called otherwise now.
func (c *change) tag(b *body) {
	for g := range b.grants.all() {
		c.resource(resourceKey{g.Type, g.Resource}).put(newShare(g.Grant, b))
	}
}

func (c *change) putMember(m Member) {
	p, b := c.person(m.User), c.body(m.Group)
	if p == nil || b == nil {
		return
	}
	m.Source, m.AddedBy = Source(intern(string(m.Source))), intern(m.AddedBy)
	if !b.has(m.User) {
		b.people++
	}
	if p.join(membership{&m, b.number}) {
		c.next.members++
	}
	c.linked(link{user: m.User, group: b.number})
	b.members.put(memberItem{&m})
}

// number is one that no group has.
func (c *change) number() uint32 {
	if f := c.next.free; f != nil {
		c.next.free = f.next
		return f.number
	}
	c.next.numbered++
	return c.next.numbered
}

func (c *change) putGrant(g Grant) {
	c.removeGrant(g.ID)
	if old := c.next.GrantFor(g.Group, g.Type, g.Resource); old != nil {
		c.removeGrant(old.ID)
	}
	b := c.body(g.Group)
	if b == nil {
		return
	}
	g.Type, g.AssignedBy = intern(g.Type), intern(g.AssignedBy)
	key := resourceKey{g.Type, g.Resource}
	r := c.resource(key)
	if r == nil {
		r = newResource(key, c.made)
		c.keep(key, r)
	}
	for other := range r.all() {
		g.Resource = other.Resource // one text for all
		break
	}
	r.put(newShare(&g, b))
	c.linked(link{resource: key, group: b.number})
	b.grants.put(grantItem{&g})
	c.next.grants.put(grantItem{&g})
}

func (c *change) putToken(t Token) {
	c.removeToken(t.ID)
	p := c.person(t.User)
	if p == nil {
		return
	}
	p.tokens.put(tokenItem{&t})
	c.next.tokens.put(t.ID, tokenItem{&t}, c.made)
	c.next.digests.put(t.Digest, digestItem{&t}, c.made)
}

// intern returns one copy of a text that many things share.
func intern(text string) string { return unique.Make(text).Value() }
