package rules

import (
	"encoding/binary"
	"iter"
	"slices"

	"github.com/muster-fleet/muster/registry/rule"
)

// Compile makes a program of a principal's rules. Rules that are not active do
// nothing, and neither do ids that the model does not know. The order of the
// rules does not matter. Neither m nor the rules are kept.
func Compile(m *rule.Model, rules iter.Seq[rule.Rule]) *Program {
	return compile(newIndex(m), rules)
}

func compile(x *index, rules iter.Seq[rule.Rule]) *Program {
	c := &compiler{index: x, labels: map[string]*draft{}, p: &Program{
		labels: map[string]*label{}, relations: map[triple]*relation{}, byType: map[string][]*relation{},
		ends: map[string]int{}, functions: map[rule.ID]bool{},
	}}
	for r := range rules {
		if r.Active {
			c.add(&r)
		}
	}
	p := c.p
	p.ordered = make([]*label, 0, len(c.drafts))
	for _, d := range c.drafts {
		l := d.finish(len(p.ordered))
		p.labels[l.title] = l
		p.ordered = append(p.ordered, l)
	}
	p.titles = newTitles(p.ordered)
	p.deciders.New = func() any { return newDecider(p) }
	return p
}

// compiler collects what rules say, by label.
type compiler struct {
	index  *index
	labels map[string]*draft
	drafts []*draft
	p      *Program
	conds  []condition // of the rule being added
}

// condition is what a rule wants of one property of one entity.
type condition struct {
	entity   rule.ID
	property rule.ID
	values   []string
}

// add takes a rule in. One with a condition that concerns nothing the rule lists
// grants nothing at all.
func (c *compiler) add(r *rule.Rule) {
	if !c.conditions(r) {
		return
	}
	number := int32(len(c.p.ids))
	grants := len(r.Functions) > 0
	for _, g := range r.Entities { // an entity that comes twice has two grants, which add up
		e := c.index.entities[g.ID]
		if e == nil {
			continue
		}
		grants = true
		d := c.draft(e.title)
		set := d.empty()
		for _, id := range g.Properties {
			if title, ok := e.props[id]; ok {
				set = d.with(set, title)
			}
		}
		d.grants = append(d.grants, grant{number, set, c.testsFor(d, e, g.ID)})
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

// conditions sorts the rule's conditions by the entities they concern. It is
// false when one concerns none of those that the rule lists.
func (c *compiler) conditions(r *rule.Rule) bool {
	c.conds = c.conds[:0]
	for _, cond := range r.Conditions {
		concerned := false
		for _, owner := range c.index.owners[cond.Property] {
			if !slices.ContainsFunc(r.Entities, func(g rule.EntityGrant) bool { return g.ID == owner }) {
				continue
			}
			concerned = true
			at := slices.IndexFunc(c.conds, func(x condition) bool {
				return x.entity == owner && x.property == cond.Property
			})
			if at < 0 {
				at = len(c.conds)
				c.conds = append(c.conds, condition{entity: owner, property: cond.Property})
			}
			c.conds[at].values = append(c.conds[at].values, cond.Value)
		}
		if !concerned {
			return false
		}
	}
	return true
}

// testsFor returns the rule's conditions on one entity.
func (c *compiler) testsFor(d *draft, e *entity, id rule.ID) []test {
	var out []test
	for _, cond := range c.conds {
		if cond.entity != id {
			continue
		}
		t := test{prop: d.prop(e.props[cond.property])}
		for _, v := range cond.values {
			t.values.add(v)
		}
		out = append(out, t)
	}
	return out
}

func (c *compiler) draft(title string) *draft {
	d := c.labels[title]
	if d == nil {
		d = &draft{title: title, props: map[string]int32{}}
		c.labels[title] = d
		c.drafts = append(c.drafts, d)
	}
	return d
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

// draft is a label being put together.
type draft struct {
	title  string
	names  []string
	props  map[string]int32
	grants []grant
}

// grant is what one rule says of one label.
type grant struct {
	rule  int32
	set   []uint64
	tests []test
}

func (d *draft) prop(title string) int32 {
	k, ok := d.props[title]
	if !ok {
		k = int32(len(d.names))
		d.props[title] = k
		d.names = append(d.names, title)
	}
	return k
}

func (d *draft) empty() []uint64 { return make([]uint64, (len(d.names)+63)/64) }

// with adds a property to a set, which may be shorter than those made later.
func (d *draft) with(set []uint64, title string) []uint64 {
	k := d.prop(title)
	for len(set) <= int(k>>6) {
		set = append(set, 0)
	}
	set[k>>6] |= 1 << (k & 63)
	return set
}

// finish turns what was collected into a label.
func (d *draft) finish(index int) *label {
	l := &label{
		index: index, title: d.title, names: d.names, props: d.props,
		width: (len(d.names) + 63) / 64,
	}
	s := setTable{width: l.width, known: map[string]int32{}}
	base := make([]uint64, l.width)
	uses := d.uses()
	groups := map[int32]*building{}
	for i := range d.grants {
		g := &d.grants[i]
		if len(g.tests) == 0 {
			l.open = true
			union(base, g.set)
			l.always = append(l.always, g.rule)
			continue
		}
		d.enter(groups, g, &s, uses)
	}
	if l.open {
		l.base = s.number(base)
	}
	for prop := range int32(len(d.names)) { // in order, so that equal rules make equal programs
		if b := groups[prop]; b != nil {
			l.groups = append(l.groups, b.finish(prop, &s))
		}
	}
	l.sets, l.count = s.words, s.count
	return l
}

// use is a property and one of the values that conditions want of it.
type use struct {
	prop  int32
	value string
}

// uses counts how many of the grants with several conditions want each value.
func (d *draft) uses() map[use]int {
	uses := map[use]int{}
	for i := range d.grants {
		if len(d.grants[i].tests) < 2 {
			continue
		}
		for _, t := range d.grants[i].tests {
			for _, v := range t.values.all() {
				uses[use{t.prop, v}]++
			}
		}
	}
	return uses
}

// enter files a grant under the values of the condition that fewest others
// share, so that many rules which have one condition in common are not all
// looked at for each node.
func (d *draft) enter(groups map[int32]*building, g *grant, s *setTable, uses map[use]int) {
	best, least := 0, -1
	for k, t := range g.tests {
		most := 0
		for _, v := range t.values.all() {
			most = max(most, uses[use{t.prop, v}])
		}
		if least < 0 || most < least {
			best, least = k, most
		}
	}
	first := g.tests[best]
	b := groups[first.prop]
	if b == nil {
		b = &building{}
		groups[first.prop] = b
	}
	for _, v := range first.values.all() {
		e := b.entry(v)
		if len(g.tests) == 1 {
			if e.union == nil {
				e.union = make([]uint64, s.width)
			}
			union(e.union, g.set)
			e.rules = append(e.rules, g.rule)
			continue
		}
		rest := slices.Delete(slices.Clone(g.tests), best, best+1)
		e.clauses = append(e.clauses, clause{g.rule, s.number(g.set), rest})
	}
}

// building is a group being put together.
type building struct {
	values  values
	entries []*buildingEntry
}

type buildingEntry struct {
	entry
	union []uint64
}

func (b *building) entry(value string) *buildingEntry {
	k := b.values.add(value)
	if int(k) == len(b.entries) {
		b.entries = append(b.entries, &buildingEntry{})
	}
	return b.entries[k]
}

func (b *building) finish(prop int32, s *setTable) group {
	g := group{prop: prop, values: b.values, entries: make([]entry, len(b.entries))}
	for k, e := range b.entries {
		e.set = -1
		if e.union != nil {
			e.set = s.number(e.union)
		}
		g.entries[k] = e.entry
	}
	for _, v := range b.values.few {
		g.tokens = append(g.tokens, newToken(v))
	}
	return g
}

// setTable numbers distinct sets of properties.
type setTable struct {
	width int
	words []uint64
	known map[string]int32
	key   []byte
	count int32
}

// number takes a set, which may be shorter than the width.
func (s *setTable) number(set []uint64) int32 {
	s.key = s.key[:0]
	for w := range s.width {
		word := uint64(0)
		if w < len(set) {
			word = set[w]
		}
		s.key = binary.LittleEndian.AppendUint64(s.key, word)
	}
	if k, ok := s.known[string(s.key)]; ok {
		return k
	}
	for w := range s.width {
		s.words = append(s.words, binary.LittleEndian.Uint64(s.key[8*w:]))
	}
	k := s.count
	s.count++
	s.known[string(s.key)] = k
	return k
}

func union(dst, set []uint64) {
	for w, word := range set {
		dst[w] |= word
	}
}
