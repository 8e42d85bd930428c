package access

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/dchest/siphash"
)

// cell is what a check reads of a user or a resource, where it lies in its table:
// two lines of the processor's cache, of which the first decides most checks. Behind
// the key and the number of its set it has a bit for each of its groups, by their
// numbers.
//
// Of a user come then the groups as entries, two to a word, ended by 0. Of a resource
// come a bit for each group's name; the numbers of the groups that have
// grants, doubled, and one more for those that end, two to a word; the seconds of
// the ends, two to a word; the tags.
//
// Where there are more it says crowd instead of the bits, then which groups there
// may be among them, by more bits, of which none is ever taken back. Links know which
// there are.
type cell [sideWords]uint64

// linkCell is what is known of a user with many groups, or a resource with many
// grants, and a group: the entry, or the second of the grant's end, the largest
// number if there is none. 0 when it is not so. Of a group's name: its number.
type linkCell [linkWords - keyWords]uint64

// The words of a cell.
const (
	maskAt    = keyWords
	entriesAt = maskAt + 1
	tagSetAt  = maskAt + 1
	grantsAt  = tagSetAt + 1
	endsAt    = grantsAt + onResource/2
	tagsAt    = endsAt + endsThere/2
)

const (
	crowd   = math.MaxUint64
	endless = math.MaxInt64
	// inCell is how many groups of a user a cell has room for.
	inCell = 2 * (sideWords - entriesAt)
	// onResource is how many grants a resource's cell has room for, endsThere how
	// many of them may end.
	onResource = 10
	endsThere  = 8
	// tagsPer is how many tags of tagBits a word has.
	tagsPer = 5
	tagBits = 12
	tagMask = 1<<tagBits - 1
	// maybeBits are for which groups there may be in a crowd.
	maybeBits = 64 * (sideWords - entriesAt)
)

// hashUser is where a user's cell is looked for.
func hashUser(id ID) uint64 { return maphash.Comparable(seed, id) }

// hashUserWords is hashUser by the words of an id.
func hashUserWords(words [2]uint64) uint64 {
	var id ID
	binary.LittleEndian.PutUint64(id[:8], words[0])
	binary.LittleEndian.PutUint64(id[8:], words[1])
	return hashUser(id)
}

// hashPrint is where what is known by a print is looked for.
func hashPrint(of [2]uint64) uint64 { return of[0] }

// wordsOf are an id's.
func wordsOf(id ID) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])}
}

// keys are of the process, so that nobody can choose names that collide.
var keys = randomKeys()

func randomKeys() (keys [2]uint64) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return [2]uint64{binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])}
}

// fingerprint stands for a resource's name: 128 bits by SipHash of the id, under a
// key that nobody knows and that is another one for each type, of which the code
// has a few. That two names have the same one is as likely as guessing the key.
func fingerprint(k resourceKey) [2]uint64 {
	typ := maphash.String(seed, k.typ)
	a, b := siphash.Hash128(keys[0]^typ, keys[1], bytesOf(k.id))
	return [2]uint64{max(a, 1), b}
}

// bytesOf is the text itself, not to be written.
func bytesOf(text string) []byte {
	return unsafe.Slice(unsafe.StringData(text), len(text)) //nolint:gosec // a copy would be the cost of the check
}

// printOf stands for a user where groups are told apart too: ids may be chosen.
func printOf(user ID) [2]uint64 {
	a, b := siphash.Hash128(keys[0], keys[1], user[:])
	return [2]uint64{max(a, 1), b}
}

// printOfName stands for a group's name.
func printOfName(name string) [2]uint64 {
	a, b := siphash.Hash128(keys[1], keys[0], bytesOf(name))
	return [2]uint64{max(a, 1), b}
}

// linkKey is that of a group, and what stands for a user or a resource.
func linkKey(of [2]uint64, group uint32) [2]uint64 {
	return [2]uint64{max(of[0]+uint64(group)*0x9E3779B97F4A7C15, 1), of[1]}
}

// at is one of a cell's words.
func (c *cell) at(i int) uint64 { return atomic.LoadUint64(&c[i]) }

// half is one of the numbers of 32 bits that begin with a word.
func (c *cell) half(from, i int) uint32 { return uint32(c.at(from+i>>1) >> (i & 1 * 32)) }

func (c *cell) setHalf(from, i int, x uint32) { c[from+i>>1] |= uint64(x) << (i & 1 * 32) }

// crowded reports whether there is more than has room; in nobody's cell, nil, there
// is not.
func (c *cell) crowded() bool { return c != nil && c.at(maskAt) == crowd }

// maskOf is the bit of a group, or of a tag: of its briefOf.
func maskOf(number uint32) uint64 { return 1 << (number & 63) }

// bitOf is where a group's bit is in a crowd.
func bitOf(group uint32) (word int, bit uint64) {
	i := uint64(group*2654435769) * maybeBits >> 32 // spread by a multiplication, as Knuth has it
	return entriesAt + int(i>>6), 1 << (i & 63)
}

// maybe reports whether a group may be in a crowd.
func (c *cell) maybe(group uint32) bool {
	word, bit := bitOf(group)
	return c.at(word)&bit != 0
}

func (c *cell) add(group uint32) {
	word, bit := bitOf(group)
	c[word] |= bit
}

// fillPerson writes the groups of a user, of whom there are few, into an empty cell.
func (c *cell) fillPerson(p *person) {
	i := 0
	for e := range p.entries() {
		c[maskAt] |= maskOf(e.group())
		c.setHalf(entriesAt, i, uint32(e))
		i++
	}
}

// fillResource writes the grants on a resource, of which there are few, into an
// empty cell.
func (c *cell) fillResource(r *resource) {
	i, ends := 0, 0
	for s := range r.all() {
		e := s.group << 1
		if s.until != endless {
			e |= 1
			c.setHalf(endsAt, ends, uint32(max(s.until, 0))) // past is past
			ends++
		}
		c[maskAt] |= maskOf(s.group)
		c[tagSetAt] |= maskOf(s.tag)
		c.setHalf(grantsAt, i, e)
		c[tagsAt+i/tagsPer] |= uint64(inTags(s.tag)) << (i % tagsPer * tagBits)
		i++
	}
}

// fits reports whether a cell has room for a resource's grants.
func (r *resource) fits() bool {
	if r.len() > onResource {
		return false
	}
	ends := 0
	for s := range r.all() {
		if s.until != endless {
			ends++
		}
		if s.until > math.MaxUint32 && s.until != endless {
			return false
		}
	}
	return ends <= endsThere
}

// entryOf is a user's entry of a group, 0 when there is none.
func (c *cell) entryOf(group uint32) entry {
	for i := entriesAt; i < sideWords; i++ {
		pair := c.at(i)
		if e := entry(pair); e.group() == group {
			return e
		}
		if e := entry(pair >> 32); e.group() == group || e == 0 {
			return e
		}
	}
	return 0
}

// grantOf is the number of the group of a grant, 0 behind the last one.
func (c *cell) grantOf(i int) uint32 { return c.half(grantsAt, i) >> 1 }

// inForce reports whether a grant has not ended; sure is false in the second of its
// end.
func (c *cell) inForce(i int, second int64) (is, sure bool) {
	if c.half(grantsAt, i)&1 == 0 {
		return true, true
	}
	ends := 0
	for k := range i {
		ends += int(c.half(grantsAt, k) & 1)
	}
	end := int64(c.half(endsAt, min(ends, endsThere-1))) // a cell that is being written may have more
	return second < end, second != end
}

// inTags is what a cell has of a tag beside its bit.
func inTags(tag uint32) uint32 { return tag >> briefBits & tagMask }

func (c *cell) tag(i int) uint32 {
	return uint32(c.at(tagsAt+i/tagsPer)>>(i%tagsPer*tagBits)) & tagMask
}
