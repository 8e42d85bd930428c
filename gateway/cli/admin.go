package cli

import "github.com/spf13/cobra"

func (s *shell) adminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Administer who may do what, and read what was done",
		Example: `  muster admin audit list --action 'worker.*'
  muster admin audit verify`,
	}
	cmd.AddCommand(s.auditCommand())
	s.group(cmd)
	return cmd
}
