package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// query reads rows outside of a transaction.
func query[T any](ctx context.Context, d *Database, doing string, scan func(scanner) (T, error), q string, args ...any) ([]T, error) {
	rows, err := d.read(ctx, q, args...)
	if err != nil {
		return nil, d.explain(doing, err)
	}
	all, err := collect(rows, scan)
	if err != nil {
		return nil, d.explain(doing, err)
	}
	return all, nil
}

// Step implements registry.StepReader.
func (d *Database) Step(ctx context.Context, name string) (*run.Step, error) {
	s, err := scanStep(d.readRow(ctx, selectStep+` WHERE name = $1`, name))
	return s, d.explain("read a step", err)
}

// Steps implements registry.StepReader.
func (d *Database) Steps(ctx context.Context, after string, limit int) ([]*run.Step, error) {
	return query(ctx, d, "read the steps", scanStep, selectStep+` WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
}

// Run implements registry.RunReader.
func (d *Database) Run(ctx context.Context, id run.ID) (*run.Run, error) {
	r, err := scanRun(d.readRow(ctx, selectRun+` WHERE id = $1`, string(id)))
	return r, d.explain("read a run", err)
}

// Runs implements registry.RunReader.
func (d *Database) Runs(ctx context.Context, step string, before run.ID, limit int) ([]*run.Run, error) {
	return query(ctx, d, "read the runs", scanRun,
		selectRun+` WHERE step = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, step, string(before), limit)
}

const openRuns = ` WHERE state IN ('queued', 'running') ORDER BY id`

// OpenRuns implements registry.RunReader.
func (d *Database) OpenRuns(ctx context.Context) (runs []*run.Run, leases []registry.Lease, err error) {
	err = d.inTx(ctx, d.engine.ReadOptions, func(tx *querier) error {
		rows, err := tx.QueryContext(ctx, selectRun+openRuns)
		if err != nil {
			return d.explain("read the open runs", err)
		}
		if runs, err = collect(rows, scanRun); err != nil {
			return d.explain("read the open runs", err)
		}
		if rows, err = tx.QueryContext(ctx, selectLease); err != nil {
			return d.explain("read the leases", err)
		}
		leases, err = collect(rows, scanLease)
		return d.explain("read the leases", err)
	})
	return runs, leases, err
}

// RunLog implements registry.RunReader.
func (d *Database) RunLog(ctx context.Context, id run.ID, after int64, limit int) ([]run.Line, error) {
	return query(ctx, d, "read the log of a run", scanLine, `SELECT number, happened, line FROM rule_run_log
		WHERE run = $1 AND number > $2 ORDER BY number LIMIT $3`, string(id), after, limit)
}

// RenewLease implements registry.RunKeeper.
func (d *Database) RenewLease(ctx context.Context, id run.ID, owner string) error {
	return d.quietly(ctx, func(tx *querier) error {
		res, err := tx.ExecContext(ctx, `UPDATE rule_run_leases SET beat = beat + 1 WHERE run = $1 AND owner = $2`, string(id), owner)
		return d.changed(res, err, "renew a lease")
	})
}

// AppendRunLog implements registry.RunKeeper.
func (d *Database) AppendRunLog(ctx context.Context, id run.ID, lines []run.Line) error {
	return d.quietly(ctx, func(tx *querier) error {
		for _, line := range lines {
			// On PostgreSQL the row's lock has appenders wait for each other, so that
			// numbers become visible in their order, without gaps.
			res, err := tx.ExecContext(ctx, `UPDATE rule_runs SET lines = lines + 1 WHERE id = $1 AND lines < $2`, string(id), run.MaxLines)
			if err != nil {
				return d.explain("append to the log of a run", err)
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return d.fullLog(ctx, tx, id, err)
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO rule_run_log (run, number, happened, line)
				SELECT id, lines, CAST($2 AS TIMESTAMPTZ), CASE WHEN lines = $4 THEN $5 ELSE $3 END FROM rule_runs WHERE id = $1`,
				string(id), line.At.UTC(), line.Text, run.MaxLines, fmt.Sprintf("the log ends here: it has %d lines", run.MaxLines))
			if err != nil {
				return d.explain("append to the log of a run", err)
			}
		}
		return nil
	})
}

// fullLog tells a log that takes no more from a run that is not there.
func (d *Database) fullLog(ctx context.Context, tx *querier, id run.ID, err error) error {
	if err == nil {
		err = tx.QueryRowContext(ctx, `SELECT lines FROM rule_runs WHERE id = $1`, string(id)).Scan(new(int64))
	}
	return d.explain("append to the log of a run", err)
}

// quietly runs fn in a transaction that is no new revision.
func (d *Database) quietly(ctx context.Context, fn func(tx *querier) error) error {
	if err := d.lock(ctx); err != nil {
		return err
	}
	defer d.unlock()
	return d.inTx(ctx, nil, fn)
}

// changed makes a change of no row ErrNotFound.
func (d *Database) changed(res sql.Result, err error, doing string) error {
	if err != nil {
		return d.explain(doing, err)
	}
	switch n, err := res.RowsAffected(); {
	case err != nil:
		return d.explain(doing, err)
	case n == 0:
		return registry.ErrNotFound
	default:
		return nil
	}
}
