package probe

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// Standing returns what this replica has found of a worker; the standing of a
// worker that is not registered has StateUnknown and nothing else.
func (p *Prober) Standing(id registry.WorkerID) registry.Standing {
	e := p.entry(id)
	if e == nil {
		return registry.Standing{State: registry.StateUnknown}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.s.at(time.Now())
}

// State is Standing's State alone; it is fit for the hot path.
func (p *Prober) State(id registry.WorkerID) registry.State {
	e := p.entry(id)
	if e == nil {
		return registry.StateUnknown
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.s.current()
}

// Observe takes in what became of a call of traffic. It never blocks: a
// quarantine that follows from it holds here at once and is stored by Run.
func (p *Prober) Observe(id registry.WorkerID, o Outcome) {
	e := p.entry(id)
	if e == nil {
		return
	}
	e.mu.Lock()
	before := e.s.current()
	e.s.observed(o, time.Now())
	waits := e.s.pending != nil
	if e.s.current() != before {
		p.log.Warn("worker standing", "worker", id, "name", e.s.wish.Name, "from", before, "to", e.s.current(), "reason", "seen in traffic")
	}
	e.mu.Unlock()
	if waits {
		p.hurry(e)
	}
}

// ProbeNow probes a worker for an operator and returns its fresh standing; a
// probe that fails is no error. One that passes ends a quarantine in the actor's
// name. Errors are *fault.Error: not_found, store_unavailable, or the end of ctx.
func (p *Prober) ProbeNow(ctx context.Context, actor registry.Actor, id registry.WorkerID) (registry.Standing, error) {
	e := p.entry(id)
	if e == nil {
		return registry.Standing{}, fault.New(fault.NotFound, "not_found", "no worker with the uuid %q is registered", id)
	}
	passed, err := p.probe(ctx, e)
	if err != nil {
		return registry.Standing{}, err
	}
	if err := p.settle(ctx, e); err != nil {
		return registry.Standing{}, err
	}
	if passed && p.State(id) == registry.StateQuarantined {
		if err := p.reg.Pardon(ctx, actor, id); err != nil {
			return registry.Standing{}, err
		}
		p.sync(false)
	}
	return p.Standing(id), nil
}

// entry finds a worker in the newest snapshot.
func (p *Prober) entry(id registry.WorkerID) *entry {
	p.refresh()
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.entries[id]
}

// refresh syncs unless the entries are those of the newest snapshot already.
func (p *Prober) refresh() {
	newest := p.reg.Snapshot().Revision
	p.mu.RLock()
	fresh := p.revision == newest
	p.mu.RUnlock()
	if !fresh {
		p.sync(false)
	}
}

// hurry makes a worker's turn due.
func (p *Prober) hurry(e *entry) {
	p.mu.Lock()
	if e.index >= 0 && p.entries[e.id] == e {
		e.due = time.Now()
		heap.Fix(&p.lane(e).queue, e.index)
	}
	p.mu.Unlock()
	p.rouse()
}

// sync makes the entries those of the newest snapshot. At the start nothing is
// known of the workers; those that come later have just been inspected.
func (p *Prober) sync(start bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// Read under the lock, so that an older snapshot never follows a newer one.
	snap, now := p.reg.Snapshot(), time.Now()
	if snap.Revision == p.revision {
		return
	}
	for _, w := range snap.Workers {
		if e := p.entries[w.ID]; e != nil {
			e.sync(w, now)
			continue
		}
		e := &entry{id: w.ID, s: newStanding(w, now), due: now.Add(rand.N(p.spread(len(snap.Workers))))}
		if !start {
			e.s = newRegistered(w, w.RegisteredAt)
			e.due = now.Add(p.cfg.Interval/2 + rand.N(p.cfg.Interval/2))
		}
		p.entries[w.ID] = e
		heap.Push(&p.lane(e).queue, e)
	}
	for id, e := range p.entries {
		if snap.Worker(id) == nil {
			delete(p.entries, id)
			if e.index >= 0 {
				heap.Remove(&p.lane(e).queue, e.index)
			}
		}
	}
	p.revision = snap.Revision
}

// spread is the time over which the first probes of n workers are spread.
func (p *Prober) spread(n int) time.Duration {
	return min(p.cfg.Interval, MinInterval+time.Duration(n)*time.Millisecond)
}

func (e *entry) sync(w *registry.Worker, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.s.wish != w { // snapshots share the records that did not change
		e.s.sync(w, now)
	}
}

// lane is a queue of workers and how many of them are being probed.
type lane struct {
	queue   queue
	running int
}

// lane is the one that a worker is in. The caller holds p.mu.
func (p *Prober) lane(e *entry) *lane {
	if e.slow {
		return &p.lanes[1]
	}
	return &p.lanes[0]
}

// queue is a heap of entries by due time.
type queue []*entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is heap.Interface's.
func (q *queue) Push(x any) {
	e := x.(*entry)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop is heap.Interface's.
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
