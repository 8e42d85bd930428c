package access

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"time"
)

// resource is what grants are on. What a check reads lies together, in the order
// that it is read in: the name, and the grants while there are no more than four.
type resource struct {
	typ string
	// id are the first bytes of short, or long if it does not fit.
	length uint8
	ownLen uint8
	short  [38]byte
	own    [4]share
	// further are all grants when own has no room for them.
	further list[share]
	long    string
	made    *stamp
}

type resourceKey struct{ typ, id string }

// tooLong is the length of an id that is not kept in short.
const tooLong = math.MaxUint8

func newResource(k resourceKey, made *stamp) *resource {
	r := &resource{typ: k.typ, made: made, length: uint8(len(k.id))}
	if len(k.id) > len(r.short) {
		r.length, r.long = tooLong, k.id
	}
	copy(r.short[:], k.id)
	return r
}

// is reports whether this is the resource's name.
func (r *resource) is(k resourceKey) bool {
	if r.length == tooLong {
		return r.long == k.id && r.typ == k.typ
	}
	return string(r.short[:r.length]) == k.id && r.typ == k.typ
}

// key is the resource's name.
func (r *resource) key() resourceKey {
	if r.length == tooLong {
		return resourceKey{r.typ, r.long}
	}
	return resourceKey{r.typ, string(r.short[:r.length])}
}

// copied is the same resource, to be changed.
func (r *resource) copied(made *stamp) *resource {
	next := *r
	next.made, next.further = made, r.further.copied()
	return &next
}

// share is a grant as a resource keeps it.
type share struct {
	// until is the second of the grant's end, the largest number if there is none.
	until int64
	*Grant
	// group is the number of its group, tag its name's.
	group, tag uint32
}

// tagOf is 32 bits for a group's name: names with other tags are other names. The
// last of them are briefOf.
func tagOf(name string) uint32 { return uint32(maphash.String(seed, name))<<briefBits | briefOf(name) }

// briefBits are those of briefOf.
const briefBits = 6

// briefOf is a few bits of a group's name: of its length and both its ends, which
// names that are alike differ in, and quicker than the others.
func briefOf(name string) uint32 {
	const spread = 0x9E3779B97F4A7C15 // by multiplications, as Knuth has it
	var first, last [8]byte
	if len(name) >= len(first) {
		first, last = [8]byte([]byte(name[:len(first)])), [8]byte([]byte(name[len(name)-len(last):]))
	} else {
		copy(first[:], name)
	}
	x := (binary.LittleEndian.Uint64(last[:]) ^ uint64(len(name))) * spread
	return uint32((x ^ x>>32 ^ binary.LittleEndian.Uint64(first[:])) * spread >> (64 - briefBits))
}

func newShare(g *Grant, of *body) share {
	s := share{math.MaxInt64, g, of.number, tagOf(of.group.Name)}
	if !g.Expires.IsZero() {
		s.until = g.Expires.Unix()
	}
	return s
}

func (s share) compare(o share) int { return cmp.Compare(s.group, o.group) }

// inForce is Grant.InForce, which is only asked in the second of the end.
func (s *share) inForce(now time.Time) bool {
	second := now.Unix()
	return second < s.until || second == s.until && s.InForce(now)
}

func (r *resource) len() int {
	if r.ownLen > 0 {
		return int(r.ownLen)
	}
	return r.further.len()
}

// find returns the share of a group by its number.
func (r *resource) find(group uint32) (share, bool) {
	for i := range r.own[:r.ownLen] {
		if r.own[i].group == group {
			return r.own[i], true
		}
	}
	if r.ownLen > 0 {
		return share{}, false
	}
	return r.further.find(share{group: group})
}

// wildcard is the resource "*" of a type.
type wildcard struct {
	typ string
	*resource
}

// all yields the shares by the numbers of their groups.
func (r *resource) all() iter.Seq[share] {
	if r.ownLen > 0 {
		return slices.Values(r.own[:r.ownLen])
	}
	return r.further.all()
}

// put adds a share, in place of that of its group. More than four are all further.
func (r *resource) put(s share) {
	if _, there := r.find(s.group); there {
		r.remove(s.group)
	}
	if r.further.len() == 0 && int(r.ownLen) < len(r.own) {
		r.own[r.ownLen] = s
		r.ownLen++
		slices.SortFunc(r.own[:r.ownLen], share.compare)
		return
	}
	for i := range r.own[:r.ownLen] {
		r.further.put(r.own[i])
	}
	r.own, r.ownLen = [4]share{}, 0
	r.further.put(s)
}

// remove takes the share of a group out.
func (r *resource) remove(group uint32) {
	if r.ownLen > 0 {
		kept := slices.DeleteFunc(r.own[:r.ownLen], func(s share) bool { return s.group == group })
		r.ownLen = uint8(len(kept))
		return
	}
	r.further.remove(share{group: group})
	if r.further.len() <= len(r.own)/2 {
		for s := range r.further.all() {
			r.own[r.ownLen] = s
			r.ownLen++
		}
		r.further = list[share]{}
	}
}
