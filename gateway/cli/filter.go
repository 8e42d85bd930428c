package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/workers/element"
)

const (
	filterPath = "/api/graph-security/filter"
	// maxFilterFile bounds what filter sends; a gateway's own limit is usually lower.
	maxFilterFile = 1 << 30
)

func (s *shell) filterCommand() *cobra.Command {
	var explain bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "filter FILE|-",
		Short: "Ask what a caller may see of the nodes and relationships in a file",
		Long: `Send a file with nodes and relationships to the gateway's filter endpoint and print
what the token's owner may see: as a table with one line per element, or, with
-o json, the answer's body as it came. The decision's id, the revision and
whether the answer is complete go to standard error.`,
		Example: `  muster filter nodes.json
  gzip -dc graph.json.gz | muster filter - -o json
  muster filter nodes.json --explain`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body, err := s.readBody(args[0])
		if err != nil {
			return err
		}
		if timeout < 0 {
			return usagef("give a duration such as 5s", "--timeout is %s", timeout)
		}
		r := request{
			method: http.MethodPost, path: filterPath, query: url.Values{}, header: http.Header{}, body: body,
			timeout: 2 * time.Minute, maxAnswer: 2 * maxFilterFile,
		}
		if explain {
			r.query.Set("explain", "true")
		}
		if timeout > 0 {
			r.header.Set("Request-Timeout", fmt.Sprintf("%dms", max(timeout.Milliseconds(), 1)))
			// The gateway answers by then, with an error that says who was late.
			r.timeout = timeout + 5*time.Second
		}
		begin := time.Now()
		stop := s.progress("filtering " + args[0])
		got, err := c.call(ctx, r)
		stop()
		if err != nil {
			return err
		}
		s.say("decision %s, revision %s, complete %s, %s", got.header.Get("Muster-Decision"),
			got.header.Get("Muster-Revision"), got.header.Get("Muster-Complete"), time.Since(begin).Round(time.Millisecond))
		return s.printAnswer(body, got.body)
	})
	cmd.Flags().BoolVar(&explain, "explain", false, "also say what hid or stripped an element; needs the right to")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "deadline of the request (default the gateway's)")
	return cmd
}

// readBody reads the file, or standard input for "-".
func (s *shell) readBody(name string) ([]byte, error) {
	in := s.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("name a file, or - for standard input", "%v", err)
		}
		// Nothing was written, so closing cannot lose anything.
		defer func() { _ = f.Close() }()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, maxFilterFile+1))
	if err != nil {
		return nil, &trouble{code: ExitFailed, what: "the file cannot be read: " + err.Error(), where: name, cause: err}
	}
	if len(body) > maxFilterFile {
		return nil, usagef("send it in parts", "%s is larger than 1 GiB", name)
	}
	return body, nil
}

// sight is what an element of a table looks like.
type sight struct {
	ElementID  string                     `json:"elementId"`
	Labels     []string                   `json:"labels"`
	Type       string                     `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
}

type explanation struct {
	Kind      string `json:"kind"`
	ElementID string `json:"elementId"`
	By        []struct {
		Rule   string `json:"rule"`
		Worker struct {
			Name string `json:"name"`
		} `json:"worker"`
		Reason string `json:"reason"`
	} `json:"by"`
}

// printAnswer prints the body as it came, or a line for each element sent.
func (s *shell) printAnswer(sent, got []byte) error {
	if s.output == formJSON {
		// Not indented anew: the bytes are the contract's, numbers and all.
		_, err := s.Out.Write(append(bytes.TrimRight(got, "\n"), '\n'))
		return err
	}
	if s.output == formYAML {
		return s.print(json.RawMessage(got), nil)
	}
	asked, err := readRequest(sent)
	if err != nil {
		return &trouble{code: ExitFailed, what: "the gateway took the file, but no table can be made of it: " + err.Error(),
			do: "use -o json", cause: err}
	}
	var answered struct {
		Result  map[string][]sight `json:"result"`
		Explain []explanation      `json:"explain"`
	}
	if err := json.Unmarshal(got, &answered); err != nil {
		return &trouble{code: ExitFailed, what: "the answer is not readable: " + err.Error(), do: "use -o json", cause: err}
	}
	reasons := map[string]string{}
	for _, e := range answered.Explain {
		reasons[e.Kind+" "+e.ElementID] = because(e)
	}
	return s.print(nil, func(w io.Writer) error {
		if err := row(w, "KIND", "ELEMENT", "LABELS OR TYPE", "VERDICT", "STRIPPED", "BY"); err != nil {
			return err
		}
		for _, kind := range []string{"nodes", "relationships"} {
			if err := sightTable(w, kind, asked[kind], answered.Result[kind], reasons); err != nil {
				return err
			}
		}
		return nil
	})
}

func sightTable(w io.Writer, kind string, asked, answered []sight, reasons map[string]string) error {
	shown := make(map[string]sight, len(answered))
	for _, e := range answered {
		shown[e.ElementID] = e
	}
	for _, e := range asked {
		what := e.Type
		if kind == "nodes" {
			what = strings.Join(e.Labels, ",")
		}
		verdict, stripped := "visible", ""
		if now, ok := shown[e.ElementID]; !ok {
			verdict = "hidden"
		} else if gone := missing(e, now); gone != nil {
			verdict, stripped = "stripped", strings.Join(gone, ",")
		} else if masked(e, now) {
			verdict = "masked"
		}
		if err := row(w, strings.TrimSuffix(kind, "s"), e.ElementID, what, verdict, stripped, reasonOf(reasons, kind, e.ElementID)); err != nil {
			return err
		}
	}
	return nil
}

func reasonOf(reasons map[string]string, kind, id string) string {
	if text, ok := reasons[kind+" "+id]; ok {
		return text
	}
	return reasons[strings.TrimSuffix(kind, "s")+" "+id]
}

// masked reports whether a value is another one.
func masked(asked, shown sight) bool {
	for name, value := range shown.Properties {
		if !element.Equal(asked.Properties[name], value) {
			return true
		}
	}
	return false
}

func missing(asked, shown sight) []string {
	var gone []string
	for name := range asked.Properties {
		if _, still := shown.Properties[name]; !still {
			gone = append(gone, name)
		}
	}
	sort.Strings(gone)
	return gone
}

func because(e explanation) string {
	var all []string
	for _, by := range e.By {
		text := by.Rule
		if by.Worker.Name != "" {
			text = by.Worker.Name
		}
		if by.Reason != "" {
			text += ": " + by.Reason
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// readRequest reads the elements of a request by kind.
func readRequest(body []byte) (map[string][]sight, error) {
	var doc struct {
		Parameters struct {
			Type string `json:"type"`
		} `json:"parameters"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, err
	}
	out := map[string][]sight{}
	if doc.Parameters.Type == "graph" {
		return out, json.Unmarshal(doc.Data, &out)
	}
	var items []sight
	if err := json.Unmarshal(doc.Data, &items); err != nil {
		return nil, err
	}
	if doc.Parameters.Type == "" {
		return nil, errors.New("parameters.type is missing")
	}
	out[doc.Parameters.Type] = items
	return out, nil
}
