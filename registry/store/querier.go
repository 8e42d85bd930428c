package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// querier is a transaction. That of an embedded engine does not pass cancellations
// on: its driver has a cancelled statement, and with it everybody who waits for the
// one connection, wait for half a second. Statements are short there; a request that
// was given up ends before its next one.
type querier struct {
	tx       *sql.Tx
	embedded bool
}

func (q *querier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, err := statementContext(ctx, q.embedded)
	if err != nil {
		return nil, err
	}
	return q.tx.ExecContext(ctx, query, args...)
}

func (q *querier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, err := statementContext(ctx, q.embedded)
	if err != nil {
		return nil, err
	}
	return q.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext reads the row also for a request that was given up, which the
// next statement or the commit tells.
func (q *querier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if q.embedded {
		ctx = context.WithoutCancel(ctx)
	}
	return q.tx.QueryRowContext(ctx, query, args...)
}

// execEach carries a statement out for every row.
func (q *querier) execEach(ctx context.Context, query string, rows [][]driver.Value) error {
	ready, err := statementContext(ctx, q.embedded)
	if err != nil {
		return err
	}
	statement, err := q.tx.PrepareContext(ready, query)
	if err != nil {
		return err
	}
	defer func() {
		// What is wrong with the connection, the commit is told.
		_ = statement.Close()
	}()
	for _, row := range rows {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		args := make([]any, len(row))
		for i, v := range row {
			args[i] = v
		}
		if _, err := statement.ExecContext(ready, args...); err != nil {
			return err
		}
	}
	return nil
}

// statementContext is the context for one statement.
func statementContext(ctx context.Context, embedded bool) (context.Context, error) {
	if !embedded {
		return ctx, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return context.WithoutCancel(ctx), nil
}

// read reads outside of transactions.
func (d *Database) read(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, err := statementContext(ctx, d.embedded())
	if err != nil {
		return nil, err
	}
	return d.db.QueryContext(ctx, query, args...)
}

// readRow reads one row outside of transactions.
func (d *Database) readRow(ctx context.Context, query string, args ...any) *sql.Row {
	if d.embedded() {
		ctx = context.WithoutCancel(ctx)
	}
	return d.db.QueryRowContext(ctx, query, args...)
}

func (d *Database) embedded() bool { return d.turn != nil }
