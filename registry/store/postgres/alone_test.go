package postgres_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

// openAlone opens a database alone.
func openAlone(t *testing.T, dsn string) (*postgres.Store, error) {
	t.Helper()
	return postgres.Open(t.Context(), dsn, postgres.Options{Logger: quiet(), Alone: true})
}

// Who wants to be alone is refused while anybody has the store open, and is told
// who; any number of others may have it open together.
func TestAlone(t *testing.T) {
	dsn := pgtest.Database(t)
	first, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	second, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		_, err := openAlone(t, dsn)
		if !fault.Is(err, "store_locked") || !strings.Contains(err.Error(), "muster "+strconv.Itoa(os.Getpid())+"@") {
			t.Errorf("alone beside others: %v", err)
		}
	}
	refused()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused()
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	alone, err := openAlone(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	refused()
	patient := dsn + "&lock_timeout=200ms"
	if !strings.Contains(dsn, "?") {
		patient = dsn + "?lock_timeout=200ms"
	}
	if _, err := openAt(t.Context(), patient, quiet()); !fault.Is(err, "store_locked") || !strings.Contains(err.Error(), "works on it alone") {
		t.Errorf("opened beside one who is alone: %v", err)
	}
	if err := alone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := openAt(t.Context(), patient, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who opens while another is alone waits for the end of that.
func TestWaitsForWhoIsAlone(t *testing.T) {
	dsn := pgtest.Database(t)
	alone, err := openAlone(t, dsn)
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := openAt(t.Context(), dsn, quiet())
		if err == nil {
			err = s.Close(t.Context())
		}
		opened <- err
	}()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other one waits", func() bool {
		var n int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`).Scan(&n)
		return err == nil && n == 1
	})
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := alone.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it never opens")
	}
}

// A store whose listening connection was cut off holds the database again.
func TestHoldsAgain(t *testing.T) {
	dsn := pgtest.Database(t)
	store, err := openAt(t.Context(), dsn, quiet())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	const holders = ` FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock'`
	var before, cut, after int
	if err := conn.QueryRow(t.Context(), `SELECT max(pid), count(pg_terminate_backend(pid))`+holders).Scan(&before, &cut); err != nil || cut != 1 {
		t.Fatalf("%d holders: %v", cut, err)
	}
	eventually(t, "another connection holds it", func() bool {
		err := conn.QueryRow(t.Context(), `SELECT coalesce(max(pid), 0)`+holders).Scan(&after)
		return err == nil && after != 0 && after != before
	})
	if _, err := openAlone(t, dsn); !fault.Is(err, "store_locked") {
		t.Errorf("alone: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSchema(t *testing.T) {
	dsn := pgtest.Database(t)
	store, err := postgres.Open(t.Context(), dsn, postgres.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	current, expected, err := store.Schema(t.Context())
	if err != nil || current != expected || expected < 4 {
		t.Errorf("%d of %d: %v", current, expected, err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO schema_migrations VALUES ($1, 'x', now())`, expected+1); err != nil {
		t.Fatal(err)
	}
	if now, _, err := store.Schema(t.Context()); err != nil || now != expected+1 {
		t.Errorf("after another program's migration: %d, %v", now, err)
	}
	if _, err := conn.Exec(t.Context(), `DROP TABLE schema_migrations`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Schema(t.Context()); !fault.Is(err, "store_schema") {
		t.Errorf("without the table: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
