package rules

import "github.com/muster-fleet/muster/workers/element"

// Elements whose names nobody has had before, or of which there are too many to be
// kept, are judged without anything being kept of them: where a title of the model
// stands in the element is noted for as long as it is looked at.

// spread is where the titles of the model's properties stand in one sequence.
type spread struct {
	where []int32 // by the title's number: the position and one; 0 when it does not stand there
	of    *sequence
}

// over makes s that of a sequence.
func (s *spread) over(p *Program, seq *sequence) {
	if s.of == seq {
		return
	}
	s.forget()
	if s.where == nil {
		s.where = make([]int32, len(p.names.texts))
	}
	for j, k := range seq.at {
		if k >= 0 {
			s.where[k] = int32(j + 1)
		}
	}
	s.of = seq
}

// forget has to be called before the sequence's names change.
func (s *spread) forget() {
	if s.of == nil {
		return
	}
	for _, k := range s.of.at {
		if k >= 0 {
			s.where[k] = 0
		}
	}
	s.of = nil
}

// loosely returns the names of the element being judged, which are not kept. They
// are valid until the next element.
func (d *decider) loosely() *sequence {
	if d.spread.of == &d.loose {
		d.spread.forget()
	}
	s := &d.loose
	s.forget()
	s.at = d.numbers(s.at[:0])
	return s
}

// numbers appends the number of each of the element's names among all titles of
// the model; -1 for one that is none of them.
func (d *decider) numbers(to []int32) []int32 {
	heads := d.b.Heads(d.i)
	for j := range d.b.PropertyCount(d.i) {
		k, size := d.p.names.begins(heads.Name(j))
		if size == 0 {
			k = d.p.names.find(d.text(d.name(j)))
		}
		to = append(to, int32(k))
	}
	return to
}

// name returns the token of one of the element's names.
func (d *decider) name(j int) []byte {
	v := d.b.View(d.i)
	return v.Property(j).Name
}

// shape is all that a form without names is made of.
type shape struct {
	names int
	mask  uint64
}

// maxShapes is how many forms without names are kept.
const maxShapes = 8 << 10

// nameless returns the outcome of acc for elements with at most 64 names, whatever
// they are called.
func (d *decider) nameless(seq *sequence) *outcome {
	key := shape{names: len(seq.at)}
	if len(d.acc) > 0 {
		key.mask = d.acc[0]
	}
	if o := d.shapes[key]; o != nil {
		return o
	}
	o := newOutcome(d.acc, len(seq.at), nil)
	if len(d.shapes) < maxShapes {
		d.shapes[key] = o
	}
	return o
}

// newOutcome clones the mask. names may be nil; see element.NewForm.
func newOutcome(acc []uint64, n int, names []string) *outcome {
	o := &outcome{mask: append([]uint64(nil), acc...)}
	if count(o.mask) < n {
		o.form = element.NewForm(n, o.mask, names)
	}
	return o
}
