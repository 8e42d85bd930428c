package element

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
)

func load64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// duplicates finds equal names by a table; it serves the objects that are too
// big, or whose names are too odd, for comparing one by one. The hash is seeded:
// the names may be chosen by somebody who wishes us slow.
type duplicates struct {
	slots []uint64 // hash's high half | index+1
	plain []byte   // decoded names, end to end
	spans []span   // the names, decoded ones in plain
	seed  maphash.Seed
	ready bool
}

// any reports whether two of the names are equal once unescaped.
func (d *duplicates) any(b []byte, names []span) bool {
	if !d.ready {
		d.seed, d.ready = maphash.MakeSeed(), true
	}
	size := tableSize(len(names))
	d.slots = slices.Grow(d.slots[:0], size)[:size]
	clear(d.slots)
	d.plain, d.spans = d.plain[:0], d.spans[:0]
	mask := uint64(size - 1)
	for i, n := range names {
		name := d.decode(b, n)
		h := maphash.Bytes(d.seed, name)
		for at := h & mask; ; at = (at + 1) & mask {
			slot := d.slots[at]
			if slot == 0 {
				d.slots[at] = h&^0xFFFFFFFF | uint64(i+1)
				break
			}
			if slot>>32 == h>>32 && bytes.Equal(d.name(b, int(uint32(slot))-1), name) {
				return true
			}
		}
	}
	return false
}

// decode notes a name in its unescaped form and returns it.
func (d *duplicates) decode(b []byte, n span) []byte {
	raw := b[n.from:n.to]
	if bytes.IndexByte(raw, '\\') < 0 {
		d.spans = append(d.spans, n)
		return raw
	}
	from := len(d.plain)
	d.plain = unescape(d.plain, raw)
	// Offsets from len(b) on are in plain, as in text.
	d.spans = append(d.spans, span{uint32(len(b) + from), uint32(len(b) + len(d.plain))})
	return d.plain[from:]
}

func (d *duplicates) name(b []byte, i int) []byte { return text(b, d.plain, d.spans[i]) }

// tableSize is a power of two that leaves at least half of the slots free.
func tableSize(n int) int {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return size
}
