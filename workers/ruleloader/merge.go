package ruleloader

import (
	"bytes"
	"container/heap"
)

// merge gives the records of several runs in the order of their keys.
func merge(runs []*run, put func(key, payload []byte) error) error {
	h := make(runHeap, 0, len(runs))
	for _, r := range runs {
		if err := r.rewind(); err != nil {
			return err
		}
		ok, err := r.next()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, r)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		r := h[0]
		if err := put(r.head.keyBytes(), r.head.payloadBytes()); err != nil {
			return err
		}
		ok, err := r.next()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// runHeap has the run with the least key first.
type runHeap []*run

// Len implements heap.Interface.
func (h runHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h runHeap) Less(i, j int) bool {
	return bytes.Compare(h[i].head.keyBytes(), h[j].head.keyBytes()) < 0
}

// Swap implements heap.Interface.
func (h runHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface; runs are never added later.
func (h *runHeap) Push(x any) { *h = append(*h, x.(*run)) }

// Pop implements heap.Interface.
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
