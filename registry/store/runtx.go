package store

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// Step implements registry.StepTx.
func (t *transaction) Step(ctx context.Context, name string) (*run.Step, error) {
	s, err := scanStep(t.tx.QueryRowContext(ctx, selectStep+` WHERE name = $1`, name))
	return s, t.explain("read a step", err)
}

// Steps implements registry.StepTx.
func (t *transaction) Steps(ctx context.Context, after string, limit int) ([]*run.Step, error) {
	rows, err := t.tx.QueryContext(ctx, selectStep+` WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
	if err != nil {
		return nil, t.explain("read the steps", err)
	}
	all, err := collect(rows, scanStep)
	return all, t.explain("read the steps", err)
}

// PutStep implements registry.StepTx.
func (t *transaction) PutStep(ctx context.Context, s *run.Step) error {
	body, err := bodyOf(s)
	if err != nil {
		return err
	}
	return t.exec(ctx, "store a step", `INSERT INTO rule_steps (name, body, created_by, created_at, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET body = excluded.body,
		updated_at = excluded.updated_at, revision = excluded.revision`,
		s.Name, body, s.CreatedBy, s.CreatedAt.UTC(), s.UpdatedAt.UTC(), s.Revision)
}

// DeleteStep implements registry.StepTx.
func (t *transaction) DeleteStep(ctx context.Context, name string) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM rule_steps WHERE name = $1`, name)
	return t.one(res, t.explain("remove a step", err))
}

// RunForUpdate implements registry.RunTx.
func (t *transaction) RunForUpdate(ctx context.Context, id run.ID) (*run.Run, error) {
	r, err := scanRun(t.tx.QueryRowContext(ctx, selectRun+` WHERE id = $1`, string(id)))
	return r, t.explain("read a run", err)
}

// OpenRunsForUpdate implements registry.RunTx.
func (t *transaction) OpenRunsForUpdate(ctx context.Context) ([]*run.Run, error) {
	rows, err := t.tx.QueryContext(ctx, selectRun+openRuns)
	if err != nil {
		return nil, t.explain("read the open runs", err)
	}
	all, err := collect(rows, scanRun)
	return all, t.explain("read the open runs", err)
}

// InsertRun implements registry.RunTx.
func (t *transaction) InsertRun(ctx context.Context, r *run.Run) error {
	attempts, err := attemptsOf(r)
	if err != nil {
		return err
	}
	return t.exec(ctx, "store a run", `INSERT INTO rule_runs (id, step, state, started_by, queued_at, not_before, ended_at,
		retries, cancelling, attempts, created, ignored, deleted, lines)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, 0, 0)`,
		string(r.ID), r.Step, string(r.State), r.StartedBy, r.QueuedAt.UTC(), nullTime(r.NotBefore), nullTime(r.EndedAt),
		r.Retries, r.Cancelling, attempts)
}

// UpdateRun implements registry.RunTx.
func (t *transaction) UpdateRun(ctx context.Context, r *run.Run) error {
	attempts, err := attemptsOf(r)
	if err != nil {
		return err
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE rule_runs SET state = $2, not_before = $3, ended_at = $4, cancelling = $5,
		attempts = $6 WHERE id = $1`,
		string(r.ID), string(r.State), nullTime(r.NotBefore), nullTime(r.EndedAt), r.Cancelling, attempts)
	return t.one(res, t.explain("store a run", err))
}

// ForgetRuns implements registry.RunTx.
func (t *transaction) ForgetRuns(ctx context.Context, step string, keep int, before time.Time) error {
	rows, err := t.tx.QueryContext(ctx, `SELECT id FROM rule_runs WHERE step = $1 AND state NOT IN ('queued', 'running')
		AND queued_at < $2 ORDER BY id DESC OFFSET $3`, step, before.UTC(), keep)
	if err != nil {
		return t.explain("forget runs", err)
	}
	old, err := collect(rows, func(row scanner) (id string, err error) {
		err = row.Scan(&id)
		return id, err
	})
	if err != nil {
		return t.explain("forget runs", err)
	}
	for _, id := range old {
		for _, statement := range []string{
			`DELETE FROM rule_run_log WHERE run = $1`, `DELETE FROM rule_run_tokens WHERE run = $1`,
			`DELETE FROM rule_runs WHERE id = $1`,
		} {
			if err := t.exec(ctx, "forget a run", statement, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// PutRunToken implements registry.RunTokenTx.
func (t *transaction) PutRunToken(ctx context.Context, d run.Digest, id run.ID, attempt int) error {
	return t.exec(ctx, "store a token's digest", `INSERT INTO rule_run_tokens (digest, run, attempt) VALUES ($1, $2, $3)`,
		d.String(), string(id), attempt)
}

// RunByToken implements registry.RunTokenTx.
func (t *transaction) RunByToken(ctx context.Context, d run.Digest) (registry.TokenHolder, error) {
	var id string
	var attempt int
	err := t.tx.QueryRowContext(ctx, `SELECT run, attempt FROM rule_run_tokens WHERE digest = $1`, d.String()).Scan(&id, &attempt)
	if err != nil {
		return registry.TokenHolder{}, t.explain("find the run of a token", err)
	}
	r, err := t.RunForUpdate(ctx, run.ID(id))
	if err != nil {
		return registry.TokenHolder{}, err
	}
	return registry.TokenHolder{Run: r.ID, Step: r.Step, Ended: r.TokenEnded(attempt)}, nil
}

// AddRunCounts implements registry.RunTokenTx.
func (t *transaction) AddRunCounts(ctx context.Context, id run.ID, c run.Counts) error {
	res, err := t.tx.ExecContext(ctx, `UPDATE rule_runs SET created = created + $2, ignored = ignored + $3,
		deleted = deleted + $4 WHERE id = $1`, string(id), c.Created, c.Ignored, c.Deleted)
	return t.one(res, t.explain("count the rules of a run", err))
}

// RunKey implements registry.RunKeyTx.
func (t *transaction) RunKey(ctx context.Context, issuer, subject, key string) (registry.RunKey, error) {
	k := registry.RunKey{Issuer: issuer, Subject: subject, Key: key}
	err := t.tx.QueryRowContext(ctx, `SELECT params, run, used_at FROM rule_run_keys
		WHERE issuer = $1 AND subject = $2 AND idempotency_key = $3`, issuer, subject, key).Scan(&k.Params, &k.Run, &k.At)
	k.At = utc(k.At)
	return k, t.explain("look an idempotency key up", err)
}

// PutRunKey implements registry.RunKeyTx. The key's own row, if it is there, is
// updated, never deleted: see the comment on top of transaction.go.
func (t *transaction) PutRunKey(ctx context.Context, k registry.RunKey) error {
	err := t.exec(ctx, "store an idempotency key", `INSERT INTO rule_run_keys (issuer, subject, idempotency_key, params, run, used_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (issuer, subject, idempotency_key) DO UPDATE SET
		params = excluded.params, run = excluded.run, used_at = excluded.used_at`,
		k.Issuer, k.Subject, k.Key, k.Params, string(k.Run), k.At.UTC())
	if err != nil {
		return err
	}
	return t.exec(ctx, "forget idempotency keys", `DELETE FROM rule_run_keys WHERE used_at < $1`, k.At.Add(-run.KeyLife).UTC())
}

// Lease implements registry.LeaseTx.
func (t *transaction) Lease(ctx context.Context, id run.ID) (registry.Lease, error) {
	l, err := scanLease(t.tx.QueryRowContext(ctx, selectLease+` WHERE run = $1`, string(id)))
	return l, t.explain("read a lease", err)
}

// PutLease implements registry.LeaseTx.
func (t *transaction) PutLease(ctx context.Context, l registry.Lease) error {
	return t.exec(ctx, "store a lease", `INSERT INTO rule_run_leases (run, owner, beat) VALUES ($1, $2, $3)`,
		string(l.Run), l.Owner, l.Beat)
}

// DeleteLease implements registry.LeaseTx.
func (t *transaction) DeleteLease(ctx context.Context, id run.ID) error {
	return t.exec(ctx, "remove a lease", `DELETE FROM rule_run_leases WHERE run = $1`, string(id))
}

// exec runs a statement whose effect needs no look.
func (t *transaction) exec(ctx context.Context, doing, statement string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, statement, args...)
	return t.explain(doing, err)
}
