package duckdb

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store"
)

func pending(all []store.Migration) (n int) {
	for _, m := range all {
		if m.Pending() {
			n++
		}
	}
	return n
}

func statusOf(t *testing.T, path string, o Options) []store.Migration {
	t.Helper()
	all, err := Status(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestStatus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	o := Options{Logger: quiet(), migrations: longer(t, 1)}
	all := statusOf(t, path, o)
	if len(all) != newest(t)+1 || pending(all) != len(all) || all[0].Version != 1 || all[0].Name != "workers" {
		t.Errorf("of no file: %+v", all)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a look has made the file: %v", err)
	}
	applied, err := Migrate(t.Context(), path, Options{Logger: quiet()})
	if err != nil || len(applied) != newest(t) || pending(applied) != 0 {
		t.Errorf("applied %+v: %v", applied, err)
	}
	all = statusOf(t, path, o)
	if len(all) != newest(t)+1 || pending(all) != 1 || !all[newest(t)].Pending() || all[newest(t)].Name != "rebuild" {
		t.Errorf("before the last: %+v", all)
	}
	aside := path + ".before-v" + string(rune('0'+newest(t)))
	if _, err := os.Stat(aside); err == nil {
		t.Error("a look has copied the file aside")
	}
	applied, err = Migrate(t.Context(), path, o)
	if err != nil || len(applied) != 1 || applied[0].Version != int64(newest(t)+1) || applied[0].Pending() {
		t.Errorf("applied %+v: %v", applied, err)
	}
	if _, err := os.Stat(aside); err != nil {
		t.Errorf("nothing was kept of what it was: %v", err)
	}
	if applied, err = Migrate(t.Context(), path, o); err != nil || len(applied) != 0 {
		t.Errorf("applied again: %+v: %v", applied, err)
	}
}

// TestStatusOfWhatDoesNotFit tells what a start refuses.
func TestStatusOfWhatDoesNotFit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	s, err := Open(t.Context(), path, Options{Logger: quiet(), migrations: longer(t, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Status(t.Context(), path, Options{Logger: quiet()}); !fault.Is(err, "store_locked") {
		t.Errorf("of a file in use: %v", err)
	}
	if _, err := Migrate(t.Context(), path, Options{Logger: quiet()}); !fault.Is(err, "store_locked") {
		t.Errorf("migrate a file in use: %v", err)
	}
	closed(t, s, nil)
	all := statusOf(t, path, Options{Logger: quiet()})
	if last := all[len(all)-1]; len(all) != newest(t)+1 || last.Name != "" || !strings.Contains(last.Problem, "newer muster") || last.Pending() {
		t.Errorf("a newer schema: %+v", all)
	}
	changed := longer(t, 1).(fstest.MapFS)
	changed["0001_workers.sql"].Data = append(changed["0001_workers.sql"].Data, "-- changed"...)
	all = statusOf(t, path, Options{Logger: quiet(), migrations: changed})
	if !strings.Contains(all[0].Problem, "another file") || all[1].Problem != "" {
		t.Errorf("a changed file: %+v", all)
	}
	if _, err := Migrate(t.Context(), path, Options{Logger: quiet(), migrations: changed}); !fault.Is(err, "store_schema") {
		t.Errorf("migrated over it: %v", err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("garbage ", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Status(t.Context(), path, Options{Logger: quiet()}); !fault.Is(err, "store_unavailable") {
		t.Errorf("of garbage: %v", err)
	}
	if _, err := Status(t.Context(), path, Options{}); err == nil {
		t.Error("without a logger")
	}
}

// A store tells the version that its schema has and the one that the program makes.
func TestSchema(t *testing.T) {
	store, err := Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	current, expected, err := store.Schema(t.Context())
	if err != nil || current != expected || expected != int64(newest(t)) {
		t.Errorf("%d of %d: %v", current, expected, err)
	}
	for _, change := range []struct {
		statement string
		want      int64
	}{
		{"INSERT INTO schema_migrations VALUES (1000, 'x', now())", 1000},
		{"DELETE FROM schema_migrations", 0},
	} {
		if _, err := store.db.ExecContext(t.Context(), change.statement); err != nil {
			t.Fatal(err)
		}
		if now, _, err := store.Schema(t.Context()); err != nil || now != change.want {
			t.Errorf("%s: %d, %v", change.statement, now, err)
		}
	}
	if _, err := store.db.ExecContext(t.Context(), "DROP TABLE schema_migrations"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Schema(t.Context()); err == nil {
		t.Error("without the table")
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
