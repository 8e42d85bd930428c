package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/registry"
)

const (
	// canaryEvery is the time between two tries of the store, canaryAgain what it is
	// while something is wrong.
	canaryEvery, canaryAgain = 10 * time.Second, time.Second
	// canaryTimeout bounds one try.
	canaryTimeout = 5 * time.Second
	// Of the last canaryOf tries canaryFails have to fail for the store to count as
	// gone, so that one hiccup tells nothing.
	canaryOf, canaryFails = 5, 3
	// canaryStale is how old the last try may be: beyond it one hangs in a way that no
	// timeout ends, as on a disk that does not answer.
	canaryStale = canaryEvery + 4*canaryTimeout
	// canaryBusy is for how long other changes may keep the canary from its turn: a
	// million rules take their time.
	canaryBusy = 5 * time.Minute
)

// keptStore is a store as the gateway has it.
type keptStore interface {
	registry.Store
	// Schema returns the version that the schema has, and the one that this program's
	// migrations make.
	Schema(ctx context.Context) (current, expected int64, err error)
}

// tries are the outcomes of the last canaryOf tries.
type tries struct {
	failed [canaryOf]bool
	n      int
	last   error
}

func (t *tries) add(err error) {
	t.failed[t.n%canaryOf] = err != nil
	t.n++
	t.last = err
}

// fails counts the failures among the last tries, of.
func (t *tries) fails() (fails, of int) {
	for _, failed := range t.failed {
		if failed {
			fails++
		}
	}
	return fails, min(t.n, canaryOf)
}

func (t *tries) gone() bool {
	fails, _ := t.fails()
	return fails >= canaryFails
}

// canary writes to the store and reads its schema's version in the background, so
// that whoever asks after the store's health costs it nothing. It is safe for
// concurrent use.
type canary struct {
	write  func(ctx context.Context) error
	schema func(ctx context.Context) (current, expected int64, err error)
	now    func() time.Time
	log    *slog.Logger

	mu       sync.Mutex
	at       time.Time // of the end of the last try; zero before the first
	busy     time.Time // since when others have the turn; zero while nobody has
	writes   tries
	reads    tries
	current  int64
	expected int64
	known    bool // whether current was ever read
	told     bool // whether the log was told of trouble
}

// once tries the store once.
func (c *canary) once(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, canaryTimeout)
	defer cancel()
	writeErr := c.write(bounded)
	if errors.Is(writeErr, registry.ErrBusy) && ctx.Err() == nil {
		c.wait()
		return
	}
	current, expected, readErr := c.schema(bounded)
	if ctx.Err() != nil {
		return // the gateway ends, which is nothing wrong with the store
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.busy, c.expected = c.now(), time.Time{}, expected
	c.reads.add(readErr)
	c.writes.add(writeErr)
	if readErr == nil {
		c.current, c.known = current, true
	}
	c.tell(ctx)
}

// wait notes a try that did not get its turn, which tells nothing of the store.
func (c *canary) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.now()
	if c.busy.IsZero() {
		c.busy = c.at
	}
}

// tell logs what has changed. The caller has the lock.
func (c *canary) tell(ctx context.Context) {
	wrong := c.writes.gone() || c.reads.gone() || c.mismatch()
	switch {
	case wrong && !c.told:
		c.log.WarnContext(ctx, "the store is not healthy: changes cannot be made, or its schema is not this program's",
			"write", c.writes.last, "read", c.reads.last, "schema", c.current, "expected", c.expected)
	case !wrong && c.told:
		c.log.InfoContext(ctx, "the store is healthy again")
	}
	c.told = wrong
}

// mismatch reports whether the schema is another one than this program's. The caller
// has the lock.
func (c *canary) mismatch() bool {
	if c.known && c.current != c.expected {
		return true
	}
	// The version cannot be read where everything else can: its table is gone.
	return c.reads.gone() && !c.writes.gone()
}

// run tries until ctx ends.
func (c *canary) run(ctx context.Context) {
	for {
		wait := canaryEvery
		if !c.calm() {
			wait = canaryAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		c.once(ctx)
	}
}

// calm reports whether nothing is wrong, so that there is no hurry.
func (c *canary) calm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes.last == nil && c.reads.last == nil && !c.writes.gone() && !c.reads.gone()
}

// problem says what keeps changes from being stored; nil when nothing does.
func (c *canary) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	fails, of := c.writes.fails()
	switch {
	case !c.at.IsZero() && c.now().Sub(c.at) > canaryStale:
		return fmt.Errorf("a write to the store hangs since %s", c.at.UTC().Format(time.RFC3339))
	case !c.busy.IsZero() && c.now().Sub(c.busy) > canaryBusy:
		return fmt.Errorf("other changes keep the store busy since %s", c.busy.UTC().Format(time.RFC3339))
	case c.writes.gone():
		return fmt.Errorf("%d of the last %d writes to the store failed; the last snapshot is served and changes are refused; see the log for why", fails, of)
	default:
		return nil
	}
}

// detail is what /readyz shows of it.
func (c *canary) detail() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	fails, of := c.writes.fails()
	if c.at.IsZero() {
		return canaryDetail{}
	}
	return canaryDetail{Age: c.now().Sub(c.at).Round(time.Millisecond).Seconds(), Failed: fails, Of: of}
}

// canaryDetail is how old the last try is, and how many of the last ones failed.
type canaryDetail struct {
	Age    float64 `json:"age_seconds"`
	Failed int     `json:"failed"`
	Of     int     `json:"of"`
}

// health is what GET /api/health tells.
func (c *canary) health(version string) edge.Health {
	stuck := c.problem() != nil
	c.mu.Lock()
	defer c.mu.Unlock()
	h := edge.Health{Status: edge.HealthOK, DBSchema: edge.SchemaOK, Expected: c.expected, Version: version}
	if c.known {
		current := c.current
		h.Current = &current
	}
	switch {
	case c.mismatch():
		h.DBSchema = edge.SchemaMismatch
	case c.reads.gone(), !c.known, stuck && !c.writes.gone():
		h.DBSchema, h.Current = edge.SchemaUnreachable, nil
	}
	if stuck || h.DBSchema != edge.SchemaOK {
		h.Status = edge.HealthBad
	}
	return h
}

// watchStore makes the canary over the store that the gateway has, and has it sing
// once, so that there is an answer from the start on.
func (g *gateway) watchStore(ctx context.Context, store keptStore) {
	g.canary = &canary{write: g.registry.Ready, schema: store.Schema, now: time.Now, log: g.log}
	g.canary.once(ctx)
	g.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "muster_store_healthy", Help: "1 while changes can be stored and the schema is this program's, else 0.",
	}, func() float64 {
		if g.canary.health(g.version).Status != edge.HealthOK {
			return 0
		}
		return 1
	}))
	g.background = append(g.background, g.canary.run)
}

// checks are the conditions of readiness. A store that is gone does not make the
// gateway unready: it goes on filtering from its snapshot, and taking every
// replica out of service at once would turn an outage of the register into one
// of every graph query.
func (g *gateway) checks() []edge.Check {
	return []edge.Check{
		{Name: "snapshot", Probe: func(context.Context) error {
			if g.registry.Snapshot().LoadedAt.Equal(time.Time{}) {
				return errors.New("no snapshot was loaded yet")
			}
			return nil
		}},
		{Name: "keys", Probe: func(context.Context) error {
			if !g.verifier.KeysReady() {
				return errors.New("the issuer's keys were never fetched, or are too old; see the log for why")
			}
			return nil
		}},
		{Name: "store", Degrades: true, Detail: g.canary.detail, Probe: func(context.Context) error {
			if e := g.registry.StoreError(); e != nil {
				return errors.New("the store cannot be reached; the last snapshot is served and changes are refused")
			}
			return g.canary.problem()
		}},
	}
}
