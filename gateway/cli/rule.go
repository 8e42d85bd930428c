package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const rulesPath = "/api/graph-access-rule/accessRules"

// ruleRecord is a rule as the API gives it. raw is what it gave.
type ruleRecord struct {
	ID       int64    `json:"id"`
	Name     string   `json:"name"`
	Active   bool     `json:"active"`
	Users    []string `json:"users"`
	Groups   []string `json:"groups"`
	Clients  []string `json:"clients"`
	Entities []struct {
		ID         int64   `json:"id"`
		Properties []int64 `json:"properties"`
	} `json:"entities"`
	Relationships []int64 `json:"relationships"`
	Conditions    []struct {
		Property int64  `json:"PropertyId"`
		Value    string `json:"Value"`
	} `json:"propertyValueConditions"`
	Functions []int64      `json:"functions"`
	State     string       `json:"state"`
	Orphans   *ruleOrphans `json:"orphans"`
	CreatedBy struct {
		Username string `json:"username"`
		Subject  string `json:"subject"`
		Step     string `json:"step"`
	} `json:"createdBy"`
	Run       string `json:"run"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
	Revision  int64  `json:"revision"`

	raw json.RawMessage
}

// ruleOrphans are what a rule names and the model does not have.
type ruleOrphans struct {
	Entities      []int64 `json:"entities"`
	Properties    []int64 `json:"properties"`
	Relationships []int64 `json:"relationships"`
	Silent        bool    `json:"silent"`
}

func (o *ruleOrphans) text() string {
	if o == nil {
		return ""
	}
	var parts []string
	for _, p := range []struct {
		what string
		ids  []int64
	}{{"entities", o.Entities}, {"properties", o.Properties}, {"relationships", o.Relationships}} {
		if len(p.ids) > 0 {
			parts = append(parts, p.what+" "+joinIDs(p.ids))
		}
	}
	text := strings.Join(parts, "; ")
	if o.Silent {
		text += " (a condition cannot be tested: the whole rule grants nothing)"
	}
	return text
}

func joinIDs(ids []int64) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(out, ",")
}

func (s *shell) ruleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rule",
		Aliases: []string{"rules"},
		Short:   "Post, list and test Graph Access Rules",
		Long: `Post, list and test Graph Access Rules: who may see which entities, properties and
relationships of the graph. What no rule shows is not visible.

REF stands for a rule's id or its name.`,
		Example: `  muster rule post rules.json
  muster rule list --user alice
  muster rule check graph.json --username alice --group /staff`,
	}
	cmd.AddCommand(
		s.ruleListCommand(), s.ruleGetCommand(), s.rulePostCommand(), s.ruleCommitCommand(), s.rulePutCommand(),
		s.ruleActivateCommand(true), s.ruleActivateCommand(false), s.ruleDeleteCommand(), s.ruleCheckCommand(),
		s.ruleFunctionCommand(),
	)
	s.group(cmd)
	return cmd
}

func readRule(raw []byte) (*ruleRecord, error) {
	r := &ruleRecord{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, unreadable("rule", err)
	}
	return r, nil
}

// rules returns up to limit rules, over as many pages as that takes; 0 means all.
func (c *client) rules(ctx context.Context, query url.Values, limit int) ([]*ruleRecord, bool, error) {
	var all []*ruleRecord
	for {
		page := 1000
		if limit > 0 {
			page = min(page, limit-len(all))
		}
		query.Set("limit", strconv.Itoa(page))
		got, err := c.call(ctx, request{method: http.MethodGet, path: rulesPath, query: query})
		if err != nil {
			return nil, false, err
		}
		var answer struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"nextCursor"`
		}
		if err := json.Unmarshal(got.body, &answer); err != nil {
			return nil, false, unreadable("list", err)
		}
		for _, raw := range answer.Items {
			r, err := readRule(raw)
			if err != nil {
				return nil, false, err
			}
			all = append(all, r)
		}
		if answer.Next == "" || limit > 0 && len(all) >= limit {
			return all, answer.Next != "", nil
		}
		query.Set("cursor", answer.Next)
	}
}

// rule finds the rule that a REF names: by its name, or by its id.
func (c *client) rule(ctx context.Context, ref string) (*ruleRecord, error) {
	query := url.Values{"namePrefix": {ref}}
	for {
		found, more, err := c.rules(ctx, query, 1000)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(found, func(r *ruleRecord) bool { return r.Name == ref }); i >= 0 {
			return found[i], nil
		}
		if !more {
			break
		}
	}
	if id, err := strconv.ParseInt(ref, 10, 64); err == nil && id > 0 {
		got, err := c.call(ctx, request{method: http.MethodGet, path: rulesPath + "/" + strconv.FormatInt(id, 10)})
		if err != nil {
			return nil, err
		}
		return readRule(got.body)
	}
	return nil, &trouble{
		code: ExitNotFound, what: "no rule has the name " + quote(ref),
		where: c.base.String(), do: "muster rule list shows what there is",
	}
}

func (s *shell) ruleListCommand() *cobra.Command {
	var prefix, user, group, clientID, createdBy, state, entity string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the rules",
		Example: `  muster rule list --user alice
  muster rule list --created-by me --limit 20
  muster rule list --state orphaned -o json`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		if limit < 0 {
			return usagef("0 lists all", "--limit %d is below 0", limit)
		}
		query := url.Values{}
		for name, value := range map[string]string{
			"namePrefix": prefix, "user": user, "group": group, "client": clientID, "createdBy": createdBy,
			"entity": entity, "state": state,
		} {
			if value != "" {
				query.Set(name, value)
			}
		}
		stop := s.progress("listing rules")
		all, more, err := c.rules(ctx, query, limit)
		stop()
		if err != nil {
			return err
		}
		if more {
			s.say("there are more than %d rules; --limit 0 lists all of them", limit)
		}
		return s.printRules(all)
	})
	flags := cmd.Flags()
	flags.StringVar(&prefix, "name-prefix", "", "only rules whose name begins like this")
	flags.StringVar(&user, "user", "", "only rules that name this user")
	flags.StringVar(&group, "group", "", "only rules that name this group (its whole path)")
	flags.StringVar(&clientID, "client", "", "only rules that name this client")
	flags.StringVar(&createdBy, "created-by", "", "only rules of this creator (user name or subject); me for your own")
	flags.StringVar(&entity, "entity", "", "only rules that list this entity (id)")
	flags.StringVar(&state, "state", "", "only rules in this state: active, inactive, orphaned or staged")
	flags.IntVar(&limit, "limit", 1000, "list at most this many; 0 lists all")
	s.complete(cmd, "state", "active", "inactive", "orphaned", "staged")
	s.complete(cmd, "created-by", "me")
	return cmd
}

func (s *shell) printRules(all []*ruleRecord) error {
	raws := make([]json.RawMessage, len(all))
	for i, r := range all {
		raws[i] = r.raw
	}
	return s.print(map[string]any{"items": raws, "nextCursor": ""}, func(w io.Writer) error {
		if err := row(w, "NAME", "ID", "STATE", "SUBJECTS", "SHOWS", "WHEN", "CREATED BY"); err != nil {
			return err
		}
		for _, r := range all {
			if err := row(w, r.Name, strconv.FormatInt(r.ID, 10), r.State, r.subjects(), r.shows(), r.when(), r.creator()); err != nil {
				return err
			}
		}
		return nil
	})
}

// subjects lists whom a rule is for; long lists are cut.
func (r *ruleRecord) subjects() string {
	var all []string
	for _, k := range []struct {
		what  string
		names []string
	}{{"user ", r.Users}, {"group ", r.Groups}, {"client ", r.Clients}} {
		for _, n := range k.names {
			all = append(all, k.what+n)
		}
	}
	return shorten(all)
}

func shorten(all []string) string {
	const show = 3
	if len(all) > show {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:show], ", "), len(all)-show)
	}
	return strings.Join(all, ", ")
}

func (r *ruleRecord) shows() string {
	var all []string
	for _, e := range r.Entities {
		all = append(all, fmt.Sprintf("entity %d (%s)", e.ID, joinIDs(e.Properties)))
	}
	for _, id := range r.Relationships {
		all = append(all, fmt.Sprintf("relationship %d", id))
	}
	for _, id := range r.Functions {
		all = append(all, fmt.Sprintf("function %d", id))
	}
	return shorten(all)
}

func (r *ruleRecord) when() string {
	var all []string
	for _, c := range r.Conditions {
		all = append(all, fmt.Sprintf("%d = %s", c.Property, quote(c.Value)))
	}
	return shorten(all)
}

func (r *ruleRecord) creator() string {
	who := r.CreatedBy.Username
	if who == "" {
		who = r.CreatedBy.Subject
	}
	if r.CreatedBy.Step != "" {
		who += " in " + r.CreatedBy.Step
	}
	return who
}

func (s *shell) ruleGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get REF", Aliases: []string{"show"},
		Short:   "Show one rule",
		Example: "  muster rule get staff-see-benchmarks -o json",
		Args:    cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			r, err := c.rule(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printRule(r)
		}),
	}
}

func (s *shell) printRule(r *ruleRecord) error {
	return s.print(r.raw, func(w io.Writer) error {
		for _, line := range [][]string{
			{"name", r.Name}, {"id", strconv.FormatInt(r.ID, 10)}, {"state", r.State}, {"orphans", r.Orphans.text()},
			{"users", strings.Join(r.Users, ", ")}, {"groups", strings.Join(r.Groups, ", ")}, {"clients", strings.Join(r.Clients, ", ")},
			{"shows", r.shows()}, {"when", r.when()}, {"created by", r.creator()}, {"run", r.Run},
			{"created at", r.CreatedAt}, {"updated at", r.UpdatedAt}, {"revision", strconv.FormatInt(r.Revision, 10)},
		} {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}
