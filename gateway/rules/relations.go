package rules

import (
	"cmp"
	"encoding/binary"
	"slices"

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

	memo  relationMemo
	pairs map[pair][]*relation
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
func (r *relations) knows(label []byte) bool { return r.p.titles.find(label) >= 0 }

// derived returns what rules list as a relationship of a graph that leaves one
// of its labels out, or both: the first one that is found, or all.
//
// Of many rules for one type those for the ends' labels are looked up, and what is
// found for two sets of labels is remembered: nodes of one kind have one set.
func (r *relations) derived(b *element.Batch, i int, from, to []byte, start, end int, first bool) []*relation {
	k := r.p.kinds[string(b.Type(i))]
	if k == nil {
		return nil
	}
	s, e := r.side(from, start), r.side(to, end)
	if !first {
		return r.between(k, s, e, nil, false)
	}
	key := pair{k.number, s, e}
	if found, known := r.pairs[key]; known {
		return found
	}
	if r.pairs == nil || len(r.pairs) >= maxPairs {
		r.pairs = map[pair][]*relation{}
	}
	found := r.between(k, s, e, nil, true)
	r.pairs[key] = found
	return found
}

// pair is a type and what is known of the labels of both ends.
type pair struct {
	kind       int
	start, end side
}

// maxPairs is how many pairs are remembered at a time.
const maxPairs = 1 << 16

// side is what is known of one end: the number of a label that was written, or of
// the node's set of labels and one, negative.
type side int

// side returns what is known of an end. A label that is written and that no
// relation ends with is the number behind all of them.
func (r *relations) side(written []byte, node int) side {
	if written == nil {
		return -side(r.labels.of[node]) - 1
	}
	if k, ok := r.p.ends[string(written)]; ok {
		return side(k)
	}
	return side(len(r.p.ends))
}

// labelsOf returns the end labels of a side.
func (r *relations) labelsOf(s side, one *[1]int32) []int32 {
	if s < 0 {
		return r.labels.list(uint32(-s - 1))
	}
	one[0] = int32(s)
	return one[:]
}

// is reports whether a side has an end label.
func (r *relations) is(s side, label int32) bool {
	if s < 0 {
		return r.labels.has(uint32(-s-1), label)
	}
	return int32(s) == label
}

// between appends the relations of a kind between two sides to out.
func (r *relations) between(k *kindOf, start, end side, out []*relation, first bool) []*relation {
	var one, other [1]int32
	ends := r.labelsOf(end, &other)
	for _, a := range r.labelsOf(start, &one) {
		all := k.starts[a]
		if len(all) <= 4*len(ends) {
			for _, x := range all {
				if r.is(end, x.end) {
					if out = append(out, x); first {
						return out
					}
				}
			}
			continue
		}
		for _, z := range ends {
			if x := withEnd(all, z); x != nil {
				if out = append(out, x); first {
					return out
				}
			}
		}
	}
	return out
}

// withEnd finds a relation by its end label among those with one start.
func withEnd(all []*relation, end int32) *relation {
	k, ok := slices.BinarySearchFunc(all, end, func(x *relation, end int32) int { return cmp.Compare(x.end, end) })
	if !ok {
		return nil
	}
	return all[k]
}

// find returns what rules list as the relationship; nil when none does.
func (r *relations) find(from, kind, to []byte) *relation {
	m := &r.memo
	if m.valid && string(m.kind) == string(kind) && string(m.from) == string(from) && string(m.to) == string(to) {
		return m.found
	}
	*m = relationMemo{true, from, kind, to, r.p.relation(from, kind, to)}
	return m.found
}

// relation returns what rules list by its three names.
func (p *Program) relation(from, kind, to []byte) *relation {
	k := p.kinds[string(kind)]
	if k == nil {
		return nil
	}
	start, ok := p.ends[string(from)]
	if !ok {
		return nil
	}
	end, ok := p.ends[string(to)]
	if !ok {
		return nil
	}
	return withEnd(k.starts[start], end)
}

// endLabels holds for each node of a graph which end labels it has: a number of
// a set, and every distinct set once.
type endLabels struct {
	width   int
	of      []uint32
	sets    []uint64 // as bits, end to end
	members []int32  // as lists, end to end
	until   []int    // where in members each list ends
	known   map[string]uint32
	set     []uint64 // scratch
	some    []int32  // scratch: the members of set
	key     []byte
	plain   []byte
}

// note adds the nodes of a batch.
func (e *endLabels) note(p *Program, b *element.Batch) {
	if e.known == nil {
		e.width = (len(p.ends) + 63) / 64
		e.known = map[string]uint32{}
		e.set = make([]uint64, e.width)
	}
	for i := range b.Len() {
		for _, k := range e.some {
			e.set[k>>6] = 0
		}
		e.some = e.some[:0]
		raw := b.LabelsRaw(i)
		for at := 1; at < len(raw); {
			if raw[at] != '"' {
				at++
				continue
			}
			end := stringEnd(raw, at)
			e.plain = element.AppendText(e.plain[:0], raw[at:end])
			if k, ok := p.ends[string(e.plain)]; ok && e.set[k>>6]>>(k&63)&1 == 0 {
				e.set[k>>6] |= 1 << (k & 63)
				e.some = append(e.some, k)
			}
			at = end
		}
		e.of = append(e.of, e.number())
	}
}

// number returns the number of the set that was read.
func (e *endLabels) number() uint32 {
	slices.Sort(e.some)
	e.key = e.key[:0]
	for _, k := range e.some {
		e.key = binary.LittleEndian.AppendUint32(e.key, uint32(k))
	}
	k, ok := e.known[string(e.key)]
	if !ok {
		k = uint32(len(e.known))
		e.known[string(e.key)] = k
		e.sets = append(e.sets, e.set...)
		e.members = append(e.members, e.some...)
		e.until = append(e.until, len(e.members))
	}
	return k
}

// has reports whether a set has an end label.
func (e *endLabels) has(set uint32, label int32) bool {
	return int(label) < 64*e.width && e.sets[int(set)*e.width+int(label>>6)]>>(label&63)&1 != 0
}

// list returns the members of a set.
func (e *endLabels) list(set uint32) []int32 {
	from := 0
	if set > 0 {
		from = e.until[set-1]
	}
	return e.members[from:e.until[set]]
}

// size is how many words the distinct sets take.
func (e *endLabels) size() int { return len(e.sets) + len(e.members)/2 + len(e.until) }

// forget empties the labels and keeps some of the memory.
func (e *endLabels) forget() {
	e.of, e.sets, e.members, e.until, e.known = e.of[:0], e.sets[:0], e.members[:0], e.until[:0], nil
	e.set, e.some = nil, e.some[:0]
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
