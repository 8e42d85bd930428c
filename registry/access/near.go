package access

import (
	"runtime"
	"time"
)

// together is how many links are looked for at once.
const together = 32

// look finds somebody, who may be nobody, and a resource. It is false when the front
// cannot tell.
func (f *Front) look(l *Look, user *User) bool {
	t := f.tables.Load()
	if t == nil || l.set.id < t.id {
		return false
	}
	l.key = fingerprint(l.name)
	sure := true
	var there spot // of the resource
	if user != nil {
		// All places are read before anything of them is decided.
		here := t.people.look(hashUser(user.ID))
		there = t.resources.look(l.key[0])
		sure = l.who.find(t.people, &here, wordsOf(user.ID), l.set.id)
	} else {
		there = t.resources.look(l.key[0])
	}
	l.near = l.what.find(t.resources, &there, l.key, l.set.id) && sure
	l.tables = t
	return l.near
}

// lookFor finds somebody.
func (f *Front) lookFor(l *Look, user *User) bool {
	t := f.tables.Load()
	if t == nil || l.set.id < t.id {
		return false
	}
	l.near = l.who.read(t.people, hashUser(user.ID), wordsOf(user.ID), l.set.id)
	l.tables = t
	return l.near
}

// found is a cell that is read where it lies, and the number of the set that it was
// written for. Nothing that it says holds before still does.
type found struct {
	*cell // nil when there is none
	made  uint64
}

// find looks for the cell with a key, as flat.find; it is false when that is of a
// later set than the one with a number.
func (c *found) find(f *flat, s *spot, key [2]uint64, set uint64) (sure bool) {
	at, there := f.find(s, key)
	if !there {
		return true
	}
	c.cell = (*cell)(f.words[at:])
	c.made = c.at(madeFor)
	return c.made&^behind <= set
}

// read is find from the beginning.
func (c *found) read(f *flat, hash uint64, key [2]uint64, set uint64) (sure bool) {
	s := f.look(hash)
	return c.find(f, &s, key, set)
}

// still reports whether the cell has not been written since it was found.
func (c *found) still() bool { return c.cell == nil || c.at(madeFor) == c.made }

// still reports whether what the cells said is what they say. Their memory is there
// until then.
func (l *Look) still() bool {
	is := l.who.still() && l.what.still()
	runtime.KeepAlive(l.tables)
	return is
}

// searched is the same look, of the set itself.
func (l *Look) searched() Look {
	own := Look{set: l.set, name: l.name, more: l.more}
	own.search(l.user)
	return own
}

// isIn reports whether the user is in a group by a source that counts; sure is
// false when only the record knows.
func (l *Look) isIn(group uint32, w *Who) (in, sure bool) {
	if w.User == nil || l.who.cell == nil {
		return false, true
	}
	if l.who.crowded() {
		var said [1]uint64
		if l.who.maybe(group) && !l.links(printOf(l.user.ID), []uint32{group}, said[:]) {
			return false, false
		}
		e := entry(said[0])
		in = e != 0 && e.counts(w)
	} else if l.who.at(maskAt)&maskOf(group) != 0 {
		e := l.who.entryOf(group)
		in = e != 0 && e.counts(w)
	}
	return in, l.still()
}

// allowsNear is Allows by what a front has told; sure is false when only the
// records know.
func (l *Look) allowsNear(w *Who, now time.Time) (allowed, sure bool) {
	second := now.Unix()
	if l.what.cell != nil {
		allowed, sure = l.reachesNear(w, l.what.cell, l.key, second)
		if sure = sure && l.still(); allowed || !sure {
			return allowed, sure
		}
	}
	if !l.more || l.set.wildcard(l.name.typ) == nil {
		return false, true
	}
	var all found
	key := fingerprint(resourceKey{l.name.typ, "*"})
	if sure = all.read(l.tables.resources, key[0], key, l.set.id); !sure || all.cell == nil {
		return false, sure
	}
	allowed, sure = l.reachesNear(w, all.cell, key, second)
	return allowed, sure && all.still() && l.still()
}

// reachesNear is reaches for a cell and its resource's key.
func (l *Look) reachesNear(w *Who, c *cell, key [2]uint64, second int64) (reaches, sure bool) {
	stored := w.User != nil && l.who.cell != nil
	switch {
	case !c.crowded():
		if stored && l.who.crowded() {
			reaches, sure = l.reachesByLinks(w, c, second)
		} else {
			reaches, sure = l.reachesFew(w, c, stored, second)
		}
		if reaches || !sure {
			return reaches, sure
		}
		return l.namedFew(w.Named, c, second)
	case stored && l.who.crowded():
		return false, false // both have many
	}
	var ask asked
	if e := l.everyone(); e != 0 && c.maybe(e) {
		ask.add(e)
	}
	for i := 0; stored && i < inCell; i++ {
		e := entry(l.who.half(entriesAt, i))
		if e == 0 {
			break
		}
		if e.counts(w) && c.maybe(e.group()) {
			ask.add(e.group())
		}
	}
	if reaches, sure = l.inForce(key, &ask, second); reaches || !sure {
		return reaches, sure
	}
	return l.namedMany(w.Named, c, key, second)
}

// everyone is the number of the group that all are in, 0 while there is none.
func (l *Look) everyone() uint32 {
	if l.set.everyone.Group == nil {
		return 0
	}
	return l.set.everyone.number
}

// reachesByLinks is reachesFew for somebody in many groups: links tell which of
// those that have grants are among them.
func (l *Look) reachesByLinks(w *Who, c *cell, second int64) (reaches, sure bool) {
	everyone := l.everyone()
	var numbers [onResource]uint32
	var at [onResource]int
	var said [onResource]uint64
	n := 0
	sure = true
	for i := range onResource {
		g := c.grantOf(i)
		if g == 0 {
			break
		}
		if g == everyone {
			is, known := c.inForce(i, second)
			if is {
				return true, true
			}
			sure = sure && known
		}
		if l.who.maybe(g) {
			numbers[n], at[n] = g, i
			n++
		}
	}
	if !sure || !l.links(printOf(l.user.ID), numbers[:n], said[:n]) {
		return false, false
	}
	for i := range n {
		if e := entry(said[i]); e == 0 || !e.counts(w) {
			continue
		}
		is, known := c.inForce(at[i], second)
		if is {
			return true, true
		}
		sure = sure && known
	}
	return false, sure
}

// reachesFew is reachesNear by stored memberships and Everyone for somebody in few
// groups and a resource with few grants. The bits of both tell most apart.
func (l *Look) reachesFew(w *Who, c *cell, stored bool, second int64) (reaches, sure bool) {
	everyone := l.everyone()
	bits := maskOf(everyone)
	if stored {
		bits |= l.who.at(maskAt)
	}
	sure = true
	if bits &= c.at(maskAt); bits == 0 {
		return false, true
	}
	for i := range onResource {
		g := c.grantOf(i)
		if g == 0 {
			break
		}
		if bits&maskOf(g) == 0 {
			continue
		}
		if g != everyone {
			if !stored {
				continue
			}
			if e := l.who.entryOf(g); e == 0 || !e.counts(w) {
				continue
			}
		}
		is, known := c.inForce(i, second)
		if is {
			return true, true
		}
		sure = sure && known
	}
	return false, sure
}

// namedFew is reachesNear by the groups that the token names, for a resource with
// few grants: they are looked for when the group of a grant may be called so.
func (l *Look) namedFew(names []string, c *cell, second int64) (reaches, sure bool) {
	tags := c.at(tagSetAt)
	sure = true
	for _, name := range names {
		if tags&maskOf(briefOf(name)) == 0 {
			continue
		}
		tag := inTags(tagOf(name))
		for i := range onResource {
			if c.grantOf(i) == 0 {
				break
			}
			if c.tag(i) != tag {
				continue
			}
			is, known := l.namedGrant(name, c, i, second)
			if is {
				return true, true
			}
			sure = sure && known
		}
	}
	return false, sure
}

// namedGrant reports whether a grant on a resource is that of the group with a name,
// and in force.
func (l *Look) namedGrant(name string, c *cell, i int, second int64) (is, sure bool) {
	numbers, sure := l.numbers([]string{name})
	if !sure || numbers[0] != c.grantOf(i) {
		return false, sure
	}
	return c.inForce(i, second)
}

// namedMany is namedFew for a resource with many grants.
func (l *Look) namedMany(names []string, c *cell, key [2]uint64, second int64) (reaches, sure bool) {
	const atOnce = 8
	sure = true
	for sure && len(names) > 0 {
		some := names[:min(atOnce, len(names))]
		names = names[len(some):]
		numbers, known := l.numbers(some)
		if !known {
			return false, false
		}
		var ask asked
		for _, g := range numbers[:len(some)] {
			if g != 0 && c.maybe(g) {
				ask.add(g)
			}
		}
		if reaches, sure = l.inForce(key, &ask, second); reaches {
			return true, true
		}
	}
	return false, sure
}

// asked are groups of somebody of which links know whether they have a grant.
type asked struct {
	n      int
	groups [together]uint32
}

func (a *asked) add(group uint32) {
	a.groups[a.n] = group
	a.n++
}

// numbers are those of up to eight groups by their names, 0 for no group.
func (l *Look) numbers(names []string) (numbers [8]uint32, sure bool) {
	var keys [8][2]uint64
	var spots [8]spot
	t := l.tables.names
	for i, name := range names {
		keys[i] = printOfName(name)
		spots[i] = t.look(keys[i][0])
	}
	for i := range names {
		var said linkCell
		if at, there := t.find(&spots[i], keys[i]); there && !t.copyTo(said[:], at, l.set.id) {
			return numbers, false
		}
		numbers[i] = uint32(said[0])
	}
	return numbers, true
}

// inForce reports whether a group has a grant on a resource that has not ended;
// sure is false when only the record knows, as in the second of its end.
func (l *Look) inForce(resource [2]uint64, ask *asked, second int64) (is, sure bool) {
	// Of many groups most have no bit; where all have one, the first has a grant.
	const atOnce = 4
	var spots [atOnce]spot
	sure = true
	for groups := ask.groups[:ask.n]; len(groups) > 0; {
		some := groups[:min(atOnce, len(groups))]
		groups = groups[len(some):]
		for i, g := range some {
			spots[i] = l.tables.links.look(linkKey(resource, g)[0])
		}
		for i, g := range some {
			until, known := l.linked(&spots[i], linkKey(resource, g))
			if known && second < int64(until) {
				return true, true
			}
			sure = sure && known && second != int64(until)
		}
	}
	return false, sure
}

// links looks for what is known of groups, up to together, and a user or a
// resource. All places are read before anything of them is decided, so that they
// are waited for at once.
func (l *Look) links(of [2]uint64, groups []uint32, said []uint64) (sure bool) {
	var spots [together]spot
	t := l.tables.links
	for i, g := range groups {
		spots[i] = t.look(linkKey(of, g)[0])
	}
	for i, g := range groups {
		if said[i], sure = l.linked(&spots[i], linkKey(of, g)); !sure {
			return false
		}
	}
	return true
}

// linked is what a link says, 0 when there is none.
func (l *Look) linked(s *spot, key [2]uint64) (said uint64, sure bool) {
	var one linkCell
	if at, there := l.tables.links.find(s, key); there && !l.tables.links.copyTo(one[:], at, l.set.id) {
		return 0, false
	}
	return one[0], true
}
