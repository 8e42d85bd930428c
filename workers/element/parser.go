package element

import "slices"

// flaw is what is wrong with JSON that is well-formed but no element.
type flaw uint8

const (
	flawNone flaw = iota
	flawNotObject
	flawID        // elementId missing, no string, or empty
	flawLongID    // elementId over MaxID
	flawLabels    // labels missing or no array of strings
	flawProps     // properties missing or no object
	flawType      // a relationship's type missing or no string
	flawStart     // startNodeElementId
	flawEnd       // endNodeElementId
	flawEndLabel  // startNodeLabel or endNodeLabel is no string
	flawUnnamed   // a member that the contract does not name
	flawOverflows // offsets beyond 32 bits
)

// cut is a piece of the body that DropUnknownMembers leaves out.
type cut struct{ from, to uint32 }

// parser is the hand-written reader: one pass over the bytes that validates the
// JSON, checks the shape and notes the positions. It only says whether a text
// is good; what is wrong with a bad one is found by the reference reader.
type parser struct {
	nameScanner
	batch *Batch
	drop  bool
	cuts  []cut
	why   flaw
	plain []byte // scratch for a decoded name

	shapes  shapes      // the properties of the last elements
	members [3]template // the members of the last element of each kind
	at      [8]uint32   // where the members that matched the template begin
	fresh   []piece     // the members of the element being read that did not
	glue    []uint32    // where what stands before a property begins, of those that did not

	ahead ahead
}

// piece is what stands before a member's value: b[from:value].
type piece struct {
	from, value uint32
	which       uint8
}

// elements reads an array of elements that begins at i and is itself at depth.
func (p *parser) elements(b []byte, i, depth int, batch *Batch) int {
	if i >= len(b) || b[i] != '[' {
		return shape
	}
	p.into(batch)
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return i + 1
	}
	defer p.ahead.dismiss()
	for n := 0; ; n++ {
		from := i
		if i >= p.ahead.next {
			end, closed := p.join(i)
			if closed || end < 0 {
				return end
			}
			if i = end; i != from {
				continue
			}
		}
		if i = p.element(b, i, depth); i < 0 {
			return i
		}
		if n == 0 {
			batch.expect(len(b)-from, i-from)
			p.send(b, from, i, depth)
		}
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return i + 1
		default:
			return bad
		}
	}
}

// expect makes room for as many elements as fit into left bytes when all are as
// long as the first, so that growing does not copy again and again. A first one
// that is unlike the rest must not cost much: what is set aside is bounded by
// about half of the bytes left.
func (b *Batch) expect(left, size int) {
	n := left/size + left/size/8 + 1
	b.props = slices.Grow(b.props, min(n*len(b.props), left/24))
	n = min(n, left/256+1)
	b.recs = slices.Grow(b.recs, n)
	if b.kind == Relationships {
		b.ends = slices.Grow(b.ends, n)
	}
}

// element reads one element that begins at i and appends it to the batch. depth
// counts what is open around it.
func (p *parser) element(b []byte, i, depth int) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '{' {
		return p.flawed(flawNotObject)
	}
	r := record{from: uint32(i), firstProp: uint32(len(p.batch.props))}
	var e ends
	i++
	k := 0
	if !p.drop {
		t := &p.members[p.batch.kind]
		for ; ; k++ {
			n := t.match(b, i, k)
			if n == 0 {
				break
			}
			m := &t.marks[k]
			p.at[k] = uint32(i) + uint32(m.quote)
			if i = p.part(b, skipSpace(b, i+n), depth+1, int(m.which), &r, &e); i < 0 {
				return i
			}
		}
	}
	return p.otherMembers(b, i, depth, k, &r, &e)
}

// otherMembers reads the rest of an element of which the first known members
// came as the template says: nothing but the brace, most of the time.
func (p *parser) otherMembers(b []byte, i, depth, known int, r *record, e *ends) int {
	from := i
	if i = skipSpace(b, i); i >= len(b) {
		return more
	}
	switch {
	case b[i] == '}':
		r.to = uint32(i + 1)
		return p.finish(i+1, r, e)
	case known == 0:
	case b[i] != ',':
		return bad
	default:
		i = skipSpace(b, i+1)
	}
	return p.newMembers(b, from, i, depth, known, r, e)
}

// newMembers reads the rest of an element from the name at i on; the member
// before ends at from. It makes the element the template.
func (p *parser) newMembers(b []byte, from, i, depth, known int, r *record, e *ends) int {
	t := &p.members[p.batch.kind]
	var cuts unnamed
	o := openObject{base: len(p.names)}
	p.recall(b, t, known, &o, func(k int) uint32 { return p.at[k] })
	p.fresh = p.fresh[:0]
	for {
		at := i
		if i = p.name(b, i, &o); i < 0 {
			return i
		}
		which := p.member(b, &o)
		if which == 0 && !p.drop {
			return p.flawed(flawUnnamed)
		}
		p.fresh = append(p.fresh, piece{uint32(from), uint32(i), uint8(which)})
		if i = p.part(b, i, depth+1, which, r, e); i < 0 {
			return i
		}
		if p.drop {
			p.cuts = cuts.member(p.cuts, which == 0, at, i)
		}
		from = i
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' {
			return bad
		}
		break
	}
	names := p.names[o.base+known:] // they stay in the array until the next name
	if i = p.close(b, i, &o); i < 0 {
		return i
	}
	if p.drop {
		p.cuts = cuts.end(p.cuts)
	} else {
		// Not before here are the names known to differ.
		t.cut(known)
		for j, f := range p.fresh {
			t.add(b[f.from:f.value], int(names[j].from-1-f.from), int(names[j].to-names[j].from), int(f.which))
		}
	}
	r.to = uint32(i)
	return p.finish(i, r, e)
}

// finish checks that an element is whole and keeps it.
func (p *parser) finish(end int, r *record, e *ends) int {
	switch {
	case r.id == span{}:
		return p.flawed(flawID)
	case r.props == span{}:
		return p.flawed(flawProps)
	case p.batch.kind == Nodes && r.what == span{}:
		return p.flawed(flawLabels)
	case p.batch.kind == Nodes:
	case r.what == span{}:
		return p.flawed(flawType)
	case e.start == span{}:
		return p.flawed(flawStart)
	case e.end == span{}:
		return p.flawed(flawEnd)
	}
	r.propCount = uint32(len(p.batch.props)) - r.firstProp
	p.batch.append(r, e)
	if len(p.batch.recs) == sample {
		p.batch.foresee(end)
	}
	return end
}

// append keeps an element. Its id is looked at now, while it is in the cache.
func (b *Batch) append(r *record, e *ends) {
	if n := len(b.recs); n > 0 && !b.unsorted {
		b.unsorted = !follows(text(b.body, b.arena, r.id), b.ID(n-1))
	}
	b.recs = append(b.recs, *r)
	if b.kind == Relationships {
		b.ends = append(b.ends, *e)
	}
}

// sample is how many elements tell how many more there will be.
const sample = 256

// foresee makes room for the elements that probably follow the first ones, which
// end at end: growing by halves would copy the notes of a large batch several
// times, and time would not stay linear in its elements. A wrong guess costs
// growth, or memory that is never touched: at most what a body of elements as
// small as the sample's would need.
func (b *Batch) foresee(end int) {
	from := int(b.recs[0].from)
	until := b.until
	if until == 0 {
		until = len(b.body)
	}
	if end <= from || end >= until {
		return
	}
	rest := (until - end) / ((end-from)/sample + 1)
	b.recs = slices.Grow(b.recs, rest+rest/16)
	b.props = slices.Grow(b.props, len(b.props)*(rest+rest/16)/sample)
	if b.kind == Relationships {
		b.ends = slices.Grow(b.ends, rest+rest/16)
	}
}

func (p *parser) flawed(why flaw) int {
	p.why = why
	return shape
}

// properties reads the properties object and notes where each one begins.
func (p *parser) properties(b []byte, i, depth int, r *record) int {
	if i >= len(b) {
		return more
	}
	if b[i] != '{' {
		return p.flawed(flawProps)
	}
	r.props.from = uint32(i)
	i++
	t := p.shapes.current()
	props := p.batch.props
	first := len(props)
	k := 0
	for ; ; k++ {
		n := t.match(b, i, k)
		if n == 0 {
			if i < len(b) && b[i] == '}' {
				break
			}
			if t, n = p.shapes.other(b, i, k); n == 0 {
				break
			}
		}
		value := skipSpace(b, i+n)
		props = append(props, prop{uint32(i) + uint32(t.marks[k].quote), uint32(value)})
		if value < len(b) && b[value] == '"' {
			i = skipString(b, value+1)
		} else {
			i = p.value(b, value, depth)
		}
		if i < 0 {
			return i
		}
	}
	p.batch.props = props
	from := i
	if i = skipSpace(b, i); i >= len(b) {
		return more
	}
	switch {
	case b[i] == '}':
		r.props.to = uint32(i + 1)
		r.skeleton = p.shapes.ended(p.batch, k)
		return i + 1
	case k == 0:
	case b[i] != ',':
		return bad
	default:
		i = skipSpace(b, i+1)
	}
	return p.newProperties(b, from, i, depth, first, r)
}

// newProperties reads the rest of a properties object from the name at i on;
// the property before ends at from, and those from first on came as the template
// says. It makes the object a template.
func (p *parser) newProperties(b []byte, from, i, depth, first int, r *record) int {
	o := openObject{base: len(p.names)}
	props := p.batch.props
	known := len(props) - first
	p.recall(b, &p.shapes.current().template, known, &o, func(k int) uint32 { return props[first+k].name })
	p.glue = p.glue[:0]
	for {
		name := i
		if i = p.name(b, i, &o); i < 0 {
			return i
		}
		p.glue = append(p.glue, uint32(from))
		props = append(props, prop{uint32(name), uint32(i)})
		if i = p.value(b, i, depth); i < 0 {
			return i
		}
		from = i
		if i = skipSpace(b, i); i >= len(b) {
			return more
		}
		if b[i] == ',' {
			i = skipSpace(b, i+1)
			continue
		}
		if b[i] != '}' {
			return bad
		}
		break
	}
	names := p.names[o.base+known:] // they stay in the array until the next name
	p.batch.props = props
	r.props.to = uint32(i + 1)
	if i = p.close(b, i, &o); i < 0 {
		return i
	}
	// Not before here are the names known to differ.
	if t := p.shapes.fresh(known); t != nil {
		for j, g := range p.glue {
			x := props[first+known+j]
			t.add(b[g:x.value], int(x.name-g), int(names[j].to-names[j].from), 0)
		}
		r.skeleton = p.shapes.ended(p.batch, len(props)-first)
	}
	return i
}
