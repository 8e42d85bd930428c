package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/app"
)

// migrationJSON is a migration as it is printed.
type migrationJSON struct {
	Version int64      `json:"version"`
	Name    string     `json:"name"`
	State   string     `json:"state"`
	Applied *time.Time `json:"applied"`
	Problem string     `json:"problem,omitempty"`
}

func migrationOf(m *app.Migration) migrationJSON {
	out := migrationJSON{Version: m.Version, Name: m.Name, State: "pending", Problem: m.Problem}
	if !m.Pending() {
		applied := m.Applied.UTC()
		out.State, out.Applied = "applied", &applied
	}
	if m.Problem != "" {
		out.State = "problem"
	}
	return out
}

func (m *migrationJSON) cells() []string {
	applied := ""
	if m.Applied != nil {
		applied = m.Applied.Format(time.RFC3339)
	}
	return []string{strconv.FormatInt(m.Version, 10), m.Name, m.State, applied, m.Problem}
}

func (s *shell) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Look at the schema of a store, and bring it up to date",
		Example: `  muster migrate status --store duckdb:/var/lib/muster/muster.db
  muster migrate up --config muster.yaml`,
	}
	cmd.AddCommand(s.migrateStatusCommand(), s.migrateUpCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) migrateStatusCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which migrations a store has had and which are pending",
		Long: `Show which migrations a store has had and which are pending, on the store itself.
Nothing is changed. Exit code 1 when there is one that no start goes over: a newer
muster has applied it, or another file of the same number.

An embedded store must not be held by a gateway; PostgreSQL may be in use.`,
		Example: `  muster migrate status
  muster migrate status --store duckdb:/var/lib/muster/muster.db -o json`,
		Args: cobra.NoArgs,
	}
	f.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := f.config(cmd, s.Environ)
		if err != nil {
			return err
		}
		all, err := app.MigrationStatus(cmd.Context(), cfg, s.offlineLog())
		if err != nil {
			return offlineError(err)
		}
		pending, ok := 0, true
		for _, m := range all {
			if m.Pending() {
				pending++
			}
			ok = ok && m.Problem == ""
		}
		err = s.printMigrations(all, map[string]any{"ok": ok, "pending": pending})
		if err == nil && !ok {
			return errQuietFailure
		}
		return err
	}
	return cmd
}

func (s *shell) migrateUpCommand() *cobra.Command {
	f := &storeFlags{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Apply the pending migrations to a store",
		Long: `Apply the pending migrations to a store, as the start of a gateway would, and show
which they were: none when the schema is up to date. A new store is made. A schema
that is newer than this program, or made by other files, is refused.

An embedded store is copied aside before, as PATH.before-vN, and must not be held by
a gateway. On PostgreSQL migrations run under a lock, one process at a time.`,
		Example: `  muster migrate up
  muster migrate up --config muster.yaml -o json`,
		Args: cobra.NoArgs,
	}
	f.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := f.config(cmd, s.Environ)
		if err != nil {
			return err
		}
		stop := s.progress("migrating the store")
		applied, err := app.Migrate(cmd.Context(), cfg, s.offlineLog())
		stop()
		if err != nil {
			return offlineError(err)
		}
		return s.printMigrations(applied, map[string]any{})
	}
	return cmd
}

// printMigrations prints a list; more is what a document has beside it.
func (s *shell) printMigrations(all []app.Migration, more map[string]any) error {
	list := make([]migrationJSON, len(all))
	for i := range all {
		list[i] = migrationOf(&all[i])
	}
	more["migrations"] = list
	return s.print(more, func(w io.Writer) error {
		if len(list) == 0 {
			_, err := fmt.Fprintln(w, "nothing to do: the schema is up to date")
			return err
		}
		if err := row(w, "VERSION", "NAME", "STATE", "APPLIED", "PROBLEM"); err != nil {
			return err
		}
		for i := range list {
			if err := row(w, list[i].cells()...); err != nil {
				return err
			}
		}
		return nil
	})
}
