package element

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
)

// idTable finds elements by id: open addressing over the ids' own bytes. It is
// seeded, because ids may be chosen by somebody who wishes us slow.
type idTable struct {
	slots []uint64 // hash's high half | ordinal+1
	seed  maphash.Seed
	built bool
	lazy  sync.Once // guards building on the first Find
}

func (t *idTable) reset() {
	t.slots, t.built = t.slots[:0], false
	t.lazy = sync.Once{}
}

func (t *idTable) start(n int) {
	size := tableSize(n)
	t.slots = slices.Grow(t.slots[:0], size)[:size]
	clear(t.slots)
	t.seed = maphash.MakeSeed()
}

// add puts ordinal into the table, unless an element with its id is there: then
// it returns that one's ordinal, else -1.
func (b *Batch) add(ordinal int) int {
	id := b.ID(ordinal)
	t := &b.ids
	h := maphash.Bytes(t.seed, id)
	mask := uint64(len(t.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		slot := t.slots[at]
		if slot == 0 {
			t.slots[at] = h&^0xFFFFFFFF | uint64(ordinal+1)
			return -1
		}
		if slot>>32 == h>>32 {
			if other := int(uint32(slot)) - 1; bytes.Equal(b.ID(other), id) {
				return other
			}
		}
	}
}

// Find returns the element with an id, given decoded. The table is built at the
// first call if nothing needed it before; concurrent calls are safe.
func (b *Batch) Find(id []byte) (ordinal int, ok bool) {
	b.ids.lazy.Do(b.index)
	t := &b.ids
	if len(t.slots) == 0 {
		return 0, false
	}
	h := maphash.Bytes(t.seed, id)
	mask := uint64(len(t.slots) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		slot := t.slots[at]
		if slot == 0 {
			return 0, false
		}
		if slot>>32 == h>>32 {
			if other := int(uint32(slot)) - 1; bytes.Equal(b.ID(other), id) {
				return other, true
			}
		}
	}
}

func (b *Batch) index() {
	if b.ids.built || len(b.recs) == 0 {
		return
	}
	b.ids.start(len(b.recs))
	for i := range b.recs {
		b.add(i)
	}
	b.ids.built = true
}

// settle finds repeated ids. A byte-identical repetition becomes another place
// of the first element; any other is a mistake, reported by the two places.
func (b *Batch) settle() (first, second int, ok bool) {
	if !b.unsorted {
		return 0, 0, true
	}
	b.ids.start(len(b.recs))
	n := len(b.recs)
	kept := 0
	for place := range n {
		if kept != place {
			b.move(place, kept)
		}
		other := b.add(kept)
		switch {
		case other < 0:
			if b.order != nil {
				b.order = append(b.order, uint32(kept))
			}
			kept++
		case !b.sameBytes(other, kept):
			return b.placeOf(other), place, false
		default:
			b.repeat(place, other)
		}
	}
	b.recs = b.recs[:kept]
	if b.kind == Relationships {
		b.ends = b.ends[:kept]
	}
	b.ids.built = true
	return 0, 0, true
}

// follows reports whether id follows last by length and then by bytes. Ids that
// do so all along cannot repeat: no table is needed to prove it.
func follows(id, last []byte) bool {
	return len(id) > len(last) || len(id) == len(last) && bytes.Compare(id, last) > 0
}

func (b *Batch) move(from, to int) {
	b.recs[to] = b.recs[from]
	if b.kind == Relationships {
		b.ends[to] = b.ends[from]
	}
}

func (b *Batch) repeat(place, ordinal int) {
	if b.order == nil {
		b.order = make([]uint32, place, len(b.recs))
		for i := range b.order {
			b.order[i] = uint32(i)
		}
	}
	b.order = append(b.order, uint32(ordinal))
}

// placeOf returns the first place of an ordinal.
func (b *Batch) placeOf(ordinal int) int {
	if b.order == nil {
		return ordinal
	}
	return slices.Index(b.order, uint32(ordinal))
}
