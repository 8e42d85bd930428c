package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/google/uuid"
)

// appendRows is store.Engine.Append by DuckDB's appender, which takes a million
// rows in seconds. It appends, and nothing else, so a failed commit is an error
// like any other (docs/adr/0021). The columns are all of the table, in order.
func appendRows(
	ctx context.Context, conn *sql.Conn, table string, _ []string, rows iter.Seq[[]driver.Value],
) error {
	return conn.Raw(func(raw any) error {
		c, ok := raw.(driver.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T", raw)
		}
		a, err := duckdb.NewAppender(c, "", "", table)
		if err != nil {
			return err
		}
		n := 0
		for row := range rows {
			if n++; n%1000 == 0 && ctx.Err() != nil {
				err = ctx.Err()
				break
			}
			for i, v := range row {
				if id, is := v.(uuid.UUID); is {
					row[i] = id[:] // what the appender takes for one
				}
			}
			if err = a.AppendRow(row...); err != nil {
				break
			}
		}
		return errors.Join(err, a.Close())
	})
}
