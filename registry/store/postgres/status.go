package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/muster-fleet/muster/registry/store"
)

// Status tells which migrations a database has had and which are pending, without
// applying any. Errors are those of Open.
func Status(ctx context.Context, dsn string, o Options) ([]store.Migration, error) {
	var all []store.Migration
	err := migrating(ctx, dsn, o, func(ctx context.Context, m *store.Migrations, db *sql.DB) (err error) {
		all, err = m.Status(ctx, db)
		return err
	})
	return all, err
}

// Migrate brings a database's schema up to date, as Open does, and returns what was
// applied meanwhile, by whichever replica; nothing when it was up to date.
func Migrate(ctx context.Context, dsn string, o Options) ([]store.Migration, error) {
	var applied []store.Migration
	err := migrating(ctx, dsn, o, func(ctx context.Context, m *store.Migrations, db *sql.DB) error {
		before, err := m.Status(ctx, db)
		if err != nil {
			return err
		}
		if err := m.Up(ctx, db); err != nil {
			return err
		}
		after, err := m.Status(ctx, db)
		applied = store.Applied(before, after)
		return err
	})
	return applied, err
}

// migrating connects for migrations.
func migrating(
	ctx context.Context, dsn string, o Options, do func(ctx context.Context, m *store.Migrations, db *sql.DB) error,
) error {
	if o.Logger == nil {
		return errors.New("postgres: Options need a Logger")
	}
	config, err := parse(dsn, o)
	if err != nil {
		return err
	}
	return withMigrations(ctx, config, nameOf(config), o, do)
}
