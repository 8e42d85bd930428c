package verdict

import (
	"bytes"

	"github.com/muster-fleet/muster/workers/element"
)

// Meet combines the sets into dst: an element is visible where all of them show
// it, a property is there where none strips it. It is commutative, associative
// and idempotent, so neither the order nor the number of steps changes the
// result. Reasons stay with their sources: dst keeps its own. All sets must
// judge equally many elements, as sets over one batch do; Meet panics otherwise,
// because joining the wrong verdicts would show what is hidden.
func Meet(dst *Set, others ...*Set) {
	sparse := len(dst.strips)+len(dst.masks) > 0
	for _, o := range others {
		if o.n != dst.n {
			panic("verdict: the sets to meet judge different batches")
		}
		sparse = sparse || len(o.strips)+len(o.masks) > 0
		and(dst.visible, o.visible)
		dst.forms = meetForms(dst.forms, o.forms, dst.n)
	}
	if !sparse {
		return
	}
	for _, o := range others {
		dst.strips = mergeStrips(dst.strips, o.strips)
		dst.masks, dst.strips = mergeMasks(dst.masks, o.masks, dst.strips)
	}
	dst.settle()
}

func and(dst, src []uint64) {
	src = src[:len(dst)]
	for len(dst) >= 8 {
		d, s := (*[8]uint64)(dst), (*[8]uint64)(src)
		d[0] &= s[0]
		d[1] &= s[1]
		d[2] &= s[2]
		d[3] &= s[3]
		d[4] &= s[4]
		d[5] &= s[5]
		d[6] &= s[6]
		d[7] &= s[7]
		dst, src = dst[8:], src[8:]
	}
	for i := range dst {
		dst[i] &= src[i]
	}
}

// settle drops strips and masks of hidden elements, and masks of properties
// that are stripped. Both lists are sorted.
func (s *Set) settle() {
	strips := s.strips[:0]
	for _, x := range s.strips {
		if s.Visible(int(x.Ordinal)) {
			strips = append(strips, x)
		}
	}
	clear(s.strips[len(strips):])
	s.strips = strips
	masks, at := s.masks[:0], 0
	for _, m := range s.masks {
		if !s.Visible(int(m.Ordinal)) {
			continue
		}
		key := Strip{m.Ordinal, m.Name}
		for at < len(strips) && compareStrips(strips[at], key) < 0 {
			at++
		}
		if (at == len(strips) || strips[at] != key) && !s.formStrips(int(m.Ordinal), m.Name) {
			masks = append(masks, m)
		}
	}
	clear(s.masks[len(masks):])
	s.masks = masks
}

// mergeStrips joins two sorted lists without repetitions.
func mergeStrips(a, b []Strip) []Strip {
	if len(b) == 0 {
		return a
	}
	out := make([]Strip, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compareStrips(a[0], b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// mergeMasks joins two sorted lists; two masks of one property that differ in
// value become a strip.
func mergeMasks(a, b []Mask, strips []Strip) ([]Mask, []Strip) {
	if len(b) == 0 {
		return a, strips
	}
	out := make([]Mask, 0, len(a)+len(b))
	var dropped []Strip
	for len(a) > 0 && len(b) > 0 {
		switch c := compareMasks(a[0], b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			if both, same := meetMasks(a[0], b[0]); same {
				out = append(out, both)
			} else {
				dropped = append(dropped, Strip{a[0].Ordinal, a[0].Name})
			}
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...), mergeStrips(strips, dropped)
}

// meetMasks combines two masks of one property. Equal JSON values stay; which
// of two spellings is kept must not depend on the order, so it is the shorter
// one, then the one that sorts first.
func meetMasks(a, b Mask) (Mask, bool) {
	if bytes.Equal(a.Value, b.Value) {
		return a, true
	}
	if !element.Equal(a.Value, b.Value) {
		return Mask{}, false
	}
	if len(b.Value) < len(a.Value) || len(b.Value) == len(a.Value) && bytes.Compare(b.Value, a.Value) < 0 {
		return b, true
	}
	return a, true
}
