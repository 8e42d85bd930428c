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
	if n > maxNames {
		return d.loosely()
	}
	if d.kept > maxKept {
		d.loss++
		return d.loosely()
	}
	h := d.b.HashNames(d.seed, d.i)
	for s := d.known[h]; s != nil; s = s.next {
		if d.b.SameNames(d.i, &s.names) {
			return s
		}
	}
	if !d.again(h) {
		return d.loosely()
	}
	d.taken.Take(d.b, d.i)
	if d.taken.Size() > maxText {
		return d.loosely()
	}
	s := &sequence{names: d.taken, next: d.known[h], number: d.count, keep: true, narrow: 0 < n && n <= maxProbed}
	d.taken = element.Names{}
	s.at = d.numbers(make([]int32, 0, n))
	d.count++
	d.known[h] = s
	d.kept += 256 + s.names.Size() + 44*n
	return s
}

// again reports whether a sequence with this hash has come lately. Names that
// come once are not worth keeping, and somebody may name each element's
// properties otherwise.
func (d *decider) again(h uint64) bool {
	if d.seen == nil {
		d.seen = make([]uint64, maxSeen)
	}
	at := &d.seen[h%maxSeen]
	if *at == h {
		return true
	}
	*at = h
	return false
}

// forget empties a sequence for its next use.
func (s *sequence) forget() {
	clear(s.outcomes)
	s.outcomes, s.last = s.outcomes[:0], nil
	s.byMask = nil
}

// foldOf returns what the label with an index says of elements with these names.
func (d *decider) foldOf(seq *sequence, k int) *fold {
	s := &d.labels[k]
	if s.fold == nil || s.fold.seq != seq {
		return d.fold(seq, d.p.ordered[k], s)
	}
	return s.fold
}

// fold is foldOf when the label has been folded over others last.
func (d *decider) fold(seq *sequence, l *label, state *labelState) *fold {
	if !seq.keep {
		d.looseF.make(d, seq, l)
		return &d.looseF
	}
	key := foldKey{seq.number, int32(l.index)}
	f := d.folds[key]
	if f == nil {
		if d.size > maxFolds {
			d.loss++
			d.looseF.make(d, seq, l)
			return &d.looseF
		}
		f = &fold{}
		f.make(d, seq, l)
		d.folds[key] = f
		d.size += 256 + 4*len(f.pos) + 8*len(f.masks) + (16+32)*len(f.checks)
	}
	state.use(f)
	return f
}

// use notes a fold that is kept.
func (s *labelState) use(f *fold) {
	s.fold, s.seq = f, nil
	if f.narrow {
		s.seq, s.probes, s.base, s.open = f.seq, f.probes, f.base[0], f.label.open
	}
}

// make folds a label over a sequence.
func (f *fold) make(d *decider, seq *sequence, l *label) {
	f.seq, f.label = seq, l
	d.spread.over(d.p, seq)
	f.pos = f.pos[:0]
	for _, k := range l.places {
		f.pos = append(f.pos, d.spread.where[k]-1)
	}
	f.checks = f.checks[:0]
	for k := range l.groups {
		if g := &l.groups[k]; f.pos[g.prop] >= 0 {
			f.checks = append(f.checks, check{f.pos[g.prop], g, g.tokens})
		}
	}
	words := (len(seq.at) + 63) / 64
	f.masks, f.done = f.masks[:0], f.done[:0]
	if sets := len(l.sets); seq.keep && f != &d.looseF && sets*words <= maxMasks {
		f.masks = make([]uint64, sets*words)
		f.done = make([]uint64, (sets+63)/64)
	}
	f.base = zeroed(f.base, words)
	if l.open {
		f.fill(f.base, l.base)
	}
	f.narrow = seq.narrow && len(f.done) == 1 && len(f.checks) <= maxProbed
	if f.narrow {
		f.probe()
	}
}

// maxMasks bounds the words of masks that one fold keeps.
const maxMasks = 1 << 10

func zeroed(b []uint64, n int) []uint64 {
	b = slices.Grow(b[:0], n)[:n]
	clear(b)
	return b
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
	return d.numberOf(o, out)
}

// numberOf returns the number in out of an outcome's form.
func (d *decider) numberOf(o *outcome, out *element.Selection) uint32 {
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
		if o := seq.byMask[string(d.maskKey())]; o != nil {
			return o
		}
	} else {
		for _, o := range seq.outcomes {
			if slices.Equal(o.mask, d.acc) {
				return o
			}
		}
	}
	n := len(seq.at)
	if !seq.keep || d.outcomes > maxOutcomes {
		if n <= maxProbed && !d.names {
			return d.nameless(seq)
		}
		return newOutcome(d.acc, n, d.stripped(seq))
	}
	o := newOutcome(d.acc, n, d.stripped(seq))
	d.outcomes += 384 + 32*n // with its spots
	seq.outcomes = append(seq.outcomes, o)
	switch {
	case seq.byMask != nil:
		seq.byMask[string(d.maskKey())] = o
	case len(seq.outcomes) > fewOutcomes:
		seq.byMask = map[string]*outcome{}
		for _, x := range seq.outcomes {
			seq.byMask[string(keyOf(d.plain[:0], x.mask))] = x
		}
		seq.outcomes = nil
	}
	return o
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

// stripped returns the names that acc does not keep, sorted. Where the sequence is
// not kept, reading them off the element when they are wanted is cheaper.
func (d *decider) stripped(seq *sequence) []string {
	if !seq.keep && !d.names {
		return nil
	}
	out := []string{}
	for j := range seq.at {
		if d.acc[j>>6]>>(j&63)&1 == 0 {
			out = append(out, string(d.text(d.name(j))))
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
