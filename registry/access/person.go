package access

import (
	"cmp"
	"iter"
	"slices"
)

// person is a user with what is theirs. What a check reads lies together: the id,
// and the groups while there are no more than 24.
type person struct {
	id    ID
	inLen uint8
	in    [24]entry
	// more has all entries when in has no room for them.
	more        list[entry]
	made        *stamp
	user        *User
	memberships list[membership]
	tokens      list[tokenItem]
}

// entry is a group that a user is in: twice its number, and one more if that is by
// the identity provider alone.
type entry uint32

func newEntry(group uint32, stored bool) entry {
	if stored {
		return entry(group << 1)
	}
	return entry(group<<1 | 1)
}

func (e entry) group() uint32           { return uint32(e) >> 1 }
func (e entry) counts(w *Who) bool      { return e&1 == 0 || w.Sync }
func (e entry) compare(other entry) int { return cmp.Compare(e.group(), other.group()) }

func (p *person) is(id ID) bool { return p.id == id }

// copied is the same person, to be changed.
func (p *person) copied(made *stamp) *person {
	next := *p
	next.made, next.more, next.memberships, next.tokens = made, p.more.copied(), p.memberships.copied(), p.tokens.copied()
	return &next
}

// groups is how many groups the user is in, by any source.
func (p *person) groups() int {
	if p.inLen > 0 {
		return int(p.inLen)
	}
	return p.more.len()
}

// inBy reports whether the user is in a group by a source that counts.
func (p *person) inBy(group uint32, w *Who) bool {
	e, there := p.entryOf(group)
	return there && e.counts(w)
}

// entryOf finds the entry of a group.
func (p *person) entryOf(group uint32) (entry, bool) {
	for _, e := range p.in[:p.inLen] {
		if e.group() == group {
			return e, true
		}
	}
	if p.inLen > 0 {
		return 0, false
	}
	return p.more.find(newEntry(group, true))
}

// entries yields the groups that the user is in.
func (p *person) entries() iter.Seq[entry] {
	if p.inLen > 0 {
		return slices.Values(p.in[:p.inLen])
	}
	return p.more.all()
}

// membership is a user's membership, with the number of its group.
type membership struct {
	*Member
	number uint32
}

func (m membership) compare(o membership) int {
	return cmp.Or(compareID(m.Group, o.Group), cmp.Compare(m.Source, o.Source))
}

// join adds a membership, in place of the one with its key, and reports whether
// there was none.
func (p *person) join(m membership) bool {
	_, there := p.memberships.find(m)
	p.memberships.put(m)
	p.note(m)
	return !there
}

// leave takes a membership out.
func (p *person) leave(m membership) {
	p.memberships.remove(m)
	p.note(m)
}

// note brings the entry of a membership's group up to date.
func (p *person) note(m membership) {
	in, stored := false, false
	for o := range p.memberships.from(membership{Member: &Member{MemberKey: MemberKey{Group: m.Group}}}) {
		if o.Group != m.Group {
			break
		}
		in, stored = true, stored || o.Source != SourceSync
	}
	e := newEntry(m.number, stored)
	switch {
	case in:
		p.enter(e)
	case p.more.len() > 0:
		p.more.remove(e)
		if p.more.len() <= len(p.in)/2 {
			p.inLen = uint8(copy(p.in[:], p.more.few))
			p.more = list[entry]{}
		}
	default:
		for i, o := range p.in[:p.inLen] {
			if o.group() == m.number {
				p.inLen--
				p.in[i] = p.in[p.inLen]
				return
			}
		}
	}
}

// enter adds an entry, in place of that of its group.
func (p *person) enter(e entry) {
	for i, o := range p.in[:p.inLen] {
		if o.group() == e.group() {
			p.in[i] = e
			return
		}
	}
	if p.more.len() == 0 && int(p.inLen) < len(p.in) {
		p.in[p.inLen] = e
		p.inLen++
		return
	}
	for _, o := range p.in[:p.inLen] {
		p.more.put(o)
	}
	p.inLen = 0
	p.more.put(e)
}
