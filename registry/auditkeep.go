package registry

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry/audit"
)

const (
	// refusalRows is how many rows one transaction writes for refusals: others who
	// change something wait for no more.
	refusalRows = 20
	// pruneRows is about how many rows one transaction of the retention removes.
	pruneRows = 5 * audit.Segment
	// pruneTimeout bounds such a transaction.
	pruneTimeout = 2 * time.Minute
	// sealTimeout bounds the last rows and the last head at Close.
	sealTimeout = 3 * time.Second
)

// keepAudit writes what was counted and removes what is too old, until ctx ends.
func (s *Service) keepAudit(ctx context.Context) {
	defer close(s.kept)
	flush := time.NewTicker(s.opts.RefusalInterval)
	defer flush.Stop()
	sweep := time.NewTicker(s.opts.SweepInterval)
	defer sweep.Stop()
	s.prune(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			s.writeRefusals(ctx)
		case <-sweep.C:
			s.prune(ctx)
		}
	}
}

// writeRefusals writes a row for each address and reason since the last time.
func (s *Service) writeRefusals(ctx context.Context) {
	counted := s.refused.take()
	keys := slices.SortedFunc(maps.Keys(counted), func(a, b refusalKey) int {
		return cmp.Or(counted[a].first.Compare(counted[b].first), cmp.Compare(a.address, b.address), cmp.Compare(a.reason, b.reason))
	})
	for part := range slices.Chunk(keys, refusalRows) {
		err := s.write(ctx, func(ctx context.Context, tx Tx) error {
			for _, key := range part {
				if err := auditRefusal(ctx, tx, s.now(), key, counted[key]); err != nil {
					return err
				}
			}
			return nil
		}, &written{})
		if err != nil {
			s.refused.giveBack(counted)
			if ctx.Err() == nil {
				s.log.WarnContext(ctx, "failed log-ins could not be written to the audit log; it is tried again",
					"rows", len(counted), "error", err)
			}
			return
		}
		for _, key := range part {
			delete(counted, key)
		}
	}
}

func auditRefusal(ctx context.Context, tx Tx, now time.Time, key refusalKey, c *refusalCount) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an audit id: %w", err)
	}
	after, err := json.Marshal(struct {
		Count int64     `json:"count"`
		First time.Time `json:"first"`
		Last  time.Time `json:"last"`
	}{c.n, c.first, c.last})
	if err != nil {
		return fmt.Errorf("write refusals for the audit log: %w", err)
	}
	return tx.Audit(ctx, AuditEntry{
		ID: id.String(), At: now, Actor: Actor{Address: key.address}, Action: ActionLoginFailed,
		Resource: "auth", Result: key.reason, After: after,
	})
}

// prune removes whole signed segments that are older than the retention.
func (s *Service) prune(ctx context.Context) {
	if s.opts.AuditRetention <= 0 {
		return
	}
	for more := true; more && ctx.Err() == nil; {
		var err error
		if more, err = s.pruneSome(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "the audit log could not be shortened; it is tried again", "error", err)
			return
		}
	}
}

func (s *Service) pruneSome(ctx context.Context) (more bool, err error) {
	var gone audit.Pruned
	err = s.writeWithin(ctx, pruneTimeout, func(ctx context.Context, tx Tx) error {
		end, rows, ok, err := tx.DropAudit(ctx, s.now().Add(-s.opts.AuditRetention), pruneRows)
		if err != nil {
			return err
		}
		if !ok {
			return errUnchanged
		}
		gone = audit.Pruned{Through: end.Number, MAC: hex.EncodeToString(end.MAC), Rows: rows}
		return auditAs(ctx, tx, Muster(), audit.ActionPruned, "audit", s.now(), nil, gone)
	}, &written{})
	switch {
	case errors.Is(err, errUnchanged):
		return false, nil
	case err != nil:
		return false, err
	}
	s.log.InfoContext(ctx, "rows of the audit log were too old and are removed", "through", gone.Through, "rows", gone.Rows)
	return true, nil
}

// sealAudit writes what is still to be written and stores the head of the audit log.
// A store that is gone does not hold up the end: the next start goes on.
func (s *Service) sealAudit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sealTimeout)
	defer cancel()
	s.writeRefusals(ctx)
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		_, ok, err := tx.SealAudit(ctx, s.now())
		if err == nil && !ok {
			return errUnchanged
		}
		return err
	}, &written{})
	if err != nil && !errors.Is(err, errUnchanged) {
		s.log.WarnContext(ctx, "the head of the audit log could not be stored at the end", "error", err)
	}
}
