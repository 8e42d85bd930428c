package access

import (
	"iter"
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

// IsAdmin reports whether somebody is a member of Admin by what their token says
// or by a stored membership. Nobody is while there is no such group. Whether the
// user is active is for the caller to have asked.
func (s *Set) IsAdmin(w *Who) bool {
	if s == nil || w == nil || s.admin == nil {
		return false
	}
	for _, name := range w.Named {
		if name == Admin {
			return true
		}
	}
	return w.User != nil && s.person(w.User.ID).in(s.admin.ID, w)
}

// in reports whether a user, who may be nil, is a member by a source that counts.
func (p *person) in(group ID, w *Who) bool {
	if p == nil {
		return false
	}
	if p.memberships.many == nil {
		of := p.memberships.few
		for i := firstOf(of, group); i < len(of) && of[i].group == group; i++ {
			if w.counts(of[i].Member) {
				return true
			}
		}
		return false
	}
	for m := range p.memberships.from(membership{group, &Member{}}) {
		if m.group != group {
			return false
		}
		if w.counts(m.Member) {
			return true
		}
	}
	return false
}

// Allows reports whether one of somebody's groups, or Everyone, has a grant in
// force on exactly this resource or, where the type allows it, on "*". Admins are
// not told apart: who may do everything is asked first. It allocates nothing.
func (s *Set) Allows(w *Who, typ, resource string, wildcard bool, now time.Time) bool {
	if s == nil || w == nil {
		return false
	}
	return s.reaches(w, s.resource(typ, resource), now) ||
		wildcard && resource != "*" && s.reaches(w, s.resource(typ, "*"), now)
}

// reaches asks each of the grants on a resource for its group, or each of the
// groups for its grant, whichever are fewer.
func (s *Set) reaches(w *Who, r *resource, now time.Time) bool {
	if r == nil {
		return false
	}
	if s.everyone != nil && r.open(s.everyone.ID, now) {
		return true
	}
	if w.User != nil {
		if p := s.person(w.User.ID); p != nil && p.reaches(w, r, now) {
			return true
		}
	}
	for _, name := range w.Named {
		if g := s.GroupByName(name); g != nil && r.open(g.ID, now) {
			return true
		}
	}
	return false
}

// reaches is Set.reaches for stored memberships.
func (p *person) reaches(w *Who, r *resource, now time.Time) bool {
	if r.shares.len() < p.memberships.len() {
		for sh := range r.shares.all() {
			if p.in(sh.group, w) && sh.InForce(now) {
				return true
			}
		}
		return false
	}
	for m := range p.memberships.all() {
		if w.counts(m.Member) && r.open(m.group, now) {
			return true
		}
	}
	return false
}

// open reports whether a group has a grant in force.
func (r *resource) open(group ID, now time.Time) bool {
	sh, there := r.shares.find(share{group: group})
	return there && sh.InForce(now)
}

// firstOf is where the memberships of a group begin.
func firstOf(of []membership, group ID) int {
	low, high := 0, len(of)
	for low < high {
		if mid := (low + high) / 2; compareID(of[mid].group, group) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
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
	if s.everyone != nil {
		groups[s.everyone.ID] = s.everyone
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
