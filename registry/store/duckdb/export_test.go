package duckdb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io/fs"
)

// Migrating returns options that have a store made by other migrations.
func Migrating(o Options, migrations fs.FS) Options {
	o.migrations = migrations
	return o
}

// Embedded are the real migrations.
func Embedded() (fs.FS, error) { return fs.Sub(embedded, "migrations") }

// Instance is that of DuckDB which the store works with.
func Instance(s *Store) any {
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	return s.file.instance
}

// Reopen has the next statement open the file anew, as after a refused commit.
func Reopen(ctx context.Context, s *Store) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		return err
	}
	return nil
}

// Exec runs a statement on the store's connection.
func Exec(ctx context.Context, s *Store, statement string) error {
	_, err := s.db.ExecContext(ctx, statement)
	return err
}
