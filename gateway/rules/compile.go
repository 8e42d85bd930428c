package rules

import (
	"iter"

	"github.com/muster-fleet/muster/registry/rule"
)

// Compile makes a program of a principal's rules. Rules that are not active do
// nothing, and neither do ids that the model does not know. The order of the
// rules does not matter. Neither m nor the rules are kept.
func Compile(m *rule.Model, rules iter.Seq[rule.Rule]) *Program {
	return compile(newIndex(m), rules)
}

func compile(x *index, rules iter.Seq[rule.Rule]) *Program {
	c := &compiler{
		index: x, draftOf: make([]int32, len(x.kinds)), marks: make([]mark, len(x.entities)),
		p: &Program{
			relations: map[triple]*relation{}, byType: map[string][]*relation{},
			ends: map[string]int{}, functions: map[rule.ID]bool{},
		},
	}
	for r := range rules {
		if r.Active {
			c.add(&r)
		}
	}
	p := c.p
	labels := make([]label, len(c.drafts))
	p.ordered = make([]*label, len(c.drafts))
	for k := range c.drafts {
		labels[k].index = k
		c.finish(&c.drafts[k], &labels[k])
		p.ordered[k] = &labels[k]
	}
	p.titles = newTitles(p.ordered)
	p.deciders.New = func() any { return newDecider(p) }
	return p
}

// compiler collects what rules say, by label.
type compiler struct {
	index   *index
	p       *Program
	drafts  []draft
	draftOf []int32 // by the index's kind: the number of its draft and one
	marks   []mark  // by the index's entity
	rule    int32   // counts the rules that were looked at
	conds   []condition
	set     []uint64 // scratch
	groups  []building
	unions  []uint64 // scratch
	sets    setTable // scratch
	places  []int32  // of drafts

	// What programs are made of is cut from these, so that a program is made of a
	// few large pieces of memory.
	grants  []grant
	tests   []test
	words   []uint64
	texts   []string
	number  []int32
	tokens  []token
	entries []entry
	grouped []group
}

// mark says of an entity which rule listed it last, and the grant made for it.
type mark struct{ rule, grant int32 }

// condition is what a rule wants of one property of one entity.
type condition struct {
	entity   int32 // its place in the index
	property rule.ID
	values   []string
}

// add takes a rule in. One with a condition that concerns nothing the rule lists
// grants nothing at all.
func (c *compiler) add(r *rule.Rule) {
	c.rule++
	for i := range r.Entities {
		if e := c.index.entity(r.Entities[i].ID); e >= 0 {
			c.marks[e] = mark{c.rule, -1}
		}
	}
	if !c.conditions(r) {
		return
	}
	number := int32(len(c.p.ids))
	grants := len(r.Functions) > 0
	for i := range r.Entities {
		g := &r.Entities[i]
		if e := c.index.entity(g.ID); e >= 0 {
			grants = true
			c.grant(number, int32(e), g.Properties)
		}
	}
	for _, id := range r.Relationships {
		if t, ok := c.index.relations[id]; ok {
			grants = true
			c.relation(t, number)
		}
	}
	for _, id := range r.Functions {
		c.p.functions[id] = true
	}
	if grants {
		c.p.ids = append(c.p.ids, r.ID)
	}
}

// grant notes what a rule grants of an entity, which it may list again.
func (c *compiler) grant(number, at int32, properties []rule.ID) {
	e := &c.index.entities[at]
	d := c.draft(e.kind)
	m := &c.marks[at]
	c.set = c.set[:0]
	if m.grant >= 0 {
		c.set = append(c.set, c.grants[m.grant].set...)
	}
	for _, id := range properties {
		if name, ok := e.name(id); ok {
			k := d.prop(name)
			for len(c.set) <= int(k>>6) {
				c.set = append(c.set, 0)
			}
			c.set[k>>6] |= 1 << (k & 63)
		}
	}
	if m.grant >= 0 {
		c.grants[m.grant].set = cutFrom(&c.words, c.set...)
		return
	}
	m.grant = int32(len(c.grants))
	c.grants = append(c.grants, grant{number, -1, cutFrom(&c.words, c.set...), c.testsFor(d, e, at)})
	if d.count == 0 {
		d.first = m.grant
	} else {
		c.grants[d.last].next = m.grant
	}
	d.last = m.grant
	d.count++
}

// Pieces of memory have room for so many items: few at first, because most
// programs are small and all that are kept keep what is left over.
const (
	smallestPiece = 8
	largestPiece  = 256
)

// reserve makes room for n more items at the end of a piece of memory: in another
// piece, if need be, so that nothing is copied.
func reserve[T any](piece *[]T, n int) {
	if cap(*piece)-len(*piece) < n {
		*piece = make([]T, 0, max(n, smallestPiece, min(2*cap(*piece), largestPiece)))
	}
}

// cutFrom appends what is given to a piece of memory and returns it there.
func cutFrom[T any](piece *[]T, items ...T) []T {
	reserve(piece, len(items))
	from := len(*piece)
	*piece = append(*piece, items...)
	return (*piece)[from:len(*piece):len(*piece)]
}

// conditions sorts the rule's conditions by the entities they concern. It is
// false when one concerns none of those that the rule lists.
func (c *compiler) conditions(r *rule.Rule) bool {
	c.conds = c.conds[:0]
	for k := range r.Conditions {
		cond := &r.Conditions[k]
		concerned := false
		for _, o := range c.index.ownersOf(cond.Property) {
			e := c.index.entity(o.entity)
			if _, has := c.index.entities[e].name(cond.Property); !has || c.marks[e].rule != c.rule {
				continue
			}
			concerned = true
			x := c.condition(int32(e), cond.Property)
			x.values = append(x.values, cond.Value)
		}
		if !concerned {
			return false
		}
	}
	return true
}

// condition returns the rule's condition on a property of an entity.
func (c *compiler) condition(entity int32, property rule.ID) *condition {
	n := len(c.conds)
	for k := range c.conds {
		if x := &c.conds[k]; x.entity == entity && x.property == property {
			return x
		}
	}
	if n == cap(c.conds) {
		c.conds = append(c.conds, condition{})
	}
	c.conds = c.conds[:n+1]
	x := &c.conds[n]
	x.entity, x.property, x.values = entity, property, x.values[:0]
	return x
}

// testsFor returns the rule's conditions on one entity.
func (c *compiler) testsFor(d *draft, e *entity, at int32) []test {
	reserve(&c.tests, len(c.conds))
	from := len(c.tests)
	for k := range c.conds {
		cond := &c.conds[k]
		if cond.entity != at {
			continue
		}
		name, _ := e.name(cond.property) // the entity has it: conditions has looked
		t := test{prop: d.prop(name)}
		t.values.few = cutFrom(&c.texts, cond.values...)[:0]
		for _, v := range cond.values {
			t.values.add(v)
		}
		c.tests = append(c.tests, t)
	}
	return c.tests[from:len(c.tests):len(c.tests)]
}

// draft returns the draft of a kind of the index.
func (c *compiler) draft(kind int32) *draft {
	if c.draftOf[kind] == 0 {
		k := &c.index.kinds[kind]
		reserve(&c.places, len(k.names))
		from, to := len(c.places), len(c.places)+len(k.names)
		c.places = c.places[:to]
		clear(c.places[from:])
		c.drafts = append(c.drafts, draft{
			title: k.title, all: k.names, numbers: c.places[from:to:to],
			// The room for all names of most entities, and for some of very wide ones.
			names: cutFrom(&c.texts, k.names[:min(len(k.names), 32)]...)[:0],
		})
		c.draftOf[kind] = int32(len(c.drafts))
	}
	return &c.drafts[c.draftOf[kind]-1]
}

func (c *compiler) relation(t triple, number int32) {
	r := c.p.relations[t]
	if r == nil {
		r = &relation{triple: t, start: c.end(t.from), end: c.end(t.to)}
		c.p.relations[t] = r
		c.p.byType[t.kind] = append(c.p.byType[t.kind], r)
	}
	if n := len(r.rules); n == 0 || r.rules[n-1] != number {
		r.rules = append(r.rules, number)
	}
}

func (c *compiler) end(title string) int {
	k, ok := c.p.ends[title]
	if !ok {
		k = len(c.p.ends)
		c.p.ends[title] = k
	}
	return k
}
