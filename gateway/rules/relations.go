package rules

import (
	"github.com/muster-fleet/muster/workers/element"
)

// relations judges relationships. In a graph a label that a relationship leaves
// out is any of those of the node at that end.
type relations struct {
	p     *Program
	graph bool
	// nodes are those of the graph that are left; ends finds them.
	nodes *element.Selection
	ends  func(i int) (start, end int, ok bool)
	at    int // the number of the batch's first relationship in the graph
	// labels are which of the program's end labels the nodes of a graph have.
	labels endLabels

	memo relationMemo
}

// relationMemo is what was found for the relationship before.
type relationMemo struct {
	valid          bool
	from, kind, to []byte
	found          *relation
}

// batch judges every relationship of a batch. listed, unless it is nil, gets
// those that a rule lists, whatever becomes of their ends.
func (r *relations) batch(b *element.Batch, out, listed *element.Selection) {
	r.memo = relationMemo{}
	for i := range b.Len() {
		from, to := b.EndLabels(i)
		whole := from != nil && to != nil
		if whole && r.find(from, b.Type(i), to) == nil {
			continue
		}
		if !r.graph {
			if whole && r.knows(from) && r.knows(to) {
				out.Show(i, 0)
				if listed != nil {
					listed.Show(i, 0)
				}
			}
			continue
		}
		start, end, ok := r.ends(r.at + i)
		if !whole && (!ok || len(r.derived(b, i, from, to, start, end, true)) == 0) {
			continue
		}
		if listed != nil {
			listed.Show(i, 0)
		}
		if ok && r.nodes.Visible(start) && r.nodes.Visible(end) {
			out.Show(i, 0)
		}
	}
}

// knows reports whether a rule lists the entity with this label.
func (r *relations) knows(label []byte) bool { return r.p.titles.find(label) != nil }

// derived returns what rules list as a relationship of a graph that leaves one
// of its labels out, or both: the first one, or all.
func (r *relations) derived(b *element.Batch, i int, from, to []byte, start, end int, first bool) []*relation {
	all := r.p.byType[string(b.Type(i))]
	for k, x := range all {
		if r.fits(from, x.from, start, x.start) && r.fits(to, x.to, end, x.end) {
			if first {
				return all[k : k+1]
			}
			return r.rest(all[k:], from, to, start, end)
		}
	}
	return nil
}

func (r *relations) rest(all []*relation, from, to []byte, start, end int) []*relation {
	var out []*relation
	for _, x := range all {
		if r.fits(from, x.from, start, x.start) && r.fits(to, x.to, end, x.end) {
			out = append(out, x)
		}
	}
	return out
}

// fits compares an end's label, if it was written, or else the node's.
func (r *relations) fits(written []byte, title string, node, index int) bool {
	if written != nil {
		return string(written) == title
	}
	return r.labels.has(node, index)
}

// find returns what rules list as the relationship; nil when none does.
func (r *relations) find(from, kind, to []byte) *relation {
	m := &r.memo
	if m.valid && string(m.kind) == string(kind) && string(m.from) == string(from) && string(m.to) == string(to) {
		return m.found
	}
	found := r.p.relations[triple{string(from), string(kind), string(to)}]
	*m = relationMemo{true, from, kind, to, found}
	return found
}

// endLabels holds for each node of a graph which end labels it has: a number of
// a set, and every distinct set once.
type endLabels struct {
	width int
	of    []uint32
	sets  []uint64 // end to end
	known map[string]uint32
	set   []uint64 // scratch
	key   []byte
	plain []byte
}

// note adds the nodes of a batch.
func (e *endLabels) note(p *Program, b *element.Batch) {
	if e.known == nil {
		e.width = (len(p.ends) + 63) / 64
		e.known = map[string]uint32{}
		e.set = make([]uint64, e.width)
	}
	for i := range b.Len() {
		clear(e.set)
		raw := b.LabelsRaw(i)
		for at := 1; at < len(raw); {
			if raw[at] != '"' {
				at++
				continue
			}
			end := stringEnd(raw, at)
			e.plain = element.AppendText(e.plain[:0], raw[at:end])
			if k, ok := p.ends[string(e.plain)]; ok {
				e.set[k>>6] |= 1 << (k & 63)
			}
			at = end
		}
		e.of = append(e.of, e.number())
	}
}

func (e *endLabels) number() uint32 {
	e.key = keyOf(e.key[:0], e.set)
	k, ok := e.known[string(e.key)]
	if !ok {
		k = uint32(len(e.known))
		e.known[string(e.key)] = k
		e.sets = append(e.sets, e.set...)
	}
	return k
}

// has reports whether a node has an end label.
func (e *endLabels) has(node, index int) bool {
	return e.sets[int(e.of[node])*e.width+index>>6]>>(index&63)&1 != 0
}

// forget empties the labels and keeps some of the memory.
func (e *endLabels) forget() {
	e.of, e.sets, e.known = e.of[:0], e.sets[:0], nil
}

// missing reports whether some relationship leaves a label out.
func missing(b *element.Batch) bool {
	for i := range b.Len() {
		if from, to := b.EndLabels(i); from == nil || to == nil {
			return true
		}
	}
	return false
}
