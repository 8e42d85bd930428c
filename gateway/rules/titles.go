package rules

import (
	"encoding/binary"
	"math/bits"
)

// titles finds labels by the bytes of their titles: open addressing under a hash
// of a few of the bytes. The titles are the model's, so nobody who sends elements
// chooses what stands in the table; what is looked up may be anything.
type titles struct {
	slots  []slot
	labels []*label
	max    int // the longest title, in bytes
}

// slot is a title in short: shortTitle bytes at most are all in it.
type slot struct {
	head, tail uint64
	size       uint32
	number     uint32 // the label's index and one; 0 is free
}

// shortTitle is the longest title that its slot holds whole.
const shortTitle = 15

func newTitles(labels []*label) titles {
	size := 8
	for size < 4*len(labels) {
		size *= 2
	}
	t := titles{slots: make([]slot, size), labels: labels}
	for k, l := range labels {
		t.max = max(t.max, len(l.title))
		head, tail := titleEnds(l.title)
		at := hashTitle(head, tail, len(l.title)) & uint64(size-1)
		for t.slots[at].number != 0 {
			at = (at + 1) & uint64(size-1)
		}
		t.slots[at] = slot{head, tail, uint32(len(l.title)), uint32(k + 1)}
	}
	return t
}

// find returns nil when there is no such title.
func (t *titles) find(title []byte) *label {
	if len(title) > t.max {
		return nil
	}
	head, tail := titleEnds(title)
	return t.findShort(head, tail, len(title), title)
}

// findShort finds a title by its ends; title itself is looked at only when it is
// longer than shortTitle.
func (t *titles) findShort(head, tail uint64, size int, title []byte) *label {
	mask := uint64(len(t.slots) - 1)
	for at := hashTitle(head, tail, size) & mask; ; at = (at + 1) & mask {
		s := &t.slots[at]
		if s.number == 0 {
			return nil
		}
		if s.head != head || s.tail != tail || int(s.size) != size {
			continue
		}
		if l := t.labels[s.number-1]; size <= shortTitle || string(title) == l.title {
			return l
		}
	}
}

// begins finds the label whose token begins text: with its quote, and what
// stands behind it still there. It returns the size of the token with its quotes;
// 0 when the token is long or has escapes, or the text is short.
func (t *titles) begins(text []byte) (l *label, size int) {
	if len(text) < 2+shortTitle {
		return nil, 0
	}
	head, tail := binary.LittleEndian.Uint64(text[1:]), uint64(0)
	m := ends(head)
	n := bits.TrailingZeros64(m) >> 3 // 8 when there is none
	if m == 0 {
		tail = binary.LittleEndian.Uint64(text[9:])
		if m = ends(tail); m == 0 {
			return nil, 0
		}
		n = bits.TrailingZeros64(m) >> 3
		tail &= 1<<(8*n) - 1
		n += 8
	} else {
		head &= 1<<(8*n) - 1
	}
	if text[1+n] != '"' {
		return nil, 0
	}
	return t.findShort(head, tail, n, nil), n + 2
}

// titleEnds returns what a slot keeps of a title: the first eight bytes and what
// follows, if that is all; otherwise the first and the last eight.
func titleEnds[T string | []byte](title T) (head, tail uint64) {
	n := len(title)
	for k := range min(n, 8) {
		head |= uint64(title[k]) << (8 * k)
	}
	from := 8
	if n > shortTitle {
		from = n - 8
	}
	for k := from; k < n; k++ {
		tail |= uint64(title[k]) << (8 * (k - from))
	}
	return head, tail
}

// hashTitle mixes the length and both ends. Titles that differ in their middles
// alone share a slot, and cost a comparison each.
func hashTitle(head, tail uint64, size int) uint64 {
	h := (head ^ tail*0x9E3779B97F4A7C15 ^ uint64(size)) * 0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xD6E8FEB86659FD93 // the low bits choose the slot: all bytes have to reach them
	return h ^ h>>32
}
