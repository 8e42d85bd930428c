package cli

import "github.com/spf13/cobra"

func (s *shell) adminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Administer who may do what, and read what was done",
		Example: `  muster admin group create loaders
  muster admin grant create loaders graph_rules write
  muster admin audit list --action 'worker.*'`,
	}
	cmd.AddCommand(
		s.adminGroupCommand(),
		s.adminGrantCommand(),
		s.adminUserCommand(),
		s.adminTokenCommand(),
		s.adminTableCommand(),
		s.auditCommand(),
		s.breakGlassCommand(), s.importAgnesCommand(),
	)
	s.group(cmd)
	return cmd
}
