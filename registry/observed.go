package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// maxReason bounds the stored reason of a quarantine, in bytes.
const maxReason = 1024

// Quarantine stores that a worker must not be called, with the reason. A worker
// that is in quarantine already stays there, with its first reason and time.
func (s *Service) Quarantine(ctx context.Context, id WorkerID, reason string) error {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	reason = storable(reason)
	_, _, err := s.apply(ctx, change{
		actor: Muster(), id: id, action: ActionQuarantined, quiet: true,
		edit: func(w *Worker) (*Worker, error) {
			if w.Quarantined != nil {
				return nil, errUnchanged
			}
			w.Quarantined = &Quarantine{Reason: reason, Since: s.now()}
			return w, nil
		},
	})
	return err
}

// Pardon ends a quarantine; the caller has seen the worker pass an operator's
// probe. It does nothing for a worker that is in none.
func (s *Service) Pardon(ctx context.Context, actor Actor, id WorkerID) error {
	_, _, err := s.apply(ctx, change{
		actor: actor, id: id, action: ActionPardoned, quiet: true,
		edit: func(w *Worker) (*Worker, error) {
			if w.Quarantined == nil {
				return nil, errUnchanged
			}
			w.Quarantined = nil
			return w, nil
		},
	})
	return err
}

// RecordVersion stores the version that a worker now answers with. A conformance
// recorded for another one is void from then on.
func (s *Service) RecordVersion(ctx context.Context, id WorkerID, version string) error {
	version = storable(version)
	_, _, err := s.apply(ctx, change{
		actor: Muster(), id: id, action: ActionVersionChanged,
		edit: func(w *Worker) (*Worker, error) {
			if w.Version == version || version == "" {
				return nil, errUnchanged
			}
			w.Version = version
			w.Conformance = Conformance{Level: LevelNone}
			return w, nil
		},
	})
	return err
}

// RecordConformance stores the outcome of "muster conform". An empty c.Version
// means the worker's present one, a zero c.At now.
func (s *Service) RecordConformance(ctx context.Context, actor Actor, id WorkerID, c Conformance) (Worker, error) {
	var v violations
	switch c.Level {
	case LevelNone, LevelCore, LevelRobust, LevelLaws:
	default:
		v.add(codeBadRequest, "/level", "%s is none of none, core, robust, laws", shown(string(c.Level)))
	}
	if err := v.err(); err != nil {
		return Worker{}, err
	}
	c.At = c.At.UTC().Truncate(time.Microsecond)
	_, after, err := s.apply(ctx, change{
		actor: actor, id: id, action: ActionConformance, quiet: true,
		edit: func(w *Worker) (*Worker, error) {
			if c.Version != "" && c.Version != w.Version {
				return nil, fault.New(fault.Conflict, "version_changed",
					"the conformance of version %s was measured, but the worker is now version %s; run it again",
					shown(c.Version), shown(w.Version)).By(string(w.ID), w.Name)
			}
			w.Conformance = Conformance{Level: c.Level, At: c.At, Version: w.Version}
			if w.Conformance.At.IsZero() {
				w.Conformance.At = s.now()
			}
			return w, nil
		},
	})
	if err != nil {
		return Worker{}, err
	}
	return *after.clone(), nil
}

// untilPauseEnds is how long to wait for the first pause that ends by itself; a
// long time when there is none.
func (s *Service) untilPauseEnds() time.Duration {
	const longest, shortest = time.Hour, 100 * time.Millisecond
	wait, now := longest, s.now()
	for _, w := range s.Snapshot().Workers {
		if !w.Active && !w.PausedUntil.IsZero() {
			wait = min(wait, w.PausedUntil.Sub(now))
		}
	}
	if s.storeErr.Load() != nil {
		return max(wait, time.Second) // it cannot be stored now
	}
	return max(wait, shortest)
}

// endPauses stores, as Muster's own change, that pauses have ended. Calls do not
// depend on it: they ask Worker.ActiveAt. Of several replicas the first does it.
func (s *Service) endPauses(ctx context.Context) {
	for _, w := range s.Snapshot().Workers {
		if w.Active || !w.ActiveAt(s.now()) {
			continue
		}
		_, _, err := s.apply(ctx, change{
			actor: Muster(), id: w.ID, action: ActionResumed,
			edit: func(w *Worker) (*Worker, error) {
				if w.Active || !w.ActiveAt(s.now()) {
					return nil, errUnchanged
				}
				w.Active, w.PausedUntil = true, time.Time{}
				return w, nil
			},
		})
		if err != nil && ctx.Err() == nil && !fault.Is(err, "not_found") {
			s.log.WarnContext(ctx, "the end of a pause could not be stored; the worker is called all the same and it is tried again",
				"worker", w.ID, "error", err)
		}
	}
}

// Conformed is the conformance that holds for the worker's present version;
// LevelNone when there is none.
func (w *Worker) Conformed() Conformance {
	if w.Conformance.Version != w.Version || w.Conformance.Level == "" {
		return Conformance{Level: LevelNone}
	}
	return w.Conformance
}

// SplitAt is the most elements that one call may carry; 0 means any number. The
// setting counts only while the present version has passed level "laws".
func (w *Worker) SplitAt() int {
	if w.Conformed().Level != LevelLaws {
		return 0
	}
	return w.Settings.MaxElementsPerCall
}

// clone returns a copy that shares nothing.
func (w *Worker) clone() *Worker {
	c := *w
	if w.Quarantined != nil {
		q := *w.Quarantined
		c.Quarantined = &q
	}
	return &c
}

// equal reports whether two records say the same.
func (w *Worker) equal(o *Worker) bool {
	a, b := *w, *o
	a.Quarantined, b.Quarantined = nil, nil
	if w.Quarantined == nil || o.Quarantined == nil {
		return a == b && w.Quarantined == o.Quarantined
	}
	return a == b && *w.Quarantined == *o.Quarantined
}

// String names the worker for logs: its name, escaped, and its uuid.
func (w *Worker) String() string { return fmt.Sprintf("%q (%s)", w.Name, w.ID) }
