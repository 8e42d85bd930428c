package access

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Front answers checks for the sets that it has followed, from tables that lie in
// one piece of memory each: of somebody and a resource that are in no cache it waits
// for one place each, and for hardly a page table. Unlike a set it is written in
// place. A reader whose set is older than what is there is told so, and asks the set
// itself. It is safe for concurrent use; the zero value has followed none.
type Front struct {
	mu     sync.Mutex // of Follow
	tables atomic.Pointer[tables]
	set    *Set // the newest
}

// tables are what a front is made of.
type tables struct {
	people, resources, links, names *flat
	// id is that of the set that they were made of: what was gone then is not there.
	id uint64
}

// Words of a cell: lines of the processor's cache, or half of one.
const (
	sideWords = 16
	linkWords = 4
)

// step is what one change of a set touched: that of the set with a number, and of
// those before it.
type step struct {
	from uint64
	touched
	before *step
	depth  int
}

// touched are those of whom a check may be answered otherwise.
type touched struct {
	people    []ID
	resources []resourceKey
	links     []link
	names     []string // of groups
}

func (t *touched) len() int { return len(t.people) + len(t.resources) + len(t.links) + len(t.names) }

// link is a group, and a user who is or was in it or a resource on which it has or
// had a grant.
type link struct {
	user     ID // none if it is a resource
	resource resourceKey
	group    uint32
}

// Bounds of what a set remembers of how it was made; beyond, a front reads all of
// it.
const (
	maxSteps   = 64
	maxTouched = 1 << 10 // or an eighth of what there is
)

// lastSet numbers sets.
var lastSet atomic.Uint64

// Follow has the front answer for a set, which may be nil, before others can ask
// it. What it costs is in proportion to what was changed since the set before, if
// this one was made of that one, and otherwise to all there is.
func (f *Front) Follow(s *Set) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s == f.set {
		return
	}
	old := f.set
	f.set = s
	if s == nil {
		f.tables.Store(nil)
		return
	}
	steps, known := s.stepsFrom(old)
	s.since.Store(nil)
	if t := f.tables.Load(); !known || t == nil || !t.room(s, steps) {
		f.tables.Store(newTables(s))
	} else {
		for _, st := range steps {
			t.follow(s, &st.touched)
		}
	}
	s.front.Store(f)
}

// stepsFrom are the changes since another set.
func (s *Set) stepsFrom(old *Set) (steps []*step, known bool) {
	for st := s.since.Load(); old != nil && st != nil; st = st.before {
		steps = append(steps, st)
		if st.from == old.id {
			return steps, true
		}
	}
	return nil, false
}

// room reports whether what was touched has room.
func (t *tables) room(s *Set, steps []*step) bool {
	people, resources, links, names := 0, 0, 0, 0
	for _, st := range steps {
		people, resources, names, links = people+len(st.people), resources+len(st.resources), names+len(st.names), links+len(st.links)
		for _, id := range st.people { // who is in many groups now may not have been
			if p := s.person(id); p != nil && p.groups() > inCell && !isCrowd(t.people.says(wordsOf(id))) {
				links += p.groups()
			}
		}
		for _, k := range st.resources {
			key := fingerprint(k)
			if r := s.resource(k.typ, k.id); r != nil && !r.fits() && !isCrowd(t.resources.says(key)) {
				links += r.len()
			}
		}
	}
	return t.people.room(people) && t.resources.room(resources) && t.links.room(links) && t.names.room(names)
}

// isCrowd is cell.crowded of a cell, nil for none.
func isCrowd(says []uint64) bool { return says != nil && says[maskAt] == crowd }

// mostTouched is how much a change of the set may touch to be remembered.
func (s *Set) mostTouched() int {
	if s.id == 0 {
		return -1 // nothing has followed what it was made of
	}
	const part = 8
	return max(maxTouched, (s.people.values+s.resources.values)/part)
}

// remembers reports whether a change is still one that is remembered.
func (c *change) remembers() bool {
	if c.touched.len() > c.most {
		c.most, c.touched = -1, touched{}
	}
	return c.most >= 0
}

func (c *change) touchedUser(id ID) {
	if c.remembers() {
		c.touched.people = append(c.touched.people, id)
	}
}

func (c *change) linked(l link) {
	if c.remembers() {
		c.touched.links = append(c.touched.links, l)
	}
}

func (c *change) named(name string) {
	if c.remembers() {
		c.touched.names = append(c.touched.names, name)
	}
}

// remember notes in a set what the change that made it touched.
func (c *change) remember(from *Set) {
	c.next.id = lastSet.Add(1)
	if !c.remembers() {
		return
	}
	st := &step{from: from.id, touched: c.touched, before: from.since.Load(), depth: 1}
	if b := st.before; b != nil {
		st.depth += b.depth
		if st.depth > maxSteps {
			return
		}
	}
	c.next.since.Store(st)
}

func newTables(s *Set) *tables {
	links := 0
	for p := range s.people.all() {
		if n := p.groups(); n > inCell {
			links += n
		}
	}
	for r := range s.resources.all() {
		if !r.fits() {
			links += r.len()
		}
	}
	const others = 8 // some may have more soon
	t := &tables{
		id:        s.id,
		people:    newFlat(sideWords, s.people.values, hashUserWords),
		resources: newFlat(sideWords, s.resources.values, hashPrint),
		links:     newFlat(linkWords, max(links, (s.people.values+s.resources.values)/others), hashPrint),
		names:     newFlat(linkWords, s.names.values, hashPrint),
	}
	all := []*flat{t.people, t.resources, t.links, t.names}
	for _, f := range all {
		if f.free != nil {
			runtime.AddCleanup(t, func(free func()) { free() }, f.free)
		}
	}
	for p := range s.people.all() {
		t.person(s, p.id)
	}
	for r := range s.resources.all() {
		t.resource(s, r.key())
	}
	for n := range s.names.all() {
		t.name(s, n.Name)
	}
	for _, f := range all {
		f.shared = true
	}
	return t
}

// follow brings what was touched up to date.
func (t *tables) follow(s *Set, what *touched) {
	for _, id := range what.people {
		t.person(s, id)
	}
	for _, k := range what.resources {
		t.resource(s, k)
	}
	for _, l := range what.links {
		if l.user != (ID{}) {
			t.membership(s, l.user, l.group)
		} else {
			t.grant(s, l.resource, l.group)
		}
	}
	for _, n := range what.names {
		t.name(s, n)
	}
}

// person brings a user's cell up to date; one who is gone is in no group.
func (t *tables) person(s *Set, id ID) {
	var c cell
	key := wordsOf(id)
	if p := s.person(id); p != nil && p.groups() <= inCell {
		c.fillPerson(p)
	} else if p != nil {
		if says := t.people.says(key); isCrowd(says) {
			copy(c[:], says)
		} else {
			c[maskAt] = crowd
			for e := range p.entries() {
				c.add(e.group())
				t.link(s, linkKey(printOf(id), e.group()), uint64(e))
			}
		}
	}
	t.people.put(key, s.id, c[keyWords:])
}

// resource brings a resource's cell up to date; one that is gone has no grants.
func (t *tables) resource(s *Set, k resourceKey) {
	var c cell
	key := fingerprint(k)
	if r := s.resource(k.typ, k.id); r != nil && r.fits() {
		c.fillResource(r)
	} else if r != nil {
		if says := t.resources.says(key); isCrowd(says) {
			copy(c[:], says)
		} else {
			c[maskAt] = crowd
			for sh := range r.all() {
				c.add(sh.group)
				t.link(s, linkKey(key, sh.group), uint64(sh.until))
			}
		}
	}
	t.resources.put(key, s.id, c[keyWords:])
}

func (t *tables) link(s *Set, key [2]uint64, says uint64) {
	t.links.put(key, s.id, []uint64{says})
}

// unlink has a link say that it is not so, if there is one.
func (t *tables) unlink(s *Set, key [2]uint64) {
	if t.links.says(key) != nil {
		t.link(s, key, 0)
	}
}

// membership brings the link of a user and a group up to date.
func (t *tables) membership(s *Set, id ID, group uint32) {
	key := linkKey(printOf(id), group)
	p := s.person(id)
	if p == nil || p.groups() <= inCell {
		t.unlink(s, key)
		return
	}
	e, in := p.entryOf(group)
	if !in {
		t.unlink(s, key)
		return
	}
	word, bit := bitOf(group)
	or(&t.people.says(wordsOf(id))[word], bit)
	t.link(s, key, uint64(e))
}

// grant brings the link of a resource and a group up to date.
func (t *tables) grant(s *Set, k resourceKey, group uint32) {
	of := fingerprint(k)
	key := linkKey(of, group)
	var sh share
	there := false
	r := s.resource(k.typ, k.id)
	if r != nil {
		sh, there = r.find(group)
	}
	if !there || r.fits() {
		t.unlink(s, key)
		return
	}
	word, bit := bitOf(group)
	or(&t.resources.says(of)[word], bit)
	t.link(s, key, uint64(sh.until))
}

// name brings the number of the group with a name up to date.
func (t *tables) name(s *Set, name string) {
	n, _ := s.names.get(name)
	key := printOfName(name)
	t.names.put(key, s.id, []uint64{uint64(n.number)})
}
