package registry

import (
	"context"
	"errors"

	"github.com/muster-fleet/muster/registry/run"
)

// errLost says that a run is no longer the caller's.
var errLost = errors.New("the run is carried out by another gateway, or has ended")

// Lost reports whether a run turned out to be no longer the caller's: whatever
// the caller still does with it counts for nothing.
func Lost(err error) bool { return errors.Is(err, errLost) }

// Shared reports whether other processes may use the store. One that has its
// store alone knows at its start that whoever carried out a run is dead.
func (s *Service) Shared() bool { return s.store.Changed() != nil }

// OpenRuns returns all runs that have not ended, the oldest first, and who
// carries out those under way.
func (s *Service) OpenRuns(ctx context.Context) ([]*run.Run, []Lease, error) {
	return s.store.OpenRuns(ctx)
}

// Claimed is a run whose next attempt the caller is to carry out.
type Claimed struct {
	Run  run.Run
	Step run.Step
}

// ClaimRun begins the next attempt of the run that has waited longest among those
// whose turn has come, and gives it to owner; nil when there is none. Of the runs
// of one step never more than one is under way.
func (s *Service) ClaimRun(ctx context.Context, owner string) (*Claimed, error) {
	if next, err := s.nextRun(ctx); err != nil || next == nil {
		return nil, err
	}
	var got *Claimed
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		got = nil
		open, err := tx.OpenRunsForUpdate(ctx)
		if err != nil {
			return err
		}
		next := s.due(open)
		if next == nil {
			return errUnchanged // another replica was faster
		}
		step, err := tx.Step(ctx, next.Step)
		if err != nil {
			return err // a step with an open run cannot be deleted
		}
		next.Begin(s.now())
		if err := tx.UpdateRun(ctx, next); err != nil {
			return err
		}
		got = &Claimed{Run: *next.Clone(), Step: *step}
		return tx.PutLease(ctx, Lease{Run: next.ID, Owner: owner})
	}, &written{})
	if errors.Is(err, errUnchanged) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return got, nil
}

// nextRun looks for a run to claim without a transaction that changes anything.
func (s *Service) nextRun(ctx context.Context) (*run.Run, error) {
	open, _, err := s.store.OpenRuns(ctx)
	if err != nil {
		return nil, err
	}
	return s.due(open), nil
}

// due returns the oldest of the open runs whose turn has come.
func (s *Service) due(open []*run.Run) *run.Run {
	busy := map[string]bool{}
	for _, r := range open {
		if r.State == run.Running {
			busy[r.Step] = true
		}
	}
	now := s.now()
	for _, r := range open {
		if busy[r.Step] {
			continue
		}
		if !r.NotBefore.After(now) {
			return r
		}
		busy[r.Step] = true // the ones behind it wait for its retry
	}
	return nil
}

// HoldToken notes the token that an attempt's worker is given, before it is given
// it. It is Lost when the attempt is no longer owner's, or is being cancelled.
func (s *Service) HoldToken(ctx context.Context, owner string, id run.ID, attempt int, d run.Digest) error {
	return s.write(ctx, func(ctx context.Context, tx Tx) error {
		r, err := s.owned(ctx, tx, owner, id, attempt)
		if err != nil {
			return err
		}
		if r.Cancelling {
			return errLost
		}
		return tx.PutRunToken(ctx, d, id, attempt)
	}, &written{})
}

// owned returns a run whose attempt is under way at owner.
func (s *Service) owned(ctx context.Context, tx Tx, owner string, id run.ID, attempt int) (*run.Run, error) {
	r, err := tx.RunForUpdate(ctx, id)
	if err != nil {
		return nil, lostIfGone(err)
	}
	l, err := tx.Lease(ctx, id)
	if err != nil {
		return nil, lostIfGone(err)
	}
	if a := r.Current(); a == nil || a.Number != attempt || l.Owner != owner {
		return nil, errLost
	}
	return r, nil
}

func lostIfGone(err error) error {
	if errors.Is(err, ErrNotFound) {
		return errLost
	}
	return err
}

// EndAttempt stores how an attempt ended and returns the run as it is then: ended,
// or queued again. It is Lost when the attempt is no longer owner's.
func (s *Service) EndAttempt(ctx context.Context, owner string, id run.ID, attempt int, o run.Outcome) (run.Run, error) {
	o.Message, o.Code = storable(o.Message), storable(o.Code)
	var after *run.Run
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		before, err := s.owned(ctx, tx, owner, id, attempt)
		if err != nil {
			return err
		}
		after, err = s.endAttempt(ctx, tx, before, o)
		return err
	}, &written{})
	if err != nil {
		return run.Run{}, err
	}
	return *after, nil
}

// endAttempt stores the end of the attempt under way.
func (s *Service) endAttempt(ctx context.Context, tx Tx, before *run.Run, o run.Outcome) (*run.Run, error) {
	after, now := before.Clone(), s.now()
	after.End(now, o)
	if err := tx.UpdateRun(ctx, after); err != nil {
		return nil, err
	}
	if err := tx.DeleteLease(ctx, after.ID); err != nil {
		return nil, err
	}
	action := ActionRunEnded
	if o.State == run.Interrupted {
		action = ActionRunInterrupted
	}
	if !after.State.Ended() && o.State != run.Interrupted {
		return after, nil // it is tried again; the end will tell
	}
	return after, auditRun(ctx, tx, Muster(), action, now, before, after)
}

// InterruptRun ends the attempt of an owner that is dead, unless the lease has
// changed since it was seen: then it is Lost.
func (s *Service) InterruptRun(ctx context.Context, seen Lease, message string) (run.Run, error) {
	var after *run.Run
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		l, err := tx.Lease(ctx, seen.Run)
		if err != nil {
			return lostIfGone(err)
		}
		if l != seen {
			return errLost
		}
		before, err := tx.RunForUpdate(ctx, seen.Run)
		if err != nil {
			return lostIfGone(err)
		}
		after, err = s.endAttempt(ctx, tx, before, run.Outcome{State: run.Interrupted, Code: run.CodeInterrupted, Message: message})
		return err
	}, &written{})
	if err != nil {
		return run.Run{}, err
	}
	return *after, nil
}

// RenewRun shows that owner still carries a run out; Lost when it is no longer
// owner's.
func (s *Service) RenewRun(ctx context.Context, owner string, id run.ID) error {
	return lostIfGone(s.store.RenewLease(ctx, id, owner))
}

// LogRun appends lines to a run's log.
func (s *Service) LogRun(ctx context.Context, id run.ID, lines ...run.Line) error {
	for i := range lines {
		lines[i].Text = storable(lines[i].Text)
		lines[i].At = s.now()
	}
	return s.store.AppendRunLog(ctx, id, lines)
}
