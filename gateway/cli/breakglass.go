package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/gateway/app"
)

func (s *shell) breakGlassCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "break-glass",
		Short:   "Get in when nobody can",
		Example: `  muster admin break-glass grant-admin alice@example.org`,
	}
	cmd.AddCommand(s.grantAdminCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) grantAdminCommand() *cobra.Command {
	f := &storeFlags{}
	var yes bool
	cmd := &cobra.Command{
		Use:   "grant-admin EMAIL",
		Short: "Make somebody an administrator, on the store itself",
		Long: `Make the user with this e-mail address an administrator, on the store itself: for
when nobody can log in who may do it otherwise. A user who is not there is made,
and is known by the first login with that address, verified; one who is
deactivated is activated. It is written to the audit log, with who ran it.

Every gateway on the store has to be ended before: a store that one has open is
refused. The audit log's keys must be the gateway's: those of audit.keyFile, else
those beside an embedded store.

Exit code 0 also when the user was an administrator already.`,
		Example: `  muster admin break-glass grant-admin alice@example.org --config /etc/muster/muster.yaml
  muster admin break-glass grant-admin alice@example.org --yes --store duckdb:/var/lib/muster/muster.db`,
		Args: cobra.ExactArgs(1),
	}
	f.flags(cmd)
	f.keyFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := f.config(cmd, s.Environ)
		if err != nil {
			return err
		}
		if !yes && !s.Asks {
			return usagef("give --yes", "there is no terminal to ask on whether to make %s an administrator", quote(args[0]))
		}
		question := fmt.Sprintf("Make %s an administrator of the store %s, and have the audit log say so?", quote(args[0]), cfg.Store)
		if err := s.confirm(cmd.Context(), question, yes); err != nil {
			return err
		}
		glass, err := app.BreakGlass(cmd.Context(), cfg, args[0], s.offlineLog())
		if err != nil {
			return offlineError(err)
		}
		return s.printGlass(&glass)
	}
	return cmd
}

func (s *shell) printGlass(g *app.Glass) error {
	document := map[string]any{
		"already": g.Already,
		"user": map[string]any{
			"id": g.User.ID, "email": g.User.Email, "username": g.User.Username, "bound": g.User.Bound(),
		},
	}
	return s.print(document, func(w io.Writer) error {
		text := "is an administrator now; the gateway can be started"
		switch {
		case g.Already:
			text = "is an administrator already"
		case !g.User.Bound():
			text = "is an administrator from the first login with that address, verified, on; the gateway can be started"
		}
		_, err := fmt.Fprintf(w, "%s %s\n", clean(g.User.Email), text)
		return err
	})
}
