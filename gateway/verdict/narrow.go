package verdict

import (
	"math/bits"

	"github.com/muster-fleet/muster/workers/element"
)

// Narrow returns a request of what the sets leave of req, as an answer would
// write it: the elements that are still visible, without what was stripped, with
// masks in place. It is what goes to the workers after rules have spoken, so
// that nobody behind sees what was taken away before. The new request stands on
// bytes of its own; repetitions are not in it. Both requests are to be released.
func Narrow(req *element.Request, nodes, rels *Set) (*element.Request, error) {
	a := &Answer{}
	a.text(`{"parameters":{"type":"` + req.Type.String() + `"},"data":`)
	switch req.Type {
	case element.TypeNodes:
		a.list(req.Nodes, nodes)
	case element.TypeRelationships:
		a.list(req.Relationships, rels)
	default:
		a.text(`{"nodes":`)
		a.list(req.Nodes, nodes)
		a.text(`,"relationships":`)
		a.list(req.Relationships, rels)
		a.text(`}`)
	}
	a.text(`}`)
	body := make([]byte, 0, a.size)
	for _, s := range a.segments {
		body = append(body, s...)
	}
	// Reading it again costs a pass over what is left, and proves it good.
	return element.ParseRequest(body, element.Options{})
}

// list adds a JSON array of the visible elements, each once.
func (a *Answer) list(b *element.Batch, s *Set) {
	a.text(`[`)
	w := rewriter{set: s, batch: b}
	first := true
	for i := range b.Len() {
		if !s.Visible(i) {
			continue
		}
		if !first {
			a.add(comma)
		}
		first = false
		if w.touched(i) {
			a.add(w.element(i))
		} else {
			a.add(b.Raw(i))
		}
	}
	a.text(`]`)
}

// Widen turns the verdicts over a narrowed batch into verdicts over the batch
// before: by is the set that narrowed it. What by hid stays hidden, what it
// stripped or masked stays so.
func Widen(by, narrowed *Set) *Set {
	out := NewHidden(by.n)
	ordinals := make([]uint32, 0, narrowed.n)
	for w, word := range by.visible {
		for ; word != 0; word &= word - 1 {
			ordinals = append(ordinals, uint32(w<<6+bits.TrailingZeros64(word)))
		}
	}
	if len(ordinals) != narrowed.n {
		panic("verdict: the set does not judge what was left")
	}
	for i, o := range ordinals {
		if narrowed.Visible(i) {
			out.Show(int(o))
		}
	}
	for _, x := range narrowed.strips {
		out.strips = append(out.strips, Strip{ordinals[x.Ordinal], x.Name})
	}
	for _, x := range narrowed.masks {
		out.masks = append(out.masks, Mask{ordinals[x.Ordinal], x.Name, x.Value})
	}
	for _, x := range narrowed.reasons {
		out.reasons = append(out.reasons, Reason{ordinals[x.Ordinal], x.Code})
	}
	// A mask over a mask: the worker saw the first one's value, so its own is
	// what counts; only strips and hiding of the first add to it.
	masks := by.Clone()
	masks.masks = nil
	for _, m := range by.masks {
		if !hasMask(out.masks, m) {
			masks.masks = append(masks.masks, m)
		}
	}
	Meet(out, masks)
	return out
}

func hasMask(masks []Mask, m Mask) bool {
	from, to := maskRange(masks, m.Ordinal)
	for _, x := range masks[from:to] {
		if x.Name == m.Name {
			return true
		}
	}
	return false
}
