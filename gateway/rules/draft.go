package rules

import (
	"hash/maphash"
	"slices"
)

// draft is a label being put together.
type draft struct {
	title       string
	all         []string // titles of the properties that the model knows, sorted
	wide        []int32  // their numbers in the model
	numbers     []int32  // by their places: the number in names and one; 0 when no rule names it
	names       []string
	places      []int32 // the numbers of names in the model
	first, last int32   // of its grants, which are chained
	count       int
}

// grant is what one rule says of one label.
type grant struct {
	rule  int32
	next  int32 // the label's next one; -1 at the end
	set   set
	tests []test
	also  []int32 // grants with the same tests, which this one stands for
	taken bool    // another one stands for it
}

// prop returns the number of a property among those that rules name.
func (d *draft) prop(name int32) int32 {
	if d.numbers[name] == 0 {
		d.names, d.places = append(d.names, d.all[name]), append(d.places, d.wide[name])
		d.numbers[name] = int32(len(d.names))
	}
	return d.numbers[name] - 1
}

// Rough bytes of what a program is made of.
const (
	sizeOfRule  = 16
	sizeOfText  = 32 // its bytes apart
	sizeOfTest  = 48
	sizeOfSet   = 64
	sizeOfEntry = 96
)

// finish turns what was collected into a label.
func (c *compiler) finish(d *draft, l *label) {
	l.title, l.names, l.places = d.title, d.names, d.places
	c.sets.reset()
	c.groups = slices.Grow(c.groups[:0], len(d.names))[:len(d.names)]
	c.union.reset()
	reserve(&c.number, d.count)
	from := len(c.number)
	for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
		if g := &c.grants[at]; len(g.tests) == 0 {
			l.open = true
			c.union.add(&g.set)
			c.number = append(c.number, g.rule)
		}
	}
	l.always = c.number[from:len(c.number):len(c.number)]
	if l.open {
		l.base = c.sets.number(c.union.take(c))
	}
	c.bundle(d)
	c.countUses(d)
	for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
		if g := &c.grants[at]; len(g.tests) > 0 && !g.taken {
			c.enter(g)
		}
	}
	c.finishGroups(l)
	l.sets = slices.Clone(c.sets.sets)
	c.p.size += sizeOfSet*len(l.sets) + 4*(len(l.places)+len(l.always)) + sizeOfText*len(l.names)
}

// several yields the label's grants with several conditions.
func (c *compiler) several(d *draft) func(yield func(at int32, g *grant) bool) {
	return func(yield func(at int32, g *grant) bool) {
		for at := d.first; at >= 0 && d.count > 0; at = c.grants[at].next {
			if g := &c.grants[at]; len(g.tests) > 1 && !g.taken && !yield(at, g) {
				return
			}
		}
	}
}

// bundle has one grant stand for all that have the very same conditions, where
// they are several: otherwise each of them would be looked at for each node.
func (c *compiler) bundle(d *draft) {
	var known map[uint64]int32
	for at, g := range c.several(d) {
		if known == nil {
			known = map[uint64]int32{}
		}
		h := c.hashTests(g.tests)
		first, is := known[h]
		switch {
		case !is:
			known[h] = at
		case slices.EqualFunc(c.grants[first].tests, g.tests, equalTests):
			g.taken = true
			f := &c.grants[first]
			f.also = append(f.also, at)
		}
	}
}

func (c *compiler) hashTests(tests []test) uint64 {
	h := uint64(len(tests))
	for k := range tests {
		h = (h ^ uint64(tests[k].prop)) * 0x9E3779B97F4A7C15
		for _, text := range tests[k].values.texts {
			h = (h ^ maphash.String(c.seed, text)) * 0x9E3779B97F4A7C15
		}
	}
	return h
}

func equalTests(a, b test) bool {
	return a.prop == b.prop && slices.Equal(a.values.texts, b.values.texts)
}

// maxCounts is how many counters there are at most: values may share one, which
// makes a choice worse and no answer wrong.
const maxCounts = 1 << 20

// countUses counts how many of the grants with several conditions want each
// value.
func (c *compiler) countUses(d *draft) {
	n := 0
	for _, g := range c.several(d) {
		for k := range g.tests {
			n += len(g.tests[k].values.texts)
		}
	}
	size := 0
	if n > 0 {
		for size = 64; size < 2*n && size < maxCounts; {
			size *= 2
		}
	}
	c.counts = slices.Grow(c.counts[:0], size)[:size]
	clear(c.counts)
	for _, g := range c.several(d) {
		for k := range g.tests {
			for _, text := range g.tests[k].values.texts {
				*c.uses(g.tests[k].prop, text)++
			}
		}
	}
}

// uses is the counter of a value.
func (c *compiler) uses(prop int32, text string) *int32 {
	h := maphash.String(c.seed, text) + uint64(prop)*0x9E3779B97F4A7C15
	return &c.counts[(h^h>>32)&uint64(len(c.counts)-1)]
}

// enter files a grant under the values of the condition that fewest others
// share, so that many rules which have one condition in common are not all
// looked at for each node.
func (c *compiler) enter(g *grant) {
	best, least := 0, int32(-1)
	for k := range g.tests {
		if len(g.tests) == 1 {
			break
		}
		most := int32(0)
		for _, text := range g.tests[k].values.texts {
			most = max(most, *c.uses(g.tests[k].prop, text))
		}
		if least < 0 || most < least {
			best, least = k, most
		}
	}
	g.tests[0], g.tests[best] = g.tests[best], g.tests[0]
	first, rest := &g.tests[0], g.tests[1:]
	b := &c.groups[first.prop]
	if len(rest) == 0 {
		b.enter(&c.parts, first.values.texts, part{rule: g.rule, set: c.sets.number(g.set), clause: -1})
		return
	}
	c.p.size += sizeOfTest * len(rest)
	for k := range rest {
		c.p.size += sizeOfText * len(rest[k].values.texts)
	}
	rules := cutFrom(&c.number, g.rule)
	x := g.set
	if len(g.also) > 0 {
		c.union.reset()
		c.union.add(&g.set)
		for _, at := range g.also {
			c.union.add(&c.grants[at].set)
			rules = append(rules, c.grants[at].rule)
		}
		x = c.union.take(c)
	}
	c.clauses = append(c.clauses, clause{rules, c.sets.number(x), rest})
	b.enter(&c.parts, first.values.texts, part{clause: int32(len(c.clauses) - 1)})
}
