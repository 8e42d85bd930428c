package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// copyRows is store.Engine.Append by COPY, which takes a million rows in seconds.
func copyRows(
	ctx context.Context, conn *sql.Conn, table string, columns []string, rows iter.Seq[[]driver.Value],
) error {
	return conn.Raw(func(raw any) error {
		c, ok := raw.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T", raw)
		}
		next, stop := iter.Pull(rows)
		defer stop()
		values := make([]any, len(columns))
		_, err := c.Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
			row, more := next()
			if !more {
				return nil, nil
			}
			for i, v := range row {
				values[i] = v
			}
			return values, nil
		}))
		return err
	})
}

// patient lifts the limits that keep ordinary changes short, for this transaction
// alone: one of a million rules takes longer, in statements and between them. The
// context of the transaction bounds it.
func patient(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `SET LOCAL statement_timeout = '120s'`)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = '30s'`)
	return err
}
