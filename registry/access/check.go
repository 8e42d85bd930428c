package access

import (
	"hash/maphash"
	"iter"
	"slices"
	"time"
)

// Who is somebody whose rights are asked for. It may be kept from one set to the
// next.
type Who struct {
	// User is the stored record, nil when there is none; only its id is used, so
	// memberships are those of the set that is asked.
	User *User
	// Named are the names of the groups that the token itself gives, after mapping.
	// Names of groups that are not there mean nothing.
	Named []string
	// Sync is whether stored memberships of the identity provider count: for
	// personal access tokens whose owner's were confirmed lately.
	Sync bool
}

// counts reports whether a stored membership counts.
func (w *Who) counts(m *Member) bool { return w.Sync || m.Source != SourceSync }

// Look is somebody and a resource as a set has them, found together: what lies in
// no cache is waited for once instead of one after the other. It is of the moment,
// and is not changed by using it.
type Look struct {
	set      *Set
	person   *person   // nil for nobody who is stored
	resource *resource // nil while there is no grant on it
	user     *User     // who was looked for, nil for nobody
	name     resourceKey
	// more is whether the type's wildcard has to be asked too.
	more bool

	// near is whether a front has told who and what instead.
	near      bool
	who, what found
	key       [2]uint64 // of the resource
	tables    *tables
}

// Look finds somebody, who may be nil, and a resource; wildcard is whether its type
// allows grants on "*". It allocates nothing.
func (s *Set) Look(user *User, typ, resource string, wildcard bool) (l Look) {
	if s == nil {
		return l
	}
	l.set, l.user, l.name, l.more = s, user, resourceKey{typ, resource}, wildcard && resource != "*"
	if f := s.front.Load(); f != nil && f.look(&l, user) {
		return l
	}
	l.search(user)
	return l
}

// search asks the set itself.
func (l *Look) search(user *User) {
	s, name := l.set, l.name
	l.near = false
	if user == nil || s.people.buckets == 0 || s.resources.buckets == 0 {
		if user != nil {
			l.person, _ = s.people.get(user.ID)
		}
		l.resource, _ = s.resources.get(name)
		return
	}
	hashU, hashR := maphash.Comparable(seed, user.ID), maphash.Comparable(seed, name)
	// Both buckets are read before anything of them is decided.
	among, named := s.people.near(hashU), s.resources.near(hashR)
	maybeU, maybeR := among.match(hashU), named.match(hashR)
	l.person, _ = find(among, maybeU, hashU, user.ID)
	l.resource, _ = find(named, maybeR, hashR, name)
}

// LookFor finds somebody, who may be nil, and no resource.
func (s *Set) LookFor(user *User) Look {
	l := Look{set: s, user: user}
	if s == nil || user == nil {
		return l
	}
	if f := s.front.Load(); f != nil && f.lookFor(&l, user) {
		return l
	}
	l.person, _ = s.people.get(user.ID)
	return l
}

// IsAdmin reports whether somebody is a member of Admin by what their token says
// or by a stored membership. Nobody is while there is no such group. Whether the
// user is active is for the caller to have asked.
func (s *Set) IsAdmin(w *Who) bool {
	if w == nil {
		return false
	}
	l := s.LookFor(w.User)
	return l.IsAdmin(w)
}

// IsAdmin is Set.IsAdmin for the user that was looked for, if w has one.
func (l *Look) IsAdmin(w *Who) bool {
	if l.set == nil || l.set.admin.Group == nil {
		return false
	}
	if slices.Contains(w.Named, Admin) {
		return true
	}
	if l.near {
		in, sure := l.isIn(l.set.admin.number, w)
		if sure {
			return in
		}
		own := l.searched()
		return own.IsAdmin(w)
	}
	return w.User != nil && l.person != nil && l.person.inBy(l.set.admin.number, w)
}

// Allows reports whether one of somebody's groups, or Everyone, has a grant in
// force on exactly this resource or, where the type allows it, on "*". Admins are
// not told apart: who may do everything is asked first. It allocates nothing.
func (s *Set) Allows(w *Who, typ, resource string, wildcard bool, now time.Time) bool {
	if s == nil || w == nil {
		return false
	}
	l := s.Look(w.User, typ, resource, wildcard)
	return l.Allows(w, now)
}

// Allows is Set.Allows for the resource, and for the user if w has one, that were
// looked for.
func (l *Look) Allows(w *Who, now time.Time) bool {
	if l.set == nil {
		return false
	}
	if !l.near {
		return l.reaches(w, l.resource, now) || l.more && l.reaches(w, l.set.wildcard(l.name.typ), now)
	}
	allowed, sure := l.allowsNear(w, now)
	if sure {
		return allowed
	}
	own := l.searched()
	return own.Allows(w, now)
}

// reaches reports whether one of somebody's groups has a grant in force on a
// resource, which may be nil.
func (l *Look) reaches(w *Who, r *resource, now time.Time) bool {
	if r == nil {
		return false
	}
	if w.User != nil && l.person != nil && l.person.reaches(w, r, now) {
		return true
	}
	s := l.set
	if s.everyone.Group != nil && r.open(s.everyone.number, now) {
		return true
	}
	return r.ownLen > 0 && s.reachesOwn(w, r, now) || r.ownLen == 0 && s.names.buckets > 0 && s.reachesFurther(w, r, now)
}

// reachesOwn asks for the groups that the token names, which are looked for only
// when a grant's group may be called so.
func (s *Set) reachesOwn(w *Who, r *resource, now time.Time) bool {
	for _, name := range w.Named {
		tag := tagOf(name)
		for i := range r.own[:r.ownLen] {
			if sh := &r.own[i]; sh.tag == tag && sh.inForce(now) {
				if g, there := s.names.get(name); there && g.number == sh.group {
					return true
				}
			}
		}
	}
	return false
}

// reachesFurther is reachesOwn for a resource with many grants.
func (s *Set) reachesFurther(w *Who, r *resource, now time.Time) bool {
	for _, name := range w.Named {
		// The number is in the bucket, the name elsewhere: it is compared when it
		// would decide.
		hash := maphash.Comparable(seed, name)
		b := s.names.near(hash)
		for i := range b.len() {
			if g := b.at(i); g.hash == hash && r.open(g.value.number, now) && g.value.is(name) {
				return true
			}
		}
	}
	return false
}

// reaches is Set.reaches for stored memberships: it asks each of the grants for
// its group, or each of the groups for its grant, whichever are fewer.
func (p *person) reaches(w *Who, r *resource, now time.Time) bool {
	if r.len() > p.groups() {
		for _, e := range p.in[:p.inLen] {
			if e.counts(w) && r.open(e.group(), now) {
				return true
			}
		}
		if p.inLen > 0 {
			return false
		}
		for e := range p.more.all() {
			if e.counts(w) && r.open(e.group(), now) {
				return true
			}
		}
		return false
	}
	for i := range r.own[:r.ownLen] {
		if p.inBy(r.own[i].group, w) && r.own[i].inForce(now) {
			return true
		}
	}
	if r.ownLen > 0 {
		return false
	}
	for sh := range r.further.all() {
		if p.inBy(sh.group, w) && sh.inForce(now) {
			return true
		}
	}
	return false
}

// open reports whether a group has a grant in force.
func (r *resource) open(group uint32, now time.Time) bool {
	sh, there := r.find(group)
	return there && sh.inForce(now)
}

// Via yields the grants by which Allows holds, each once: those on the resource
// itself by the ids of their groups, then those on "*".
func (s *Set) Via(w *Who, typ, resource string, wildcard bool, now time.Time) iter.Seq[*Grant] {
	return func(yield func(*Grant) bool) {
		if s == nil || w == nil {
			return
		}
		groups := s.groupsFor(w)
		ids := []string{resource}
		if wildcard && resource != "*" {
			ids = append(ids, "*")
		}
		for _, id := range ids {
			for g := range s.GrantsTo(typ, id) {
				if _, in := groups[g.Group]; in && g.InForce(now) && !yield(g) {
					return
				}
			}
		}
	}
}

// GroupsFor yields the groups that count for somebody, each once, in no order:
// those of stored memberships, those their token names, and Everyone.
func (s *Set) GroupsFor(w *Who) iter.Seq[*Group] {
	return func(yield func(*Group) bool) {
		if s == nil || w == nil {
			return
		}
		for _, g := range s.groupsFor(w) {
			if !yield(g) {
				return
			}
		}
	}
}

func (s *Set) groupsFor(w *Who) map[ID]*Group {
	groups := map[ID]*Group{}
	if s.everyone.Group != nil {
		groups[s.everyone.ID] = s.everyone.Group
	}
	if w.User != nil {
		for m := range s.GroupsOf(w.User.ID) {
			if w.counts(m) {
				groups[m.Group] = s.Group(m.Group)
			}
		}
	}
	for _, name := range w.Named {
		if g := s.GroupByName(name); g != nil {
			groups[g.ID] = g
		}
	}
	return groups
}
