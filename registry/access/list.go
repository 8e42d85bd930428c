package access

import (
	"iter"
	"slices"
	"sync"

	"github.com/tidwall/btree"
)

// few is how many values a list holds in a slice before it becomes a tree.
const few = 32

// list is a persistent list of values in their order, each once: a slice while
// they are few, else a tree.
type list[T ranked[T]] struct {
	few  []T
	many *many[T]
}

// ranked is a value that has a place in an order.
type ranked[T any] interface{ compare(other T) int }

// many is a tree whose copies share nodes until they are written.
type many[T ranked[T]] struct {
	copying sync.Mutex // a tree notes that it was copied
	tree    *btree.BTreeG[T]
}

func (l *list[T]) len() int {
	if l.many != nil {
		return l.many.tree.Len()
	}
	return len(l.few)
}

// copied is the same list, to be changed in place.
func (l *list[T]) copied() list[T] {
	if l.many == nil {
		return list[T]{few: slices.Clone(l.few)}
	}
	l.many.copying.Lock()
	defer l.many.copying.Unlock()
	return list[T]{many: &many[T]{tree: l.many.tree.Copy()}}
}

// find returns the value that has the same place as a probe.
func (l *list[T]) find(probe T) (T, bool) {
	if l.many != nil {
		return l.many.tree.Get(probe)
	}
	i, there := slices.BinarySearchFunc(l.few, probe, T.compare)
	if !there {
		var none T
		return none, false
	}
	return l.few[i], true
}

// from yields the values from a place on.
func (l *list[T]) from(probe T) iter.Seq[T] {
	return func(yield func(T) bool) {
		if l.many != nil {
			l.many.tree.Ascend(probe, yield)
			return
		}
		i, _ := slices.BinarySearchFunc(l.few, probe, T.compare)
		for _, v := range l.few[i:] {
			if !yield(v) {
				return
			}
		}
	}
}

// all yields every value.
func (l *list[T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		if l.many != nil {
			l.many.tree.Scan(yield)
			return
		}
		for _, v := range l.few {
			if !yield(v) {
				return
			}
		}
	}
}

// put adds a value, in place of the one that has its place.
func (l *list[T]) put(v T) {
	if l.many != nil {
		l.many.tree.Set(v)
		return
	}
	i, there := slices.BinarySearchFunc(l.few, v, T.compare)
	switch {
	case there:
		l.few[i] = v
	case len(l.few) < few:
		l.few = slices.Insert(l.few, i, v)
	default:
		less := func(a, b T) bool { return a.compare(b) < 0 }
		l.many = &many[T]{tree: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
		for _, old := range l.few {
			l.many.tree.Load(old)
		}
		l.many.tree.Set(v)
		l.few = nil
	}
}

// remove takes the value at a probe's place out.
func (l *list[T]) remove(probe T) {
	if l.many != nil {
		l.many.tree.Delete(probe)
		if l.many.tree.Len() <= few/2 {
			l.few = l.many.tree.Items()
			l.many = nil
		}
		return
	}
	if i, there := slices.BinarySearchFunc(l.few, probe, T.compare); there {
		l.few = slices.Delete(l.few, i, i+1)
	}
}
