package access

import (
	"hash/maphash"

	"github.com/tidwall/btree"
)

// index finds values by their keys: a persistent map. Copies share what is the
// same until one of them changes it.
type index[K comparable, V keyed[K]] struct {
	// m orders values by the hashes of their keys, so that a search compares
	// numbers that lie side by side. Of two keys with one hash the later has the
	// next number that is free.
	m *btree.Map[uint64, V]
}

// keyed is a value that knows its key.
type keyed[K comparable] interface{ key() K }

// seed is of the process, so that nobody can choose ids that collide.
var seed = maphash.MakeSeed()

func (x *index[K, V]) get(k K) (V, bool) {
	var none V
	if x.m == nil {
		return none, false
	}
	for h := maphash.Comparable(seed, k); ; h++ {
		v, there := x.m.Get(h)
		if !there {
			return none, false
		}
		if v.key() == k {
			return v, true
		}
	}
}

func (x *index[K, V]) len() int {
	if x.m == nil {
		return 0
	}
	return x.m.Len()
}

// copied is the same index, to be changed. Nobody else may copy at that time.
func (x *index[K, V]) copied() index[K, V] {
	if x.m == nil {
		return index[K, V]{m: new(btree.Map[uint64, V])}
	}
	return index[K, V]{m: x.m.Copy()}
}

// put adds a value, in place of the one with its key.
func (x *index[K, V]) put(v V) {
	k := v.key()
	for h := maphash.Comparable(seed, k); ; h++ {
		if old, there := x.m.Get(h); !there || old.key() == k {
			x.m.Set(h, v)
			return
		}
	}
}

// remove takes a key out, and has those that made way for it move up.
func (x *index[K, V]) remove(k K) {
	h := maphash.Comparable(seed, k)
	for ; ; h++ {
		v, there := x.m.Get(h)
		if !there {
			return
		}
		if v.key() == k {
			break
		}
	}
	x.m.Delete(h)
	for h++; ; h++ {
		v, there := x.m.Delete(h)
		if !there {
			return
		}
		x.put(v)
	}
}
