package rules

import (
	"math/bits"

	"github.com/muster-fleet/muster/workers/element"
)

// Most elements have at most 64 properties, and what may be seen of them is one
// word. What every such element costs is here; whatever is rare is left to the
// general way, which comes to the same.

// probe is one value of one check, in the shape in which most elements can be told
// not to have it by the first eight bytes of theirs.
type probe struct {
	mask, want uint64 // the value's first bytes as a token, and which of them count
	give       uint64 // what elements with the value show, if exact
	pos        uint8
	check      uint8 // of the fold's checks
	rest       uint8 // how many probes of the same check follow
	exact      bool  // the bytes are the whole token, and give is all that rules say
}

// maxProbed is the most names and checks that probes can number.
const maxProbed = 64

// headOf returns the first bytes of a text as a JSON string without escapes, up
// to eight and up to the first that needs one, and which bytes they are. whole
// says that they are the string with both quotes.
func headOf(text string) (want, mask uint64, whole bool) {
	want = '"'
	for k := range min(len(text), 7) {
		c := text[k]
		if c < ' ' || c == '"' || c == '\\' {
			return want, 1<<(8*(k+1)) - 1, false
		}
		want |= uint64(c) << (8 * (k + 1))
	}
	n := len(text)
	if n > 6 {
		return want, ^uint64(0), false
	}
	return want | '"'<<(8*(n+1)), ^uint64(0) >> (64 - 8*(n+2)), true
}

// probe prepares the checks of a narrow fold.
func (f *fold) probe() {
	f.probes = f.probes[:0]
	for k := range f.checks {
		c := &f.checks[k]
		if c.group.values.many != nil {
			// A mask of nothing meets everything.
			f.probes = append(f.probes, probe{pos: uint8(c.pos), check: uint8(k)})
			continue
		}
		texts := c.group.values.few
		for e, text := range texts {
			p := probe{pos: uint8(c.pos), check: uint8(k), rest: uint8(len(texts) - 1 - e)}
			p.want, p.mask, p.exact = headOf(text)
			if x := &c.group.entries[e]; len(x.clauses) > 0 || x.set < 0 {
				p.exact = false
			} else if p.exact {
				p.give = f.mask(x.set)[0]
			}
			f.probes = append(f.probes, p)
		}
	}
}

// narrow is node for an element whose names are known and at most 64. It returns
// what is left of the element.
func (d *decider) narrow(seq *sequence) (kept uint64, visible bool) {
	d.stamp++
	d.empty(seq) // for whatever goes the general way
	d.visible = false
	text, size := d.b.LabelsRest(d.i)
	heads := d.b.Heads(d.i)
	for at := 1; at < size; {
		if text[at] != '"' { // white space, a comma or the closing bracket
			at++
			continue
		}
		k, n := d.p.titles.begins(text[at:])
		if n == 0 {
			n = stringEnd(text, at) - at
			k = d.labelIndex(text[at : at+n])
		}
		at += n
		if k < 0 {
			continue
		}
		s := &d.labels[k]
		if s.stamp == d.stamp {
			continue // the same label again
		}
		s.stamp = d.stamp
		if s.seq != seq {
			f := d.foldOf(seq, k)
			if s.seq != seq {
				d.apply(f)
				continue
			}
		}
		if s.open {
			visible = true
			kept |= s.base
		}
		for j := 0; j < len(s.probes); j++ {
			p := &s.probes[j]
			head := heads.At(int(p.pos))
			if head&p.mask != p.want {
				// A string without a backslash so far is what it reads like so far,
				// and that is another text.
				if byte(head) == '"' && !slashed(head) {
					continue
				}
			} else if p.exact {
				visible = true
				kept |= p.give
				continue
			}
			d.check(s.fold, &s.fold.checks[p.check])
			j += int(p.rest)
		}
	}
	return kept | d.acc[0], visible || d.visible
}

// slashed reports whether a byte of w is a backslash. It may report one where
// there is none, behind a byte that is one.
func slashed(w uint64) bool {
	s := w ^ slashes
	return (s-ones)&^s&highs != 0
}

// spot is where an outcome was found lately.
type spot struct {
	mask   uint64
	o      *outcome // nil when the spot is free
	epoch  uint64   // in which the outcome had the number
	number uint32
}

// Bounds of a sequence's spots: powers of two.
const (
	minSpots = 8
	maxSpots = 1 << 11
)

// narrowForm is form for what narrow returns.
func (d *decider) narrowForm(seq *sequence, kept uint64, out *element.Selection) uint32 {
	if len(seq.spots) > 0 {
		s := &seq.spots[spotOf(kept, len(seq.spots))]
		if s.mask == kept && s.epoch == d.epoch {
			return s.number
		}
	}
	d.acc[0] = kept
	return d.settle(seq, kept, out)
}

// settle finds the outcome of acc, and a spot for it.
func (d *decider) settle(seq *sequence, kept uint64, out *element.Selection) uint32 {
	if n := max(len(seq.outcomes), len(seq.byMask)); len(seq.spots) < 4*n && len(seq.spots) < maxSpots {
		seq.spots = make([]spot, max(minSpots, 2*len(seq.spots)))
	}
	if len(seq.spots) == 0 {
		return d.numberOf(d.outcome(seq), out)
	}
	s := &seq.spots[spotOf(kept, len(seq.spots))]
	o := s.o
	if o == nil || s.mask != kept {
		o = d.outcome(seq)
	}
	*s = spot{kept, o, d.epoch, d.numberOf(o, out)}
	return s.number
}

func spotOf(kept uint64, spots int) uint64 {
	return kept * 0x9E3779B97F4A7C15 >> (64 - bits.TrailingZeros(uint(spots))&63)
}
