package rules

import (
	"slices"

	"github.com/muster-fleet/muster/workers/element"
)

// longArray is from how many bytes on an array is read once for all conditions
// that look at it. Whoever sends elements chooses both their values and how often
// rules that share a value are looked at: without this, two long arrays in one
// element would cost their product.
const longArray = 256

// hits are the entries that members of one array have led to, so that a member
// that is repeated costs no more than being read.
type hits struct {
	bits []uint64
	list []int32
}

// first reports whether an entry was not there before, and notes it.
func (h *hits) first(k int32) bool {
	w := int(k >> 6)
	if w >= len(h.bits) {
		h.bits = append(h.bits, make([]uint64, w+1-len(h.bits))...)
	}
	if h.bits[w]>>(k&63)&1 != 0 {
		return false
	}
	h.bits[w] |= 1 << (k & 63)
	h.list = append(h.list, k)
	return true
}

// forget empties the hits in proportion to how many they are.
func (h *hits) forget() {
	for _, k := range h.list {
		h.bits[k>>6] = 0
	}
	h.list = h.list[:0]
}

// entriesOf yields the entries that members of an array lead to, each once.
func (d *decider) entriesOf(g *group, array []byte, yield func(k int32)) {
	members := scalars{text: array}
	for m := members.next(); m != nil; m = members.next() {
		if k := d.find(&g.values, m); k >= 0 && d.hits.first(k) {
			yield(k)
		}
	}
	d.hits.forget()
}

// memberSets are the members of long arrays of one element, by position.
type memberSets struct {
	stamp uint64 // of the element
	at    map[int32]map[string]struct{}
}

// among reports whether a member of an array, the value at a position of the
// element being judged, is one of the wanted texts.
func (d *decider) among(array []byte, pos int32, wanted *choice) bool {
	if len(array) < longArray {
		members := scalars{text: array}
		for m := members.next(); m != nil; m = members.next() {
			if d.is(wanted, m) {
				return true
			}
		}
		return false
	}
	set := d.membersOf(array, pos)
	if len(wanted.texts) > len(set) {
		for text := range set {
			if _, is := slices.BinarySearch(wanted.texts, text); is {
				return true
			}
		}
		return false
	}
	for _, text := range wanted.texts {
		if _, is := set[text]; is {
			return true
		}
	}
	return false
}

// membersOf returns the texts of an array's members. Null equals nothing.
func (d *decider) membersOf(array []byte, pos int32) map[string]struct{} {
	if d.members.stamp != d.stamp {
		d.members = memberSets{d.stamp, map[int32]map[string]struct{}{}}
	}
	if set, there := d.members.at[pos]; there {
		return set
	}
	set := map[string]struct{}{}
	members := scalars{text: array}
	for m := members.next(); m != nil; m = members.next() {
		switch m[0] {
		case 'n':
		case '"':
			set[string(element.AppendText(nil, m))] = struct{}{}
		default:
			set[string(m)] = struct{}{}
		}
	}
	d.members.at[pos] = set
	return set
}
