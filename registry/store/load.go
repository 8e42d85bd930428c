package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/muster-fleet/muster/registry"
)

// Load implements registry.Loader.
func (d *Database) Load(ctx context.Context, since registry.Revision) (*registry.Changes, error) {
	var c *registry.Changes
	var end registry.AuditEnd
	known := d.known.last() // before the transaction: what is noted during it, it may not see
	err := d.inTx(ctx, d.engine.ReadOptions, func(tx *querier) error {
		err := tx.QueryRowContext(ctx, `SELECT audited, audit_mac FROM registry_state WHERE id = 1`).Scan(&end.Number, &end.MAC)
		if err != nil {
			return d.explain("read the end of the audit log", err)
		}
		same, err := d.goesOn(ctx, tx, known, end)
		if err != nil {
			return err
		}
		if !same && since > 0 {
			d.log.WarnContext(ctx, "the store was restored from another copy; all is loaded anew", "revision", since)
			since = 0
		}
		c, err = d.load(ctx, tx, since, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	d.known.note(known, end)
	return c, nil
}

// load reads what changed. own is 1 in a transaction that has moved the revision
// on already, else 0.
func (d *Database) load(ctx context.Context, tx *querier, since, own registry.Revision) (*registry.Changes, error) {
	var c registry.Changes
	var forgotten registry.Revision
	err := tx.QueryRowContext(ctx, `SELECT revision, forgotten, gateway FROM registry_state WHERE id = 1`).
		Scan(&c.Revision, &forgotten, &c.Gateway)
	if err != nil {
		return nil, d.explain("read the revision", err)
	}
	c.Revision -= own
	if since == c.Revision && since > 0 {
		return &c, nil
	}
	c.Full = since <= 0 || since < forgotten || since > c.Revision
	if c.Full {
		since = 0
	}
	if err := d.loadWorkers(ctx, tx, since, &c); err != nil {
		return nil, err
	}
	if err := d.loadRules(ctx, tx, since, &c); err != nil {
		return nil, err
	}
	if err := d.loadAccess(ctx, tx, since, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

func (d *Database) loadWorkers(ctx context.Context, tx *querier, since registry.Revision, c *registry.Changes) error {
	rows, err := tx.QueryContext(ctx, selectWorker+` WHERE changed > $1 ORDER BY name, uuid`, since)
	if err != nil {
		return d.explain("read the workers", err)
	}
	c.Workers, err = collect(rows, scanWorker)
	if err != nil {
		return d.explain("read the workers", err)
	}
	if c.Full {
		return nil
	}
	// A uuid that was registered again is no longer among the deletions.
	rows, err = tx.QueryContext(ctx, `SELECT id FROM deletions WHERE kind = 'worker' AND revision > $1`, since)
	if err != nil {
		return d.explain("read the deletions", err)
	}
	c.Deleted, err = collect(rows, func(row scanner) (id registry.WorkerID, err error) {
		err = row.Scan(&id)
		return id, err
	})
	return d.explain("read the deletions", err)
}

// scanner is a row of either a single or a multiple row query.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, scan func(scanner) (T, error)) ([]T, error) {
	defer func() {
		// Closing tells again what Err has told; after an early return of scan's
		// error it tells less.
		_ = rows.Close()
	}()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

const selectWorker = `SELECT uuid, name, url, class, type, version, transport, active, paused_until, settings,
	conformance_level, conformance_at, conformance_version, quarantine_reason, quarantined_at,
	registered_by, registered_at, updated_at, revision FROM workers`

func scanWorker(row scanner) (*registry.Worker, error) {
	var (
		w                              registry.Worker
		settings                       string
		paused, conformed, quarantined sql.NullTime
		reason                         sql.NullString
	)
	err := row.Scan(&w.ID, &w.Name, &w.URL, &w.Class, &w.Type, &w.Version, &w.Transport, &w.Active, &paused, &settings,
		&w.Conformance.Level, &conformed, &w.Conformance.Version, &reason, &quarantined,
		&w.RegisteredBy, &w.RegisteredAt, &w.UpdatedAt, &w.Revision)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(settings), &w.Settings); err != nil {
		return nil, fmt.Errorf("worker %s: %w", w.ID, err)
	}
	w.PausedUntil, w.Conformance.At = utc(paused.Time), utc(conformed.Time)
	w.RegisteredAt, w.UpdatedAt = utc(w.RegisteredAt), utc(w.UpdatedAt)
	if quarantined.Valid {
		w.Quarantined = &registry.Quarantine{Reason: reason.String, Since: utc(quarantined.Time)}
	}
	return &w, nil
}

// utc makes times comparable with ==; the zero time stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// nullTime writes the zero time as NULL.
func nullTime(t time.Time) sql.NullTime { return sql.NullTime{Time: t.UTC(), Valid: !t.IsZero()} }
