package access

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// table finds values by their keys: a hash table whose copies share what is the
// same until one of them changes it. It grows and shrinks by one bucket at a time
// (linear hashing), so no change ever pays for all values. A search reads few
// places in memory: the buckets' headers, which are close together, one bucket,
// and the value. Docs/adr/0150 has what that is worth. The zero value is an empty
// table.
type table[K comparable, V keyed[K]] struct {
	blocks []*block[V]
	// values and buckets are how many there are.
	values, buckets int
}

// keyed is a value that knows its key.
type keyed[K comparable] interface{ is(K) bool }

// The sizes of a table's parts. Lists of blocks are copied by every change: eight
// bytes for about 40,000 values.
const (
	pageBits  = 6
	blockBits = 6
	pageSize  = 1 << pageBits
	blockSize = 1 << blockBits
	// fill is how many values a bucket has on average before there is one more.
	fill = 12
)

type block[V any] struct {
	made  *stamp
	pages [blockSize]*page[V]
}

type page[V any] struct {
	made    *stamp
	buckets [pageSize][]slot[V]
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
	hash := maphash.Comparable(seed, k)
	for _, s := range t.near(hash) {
		if s.hash == hash && s.value.is(k) {
			return s.value, true
		}
	}
	var none V
	return none, false
}

// near is the bucket where a hash belongs.
func (t *table[K, V]) near(hash uint64) []slot[V] {
	if t.buckets == 0 {
		return nil
	}
	i := t.place(hash)
	return t.blocks[i>>(pageBits+blockBits)].pages[i>>pageBits&(blockSize-1)].buckets[i&(pageSize-1)]
}

// copied is the same table, to be changed.
func (t *table[K, V]) copied() table[K, V] {
	return table[K, V]{slices.Clone(t.blocks), t.values, t.buckets}
}

// bucket is a bucket that a change may replace, but not write to.
func (t *table[K, V]) bucket(i int, made *stamp) *[]slot[V] {
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
	b := t.bucket(t.place(hash), made)
	next := make([]slot[V], len(*b), len(*b)+1)
	copy(next, *b)
	for i, s := range next {
		if s.hash == hash && s.value.is(k) {
			next[i].value = v
			*b = next
			return
		}
	}
	next = append(next, slot[V]{hash, v})
	*b = next
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
	b := t.bucket(t.place(hash), made)
	for i, s := range *b {
		if s.hash == hash && s.value.is(k) {
			*b = slices.Concat((*b)[:i], (*b)[i+1:])
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
	from := t.bucket(t.buckets-bit, made)
	var stay, leave []slot[V]
	for _, s := range *from {
		if s.hash&uint64(bit) == 0 {
			stay = append(stay, s)
		} else {
			leave = append(leave, s)
		}
	}
	*from = slices.Clip(stay)
	*t.bucket(t.buckets, made) = slices.Clip(leave)
	t.buckets++
}

// merge undoes the last split.
func (t *table[K, V]) merge(made *stamp) {
	t.buckets--
	bit := 1 << (bits.Len(uint(t.buckets)) - 1)
	last, into := t.bucket(t.buckets, made), t.bucket(t.buckets-bit, made)
	*into = slices.Concat(*into, *last)
	*last = nil
	if t.buckets&(pageSize*blockSize-1) == 0 {
		t.blocks = t.blocks[:t.buckets>>(pageBits+blockBits)]
	}
}
