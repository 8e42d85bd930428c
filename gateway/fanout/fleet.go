package fanout

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/credentials"

	"github.com/muster-fleet/muster/registry"
)

// Config bounds what the fleet does. The zero value of every field means its
// default.
type Config struct {
	// MaxAge is how old a connection may grow before a new one replaces it, so
	// that a name's new addresses are learned; default 5 minutes.
	MaxAge time.Duration
	// IdleTimeout is how long an unused connection is kept; default 60 s.
	IdleTimeout time.Duration
	// Breaker trips a worker that mostly fails.
	Breaker BreakerConfig
	// RetryShare is how many retries every call pays into its worker's budget,
	// between 0 and 1; default 0.1. A budget holds at most retryBurst retries.
	RetryShare float64
}

// BreakerConfig says when a worker's circuit breaker opens.
type BreakerConfig struct {
	// Rate is the share of failed calls that opens it; default 0.5.
	Rate float64
	// MinCalls is how many calls the window must hold; default 20.
	MinCalls uint
	// Window is how far back calls count; default 10 s.
	Window time.Duration
	// Delay is how long it stays open before one call may try; default 2 s.
	Delay time.Duration
}

func (c Config) withDefaults() Config {
	c.MaxAge = or(c.MaxAge, 5*time.Minute)
	c.IdleTimeout = or(c.IdleTimeout, time.Minute)
	c.RetryShare = or(c.RetryShare, 0.1)
	c.Breaker.Rate = or(c.Breaker.Rate, 0.5)
	c.Breaker.MinCalls = or(c.Breaker.MinCalls, 20)
	c.Breaker.Window = or(c.Breaker.Window, 10*time.Second)
	c.Breaker.Delay = or(c.Breaker.Delay, 2*time.Second)
	return c
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Dialer makes connections to workers, and refuses addresses that no worker may
// have. It is *address.Dialer.
type Dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// TLS gives the configuration towards workers as it is now. It is *certs.Source.
type TLS interface {
	// Config is for one new connection, and is owned by the caller.
	Config() *tls.Config
	// GRPC asks anew at every handshake.
	GRPC() credentials.TransportCredentials
}

// Exchanger obtains a token for a worker's audience in exchange for the caller's.
type Exchanger interface {
	Exchange(ctx context.Context, subjectToken, audience string) (string, error)
}

// Result is how a call went, as far as a worker's standing is concerned.
type Result uint8

// The results.
const (
	// Succeeded: the worker answered as the contract says, be it with 401 or 403.
	Succeeded Result = iota
	// Failed: it did not.
	Failed
	// Violated: it answered what it may not answer.
	Violated
)

// Observer learns how calls went. It must not block.
type Observer interface {
	Observe(id registry.WorkerID, result Result, reason string)
}

// Deps are what the fleet stands on. Dialer, Logger and Metrics are required.
type Deps struct {
	Dialer Dialer
	// TLS may be nil: then workers' certificates are checked against the
	// system's roots.
	TLS TLS
	// Exchanger may be nil: then workers with identity "exchange" fail.
	Exchanger Exchanger
	// Observer may be nil.
	Observer Observer
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	// Tracer may be nil: then no spans are made.
	Tracer trace.Tracer
}

// Fleet holds one leg per worker and asks them. It is safe for concurrent use.
type Fleet struct {
	cfg     Config
	deps    Deps
	metrics *metrics

	legs atomic.Pointer[map[registry.WorkerID]*leg]

	mu     sync.Mutex // serialises changes of legs and closing
	closed bool
	asks   sync.WaitGroup

	ctx     context.Context //nolint:containedctx // ends with the fleet; for what no request waits for
	stop    context.CancelFunc
	stopped chan struct{}
}

// errClosed is returned by Ask after Close.
var errClosed = errors.New("fanout: the fleet is closed")

// pruneEvery is how often connections past their time are looked for.
const pruneEvery = 15 * time.Second

// New makes a fleet without legs. It keeps one goroutine, which ends with ctx or
// with Close.
func New(ctx context.Context, cfg Config, deps Deps) (*Fleet, error) {
	if deps.Dialer == nil || deps.Logger == nil || deps.Metrics == nil {
		return nil, errors.New("fanout: Dialer, Logger and Metrics are required")
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	f := &Fleet{cfg: cfg.withDefaults(), deps: deps, metrics: m, ctx: ctx, stop: stop, stopped: make(chan struct{})}
	f.legs.Store(&map[registry.WorkerID]*leg{})
	go f.prune(ctx)
	return f, nil
}

func (f *Fleet) prune(ctx context.Context) {
	defer close(f.stopped)
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, l := range *f.legs.Load() {
				l.carrier.prune()
			}
		}
	}
}

// Sync makes the legs match a snapshot: legs of workers that are gone are
// closed, those whose address, transport or bounds changed are replaced, the
// others stay as they are with their connections. Calls in flight finish.
func (f *Fleet) Sync(s *registry.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	old := *f.legs.Load()
	next := make(map[registry.WorkerID]*leg, len(old))
	for _, w := range s.GraphSecurity() {
		next[w.ID] = f.legFor(old[w.ID], w)
	}
	f.swap(old, next)
}

// leg returns the leg of a worker as a request's snapshot has it. A request may
// know of a change before Sync does.
func (f *Fleet) leg(w *registry.Worker) *leg {
	if l := (*f.legs.Load())[w.ID]; l != nil && l.serves(w) {
		return l
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := *f.legs.Load()
	l := f.legFor(old[w.ID], w)
	if f.closed {
		l.carrier.close() // what it connects is not kept
	}
	if f.closed || l == old[w.ID] {
		return l
	}
	next := make(map[registry.WorkerID]*leg, len(old)+1)
	maps.Copy(next, old)
	next[w.ID] = l
	f.swap(old, next)
	return l
}

// legFor returns have when it serves w, and a new leg otherwise.
func (f *Fleet) legFor(have *leg, w *registry.Worker) *leg {
	if have != nil && have.serves(w) {
		return have
	}
	return f.newLeg(w)
}

// swap publishes next and closes what is not in it any more.
func (f *Fleet) swap(old, next map[registry.WorkerID]*leg) {
	f.legs.Store(&next)
	for id, l := range old {
		if next[id] != l {
			l.carrier.close()
		}
		if next[id] == nil {
			f.metrics.forget(l)
		}
	}
}

// enter counts an ask in, unless the fleet is closed.
func (f *Fleet) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errClosed
	}
	f.asks.Add(1)
	return nil
}

// beside returns a context for work that no request waits for, which ends with
// the fleet, unless the fleet is closed. Whoever gets it must call done.
func (f *Fleet) beside(timeout time.Duration) (ctx context.Context, done func(), err error) {
	if err := f.enter(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(f.ctx, timeout)
	return ctx, func() { cancel(); f.asks.Done() }, nil
}

// Close refuses further asks, waits for those in flight until ctx ends, and
// closes all connections.
func (f *Fleet) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	<-f.stopped
	drained := make(chan struct{})
	go func() {
		f.asks.Wait()
		close(drained)
	}()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swap(*f.legs.Load(), map[registry.WorkerID]*leg{})
	return err
}
