package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// memberRecord is one membership of a group as the API gives it.
type memberRecord struct {
	UserID   string     `json:"user_id"`
	Email    string     `json:"email"`
	Username string     `json:"username"`
	Active   bool       `json:"active"`
	Source   string     `json:"source"`
	AddedAt  *time.Time `json:"added_at"`
	AddedBy  string     `json:"added_by"`
}

func memberHeadings() []string {
	return []string{"USER", "E-MAIL", "ID", "ACTIVE", "SOURCE", "ADDED AT", "ADDED BY"}
}

func (r *memberRecord) cells() []string {
	return []string{r.Username, r.Email, r.UserID, yesNo(r.Active), r.Source, moment(r.AddedAt), r.AddedBy}
}

func (s *shell) membersCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "members REF",
		Short: "List who is a member of a group, and by which source",
		Long: `List who is a member of a group, and by which source: whoever is one by several
stands there for each. admin is somebody with this command, idp_sync the identity
provider, system_seed and break_glass what they are called.`,
		Example: `  muster admin group members Admin
  muster admin group members loaders -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeGroup),
	}
	limitFlag(cmd, &limit)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := c.groupID(ctx, args[0])
		if err != nil {
			return err
		}
		return s.show(ctx, c, listing{
			path: groupsPath + "/" + id + "/members", headings: memberHeadings(), cells: columns("member", (*memberRecord).cells),
		}, limit)
	})
	return cmd
}

func (s *shell) addMemberCommand() *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use:   "add-member REF USER",
		Short: "Make a user a member of a group",
		Long: `Make a user a member of a group. USER is an e-mail address or an id; users are
known from their first login on. Service accounts have an id and no address
(muster admin user list --search service-account-).`,
		Example: `  muster admin group add-member loaders alice@example.org
  muster admin group add-member loaders 0197a1f0-7c1e-7d11-9a55-1c2f6f1f8a10 --dry-run`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: s.completeAccess(completeGroup, completeUser),
	}
	m.flags(cmd, true)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		id, err := c.groupID(ctx, args[0])
		if err != nil {
			return err
		}
		got, err := s.change(ctx, c, &m, http.MethodPost, groupsPath+"/"+id+"/members", map[string]string{"email": args[1]})
		if err != nil {
			return err
		}
		r, err := readAs[memberRecord]("member", got.body)
		if err != nil {
			return err
		}
		return s.print(json.RawMessage(got.body), func(w io.Writer) error {
			if err := row(w, memberHeadings()...); err != nil {
				return err
			}
			return row(w, r.cells()...)
		})
	})
	return cmd
}

// removed is what came of taking a user out of a group.
type removed struct {
	GroupID   string   `json:"group_id"`
	UserID    string   `json:"user_id"`
	Remaining []string `json:"remaining_sources"`
	DryRun    bool     `json:"dry_run,omitempty"`
}

func (s *shell) removeMemberCommand() *cobra.Command {
	var m mutation
	cmd := &cobra.Command{
		Use:   "remove-member REF USER",
		Short: "End a membership that an admin has made",
		Long: `End a membership that an admin has made. Whoever is a member by another source as
well stays one, which a warning says; a membership that only other sources give is
refused (not_admin_source), and so is taking out the last admin (last_admin).`,
		Example:           "  muster admin group remove-member loaders alice@example.org",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: s.completeAccess(completeGroup, completeUser),
	}
	m.flags(cmd, true)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		group, err := c.groupID(ctx, args[0])
		if err != nil {
			return err
		}
		user, err := c.userID(ctx, args[1])
		if err != nil {
			return err
		}
		got, err := s.change(ctx, c, &m, http.MethodDelete, groupsPath+"/"+group+"/members/"+user, nil)
		if err != nil {
			return err
		}
		done := removed{GroupID: group, UserID: user, Remaining: []string{}, DryRun: m.dryRun}
		if len(got.body) > 0 {
			if err := json.Unmarshal(got.body, &done); err != nil {
				return unreadable("answer", err)
			}
		}
		if len(done.Remaining) > 0 {
			s.say("warning: %s is still a member, by %s", args[1], strings.Join(done.Remaining, ", "))
		}
		return s.print(done, func(w io.Writer) error {
			verb := "removed"
			if m.dryRun {
				verb = "would be removed"
			}
			return row(w, "membership of "+user+" "+verb)
		})
	})
	return cmd
}
