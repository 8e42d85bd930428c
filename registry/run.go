package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/run"
)

// The names of what happens to runs, in the audit log.
const (
	ActionRunStarted     = "rule_run.started"
	ActionRunCancelled   = "rule_run.cancelled"
	ActionRunEnded       = "rule_run.ended"
	ActionRunInterrupted = "rule_run.interrupted"
)

// The codes of refusals about runs.
const (
	// CodeRunOpen is a step that has a run already.
	CodeRunOpen = "run_open"
	// CodeRunEnded is a run, or the attempt of a token, that is over.
	CodeRunEnded = "run_ended"
	// CodeKeyReused is an idempotency key that was used with other parameters.
	CodeKeyReused = "idempotency_key_reused"
)

// StartInput are the parameters of a start.
type StartInput struct {
	Step string
	// Key is the idempotency key; empty without one.
	Key string
	// Coalesce has a start while another run is open wait behind that one, or join
	// the one that waits already.
	Coalesce bool
}

// params is what an idempotency key is compared by.
func (in StartInput) params() (string, error) {
	text, err := json.Marshal(map[string]any{"step": in.Step, "coalesce": in.Coalesce})
	return string(text), err
}

// StartRun queues a run of a step. A key that was used within run.KeyLife by the
// same principal gives the run that it gave then, before anything else is looked
// at. With a run open it is run_open and that run is returned beside the error,
// unless in.Coalesce: then it returns the run that waits, which there is at most
// one of.
func (s *Service) StartRun(ctx context.Context, actor Actor, in StartInput) (run.Run, error) {
	actor = actor.storable()
	if run.CheckName(in.Step) != nil { // no key stands for such a step either
		return run.Run{}, noStep(in.Step)
	}
	params, err := in.params()
	if err != nil {
		return run.Run{}, fmt.Errorf("parameters of a run: %w", err)
	}
	var got *run.Run
	err = s.write(ctx, func(ctx context.Context, tx Tx) error {
		var err error
		if got, err = runOfKey(ctx, tx, actor, in.Key, params, s.now()); err != nil {
			return err
		}
		if got != nil {
			return errUnchanged
		}
		if got, err = s.queue(ctx, tx, actor, in); err != nil || in.Key == "" {
			return err
		}
		return tx.PutRunKey(ctx, RunKey{
			Issuer: actor.Issuer, Subject: actor.Subject, Key: in.Key, Params: params, Run: got.ID, At: s.now(),
		})
	}, &written{})
	if got == nil {
		return run.Run{}, err
	}
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return *got.Clone(), err
}

// runOfKey finds the run that a key stands for; nil when there is none.
func runOfKey(ctx context.Context, tx Tx, actor Actor, key, params string, now time.Time) (*run.Run, error) {
	if key == "" {
		return nil, nil
	}
	k, err := tx.RunKey(ctx, actor.Issuer, actor.Subject, key)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case now.Sub(k.At) >= run.KeyLife:
		return nil, nil
	case k.Params != params:
		return nil, fault.New(fault.Unprocessable, CodeKeyReused,
			"the Idempotency-Key was used for another step or with other parameters, %s; use a new key for a new run",
			k.At.UTC().Format(time.RFC3339))
	}
	return tx.RunForUpdate(ctx, k.Run)
}

// queue adds a run, or finds the one that waits already.
func (s *Service) queue(ctx context.Context, tx Tx, actor Actor, in StartInput) (*run.Run, error) {
	step, err := tx.Step(ctx, in.Step)
	if errors.Is(err, ErrNotFound) {
		return nil, noStep(in.Step)
	}
	if err != nil {
		return nil, err
	}
	open, err := openOf(ctx, tx, in.Step)
	if err != nil {
		return nil, err
	}
	if len(open) > 0 && !in.Coalesce {
		return open[0], fault.New(fault.Conflict, CodeRunOpen,
			"run %s of this step has not ended; wait for it, cancel it, or ask for coalesce=true to have one more follow it", open[0].ID)
	}
	if n := len(open); n > 0 && open[n-1].State == run.Queued {
		return open[n-1], nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make the id of a run: %w", err)
	}
	now := s.now()
	r := &run.Run{
		ID: run.ID(id.String()), Step: step.Name, State: run.Queued, StartedBy: actor.Username, QueuedAt: now, Retries: step.Retries,
	}
	if err := tx.InsertRun(ctx, r); err != nil {
		return nil, err
	}
	if err := tx.ForgetRuns(ctx, step.Name, run.Kept, now.Add(-run.KeyLife)); err != nil {
		return nil, err
	}
	return r, auditRun(ctx, tx, actor, ActionRunStarted, now, nil, r)
}

// openOf returns the open runs of one step, the oldest first.
func openOf(ctx context.Context, tx Tx, step string) ([]*run.Run, error) {
	all, err := tx.OpenRunsForUpdate(ctx)
	if err != nil {
		return nil, err
	}
	var of []*run.Run
	for _, r := range all {
		if r.Step == step {
			of = append(of, r)
		}
	}
	return of, nil
}

// CancelRun ends a run that waits, and has one end that is under way; what its
// token posts is refused from then on. A run that was cancelled before is
// returned as it is; one that ended otherwise is run_ended.
func (s *Service) CancelRun(ctx context.Context, actor Actor, step string, id run.ID) (run.Run, error) {
	if !canBeRun(step, id) {
		return run.Run{}, noRun(step, id)
	}
	var after *run.Run
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		before, err := tx.RunForUpdate(ctx, id)
		if errors.Is(err, ErrNotFound) || err == nil && before.Step != step {
			return noRun(step, id)
		}
		if err != nil {
			return err
		}
		after = before.Clone()
		now := s.now()
		switch {
		case after.Cancel(now):
		case after.State.Ended() && after.State != run.Cancelled:
			return fault.New(fault.Conflict, CodeRunEnded, "the run has ended already: it is %s", after.State)
		default:
			return errUnchanged
		}
		if err := tx.UpdateRun(ctx, after); err != nil {
			return err
		}
		return auditRun(ctx, tx, actor, ActionRunCancelled, now, before, after)
	}, &written{})
	if err != nil && !errors.Is(err, errUnchanged) {
		return run.Run{}, err
	}
	return *after.Clone(), nil
}

// Run returns a run of a step; not_found when there is none.
func (s *Service) Run(ctx context.Context, step string, id run.ID) (run.Run, error) {
	if !canBeRun(step, id) {
		return run.Run{}, noRun(step, id)
	}
	r, err := s.store.Run(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && r.Step != step {
		return run.Run{}, noRun(step, id)
	}
	if err != nil {
		return run.Run{}, err
	}
	return *r, nil
}

// Runs returns at most limit runs of a step, the newest first; those before an id,
// unless that is empty. It is not_found when there is neither the step nor a run.
func (s *Service) Runs(ctx context.Context, step string, before run.ID, limit int) ([]*run.Run, error) {
	if run.CheckName(step) != nil {
		return nil, noStep(step)
	}
	all, err := s.store.Runs(ctx, step, before, limit)
	if err == nil && len(all) == 0 {
		_, err = s.Step(ctx, step)
	}
	return all, err
}

// RunLog returns at most limit lines of a run's log with a number above after.
func (s *Service) RunLog(ctx context.Context, id run.ID, after int64, limit int) ([]run.Line, error) {
	return s.store.RunLog(ctx, id, after, limit)
}

// canBeRun reports whether a step of this name may have a run of this id: stores
// need not take every text.
func canBeRun(step string, id run.ID) bool {
	_, err := uuid.Parse(string(id))
	return err == nil && run.CheckName(step) == nil
}

func noRun(step string, id run.ID) error {
	return fault.New(fault.NotFound, "not_found", "the rule transformation %s has no run %s", shown(step), shown(string(id)))
}

// runJSON is a run as the audit log shows it.
type runJSON struct {
	ID         run.ID        `json:"id"`
	Step       string        `json:"step"`
	State      run.State     `json:"state"`
	StartedBy  string        `json:"startedBy"`
	QueuedAt   time.Time     `json:"queuedAt"`
	EndedAt    time.Time     `json:"endedAt,omitzero"`
	Cancelling bool          `json:"cancelling,omitempty"`
	Attempts   []run.Attempt `json:"attempts,omitempty"`
	Created    int64         `json:"created,omitempty"`
	Ignored    int64         `json:"ignored,omitempty"`
	Deleted    int64         `json:"deleted,omitempty"`
}

func auditRun(ctx context.Context, tx Tx, actor Actor, action string, now time.Time, before, after *run.Run) error {
	return auditChange(ctx, tx, actor, action, "rule_run:"+string(after.ID), now, before, after, func(r *run.Run) (any, bool) {
		if r == nil {
			return nil, false
		}
		return runJSON{
			ID: r.ID, Step: r.Step, State: r.State, StartedBy: r.StartedBy, QueuedAt: r.QueuedAt, EndedAt: r.EndedAt,
			Cancelling: r.Cancelling, Attempts: r.Attempts,
			Created: r.Counts.Created, Ignored: r.Counts.Ignored, Deleted: r.Counts.Deleted,
		}, true
	})
}
