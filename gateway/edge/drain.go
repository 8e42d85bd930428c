package edge

import (
	"context"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// Phase is where a gateway is in its life.
type Phase int

// The phases, in the order in which they follow one another.
const (
	// Serving takes requests.
	Serving Phase = iota
	// Leaving still takes requests, but is no longer ready: load balancers have
	// the grace time to notice.
	Leaving
	// Draining answers new requests with 503 "draining" and lets those in flight end.
	Draining
)

// Drain tracks requests in flight and ends a gateway's life in order. The zero
// value is not usable; it is safe for concurrent use.
type Drain struct {
	mu       sync.Mutex
	phase    Phase
	inflight int
	idle     chan struct{} // closed when draining and nothing is in flight
	ending   chan struct{} // closed when draining begins
}

// NewDrain returns a Drain in phase Serving.
func NewDrain() *Drain {
	return &Drain{idle: make(chan struct{}), ending: make(chan struct{})}
}

// Ending is closed when draining begins: what would go on without end, such as
// a watch, ends then.
func (d *Drain) Ending() <-chan struct{} { return d.ending }

// Phase returns the present phase.
func (d *Drain) Phase() Phase {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phase
}

// Begin counts a request in, or refuses it when draining. A nil error obliges
// the caller to call End.
func (d *Drain) Begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phase == Draining {
		return fault.New(fault.Unavailable, "draining", "this gateway is shutting down; another replica will answer").After(retryAfter)
	}
	d.inflight++
	return nil
}

// End counts a request out.
func (d *Drain) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inflight--
	d.closeWhenIdle()
}

func (d *Drain) closeWhenIdle() {
	if d.phase == Draining && d.inflight == 0 {
		select {
		case <-d.idle:
		default:
			close(d.idle)
		}
	}
}

// Shut goes through the phases: Leaving for grace, then Draining until nothing
// is in flight, or timeout has passed, or ctx ends. It returns how many requests
// were still in flight when it gave up.
func (d *Drain) Shut(ctx context.Context, grace, timeout time.Duration) int {
	d.enter(Leaving)
	wait(ctx, grace, nil)
	d.enter(Draining)
	wait(ctx, timeout, d.idle)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inflight
}

func (d *Drain) enter(p Phase) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p == Draining && d.phase != Draining {
		close(d.ending)
	}
	d.phase = max(d.phase, p)
	d.closeWhenIdle()
}

// wait returns when d has passed, done is closed or ctx has ended.
func wait(ctx context.Context, d time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	case <-ctx.Done():
	}
}
