package registry

import (
	"context"
	"sync"
)

// watchers hands out the newest snapshot. The zero value is ready to use.
type watchers struct {
	mu     sync.Mutex
	closed bool
	all    map[chan *Snapshot]func() bool // to the function that stops waiting for its context
}

// add starts a watch with the snapshot that present returns. It is asked for
// under the lock, so that no newer one can be published in between and be lost.
func (w *watchers) add(ctx context.Context, present func() *Snapshot) <-chan *Snapshot {
	// One place is enough: publish is the only sender and makes room first.
	ch := make(chan *Snapshot, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	ch <- present()
	if w.closed {
		close(ch)
		return ch
	}
	if w.all == nil {
		w.all = make(map[chan *Snapshot]func() bool)
	}
	w.all[ch] = context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, there := w.all[ch]; there {
			delete(w.all, ch)
			close(ch)
		}
	})
	return ch
}

// publish gives every watcher s in place of what it has not read yet.
func (w *watchers) publish(s *Snapshot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.all {
		select {
		case <-ch:
		default:
		}
		ch <- s
	}
}

// close ends all watches, present and later ones.
func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for ch, stop := range w.all {
		stop()
		close(ch)
	}
	w.all = nil
}
