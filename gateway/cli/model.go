package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

const modelPath = "/api/graph-model"

// graphModel is the graph model as the API gives it.
type graphModel struct {
	Entities []struct {
		ID         int64  `json:"id"`
		Title      string `json:"title"`
		Properties []struct {
			ID    int64  `json:"id"`
			Title string `json:"title"`
		} `json:"properties"`
	} `json:"entities"`
	Relationships []struct {
		ID    int64  `json:"id"`
		From  string `json:"entityNameFrom"`
		To    string `json:"entityNameTo"`
		Name  string `json:"name"`
		Alias string `json:"alias"`
	} `json:"relationships"`
}

func (s *shell) modelCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Show and replace the graph model, in whose ids Graph Access Rules speak",
		Long: `Show and replace the graph model. It joins the ids that Graph Access Rules speak
in with the labels, property names and relationship types of the graph.`,
		Example: `  muster model get
  muster model get -o json > model.json
  muster model put model.json`,
	}
	cmd.AddCommand(s.modelGetCommand(), s.modelPutCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) modelGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get", Aliases: []string{"show"},
		Short:   "Show the graph model",
		Example: "  muster model get -o json",
		Args:    cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client, _ []string) error {
			got, err := c.call(ctx, request{method: http.MethodGet, path: modelPath})
			if err != nil {
				return err
			}
			var m graphModel
			if err := json.Unmarshal(got.body, &m); err != nil {
				return unreadable("model", err)
			}
			return s.print(json.RawMessage(got.body), m.table)
		}),
	}
}

// unreadable is the error for an answer that cannot be made sense of.
func unreadable(what string, err error) error {
	return &trouble{
		code: ExitFailed, what: "the gateway's " + what + " is not readable: " + err.Error(),
		do: "use a muster of the gateway's version", cause: err,
	}
}

func (m *graphModel) table(w io.Writer) error {
	if err := row(w, "KIND", "ID", "TITLE", "PROPERTIES OR ENDS"); err != nil {
		return err
	}
	for _, e := range m.Entities {
		var properties []string
		for _, p := range e.Properties {
			properties = append(properties, strconv.FormatInt(p.ID, 10)+" "+p.Title)
		}
		if err := row(w, "entity", strconv.FormatInt(e.ID, 10), e.Title, strings.Join(properties, ", ")); err != nil {
			return err
		}
	}
	for _, r := range m.Relationships {
		if err := row(w, "relationship", strconv.FormatInt(r.ID, 10), r.Alias, r.From+" -> "+r.To); err != nil {
			return err
		}
	}
	return nil
}

func (s *shell) modelPutCommand() *cobra.Command {
	var rebind bool
	cmd := &cobra.Command{
		Use: "put FILE|-", Aliases: []string{"replace"},
		Short: "Replace the graph model as a whole",
		Long: `Replace the graph model as a whole. Rules that name something which the new model
does not have grant nothing for it any more; they are listed. An id that rules
use and that gets another title would silently turn them into other rules: that
is refused unless --rebind says that it is meant.`,
		Example: `  muster model put model.json
  muster model put model.json --rebind`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body, err := s.readBody(args[0])
		if err != nil {
			return err
		}
		query := url.Values{}
		if rebind {
			query.Set("rebind", "true")
		}
		stop := s.progress("replacing the graph model")
		got, err := c.call(ctx, request{method: http.MethodPut, path: modelPath, query: query, body: body})
		stop()
		if err != nil {
			return err
		}
		return s.printModelChange(got.body)
	})
	cmd.Flags().BoolVar(&rebind, "rebind", false, "give ids that rules use another title; the rules then speak of that")
	return cmd
}

// printModelChange prints what a new model left orphaned.
func (s *shell) printModelChange(answer []byte) error {
	var changed struct {
		Revision int64 `json:"revision"`
		Orphaned struct {
			ruleOrphans
			Rules []struct {
				ID   int64  `json:"id"`
				Name string `json:"name"`
			} `json:"rules"`
			Count int `json:"count"`
		} `json:"orphaned"`
	}
	if err := json.Unmarshal(answer, &changed); err != nil {
		return unreadable("answer", err)
	}
	if o := &changed.Orphaned; o.Count > 0 {
		s.say("%d rules name something that the model does not have, and grant nothing for it: %s; "+
			"muster rule list --state orphaned shows them", o.Count, o.text())
	}
	return s.print(json.RawMessage(answer), func(w io.Writer) error {
		if err := row(w, "REVISION", "ORPHANED RULE", "ID"); err != nil {
			return err
		}
		revision := strconv.FormatInt(changed.Revision, 10)
		if len(changed.Orphaned.Rules) == 0 {
			return row(w, revision, "", "")
		}
		for _, o := range changed.Orphaned.Rules {
			if err := row(w, revision, o.Name, strconv.FormatInt(o.ID, 10)); err != nil {
				return err
			}
		}
		return nil
	})
}
