package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Migration is one step of a store's schema, as Status tells of it.
type Migration struct {
	Version int64
	// Name is what the file says of itself, such as "workers"; empty for a version
	// that this program does not know.
	Name string
	// Applied is when it was; zero while it is pending.
	Applied time.Time
	// Problem says why no start is possible over it; empty when there is none.
	Problem string
}

// Pending reports whether the next start will apply it.
func (m *Migration) Pending() bool { return m.Applied.IsZero() }

// Pending returns the files' migrations as they are for a store that is not there
// yet.
func (m *Migrations) Pending() ([]Migration, error) {
	names, err := m.names()
	if err != nil {
		return nil, err
	}
	all := make([]Migration, 0, len(names))
	for _, version := range slices.Sorted(maps.Keys(names)) {
		all = append(all, Migration{Version: version, Name: names[version]})
	}
	return all, nil
}

// Status returns all migrations that the files or the schema know, by version. It
// changes nothing and refuses nothing: what Up would refuse is told as a Problem.
func (m *Migrations) Status(ctx context.Context, db *sql.DB) ([]Migration, error) {
	all, err := m.Pending()
	if err != nil {
		return nil, err
	}
	book, err := m.book()
	if err != nil {
		return nil, err
	}
	exists, err := book.TableExists(ctx, db)
	if err != nil || !exists {
		return all, err
	}
	rows, err := db.QueryContext(ctx, `SELECT version, hash, applied FROM `+versionTable+` WHERE version > 0 ORDER BY version`)
	if err != nil {
		return nil, fmt.Errorf("read the migrations applied to %s: %w", m.Name, err)
	}
	type applied struct {
		version int64
		hash    string
		at      time.Time
	}
	done, err := collect(rows, func(row scanner) (a applied, err error) {
		err = row.Scan(&a.version, &a.hash, &a.at)
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the migrations applied to %s: %w", m.Name, err)
	}
	for _, a := range done {
		i := slices.IndexFunc(all, func(one Migration) bool { return one.Version == a.version })
		if i < 0 {
			all = append(all, Migration{Version: a.version, Problem: "is unknown to this program: a newer muster has applied it"})
			i = len(all) - 1
		} else if book.hashes[a.version] != a.hash {
			all[i].Problem = "was applied from another file than the one in this program"
		}
		all[i].Applied = a.at.UTC()
	}
	slices.SortFunc(all, func(a, b Migration) int { return int(a.Version - b.Version) })
	return all, nil
}

// Newest is the version that the files make.
func (m *Migrations) Newest() (int64, error) {
	book, err := m.book()
	if err != nil {
		return 0, err
	}
	return book.newest, nil
}

// Schema returns the version that the schema has now, 0 when it says none, and the
// one that the program's migrations make.
func (d *Database) Schema(ctx context.Context) (current, expected int64, err error) {
	err = d.readRow(ctx, `SELECT coalesce(max(version), 0) FROM `+versionTable).Scan(&current)
	if err != nil {
		return 0, d.engine.Schema, d.explain("read the schema's version", err)
	}
	return current, d.engine.Schema, nil
}

// names are what the files call themselves, by version.
func (m *Migrations) names() (map[int64]string, error) {
	files, err := fs.Glob(m.FS, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations of %s: %w", m.Name, err)
	}
	names := make(map[int64]string, len(files))
	for _, file := range files {
		version, err := goose.NumericComponent(path.Base(file))
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", file, err)
		}
		_, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		names[version] = name
	}
	return names, nil
}

// Applied are the migrations that were pending before and are no longer.
func Applied(before, after []Migration) []Migration {
	var applied []Migration
	for _, m := range after {
		was := slices.IndexFunc(before, func(one Migration) bool { return one.Version == m.Version })
		if !m.Pending() && (was < 0 || before[was].Pending()) {
			applied = append(applied, m)
		}
	}
	return applied
}
