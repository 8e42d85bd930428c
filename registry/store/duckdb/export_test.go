package duckdb

import "io/fs"

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
