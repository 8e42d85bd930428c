package access

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// flat is a hash table of cells of so many words in one piece of memory, at most
// three quarters full. A key has two homes, both of which a search reads at once; a
// few keys, which found both taken, lie in the next free cell behind the second, which
// says so. A cell begins with its key of two words, of which 0 is that of a free one, and the
// number of the set whose change it was written for. It is never given to another key
// once others read the table: what is gone keeps its cell, until all cells are made
// anew. One goroutine writes at a time, any number read.
type flat struct {
	words []uint64
	free  func() // nil when the collector frees words
	per   int    // words of a cell
	cells int
	used  int
	// hash is where a key is looked for, for the one who writes.
	hash func(key [2]uint64) uint64
	// shared is whether others read the table: nothing is moved any more.
	shared bool
}

// keyWords are those before what a cell says, madeFor which of them has the number.
const (
	keyWords = 3
	madeFor  = 2
)

// writing is in place of the number while a cell is written. behind is beside it, in
// the cell that is the second home of keys which lie behind it.
const (
	writing = math.MaxUint64
	behind  = 1 << 63
)

// fewest is how many cells there are at least: changes of small sets are followed, not
// made anew.
const fewest = 1 << 9

// newFlat has room for half as many more.
func newFlat(per, values int, hash func(key [2]uint64) uint64) *flat {
	cells := max(values*2, fewest)
	words, free := newWords(cells * per)
	return &flat{words: words, free: free, per: per, cells: cells, hash: hash}
}

// room reports whether so many more cells can be used.
func (f *flat) room(n int) bool { return f.used+n <= f.cells/4*3 }

// homes are the first words of the cells where a search begins.
func (f *flat) homes(hash uint64) (one, other int) {
	a, _ := bits.Mul64(hash, uint64(f.cells))
	b, _ := bits.Mul64(bits.RotateLeft64(hash, 32), uint64(f.cells))
	return int(a) * f.per, int(b) * f.per
}

func (f *flat) load(at int) uint64 { return atomic.LoadUint64(&f.words[at]) }

// next is the cell behind one.
func (f *flat) next(at int) int {
	if at += f.per; at == len(f.words) {
		return 0
	}
	return at
}

// spot is where a search begins, and what was read there.
type spot struct {
	one, other    int
	first, second uint64
}

// look reads both homes of a key and decides nothing: several of them are waited for
// at once.
func (f *flat) look(hash uint64) spot {
	one, other := f.homes(hash)
	f.load(one + f.per/2)
	return spot{one, other, f.load(one), f.load(other)}
}

// find is where the cell with a key lies.
func (f *flat) find(s *spot, key [2]uint64) (place int, there bool) {
	if s.first == key[0] && f.load(s.one+1) == key[1] {
		return s.one, true
	}
	if s.second == key[0] && f.load(s.other+1) == key[1] {
		return s.other, true
	}
	if f.load(s.other+madeFor)&behind == 0 {
		return 0, false
	}
	for at := f.next(s.other); ; at = f.next(at) {
		switch first, second := f.load(at), f.load(at+1); {
		case first == key[0] && second == key[1]:
			return at, true
		case first == 0 && second == 0:
			return 0, false
		}
	}
}

// is and isFree tell of a cell, for the one who writes.
func (f *flat) is(at int, key [2]uint64) bool {
	return f.words[at] == key[0] && f.words[at+1] == key[1]
}

func (f *flat) isFree(at int) bool { return f.is(at, [2]uint64{}) }

// seek is where a key has its cell, for the one who writes.
func (f *flat) seek(key [2]uint64) (at int, there bool) {
	one, other := f.homes(f.hash(key))
	switch {
	case f.is(one, key):
		return one, true
	case f.is(other, key):
		return other, true
	case f.words[other+madeFor]&behind == 0:
		return 0, false
	}
	for at = f.next(other); !f.isFree(at); at = f.next(at) {
		if f.is(at, key) {
			return at, true
		}
	}
	return 0, false
}

// place is where a key that has no cell is to have one.
func (f *flat) place(key [2]uint64) (at int) {
	one, other := f.homes(f.hash(key))
	switch {
	case f.isFree(one):
		return one
	case f.isFree(other) || f.moves(other):
		return other
	case f.moves(one):
		return one
	}
	atomic.StoreUint64(&f.words[other+madeFor], f.words[other+madeFor]|behind)
	for at = other; !f.isFree(at); at = f.next(at) {
	}
	return at
}

// moves has the key of a cell move to its other home, if that is free and nobody
// reads yet. A cell that keys lie behind never moves: its other home was taken when
// the first of them came, and what is taken is never free again.
func (f *flat) moves(at int) bool {
	if f.shared {
		return false
	}
	one, other := f.homes(f.hash([2]uint64{f.words[at], f.words[at+1]}))
	if at == other {
		one, other = other, one
	}
	if at != one || !f.isFree(other) {
		return false // it lies behind its homes, or both are taken
	}
	from, to := f.words[at:at+f.per], f.words[other:other+f.per]
	copy(to, from)
	clear(from)
	return true
}

// copyTo copies what the cell at a place says to a reader of the set with a number;
// sure is false when it was written for a later one.
func (f *flat) copyTo(to []uint64, at int, set uint64) (sure bool) {
	cell := f.words[at : at+keyWords+len(to)]
	made := atomic.LoadUint64(&cell[madeFor])
	if made&^behind > set {
		return false
	}
	for i := range to {
		to[i] = atomic.LoadUint64(&cell[keyWords+i])
	}
	return atomic.LoadUint64(&cell[madeFor]) == made
}

// put writes what a cell says from the set with a number on.
func (f *flat) put(key [2]uint64, set uint64, says []uint64) {
	at, there := f.seek(key)
	if !there {
		at = f.place(key)
		f.used++
	}
	of := f.words[at+madeFor] & behind
	atomic.StoreUint64(&f.words[at+madeFor], writing)
	for i, w := range says {
		atomic.StoreUint64(&f.words[at+keyWords+i], w)
	}
	// Who reads the key while it is written takes the cell for another one's and
	// finds no own, which there is not before the set is published.
	atomic.StoreUint64(&f.words[at], key[0])
	atomic.StoreUint64(&f.words[at+1], key[1])
	atomic.StoreUint64(&f.words[at+madeFor], set|of)
}

// says is the cell with a key, for the one who writes; nil when there is none.
func (f *flat) says(key [2]uint64) []uint64 {
	if at, there := f.seek(key); there {
		return f.words[at : at+f.per]
	}
	return nil
}

// or sets bits of a cell that says already what it does: they mean something to
// readers of later sets only.
func or(word *uint64, bit uint64) { atomic.StoreUint64(word, *word|bit) }
