package rules

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// sequence returns the names of the element being judged; guess is what its
// label was folded with last.
func (d *decider) sequence(guess *fold) *sequence {
	number := int(d.b.Skeleton(d.i))
	if number == 0 || number >= len(d.skeletons) {
		return d.sequenceOf(guess)
	}
	seq := d.skeletons[number]
	if seq == nil {
		if seq = d.sequenceOf(guess); seq.keep {
			d.skeletons[number] = seq
		}
	}
	return seq
}

// sequenceOf is sequence for elements of which no number tells.
func (d *decider) sequenceOf(guess *fold) *sequence {
	if guess != nil && d.b.SameNames(d.i, &guess.seq.names) {
		return guess.seq
	}
	n := d.b.PropertyCount(d.i)
	if n > maxNames || d.size > maxFolds {
		return d.loosely()
	}
	h := d.b.HashNames(d.seed, d.i)
	for s := d.known[h]; s != nil; s = s.next {
		if d.b.SameNames(d.i, &s.names) {
			return s
		}
	}
	s := d.loosely()
	if s.names.Size() > maxText {
		return s
	}
	kept := &sequence{names: s.names, next: d.known[h], number: d.count, keep: true}
	s.names = element.Names{}
	d.count++
	d.known[h] = kept
	d.size += 256 + kept.names.Size() + 4*n
	return kept
}

// loosely returns the names of the element, which are not kept.
func (d *decider) loosely() *sequence {
	s := &d.loose
	s.forget()
	s.names.Take(d.b, d.i)
	return s
}

// forget empties a sequence for its next use.
func (s *sequence) forget() {
	clear(s.outcomes)
	s.outcomes, s.last = s.outcomes[:0], nil
	s.byMask, s.recent, s.index = nil, nil, nil
}

// fold returns what a label says of elements with these names.
func (d *decider) fold(seq *sequence, l *label, state *labelState) *fold {
	if !seq.keep {
		d.looseF.make(d, seq, l)
		return &d.looseF
	}
	key := foldKey{seq.number, int32(l.index)}
	f := d.folds[key]
	if f == nil {
		if d.size > maxFolds {
			d.looseF.make(d, seq, l)
			return &d.looseF
		}
		f = &fold{}
		f.make(d, seq, l)
		d.folds[key] = f
		d.size += 256 + 4*len(f.pos) + 8*len(f.masks) + 16*len(f.checks)
	}
	state.fold = f
	return f
}

// make folds a label over a sequence.
func (f *fold) make(d *decider, seq *sequence, l *label) {
	f.seq, f.label = seq, l
	f.pos = slices.Grow(f.pos[:0], len(l.names))[:len(l.names)]
	for k := range f.pos {
		f.pos[k] = -1
	}
	d.place(f)
	f.checks = f.checks[:0]
	for k := range l.groups {
		if g := &l.groups[k]; f.pos[g.prop] >= 0 {
			f.checks = append(f.checks, check{f.pos[g.prop], g, g.tokens})
		}
	}
	words := (seq.names.Len() + 63) / 64
	f.masks, f.done = f.masks[:0], f.done[:0]
	if sets := len(l.sets); seq.keep && sets*words <= maxMasks {
		f.masks = make([]uint64, sets*words)
		f.done = make([]uint64, (sets+63)/64)
	}
	f.narrow = words == 1 && len(f.done) == 1
	f.base = zeroed(f.base, words)
	if l.open {
		f.fill(f.base, l.base)
	}
}

// maxMasks bounds the words of masks that one fold keeps.
const maxMasks = 1 << 10

func zeroed(b []uint64, n int) []uint64 {
	b = slices.Grow(b[:0], n)[:n]
	clear(b)
	return b
}

// place finds where the label's properties stand: by looking each name up among
// the label's, or, where the element has many more names than the label, the
// other way round, so that an element with many labels and many names does not
// cost the product of the two.
func (d *decider) place(f *fold) {
	names := &f.seq.names
	if n := names.Len(); n <= 16 || n <= 4*len(f.label.names) {
		for j := range n {
			if k := f.label.number(d.text(names.Token(j))); k >= 0 {
				f.pos[k] = int32(j)
			}
		}
		return
	}
	if f.seq.index == nil {
		f.seq.index = make(map[string]int32, names.Len())
		for j := range names.Len() {
			f.seq.index[string(d.text(names.Token(j)))] = int32(j)
		}
	}
	for k, name := range f.label.names {
		if j, ok := f.seq.index[name]; ok {
			f.pos[k] = j
		}
	}
}

// fill writes the positions of a set's properties.
func (f *fold) fill(mask []uint64, k int32) {
	s := &f.label.sets[k]
	for word := s.head; word != 0; word &= word - 1 {
		if pos := f.pos[bits.TrailingZeros64(word)]; pos >= 0 {
			mask[pos>>6] |= 1 << (pos & 63)
		}
	}
	for _, n := range s.tail {
		if pos := f.pos[n]; pos >= 0 {
			mask[pos>>6] |= 1 << (pos & 63)
		}
	}
}

// form returns the number in out of the form that the element may be seen in; 0
// when it may be seen whole.
func (d *decider) form(seq *sequence, out *element.Selection) uint32 {
	o := seq.last
	if o == nil || !slices.Equal(o.mask, d.acc) {
		o = d.outcome(seq)
		seq.last = o
	}
	if o.form == nil {
		return 0
	}
	if o.epoch != d.epoch {
		o.epoch, o.number = d.epoch, out.AddForm(o.form)
	}
	return o.number
}

// outcome returns what elements with these names look like when acc is kept.
func (d *decider) outcome(seq *sequence) *outcome {
	if seq.byMask != nil {
		at := &seq.recent[hashMask(d.acc)&uint64(len(seq.recent)-1)]
		if o := *at; o != nil && slices.Equal(o.mask, d.acc) {
			return o
		}
		if o := seq.byMask[string(d.maskKey())]; o != nil {
			*at = o
			return o
		}
	} else {
		for _, o := range seq.outcomes {
			if slices.Equal(o.mask, d.acc) {
				return o
			}
		}
	}
	o := &outcome{mask: slices.Clone(d.acc)}
	if n := seq.names.Len(); count(o.mask) < n {
		o.form = element.NewForm(n, o.mask, d.stripped(seq, o.mask))
	}
	if !seq.keep || d.size > maxFolds {
		return o
	}
	d.size += 128 + 32*seq.names.Len()
	seq.outcomes = append(seq.outcomes, o)
	switch {
	case seq.byMask != nil:
		seq.byMask[string(d.maskKey())] = o
		if n := len(seq.recent); n < len(seq.byMask) && n < recentMasks {
			seq.recent = make([]*outcome, 2*n)
		}
	case len(seq.outcomes) > fewOutcomes:
		seq.byMask = map[string]*outcome{}
		seq.recent = make([]*outcome, 4*fewOutcomes)
		for _, x := range seq.outcomes {
			seq.byMask[string(keyOf(d.plain[:0], x.mask))] = x
		}
		seq.outcomes = nil
	}
	return o
}

// recentMasks is how many places there are at most for outcomes found lately.
const recentMasks = 1 << 10

// hashMask chooses one of them.
func hashMask(mask []uint64) uint64 {
	h := uint64(0)
	for _, word := range mask {
		h = (h ^ word) * 0x9E3779B97F4A7C15
	}
	return h >> 54
}

func (d *decider) maskKey() []byte {
	d.plain = keyOf(d.plain[:0], d.acc)
	return d.plain
}

func keyOf(dst []byte, mask []uint64) []byte {
	for _, word := range mask {
		dst = binary.LittleEndian.AppendUint64(dst, word)
	}
	return dst
}

// stripped returns the names that are not kept, sorted. Where the sequence is
// not kept, reading them off the element when they are wanted is cheaper.
func (d *decider) stripped(seq *sequence, mask []uint64) []string {
	if !seq.keep && !d.names {
		return nil
	}
	out := []string{}
	for j := range seq.names.Len() {
		if mask[j>>6]>>(j&63)&1 == 0 {
			out = append(out, string(d.text(seq.names.Token(j))))
		}
	}
	slices.Sort(out)
	return out
}

func count(mask []uint64) int {
	n := 0
	for _, w := range mask {
		n += bits.OnesCount64(w)
	}
	return n
}
