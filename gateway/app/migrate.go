package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/registry/store/postgres"
)

// Migration is one step of the store's schema.
type Migration struct {
	Version int64
	// Name is empty for a version that this program does not know.
	Name string
	// Applied is zero while it is pending.
	Applied time.Time
	// Problem says why no start is possible over it; empty when there is none.
	Problem string
}

// Pending reports whether the next start would apply it.
func (m *Migration) Pending() bool { return m.Applied.IsZero() }

// MigrationStatus tells which migrations the store that a configuration names has
// had and which are pending. It changes nothing, and makes no file.
func MigrationStatus(ctx context.Context, cfg config.Config, log *slog.Logger) ([]Migration, error) {
	if path, embedded := cfg.Store.Path(); embedded {
		all, err := duckdb.Status(ctx, path, duckdb.Options{Logger: log})
		return migrationsOf(all), err
	}
	all, err := postgres.Status(ctx, cfg.Store.Reveal(), postgres.Options{Logger: log})
	return migrationsOf(all), err
}

// Migrate applies what is pending, as a start would, and returns what it was. An
// embedded store is copied aside before.
func Migrate(ctx context.Context, cfg config.Config, log *slog.Logger) ([]Migration, error) {
	if path, embedded := cfg.Store.Path(); embedded {
		all, err := duckdb.Migrate(ctx, path, duckdb.Options{Logger: log})
		return migrationsOf(all), err
	}
	all, err := postgres.Migrate(ctx, cfg.Store.Reveal(), postgres.Options{Logger: log})
	return migrationsOf(all), err
}

// stored is what the stores call a migration; the package that has the name is
// theirs alone.
type stored interface {
	~struct {
		Version int64
		Name    string
		Applied time.Time
		Problem string
	}
}

func migrationsOf[M stored](all []M) []Migration {
	out := make([]Migration, len(all))
	for i, m := range all {
		out[i] = Migration(m)
	}
	return out
}
