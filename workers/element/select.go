package element

import (
	"math/bits"
	"slices"
)

// Select returns a request of what the selections leave of r, as an answer would
// write it, in a body that is appended to buf[:0]: whoever gets it sees neither
// what was taken away nor where it stood. A selection of a kind that r does not
// have is nil. Nothing is read again: the positions follow from those of r. A
// repetition stays a place of its element. Both requests are to be released; the
// body has to stay as it is until the new one is.
func (r *Request) Select(buf []byte, nodes, rels *Selection) (*Request, []byte) {
	out := requests.Get().(*Request)
	out.live = true
	out.Type = r.Type
	body := slices.Grow(buf[:0], len(`{"parameters":{"type":"relationships"},"data":{"nodes":[],"relationships":[]}}`)+
		r.Nodes.room(nodes)+r.Relationships.room(rels))
	body = append(append(append(body, `{"parameters":{"type":"`...), r.Type.String()...), `"},"data":`...)
	switch r.Type {
	case TypeNodes:
		body = r.Nodes.selectInto(&out.nodes, body, nodes, true)
	case TypeRelationships:
		body = r.Relationships.selectInto(&out.rels, body, rels, true)
	default:
		body = append(body, `{"nodes":`...)
		body = r.Nodes.selectInto(&out.nodes, body, nodes, true)
		body = append(body, `,"relationships":`...)
		body = r.Relationships.selectInto(&out.rels, body, rels, true)
		body = append(body, '}')
	}
	body = append(body, '}')
	out.body = body
	if r.Nodes != nil {
		out.Nodes = &out.nodes
		out.nodes.rest(Nodes, body, r.Nodes, nodes)
	}
	if r.Relationships != nil {
		out.Relationships = &out.rels
		out.rels.rest(Relationships, body, r.Relationships, rels)
	}
	return out, body
}

// Select returns a chunk of what the selection leaves of c; from is the ordinal
// of its first element among those that are left. It stands on data of its own,
// which is not used again. c stays as it is.
func (c *Chunk) Select(from int, s *Selection) *Chunk {
	b := chunks.Get().(*Batch)
	b.reset(c.Batch.kind, nil)
	data := c.Batch.selectInto(b, make([]byte, 0, c.Batch.room(s)), s, false)
	b.rest(c.Batch.kind, data, c.Batch, s)
	return &Chunk{From: from, Batch: b}
}

// room returns how many bytes what is left can have at most.
func (b *Batch) room(s *Selection) int {
	if b == nil {
		return 0
	}
	n := 0
	for w, word := range s.visible {
		for ; word != 0; word &= word - 1 {
			r := &b.recs[w<<6+bits.TrailingZeros64(word)]
			n += int(r.to-r.from) + 1
		}
	}
	return n
}

// selectInto appends what is left of b to body, as a JSON array or end to end,
// and notes the positions in out.
func (b *Batch) selectInto(out *Batch, body []byte, s *Selection, list bool) []byte {
	if s.n != len(b.recs) {
		panic("element: the selection is of another batch")
	}
	n := s.Count()
	out.recs = slices.Grow(out.recs[:0], n)
	if b.kind == Relationships {
		out.ends = slices.Grow(out.ends[:0], n)
	}
	out.props = slices.Grow(out.props[:0], len(b.props)/max(len(b.recs), 1)*n)
	if list {
		body = append(body, '[')
	}
	for w, word := range s.visible {
		for ; word != 0; word &= word - 1 {
			if list && len(out.recs) > 0 {
				body = append(body, ',')
			}
			i := w<<6 + bits.TrailingZeros64(word)
			body = b.copyElement(out, body, i, s.forms[s.of[i]])
		}
	}
	if list {
		body = append(body, ']')
	}
	return body
}

// copyElement appends element i in a form to body and its record to out.
func (b *Batch) copyElement(out *Batch, body []byte, i int, f *Form) []byte {
	r := &b.recs[i]
	m := mover{b: b, out: out, before: uint32(len(body)) - r.from, pivot: r.props.to}
	first := uint32(len(out.props))
	at := uint32(len(body))
	if f == nil {
		body = append(body, b.body[r.from:r.to]...)
		m.behind = m.before
		for _, p := range b.props[r.firstProp : r.firstProp+r.propCount] {
			out.props = append(out.props, prop{p.name + m.before, p.value + m.before})
		}
	} else {
		body = append(body, b.body[r.from:r.props.from]...)
		body, out.props = b.appendKept(body, out.props, r, f, true)
		m.behind = uint32(len(body)) - r.props.to
		body = append(body, b.body[r.props.to:r.to]...)
	}
	out.recs = append(out.recs, record{
		from: at, to: uint32(len(body)),
		id: m.move(r.id), what: m.move(r.what),
		props:     span{r.props.from + m.before, r.props.to + m.behind},
		firstProp: first, propCount: uint32(len(out.props)) - first,
	})
	if b.kind == Relationships {
		e := &b.ends[i]
		out.ends = append(out.ends, ends{m.move(e.start), m.move(e.end), m.move(e.startLabel), m.move(e.endLabel)})
	}
	return body
}

// mover tells where a piece of an element's text lies once it is copied.
type mover struct {
	b, out         *Batch
	before, behind uint32 // what to add to offsets before and behind pivot
	pivot          uint32 // the end of the properties
}

// move returns the new place of a span. Decoded text goes to the new arena; its
// offset still counts from the old body's length, see Batch.rest.
func (m *mover) move(s span) span {
	switch n := uint32(len(m.b.body)); {
	case s == span{}:
		return s
	case s.from >= n && s.to > s.from:
		from := n + uint32(len(m.out.arena))
		m.out.arena = append(m.out.arena, m.b.arena[s.from-n:s.to-n]...)
		return span{from, from + s.to - s.from}
	case s.from >= m.pivot:
		return span{s.from + m.behind, s.to + m.behind}
	default:
		return span{s.from + m.before, s.to + m.before}
	}
}

// rest completes b, into which elements of from have been copied.
func (b *Batch) rest(kind Kind, body []byte, from *Batch, s *Selection) {
	b.kind, b.body = kind, body
	// The new body is never longer than the old one, so offsets that point into
	// the arena can be told from others.
	if len(b.arena) > 0 {
		old, shorter := uint32(len(from.body)), uint32(len(from.body)-len(body))
		for i := range b.recs {
			b.recs[i].id.lower(old, shorter)
			b.recs[i].what.lower(old, shorter)
		}
		for i := range b.ends {
			e := &b.ends[i]
			e.start.lower(old, shorter)
			e.end.lower(old, shorter)
			e.startLabel.lower(old, shorter)
			e.endLabel.lower(old, shorter)
		}
	}
	if from.order != nil {
		b.order = from.placesLeft(s, len(b.recs))
	}
}

func (s *span) lower(old, by uint32) {
	if s.from >= old && s.to > s.from {
		s.from, s.to = s.from-by, s.to-by
	}
}

// placesLeft returns the places of the n elements that are left; nil when none
// of them repeats.
func (b *Batch) placesLeft(s *Selection, n int) []uint32 {
	rank := make([]uint32, s.n)
	next := uint32(0)
	for i := range rank {
		rank[i] = next
		if s.Visible(i) {
			next++
		}
	}
	var order []uint32
	for _, i := range b.order {
		if s.Visible(int(i)) {
			order = append(order, rank[i])
		}
	}
	if len(order) == n {
		return nil
	}
	return order
}
