package duckdb

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// envMigrate makes the test binary the child that is killed while it migrates.
const envMigrate = "MUSTER_TEST_MIGRATE_PATH"

// newest is the version of the real migrations.
func newest(t testing.TB) int {
	files, err := fs.ReadDir(embedded, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// longer are the real migrations and some more, of the kind that DuckDB makes
// necessary: create, copy, drop, rename.
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
		all[fmt.Sprintf("%04d_rebuild.sql", version)] = &fstest.MapFile{Data: fmt.Appendf(nil, `-- +goose Up
CREATE TABLE rebuilt_%[1]d (number BIGINT PRIMARY KEY, text TEXT);
INSERT INTO rebuilt_%[1]d SELECT range, 'row ' || range FROM range(2000);
CREATE TABLE canary_new (id INTEGER PRIMARY KEY, sung TIMESTAMPTZ, step INTEGER NOT NULL);
INSERT INTO canary_new SELECT id, sung, %[1]d FROM canary;
DROP TABLE canary;
ALTER TABLE canary_new RENAME TO canary;
`, version)}
	}
	return all
}

func TestMigrationChild(t *testing.T) {
	path := os.Getenv(envMigrate)
	if path == "" {
		return // it is only there for TestKilledWhileMigrating
	}
	fmt.Println("ready")
	if _, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 30)}); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done() // not before it is killed
}

// kills is as storetest.Kills, which this package's own tests cannot import.
func kills(t *testing.T) int {
	n := 10
	if text := os.Getenv("MUSTER_TEST_CRASH_KILLS"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
	}
	return max(n/10, 5)
}

func TestKilledWhileMigrating(t *testing.T) {
	for n := range kills(t) {
		path := filepath.Join(t.TempDir(), "muster.db")
		for range 3 { // each goes on where the one before was killed
			child := exec.Command(os.Args[0], "-test.run", "^TestMigrationChild$", "-test.v")
			child.Env = append(os.Environ(), envMigrate+"="+path)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "ready"); {
			}
			timer := time.NewTimer(time.Duration(rand.Int64N(int64(400 * time.Millisecond))))
			<-timer.C // when it is killed is the point of the test
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
				t.Fatalf("kill %d: the child ended by itself: %v", n, err)
			}
		}
		s, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 30)})
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		var rows, step, version int
		last := newest(t) + 30
		err = s.db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT (SELECT count(*) FROM rebuilt_%d),
			(SELECT max(step) FROM canary), (SELECT max(version) FROM schema_migrations)`, last)).Scan(&rows, &step, &version)
		if err != nil || rows != 2000 || step != last || version != last {
			t.Errorf("kill %d: %d rows, step %d, version %d: %v", n, rows, step, version, err)
		}
		if err := errors.Join(s.CheckWritable(t.Context()), s.Close(t.Context())); err != nil {
			t.Errorf("kill %d: %v", n, err)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func closed(t *testing.T, s *Store, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestMigrationCopiesAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), `it's "quoted".db`)
	s, err := Open(t.Context(), path, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.SetGateway(ctx, "kept") })
	closed(t, s, err)
	if found, err := filepath.Glob(path + ".before*"); err != nil || len(found) != 0 {
		t.Errorf("%v %v: nothing was to be copied", found, err)
	}
	// What a kill while copying leaves is no hindrance.
	aside := fmt.Sprintf("%s.before-v%d", path, newest(t))
	if err := os.WriteFile(aside+".part", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 2)})
	closed(t, s, err)
	s, err = Open(t.Context(), aside, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Load(t.Context(), 0); err != nil || c.Gateway != "kept" || c.Revision != 1 {
		t.Errorf("%+v %v", c, err)
	}
	closed(t, s, nil)
}

func TestSchemasThatDoNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	s, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 1)})
	closed(t, s, err)
	if _, err := Open(t.Context(), path, Options{Logger: quiet()}); !fault.Is(err, "store_schema") || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a newer schema: %v", err)
	}
	changed := longer(t, 1).(fstest.MapFS)
	rebuild := fmt.Sprintf("%04d_rebuild.sql", newest(t)+1)
	changed[rebuild].Data = append(changed[rebuild].Data, "-- changed"...)
	if _, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: changed}); !fault.Is(err, "store_schema") ||
		!strings.Contains(err.Error(), fmt.Sprint("migration ", newest(t)+1)) {
		t.Errorf("a migration that was changed after it was applied: %v", err)
	}
	broken := longer(t, 1).(fstest.MapFS)
	broken[fmt.Sprintf("%04d_broken.sql", newest(t)+2)] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE half (id INTEGER);\nNONSENSE;\n")}
	if _, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: broken}); !fault.Is(err, "store_schema") {
		t.Errorf("a migration that fails: %v", err)
	}
	s, err = Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 1)})
	if err != nil {
		t.Fatalf("after one that failed: %v", err)
	}
	err = s.db.QueryRowContext(t.Context(), `SELECT 1 FROM half`).Scan(new(sql.NullInt64))
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		t.Errorf("half a migration is there: %v", err)
	}
	closed(t, s, nil)
}
