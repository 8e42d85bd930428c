package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// transaction implements registry.Tx.
type transaction struct {
	tx      *querier
	conn    *sql.Conn // that tx is open on
	engine  *Engine
	rev     registry.Revision
	keep    int64 // for how many revisions deletions are remembered
	explain func(doing string, err error) error
	load    func(ctx context.Context, tx *querier, since, own registry.Revision) (*registry.Changes, error)
	patient bool // Patient has been asked
	// end is where the audit log ends; nil before it was read. heads were stored.
	end   *registry.AuditEnd
	heads []audit.Head
}

var _ registry.Tx = (*transaction)(nil)

// The one thing that DuckDB must not be asked for is to free a key and take it
// again in one transaction, be it in so many words, by RETURNING from an update
// of a table with a key, or by an update of a unique column: when the commit of
// such a transaction fails, say on a full disk, DuckDB 1.5.5 ends the whole
// process (docs/adr/0021). Hence two statements here, and the url's uniqueness
// checked by the transaction.

// counter is one of the state's counters: what moves it on, and what reads it.
type counter struct{ move, read string }

var (
	revisions = counter{
		move: `UPDATE registry_state SET revision = revision + 1 WHERE id = 1`,
		read: `SELECT revision FROM registry_state WHERE id = 1`,
	}
)

// count moves a counter on and returns it.
func (t *transaction) count(ctx context.Context, c counter) (n int64, err error) {
	_, err = t.tx.ExecContext(ctx, c.move)
	if err != nil {
		return 0, t.explain("begin a change", err)
	}
	err = t.tx.QueryRowContext(ctx, c.read).Scan(&n)
	return n, t.explain("begin a change", err)
}

// freeURL fails with ErrURLTaken when another worker has the url.
func (t *transaction) freeURL(ctx context.Context, w *registry.Worker) error {
	switch other, err := t.WorkerByURL(ctx, w.URL); {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err != nil:
		return err
	case other.ID != w.ID:
		return registry.ErrURLTaken
	default:
		return nil
	}
}

// Worker implements registry.WorkerTx.
func (t *transaction) Worker(ctx context.Context, id registry.WorkerID) (*registry.Worker, error) {
	w, err := scanWorker(t.tx.QueryRowContext(ctx, selectWorker+` WHERE uuid = $1`, string(id)))
	return w, t.explain("read a worker", err)
}

// WorkerByURL implements registry.WorkerTx.
func (t *transaction) WorkerByURL(ctx context.Context, url string) (*registry.Worker, error) {
	key, err := registry.NormalizeURL(url)
	if err != nil {
		return nil, fmt.Errorf("url %w", err)
	}
	w, err := scanWorker(t.tx.QueryRowContext(ctx, selectWorker+` WHERE url_key = $1`, key))
	return w, t.explain("read a worker", err)
}

// InsertWorker implements registry.WorkerTx.
func (t *transaction) InsertWorker(ctx context.Context, w *registry.Worker) error {
	if err := t.freeURL(ctx, w); err != nil {
		return err
	}
	args, err := t.columns(w)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO workers (uuid, name, url, url_key, class, type, version, transport,
		active, paused_until, settings, conformance_level, conformance_at, conformance_version, quarantine_reason,
		quarantined_at, registered_by, registered_at, updated_at, revision, changed)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`, args...)
	if err != nil {
		return t.explain("store a worker", err)
	}
	_, err = t.tx.ExecContext(ctx, `DELETE FROM deletions WHERE kind = 'worker' AND id = $1`, string(w.ID))
	return t.explain("store a worker", err)
}

// UpdateWorker implements registry.WorkerTx.
func (t *transaction) UpdateWorker(ctx context.Context, w *registry.Worker) error {
	if err := t.freeURL(ctx, w); err != nil {
		return err
	}
	args, err := t.columns(w)
	if err != nil {
		return err
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE workers SET name = $2, url = $3, url_key = $4, class = $5, type = $6,
		version = $7, transport = $8, active = $9, paused_until = $10, settings = $11, conformance_level = $12,
		conformance_at = $13, conformance_version = $14, quarantine_reason = $15, quarantined_at = $16,
		registered_by = $17, registered_at = $18, updated_at = $19, revision = $20, changed = $21
		WHERE uuid = $1`, args...)
	return t.one(res, t.explain("store a worker", err))
}

// DeleteWorker implements registry.WorkerTx.
func (t *transaction) DeleteWorker(ctx context.Context, id registry.WorkerID) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM workers WHERE uuid = $1`, string(id))
	if err := t.one(res, t.explain("remove a worker", err)); err != nil {
		return err
	}
	return t.remember(ctx, "worker", string(id))
}

// remember notes a deletion for replicas that load what changed, and forgets old
// ones.
func (t *transaction) remember(ctx context.Context, kind, id string) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO deletions (kind, id, revision) VALUES ($1, $2, $3)
		ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision`, kind, id, int64(t.rev))
	if err != nil {
		return t.explain("note a deletion", err)
	}
	return t.forget(ctx)
}

// forget drops the deletions that are too old, and notes how far they go back.
func (t *transaction) forget(ctx context.Context) error {
	old := int64(t.rev) - t.keep
	if old <= 0 {
		return nil
	}
	forgotten := false
	for _, statement := range []string{
		`DELETE FROM deletions WHERE revision <= $1`,
		`DELETE FROM rule_deletions WHERE revision <= $1`,
	} {
		res, err := t.tx.ExecContext(ctx, statement, old)
		if err != nil {
			return t.explain("forget deletions", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return t.explain("forget deletions", err)
		}
		forgotten = forgotten || n > 0
	}
	if !forgotten {
		return nil
	}
	_, err := t.tx.ExecContext(ctx, `UPDATE registry_state SET forgotten = $1 WHERE id = 1`, old)
	return t.explain("forget deletions", err)
}

// one makes a change of no row ErrNotFound.
func (t *transaction) one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	switch {
	case err != nil:
		return t.explain("count changed rows", err)
	case n == 0:
		return registry.ErrNotFound
	default:
		return nil
	}
}

// columns are the arguments for a worker's row, in the order of InsertWorker.
func (t *transaction) columns(w *registry.Worker) ([]any, error) {
	key, err := registry.NormalizeURL(w.URL)
	if err != nil {
		return nil, fmt.Errorf("url of worker %s %w", w.ID, err)
	}
	settings, err := json.Marshal(w.Settings)
	if err != nil {
		return nil, fmt.Errorf("settings of worker %s: %w", w.ID, err)
	}
	var reason sql.NullString
	var quarantined sql.NullTime
	if q := w.Quarantined; q != nil {
		reason, quarantined = sql.NullString{String: q.Reason, Valid: true}, nullTime(q.Since)
	}
	return []any{
		string(w.ID), w.Name, w.URL, key, w.Class, w.Type, w.Version, string(w.Transport),
		w.Active, nullTime(w.PausedUntil), string(settings), string(w.Conformance.Level), nullTime(w.Conformance.At),
		w.Conformance.Version, reason, quarantined,
		w.RegisteredBy, w.RegisteredAt.UTC(), w.UpdatedAt.UTC(), w.Revision, int64(t.rev),
	}, nil
}

// SetGateway implements registry.Tx.
func (t *transaction) SetGateway(ctx context.Context, id registry.WorkerID) error {
	_, err := t.tx.ExecContext(ctx, `UPDATE registry_state SET gateway = $1 WHERE id = 1`, string(id))
	return t.explain("store the gateway's uuid", err)
}

// Gateway implements registry.Tx.
func (t *transaction) Gateway(ctx context.Context) (id registry.WorkerID, err error) {
	err = t.tx.QueryRowContext(ctx, `SELECT gateway FROM registry_state WHERE id = 1`).Scan(&id)
	return id, t.explain("read the gateway's uuid", err)
}

// Revision implements registry.StateTx.
func (t *transaction) Revision() registry.Revision { return t.rev }

// Since implements registry.StateTx.
func (t *transaction) Since(ctx context.Context, since registry.Revision) (*registry.Changes, error) {
	return t.load(ctx, t.tx, since, 1)
}
