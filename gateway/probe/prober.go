package probe

import (
	"container/heap"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

const (
	// DefaultInterval is how often a worker is probed.
	DefaultInterval = 10 * time.Second
	// MinInterval is the least that can be asked for.
	MinInterval = 100 * time.Millisecond
	// DefaultConcurrency is how many probes run at once.
	DefaultConcurrency = 256

	// slowProbe is how long a probe takes that puts its worker into the slow lane.
	slowProbe = time.Second
	// retryStore is how soon a quarantine that could not be stored is tried again.
	retryStore = time.Second
)

// Config says how to probe.
type Config struct {
	// Interval is how often each worker is probed, give or take a tenth; 0 means
	// DefaultInterval, and less than MinInterval is an error.
	Interval time.Duration
	// Concurrency bounds the probes under way; 0 means DefaultConcurrency, and 2
	// is the least. With more workers than it can serve, each is probed less
	// often. Half of it is kept for workers that answer quickly, so that those
	// which let a probe run into its timeout hold up only each other.
	Concurrency int
}

// Registry is what a Prober needs of the registry; *registry.Service is one.
type Registry interface {
	Snapshot() *registry.Snapshot
	Watch(ctx context.Context) <-chan *registry.Snapshot
	Quarantine(ctx context.Context, id registry.WorkerID, reason string) error
	Pardon(ctx context.Context, actor registry.Actor, id registry.WorkerID) error
	RecordVersion(ctx context.Context, id registry.WorkerID, version string) error
}

// Measurer asks one worker who it is; *Inspector is one.
type Measurer interface {
	Measure(ctx context.Context, url string, t registry.Transport) (registry.Info, time.Duration, error)
}

// Deps are what a Prober works with; all are required.
type Deps struct {
	Registry  Registry
	Inspector Measurer
	Logger    *slog.Logger
	Metrics   prometheus.Registerer
}

// Prober derives the standing of every worker from probes and traffic, as this
// replica sees them. It reacts to what the newest snapshot says, not to changes,
// and never holds anybody up: neither the start, nor requests, nor the registry.
// All methods are safe for concurrent use.
type Prober struct {
	cfg       Config
	reg       Registry
	inspector Measurer
	log       *slog.Logger

	wake chan struct{} // tells Run to look at the queue again

	mu       sync.RWMutex
	entries  map[registry.WorkerID]*entry
	lanes    [2]lane
	revision registry.Revision // of the snapshot that entries were made from
}

// entry is one worker under watch.
type entry struct {
	id    registry.WorkerID
	due   time.Time // guarded by Prober.mu, like index and slow
	index int       // in its lane's queue; -1 while a probe is under way
	slow  bool      // the last probe took longer than slowProbe

	mu sync.Mutex
	s  *standing
}

// New makes a Prober that knows the workers of the present snapshot and has
// probed none of them.
func New(cfg Config, deps Deps) (*Prober, error) {
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Interval < MinInterval {
		return nil, fmt.Errorf("the probe interval is %s; the least is %s (workers.probeInterval)", cfg.Interval, MinInterval)
	}
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	p := &Prober{
		cfg: cfg, reg: deps.Registry, inspector: deps.Inspector, log: deps.Logger,
		wake: make(chan struct{}, 1), entries: map[registry.WorkerID]*entry{}, revision: -1,
	}
	p.sync(true)
	if err := deps.Metrics.Register(collector{p}); err != nil {
		return nil, fmt.Errorf("metrics of the fleet: %w", err)
	}
	return p, nil
}

// Run probes until ctx ends, and returns when the last probe has ended.
func (p *Prober) Run(ctx context.Context) {
	var probes sync.WaitGroup
	defer probes.Wait()
	updates := p.reg.Watch(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-updates:
			if !open {
				updates = nil // the registry is closing; what is known stays
				continue
			}
			p.sync(false)
		case <-p.wake:
		case <-timer.C:
		}
		for {
			e, wait := p.next()
			if e == nil {
				timer.Reset(wait)
				break
			}
			probes.Go(func() { p.visit(ctx, e) })
		}
	}
}

// next takes a worker whose probe is due, or says how long to wait for one. It
// is woken when a probe ends.
func (p *Prober) next() (*entry, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	shortest := time.Hour
	for i := range p.lanes {
		l := &p.lanes[i]
		if len(l.queue) == 0 || l.running >= max(p.cfg.Concurrency/len(p.lanes), 1) {
			continue
		}
		if wait := time.Until(l.queue[0].due); wait > 0 {
			shortest = min(shortest, wait)
			continue
		}
		l.running++
		return heap.Pop(&l.queue).(*entry), 0
	}
	return nil, shortest
}

// visit is one turn of a worker: store what waits to be stored, probe, store
// what follows from that.
func (p *Prober) visit(ctx context.Context, e *entry) {
	began := time.Now()
	failed := p.settle(ctx, e) != nil
	if _, err := p.probe(ctx, e); err == nil {
		failed = p.settle(ctx, e) != nil
	}
	wait := p.cfg.Interval - p.cfg.Interval/10 + rand.N(p.cfg.Interval/5)
	if failed {
		wait = min(wait, retryStore)
	}
	p.mu.Lock()
	p.lane(e).running--
	if p.entries[e.id] == e {
		now := time.Now()
		e.due, e.slow = now.Add(wait), now.Sub(began) > slowProbe
		heap.Push(&p.lane(e).queue, e)
	}
	p.mu.Unlock()
	p.rouse()
}

// probe asks the worker who it is and moves its standing. passed is what an
// operator's probe goes by. An error is the end of ctx, or of the registration
// that was asked about; then nothing was learned.
func (p *Prober) probe(ctx context.Context, e *entry) (passed bool, err error) {
	e.mu.Lock()
	wish := e.s.wish
	e.mu.Unlock()
	info, took, err := p.inspector.Measure(ctx, wish.URL, wish.Transport)
	if ctx.Err() != nil {
		return false, fault.From(ctx.Err())
	}
	f := finding{info: info, took: took}
	if err != nil {
		f.err = fault.From(err).Error()
	}
	p.refresh() // what was found at an old url says nothing about a new one
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.s.wish; now.URL != wish.URL || !now.RegisteredAt.Equal(wish.RegisteredAt) {
		return false, fault.New(fault.Conflict, "busy", "the worker was registered anew while it was probed; try again")
	}
	before := e.s.current()
	e.s.probed(f, time.Now())
	p.tell(ctx, e, before)
	return err == nil && e.s.impostor(info) == "", nil
}

// settle stores what the registry does not have yet: a quarantine, or else a
// version that was seen. It returns an error only when a quarantine, which then
// holds here alone, could not be stored.
func (p *Prober) settle(ctx context.Context, e *entry) error {
	e.mu.Lock()
	pending, version, wish := e.s.pending, e.s.version, e.s.wish
	// Offered once per probe: an older finding must not undo what another replica
	// has recorded since.
	e.s.version = ""
	e.mu.Unlock()
	if pending != nil {
		err := p.reg.Quarantine(ctx, e.id, pending.Reason)
		if fault.Is(err, "not_found") {
			return nil // removed meanwhile
		}
		if err != nil {
			p.complain(ctx, wish, "a quarantine holds here but could not be stored; it is tried again", err)
			return err
		}
		e.mu.Lock()
		if e.s.pending == pending {
			e.s.pending = nil
		}
		e.mu.Unlock()
		p.sync(false)
		return nil
	}
	if version != "" && version != wish.Version {
		err := p.reg.RecordVersion(ctx, e.id, version)
		if err != nil && !fault.Is(err, "not_found") {
			p.complain(ctx, wish, "a worker's new version could not be stored; it is tried again after the next probe", err)
		}
	}
	return nil
}

func (p *Prober) complain(ctx context.Context, w *registry.Worker, text string, err error) {
	if ctx.Err() == nil {
		p.log.WarnContext(ctx, text, "worker", w.ID, "name", w.Name, "error", err)
	}
}

// tell logs a change of state. The caller holds e.mu.
func (p *Prober) tell(ctx context.Context, e *entry, before registry.State) {
	after := e.s.current()
	if after == before {
		return
	}
	level := slog.LevelWarn
	if after == registry.StateHealthy {
		level = slog.LevelInfo
	}
	p.log.Log(ctx, level, "worker standing", "worker", e.id, "name", e.s.wish.Name,
		"from", before, "to", after, "reason", e.s.at(time.Now()).LastError)
}

// rouse makes Run look at the queue.
func (p *Prober) rouse() {
	select {
	case p.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}
