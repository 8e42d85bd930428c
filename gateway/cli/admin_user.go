package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// userRecord is a user as the API gives it.
type userRecord struct {
	ID            string     `json:"id"`
	Issuer        string     `json:"issuer"`
	Subject       string     `json:"subject"`
	Email         string     `json:"email"`
	Username      string     `json:"username"`
	Name          string     `json:"name"`
	Active        bool       `json:"active"`
	IsAdmin       bool       `json:"is_admin"`
	DeactivatedAt *time.Time `json:"deactivated_at"`
	DeactivatedBy string     `json:"deactivated_by"`
	SyncedAt      *time.Time `json:"synced_at"`
	CreatedAt     *time.Time `json:"created_at"`
	UpdatedAt     *time.Time `json:"updated_at"`
}

func (s *shell) adminUserCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "user",
		Aliases: []string{"users"},
		Short:   "Look after users",
		Long: `Look after users: people and service accounts, who are known from their first
login on, or by an e-mail address from before it.

USER stands for an e-mail address, in any case, or an id. Whatever has no @ in it is
taken for an id.`,
		Example: `  muster admin user list --search service-account-
  muster admin user access alice@example.org
  muster admin user deactivate bob@example.org`,
	}
	cmd.AddCommand(
		s.userListCommand(), s.userShowCommand(), s.userGroupsCommand(), s.userAccessCommand(),
		s.userActivateCommand(false), s.userActivateCommand(true),
	)
	s.group(cmd)
	return cmd
}

// userID finds the id of a USER: an id, or the address of exactly one user who is
// active, or of exactly one at all. It is what the API does for a new member.
func (c *client) userID(ctx context.Context, ref string) (string, error) {
	if isID(ref) {
		return strings.ToLower(ref), nil
	}
	if !strings.Contains(ref, "@") {
		return "", &trouble{
			code: ExitNotFound, what: quote(ref) + " is neither an e-mail address nor the id of a user", where: c.base.String(),
			do: "muster admin user list --username shows the id behind a user name",
		}
	}
	found, _, err := c.listed(ctx, usersPath, url.Values{"email": {ref}}, 0)
	if err != nil {
		return "", err
	}
	var all, active []string
	for _, raw := range found {
		u, err := readAs[userRecord]("user", raw)
		if err != nil {
			return "", err
		}
		all = append(all, u.ID)
		if u.Active {
			active = append(active, u.ID)
		}
	}
	switch {
	case len(active) == 1:
		return active[0], nil
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return "", &trouble{
			code: ExitNotFound, what: "no user has the e-mail address " + quote(ref),
			where: c.base.String(), do: accessAdvice["user_not_found"],
		}
	default:
		return "", &trouble{
			code: ExitUsage, what: fmt.Sprintf("%d users have the e-mail address %s", len(all), quote(ref)),
			where: c.base.String(), do: "use the id of one of them: " + strings.Join(all, ", "),
		}
	}
}

func (s *shell) userListCommand() *cobra.Command {
	var limit int
	var search, username, email, active string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the users, those who came first before the others",
		Example: `  muster admin user list --search example.org
  muster admin user list --username service-account-rule-loader -o json
  muster admin user list --active=false`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&search, "search", "", "only those with this in their user name, e-mail address or name, in any case")
	flags.StringVar(&username, "username", "", "only who has this user name, in any case")
	flags.StringVar(&email, "email", "", "only those with this e-mail address, in any case")
	flags.StringVar(&active, "active", "", "only active users (true) or deactivated ones (false)")
	limitFlag(cmd, &limit)
	s.complete(cmd, "active", "true", "false")
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		if !slices.Contains([]string{"", "true", "false"}, active) {
			return usagef("leave it out to see both", "--active %s is neither true nor false", quote(active))
		}
		query := url.Values{}
		for name, value := range map[string]string{"search": search, "username": username, "email": email, "active": active} {
			if value != "" {
				query.Set(name, value)
			}
		}
		return s.show(ctx, c, listing{
			path: usersPath, query: query, headings: []string{"USER", "E-MAIL", "ID", "ACTIVE", "ADMIN", "NAME"},
			cells: columns("user", func(u *userRecord) []string {
				return []string{u.Username, u.Email, u.ID, yesNo(u.Active), yesNo(u.IsAdmin), u.Name}
			}),
		}, limit)
	})
	return cmd
}

func (s *shell) userShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show USER", Aliases: []string{"get"},
		Short:             "Show one user",
		Example:           "  muster admin user show alice@example.org",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeUser),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := c.userID(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := c.fetch(ctx, usersPath+"/"+id)
			if err != nil {
				return err
			}
			return s.printUser(got.body)
		}),
	}
}

func (s *shell) printUser(raw []byte) error {
	u, err := readAs[userRecord]("user", raw)
	if err != nil {
		return err
	}
	return s.printLines(raw, [][]string{
		{"user", u.Username}, {"e-mail", u.Email}, {"name", u.Name}, {"id", u.ID}, {"issuer", u.Issuer}, {"subject", u.Subject},
		{"active", yesNo(u.Active)}, {"admin", yesNo(u.IsAdmin)},
		{"deactivated at", moment(u.DeactivatedAt)}, {"deactivated by", u.DeactivatedBy},
		{"groups from", moment(u.SyncedAt)}, {"created at", moment(u.CreatedAt)}, {"updated at", moment(u.UpdatedAt)},
	})
}

// membershipRecord is one membership of a user as the API gives it.
type membershipRecord struct {
	Group   string     `json:"group_name"`
	ID      string     `json:"group_id"`
	Source  string     `json:"source"`
	AddedAt *time.Time `json:"added_at"`
	AddedBy string     `json:"added_by"`
}

func (s *shell) userGroupsCommand() *cobra.Command {
	return s.ofUser(&cobra.Command{
		Use:   "groups USER",
		Short: "List the groups that a user is a member of, and by which source",
		Example: `  muster admin user groups alice@example.org
  muster admin user groups 0197a1f0-7c1e-7d11-9a55-1c2f6f1f8a10 -o json`,
	}, "/memberships", listing{
		headings: []string{"GROUP", "ID", "SOURCE", "ADDED AT", "ADDED BY"},
		cells: columns("membership", func(m *membershipRecord) []string {
			return []string{m.Group, m.ID, m.Source, moment(m.AddedAt), m.AddedBy}
		}),
	})
}

// reachRecord is a resource that somebody may reach, as the API gives it.
type reachRecord struct {
	Type     string     `json:"resource_type"`
	Resource string     `json:"resource_id"`
	Via      []viaGroup `json:"via_groups"`
}

func (s *shell) userAccessCommand() *cobra.Command {
	return s.ofUser(&cobra.Command{
		Use:   "access USER",
		Short: "List what a user may reach, and through which groups",
		Long: `List what a user may reach, and through which groups, by the stored memberships.
Nothing is listed for admins, who reach everything (muster admin user show tells who
is one), and for deactivated users, who reach nothing.`,
		Example: "  muster admin user access alice@example.org",
	}, "/effective-access", listing{
		headings: []string{"TYPE", "RESOURCE", "THROUGH"},
		cells: columns("list", func(r *reachRecord) []string {
			return []string{r.Type, r.Resource, namesOf(r.Via)}
		}),
	})
}

// ofUser completes a command that lists something of one user.
func (s *shell) ofUser(cmd *cobra.Command, part string, l listing) *cobra.Command {
	var limit int
	limitFlag(cmd, &limit)
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = s.completeAccess(completeUser)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := c.userID(ctx, args[0])
		if err != nil {
			return err
		}
		l.path = usersPath + "/" + id + part
		return s.show(ctx, c, l, limit)
	})
	return cmd
}

func (s *shell) userActivateCommand(active bool) *cobra.Command {
	var m mutation
	var yes bool
	cmd := &cobra.Command{
		Use:   "activate USER",
		Short: "Let a deactivated user in again",
		Long: `Let a deactivated user in again. Memberships are as they were; personal access
tokens stay revoked.`,
		Example:           "  muster admin user activate bob@example.org",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeUser),
	}
	if !active {
		cmd.Use, cmd.Short = "deactivate USER", "Shut a user out, and revoke their personal access tokens for good"
		cmd.Long = `Shut a user out until muster admin user activate, and revoke their personal access
tokens for good. The last active admin stays (last_admin).`
		cmd.Example = "  muster admin user deactivate bob@example.org --yes"
		yesFlag(cmd, &yes)
	}
	m.flags(cmd, false)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := c.userID(ctx, args[0])
		if err != nil {
			return err
		}
		verb := "/activate"
		if !active {
			verb = "/deactivate"
			question := "Shut out " + quote(args[0]) + " and revoke their tokens for good?"
			if err := s.confirm(ctx, question, yes || m.dryRun); err != nil {
				return err
			}
		}
		got, err := s.change(ctx, c, &m, http.MethodPost, usersPath+"/"+id+verb, nil)
		if err != nil {
			return err
		}
		return s.printUser(got.body)
	})
	return cmd
}
