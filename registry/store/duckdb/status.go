package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store"
)

// Status tells which migrations a file has had and which are pending, without
// applying any. All are pending for a file that is not there, which is not made.
// Errors are those of Open: a file that a server holds is store_locked.
func Status(ctx context.Context, path string, o Options) ([]store.Migration, error) {
	path, lock, err := locked(path, o)
	if err != nil {
		return nil, err
	}
	all, err := status(ctx, path, o)
	return all, errors.Join(err, lock.release())
}

func status(ctx context.Context, path string, o Options) ([]store.Migration, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	m, err := migrations(nil, path, o)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return m.Pending()
	}
	connector, err := duckdb.NewConnector(path, nil)
	if err != nil {
		return nil, openError(path, err)
	}
	db := sql.OpenDB(connector)
	all, err := m.Status(ctx, db)
	if err != nil {
		err = asFault(err, path)
	}
	return all, errors.Join(err, db.Close())
}

// Migrate brings a file's schema up to date, as Open does, and returns what it
// applied; nothing when it was up to date.
func Migrate(ctx context.Context, path string, o Options) ([]store.Migration, error) {
	path, lock, err := locked(path, o)
	if err != nil {
		return nil, err
	}
	applied, err := migrateLocked(ctx, path, o)
	return applied, errors.Join(err, lock.release())
}

func migrateLocked(ctx context.Context, path string, o Options) ([]store.Migration, error) {
	before, err := status(ctx, path, o)
	if err != nil {
		return nil, err
	}
	db, err := open(ctx, &connector{path: path, settings: settings(path, o)}, o)
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "CHECKPOINT")
	if err != nil {
		// The migrations are in the log, which the next start replays.
		err = fmt.Errorf("checkpoint: %w", err)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, openError(path, err)
	}
	after, err := status(ctx, path, o)
	return store.Applied(before, after), err
}

// locked makes the path absolute and takes its lock.
func locked(path string, o Options) (string, *fileLock, error) {
	if o.Logger == nil {
		return "", nil, errors.New("duckdb: Options need a Logger")
	}
	if path == "" {
		return "", nil, store.Unavailable("duckdb:", "has no path; write duckdb:PATH")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", nil, store.Unavailable(path, "has no absolute path").Wrap(err)
	}
	if err := checkDirectory(filepath.Dir(path)); err != nil {
		return "", nil, err
	}
	lock, err := lockFile(path)
	return path, lock, err
}

// asFault explains an error of the driver that came through store.
func asFault(err error, path string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return openError(path, err)
}
