package element

import "slices"

// absent stands for a node that is not in the stream; ordinals stay below it.
const absent = 1<<32 - 1

// ledger is what a Stream remembers of the elements of one kind.
type ledger struct {
	digests []digests
	slots   []uint64 // half of the id's digest | ordinal+1
	order   []uint32 // place -> ordinal; nil while nothing repeats
	places  int
	ends    [][2]uint32 // of relationships: ordinals of nodes, or absent
}

type digests struct{ id, content [2]uint64 }

// find looks an id up by its digest.
func (l *ledger) find(id [2]uint64) (ordinal int, found bool) {
	if len(l.slots) == 0 {
		return 0, false
	}
	mask := uint64(len(l.slots) - 1)
	for at := id[0] & mask; ; at = (at + 1) & mask {
		slot := l.slots[at]
		if slot == 0 {
			return 0, false
		}
		if slot>>32 == id[0]>>32 {
			if i := int(uint32(slot)) - 1; l.digests[i].id == id {
				return i, true
			}
		}
	}
}

// add enters a new element.
func (l *ledger) add(id, content [2]uint64) {
	l.digests = append(l.digests, digests{id, content})
	if 2*len(l.digests) > len(l.slots) {
		l.slots = make([]uint64, tableSize(2*len(l.digests)))
		for i := range l.digests {
			l.enter(i)
		}
	} else {
		l.enter(len(l.digests) - 1)
	}
	if l.order != nil {
		l.order = append(l.order, uint32(len(l.digests)-1))
	}
	l.places++
}

func (l *ledger) enter(ordinal int) {
	h := l.digests[ordinal].id[0]
	mask := uint64(len(l.slots) - 1)
	at := h & mask
	for l.slots[at] != 0 {
		at = (at + 1) & mask
	}
	l.slots[at] = h&^0xFFFFFFFF | uint64(ordinal+1)
}

// repeat notes another place of an element.
func (l *ledger) repeat(ordinal int) {
	if l.order == nil {
		l.order = slices.Grow(l.order, l.places+1)
		for i := range l.places {
			l.order = append(l.order, uint32(i))
		}
	}
	l.order = append(l.order, uint32(ordinal))
	l.places++
}
