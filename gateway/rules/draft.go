package rules

import (
	"encoding/binary"
	"slices"
)

// draft is a label being put together.
type draft struct {
	title       string
	all         []string // titles of the properties that the model knows, sorted
	numbers     []int32  // by their places: the number in names and one; 0 when no rule names it
	names       []string
	first, last int32 // of its grants, which are chained
	count       int
}

// grant is what one rule says of one label.
type grant struct {
	rule  int32
	next  int32 // the label's next one; -1 at the end
	set   []uint64
	tests []test
}

// prop returns the number of a property among those that rules name.
func (d *draft) prop(name int32) int32 {
	if d.numbers[name] == 0 {
		d.names = append(d.names, d.all[name])
		d.numbers[name] = int32(len(d.names))
	}
	return d.numbers[name] - 1
}

// finish turns what was collected into a label.
func (c *compiler) finish(d *draft, l *label) {
	l.title, l.names, l.width = d.title, d.names, (len(d.names)+63)/64
	reserve(&c.number, len(d.numbers))
	from := len(c.number)
	for _, k := range d.numbers {
		if k > 0 {
			c.number = append(c.number, k-1)
			l.ends |= endOf(d.names[k-1])
		}
	}
	l.sorted = c.number[from:len(c.number):len(c.number)]
	s := &c.sets
	s.width, s.words, s.count, s.known = l.width, s.words[:0], 0, nil
	c.unions = slices.Grow(c.unions[:0], l.width)[:l.width]
	clear(c.unions)
	c.groups = slices.Grow(c.groups[:0], len(d.names))[:len(d.names)]
	uses := c.uses(d)
	reserve(&c.number, d.count)
	from = len(c.number)
	for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
		g := &c.grants[at]
		if len(g.tests) == 0 {
			l.open = true
			union(c.unions, g.set)
			c.number = append(c.number, g.rule)
			continue
		}
	}
	l.always = c.number[from:len(c.number):len(c.number)]
	for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
		if g := &c.grants[at]; len(g.tests) > 0 {
			c.enter(g, s, uses)
		}
	}
	if l.open {
		l.base = s.number(c.unions)
	}
	c.finishGroups(l, s)
	l.sets, l.count = cutFrom(&c.words, s.words...), s.count
}

// finishGroups turns the groups into those of the label, in order, so that equal
// rules make equal programs.
func (c *compiler) finishGroups(l *label, s *setTable) {
	reserve(&c.grouped, len(c.groups))
	from := len(c.grouped)
	for prop := range c.groups {
		if b := &c.groups[prop]; len(b.entries) > 0 {
			c.grouped = append(c.grouped, c.finishGroup(b, int32(prop), s))
		}
	}
	l.groups = c.grouped[from:len(c.grouped):len(c.grouped)]
}

// use is a property and one of the values that conditions want of it.
type use struct {
	prop  int32
	value string
}

// uses counts how many of the grants with several conditions want each value.
func (c *compiler) uses(d *draft) map[use]int {
	var uses map[use]int
	for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
		g := &c.grants[at]
		if len(g.tests) < 2 {
			continue
		}
		if uses == nil {
			uses = map[use]int{}
		}
		for k := range g.tests {
			for _, v := range g.tests[k].values.all() {
				uses[use{g.tests[k].prop, v}]++
			}
		}
	}
	return uses
}

// enter files a grant under the values of the condition that fewest others
// share, so that many rules which have one condition in common are not all
// looked at for each node.
func (c *compiler) enter(g *grant, s *setTable, uses map[use]int) {
	best, least := 0, -1
	for k := range g.tests {
		if len(g.tests) == 1 {
			break
		}
		most := 0
		for _, v := range g.tests[k].values.all() {
			most = max(most, uses[use{g.tests[k].prop, v}])
		}
		if least < 0 || most < least {
			best, least = k, most
		}
	}
	g.tests[0], g.tests[best] = g.tests[best], g.tests[0]
	first, rest := &g.tests[0], g.tests[1:]
	b := &c.groups[first.prop]
	for _, v := range first.values.all() {
		e := c.entry(b, v)
		if len(rest) > 0 {
			e.clauses = append(e.clauses, clause{g.rule, s.number(g.set), rest})
			continue
		}
		if e.union == nil {
			e.union = cutFrom(&c.words, c.unions...)
			clear(e.union)
			e.rules = cutFrom(&c.number, g.rule)
		} else {
			e.rules = append(e.rules, g.rule)
		}
		union(e.union, g.set)
	}
}

// building is a group being put together. It is used again for other labels.
type building struct {
	values  values
	entries []buildingEntry
}

type buildingEntry struct {
	entry
	union []uint64
}

// entry returns a group's entry for a value; it is valid until the next call.
func (c *compiler) entry(b *building, value string) *buildingEntry {
	k := b.values.add(value)
	if int(k) == len(b.entries) {
		b.entries = append(b.entries, buildingEntry{})
	}
	return &b.entries[k]
}

// finishGroup empties what was built into a group.
func (c *compiler) finishGroup(b *building, prop int32, s *setTable) group {
	reserve(&c.entries, len(b.entries))
	from := len(c.entries)
	g := group{prop: prop, values: b.values}
	g.values.few = cutFrom(&c.texts, b.values.few...)
	for k := range b.entries {
		e := &b.entries[k]
		e.set = -1
		if e.union != nil {
			e.set = s.number(e.union)
		}
		c.entries = append(c.entries, e.entry)
	}
	g.entries = c.entries[from:len(c.entries):len(c.entries)]
	if b.values.many == nil {
		reserve(&c.tokens, len(g.values.few))
		from := len(c.tokens)
		for _, v := range g.values.few {
			c.tokens = append(c.tokens, newToken(v))
		}
		g.tokens = c.tokens[from:len(c.tokens):len(c.tokens)]
	}
	clear(b.entries)
	b.entries, b.values = b.entries[:0], values{few: b.values.few[:0]}
	return g
}

// setTable numbers distinct sets of properties.
type setTable struct {
	width int
	words []uint64
	known map[string]int32 // when there are more than fewSets
	key   []byte
	set   []uint64
	count int32
}

// fewSets is up to how many sets are compared one after the other.
const fewSets = 16

// number takes a set, which may be shorter than the width.
func (s *setTable) number(set []uint64) int32 {
	s.set = append(s.set[:0], set...)
	for len(s.set) < s.width {
		s.set = append(s.set, 0)
	}
	if s.known == nil {
		for k := range int(s.count) {
			if slices.Equal(s.words[k*s.width:(k+1)*s.width], s.set) {
				return int32(k)
			}
		}
	} else if k, ok := s.known[string(s.keyOf(s.set))]; ok {
		return k
	}
	s.words = append(s.words, s.set...)
	k := s.count
	s.count++
	switch {
	case s.known != nil:
		s.known[string(s.keyOf(s.set))] = k
	case s.count > fewSets:
		s.known = make(map[string]int32, 2*fewSets)
		for k := range int(s.count) {
			s.known[string(s.keyOf(s.words[k*s.width:(k+1)*s.width]))] = int32(k)
		}
	}
	return k
}

func (s *setTable) keyOf(set []uint64) []byte {
	s.key = s.key[:0]
	for _, word := range set {
		s.key = binary.LittleEndian.AppendUint64(s.key, word)
	}
	return s.key
}

func union(dst, set []uint64) {
	for w, word := range set {
		dst[w] |= word
	}
}
