// Package duckdb keeps the registry in one DuckDB file. One process holds the
// file at a time; a second one is told who does.
package duckdb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Options configure a store; the zero value will do, but for the Logger.
type Options struct {
	Logger *slog.Logger
	// MemoryLimit bounds DuckDB's own memory, in its notation; empty means
	// "256MiB".
	MemoryLimit string
	// Threads bounds DuckDB's threads; 0 means 2.
	Threads int
	// KeepDeletions is for how many revisions deletions are remembered; 0 means
	// 100,000.
	KeepDeletions int
	// Chain are the keys that the audit log is chained with; nil chains it without.
	Chain *audit.Keys

	migrations fs.FS // for tests; nil means the embedded ones
}

// Store is a registry.Store in one file.
type Store struct {
	*store.Database
	db   *sql.DB
	file *connector
	lock *fileLock
	once sync.Once
	err  error
}

var _ registry.Store = (*Store)(nil)

// Open opens the file, making it when it is not there, and brings its schema up
// to date. Beside the file it keeps path.lock, and path.tmp for what does not
// fit into memory. Errors are *fault.Error: store_locked names the process that
// holds the file, store_schema tells of a schema that does not fit, all else is
// store_unavailable.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	path, lock, err := locked(path, o)
	if err != nil {
		return nil, err
	}
	file := &connector{path: path, settings: settings(path, o)}
	db, err := open(ctx, file, o)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	schema, err := schemaOf(path, o)
	if err != nil {
		return nil, errors.Join(err, db.Close(), lock.release())
	}
	engine := store.Engine{
		Name: path, Explain: explainer(path), OneWriter: true, KeepDeletions: o.KeepDeletions, Chain: o.Chain, Append: appendRows,
		Schema: schema, Spoils: spoils,
	}
	return &Store{Database: store.New(db, engine, o.Logger), db: db, file: file, lock: lock}, nil
}

// open opens the file under its lock.
func open(ctx context.Context, c *connector, o Options) (*sql.DB, error) {
	if err := checkFile(c.path); err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	// One connection: the service serialises writers anyway, and readers that
	// overlap with a delete make DuckDB refuse the key's next insert.
	db.SetMaxOpenConns(1)
	if err := prepare(ctx, db, c, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// settings are the statements that every connection begins with.
func settings(path string, o Options) []string {
	if o.MemoryLimit == "" {
		o.MemoryLimit = "256MiB"
	}
	if o.Threads <= 0 {
		o.Threads = 2
	}
	return []string{
		"SET memory_limit = " + quote(o.MemoryLimit),
		"SET temp_directory = " + quote(path+".tmp"),
		fmt.Sprintf("SET threads = %d", o.Threads),
		"SET TimeZone = 'UTC'",
		// Nothing is fetched.
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		// What is in memory after a failed commit is not for the file.
		"PRAGMA disable_checkpoint_on_shutdown",
	}
}

func prepare(ctx context.Context, db *sql.DB, c *connector, o Options) error {
	if err := migrate(ctx, db, c.path, o); err != nil {
		return err
	}
	// From here on it reads and writes its own file and nothing else, and nobody
	// changes that.
	for _, set := range []string{"SET enable_external_access = false", "SET lock_configuration = true"} {
		if _, err := db.ExecContext(ctx, set); err != nil {
			return openError(c.path, err)
		}
		c.also(set)
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB, path string, o Options) error {
	m, err := migrations(db, path, o)
	if err != nil {
		return err
	}
	return asFault(m.Up(ctx, db), path)
}

// schemaOf is the version that the migrations of a file make.
func schemaOf(path string, o Options) (int64, error) {
	m, err := migrations(nil, path, o)
	if err != nil {
		return 0, err
	}
	return m.Newest()
}

// migrations are those of a file; db may be nil for who only looks.
func migrations(db *sql.DB, path string, o Options) (*store.Migrations, error) {
	files := o.migrations
	if files == nil {
		var err error
		if files, err = fs.Sub(embedded, "migrations"); err != nil {
			return nil, fmt.Errorf("the embedded migrations: %w", err)
		}
	}
	return &store.Migrations{
		FS: files, Name: path, Logger: o.Logger,
		Exists: `SELECT count(*) FROM information_schema.tables WHERE table_name = $1`,
		Before: func(ctx context.Context, version int64) error { return copyAside(ctx, db, path, version) },
	}, nil
}

// copyAside keeps the file as it was before a migration, as path.before-vN. It is
// DuckDB that copies: a descriptor of ours on the open file would, when closed,
// end DuckDB's lock on it.
func copyAside(ctx context.Context, db *sql.DB, path string, version int64) error {
	aside := fmt.Sprintf("%s.before-v%d", path, version)
	part := aside + ".part"
	for _, left := range []string{part, part + ".wal"} { // by a kill
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fileError(left, err)
		}
	}
	var name string
	if err := db.QueryRowContext(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return fmt.Errorf("copy %s aside: %w", path, err)
	}
	for _, statement := range []string{
		"ATTACH " + quote(part) + " AS aside",
		`COPY FROM DATABASE "` + strings.ReplaceAll(name, `"`, `""`) + `" TO aside`,
		"CHECKPOINT aside", // closing does not
		"DETACH aside",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("copy %s aside: %w", path, err)
		}
	}
	if err := os.Rename(part, aside); err != nil {
		return fileError(aside, err)
	}
	return nil
}

// Changed implements registry.Loader: nobody else can change the file.
func (s *Store) Changed() <-chan struct{} { return nil }

// Close writes the log into the file, closes it and lets others have it.
func (s *Store) Close(ctx context.Context) error {
	s.once.Do(func() {
		// Without a checkpoint the next start replays the log, which is slower
		// but right: its failure is told and hinders nothing.
		// It is short, and as any statement here not cancelled: a shutdown that has
		// used up its time ends in order too.
		_, err := s.db.ExecContext(context.WithoutCancel(ctx), "CHECKPOINT")
		if err != nil {
			err = fmt.Errorf("checkpoint: %w", err)
		}
		s.err = errors.Join(err, s.db.Close(), s.lock.release())
	})
	return s.err
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// explainer turns the driver's errors into ours.
func explainer(path string) func(error) error {
	return func(err error) error {
		var opening *fault.Error
		if errors.As(err, &opening) {
			return opening // the file was opened anew, or could not be
		}
		var d *duckdb.Error
		if !errors.As(err, &d) {
			return store.Unavailable(path, "failed").Wrap(err)
		}
		switch d.Type {
		case duckdb.ErrorTypeConstraint:
			// The message names the column: `Duplicate key "uuid: ..."`.
			if strings.Contains(d.Msg, `"uuid:`) {
				return registry.ErrUUIDTaken
			}
		case duckdb.ErrorTypeIO, duckdb.ErrorTypeFatal, duckdb.ErrorTypeOutOfMemory, duckdb.ErrorTypeTransaction,
			duckdb.ErrorTypeConnection, duckdb.ErrorTypeInterrupt:
			return store.Unavailable(path, "cannot be read or written; look at the disk (full? gone?)")
		}
		return fault.New(fault.Internal, "internal", "an internal error of the store; the log has it")
	}
}

// spoils reports whether DuckDB has to be opened anew after an error: a FATAL one
// makes it refuse everything.
func spoils(err error) bool {
	var d *duckdb.Error
	return errors.As(err, &d) && d.Type == duckdb.ErrorTypeFatal
}

// openError explains why a file could not be opened.
func openError(path string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return store.Unavailable(path, "could not be opened in time").Wrap(err)
	}
	msg := err.Error()
	switch {
	case strings.Contains(msg, "Could not set lock"), strings.Contains(msg, "Conflicting lock"):
		return lockedBy(path, holderIn(msg)).Wrap(err)
	case strings.Contains(msg, "not a valid DuckDB database file"), strings.Contains(msg, "Could not read enough bytes"):
		return store.Unavailable(path, "is no DuckDB file, or a broken one; restore a copy, or name another file").Wrap(err)
	case strings.Contains(msg, "newer version of DuckDB"), strings.Contains(msg, "version number"):
		return store.Unavailable(path, "was written by another version of DuckDB than this program holds").Wrap(err)
	case errors.Is(err, os.ErrPermission), strings.Contains(msg, "Permission denied"):
		return store.Unavailable(path, "cannot be opened for writing: permission denied").Wrap(err)
	}
	// DuckDB's words about a file hold nothing secret.
	return store.Unavailable(path, "cannot be opened: "+strings.TrimPrefix(strings.SplitN(msg, "\n", 2)[0],
		"database/sql/driver: could not connect to database: ")).Wrap(err)
}
