package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/registry"
)

// bird is a canary over a store of a test, with a clock that stands still.
type bird struct {
	*canary
	write, read     error
	current, wanted int64
	clock           time.Time
	log             strings.Builder
}

func newBird() *bird {
	b := &bird{current: 4, wanted: 4, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	b.canary = &canary{
		write:  func(context.Context) error { return b.write },
		schema: func(context.Context) (int64, int64, error) { return b.current, b.wanted, b.read },
		now:    func() time.Time { return b.clock },
		log:    slog.New(slog.NewTextHandler(&b.log, nil)),
	}
	return b
}

func (b *bird) sing(t interface{ Context() context.Context }, times int) {
	for range times {
		b.once(t.Context())
	}
}

// One hiccup tells nothing; three of the last five tries do, and the log says so once.
func TestCanaryDoesNotFlap(t *testing.T) {
	b := newBird()
	if h := b.health("1"); h.Status != edge.HealthBad || h.DBSchema != edge.SchemaUnreachable {
		t.Errorf("before the first try: %+v", h)
	}
	b.sing(t, 1)
	if h := b.health("1"); h.Status != edge.HealthOK || h.DBSchema != edge.SchemaOK || *h.Current != 4 || h.Expected != 4 || h.Version != "1" {
		t.Errorf("%+v", h)
	}
	b.write = errors.New("the disk is full")
	b.sing(t, 2)
	if err := b.problem(); err != nil || b.health("1").Status != edge.HealthOK || b.calm() {
		t.Errorf("two of three: %v", err)
	}
	b.sing(t, 2)
	if err := b.problem(); err == nil || strings.Contains(err.Error(), "disk") {
		t.Errorf("four of five: %v", err)
	}
	if h := b.health("1"); h.Status != edge.HealthBad || h.DBSchema != edge.SchemaOK {
		t.Errorf("the schema can be read: %+v", h)
	}
	if n := strings.Count(b.log.String(), "not healthy"); n != 1 || !strings.Contains(b.log.String(), "the disk is full") {
		t.Errorf("the log tells it %d times: %s", n, b.log.String())
	}
	b.write = nil
	b.sing(t, 1)
	if b.problem() == nil {
		t.Error("one good try is no recovery")
	}
	b.sing(t, 3)
	if b.problem() != nil || b.health("1").Status != edge.HealthOK || !b.calm() || !strings.Contains(b.log.String(), "healthy again") {
		t.Errorf("it does not recover: %v %s", b.problem(), b.log.String())
	}
}

// For every history the store counts as gone when three of the last five tries failed.
func TestCanaryCounts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBird()
		history := rapid.SliceOfN(rapid.Bool(), 1, 30).Draw(r, "failed")
		for _, failed := range history {
			b.write, b.read = nil, nil
			if failed {
				b.write = errors.New("gone")
			}
			b.sing(r, 1)
		}
		want := 0
		for _, failed := range history[max(0, len(history)-canaryOf):] {
			if failed {
				want++
			}
		}
		detail, _ := b.detail().(canaryDetail)
		if gone := b.problem() != nil; gone != (want >= canaryFails) || detail.Failed != want || detail.Of != min(len(history), canaryOf) {
			r.Errorf("%v: %t, %+v", history, gone, detail)
		}
	})
}

func TestCanaryTellsSchemas(t *testing.T) {
	b := newBird()
	b.current = 5
	b.sing(t, 1)
	if h := b.health("1"); h.Status != edge.HealthBad || h.DBSchema != edge.SchemaMismatch || *h.Current != 5 || b.problem() != nil {
		t.Errorf("another program has migrated: %+v %v", h, b.problem())
	}
	b.current, b.read, b.write = 4, errors.New("no answer"), errors.New("no answer")
	b.sing(t, canaryFails)
	if h := b.health("1"); h.DBSchema != edge.SchemaMismatch && h.DBSchema != edge.SchemaUnreachable || h.Status != edge.HealthBad {
		t.Errorf("%+v", h)
	}
	b = newBird()
	b.sing(t, 1)
	b.read, b.write = errors.New("no answer"), errors.New("no answer")
	b.sing(t, canaryFails)
	if h := b.health("1"); h.DBSchema != edge.SchemaUnreachable || h.Current != nil || h.Status != edge.HealthBad {
		t.Errorf("the server is gone: %+v", h)
	}
	b = newBird()
	b.read = errors.New("no such table")
	b.sing(t, canaryFails)
	if h := b.health("1"); h.DBSchema != edge.SchemaMismatch {
		t.Errorf("everything but the version can be had: %+v", h)
	}
}

// A try that hangs where no timeout reaches is told by the age of the last one.
func TestCanaryHangs(t *testing.T) {
	b := newBird()
	b.sing(t, 1)
	b.clock = b.clock.Add(canaryStale)
	if b.problem() != nil {
		t.Errorf("at the edge: %v", b.problem())
	}
	b.clock = b.clock.Add(time.Second)
	if err := b.problem(); err == nil || !strings.Contains(err.Error(), "hangs since 2026-01-01T00:00:00Z") {
		t.Errorf("%v", err)
	}
	if h := b.health("1"); h.Status != edge.HealthBad || h.DBSchema != edge.SchemaUnreachable {
		t.Errorf("%+v", h)
	}
	if d, _ := b.detail().(canaryDetail); d.Age != (canaryStale + time.Second).Seconds() {
		t.Errorf("%+v", d)
	}
}

// A long change of somebody else is no failure of the store, unless it never ends.
func TestCanaryWaitsItsTurn(t *testing.T) {
	b := newBird()
	b.sing(t, 1)
	b.write, b.read = fmt.Errorf("not its turn: %w", registry.ErrBusy), errors.New("the connection is taken")
	for range 10 {
		b.clock = b.clock.Add(canaryBusy / 10)
		b.sing(t, 1)
	}
	if err := b.problem(); err != nil || b.health("1").Status != edge.HealthOK {
		t.Errorf("%v %+v", err, b.health("1"))
	}
	b.clock = b.clock.Add(canaryStale / 2)
	b.sing(t, 1)
	if err := b.problem(); err != nil {
		t.Errorf("at the edge: %v", err)
	}
	b.clock = b.clock.Add(canaryBusy / 10)
	b.sing(t, 1)
	if err := b.problem(); err == nil || !strings.Contains(err.Error(), "busy since") {
		t.Errorf("it never ends: %v", err)
	}
	b.write, b.read = nil, nil
	b.sing(t, 1)
	if b.problem() != nil {
		t.Errorf("it has ended: %v", b.problem())
	}
}

// The end of the gateway is no failure of the store, and ends the canary.
func TestCanaryEnds(t *testing.T) {
	b := newBird()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.write = context.Canceled
	b.once(ctx)
	if !b.at.IsZero() || b.writes.n != 0 {
		t.Error("it counts what the end of the gateway has cut off")
	}
	b.run(ctx)
}
