package verdict

import "math/bits"

// Lift turns the verdicts over what by leaves visible of a batch into verdicts
// over the whole batch. Of what by hides it says nothing: it shows it whole.
func Lift(by, narrowed *Set) *Set {
	out := NewWhole(by.n)
	ordinals := by.left(narrowed.n)
	for i, o := range ordinals {
		if !narrowed.Visible(i) {
			out.visible[o>>6] &^= 1 << (o & 63)
		}
	}
	for _, x := range narrowed.Strips() {
		out.strips = append(out.strips, Strip{ordinals[x.Ordinal], x.Name})
	}
	for _, x := range narrowed.masks {
		out.masks = append(out.masks, Mask{ordinals[x.Ordinal], x.Name, x.Value})
	}
	for _, x := range narrowed.reasons {
		out.reasons = append(out.reasons, Reason{ordinals[x.Ordinal], x.Code})
	}
	return out
}

// Widen is what by and narrowed, which judges what by leaves visible, say
// together: the meet of both over the whole batch.
func Widen(by, narrowed *Set) *Set {
	out := Lift(by, narrowed)
	Meet(out, by)
	return out
}

// Follow hides in narrowed, which judges what by leaves visible, what wide hides
// of it: wide has been closed, and narrowed has not.
func Follow(by, wide, narrowed *Set) {
	for i, o := range by.left(narrowed.n) {
		if !wide.Visible(int(o)) && narrowed.Visible(i) {
			narrowed.visible[i>>6] &^= 1 << (i & 63)
		}
	}
	narrowed.settle()
}

// left returns the ordinals of what the set leaves visible, which are n.
func (s *Set) left(n int) []uint32 {
	ordinals := make([]uint32, 0, n)
	for w, word := range s.visible {
		for ; word != 0; word &= word - 1 {
			ordinals = append(ordinals, uint32(w<<6+bits.TrailingZeros64(word)))
		}
	}
	if len(ordinals) != n {
		panic("verdict: the set does not judge what was left")
	}
	return ordinals
}
