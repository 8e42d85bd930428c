package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// grantRecord is a grant as the API gives it.
type grantRecord struct {
	ID         string     `json:"id"`
	GroupName  string     `json:"group_name"`
	Type       string     `json:"resource_type"`
	Resource   string     `json:"resource_id"`
	ExpiresAt  *time.Time `json:"expires_at"`
	AssignedAt *time.Time `json:"assigned_at"`
	AssignedBy string     `json:"assigned_by"`
}

func grantHeadings() []string {
	return []string{"ID", "GROUP", "TYPE", "RESOURCE", "EXPIRES", "ASSIGNED AT", "ASSIGNED BY"}
}

func (g *grantRecord) cells() []string {
	return []string{g.ID, g.GroupName, g.Type, g.Resource, ending(g.ExpiresAt, time.Now()), moment(g.AssignedAt), g.AssignedBy}
}

// ending says when something ends, and that it has.
func ending(t *time.Time, now time.Time) string {
	switch {
	case t == nil:
		return "never"
	case !now.Before(*t):
		return moment(t) + " (expired)"
	default:
		return moment(t)
	}
}

func (s *shell) adminGrantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "grant",
		Aliases: []string{"grants"},
		Short:   "Say what the members of a group may reach",
		Long: `Say what the members of a group may reach: a grant names a type of resources and
one of them, or * for all where the type allows it. muster admin grant
resource-types shows the types and what their ids are.

GROUP stands for a group's id or its name.`,
		Example: `  muster admin grant create loaders graph_rules write
  muster admin grant create oncall worker '*' --expires 12h
  muster admin grant who-can rule_step nightly`,
	}
	cmd.AddCommand(
		s.grantListCommand(), s.grantCreateCommand(), s.grantDeleteCommand(), s.resourceTypesCommand(), s.whoCanCommand(),
	)
	s.group(cmd)
	return cmd
}

func (s *shell) grantListCommand() *cobra.Command {
	var limit int
	var group, typ, resource string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the grants",
		Long:  `List the grants. What has expired stands there until it is deleted, and opens nothing.`,
		Example: `  muster admin grant list
  muster admin grant list --group loaders
  muster admin grant list --type rule_step --resource nightly -o json`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&group, "group", "", "only those of this group")
	flags.StringVar(&typ, "type", "", "only those on resources of this type")
	flags.StringVar(&resource, "resource", "", "only those on this id, which is compared exactly")
	limitFlag(cmd, &limit)
	s.completeFlag(cmd, "group", completeGroup)
	s.completeFlag(cmd, "type", completeType)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		query := url.Values{}
		if typ != "" {
			query.Set("resource_type", typ)
		}
		if resource != "" {
			query.Set("resource_id", resource)
		}
		if cmd.Flags().Changed("group") {
			id, err := c.groupID(ctx, group)
			if err != nil {
				return err
			}
			query.Set("group_id", id)
		}
		return s.show(ctx, c, listing{
			path: grantsPath, query: query, headings: grantHeadings(), cells: columns("grant", (*grantRecord).cells),
		}, limit)
	})
	return cmd
}

func (s *shell) grantCreateCommand() *cobra.Command {
	var m mutation
	var expires string
	cmd := &cobra.Command{
		Use: "create GROUP TYPE RESOURCE", Aliases: []string{"add"},
		Short: "Grant a resource to a group",
		Long: `Grant a resource to a group. The resource need not exist: a grant on a step or a
worker may be there before it is. A grant does not change; to end it earlier or
later, delete it and make it anew.`,
		Example: `  muster admin grant create loaders graph_rules write
  muster admin grant create oncall worker '*' --expires 12h
  muster admin grant create pipelines rule_step nightly --expires 2027-01-31T00:00:00Z --dry-run`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: s.completeAccess(completeGroup, completeType, completeResource),
	}
	cmd.Flags().StringVar(&expires, "expires", "never", "when it ends: a time such as 2027-01-31T00:00:00Z, or after so long, such as 12h or 30d")
	m.flags(cmd, false)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		end, err := endOf(expires, time.Now())
		if err != nil {
			return err
		}
		id, err := c.groupID(ctx, args[0])
		if err != nil {
			return err
		}
		body := map[string]any{"group_id": id, "resource_type": args[1], "resource_id": args[2], "expires_at": end}
		got, err := s.change(ctx, c, &m, http.MethodPost, grantsPath, body)
		if err != nil {
			return err
		}
		g, err := readAs[grantRecord]("grant", got.body)
		if err != nil {
			return err
		}
		return s.print(json.RawMessage(got.body), func(w io.Writer) error {
			if err := row(w, grantHeadings()...); err != nil {
				return err
			}
			return row(w, g.cells()...)
		})
	})
	return cmd
}

var wholeDays = regexp.MustCompile(`^[0-9]{1,6}d$`)

// days reads a number of days, such as 90d.
func days(text string) (int, bool) {
	if !wholeDays.MatchString(text) {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	return n, err == nil
}

// endOf reads when something ends; nil means never.
func endOf(text string, now time.Time) (*time.Time, error) {
	if text == "never" {
		return nil, nil
	}
	end, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		span, spanErr := time.ParseDuration(text)
		if n, ok := days(text); ok {
			span, spanErr = time.Duration(n)*24*time.Hour, nil
		}
		if spanErr != nil || span <= 0 {
			return nil, usagef("give a time such as 2027-01-31T00:00:00Z, a time from now such as 12h or 30d, or never",
				"--expires %s is none of these", quote(text))
		}
		end = now.Add(span)
	}
	end = end.UTC()
	return &end, nil
}

func (s *shell) grantDeleteCommand() *cobra.Command {
	var m mutation
	var yes bool
	cmd := &cobra.Command{
		Use: "delete ID | GROUP TYPE RESOURCE", Aliases: []string{"rm"},
		Short: "Take a grant away, by its id or by what it says",
		Example: `  muster admin grant delete loaders graph_rules write
  muster admin grant delete 0197a1f0-7c1e-7d11-9a55-1c2f6f1f8a10 --yes`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: s.completeAccess(completeGroup, completeType, completeResource),
	}
	m.flags(cmd, false)
	yesFlag(cmd, &yes)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		var id string
		var err error
		switch {
		case len(args) == 1 && isID(args[0]):
			id = args[0]
		case len(args) == 3:
			if id, err = c.grantID(ctx, args[0], args[1], args[2]); err != nil {
				return err
			}
		default:
			return usagef("muster admin grant list shows ids, groups, types and resources", "give an id, or a group, a type and a resource")
		}
		if !m.dryRun {
			if err := s.confirm(ctx, "Delete the grant "+strings.Join(args, " ")+"?", yes); err != nil {
				return err
			}
		}
		if _, err := s.change(ctx, c, &m, http.MethodDelete, grantsPath+"/"+id, nil); err != nil {
			return err
		}
		return s.gone(&m, "deleted", "grant", id)
	})
	return cmd
}

// grantID finds the grant of a group on one resource. The API keeps uuids in lower
// case.
func (c *client) grantID(ctx context.Context, group, typ, resource string) (string, error) {
	of, err := c.groupID(ctx, group)
	if err != nil {
		return "", err
	}
	forms := []string{resource}
	if isID(resource) {
		forms = append(forms, strings.ToLower(resource))
	}
	for _, form := range forms {
		query := url.Values{"group_id": {of}, "resource_type": {typ}, "resource_id": {form}}
		found, _, err := c.listed(ctx, grantsPath, query, 1)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			g, err := readAs[grantRecord]("grant", found[0])
			if err != nil {
				return "", err
			}
			return g.ID, nil
		}
	}
	return "", &trouble{
		code: ExitNotFound, what: "the group " + quote(group) + " has no grant on " + typ + " " + quote(resource),
		where: c.base.String(), do: "muster admin grant list --group shows what it has",
	}
}

// holderRecord is somebody who may reach a resource, as the API gives it.
type holderRecord struct {
	UserID   string     `json:"user_id"`
	Email    string     `json:"email"`
	Username string     `json:"username"`
	Via      []viaGroup `json:"via_groups"`
}

type viaGroup struct {
	Name string `json:"group_name"`
}

func namesOf(all []viaGroup) string {
	names := make([]string, len(all))
	for i, g := range all {
		names[i] = g.Name
	}
	return strings.Join(names, ", ")
}

func (s *shell) whoCanCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "who-can TYPE RESOURCE",
		Short: "List who may reach a resource, and through which groups",
		Long: `List who may reach a resource, and through which groups: the active users whose
stored memberships open it, admins among them.`,
		Example: `  muster admin grant who-can rule_step nightly
  muster admin grant who-can graph_rules write -o json`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: s.completeAccess(completeType, completeResource),
	}
	limitFlag(cmd, &limit)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		return s.show(ctx, c, listing{
			path: "/api/admin/who-can", query: url.Values{"resource_type": {args[0]}, "resource_id": {args[1]}},
			headings: []string{"USER", "E-MAIL", "ID", "THROUGH"},
			cells: columns("list", func(h *holderRecord) []string {
				return []string{h.Username, h.Email, h.UserID, namesOf(h.Via)}
			}),
		}, limit)
	})
	return cmd
}

// typeRecord is a type of resources as the API gives it.
type typeRecord struct {
	Key         string `json:"key"`
	Description string `json:"description"`
	IDFormat    string `json:"id_format"`
	Wildcard    bool   `json:"wildcard"`
}

const typesPath = "/api/admin/resource-types"

func (s *shell) resourceTypesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resource-types", Aliases: []string{"types"},
		Short:   "List what can be granted: types, what their ids are, and whether * stands for all",
		Example: "  muster admin grant resource-types",
		Args:    cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client, _ []string) error {
			got, err := c.fetch(ctx, typesPath)
			if err != nil {
				return err
			}
			page, err := readAs[struct {
				Items []typeRecord `json:"items"`
			}]("list", got.body)
			if err != nil {
				return err
			}
			return s.print(json.RawMessage(got.body), func(w io.Writer) error {
				if err := row(w, "TYPE", "IDS", "ALL BY *", "WHAT IT OPENS"); err != nil {
					return err
				}
				for _, t := range page.Items {
					if err := row(w, t.Key, t.IDFormat, yesNo(t.Wildcard), t.Description); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}
