package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
)

func (s *shell) rulePostCommand() *cobra.Command {
	var strategy, generation string
	var verbose bool
	cmd := &cobra.Command{
		Use: "post FILE|-", Aliases: []string{"create", "apply"},
		Short: "Post the rules in a file",
		Long: `Post the rules in a file: the body of the published contract, with "rules" and
perhaps "ruleCreationStrategy" and "generation", or a list of rules alone. All of
it is stored or nothing.

The strategy says what becomes of rules that are there: Ignore keeps them,
DeleteOnConflict replaces those of the same names, DeleteAllForUser replaces all
that this token's owner has posted. With a generation the rules are staged until
muster rule commit swaps all of them in at once.`,
		Example: `  muster rule post rules.json
  muster rule post rules.json --strategy DeleteOnConflict --verbose
  muster rule post part1.json --strategy DeleteAllForUser --generation 2027-01-31
  muster rule commit 2027-01-31`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		file, err := s.readBody(args[0])
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("generation") && generation == "" { // a variable that was not set: nothing would be staged
			return usagef("leave --generation out to have the rules take effect at once", "--generation is empty")
		}
		body, err := postBody(file, strategy, generation)
		if err != nil {
			return err
		}
		query := url.Values{}
		if verbose {
			query.Set("verbose", "true")
		}
		stop := s.progress("posting rules")
		got, err := c.call(ctx, request{method: http.MethodPost, path: rulesPath, query: query, body: body})
		stop()
		if err != nil {
			return err
		}
		return s.printPosted(got.body)
	})
	flags := cmd.Flags()
	flags.StringVar(&strategy, "strategy", "", "Ignore, DeleteOnConflict or DeleteAllForUser, in place of the file's")
	flags.StringVar(&generation, "generation", "", "stage the rules under this name until they are committed")
	flags.BoolVar(&verbose, "verbose", false, "also show who had created the rules that were ignored or deleted")
	s.complete(cmd, "strategy", "Ignore", "DeleteOnConflict", "DeleteAllForUser")
	return cmd
}

// postBody makes the body of a post: the file's own, with the flags' members in
// place of its own. A list of rules alone is wrapped.
func postBody(file []byte, strategy, generation string) ([]byte, error) {
	trimmed := bytes.TrimSpace(file)
	if len(trimmed) > 0 && trimmed[0] == '[' {
		trimmed = append(append([]byte(`{"rules":`), trimmed...), '}')
	}
	if strategy == "" && generation == "" {
		return trimmed, nil // not touched: the gateway says where a mistake is
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &members); err != nil {
		return nil, usagef("it holds one JSON object with rules, or a list of rules", "the file is not JSON: %v", err)
	}
	for name, value := range map[string]string{"ruleCreationStrategy": strategy, "generation": generation} {
		if value == "" {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		members[name] = text
	}
	return json.Marshal(members)
}

// posted is what a post did: names, or names with their creators.
type posted map[string][]json.RawMessage

func (s *shell) printPosted(body []byte) error {
	var p posted
	if err := json.Unmarshal(body, &p); err != nil {
		return unreadable("answer", err)
	}
	return s.print(json.RawMessage(body), func(w io.Writer) error {
		if err := row(w, "RULE", "WHAT", "WAS CREATED BY"); err != nil {
			return err
		}
		for _, what := range []string{"created", "ignored", "deleted"} {
			for _, raw := range p[what] {
				var one struct {
					Name      string `json:"name"`
					CreatedBy struct {
						Username string `json:"username"`
						Step     string `json:"step"`
					} `json:"createdBy"`
				}
				if json.Unmarshal(raw, &one.Name) != nil {
					if err := json.Unmarshal(raw, &one); err != nil {
						return unreadable("answer", err)
					}
				}
				if err := row(w, one.Name, what, one.CreatedBy.Username); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (s *shell) ruleCommitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "commit GENERATION",
		Short: "Swap in the rules that were staged under a generation",
		Long: `Swap in the rules that were staged under a generation, in place of all others that
this token's owner has posted, at once. Committing again does no harm.`,
		Example: "  muster rule commit 2027-01-31",
		Args:    cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			body, err := json.Marshal(map[string]string{"generation": args[0]})
			if err != nil {
				return err
			}
			stop := s.progress("committing " + args[0])
			got, err := c.call(ctx, request{method: http.MethodPost, path: rulesPath + ":commit", body: body})
			stop()
			if err != nil {
				return err
			}
			return s.printPosted(got.body)
		}),
	}
}

func (s *shell) rulePutCommand() *cobra.Command {
	var ifMatch string
	cmd := &cobra.Command{
		Use: "put REF FILE|-", Aliases: []string{"replace"},
		Short:   "Replace one rule by the one in a file",
		Example: "  muster rule get staff -o json > staff.json; edit staff.json; muster rule put staff staff.json",
		Args:    cobra.ExactArgs(2),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body, err := s.readBody(args[1])
		if err != nil {
			return err
		}
		r, err := c.rule(ctx, args[0])
		if err != nil {
			return err
		}
		return s.replaceRule(ctx, c, r.ID, body, ifMatch)
	})
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "replace only this revision of the rule")
	return cmd
}

func (s *shell) replaceRule(ctx context.Context, c *client, id int64, body []byte, ifMatch string) error {
	header := http.Header{}
	if ifMatch != "" {
		header.Set("If-Match", ifMatch)
	}
	got, err := c.call(ctx, request{
		method: http.MethodPut, path: rulesPath + "/" + strconv.FormatInt(id, 10), header: header, body: bytes.TrimSpace(body),
	})
	if err != nil {
		return err
	}
	r, err := readRule(got.body)
	if err != nil {
		return err
	}
	return s.printRule(r)
}

func (s *shell) ruleActivateCommand(active bool) *cobra.Command {
	name, short := "activate", "Let a rule take effect"
	if !active {
		name, short = "deactivate", "Keep a rule, and have it do nothing"
	}
	return &cobra.Command{
		Use:   name + " REF",
		Short: short, Example: "  muster rule " + name + " staff-see-benchmarks",
		Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			r, err := c.rule(ctx, args[0])
			if err != nil {
				return err
			}
			var members map[string]json.RawMessage
			if err := json.Unmarshal(r.raw, &members); err != nil {
				return unreadable("rule", err)
			}
			members["active"] = json.RawMessage(strconv.FormatBool(active))
			body, err := json.Marshal(members)
			if err != nil {
				return err
			}
			// Only the rule that was read: another one's change is not undone.
			return s.replaceRule(ctx, c, r.ID, body, strconv.FormatInt(r.Revision, 10))
		}),
	}
}

func (s *shell) ruleDeleteCommand() *cobra.Command {
	var mine bool
	var step string
	cmd := &cobra.Command{
		Use: "delete REF... | --mine", Aliases: []string{"rm"},
		Short: "Delete rules, or all that this token's owner has posted",
		Example: `  muster rule delete staff-see-benchmarks
  muster rule delete --mine
  muster rule delete --mine --step nightly`,
		Args: cobra.ArbitraryArgs,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		if mine == (len(args) > 0) {
			return usagef("name rules, or give --mine", "either rules or --mine")
		}
		if step != "" && !mine {
			return usagef("add --mine", "--step goes with --mine")
		}
		if !mine {
			return s.deleteRules(ctx, c, args)
		}
		query := url.Values{"createdBy": {"me"}}
		if step != "" {
			query.Set("step", step)
		}
		got, err := c.call(ctx, request{method: http.MethodDelete, path: rulesPath, query: query})
		if err != nil {
			return err
		}
		return s.print(json.RawMessage(got.body), func(w io.Writer) error {
			var n struct {
				Deleted int `json:"deleted"`
			}
			if err := json.Unmarshal(got.body, &n); err != nil {
				return unreadable("answer", err)
			}
			_, err := fmt.Fprintf(w, "%d rules deleted\n", n.Deleted)
			return err
		})
	})
	cmd.Flags().BoolVar(&mine, "mine", false, "delete all rules that this token's owner has posted outside of runs")
	cmd.Flags().StringVar(&step, "step", "", "with --mine: those posted in runs of this rule transformation instead")
	return cmd
}

func (s *shell) deleteRules(ctx context.Context, c *client, refs []string) error {
	for _, ref := range refs {
		r, err := c.rule(ctx, ref)
		if err != nil {
			return err
		}
		if _, err := c.call(ctx, request{method: http.MethodDelete, path: rulesPath + "/" + strconv.FormatInt(r.ID, 10)}); err != nil {
			return err
		}
		s.say("rule %s deleted", quote(r.Name))
	}
	return nil
}

func (s *shell) ruleCheckCommand() *cobra.Command {
	var username, clientID string
	var groups []string
	cmd := &cobra.Command{
		Use:   "check FILE|-",
		Short: "Show what the rules would let somebody see of the nodes and relationships in a file",
		Long: `Show what the rules would let somebody see of the nodes and relationships in a
file, and which rules decided. No worker is asked, so it may be more than they
see in the end. The file is one for muster filter. Needs the right to explain.`,
		Example: `  muster rule check graph.json --username alice --group /staff
  muster rule check graph.json --client reports -o json`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		if username == "" && clientID == "" && len(groups) == 0 {
			return usagef("give --username, --group or --client", "whose view is asked for?")
		}
		file, err := s.readBody(args[0])
		if err != nil {
			return err
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(file, &members); err != nil {
			return usagef("it is the body of a filter request", "the file is not a JSON object: %v", err)
		}
		principal, err := json.Marshal(map[string]any{"username": username, "groups": append([]string{}, groups...), "client": clientID})
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]json.RawMessage{
			"principal": principal, "parameters": members["parameters"], "data": members["data"],
		})
		if err != nil {
			return err
		}
		stop := s.progress("checking " + args[0])
		got, err := c.call(ctx, request{method: http.MethodPost, path: rulesPath + ":check", body: body})
		stop()
		if err != nil {
			return err
		}
		return s.printAnswer(file, got.body)
	})
	flags := cmd.Flags()
	flags.StringVar(&username, "username", "", "user name")
	flags.StringArrayVar(&groups, "group", nil, "whole path of a group; may be repeated")
	flags.StringVar(&clientID, "client", "", "client id, as if its own service account called")
	return cmd
}

func (s *shell) ruleFunctionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "function ID",
		Short:   "Tell whether a rule grants a function to this token's owner",
		Long:    "Tell whether a rule grants a function to this token's owner. Exit code 6 when none does.",
		Example: "  muster rule function 12",
		Args:    cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 0 {
				return usagef("it is a whole number from 0 on", "%s is no function's id", quote(args[0]))
			}
			_, err = c.call(ctx, request{method: http.MethodGet, path: "/api/graph-access-rule/functions/" + strconv.FormatInt(id, 10)})
			if err != nil {
				return err
			}
			s.say("a rule grants function %d", id)
			return nil
		}),
	}
}
