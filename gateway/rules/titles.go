package rules

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// titles finds titles by their bytes: open addressing under a hash. The titles are
// the model's, so nobody who sends elements chooses what stands in the table; what
// is looked up may be anything.
type titles struct {
	slots []slot
	texts []string
	max   int          // the longest title, in bytes
	seed  maphash.Seed // for titles longer than shortTitle
}

// slot is a title in short: shortTitle bytes at most are all in it.
type slot struct {
	head, tail uint64
	size       uint32
	number     uint32 // the title's and one; 0 is free
}

// shortTitle is the longest title that its slot holds whole.
const shortTitle = 15

// newTitles takes titles, each once.
func newTitles(texts []string) titles {
	size := 8
	for size < 4*len(texts) {
		size *= 2
	}
	t := titles{slots: make([]slot, size), texts: texts, seed: maphash.MakeSeed()}
	for k, text := range texts {
		t.max = max(t.max, len(text))
		head, tail := titleEnds(text)
		h := hashTitle(head, tail, len(text))
		if len(text) > shortTitle {
			h = maphash.String(t.seed, text)
		}
		at := h & uint64(size-1)
		for t.slots[at].number != 0 {
			at = (at + 1) & uint64(size-1)
		}
		t.slots[at] = slot{head, tail, uint32(len(text)), uint32(k + 1)}
	}
	return t
}

// find returns the number of a title; -1 when there is none such.
func (t *titles) find(title []byte) int {
	if len(title) > t.max {
		return -1
	}
	head, tail := titleEnds(title)
	if len(title) <= shortTitle {
		return t.findShort(head, tail, len(title))
	}
	mask := uint64(len(t.slots) - 1)
	for at := maphash.Bytes(t.seed, title) & mask; ; at = (at + 1) & mask {
		s := &t.slots[at]
		if s.number == 0 {
			return -1
		}
		if s.head == head && s.tail == tail && int(s.size) == len(title) && string(title) == t.texts[s.number-1] {
			return int(s.number - 1)
		}
	}
}

// findShort is find for a title of which its ends are all.
func (t *titles) findShort(head, tail uint64, size int) int {
	mask := uint64(len(t.slots) - 1)
	for at := hashTitle(head, tail, size) & mask; ; at = (at + 1) & mask {
		s := &t.slots[at]
		if s.number == 0 || s.head == head && s.tail == tail && int(s.size) == size {
			return int(s.number) - 1
		}
	}
}

// begins finds the number of the title whose token begins text: with its quote,
// and what stands behind it still there; -1 when there is none. It returns the
// size of the token with its quotes; 0 when the token is long or has escapes, or
// the text is short.
func (t *titles) begins(text []byte) (number, size int) {
	if len(text) < 2+shortTitle {
		return -1, 0
	}
	head, tail := binary.LittleEndian.Uint64(text[1:]), uint64(0)
	m := ends(head)
	n := bits.TrailingZeros64(m) >> 3 // 8 when there is none
	if m == 0 {
		tail = binary.LittleEndian.Uint64(text[9:])
		if m = ends(tail); m == 0 {
			return -1, 0
		}
		n = bits.TrailingZeros64(m) >> 3
		tail &= 1<<(8*n) - 1
		n += 8
	} else {
		head &= 1<<(8*n) - 1
	}
	if text[1+n] != '"' {
		return -1, 0
	}
	return t.findShort(head, tail, n), n + 2
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

// hashTitle mixes the length and both ends of a title of which they are all.
func hashTitle(head, tail uint64, size int) uint64 {
	h := (head ^ tail*0x9E3779B97F4A7C15 ^ uint64(size)) * 0xD6E8FEB86659FD93
	h = (h ^ h>>32) * 0xD6E8FEB86659FD93 // the low bits choose the slot: all bytes have to reach them
	return h ^ h>>32
}
