package registry

import (
	"context"
	"errors"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/rule"
)

// errUnchanged gives a transaction up because there is nothing to change.
var errUnchanged = errors.New("nothing to change")

// written is what one transaction did, for the snapshot.
type written struct {
	put     []*Worker
	deleted []WorkerID

	rules     []*rule.Packed
	ruleSpans []rule.Span
	model     *GraphModel

	access *access.Delta
}

// write runs fn in one transaction and publishes the snapshot that holds it
// before it returns. When fn is given a *written to fill in, the snapshot can be
// made without asking the store again.
func (s *Service) write(ctx context.Context, fn func(ctx context.Context, tx Tx) error, did *written) error {
	return s.writeWithin(ctx, s.opts.WriteTimeout, fn, did)
}

// writeWithin is write for a transaction that may take longer than others.
func (s *Service) writeWithin(
	ctx context.Context, most time.Duration, fn func(ctx context.Context, tx Tx) error, did *written,
) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.takeTurn(ctx); err != nil {
		return err
	}
	defer s.giveTurn()
	// From here on a caller that goes away changes nothing: a commit broken off
	// in the middle would leave nobody knowing what is stored.
	ctx, cancelWrite := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancelWrite()
	rev, err := s.store.Write(ctx, fn)
	if err != nil {
		switch {
		case errors.Is(err, ErrReplaced):
			// Whoever tries again is to find what there is now. Whether it can be read
			// is noted where it is.
			_ = s.catchUp(ctx)
		case fault.Is(err, "store_unavailable"):
			s.noteStore(ctx, err)
		}
		return err
	}
	old := s.Snapshot()
	if did != nil && s.base == rev-1 && old.Revision == s.base {
		s.base = rev
		s.noteStore(ctx, nil)
		s.publish(merge(old, did.changes(rev), s.now(), old.Gateway))
		return nil
	}
	if err := s.catchUp(ctx); err != nil && did != nil {
		// It is stored but the store cannot be read: show at least this change.
		// base stays, so that the rest is loaded when the store is back.
		s.publish(merge(old, did.changes(rev), old.LoadedAt, old.Gateway))
	}
	return nil
}

func (d *written) changes(rev Revision) *Changes {
	return &Changes{
		Revision: rev, Workers: d.put, Deleted: d.deleted, Rules: d.rules, DeletedRules: d.ruleSpans, Model: d.model,
		Access: d.access,
	}
}

// change is a change of one record that is there.
type change struct {
	actor Actor
	id    WorkerID
	// action is its name in the audit log; empty for an update, which is named
	// after what it does.
	action string
	// edit gets a copy of the record as the transaction finds it, to change and
	// return, or nil to delete it. An error gives the change up; errUnchanged
	// says that all is as wished already.
	edit func(w *Worker) (*Worker, error)
	// quiet changes leave the record's own revision and time alone.
	quiet bool
}

// apply makes one change to an existing record and returns the record before and
// after; after is nil when it was deleted.
func (s *Service) apply(ctx context.Context, c change) (before, after *Worker, err error) {
	var did written
	err = s.write(ctx, func(ctx context.Context, tx Tx) error {
		did = written{}
		if before, err = tx.Worker(ctx, c.id); err != nil {
			if errors.Is(err, ErrNotFound) {
				return notFound(c.id)
			}
			return err
		}
		edited := before.clone()
		if after, err = c.edit(edited); err != nil {
			return err
		}
		now := s.now()
		action := c.action
		if action == "" {
			action = updateAction(before, after)
		}
		if after == nil {
			did.deleted = []WorkerID{c.id}
			err = tx.DeleteWorker(ctx, c.id)
		} else {
			if !c.quiet {
				after.Revision++
				after.UpdatedAt = now
			}
			did.put = []*Worker{after}
			err = tx.UpdateWorker(ctx, after)
		}
		if err != nil {
			return err
		}
		entry, err := auditWorker(c.actor, action, now, before, after)
		if err != nil {
			return err
		}
		return tx.Audit(ctx, entry)
	}, &did)
	switch {
	case errors.Is(err, errUnchanged):
		return before, before, nil
	case err != nil:
		return nil, nil, storeConflict(err)
	}
	return before, after, nil
}

// updateAction names an update after what it does to calls.
func updateAction(before, after *Worker) string {
	switch {
	case before.Active && !after.Active:
		return ActionPaused
	case !before.Active && after.Active:
		return ActionResumed
	default:
		return ActionUpdated
	}
}

func notFound(id WorkerID) error {
	return fault.New(fault.NotFound, "not_found", "no worker with the uuid %s is registered", shown(string(id)))
}

func uuidTaken(w *Worker) error {
	e := fault.New(fault.Conflict, codeUUIDTaken, "a worker with this uuid is registered already")
	if w != nil {
		e.Detail += "; remove or update that one"
		e = e.By(string(w.ID), w.Name)
	}
	return e
}

func urlTaken(w *Worker) error {
	e := fault.New(fault.Conflict, codeURLTaken, "a worker with this url is registered already")
	if w != nil {
		e.Detail += "; its uuid is " + string(w.ID)
		e = e.By(string(w.ID), w.Name)
	}
	return e
}
