package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/proto/fault"
)

const (
	groupsPath = "/api/admin/groups"
	grantsPath = "/api/admin/grants"
	usersPath  = "/api/admin/users"
	tablesPath = "/api/admin/registry"
)

// administer calls the API of access. Its errors say what to do about access.
func (c *client) administer(ctx context.Context, r request) (*answer, error) {
	got, err := c.call(ctx, r)
	return got, advised(err)
}

// advised replaces what to do about a refusal where access knows better.
func advised(err error) error {
	var t *trouble
	var f *fault.Error
	if !errors.As(err, &t) || !errors.As(err, &f) {
		return err
	}
	do, known := accessAdvice[f.Code]
	switch {
	case known:
	case f.Code == "denied":
		do = "administering takes membership in the group Admin: muster whoami shows yours"
	case f.Kind == fault.NotFound:
		do = "muster admin group, grant, user, token or table list shows what there is"
	default:
		return err
	}
	better := *t
	better.do = do
	return &better
}

// accessAdvice is what to do about the API's codes.
var accessAdvice = map[string]string{ //nolint:gosec // words about tokens, and none of them
	"user_not_found":       "muster admin user list shows who is known: whoever has logged in",
	"group_exists":         "muster admin group list shows it; names are compared exactly",
	"system_group":         "Admin and Everyone are Muster's own: leave their names, and make groups of your own",
	"grant_exists":         "muster admin grant list shows it; to change when it ends, delete it and make it anew",
	"already_member":       "muster admin group members shows who is one",
	"ambiguous_user":       "give the id of the one that you mean",
	"last_admin":           "first make somebody else an admin: muster admin group add-member Admin E-MAIL",
	"not_admin_source":     "end it where it comes from: idp_sync at the identity provider or in access.roleMapping; system_seed and break_glass end with muster admin user deactivate",
	"revision_mismatch":    "look at it again (muster admin group show or table show) and repeat the change for its present revision",
	"unknown_type":         "muster admin grant resource-types shows the types",
	"bad_resource_id":      "muster admin grant resource-types shows what ids of each type are",
	"bad_expires_at":       "give a time to come, such as --expires 30d, or leave it out",
	"scope_denied":         "ask for what you may reach yourself: muster admin user access, or /api/me/effective-access",
	"insufficient_scope":   "log in (muster login), or use a token with the scope admin",
	"login_token_required": "log in (muster login): a personal access token makes no others",
	"table_exists":         "muster admin table show shows it; change that one by muster admin table update",
	"table_name_taken":     "muster admin table list --name shows it: a source has one table of a name, whatever its case",
	"too_many_tables":      "delete some: muster admin table list",
	"too_many_tokens":      "revoke some: muster admin token list",
}

// listed reads a list of the API of access over as many pages as it takes, up to
// most entries, 0 meaning all; more tells whether there are others.
func (c *client) listed(ctx context.Context, path string, query url.Values, most int) (all []json.RawMessage, more bool, err error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	for {
		page := 1000
		if most > 0 {
			page = min(page, most-len(all))
		}
		query.Set("limit", strconv.Itoa(page))
		items, next, err := c.pageOf(ctx, path, query)
		if err != nil {
			return nil, false, advised(err)
		}
		all = append(all, items...)
		if next == "" || most > 0 && len(all) >= most {
			return all, next != "", nil
		}
		query.Set("cursor", next)
	}
}

// listing is a command that shows a list.
type listing struct {
	path     string
	query    url.Values
	headings []string
	// cells reads one entry into its columns.
	cells func(raw json.RawMessage) ([]string, error)
}

// limitFlag adds --limit to a command that lists.
func limitFlag(cmd *cobra.Command, limit *int) {
	cmd.Flags().IntVar(limit, "limit", 0, "at most so many; 0 for all of them")
}

// show reads a list, up to limit entries, and prints it.
func (s *shell) show(ctx context.Context, c *client, l listing, limit int) error {
	if limit < 0 {
		return usagef("give a number from 0", "--limit is %d", limit)
	}
	all, more, err := c.listed(ctx, l.path, l.query, limit)
	if err != nil {
		return err
	}
	if more {
		s.say("there are more than %d; --limit 0 lists all of them", limit)
	}
	return s.print(map[string]any{"items": nonNil(all), "nextCursor": ""}, func(w io.Writer) error {
		if err := row(w, l.headings...); err != nil {
			return err
		}
		for _, raw := range all {
			cells, err := l.cells(raw)
			if err != nil {
				return err
			}
			if err := row(w, cells...); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAs reads what the API gave; what names it in an error.
func readAs[T any](what string, raw []byte) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(raw, v); err != nil {
		return nil, unreadable(what, err)
	}
	return v, nil
}

// columns makes the cells of a listing out of what one entry holds.
func columns[T any](what string, of func(*T) []string) func(json.RawMessage) ([]string, error) {
	return func(raw json.RawMessage) ([]string, error) {
		v, err := readAs[T](what, raw)
		if err != nil {
			return nil, err
		}
		return of(v), nil
	}
}

// isID tells ids from names: a uuid as the API writes it, in any case.
func isID(ref string) bool {
	_, err := uuid.Parse(ref)
	return err == nil && len(ref) == len(uuid.Nil.String())
}

// mutation are the flags of commands that change something.
type mutation struct {
	dryRun  bool
	ifMatch string
}

// flags adds --dry-run and, for groups, which have revisions, --if-match.
func (m *mutation) flags(cmd *cobra.Command, revisions bool) {
	cmd.Flags().BoolVar(&m.dryRun, "dry-run", false, "say what the change would do, refusals included, and change nothing")
	if revisions {
		m.matchFlag(cmd, "group")
	}
}

// matchFlag adds --if-match for a noun that has revisions.
func (m *mutation) matchFlag(cmd *cobra.Command, noun string) {
	cmd.Flags().StringVar(&m.ifMatch, "if-match", "", "only while the "+noun+" has this revision (muster admin "+noun+" show)")
}

// change sends a change to the API of access. body may be nil.
func (s *shell) change(ctx context.Context, c *client, m *mutation, method, path string, body any) (*answer, error) {
	r := request{method: method, path: path, header: ifMatchHeader(m.ifMatch), query: url.Values{}}
	if m.dryRun {
		r.query.Set("dryRun", "true")
	}
	if body != nil {
		var err error
		if r.body, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	got, err := c.administer(ctx, r)
	if err == nil && m.dryRun {
		s.say("a dry run: nothing was changed")
	}
	return got, err
}

// gone says that something was deleted or ended, which the API answers with
// nothing. verb is what was done, such as "deleted".
func (s *shell) gone(m *mutation, verb, what, id string) error {
	done := map[string]any{"id": id, verb: !m.dryRun}
	if m.dryRun {
		done["dry_run"] = true
		verb = "would be " + verb
	}
	return s.print(done, func(w io.Writer) error { return row(w, what+" "+id+" "+verb) })
}

// moment writes a time of the API for a table; empty for none.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// fetch reads one record.
func (c *client) fetch(ctx context.Context, path string) (*answer, error) {
	return c.administer(ctx, request{method: http.MethodGet, path: path})
}
