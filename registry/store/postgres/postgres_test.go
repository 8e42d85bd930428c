package postgres_test

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.ChildMain(openAt)
	os.Exit(pgtest.Main(m))
}

func openAt(ctx context.Context, place string, log *slog.Logger) (registry.Store, error) {
	s, err := postgres.Open(ctx, place, postgres.Options{Logger: log})
	if err != nil {
		return nil, err // not a nil *Store in an interface
	}
	return s, nil
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Place:  pgtest.Database,
		OpenAt: openAt,
		Forgetful: func(ctx context.Context, place string, log *slog.Logger) (registry.Store, error) {
			s, err := postgres.Open(ctx, place, postgres.Options{Logger: log, KeepDeletions: storetest.Remembered})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Chained: func(ctx context.Context, place string, log *slog.Logger, keys *audit.Keys) (registry.Store, error) {
			s, err := postgres.Open(ctx, place, postgres.Options{Logger: log, Chain: keys})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Behind:   behind,
		Outlived: outlived,
		Shared:   true,
	})
}

// outlived waits until a database has no other session.
func outlived(t testing.TB, place string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	tick, late := time.NewTicker(5*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	const others = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`
	for n := 1; ; {
		if err := conn.QueryRow(t.Context(), others).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d sessions of a killed process are left", n)
		}
	}
}

// behind runs statements on the database itself.
func behind(t testing.TB, place string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
