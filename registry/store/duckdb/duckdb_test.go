package duckdb_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

func TestMain(m *testing.M) {
	storetest.ChildMain(openAt)
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openAt(ctx context.Context, place string, log *slog.Logger) (registry.Store, error) {
	s, err := duckdb.Open(ctx, place, duckdb.Options{Logger: log})
	if err != nil {
		return nil, err // not a nil *Store in an interface
	}
	return s, nil
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Place:  func(t testing.TB) string { return filepath.Join(t.TempDir(), "muster.db") },
		OpenAt: openAt,
		Forgetful: func(ctx context.Context, place string, log *slog.Logger) (registry.Store, error) {
			s, err := duckdb.Open(ctx, place, duckdb.Options{Logger: log, KeepDeletions: storetest.Remembered})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Chained: func(ctx context.Context, place string, log *slog.Logger, keys *audit.Keys) (registry.Store, error) {
			s, err := duckdb.Open(ctx, place, duckdb.Options{Logger: log, Chain: keys})
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Behind: behind,
	})
}

// behind runs statements on the file itself.
func behind(t testing.TB, place string, statements ...string) {
	t.Helper()
	db, err := sql.Open("duckdb", place)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
