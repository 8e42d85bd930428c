package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/muster-fleet/muster/proto/fault"
)

// Migrations brings a schema up to date: numbered SQL files (0001_name.sql, in
// goose's form), each in a transaction of its own together with the row that
// tells of it, and never changed once applied.
type Migrations struct {
	// FS holds the files in its root.
	FS fs.FS
	// Name is for messages: what and where, without a password.
	Name string
	// Exists is a query for the number of tables whose name is $1.
	Exists string
	// Locker, when not nil, keeps other processes out meanwhile.
	Locker lock.SessionLocker
	// Before, when not nil, runs before the first pending migration of a schema
	// that is not empty, with the version that it has.
	Before func(ctx context.Context, version int64) error
	Logger *slog.Logger
}

// versionTable holds one row for each migration applied.
const versionTable = "schema_migrations"

// Up applies what is pending. It refuses, with code store_schema, a schema that
// is newer than the files, and one made by files that have changed since.
func (m *Migrations) Up(ctx context.Context, db *sql.DB) error {
	book, err := m.book()
	if err != nil {
		return err
	}
	if err := m.prepare(ctx, db, book); err != nil {
		return err
	}
	options := []goose.ProviderOption{
		goose.WithStore(book), goose.WithDisableGlobalRegistry(true), goose.WithSlog(m.Logger),
	}
	if m.Locker != nil {
		options = append(options, goose.WithSessionLocker(m.Locker))
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, m.FS, options...)
	if err != nil {
		return fmt.Errorf("read the migrations of %s: %w", m.Name, err)
	}
	applied, err := provider.Up(ctx)
	if err != nil {
		return fault.New(fault.Unavailable, "store_schema",
			"the schema of the store %s could not be brought up to date; the log has the reason", m.Name).Wrap(err)
	}
	for _, one := range applied {
		m.Logger.InfoContext(ctx, "migrated the store", "store", m.Name, "version", one.Source.Version, "took", one.Duration)
	}
	// Another process may have been the one to migrate, from other files.
	return m.check(ctx, db, book)
}

// prepare checks what is there and lets Before see a schema that will change.
func (m *Migrations) prepare(ctx context.Context, db *sql.DB, book *logbook) error {
	exists, err := book.TableExists(ctx, db)
	if err != nil || !exists {
		return err
	}
	if err := m.check(ctx, db, book); err != nil {
		return err
	}
	latest, err := book.GetLatestVersion(ctx, db)
	if err != nil || latest == 0 || latest == book.newest || m.Before == nil {
		return err
	}
	return m.Before(ctx, latest)
}

// check compares the migrations applied with the files.
func (m *Migrations) check(ctx context.Context, db *sql.DB, book *logbook) error {
	rows, err := db.QueryContext(ctx, `SELECT version, hash FROM `+versionTable+` ORDER BY version`)
	if err != nil {
		return fmt.Errorf("read the migrations applied to %s: %w", m.Name, err)
	}
	type applied struct {
		version int64
		hash    string
	}
	all, err := collect(rows, func(row scanner) (a applied, err error) {
		err = row.Scan(&a.version, &a.hash)
		return a, err
	})
	if err != nil {
		return fmt.Errorf("read the migrations applied to %s: %w", m.Name, err)
	}
	for _, a := range all {
		switch want, known := book.hashes[a.version]; {
		case a.version > book.newest:
			return fault.New(fault.Unavailable, "store_schema", "the schema of the store %s is at version %d, newer than the "+
				"%d that this program knows; run the newer muster, or restore a copy from before", m.Name, a.version, book.newest)
		case !known || want != a.hash:
			return fault.New(fault.Unavailable, "store_schema", "the schema of the store %s was made by another migration %d "+
				"than the one in this program; it was changed or comes from another build", m.Name, a.version)
		}
	}
	return nil
}

// book reads the files' numbers and hashes.
func (m *Migrations) book() (*logbook, error) {
	names, err := fs.Glob(m.FS, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations of %s: %w", m.Name, err)
	}
	book := &logbook{exists: m.Exists, hashes: map[int64]string{0: ""}}
	for _, name := range names {
		version, err := goose.NumericComponent(path.Base(name))
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		data, err := fs.ReadFile(m.FS, name)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", name, err)
		}
		sum := sha256.Sum256(data)
		book.hashes[version] = hex.EncodeToString(sum[:])
		book.newest = max(book.newest, version)
	}
	return book, nil
}

// logbook is the table of migrations applied, for goose, with the hash of each.
type logbook struct {
	exists string
	hashes map[int64]string
	newest int64
}

var _ database.StoreExtender = (*logbook)(nil)

// Tablename implements database.Store.
func (*logbook) Tablename() string { return versionTable }

// TableExists implements database.StoreExtender.
func (b *logbook) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var n int
	if err := db.QueryRowContext(ctx, b.exists, versionTable).Scan(&n); err != nil {
		return false, fmt.Errorf("look for the table %s: %w", versionTable, err)
	}
	return n > 0, nil
}

// CreateVersionTable implements database.Store.
func (*logbook) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, `CREATE TABLE `+versionTable+
		` (version BIGINT PRIMARY KEY, hash TEXT NOT NULL, applied TIMESTAMPTZ NOT NULL)`)
	return err
}

// Insert implements database.Store.
func (b *logbook) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	_, err := db.ExecContext(ctx, `INSERT INTO `+versionTable+` (version, hash, applied) VALUES ($1, $2, $3)`,
		req.Version, b.hashes[req.Version], time.Now().UTC())
	return err
}

// Delete implements database.Store.
func (*logbook) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	_, err := db.ExecContext(ctx, `DELETE FROM `+versionTable+` WHERE version = $1`, version)
	return err
}

// GetMigration implements database.Store.
func (*logbook) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	var at time.Time
	err := db.QueryRowContext(ctx, `SELECT applied FROM `+versionTable+` WHERE version = $1`, version).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: %d", database.ErrVersionNotFound, version)
	}
	if err != nil {
		return nil, err
	}
	return &database.GetMigrationResult{Timestamp: at, IsApplied: true}, nil
}

// GetLatestVersion implements database.Store.
func (*logbook) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var latest sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(version) FROM `+versionTable).Scan(&latest); err != nil {
		return 0, err
	}
	if !latest.Valid {
		return 0, database.ErrVersionNotFound
	}
	return latest.Int64, nil
}

// ListMigrations implements database.Store.
func (*logbook) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, `SELECT version FROM `+versionTable+` ORDER BY version DESC`)
	if err != nil {
		return nil, err
	}
	return collect(rows, func(row scanner) (*database.ListMigrationsResult, error) {
		one := &database.ListMigrationsResult{IsApplied: true}
		return one, row.Scan(&one.Version)
	})
}
