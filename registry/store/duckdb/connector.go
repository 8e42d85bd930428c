package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/duckdb/duckdb-go/v2"
)

// connector opens the file for every connection, of which there is one at a time,
// and anew for the next: what a failed commit has left in DuckDB's memory ends with
// the connection that saw it (docs/adr/0180). It is safe for concurrent use.
type connector struct {
	path string

	mu       sync.Mutex
	settings []string // statements that every connection begins with
	instance *duckdb.Connector
}

// Connect implements driver.Connector. Its errors are *fault.Error.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.end(); err != nil {
		return nil, openError(c.path, err)
	}
	instance, err := duckdb.NewConnector(c.path, func(on driver.ExecerContext) error { return c.begin(context.WithoutCancel(ctx), on) })
	if err != nil {
		return nil, openError(c.path, err)
	}
	c.instance = instance
	conn, err := instance.Connect(context.WithoutCancel(ctx)) // half a start is of no use to who comes next
	if err != nil {
		return nil, openError(c.path, errors.Join(err, c.end()))
	}
	return conn, nil
}

func (c *connector) begin(ctx context.Context, on driver.ExecerContext) error {
	for _, set := range c.settings {
		if _, err := on.ExecContext(ctx, set, nil); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	return nil
}

// also adds a statement to those that connections begin with from here on.
func (c *connector) also(set string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settings = append(c.settings, set)
}

func (c *connector) end() error {
	if c.instance == nil {
		return nil
	}
	err := c.instance.Close()
	c.instance = nil
	return err
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return duckdb.Driver{} }

// Close implements io.Closer for sql.DB, which has closed its connection before.
func (c *connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end()
}
