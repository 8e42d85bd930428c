package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

// newest is the version of the real migrations.
func newest(t testing.TB) int {
	files, err := fs.ReadDir(embedded, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// longer are the real migrations and some more.
func longer(t testing.TB, more int) fs.FS {
	files, err := fs.ReadDir(embedded, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	all := fstest.MapFS{}
	for _, f := range files {
		data, err := embedded.ReadFile("migrations/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		all[f.Name()] = &fstest.MapFile{Data: data}
	}
	for n := range more {
		version := n + 1 + len(files)
		all[fmt.Sprintf("%04d_more.sql", version)] = &fstest.MapFile{Data: fmt.Appendf(nil, `-- +goose Up
CREATE TABLE more_%[1]d (number BIGINT PRIMARY KEY, text TEXT);
INSERT INTO more_%[1]d SELECT n, 'row ' || n FROM generate_series(1, 5000) n;
ALTER TABLE canary ADD COLUMN step_%[1]d INTEGER NOT NULL DEFAULT %[1]d;
`, version)}
	}
	return all
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// version is the newest migration applied; -1 when there is none.
func version(t *testing.T, dsn string) (v int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(conn.QueryRow(t.Context(), `SELECT max(version) FROM schema_migrations`).Scan(&v), conn.Close(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTenMigrateAtOnce(t *testing.T) {
	dsn := pgtest.Database(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn, Options{Logger: quiet(), MaxConns: 2, migrations: longer(t, 5)})
			if err != nil {
				t.Error(err)
				return
			}
			if err := errors.Join(s.CheckWritable(t.Context()), s.Close(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v := version(t, dsn); v != newest(t)+5 {
		t.Errorf("version %d", v)
	}
}

// TestBrokenOffWhileMigrating breaks migrations off at random moments, by killing
// the server's connection or by giving up; the next start goes on.
func TestBrokenOffWhileMigrating(t *testing.T) {
	dsn := pgtest.Database(t)
	const more = 40
	broken := 0
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(150*time.Millisecond))))
		s, err := Open(ctx, dsn, Options{Logger: quiet(), migrations: longer(t, more)})
		cancel()
		if err == nil {
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			break
		}
		broken++
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Unavailable {
			t.Errorf("broken off: %v", err)
		}
	}
	s, err := Open(t.Context(), dsn, Options{Logger: quiet(), migrations: longer(t, more)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.CheckWritable(t.Context()), s.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if v := version(t, dsn); v != newest(t)+more || broken == 0 {
		t.Errorf("version %d after %d starts that were broken off", v, broken)
	}
}

func TestSchemasThatDoNotFit(t *testing.T) {
	dsn := pgtest.Database(t)
	s, err := Open(t.Context(), dsn, Options{Logger: quiet(), migrations: longer(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dsn, Options{Logger: quiet()}); !fault.Is(err, "store_schema") || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: %v", err)
	}
	changed := longer(t, 1).(fstest.MapFS)
	changed["0001_workers.sql"].Data = append(changed["0001_workers.sql"].Data, "-- changed"...)
	if _, err := Open(t.Context(), dsn, Options{Logger: quiet(), migrations: changed}); !fault.Is(err, "store_schema") ||
		!strings.Contains(err.Error(), "migration 1") {
		t.Errorf("a migration that was changed after it was applied: %v", err)
	}
	broken := longer(t, 1).(fstest.MapFS)
	broken[fmt.Sprintf("%04d_broken.sql", newest(t)+2)] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE half (id INTEGER);\nNONSENSE;\n")}
	if _, err := Open(t.Context(), dsn, Options{Logger: quiet(), migrations: broken}); !fault.Is(err, "store_schema") {
		t.Errorf("a migration that fails: %v", err)
	}
	if v := version(t, dsn); v != newest(t)+1 {
		t.Errorf("half a migration: version %d", v)
	}
}
