package rules

import (
	"cmp"
	"hash/maphash"
	"iter"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry/rule"
)

// Compile makes a program of a principal's rules. Rules that are not active do
// nothing, and neither do ids that the model does not know. The order of the
// rules does not matter. Neither m nor the rules are kept.
func Compile(m *rule.Model, rules iter.Seq[rule.Rule]) *Program {
	return compile(newIndex(m), rules)
}

func compile(x *index, rules iter.Seq[rule.Rule]) *Program {
	c := newCompiler(x)
	for r := range rules {
		if r.Active {
			c.add(&r)
		}
	}
	return c.finishAll()
}

// compilePacked is compile for rules as a set has them, which are active.
func compilePacked(x *index, rules []*rule.Packed) *Program {
	c := newCompiler(x)
	var r rule.Rule
	for _, p := range rules {
		p.Grants(&r)
		c.add(&r)
	}
	return c.finishAll()
}

func newCompiler(x *index) *compiler {
	return &compiler{
		index: x, seed: maphash.MakeSeed(), relations: map[rule.ID]*relation{}, placed: map[[3]int32]*relation{},
		draftOf: make([]int32, len(x.kinds)), marks: make([]mark, len(x.entities)),
		p: &Program{
			kinds: map[string]*kindOf{}, ends: map[string]int32{}, functions: map[rule.ID]bool{},
		},
	}
}

// finishAll makes the program of what was added.
func (c *compiler) finishAll() *Program {
	p := c.p
	c.union.grow(c.drafts)
	c.sortRelations()
	labels := make([]label, len(c.drafts))
	p.ordered = make([]*label, len(c.drafts))
	texts := make([]string, len(c.drafts))
	for k := range c.drafts {
		labels[k].index = k
		c.finish(&c.drafts[k], &labels[k])
		p.ordered[k], texts[k] = &labels[k], labels[k].title
	}
	p.titles, p.names = newTitles(texts), &c.index.names
	p.size += sizeOfRule * len(p.ids)
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
	wants   []want  // of the rule being taken in, sorted
	tail    []int32 // scratch
	groups  []building
	union   union    // scratch
	sets    setTable // scratch
	counts  []int32  // scratch: how many grants want a value, by its hash
	seed    maphash.Seed
	places  []int32 // of drafts
	// relations are those of the program by the model's ids.
	relations map[rule.ID]*relation
	// placed are the same by the numbers of type, start and end.
	placed map[[3]int32]*relation

	// What programs are made of is cut from these, so that a program is made of a
	// few large pieces of memory.
	grants  []grant
	tests   []test
	texts   []string
	number  []int32
	tokens  []token
	entries []entry
	grouped []group
	clauses []clause
	parts   []part
}

// mark says of an entity which rule listed it last, and the grant made for it.
type mark struct{ rule, grant int32 }

// want is one value that a rule wants of a property of an entity.
type want struct {
	entity   int32 // its place in the index
	property rule.ID
	value    string
}

func compareWants(a, b want) int {
	return cmp.Or(cmp.Compare(a.entity, b.entity), cmp.Compare(a.property, b.property), strings.Compare(a.value, b.value))
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
			c.relation(id, t, number)
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
	var x set
	c.tail = c.tail[:0]
	if m.grant >= 0 {
		x = c.grants[m.grant].set
		c.tail = append(c.tail, x.tail...)
	}
	for _, id := range properties {
		if name, ok := e.name(id); ok {
			if k := d.prop(name); k < 64 {
				x.head |= 1 << k
			} else {
				c.tail = append(c.tail, k)
			}
		}
	}
	if len(c.tail) > 0 {
		slices.Sort(c.tail)
		c.tail = slices.Compact(c.tail)
	}
	x.tail = cutFrom(&c.number, c.tail...)
	if m.grant >= 0 {
		c.grants[m.grant].set = x
		return
	}
	m.grant = int32(len(c.grants))
	c.grants = append(c.grants, grant{rule: number, next: -1, set: x, tests: c.testsFor(d, e, at)})
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
	c.wants = c.wants[:0]
	for k := range r.Conditions {
		cond := &r.Conditions[k]
		concerned := false
		for _, o := range c.index.ownersOf(cond.Property) {
			e := c.index.entity(o.entity)
			if _, has := c.index.entities[e].name(cond.Property); !has || c.marks[e].rule != c.rule {
				continue
			}
			concerned = true
			c.wants = append(c.wants, want{int32(e), cond.Property, cond.Value})
		}
		if !concerned {
			return false
		}
	}
	if len(c.wants) > 1 {
		slices.SortFunc(c.wants, compareWants)
		c.wants = slices.Compact(c.wants)
	}
	return true
}

// testsFor returns the rule's conditions on one entity, in the order of their
// properties, so that equal conditions make equal tests.
func (c *compiler) testsFor(d *draft, e *entity, at int32) []test {
	if len(c.wants) == 0 {
		return nil
	}
	from, _ := slices.BinarySearchFunc(c.wants, at, func(w want, at int32) int { return cmp.Compare(w.entity, at) })
	to, properties := from, 0
	for ; to < len(c.wants) && c.wants[to].entity == at; to++ {
		if to == from || c.wants[to].property != c.wants[to-1].property {
			properties++
		}
	}
	if properties == 0 {
		return nil
	}
	reserve(&c.tests, properties)
	first := len(c.tests)
	for wants := c.wants[from:to]; len(wants) > 0; {
		n := 1
		for n < len(wants) && wants[n].property == wants[0].property {
			n++
		}
		c.tests = append(c.tests, c.test(d, e, wants[:n]))
		wants = wants[n:]
	}
	return c.tests[first:len(c.tests):len(c.tests)]
}

// test is the condition on one property.
func (c *compiler) test(d *draft, e *entity, wants []want) test {
	name, _ := e.name(wants[0].property) // the entity has it: conditions has looked
	t := test{prop: d.prop(name)}
	reserve(&c.texts, len(wants))
	from := len(c.texts)
	for k := range wants {
		c.texts = append(c.texts, wants[k].value)
		t.values.max = max(t.values.max, len(wants[k].value))
	}
	t.values.texts = c.texts[from:len(c.texts):len(c.texts)]
	return t
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
			title: k.title, all: k.names, wide: k.numbers, numbers: c.places[from:to:to],
			// The room for all names of most entities, and for some of very wide ones.
			names:  cutFrom(&c.texts, k.names[:min(len(k.names), 32)]...)[:0],
			places: cutFrom(&c.number, k.numbers[:min(len(k.names), 32)]...)[:0],
		})
		c.draftOf[kind] = int32(len(c.drafts))
	}
	return &c.drafts[c.draftOf[kind]-1]
}

// sizeOfRelation is rough bytes.
const sizeOfRelation = 128

// relation notes that a rule lists a relationship.
func (c *compiler) relation(id rule.ID, t triple, number int32) {
	r := c.relations[id]
	if r == nil {
		r = c.newRelation(t)
		c.relations[id] = r
	}
	if n := len(r.rules); n == 0 || r.rules[n-1] != number {
		r.rules = append(r.rules, number)
	}
}

// newRelation returns the relation of three names, which another id may have made.
func (c *compiler) newRelation(t triple) *relation {
	k := c.p.kinds[t.kind]
	if k == nil {
		k = &kindOf{number: len(c.p.kinds), starts: map[int32][]*relation{}}
		c.p.kinds[t.kind] = k
	}
	start, end := c.end(t.from), c.end(t.to)
	place := [3]int32{int32(k.number), start, end}
	r := c.placed[place]
	if r == nil {
		r = &relation{end: end}
		c.placed[place] = r
		k.starts[start] = append(k.starts[start], r)
		c.p.size += sizeOfRelation
	}
	return r
}

// sortRelations puts them in the order in which they are looked up.
func (c *compiler) sortRelations() {
	for _, k := range c.p.kinds {
		for _, all := range k.starts {
			slices.SortFunc(all, func(a, b *relation) int { return cmp.Compare(a.end, b.end) })
		}
	}
}

// end returns the index of a label that a relationship begins or ends with.
func (c *compiler) end(title string) int32 {
	k, ok := c.p.ends[title]
	if !ok {
		k = int32(len(c.p.ends))
		c.p.ends[title] = k
	}
	return k
}
