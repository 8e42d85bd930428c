package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/app"
)

func (s *shell) importAgnesCommand() *cobra.Command {
	f := &storeFlags{}
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "import-agnes FILE",
		Short: "Bring users, groups, grants and tables over from a system.duckdb of agnes",
		Long: `Bring users, groups, memberships, grants and the registry of tables over from a
system.duckdb of agnes at schema v13 or v14, on the store itself, in one transaction,
and show what was left out and why. What is here already stays as it is: a second time brings nothing.

The file is only read. Every gateway on the store has to be ended before: a store
that one has open is refused. The audit log has a row for each record.`,
		Example: `  muster admin import-agnes /data/state/system.duckdb --dry-run
  muster admin import-agnes system.duckdb --config /etc/muster/muster.yaml -o json`,
		Args: cobra.ExactArgs(1),
	}
	f.flags(cmd)
	f.keyFlag(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be brought, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.config(cmd, s.Environ)
		if err != nil {
			return err
		}
		stop := s.progress("importing " + args[0])
		got, err := app.ImportAccess(cmd.Context(), cfg, args[0], dryRun, s.offlineLog())
		stop()
		if err != nil {
			return offlineError(err)
		}
		return s.printImported(got, dryRun)
	}
	return cmd
}

func (s *shell) printImported(i *app.Imported, dryRun bool) error {
	brought, left := []map[string]any{}, []map[string]any{}
	for _, c := range i.Counts {
		brought = append(brought, map[string]any{"kind": c.Kind, "read": c.Read, "brought": c.Brought, "present": c.Present})
	}
	for _, l := range i.Left {
		left = append(left, map[string]any{"kind": l.Kind, "reason": l.Reason, "count": l.Count, "examples": append([]string{}, l.Examples...)})
	}
	document := map[string]any{"dry_run": dryRun, "schema": i.Schema, "brought": brought, "left_out": left}
	return s.print(document, func(w io.Writer) error { return importTable(w, i, dryRun) })
}

func importTable(w io.Writer, i *app.Imported, dryRun bool) error {
	heading := "BROUGHT"
	if dryRun {
		heading = "WOULD BE BROUGHT"
	}
	if err := row(w, "KIND", "IN THE FILE", heading, "HERE ALREADY"); err != nil {
		return err
	}
	for _, c := range i.Counts {
		if err := row(w, c.Kind, strconv.Itoa(c.Read), strconv.Itoa(c.Brought), strconv.Itoa(c.Present)); err != nil {
			return err
		}
	}
	if len(i.Left) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := row(w, "LEFT OUT", "COUNT", "WHY", "SUCH AS"); err != nil {
		return err
	}
	for _, l := range i.Left {
		if err := row(w, l.Kind, strconv.FormatInt(l.Count, 10), l.Reason, strings.Join(l.Examples, ", ")); err != nil {
			return err
		}
	}
	return nil
}
