package cli

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/registry/table"
)

// tableFlags are what a table is registered with or changed to. The gateway judges
// the values.
type tableFlags struct {
	name, source, bucket, sourceTable, strategy, mode, schedule, key, folder, description string
	profile                                                                               bool
}

// tableSources, tableStrategies and tableModes are what flags are completed with.
func tableSources() []string    { return table.Sources() }
func tableStrategies() []string { return wordsOf(table.Strategies()) }
func tableModes() []string      { return wordsOf(table.Modes()) }

func wordsOf[T ~string](all []T) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = string(one)
	}
	return words
}

// members are the flags' names and the API's, with what each holds.
func (f *tableFlags) members() []struct {
	flag, member, usage string
	text                *string
} {
	return []struct {
		flag, member, usage string
		text                *string
	}{
		{"name", "name", "another name; the id stays", &f.name},
		{"source", "source_type", "what it is read from: bigquery, files, jira, keboola, local, postgres or a custom source; local by default", &f.source},
		{"bucket", "bucket", "bucket, dataset or schema at the source", &f.bucket},
		{"source-table", "source_table", "its name at the source", &f.sourceTable},
		{"strategy", "sync_strategy", "full_refresh, incremental or partitioned; full_refresh by default", &f.strategy},
		{"mode", "query_mode", "local, remote or materialized; local by default", &f.mode},
		{"schedule", "sync_schedule", "'every 15m', 'daily 06:00,18:30' or the five fields of cron, in UTC", &f.schedule},
		{"primary-key", "primary_key", "columns with commas between them, or a JSON array", &f.key},
		{"folder", "folder", "what people find it under", &f.folder},
		{"description", "description", "what people read of it", &f.description},
	}
}

// add adds the flags; --name only where there is a name already.
func (f *tableFlags) add(s *shell, cmd *cobra.Command, rename bool) {
	for _, m := range f.members() {
		if m.flag != "name" || rename {
			cmd.Flags().StringVar(m.text, m.flag, "", m.usage)
		}
	}
	cmd.Flags().BoolVar(&f.profile, "profile", true, "profile its columns after each synchronisation; --profile=false for not")
	s.completeFlag(cmd, "source", completeWords(tableSources))
	s.completeFlag(cmd, "strategy", completeWords(tableStrategies))
	s.completeFlag(cmd, "mode", completeWords(tableModes))
}

// body is what was given on the command line, and nothing else.
func (f *tableFlags) body(cmd *cobra.Command) map[string]any {
	body := map[string]any{}
	for _, m := range f.members() {
		if cmd.Flags().Changed(m.flag) {
			body[m.member] = *m.text
		}
	}
	if cmd.Flags().Changed("profile") {
		body["profile_after_sync"] = f.profile
	}
	return body
}

func (s *shell) tableRegisterCommand() *cobra.Command {
	var f tableFlags
	var m mutation
	cmd := &cobra.Command{
		Use: "register NAME", Aliases: []string{"add", "create"},
		Short: "Register a table",
		Long: `Register a table. NAME is what it is published and read as: letters, digits and _, not
beginning with a digit. Its id is the name in lower case, and stays when the name
changes. What is not given has its default.`,
		Example: `  muster admin table register orders --source postgres --bucket public --primary-key id
  muster admin table register contacts --source keboola --bucket in.c-crm --schedule 'daily 06:00' --dry-run`,
		Args: cobra.ExactArgs(1),
	}
	f.add(s, cmd, false)
	m.flags(cmd, false)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body := f.body(cmd)
		body["name"] = args[0]
		got, err := s.change(ctx, c, &m, http.MethodPost, "/api/admin/register-table", body)
		if err != nil {
			return err
		}
		return s.printTableChange(got)
	})
	return cmd
}

func (s *shell) tableUpdateCommand() *cobra.Command {
	var f tableFlags
	var m mutation
	cmd := &cobra.Command{
		Use: "update REF", Aliases: []string{"set"},
		Short: "Change what is registered of a table",
		Long: `Change what is registered of a table: what the flags say, and nothing else. An empty
text clears what has no default, such as --schedule ''.

A new name or source is another dataset: grants on the one before do not go along.`,
		Example: `  muster admin table update orders --schedule 'every 2h' --if-match 3
  muster admin table update orders --schedule '' --primary-key 'id, line'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeTable),
	}
	f.add(s, cmd, true)
	m.flags(cmd, false)
	m.matchFlag(cmd, "table")
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body := f.body(cmd)
		if len(body) == 0 {
			return usagef("give a flag, such as --schedule 'daily 06:00'; muster admin table update --help shows all", "there is nothing to change")
		}
		_, t, err := c.tableOf(ctx, args[0])
		if err != nil {
			return err
		}
		got, err := s.change(ctx, c, &m, http.MethodPut, tablePath(t.ID), body)
		if err != nil {
			return err
		}
		return s.printTableChange(got)
	})
	return cmd
}
