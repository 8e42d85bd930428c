package transform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// DefaultConcurrent is how many attempts one gateway carries out at once.
	DefaultConcurrent = 4
	// DefaultLease is how long a gateway may be silent about a run before others
	// take it for dead.
	DefaultLease = 30 * time.Second
	// DefaultPoll is how often the store is looked at when nothing was heard of it.
	DefaultPoll = 2 * time.Second
	// endTimeout bounds the storing of an attempt's end while the gateway ends.
	endTimeout = 3 * time.Second
	// endRetry is how long to wait before an end is stored again.
	endRetry = time.Second
)

// Realm is who there is in Keycloak; *keycloak.Directory is one. Its methods must
// be safe for concurrent use.
type Realm interface {
	// Users, Groups and ServiceAccounts return user names, whole paths, and the
	// user names of service accounts, each sorted.
	Users(ctx context.Context) ([]string, error)
	Groups(ctx context.Context) ([]string, error)
	ServiceAccounts(ctx context.Context) ([]string, error)
	// ClientToken returns a fresh token of a client.
	ClientToken(ctx context.Context, clientID, clientSecret string) (string, error)
}

// Verifier tells who a token speaks for; *token.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, raw string) (*token.Principal, error)
}

// Config of an Engine; the zero value is a usable one.
type Config struct {
	// Concurrent bounds the attempts under way; 0 means DefaultConcurrent.
	Concurrent int
	// Lease is how long an owner may be silent; 0 means DefaultLease. All gateways
	// over one store must use the same.
	Lease time.Duration
	// Poll is how often the store is looked at; 0 means DefaultPoll.
	Poll time.Duration
	// SecretsDir is the directory below which the clients' secrets lie; empty:
	// there is none, and every attempt fails.
	SecretsDir string
}

// Deps are what an Engine works with. All but Metrics and TLS are required.
type Deps struct {
	Registry *registry.Service
	Realm    Realm
	Verifier Verifier
	// Dialer connects to workers, by the address policy.
	Dialer *address.Dialer
	// TLS makes the settings for one connection to a worker.
	TLS func() *tls.Config
	// MayWrite returns nil for a principal who may write Graph Access Rules, else a
	// *fault.Error.
	MayWrite func(p *token.Principal) error
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Engine carries runs out. It is safe for concurrent use.
type Engine struct {
	cfg   Config
	deps  Deps
	log   *slog.Logger
	owner string

	metrics *metrics
	slots   chan struct{}
	freed   chan struct{} // an attempt has ended
	wg      sync.WaitGroup

	mu     sync.Mutex
	active map[run.ID]context.CancelCauseFunc
	seen   map[run.ID]sighting // leases of others; only Run touches it
}

// New makes an Engine; Run starts it.
func New(c Config, d Deps) (*Engine, error) {
	if d.Registry == nil || d.Realm == nil || d.Verifier == nil || d.Dialer == nil || d.Logger == nil || d.MayWrite == nil {
		return nil, errors.New("transform: Deps lack something that is required")
	}
	if c.Concurrent <= 0 {
		c.Concurrent = DefaultConcurrent
	}
	if c.Lease <= 0 {
		c.Lease = DefaultLease
	}
	if c.Poll <= 0 {
		c.Poll = DefaultPoll
	}
	if d.TLS == nil {
		d.TLS = func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	}
	owner, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("transform: make the owner's id: %w", err)
	}
	e := &Engine{
		cfg: c, deps: d, log: d.Logger, owner: owner.String(), slots: make(chan struct{}, c.Concurrent),
		freed: make(chan struct{}, 1), active: map[run.ID]context.CancelCauseFunc{}, seen: map[run.ID]sighting{},
	}
	e.metrics = newMetrics(d.Metrics)
	return e, nil
}

// Run carries out runs until ctx ends, cancels those under way then, stores that
// they were interrupted, and returns when nothing of it is left. It is to be
// called once.
func (e *Engine) Run(ctx context.Context) {
	defer e.wg.Wait()
	if !e.deps.Registry.Shared() {
		e.buryAll(ctx)
	}
	changes := e.deps.Registry.Watch(ctx)
	for {
		timer := time.NewTimer(e.look(ctx))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case _, open := <-changes:
			if !open {
				changes = nil // the registry is being closed
			}
		case <-e.freed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look does what is to be done now and returns when to look again, unless
// something is heard before.
func (e *Engine) look(ctx context.Context) time.Duration {
	open, leases, err := e.deps.Registry.OpenRuns(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.log.DebugContext(ctx, "the runs of rule transformations cannot be read; tried again", "error", err)
		}
		return e.cfg.Poll
	}
	e.metrics.show(open)
	e.cancelWanted(open)
	if e.deps.Registry.Shared() {
		e.buryDead(ctx, leases)
	}
	e.claim(ctx)
	wait := e.cfg.Poll
	if e.deps.Registry.Shared() {
		wait = min(wait, e.cfg.Lease/4)
	}
	for _, r := range open {
		if r.State == run.Queued && !r.NotBefore.IsZero() {
			// Times of the store and the clock here may differ a little.
			wait = min(wait, max(time.Until(r.NotBefore), 50*time.Millisecond))
		}
	}
	return wait
}

// cancelWanted ends the attempts under way here whose runs are being cancelled.
func (e *Engine) cancelWanted(open []*run.Run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range open {
		if cancel := e.active[r.ID]; cancel != nil && r.Cancelling {
			cancel(errCancelled)
		}
	}
}

// claim begins attempts as long as there are runs that wait and slots that are
// free.
func (e *Engine) claim(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case e.slots <- struct{}{}:
		default:
			return
		}
		got, err := e.deps.Registry.ClaimRun(ctx, e.owner)
		if err != nil || got == nil {
			<-e.slots
			if err != nil && ctx.Err() == nil {
				e.log.WarnContext(ctx, "a run of a rule transformation could not be claimed; tried again", "error", err)
			}
			return
		}
		e.begin(ctx, got)
	}
}

// begin carries out an attempt in the background.
func (e *Engine) begin(ctx context.Context, c *registry.Claimed) {
	within, cancel := context.WithCancelCause(ctx)
	e.mu.Lock()
	e.active[c.Run.ID] = cancel
	e.mu.Unlock()
	e.wg.Go(func() {
		defer func() {
			e.mu.Lock()
			delete(e.active, c.Run.ID)
			e.mu.Unlock()
			cancel(nil)
			<-e.slots
			select {
			case e.freed <- struct{}{}:
			default: // Run has not looked since the last one
			}
		}()
		renewing := e.renew(within, c.Run.ID, cancel)
		a := &attempt{engine: e, run: c.Run, step: c.Step, number: len(c.Run.Attempts), log: e.log.With(
			"run", c.Run.ID, "step", c.Step.Name, "attempt", len(c.Run.Attempts))}
		began := time.Now()
		outcome := a.carryOut(within)
		e.metrics.ended(outcome.State, time.Since(began))
		e.end(ctx, a, outcome)
		cancel(nil)
		<-renewing
	})
}

// end stores how an attempt ended, again and again while the store cannot be
// written, unless the attempt has become somebody else's. When the gateway ends,
// which ctx tells, it is tried once more: whoever comes next finds the lease.
func (e *Engine) end(ctx context.Context, a *attempt, o run.Outcome) {
	for last := false; ; {
		storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		r, err := e.deps.Registry.EndAttempt(storing, e.owner, a.run.ID, a.number, o)
		cancel()
		switch {
		case err == nil:
			a.log.InfoContext(ctx, "an attempt of a rule transformation ended", "state", o.State, "code", o.Code,
				"status", o.Status, "run_state", r.State)
			return
		case registry.Lost(err):
			a.log.WarnContext(ctx, "an attempt of a rule transformation was taken over by another gateway; its end counts for nothing")
			return
		}
		a.log.WarnContext(ctx, "the end of an attempt could not be stored", "state", o.State, "error", err)
		if last {
			return
		}
		select {
		case <-time.After(endRetry):
		case <-ctx.Done():
			last = true
		}
	}
}
