package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// groupRecord is a group as the API gives it.
type groupRecord struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Origin      string     `json:"origin"`
	CreatedAt   *time.Time `json:"created_at"`
	CreatedBy   string     `json:"created_by"`
	Members     int        `json:"member_count"`
	Grants      int        `json:"grant_count"`
}

func (s *shell) adminGroupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "group",
		Aliases: []string{"groups"},
		Short:   "Look after groups and their members",
		Long: `Look after groups and their members. What the members of a group may do is what is
granted to it (muster admin grant). Members of Admin may do everything; everybody is
a member of Everyone.

REF stands for a group's id or its name, which is compared exactly; USER for a
user's e-mail address or id.`,
		Example: `  muster admin group create loaders --description 'pipelines that post rules'
  muster admin group add-member loaders alice@example.org
  muster admin group members loaders`,
	}
	cmd.AddCommand(
		s.groupListCommand(), s.groupShowCommand(), s.groupCreateCommand(), s.groupRenameCommand(), s.groupDescribeCommand(),
		s.groupDeleteCommand(), s.membersCommand(), s.addMemberCommand(), s.removeMemberCommand(),
	)
	s.group(cmd)
	return cmd
}

// groupID finds the id of a REF: an id, or a group's name. What looks like an id is
// one, whatever groups are called.
func (c *client) groupID(ctx context.Context, ref string) (string, error) {
	if isID(ref) {
		return strings.ToLower(ref), nil
	}
	if ref == "" {
		return "", usagef("give its name or id", "a group without a name")
	}
	found, _, err := c.listed(ctx, groupsPath, url.Values{"name": {ref}}, 1)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", &trouble{
			code: ExitNotFound, what: "no group has the name " + quote(ref),
			where: c.base.String(), do: "muster admin group list shows what there is; names are compared exactly",
		}
	}
	g, err := readAs[groupRecord]("group", found[0])
	if err != nil {
		return "", err
	}
	return g.ID, nil
}

func (s *shell) groupListCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the groups, by name",
		Example: `  muster admin group list
  muster admin group list --limit 20 -o json`,
		Args: cobra.NoArgs,
	}
	limitFlag(cmd, &limit)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		return s.show(ctx, c, listing{
			path: groupsPath, headings: []string{"NAME", "ID", "ORIGIN", "MEMBERS", "GRANTS", "DESCRIPTION"},
			cells: columns("group", func(g *groupRecord) []string {
				return []string{g.Name, g.ID, g.Origin, strconv.Itoa(g.Members), strconv.Itoa(g.Grants), g.Description}
			}),
		}, limit)
	})
	return cmd
}

// printGroup prints one group. Its revision, which is no member of the record,
// stands in the table, and else beside it on standard error.
func (s *shell) printGroup(got *answer) error {
	g, err := readAs[groupRecord]("group", got.body)
	if err != nil {
		return err
	}
	revision := strings.Trim(got.header.Get("ETag"), `"`)
	if s.output != formTable {
		s.say("revision %s", revision)
	}
	return s.printLines(got.body, [][]string{
		{"name", g.Name}, {"id", g.ID}, {"description", g.Description}, {"origin", g.Origin},
		{"members", strconv.Itoa(g.Members)}, {"grants", strconv.Itoa(g.Grants)},
		{"created at", moment(g.CreatedAt)}, {"created by", g.CreatedBy}, {"revision", revision},
	})
}

func (s *shell) groupShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show REF", Aliases: []string{"get"},
		Short:             "Show one group and its revision",
		Example:           "  muster admin group show loaders",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeGroup),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := c.groupID(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := c.fetch(ctx, groupsPath+"/"+id)
			if err != nil {
				return err
			}
			return s.printGroup(got)
		}),
	}
}

func (s *shell) groupCreateCommand() *cobra.Command {
	var description string
	var m mutation
	cmd := &cobra.Command{
		Use: "create NAME", Aliases: []string{"add"},
		Short: "Make a group",
		Long: `Make a group. To have the identity provider fill it, give it the whole path that
the group has there, such as /engineering/graph, or name it in access.roleMapping.`,
		Example: `  muster admin group create loaders --description 'pipelines that post rules'
  muster admin group create /engineering/graph --dry-run`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&description, "description", "", "what it is for")
	m.flags(cmd, false)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body := map[string]string{"name": args[0], "description": description}
		got, err := s.change(ctx, c, &m, http.MethodPost, groupsPath, body)
		if err != nil {
			return err
		}
		return s.printGroup(got)
	})
	return cmd
}

func (s *shell) groupRenameCommand() *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use:   "rename REF NAME",
		Short: "Give a group another name",
		Long: `Give a group another name. Members and grants stay; what the identity provider or
access.roleMapping call by the old name no longer finds it.`,
		Example:           "  muster admin group rename loaders pipelines --if-match 3",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: s.completeAccess(completeGroup),
	}
	m.flags(cmd, true)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		return s.patchGroup(ctx, c, &m, args[0], map[string]string{"name": args[1]})
	})
	return cmd
}

func (s *shell) groupDescribeCommand() *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use:               "describe REF TEXT",
		Short:             "Say what a group is for",
		Example:           "  muster admin group describe loaders 'pipelines that post rules'",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: s.completeAccess(completeGroup),
	}
	m.flags(cmd, true)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		return s.patchGroup(ctx, c, &m, args[0], map[string]string{"description": args[1]})
	})
	return cmd
}

func (s *shell) patchGroup(ctx context.Context, c *client, m *mutation, ref string, body map[string]string) error {
	id, err := c.groupID(ctx, ref)
	if err != nil {
		return err
	}
	got, err := s.change(ctx, c, m, http.MethodPatch, groupsPath+"/"+id, body)
	if err != nil {
		return err
	}
	return s.printGroup(got)
}

func (s *shell) groupDeleteCommand() *cobra.Command {
	var m mutation
	var yes bool
	cmd := &cobra.Command{
		Use: "delete REF", Aliases: []string{"rm"},
		Short: "Delete a group with its memberships and grants",
		Example: `  muster admin group delete loaders
  muster admin group delete loaders --yes --if-match 3`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeGroup),
	}
	m.flags(cmd, true)
	yesFlag(cmd, &yes)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := c.groupID(ctx, args[0])
		if err != nil {
			return err
		}
		if s.Asks && !yes && !m.dryRun {
			if err := s.confirmGroup(ctx, c, id); err != nil {
				return err
			}
		}
		if _, err := s.change(ctx, c, &m, http.MethodDelete, groupsPath+"/"+id, nil); err != nil {
			return err
		}
		return s.gone(&m, "deleted", "group", id)
	})
	return cmd
}

// confirmGroup asks whether to delete a group, and says what goes along.
func (s *shell) confirmGroup(ctx context.Context, c *client, id string) error {
	got, err := c.fetch(ctx, groupsPath+"/"+id)
	if err != nil {
		return err
	}
	g, err := readAs[groupRecord]("group", got.body)
	if err != nil {
		return err
	}
	return s.confirm(ctx, fmt.Sprintf("Delete the group %s with %d members and %d grants?", quote(g.Name), g.Members, g.Grants), false)
}

// printLines prints one record; its table has a line for each of its members.
func (s *shell) printLines(raw []byte, lines [][]string) error {
	return s.print(json.RawMessage(raw), func(w io.Writer) error {
		for _, line := range lines {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}
