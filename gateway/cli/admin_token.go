package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	tokensPath    = "/api/tokens"
	allTokensPath = "/api/admin/tokens"
)

// tokenRecord is a personal access token as the API gives it. Secret is there once,
// for whoever makes it; the owner in lists of everybody's.
type tokenRecord struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"`
	Scopes     []string   `json:"scopes"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	LastUsedIP string     `json:"last_used_ip"`
	RevokedAt  *time.Time `json:"revoked_at"`
	Secret     string     `json:"token"`
	Email      string     `json:"email"`
	Username   string     `json:"username"`
}

// state says whether a token is good.
func (t *tokenRecord) state(now time.Time) string {
	switch {
	case t.RevokedAt != nil:
		return "revoked"
	case t.ExpiresAt != nil && !now.Before(*t.ExpiresAt):
		return "expired"
	default:
		return "good"
	}
}

// lastUse is when and from where a token was last used, for one cell.
func (t *tokenRecord) lastUse() string {
	return strings.TrimSpace(moment(t.LastUsedAt) + " " + t.LastUsedIP)
}

func (s *shell) adminTokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Aliases: []string{"tokens"},
		Short:   "Make and revoke personal access tokens",
		Long: `Make and revoke personal access tokens: for programs that administer in your name
and cannot log in. They are your own and need no admin; with --all they are
everybody's, which does.

TOKEN stands for a token's id, or for its name where one good token has it.`,
		Example: `  TOKEN=$(muster admin token create ci --scope read)
  muster admin token list
  muster admin token revoke ci`,
	}
	cmd.AddCommand(s.tokenListCommand(), s.tokenCreateCommand(), s.tokenRevokeCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) tokenListCommand() *cobra.Command {
	var limit int
	var all bool
	var user string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List your tokens, or everybody's",
		Long:  `List your tokens, or everybody's: expired and revoked ones among them.`,
		Example: `  muster admin token list
  muster admin token list --all
  muster admin token list --user alice@example.org -o json`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&all, "all", false, "everybody's, by owner; needs an admin")
	cmd.Flags().StringVar(&user, "user", "", "those of this user, by e-mail address or id; needs an admin")
	limitFlag(cmd, &limit)
	s.completeFlag(cmd, "user", completeUser)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		l := listing{path: tokensPath, query: url.Values{}, headings: []string{"NAME", "ID", "STATE", "SCOPES", "EXPIRES", "LAST USED"}}
		if cmd.Flags().Changed("user") {
			all = true
			id, err := c.userID(ctx, user)
			if err != nil {
				return err
			}
			l.query.Set("user_id", id)
		}
		if all {
			l.path, l.headings = allTokensPath, append(l.headings, "OWNER")
		}
		l.cells = columns("token", func(t *tokenRecord) []string {
			now := time.Now()
			cells := []string{t.Name, t.ID, t.state(now), strings.Join(t.Scopes, ", "), ending(t.ExpiresAt, now), t.lastUse()}
			if all {
				cells = append(cells, t.owner())
			}
			return cells
		})
		return s.show(ctx, c, l, limit)
	})
	return cmd
}

func (t *tokenRecord) owner() string {
	if t.Email != "" {
		return t.Email
	}
	return t.Username
}

func (s *shell) tokenCreateCommand() *cobra.Command {
	var m mutation
	var scopes []string
	var expires string
	cmd := &cobra.Command{
		Use: "create NAME", Aliases: []string{"add"},
		Short: "Make a token and print it, this once",
		Long: `Make a token and print it, this once: it stands alone on standard output, and
everything else on standard error. Muster keeps its digest.

Scopes narrow what a token may: read (whatever you may, without changing anything),
admin (all that an admin may), or resources as TYPE:ID. It is never for more than you
have, and what you lose, it loses. A token is made with a login, never with another
token, and cannot ask the filter.`,
		Example: `  TOKEN=$(muster admin token create ci --scope read)
  muster admin token create nightly --scope rule_step:nightly --expires 30d
  muster admin token create backup --scope admin --expires never -o json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "read, admin or TYPE:ID; may be repeated (default read)")
	cmd.Flags().StringVar(&expires, "expires", "", "for how many days it is good, such as 30d, or never where that is allowed (default 90d)")
	m.flags(cmd, false)
	s.complete(cmd, "expires", "7d", "30d", "90d", "365d", "never")
	s.completeFlag(cmd, "scope", completeScope)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body := map[string]any{"name": args[0]}
		if len(scopes) > 0 {
			body["scopes"] = scopes
		}
		if err := expiry(cmd, expires, body); err != nil {
			return err
		}
		got, err := s.change(ctx, c, &m, http.MethodPost, tokensPath, body)
		if err != nil {
			return err
		}
		return s.printSecret(&m, got.body)
	})
	return cmd
}

// expiry puts into a body how long the token is to be good, when that was said.
func expiry(cmd *cobra.Command, text string, body map[string]any) error {
	if !cmd.Flags().Changed("expires") {
		return nil
	}
	if text == "never" {
		body["expires_in_days"] = nil
		return nil
	}
	n, ok := days(text)
	if !ok {
		return usagef("give a number of days such as 30d, or never", "--expires %s is neither", quote(text))
	}
	body["expires_in_days"] = n
	return nil
}

// printSecret prints a token that was just made: itself alone on standard output.
func (s *shell) printSecret(m *mutation, raw []byte) error {
	t, err := readAs[tokenRecord]("token", raw)
	if err != nil {
		return err
	}
	s.say("token %s (%s) for %s, good until %s; it is shown this once", quote(t.Name), t.ID, strings.Join(t.Scopes, ", "),
		ending(t.ExpiresAt, time.Now()))
	if m.dryRun {
		s.say("the token opens nothing, as it was not kept")
	}
	return s.print(json.RawMessage(raw), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, t.Secret)
		return err
	})
}

func (s *shell) tokenRevokeCommand() *cobra.Command {
	var m mutation
	var all, yes bool
	cmd := &cobra.Command{
		Use: "revoke TOKEN", Aliases: []string{"delete", "rm"},
		Short: "Revoke a token for good",
		Example: `  muster admin token revoke ci
  muster admin token revoke 0197a1f0-7c1e-7d11-9a55-1c2f6f1f8a10 --all --yes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeAccess(completeToken),
	}
	cmd.Flags().BoolVar(&all, "all", false, "look for it among everybody's; needs an admin")
	m.flags(cmd, false)
	yesFlag(cmd, &yes)
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		path := tokensPath
		if all {
			path = allTokensPath
		}
		id, err := c.tokenID(ctx, path, args[0])
		if err != nil {
			return err
		}
		if err := s.confirm(ctx, "Revoke the token "+quote(args[0])+" for good?", yes || m.dryRun); err != nil {
			return err
		}
		if _, err := s.change(ctx, c, &m, http.MethodDelete, path+"/"+id, nil); err != nil {
			return err
		}
		return s.gone(&m, "revoked", "token", id)
	})
	return cmd
}

// tokenID finds the id of a TOKEN in a list: an id, or the name of exactly one good
// token.
func (c *client) tokenID(ctx context.Context, path, ref string) (string, error) {
	if isID(ref) {
		return strings.ToLower(ref), nil
	}
	found, _, err := c.listed(ctx, path, nil, 0)
	if err != nil {
		return "", err
	}
	var ids, shown []string
	for _, raw := range found {
		t, err := readAs[tokenRecord]("token", raw)
		if err != nil {
			return "", err
		}
		if t.Name != ref || t.state(time.Now()) != "good" {
			continue
		}
		ids = append(ids, t.ID)
		shown = append(shown, strings.TrimSpace(t.ID+" "+t.owner()))
	}
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return "", &trouble{
			code: ExitNotFound, what: "no good token has the name " + quote(ref),
			where: c.base.String(), do: "muster admin token list shows yours; with --all, everybody's are looked through",
		}
	default:
		return "", &trouble{
			code: ExitUsage, what: fmt.Sprintf("%d good tokens have the name %s", len(ids), quote(ref)),
			where: c.base.String(), do: "use the id of one of them: " + strings.Join(shown, ", "),
		}
	}
}
