package transform

import (
	"context"
	"errors"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// Why an attempt's context ended.
var (
	errCancelled = errors.New("the run was cancelled")
	errLost      = errors.New("the run is no longer this gateway's")
	errTimedOut  = errors.New("the step's timeout has passed")
)

// sighting is a lease as it was seen, and since when it has looked like that, by
// the clock of this process alone.
type sighting struct {
	lease registry.Lease
	since time.Time
}

// renew shows that the run is being carried out until ctx ends. When that cannot
// be shown for two thirds of a lease the attempt ends: before others may take the
// run. The channel is closed at the end.
func (e *Engine) renew(ctx context.Context, id run.ID, cancel context.CancelCauseFunc) <-chan struct{} {
	done := make(chan struct{})
	if !e.deps.Registry.Shared() {
		close(done) // nobody else could take it
		return done
	}
	e.wg.Go(func() {
		defer close(done)
		tick := time.NewTicker(e.cfg.Lease / 4)
		defer tick.Stop()
		good := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			began := time.Now()
			within, stop := context.WithTimeout(ctx, e.cfg.Lease/4)
			err := e.deps.Registry.RenewRun(within, e.owner, id)
			stop()
			switch {
			case err == nil:
				good = began
			case ctx.Err() != nil:
				return
			case registry.Lost(err), time.Since(good) > e.cfg.Lease*2/3-e.cfg.Lease/4:
				e.log.WarnContext(ctx, "a run of a rule transformation can no longer be held; its attempt is broken off", "run", id, "error", err)
				cancel(errLost)
				return
			}
		}
	})
	return done
}

// buryDead interrupts the runs of owners that have been silent for a lease.
func (e *Engine) buryDead(ctx context.Context, leases []registry.Lease) {
	now := time.Now()
	there := map[run.ID]bool{}
	for _, l := range leases {
		there[l.Run] = true
		if l.Owner == e.owner {
			delete(e.seen, l.Run)
			continue
		}
		s, known := e.seen[l.Run]
		if !known || s.lease != l {
			e.seen[l.Run] = sighting{lease: l, since: now}
			continue
		}
		if now.Sub(s.since) >= e.cfg.Lease {
			e.bury(ctx, l, "the gateway that carried it out has not been heard of for "+e.cfg.Lease.String())
			delete(e.seen, l.Run)
		}
	}
	for id := range e.seen {
		if !there[id] {
			delete(e.seen, id)
		}
	}
}

// buryAll interrupts every run that was under way when the process before this
// one ended: nobody else has the store.
func (e *Engine) buryAll(ctx context.Context) {
	for {
		_, leases, err := e.deps.Registry.OpenRuns(ctx)
		if err == nil {
			for _, l := range leases {
				e.bury(ctx, l, "the gateway ended or died while it was carried out")
			}
			return
		}
		e.log.WarnContext(ctx, "the runs of rule transformations cannot be read; tried again", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(e.cfg.Poll):
		}
	}
}

func (e *Engine) bury(ctx context.Context, l registry.Lease, why string) {
	r, err := e.deps.Registry.InterruptRun(ctx, l, why)
	switch {
	case err == nil:
		e.metrics.ended(run.Interrupted, 0)
		e.log.WarnContext(ctx, "a run of a rule transformation was interrupted: "+why, "run", r.ID, "step", r.Step, "run_state", r.State)
		e.line(ctx, r.ID, "attempt %d was interrupted: %s", len(r.Attempts), why)
	case !registry.Lost(err) && ctx.Err() == nil:
		e.log.WarnContext(ctx, "a run whose gateway is dead could not be interrupted; tried again", "run", l.Run, "error", err)
	}
}
