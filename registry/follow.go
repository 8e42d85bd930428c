package registry

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// run follows the store until ctx ends: on each poke, at each poll, and when a
// pause ends.
func (s *Service) run(ctx context.Context) {
	defer close(s.done)
	poll := time.NewTimer(s.jittered())
	defer poll.Stop()
	pause := time.NewTimer(s.untilPauseEnds())
	defer pause.Stop()
	sweep := time.NewTicker(s.opts.SweepInterval)
	defer sweep.Stop()
	changed := s.store.Changed()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-changed:
			if !open {
				changed = nil // the store is being closed
			}
			s.follow(ctx)
		case <-poll.C:
			s.follow(ctx)
			poll.Reset(s.jittered())
		case <-s.rearm:
		case <-sweep.C:
			s.sweepGenerations(ctx)
		case <-pause.C:
			s.endPauses(ctx)
		}
		pause.Reset(s.untilPauseEnds())
	}
}

// jittered spreads the polls of replicas that started together.
func (s *Service) jittered() time.Duration {
	d := s.opts.PollInterval
	return d - d/10 + rand.N(d/5+1)
}

// follow refreshes and says once that the store went away, and once that it came
// back.
func (s *Service) follow(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	// The error is noted where it happens; the snapshot at hand keeps serving.
	_ = s.refresh(ctx)
}

// noteStore remembers whether the store could be read, and logs the changes.
func (s *Service) noteStore(ctx context.Context, err error) {
	if err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return // the caller went away; that says nothing about the store
	}
	var now *fault.Error
	if err != nil {
		now = fault.From(err)
	}
	before := s.storeErr.Swap(now)
	switch {
	case before == nil && now != nil:
		s.log.WarnContext(ctx, "the store cannot be read; the last snapshot keeps serving and changes are refused",
			"code", now.Code, "detail", now.Detail, "error", errors.Unwrap(now), "revision", s.Snapshot().Revision)
	case before != nil && now == nil:
		s.log.InfoContext(ctx, "the store is back", "revision", s.Snapshot().Revision)
	}
}

// refresh brings the snapshot up to the store.
func (s *Service) refresh(ctx context.Context) error {
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.giveTurn()
	return s.catchUp(ctx)
}

// takeTurn waits for the right to write and publish.
func (s *Service) takeTurn(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	case <-s.closing:
		return fault.New(fault.Unavailable, "store_unavailable", "this gateway is shutting down; try another")
	case <-ctx.Done():
		return fault.New(fault.Unavailable, "store_unavailable",
			"the store is still busy with the changes before this one; nothing was changed, try again").
			After(time.Second).Wrap(context.Cause(ctx))
	}
}

func (s *Service) giveTurn() { s.turn <- struct{}{} }

// catchUp loads what changed and publishes it. The caller has the turn.
func (s *Service) catchUp(ctx context.Context) error {
	at := s.now() // before reading: what is read is at least as new
	c, err := s.store.Load(ctx, s.base)
	s.noteStore(ctx, err)
	if err != nil {
		return err
	}
	old := s.Snapshot()
	if !c.Full && c.Revision == s.base && c.Revision == old.Revision {
		fresh := *old
		fresh.LoadedAt = at
		s.snap.Store(&fresh) // nothing changed, so nobody is woken
		return nil
	}
	if c.Revision < s.base {
		s.log.WarnContext(ctx, "the store's revision went back; it was restored from an older copy, all is loaded anew",
			"revision", c.Revision, "before", s.base)
	}
	s.base, s.stored = c.Revision, c.Gateway
	gateway := c.Gateway
	if s.opts.GatewayID != "" {
		gateway = s.opts.GatewayID
	}
	s.publish(merge(old, c, at, gateway))
	return nil
}

// publish makes snap the newest. The caller has the turn.
func (s *Service) publish(snap *Snapshot) {
	s.front.Follow(snap.Access)
	s.snap.Store(snap)
	s.watch.publish(snap)
	select {
	case s.rearm <- struct{}{}:
	default: // run has not looked since the last time
	}
}

// merge makes the snapshot after c. What c does not change stays the same, down
// to its address.
func merge(old *Snapshot, c *Changes, at time.Time, gateway WorkerID) *Snapshot {
	next := *old
	next.Gateway, next.Revision, next.LoadedAt = gateway, c.Revision, at
	if c.Full || len(c.Workers)+len(c.Deleted) > 0 {
		next.setWorkers(mergeWorkers(old, c))
	}
	switch {
	case c.Full:
		next.Rules = (*rule.Set)(nil).WithPacked(c.Rules, nil)
		next.Model, next.ModelRevision, next.retired = &rule.Model{}, 0, nil
	case len(c.Rules)+len(c.DeletedRules) > 0:
		next.Rules = old.Rules.WithPacked(c.Rules, c.DeletedRules)
	}
	if c.Model != nil {
		next.Model, next.ModelRevision, next.retired = c.Model.Model, c.Model.Revision, c.Model.Retired
	}
	if c.Full {
		next.Access = nil
	}
	if !c.Access.Empty() {
		next.Access = next.Access.With(c.Access)
	}
	return &next
}

// mergeWorkers are the workers after c, ordered as a snapshot has them.
func mergeWorkers(old *Snapshot, c *Changes) []*Worker {
	var workers []*Worker
	if c.Full {
		workers = slices.Clone(c.Workers)
	} else {
		gone := make(map[WorkerID]bool, len(c.Workers)+len(c.Deleted))
		for _, w := range c.Workers {
			gone[w.ID] = true
		}
		for _, id := range c.Deleted {
			gone[id] = true
		}
		workers = make([]*Worker, 0, len(old.Workers)+len(c.Workers))
		for _, w := range old.Workers {
			if !gone[w.ID] {
				workers = append(workers, w)
			}
		}
		workers = append(workers, c.Workers...)
	}
	slices.SortFunc(workers, func(a, b *Worker) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return workers
}
