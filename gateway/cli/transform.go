package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const stepsPath = "/api/rule-transformations"

// stepRecord is a step as the API gives it. raw is what it gave.
type stepRecord struct {
	Name   string `json:"name"`
	Worker string `json:"worker"`
	Client struct {
		ID         string `json:"id"`
		SecretFile string `json:"secretFile"`
	} `json:"client"`
	Users         json.RawMessage `json:"users"`
	Groups        json.RawMessage `json:"groups"`
	Clients       json.RawMessage `json:"clients"`
	Entities      json.RawMessage `json:"entities"`
	Relationships json.RawMessage `json:"relationships"`
	Timeout       string          `json:"timeout"`
	Retries       int             `json:"retries"`
	CreatedBy     string          `json:"createdBy"`
	UpdatedAt     time.Time       `json:"updatedAt"`
	Revision      int64           `json:"revision"`

	raw json.RawMessage
}

func (s *shell) transformCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "transform",
		Aliases: []string{"transformation", "transformations"},
		Short:   "Set up rule transformations and run them",
		Long: `Set up rule transformations and run them: steps that give a worker the users,
groups, clients and the graph model, and have it post Graph Access Rules.`,
		Example: `  muster transform put nightly --worker loader --client rule-loader --secret-file rule-loader --users all --entities all
  muster transform run nightly --wait
  muster transform runs nightly`,
	}
	cmd.AddCommand(
		s.stepListCommand(), s.stepGetCommand(), s.stepPutCommand(), s.stepDeleteCommand(),
		s.runCommand(), s.runsCommand(), s.runStatusCommand(), s.runLogCommand(), s.runCancelCommand(),
	)
	s.group(cmd)
	return cmd
}

func readStep(raw []byte) (*stepRecord, error) {
	r := &stepRecord{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, unreadable("step", err)
	}
	return r, nil
}

// pageOf reads one page of a list.
func (c *client) pageOf(ctx context.Context, path string, query url.Values) (items []json.RawMessage, next string, err error) {
	got, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Items      []json.RawMessage `json:"items"`
		Tables     []json.RawMessage `json:"tables"` // the registry's name for its items
		NextCursor string            `json:"nextCursor"`
	}
	if err := json.Unmarshal(got.body, &page); err != nil {
		return nil, "", unreadable("list", err)
	}
	return append(page.Items, page.Tables...), page.NextCursor, nil
}

// everything reads the pages of a list, up to most entries; 0 means all.
func (c *client) everything(ctx context.Context, path string, most int) (all []json.RawMessage, err error) {
	query := url.Values{"limit": {"1000"}}
	if most > 0 && most < 1000 {
		query.Set("limit", strconv.Itoa(most))
	}
	for {
		items, next, err := c.pageOf(ctx, path, query)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if most > 0 && len(all) >= most {
			return all[:most], nil
		}
		if next == "" {
			return all, nil
		}
		query.Set("cursor", next)
	}
}

func (s *shell) stepListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short:   "List the steps",
		Example: "  muster transform list -o json",
		Args:    cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client, _ []string) error {
			all, err := c.everything(ctx, stepsPath, 0)
			if err != nil {
				return err
			}
			return s.print(map[string]any{"items": nonNil(all), "nextCursor": ""}, func(w io.Writer) error {
				if err := row(w, "NAME", "WORKER", "CLIENT", "GIVES", "TIMEOUT", "RETRIES", "REVISION"); err != nil {
					return err
				}
				for _, raw := range all {
					r, err := readStep(raw)
					if err != nil {
						return err
					}
					if err := row(w, r.Name, r.Worker, r.Client.ID, strings.Join(r.gives(), ","), r.Timeout,
						strconv.Itoa(r.Retries), strconv.FormatInt(r.Revision, 10)); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}

func nonNil(all []json.RawMessage) []json.RawMessage {
	if all == nil {
		return []json.RawMessage{}
	}
	return all
}

// kinds are what a step may give, with what it asks for of each.
func (r *stepRecord) kinds() []struct {
	name   string
	choice json.RawMessage
} {
	return []struct {
		name   string
		choice json.RawMessage
	}{
		{"users", r.Users}, {"groups", r.Groups}, {"clients", r.Clients}, {"entities", r.Entities}, {"relationships", r.Relationships},
	}
}

// gives names what the worker is given.
func (r *stepRecord) gives() (names []string) {
	for _, k := range r.kinds() {
		if k.choice != nil {
			names = append(names, k.name)
		}
	}
	return names
}

func (s *shell) stepGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get STEP", Aliases: []string{"show"},
		Short:             "Show one step",
		Example:           "  muster transform get nightly -o yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeSteps,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			got, err := c.call(ctx, request{method: http.MethodGet, path: stepPath(args[0])})
			if err != nil {
				return err
			}
			return s.printStep(got.body)
		}),
	}
}

func stepPath(name string) string { return stepsPath + "/" + url.PathEscape(name) }

// printStep prints one step; its table has a line per member.
func (s *shell) printStep(raw []byte) error {
	r, err := readStep(raw)
	if err != nil {
		return err
	}
	return s.print(r.raw, func(w io.Writer) error {
		lines := [][]string{
			{"name", r.Name}, {"worker", r.Worker}, {"client", r.Client.ID}, {"secret file", r.Client.SecretFile},
		}
		for _, k := range r.kinds() {
			lines = append(lines, []string{k.name, strings.Trim(string(k.choice), `"`)})
		}
		lines = append(lines, []string{"timeout", r.Timeout}, []string{"retries", strconv.Itoa(r.Retries)},
			[]string{"created by", r.CreatedBy}, []string{"updated at", r.UpdatedAt.UTC().Format(time.RFC3339)},
			[]string{"revision", strconv.FormatInt(r.Revision, 10)})
		for _, line := range lines {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shell) stepDeleteCommand() *cobra.Command {
	var match string
	cmd := &cobra.Command{
		Use: "delete STEP", Aliases: []string{"rm"},
		Short: "Remove a step; the rules that its runs posted stay",
		Long: `Remove a step. Its ended runs stay readable, and the rules that its runs posted
stay as they are. A step with a run that has not ended cannot be removed.`,
		Example:           "  muster transform delete nightly",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeSteps,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		_, err := c.call(ctx, request{method: http.MethodDelete, path: stepPath(args[0]), header: ifMatchHeader(match)})
		if err != nil {
			return err
		}
		done := map[string]any{"name": args[0], "deleted": true}
		return s.print(done, func(w io.Writer) error { return row(w, "deleted "+args[0]) })
	})
	cmd.Flags().StringVar(&match, "if-match", "", "only while the step has this revision")
	return cmd
}

func ifMatchHeader(revision string) http.Header {
	if revision == "" {
		return nil
	}
	return http.Header{"If-Match": {`"` + strings.Trim(revision, `"`) + `"`}}
}

// completeSteps offers the names of the steps that the gateway has.
func (s *shell) completeSteps(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := s.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.close()
	all, err := c.everything(cmd.Context(), stepsPath, 0)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, raw := range all {
		if r, err := readStep(raw); err == nil {
			names = append(names, r.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
