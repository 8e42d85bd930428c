package rules

import "slices"

// building is a group being put together. It is used again for other labels.
//
// Rules often ask for many values, and often for the same ones. Values that the
// same grants ask for share an entry, so that a rule with a thousand values that
// nobody else asks for is one entry and not a thousand.
type building struct {
	values  values
	entries []buildingEntry
	free    []int32 // entries that no value has any more
	round   int32   // counts the grants that were entered
	split   []int32 // scratch: the entries that a grant has split
}

type buildingEntry struct {
	parts  []part
	values int32 // how many have it
	round  int32 // in which it was split
	moved  int32 // the entry of those of its values that the grant of that round asks for
}

// part is what one grant gives to a value: a set or a clause.
type part struct{ rule, set, clause int32 }

// enter files a grant under values, which are distinct. pieces is where parts are
// cut from.
func (b *building) enter(pieces *[]part, texts []string, p part) {
	b.round++
	fresh := int32(-1)
	for _, text := range texts {
		if b.values.many == nil {
			b.enterFew(pieces, text, p)
			continue
		}
		k, there := b.values.many[text]
		if !there {
			if fresh < 0 {
				fresh = b.entry()
				b.entries[fresh].parts = cutFrom(pieces, p)
			}
			b.entries[fresh].values++
			b.values.many[text] = fresh
			b.values.max = max(b.values.max, len(text))
			continue
		}
		b.values.many[text] = b.move(k)
	}
	for _, k := range b.split {
		from, to := &b.entries[k], &b.entries[b.entries[k].moved]
		if from.values == 0 {
			from.parts, to.parts = nil, from.parts
			b.free = append(b.free, k)
		} else {
			to.parts = append(make([]part, 0, len(from.parts)+1), from.parts...)
		}
		to.parts = append(to.parts, p)
	}
	b.split = b.split[:0]
}

// enterFew is enter while each value has an entry of its own, whose number is
// the value's.
func (b *building) enterFew(pieces *[]part, text string, p part) {
	k := b.values.add(text)
	if int(k) == len(b.entries) {
		b.entries = append(b.entries, buildingEntry{values: 1})
	}
	if e := &b.entries[k]; e.parts == nil {
		e.parts = cutFrom(pieces, p)
	} else {
		e.parts = append(e.parts, p)
	}
}

// move takes a value out of an entry, to where those go that this round's grant
// asks for as well.
func (b *building) move(k int32) int32 {
	if b.entries[k].round != b.round {
		to := b.entry()
		b.entries[k].round, b.entries[k].moved = b.round, to
		b.split = append(b.split, k)
	}
	b.entries[k].values--
	to := b.entries[k].moved
	b.entries[to].values++
	return to
}

// entry returns the number of an empty entry.
func (b *building) entry() int32 {
	if n := len(b.free); n > 0 {
		k := b.free[n-1]
		b.free = b.free[:n-1]
		b.entries[k] = buildingEntry{}
		return k
	}
	b.entries = append(b.entries, buildingEntry{})
	return int32(len(b.entries) - 1)
}

// finishGroups turns the groups into those of the label, in order.
func (c *compiler) finishGroups(l *label) {
	reserve(&c.grouped, len(c.groups))
	from := len(c.grouped)
	for prop := range c.groups {
		if b := &c.groups[prop]; len(b.entries) > 0 {
			c.grouped = append(c.grouped, c.finishGroup(b, int32(prop)))
		}
	}
	l.groups = c.grouped[from:len(c.grouped):len(c.grouped)]
}

// finishGroup empties what was built into a group.
func (c *compiler) finishGroup(b *building, prop int32) group {
	reserve(&c.entries, len(b.entries))
	from := len(c.entries)
	g := group{prop: prop, values: b.values}
	g.values.few = cutFrom(&c.texts, b.values.few...)
	for k := range b.entries {
		c.entries = append(c.entries, c.finishEntry(b.entries[k].parts))
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
	c.p.size += sizeOfEntry*len(g.entries) + 2*sizeOfText*(len(b.values.few)+len(b.values.many))
	clear(b.entries)
	b.entries, b.free, b.values = b.entries[:0], b.free[:0], values{few: b.values.few[:0]}
	return g
}

// finishEntry brings together what grants give to the values of an entry.
func (c *compiler) finishEntry(parts []part) entry {
	e := entry{set: -1}
	clauses := 0
	for k := range parts {
		if parts[k].clause >= 0 {
			clauses++
		}
	}
	c.p.size += 4*len(parts) + sizeOfEntry*clauses
	if n := len(parts) - clauses; n > 0 {
		e.set, e.rules = c.together(parts, n)
		if e.set < 0 {
			// Their union would take more room than they do.
			e.clauses = make([]clause, 0, len(parts))
			for k := range parts {
				if p := &parts[k]; p.clause < 0 {
					e.clauses = append(e.clauses, clause{rules: cutFrom(&c.number, p.rule), set: p.set})
				}
			}
			c.p.size += sizeOfEntry * n
		}
	}
	if clauses > 0 {
		e.clauses = slices.Grow(e.clauses, clauses)
		for k := range parts {
			if at := parts[k].clause; at >= 0 {
				e.clauses = append(e.clauses, c.clauses[at])
			}
		}
	}
	return e
}

// smallUnion is up to how many members the tail of a union may have for each of
// the grants that it is made of. Tails beyond are as large as the label is wide,
// and there may be one for each value.
const smallUnion = 8

// together returns the union of the sets that n parts give, and their rules; -1
// when it would be large.
func (c *compiler) together(parts []part, n int) (number int32, rules []int32) {
	number = -1
	same := true
	for k := range parts {
		if p := &parts[k]; p.clause < 0 {
			same = same && (number < 0 || number == p.set)
			number = p.set
		}
	}
	if !same {
		c.union.reset()
		for k := range parts {
			if p := &parts[k]; p.clause < 0 {
				c.union.add(&c.sets.sets[p.set])
			}
		}
		if len(c.union.tail) > smallUnion*n {
			return -1, nil
		}
		before := len(c.sets.sets)
		if number = c.sets.number(c.union.take(c)); int(number) == before {
			c.p.size += 4 * len(c.union.tail)
		}
	}
	reserve(&c.number, n)
	from := len(c.number)
	for k := range parts {
		if p := &parts[k]; p.clause < 0 {
			c.number = append(c.number, p.rule)
		}
	}
	return number, c.number[from:len(c.number):len(c.number)]
}
