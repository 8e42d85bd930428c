package access

import "time"

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
	atR := t.resources.home(l.key[0])
	sureU := true
	var first uint64 // of the resource's cell
	if user != nil {
		id := wordsOf(user.ID)
		atU := t.people.home(hashUser(user.ID))
		// Both places are read before anything of them is decided.
		var a uint64
		a, first = t.people.load(atU), t.resources.load(atR)
		l.stored, sureU = t.people.find(atU, a, id, l.set.id, l.who[:])
	} else {
		first = t.resources.load(atR)
	}
	var sureR bool
	l.granted, sureR = t.resources.find(atR, first, l.key, l.set.id, l.what[:])
	l.near, l.tables = sureU && sureR, t
	return l.near
}

// lookFor finds somebody.
func (f *Front) lookFor(l *Look, user *User) bool {
	t := f.tables.Load()
	if t == nil || l.set.id < t.id {
		return false
	}
	l.stored, l.near = t.people.read(hashUser(user.ID), wordsOf(user.ID), l.set.id, l.who[:])
	l.tables = t
	return l.near
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
	if w.User == nil || !l.stored {
		return false, true
	}
	if l.who.crowded() {
		var said [1]uint64
		if l.who.maybe(group) && !l.links(printOf(l.user.ID), []uint32{group}, said[:]) {
			return false, false
		}
		e := entry(said[0])
		return e != 0 && e.counts(w), true
	}
	return l.who.has(group, w), true
}

// has reports whether a user who has few is in a group by a source that counts.
func (c *cell) has(group uint32, w *Who) bool {
	for i := range c {
		a, b := entry(c[i]), entry(c[i]>>32)
		switch {
		case a == 0:
			return false
		case a.group() == group:
			return a.counts(w)
		case b.group() == group:
			return b.counts(w)
		}
	}
	return false
}

// allowsNear is Allows by what a front has told; sure is false when only the
// records know.
func (l *Look) allowsNear(w *Who, now time.Time) (allowed, sure bool) {
	if l.granted {
		if allowed, sure = l.reachesNear(w, &l.what, l.key, now); allowed || !sure {
			return allowed, sure
		}
	}
	if !l.more || l.set.wildcard(l.name.typ) == nil {
		return false, true
	}
	var all cell
	key := fingerprint(resourceKey{l.name.typ, "*"})
	if there, sure := l.tables.resources.read(key[0], key, l.set.id, all[:]); !there || !sure {
		return false, sure
	}
	return l.reachesNear(w, &all, key, now)
}

// reachesNear is reaches for a cell and its resource's key.
func (l *Look) reachesNear(w *Who, c *cell, key [2]uint64, now time.Time) (reaches, sure bool) {
	second := now.Unix()
	switch {
	case !c.crowded():
		var in groups
		if in, sure = l.groupsAmong(w, c); !sure {
			return false, false
		}
		if reaches, sure = l.reachesFew(w, c, &in, second); reaches || !sure {
			return reaches, sure
		}
		return l.namedFew(w.Named, c, second)
	case w.User != nil && l.stored && l.who.crowded():
		return false, false // both have many
	}
	var ask asked
	if e := l.everyone(); e != 0 && c.maybe(e) {
		ask.add(e)
	}
	for i := 0; w.User != nil && i < inCell; i++ {
		e := entry(l.who.half(i))
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

// groups are those of somebody with many that have grants on a resource with few,
// as bits by the places of the grants; of somebody with few their own cell is asked.
type groups uint32

// groupsAmong finds them.
func (l *Look) groupsAmong(w *Who, c *cell) (in groups, sure bool) {
	if w.User == nil || !l.stored || !l.who.crowded() {
		return 0, true
	}
	var numbers [onResource]uint32
	var at [onResource]int
	var said [onResource]uint64
	n := 0
	for i := range onResource {
		g := c.grantOf(i)
		if g == 0 {
			break
		}
		if l.who.maybe(g) {
			numbers[n], at[n] = g, i
			n++
		}
	}
	if !l.links(printOf(l.user.ID), numbers[:n], said[:n]) {
		return 0, false
	}
	for i := range n {
		if e := entry(said[i]); e != 0 && e.counts(w) {
			in |= 1 << at[i]
		}
	}
	return in, true
}

// reachesFew is reachesNear by stored memberships and Everyone for a resource with
// few grants. Most groups are told apart by a bit for each.
func (l *Look) reachesFew(w *Who, c *cell, in *groups, second int64) (reaches, sure bool) {
	everyone := l.everyone()
	stored := w.User != nil && l.stored && !l.who.crowded()
	bits := uint64(1) << (everyone & 63)
	for i := 0; stored && i < len(l.who) && l.who[i] != 0; i++ {
		bits |= 1<<(l.who[i]>>1&63) | 1<<(l.who[i]>>33&63) // perhaps one that there is not
	}
	sure = true
	for i := range onResource {
		g := c.grantOf(i)
		if g == 0 {
			break
		}
		if bits>>(g&63)&1 == 0 && *in>>i&1 == 0 {
			continue
		}
		if g == everyone || *in>>i&1 != 0 || stored && l.who.has(g, w) {
			is, known := c.inForce(i, second)
			if is {
				return true, true
			}
			sure = sure && known
		}
	}
	return false, sure
}

// namedFew is reachesNear by the groups that the token names, for a resource with
// few grants: they are looked for when the group of a grant may be called so.
func (l *Look) namedFew(names []string, c *cell, second int64) (reaches, sure bool) {
	var tags [onResource]uint32
	n, bits := 0, uint64(0)
	for ; n < onResource && c.half(n) != 0; n++ {
		tags[n] = c.tag(n)
		bits |= 1 << (tags[n] & 63)
	}
	sure = true
	for _, name := range names {
		tag := tagOf(name) & tagMask
		if bits>>(tag&63)&1 == 0 {
			continue
		}
		for i, of := range tags[:n] {
			if of != tag {
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
	var first [8]uint64
	t := &l.tables.names
	for i, name := range names {
		keys[i] = printOfName(name)
		first[i] = t.load(t.home(keys[i][0]))
	}
	for i := range names {
		var said linkCell
		if _, sure := t.find(t.home(keys[i][0]), first[i], keys[i], l.set.id, said[:]); !sure {
			return numbers, false
		}
		numbers[i] = uint32(said[0])
	}
	return numbers, true
}

// inForce reports whether a group has a grant on a resource that has not ended;
// sure is false when only the record knows, as in the second of its end.
func (l *Look) inForce(resource [2]uint64, ask *asked, second int64) (is, sure bool) {
	if ask.n == 0 {
		return false, true
	}
	var until [together]uint64
	if !l.links(resource, ask.groups[:ask.n], until[:ask.n]) {
		return false, false
	}
	sure = true
	for _, u := range until[:ask.n] {
		if second < int64(u) {
			return true, true
		}
		sure = sure && second != int64(u)
	}
	return false, sure
}

// links looks for what is known of groups, up to together, and a user or a
// resource. All places are read before anything of them is decided, so that they
// are waited for at once.
func (l *Look) links(of [2]uint64, groups []uint32, said []uint64) (sure bool) {
	var first [together]uint64
	t := &l.tables.links
	for i, g := range groups {
		first[i] = t.load(t.home(linkKey(of, g)[0]))
	}
	for i, g := range groups {
		key := linkKey(of, g)
		if _, sure := t.find(t.home(key[0]), first[i], key, l.set.id, said[i:i+1]); !sure {
			return false
		}
	}
	return true
}
