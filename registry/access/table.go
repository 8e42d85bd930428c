package access

import (
	"hash/maphash"
	"iter"
	"math/bits"
	"slices"
)

// table finds values by their keys: a hash table whose copies share what is the
// same until one of them changes it. It grows and shrinks by one bucket at a time
// (linear hashing), so no change ever pays for all values. A search reads two
// places in memory that may be in no cache: a bucket, which lies in one piece, and
// the value. Docs/adr/0150 has what that is worth. The zero value is an empty
// table.
type table[K comparable, V keyed[K]] struct {
	blocks []*block[V]
	// values and buckets are how many there are.
	values, buckets int
}

// keyed is a value that knows its key.
type keyed[K comparable] interface{ is(K) bool }

// The sizes of a table's parts. Lists of blocks are copied by every change: eight
// bytes for about 8,000 values.
const (
	pageBits  = 3
	blockBits = 7
	pageSize  = 1 << pageBits
	blockSize = 1 << blockBits
	// fill is how many values a bucket has on average before there is one more. Those
	// that are split last have up to twice as many.
	fill = 8
	// room is for how many values a bucket has room in itself: with 14 pointers it is
	// four lines of the processor's cache.
	room = 14
)

type block[V any] struct {
	made  *stamp
	pages [blockSize]*page[V]
}

type page[V any] struct {
	buckets [pageSize]bucket[V]
	made    *stamp
}

// bucket has the values whose hashes belong together.
type bucket[V any] struct {
	n    int       // how many there are in own
	more []slot[V] // what own has no room for
	own  [room]slot[V]
}

// slot is a value in a bucket, with its hash.
type slot[V any] struct {
	hash  uint64
	value V
}

// seed is of the process, so that nobody can choose keys that collide.
var seed = maphash.MakeSeed()

// place is the number of the bucket where a hash belongs. While there are not
// twice as many buckets as before the last doubling, those that have not been
// split yet keep what will be in their other half.
func (t *table[K, V]) place(hash uint64) int {
	double := 1 << bits.Len(uint(t.buckets-1))
	if i := int(hash & uint64(double-1)); i < t.buckets {
		return i
	}
	return int(hash & uint64(double/2-1))
}

func (t *table[K, V]) get(k K) (V, bool) {
	if t.buckets == 0 {
		var none V
		return none, false
	}
	hash := maphash.Comparable(seed, k)
	b := t.near(hash)
	return find(b, b.match(hash), hash, k)
}

// all yields the values, in no order.
func (t *table[K, V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		for i := range t.buckets {
			b := &t.blocks[i>>(pageBits+blockBits)].pages[i>>pageBits&(blockSize-1)].buckets[i&(pageSize-1)]
			for k := range b.len() {
				if !yield(b.at(k).value) {
					return
				}
			}
		}
	}
}

// near is the bucket where a hash belongs, of a table that has some.
func (t *table[K, V]) near(hash uint64) *bucket[V] {
	i := t.place(hash)
	return &t.blocks[i>>(pageBits+blockBits)].pages[i>>pageBits&(blockSize-1)].buckets[i&(pageSize-1)]
}

// match finds the slots of own with a hash, as bits. It reads them all without
// deciding anything in between, so that they are waited for together.
func (b *bucket[V]) match(hash uint64) (found uint) {
	for i := range b.own {
		bit := uint(0)
		if b.own[i].hash == hash {
			bit = 1
		}
		found |= bit << i
	}
	return found & (1<<b.n - 1)
}

// find looks for a key among the slots that match found.
func find[K comparable, V keyed[K]](b *bucket[V], found uint, hash uint64, k K) (V, bool) {
	for ; found != 0; found &= found - 1 {
		if s := &b.own[bits.TrailingZeros(found)]; s.value.is(k) {
			return s.value, true
		}
	}
	for i := range b.more {
		if s := &b.more[i]; s.hash == hash && s.value.is(k) {
			return s.value, true
		}
	}
	var none V
	return none, false
}

// at is the slot with a number, of those in own and more.
func (b *bucket[V]) at(i int) *slot[V] {
	if i < b.n {
		return &b.own[i]
	}
	return &b.more[i-b.n]
}

func (b *bucket[V]) len() int { return b.n + len(b.more) }

// add adds a slot. What more had stays as it was for others.
func (b *bucket[V]) add(s slot[V]) {
	if b.n < room {
		b.own[b.n] = s
		b.n++
		return
	}
	b.more = append(slices.Clip(b.more), s)
}

// drop takes a slot out, by its number.
func (b *bucket[V]) drop(i int) {
	last := *b.at(b.len() - 1)
	if len(b.more) > 0 {
		b.more = slices.Clone(b.more[:len(b.more)-1])
		if len(b.more) == 0 {
			b.more = nil
		}
	} else {
		b.n--
		b.own[b.n] = slot[V]{}
	}
	if i < b.len() {
		*b.at(i) = last
	}
}

// copied is the same table, to be changed.
func (t *table[K, V]) copied() table[K, V] {
	return table[K, V]{slices.Clone(t.blocks), t.values, t.buckets}
}

// change is a bucket of the change's own.
func (t *table[K, V]) change(i int, made *stamp) *bucket[V] {
	at := i >> (pageBits + blockBits)
	if at == len(t.blocks) {
		t.blocks = append(t.blocks, &block[V]{made: made})
	}
	b := t.blocks[at]
	if b.made != made {
		b = &block[V]{made: made, pages: b.pages}
		t.blocks[at] = b
	}
	p := b.pages[i>>pageBits&(blockSize-1)]
	switch {
	case p == nil:
		p = &page[V]{made: made}
	case p.made != made:
		p = &page[V]{made: made, buckets: p.buckets}
	}
	b.pages[i>>pageBits&(blockSize-1)] = p
	return &p.buckets[i&(pageSize-1)]
}

// put adds a value, in place of the one with its key.
func (t *table[K, V]) put(k K, v V, made *stamp) {
	t.buckets = max(t.buckets, 1)
	hash := maphash.Comparable(seed, k)
	b := t.change(t.place(hash), made)
	for i := range b.len() {
		s := b.at(i)
		if s.hash != hash || !s.value.is(k) {
			continue
		}
		if i >= b.n {
			b.more = slices.Clone(b.more)
			s = b.at(i)
		}
		s.value = v
		return
	}
	b.add(slot[V]{hash, v})
	t.values++
	if t.values > t.buckets*fill {
		t.split(made)
	}
}

// remove takes a key out.
func (t *table[K, V]) remove(k K, made *stamp) {
	if t.buckets == 0 {
		return
	}
	hash := maphash.Comparable(seed, k)
	b := t.change(t.place(hash), made)
	for i := range b.len() {
		if s := b.at(i); s.hash == hash && s.value.is(k) {
			b.drop(i)
			t.values--
			if t.buckets > 1 && t.values < t.buckets*fill/4 {
				t.merge(made)
			}
			return
		}
	}
}

// split makes one more bucket, of what belongs there in the bucket whose half it
// is.
func (t *table[K, V]) split(made *stamp) {
	bit := 1 << (bits.Len(uint(t.buckets)) - 1)
	from, to := t.change(t.buckets-bit, made), t.change(t.buckets, made)
	t.buckets++
	whole := *from
	*from = bucket[V]{}
	for i := range whole.len() {
		if s := whole.at(i); s.hash&uint64(bit) == 0 {
			from.add(*s)
		} else {
			to.add(*s)
		}
	}
}

// merge undoes the last split.
func (t *table[K, V]) merge(made *stamp) {
	t.buckets--
	bit := 1 << (bits.Len(uint(t.buckets)) - 1)
	last, into := t.change(t.buckets, made), t.change(t.buckets-bit, made)
	for i := range last.len() {
		into.add(*last.at(i))
	}
	*last = bucket[V]{}
	if t.buckets&(pageSize*blockSize-1) == 0 {
		t.blocks = t.blocks[:t.buckets>>(pageBits+blockBits)]
	}
}
