package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/proto/fault"
)

// tableRecord is a registered table as the API gives it.
type tableRecord struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Source       string     `json:"source_type"`
	Bucket       string     `json:"bucket"`
	SourceTable  string     `json:"source_table"`
	Strategy     string     `json:"sync_strategy"`
	Mode         string     `json:"query_mode"`
	Schedule     string     `json:"sync_schedule"`
	Profile      bool       `json:"profile_after_sync"`
	PrimaryKey   []string   `json:"primary_key"`
	Folder       string     `json:"folder"`
	Description  string     `json:"description"`
	Dataset      string     `json:"dataset"`
	RegisteredBy string     `json:"registered_by"`
	RegisteredAt *time.Time `json:"registered_at"`
	UpdatedAt    *time.Time `json:"updated_at"`
	Revision     int64      `json:"revision"`
}

func (s *shell) adminTableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "table",
		Aliases: []string{"tables"},
		Short:   "Look after the registry of tables",
		Long: `Look after the registry of tables: which tables of which sources there are, where
they are at their source, and when they are to be synchronised. A registered table is
a dataset that can be granted: muster admin grant create GROUP dataset SOURCE.NAME.
Nobody but members of Admin reads it without a grant.

REF stands for a table's id or, when no table has that id, its name, in any case.`,
		Example: `  muster admin table register orders --source postgres --bucket public --primary-key id
  muster admin table list --source postgres
  muster admin grant create sales dataset postgres.orders`,
	}
	cmd.AddCommand(s.tableListCommand(), s.tableShowCommand(), s.tableRegisterCommand(), s.tableUpdateCommand(), s.tableDeleteCommand())
	s.group(cmd)
	return cmd
}

// tableOf finds the table of a REF: an id, or a name that one table alone has.
func (c *client) tableOf(ctx context.Context, ref string) (*answer, *tableRecord, error) {
	if ref == "" || ref == "." || ref == ".." {
		return nil, nil, usagef("give its id or name", "a table named %s", quote(ref))
	}
	got, err := c.fetch(ctx, tablePath(ref))
	var f *fault.Error
	if err == nil || !errors.As(err, &f) || f.Kind != fault.NotFound {
		return readTableAnswer(got, err)
	}
	found, _, err := c.listed(ctx, tablesPath, url.Values{"name": {ref}}, 0)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]string, len(found))
	for i, raw := range found {
		t, err := readAs[tableRecord]("table", raw)
		if err != nil {
			return nil, nil, err
		}
		ids[i] = t.ID
	}
	switch len(ids) {
	case 0:
		return nil, nil, &trouble{
			code: ExitNotFound, what: "no table has the id or name " + quote(ref),
			where: c.base.String(), do: "muster admin table list shows what there is",
		}
	case 1:
		return readTableAnswer(c.fetch(ctx, tablePath(ids[0])))
	default:
		return nil, nil, usagef("give one of their ids: "+strings.Join(ids, ", "), "%d tables have the name %s", len(ids), quote(ref))
	}
}

func tablePath(id string) string { return tablesPath + "/" + url.PathEscape(id) }

func readTableAnswer(got *answer, err error) (*answer, *tableRecord, error) {
	if err != nil {
		return nil, nil, err
	}
	t, err := readAs[tableRecord]("table", got.body)
	return got, t, err
}

func (s *shell) tableListCommand() *cobra.Command {
	var limit int
	var source, name string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the registered tables, by id",
		Example: `  muster admin table list
  muster admin table list --source keboola -o json`,
		Args: cobra.NoArgs,
	}
	limitFlag(cmd, &limit)
	cmd.Flags().StringVar(&source, "source", "", "only tables of this source")
	cmd.Flags().StringVar(&name, "name", "", "only tables of this name, in any case")
	s.completeFlag(cmd, "source", completeWords(tableSources))
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		query := url.Values{}
		if source != "" {
			query.Set("source_type", source)
		}
		if name != "" {
			query.Set("name", name)
		}
		return s.show(ctx, c, listing{
			path: tablesPath, query: query, headings: []string{"ID", "NAME", "SOURCE", "MODE", "STRATEGY", "SCHEDULE", "FOLDER"},
			cells: columns("table", func(t *tableRecord) []string {
				return []string{t.ID, t.Name, t.Source, t.Mode, t.Strategy, t.Schedule, t.Folder}
			}),
		}, limit)
	})
	return cmd
}

func (s *shell) tableShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show REF", Aliases: []string{"get"},
		Short:             "Show one registered table and its revision",
		Example:           "  muster admin table show orders",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeTable),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			got, t, err := c.tableOf(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printLines(got.body, [][]string{
				{"id", t.ID}, {"name", t.Name}, {"source", t.Source}, {"bucket", t.Bucket}, {"source table", t.SourceTable},
				{"strategy", t.Strategy}, {"mode", t.Mode}, {"schedule", t.Schedule}, {"profile", yesNo(t.Profile)},
				{"primary key", strings.Join(t.PrimaryKey, ", ")}, {"folder", t.Folder}, {"description", t.Description},
				{"dataset", t.Dataset}, {"registered at", moment(t.RegisteredAt)}, {"registered by", t.RegisteredBy},
				{"updated at", moment(t.UpdatedAt)}, {"revision", strconv.FormatInt(t.Revision, 10)},
			})
		}),
	}
}

func (s *shell) tableDeleteCommand() *cobra.Command {
	var m mutation
	var yes bool
	cmd := &cobra.Command{
		Use: "delete REF", Aliases: []string{"rm"},
		Short: "Remove a table from the registry",
		Long: `Remove a table from the registry. Grants on its dataset stay, and would open a table
that is registered under the same source and name later: muster admin grant list
shows them.`,
		Example: `  muster admin table delete orders
  muster admin table delete orders --yes --if-match 3`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeTable),
	}
	m.flags(cmd, false)
	m.matchFlag(cmd, "table")
	yesFlag(cmd, &yes)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		_, t, err := c.tableOf(ctx, args[0])
		if err != nil {
			return err
		}
		if !m.dryRun {
			question := fmt.Sprintf("Remove the table %s (%s) from the registry? Grants on the dataset stay.", quote(t.ID), quote(t.Dataset))
			if err := s.confirm(ctx, question, yes); err != nil {
				return err
			}
		}
		if _, err := s.change(ctx, c, &m, http.MethodDelete, tablePath(t.ID), nil); err != nil {
			return err
		}
		return s.gone(&m, "deleted", "table", t.ID)
	})
	return cmd
}

func completeTable(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	return offered(ctx, c, tablesPath, func(t *tableRecord) (string, string) { return t.ID, t.Dataset })
}

// completeWords offers what is always the same.
func completeWords(words func() []string) completer {
	return func(context.Context, *client, []string) ([]cobra.Completion, error) { return words(), nil }
}

// printTableChange prints what the API says of a change, and the revision that it
// made.
func (s *shell) printTableChange(got *answer) error {
	said, err := readAs[struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Status  string   `json:"status"`
		Updated []string `json:"updated"`
	}]("answer", got.body)
	if err != nil {
		return err
	}
	revision := strings.Trim(got.header.Get("ETag"), `"`)
	if s.output != formTable {
		s.say("revision %s", revision)
	}
	lines := [][]string{{"id", said.ID}}
	if said.Status != "" {
		lines = append(lines, []string{"name", said.Name}, []string{"status", said.Status})
	} else {
		lines = append(lines, []string{"updated", strings.Join(said.Updated, ", ")})
	}
	return s.printLines(json.RawMessage(got.body), append(lines, []string{"revision", revision}))
}
