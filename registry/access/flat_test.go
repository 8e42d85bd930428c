package access

import (
	"math/rand/v2"
	"testing"
)

// Every key of a table is found where it was put, others are not, however full it is;
// and once it is shared none goes to another place.
func TestFlat(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 5))
	const values = 2000
	keys := make([][2]uint64, 4*values)
	for i := range keys {
		keys[i] = [2]uint64{max(rnd.Uint64(), 1), rnd.Uint64()}
	}
	f := newFlat(linkWords, values, hashPrint)
	places := map[[2]uint64]int{}
	check := func(n int) {
		t.Helper()
		moved := 0
		for i, key := range keys {
			s := f.look(hashPrint(key))
			at, there := f.find(&s, key)
			if there != (i < n) {
				t.Fatalf("of %d keys number %d is found: %v", n, i, there)
			}
			if !there {
				if f.says(key) != nil {
					t.Fatalf("of %d keys number %d has a cell", n, i)
				}
				continue
			}
			var said [1]uint64
			if !f.copyTo(said[:], at, 7) || f.copyTo(make([]uint64, 1), at, 6) || said[0] != uint64(i) {
				t.Fatalf("of %d keys number %d says %d", n, i, said[0])
			}
			if was, known := places[key]; known && was != at {
				moved++
			}
			places[key] = at
		}
		if (moved > 0) == f.shared {
			t.Fatalf("of %d keys %d were moved, shared: %v", n, moved, f.shared)
		}
	}
	n, behindHomes := 0, 0
	fill := func(to int) {
		for ; n < to; n++ {
			f.put(keys[n], 7, []uint64{uint64(n)})
		}
	}
	fill(values / 2)
	for _, key := range keys[:n] {
		s := f.look(hashPrint(key))
		places[key], _ = f.find(&s, key)
	}
	fill(values)
	check(values)
	for i := range values {
		one, other := f.homes(hashPrint(keys[i]))
		if at := places[keys[i]]; at != one && at != other {
			behindHomes++
		}
	}
	if behindHomes > values/20 {
		t.Errorf("%d of %d keys lie behind their homes", behindHomes, values)
	}
	f.shared = true
	for f.room(100) {
		fill(n + 100)
		check(n)
	}
	for i := range n { // again
		f.put(keys[i], 7, []uint64{uint64(i)})
	}
	check(n)
	if f.used != n || n < values*14/10 {
		t.Errorf("%d cells are used for %d keys", f.used, n)
	}
}
