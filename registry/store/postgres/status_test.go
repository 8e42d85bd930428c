package postgres

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

func pending(all []store.Migration) (n int) {
	for _, m := range all {
		if m.Pending() {
			n++
		}
	}
	return n
}

func statusOf(t *testing.T, dsn string, o Options) []store.Migration {
	t.Helper()
	all, err := Status(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestStatus(t *testing.T) {
	dsn := pgtest.Database(t)
	o := Options{Logger: quiet(), migrations: longer(t, 1)}
	all := statusOf(t, dsn, o)
	if len(all) != newest(t)+1 || pending(all) != len(all) || all[0].Version != 1 || all[0].Name != "workers" {
		t.Errorf("of an empty database: %+v", all)
	}
	applied, err := Migrate(t.Context(), dsn, Options{Logger: quiet()})
	if err != nil || len(applied) != newest(t) || pending(applied) != 0 {
		t.Errorf("applied %+v: %v", applied, err)
	}
	if all = statusOf(t, dsn, o); pending(all) != 1 || !all[newest(t)].Pending() || all[newest(t)].Name != "more" {
		t.Errorf("before the last: %+v", all)
	}
	applied, err = Migrate(t.Context(), dsn, o)
	if err != nil || len(applied) != 1 || applied[0].Version != int64(newest(t)+1) || applied[0].Pending() {
		t.Errorf("applied %+v: %v", applied, err)
	}
	if applied, err = Migrate(t.Context(), dsn, o); err != nil || len(applied) != 0 {
		t.Errorf("applied again: %+v: %v", applied, err)
	}
	all = statusOf(t, dsn, Options{Logger: quiet()})
	if last := all[len(all)-1]; len(all) != newest(t)+1 || last.Name != "" || !strings.Contains(last.Problem, "newer muster") {
		t.Errorf("a newer schema: %+v", all)
	}
	changed := longer(t, 1).(fstest.MapFS)
	changed["0001_workers.sql"].Data = append(changed["0001_workers.sql"].Data, "-- changed"...)
	if all = statusOf(t, dsn, Options{Logger: quiet(), migrations: changed}); !strings.Contains(all[0].Problem, "another file") || all[1].Problem != "" {
		t.Errorf("a changed file: %+v", all)
	}
	if _, err := Migrate(t.Context(), dsn, Options{Logger: quiet()}); !fault.Is(err, "store_schema") {
		t.Errorf("migrated over a newer schema: %v", err)
	}
	if _, err := Status(t.Context(), "postgres://u:secret@127.0.0.1:1/x", Options{Logger: quiet()}); !fault.Is(err, "store_unavailable") ||
		strings.Contains(err.Error(), "secret") {
		t.Errorf("of no server: %v", err)
	}
	if _, err := Status(t.Context(), dsn, Options{}); err == nil {
		t.Error("without a logger")
	}
}
