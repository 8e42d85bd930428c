package access

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// flat is a hash table of cells of so many words in one piece of memory, by open
// addressing, at most three quarters full. A cell begins with its key of two words,
// of which 0 is that of a free one, and the number of the set whose change it was
// written for. It is never given to another key: what is gone keeps its cell, until
// all cells are made anew. One goroutine writes at a time, any number read.
type flat struct {
	words []uint64
	free  func() // nil when the collector frees words
	per   int    // words of a cell
	cells int
	used  int
}

// keyWords are those before what a cell says, madeFor which of them has the number.
const (
	keyWords = 3
	madeFor  = 2
)

// writing is in place of the number while a cell is written.
const writing = math.MaxUint64

// fewest is how many cells there are at least: changes of small sets are followed, not
// made anew.
const fewest = 1 << 9

// newFlat has room for half as many more.
func newFlat(per, values int) flat {
	cells := max(values*2, fewest)
	words, free := newWords(cells * per)
	return flat{words: words, free: free, per: per, cells: cells}
}

// room reports whether so many more cells can be used.
func (f *flat) room(n int) bool { return f.used+n <= f.cells/4*3 }

// home is the first word of the cell where a search begins.
func (f *flat) home(hash uint64) int {
	at, _ := bits.Mul64(hash, uint64(f.cells))
	return int(at) * f.per
}

func (f *flat) load(at int) uint64 { return atomic.LoadUint64(&f.words[at]) }

// next is the cell behind one.
func (f *flat) next(at int) int {
	if at += f.per; at == len(f.words) {
		return 0
	}
	return at
}

// find is where the cell with a key lies; first is the first word at the place where
// the search begins.
func (f *flat) find(at int, first uint64, key [2]uint64) (place int, there bool) {
	for {
		second := f.load(at + 1)
		if first == key[0] && second == key[1] {
			return at, true
		}
		if first == 0 && second == 0 {
			return at, false
		}
		at = f.next(at)
		first = f.load(at)
	}
}

// copyTo copies what the cell at a place says to a reader of the set with a number;
// sure is false when it was written for a later one.
func (f *flat) copyTo(to []uint64, at int, set uint64) (sure bool) {
	cell := f.words[at : at+keyWords+len(to)]
	made := atomic.LoadUint64(&cell[madeFor])
	if made > set {
		return false
	}
	for i := range to {
		to[i] = atomic.LoadUint64(&cell[keyWords+i])
	}
	return atomic.LoadUint64(&cell[madeFor]) == made
}

// put writes what a cell says from the set with a number on.
func (f *flat) put(hash uint64, key [2]uint64, set uint64, says []uint64) {
	at := f.home(hash)
	for f.words[at] != key[0] || f.words[at+1] != key[1] {
		if f.words[at] == 0 && f.words[at+1] == 0 {
			f.used++
			break
		}
		at = f.next(at)
	}
	atomic.StoreUint64(&f.words[at+madeFor], writing)
	for i, w := range says {
		atomic.StoreUint64(&f.words[at+keyWords+i], w)
	}
	// Who reads the key while it is written takes the cell for another one's and
	// finds no own, which there is not before the set is published.
	atomic.StoreUint64(&f.words[at], key[0])
	atomic.StoreUint64(&f.words[at+1], key[1])
	atomic.StoreUint64(&f.words[at+madeFor], set)
}

// says is the cell with a key, for the one who writes; nil when there is none.
func (f *flat) says(hash uint64, key [2]uint64) []uint64 {
	at := f.home(hash)
	for f.words[at] != key[0] || f.words[at+1] != key[1] {
		if f.words[at] == 0 && f.words[at+1] == 0 {
			return nil
		}
		at = f.next(at)
	}
	return f.words[at : at+f.per]
}

// or sets bits of a cell that says already what it does: they mean something to
// readers of later sets only.
func or(word *uint64, bit uint64) { atomic.StoreUint64(word, *word|bit) }
