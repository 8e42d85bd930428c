package rules

import "encoding/binary"

// titles finds labels by the bytes of their titles: open addressing under a hash
// of a few of the bytes. The titles are the model's, so nobody who sends elements
// chooses what stands in the table; what is looked up may be anything.
type titles struct {
	slots []*label
	max   int // the longest title, in bytes
}

func newTitles(labels []*label) titles {
	size := 8
	for size < 4*len(labels) {
		size *= 2
	}
	t := titles{slots: make([]*label, size)}
	for _, l := range labels {
		t.max = max(t.max, len(l.title))
		at := hashTitle([]byte(l.title)) & uint64(size-1)
		for t.slots[at] != nil {
			at = (at + 1) & uint64(size-1)
		}
		t.slots[at] = l
	}
	return t
}

// find returns nil when there is no such title.
func (t *titles) find(title []byte) *label {
	if len(title) > t.max {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for at := hashTitle(title) & mask; ; at = (at + 1) & mask {
		l := t.slots[at]
		if l == nil || string(title) == l.title {
			return l
		}
	}
}

// hashTitle mixes the length and the first and last eight bytes. Titles that
// differ in their middles alone share a slot, and cost a comparison each.
func hashTitle(title []byte) uint64 {
	var head, tail uint64
	if n := len(title); n >= 8 {
		head, tail = binary.LittleEndian.Uint64(title), binary.LittleEndian.Uint64(title[n-8:])
	} else {
		for _, c := range title {
			head = head<<8 | uint64(c)
		}
	}
	h := (head ^ tail*0x9E3779B97F4A7C15 ^ uint64(len(title))) * 0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xD6E8FEB86659FD93 // the low bits choose the slot: all bytes have to reach them
	return h ^ h>>32
}
