package agnes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/muster-fleet/muster/proto/fault"
)

// readTimeout bounds the reading of a file.
const readTimeout = 5 * time.Minute

// codeArchive is the code of errors about a file that cannot be read.
const codeArchive = "bad_archive"

// settings are those of the engine that the file is opened by. They are in force
// before anything of the file is read, and nothing that the file holds can change
// them.
func settings() url.Values {
	return url.Values{
		"access_mode":                  {"READ_ONLY"},
		"enable_external_access":       {"false"},
		"autoinstall_known_extensions": {"false"},
		"autoload_known_extensions":    {"false"},
		"allow_community_extensions":   {"false"},
		"allow_unsigned_extensions":    {"false"},
		"memory_limit":                 {"512MiB"},
		"threads":                      {"2"},
	}
}

// Read reads a file. Errors are *fault.Error of code bad_archive, which say what to
// do, or archive_locked when another process works on the file.
func Read(ctx context.Context, path string) (*Archive, error) {
	path, err := check(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	connector, err := duckdb.NewConnector(path+"?"+settings().Encode(), nil)
	if err != nil {
		return nil, openError(path, err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	archive, err := read(ctx, &file{db: db, path: path})
	return archive, errors.Join(err, db.Close())
}

// check looks at a file before the engine does.
func check(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", bad(path, "has no absolute path").Wrap(err)
	}
	if strings.ContainsAny(path, "?#%") {
		return "", bad(path, "has a ?, # or %% in its path, which the engine takes for something else; rename or copy it")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", bad(path, "does not exist").Wrap(err)
	case err != nil:
		return "", bad(path, "cannot be looked at").Wrap(err)
	case !info.Mode().IsRegular():
		return "", bad(path, "is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", bad(path, "cannot be read by this user").Wrap(err)
	}
	// Twelve bytes: a checksum, then the magic word.
	header := make([]byte, 12)
	_, err = io.ReadFull(f, header)
	if err := f.Close(); err != nil {
		return "", bad(path, "cannot be read").Wrap(err)
	}
	if err != nil || !strings.HasSuffix(string(header), "DUCK") {
		return "", bad(path, "is no DuckDB file").Wrap(err)
	}
	return path, nil
}

func bad(path, format string, args ...any) *fault.Error {
	return fault.New(fault.Unprocessable, codeArchive, "the file %s %s", path, fmt.Sprintf(format, args...))
}

func openError(path string, err error) error {
	msg := err.Error()
	switch {
	case strings.Contains(msg, "Could not set lock"), strings.Contains(msg, "Conflicting lock"):
		return fault.New(fault.Unavailable, "archive_locked",
			"another process has the file %s open: end it, or copy the file, with its .wal if there is one, and import the copy", path).Wrap(err)
	case strings.Contains(msg, "newer version of DuckDB"), strings.Contains(msg, "version number"):
		return bad(path, "was written by another version of DuckDB than this program holds; export and import it with the duckdb shell").Wrap(err)
	default:
		return bad(path, "cannot be opened: it is broken, or has a .wal that cannot be replayed; checkpoint it with the program that wrote it").Wrap(err)
	}
}

// file is a file that is open.
type file struct {
	db   *sql.DB
	path string
}

func read(ctx context.Context, f *file) (*Archive, error) {
	if _, err := f.db.ExecContext(ctx, "SET lock_configuration = true"); err != nil {
		return nil, openError(f.path, err)
	}
	schema, err := f.schema(ctx)
	if err != nil {
		return nil, err
	}
	if schema < OldestSchema || schema > NewestSchema {
		return nil, bad(f.path, "has the schema v%d; v%d and v%d can be imported: bring it to one of these with its own program first, or import a copy from then",
			schema, OldestSchema, NewestSchema)
	}
	if err := f.checkTables(ctx); err != nil {
		return nil, err
	}
	a := &Archive{Schema: schema, Others: map[string]int64{}}
	for _, step := range []func(context.Context, *Archive) error{f.users, f.groups, f.members, f.grants, f.tables, f.count} {
		if err := step(ctx, a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// schema is the version that the file says it has.
func (f *file) schema(ctx context.Context) (newest int, err error) {
	err = f.rows(ctx, "schema_version", "SELECT CAST(version AS BIGINT) FROM main.schema_version", func(row *sql.Rows) error {
		var version int
		err := row.Scan(&version)
		newest = max(newest, version)
		return err
	})
	if err != nil {
		return 0, bad(f.path, "has no readable table schema_version: it is no system.duckdb, or a broken one").Wrap(err)
	}
	return newest, nil
}

// checkTables demands that what is read are tables, not views, and that they have
// their columns: a version says little of a file that was mended by hand.
func (f *file) checkTables(ctx context.Context) error {
	var wrong []string
	for _, t := range tables {
		have, err := f.columns(ctx, t.name)
		if err != nil {
			return err
		}
		for _, column := range t.columns {
			switch {
			case len(have) == 0:
			case !slices.Contains(have, column):
				wrong = append(wrong, t.name+" lacks the column "+column)
			}
		}
		if len(have) == 0 {
			wrong = append(wrong, "there is no table "+t.name)
		}
	}
	if len(wrong) > 0 {
		return bad(f.path, "is not what its schema's version says: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// columns are those of a table; none when there is no table of that name.
func (f *file) columns(ctx context.Context, name string) (names []string, err error) {
	err = f.rows(ctx, name, `SELECT c.column_name FROM information_schema.columns c JOIN information_schema.tables t
ON t.table_catalog = c.table_catalog AND t.table_schema = c.table_schema AND t.table_name = c.table_name
WHERE t.table_type = 'BASE TABLE' AND t.table_schema = 'main' AND t.table_name = ?`, func(row *sql.Rows) error {
		var column string
		err := row.Scan(&column)
		names = append(names, column)
		return err
	}, name)
	return names, err
}

// rows reads a table row by row.
func (f *file) rows(ctx context.Context, name, query string, take func(*sql.Rows) error, args ...any) (err error) {
	rows, err := f.db.QueryContext(ctx, query, args...)
	if err != nil {
		return f.unreadable(name, err)
	}
	defer func() {
		if closing := rows.Close(); err == nil && closing != nil {
			err = f.unreadable(name, closing)
		}
	}()
	for n := 0; rows.Next(); n++ {
		if n == maxRows {
			return bad(f.path, "has more than %d rows in %s", maxRows, name)
		}
		if err := take(rows); err != nil {
			return f.unreadable(name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return f.unreadable(name, err)
	}
	return nil
}

// unreadable never repeats what a table holds.
func (f *file) unreadable(name string, err error) error {
	return bad(f.path, "has a table %s that cannot be read, or whose columns have other types", name).Wrap(err)
}
