package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// smokeTimeout bounds one check.
const smokeTimeout = 15 * time.Second

// smokeResult is what became of one check.
type smokeResult struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds"`
}

// smoke is one run of the checks against a gateway.
type smoke struct {
	c *client
	// version is what health has told; empty when it told none.
	version string
}

// smokeChecks are the checks in their order.
func (m *smoke) checks() []struct {
	name string
	run  func(ctx context.Context) error
} {
	return []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"health", m.health}, {"version", m.sameVersion}, {"worker", m.worker}, {"login", m.login},
		{"filter", m.filter}, {"registry", m.registry}, {"catalogue", m.catalogue},
	}
}

func (s *shell) smokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "smoke [URL]",
		Short: "Find out whether a gateway works, from end to end",
		Long: `Find out whether a gateway works, from end to end, after an installation or an
upgrade: what its health says (not only the status), its version, GET / as a worker
answers it, a login, a filter with a graph of two nodes, a read of the register, and
a read of the catalogue of its API. Every check is a line: ok or FAIL, with the
reason and how long it took. Exit code 1 when any has failed; a 404 never passes.

URL is the gateway's address, else that of --url or MUSTER_URL. The token is that of
any other command, of a login: personal access tokens may not filter. Its owner
needs no grant.`,
		Example: `  muster smoke https://muster.example.org --token-file /run/secrets/smoke
  muster smoke -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				s.url = args[0]
			}
			c, err := s.connect()
			if err != nil {
				return err
			}
			defer c.close()
			return s.smoke(cmd.Context(), &smoke{c: c})
		},
	}
}

func (s *shell) smoke(ctx context.Context, m *smoke) error {
	var results []smokeResult
	ok := true
	for _, check := range m.checks() {
		begin := time.Now()
		err := bounded(ctx, check.run)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := smokeResult{Name: check.name, OK: err == nil, Seconds: time.Since(begin).Round(time.Millisecond).Seconds()}
		if err != nil {
			ok, r.Reason = false, reasonFor(err)
		}
		results = append(results, r)
	}
	err := s.print(map[string]any{"ok": ok, "url": m.c.base.String(), "version": m.version, "checks": results}, func(w io.Writer) error {
		for _, r := range results {
			if _, err := fmt.Fprintln(w, r.line()); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !ok {
		return errQuietFailure
	}
	return err
}

func (r *smokeResult) line() string {
	word := "ok"
	if !r.OK {
		word = "FAIL"
	}
	text := fmt.Sprintf("%-4s  %-9s  %5.0f ms", word, r.Name, 1000*r.Seconds)
	if r.Reason != "" {
		text += "  " + clean(strings.ReplaceAll(r.Reason, "\n", "; "))
	}
	return text
}

// bounded runs a check with a time limit of its own.
func bounded(ctx context.Context, run func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, smokeTimeout)
	defer cancel()
	return run(ctx)
}

// reasonFor is an error with what to do about it.
func reasonFor(err error) string {
	var t *trouble
	if errors.As(err, &t) && t.do != "" {
		return t.Error() + ": " + t.do
	}
	return err.Error()
}

// bare asks without a token, and returns an answer of any status.
func (m *smoke) bare(ctx context.Context, path string) (status int, body []byte, err error) {
	return m.ask(ctx, path, "")
}

// ask asks with a token of its own, and returns an answer of any status but 404.
func (m *smoke) ask(ctx context.Context, path, token string) (status int, body []byte, err error) {
	target := m.c.base.JoinPath(path)
	where := http.MethodGet + " " + target.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return 0, nil, &trouble{code: ExitFailed, what: "the request could not be made", where: where, cause: err}
	}
	req.Header.Set("User-Agent", m.c.agent)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := m.c.http.Do(req)
	if err != nil {
		return 0, nil, m.c.unreachable(ctx, where, smokeTimeout, err)
	}
	// The body has been read as far as it is wanted; a failed close changes nothing.
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, m.c.unreachable(ctx, where, smokeTimeout, err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return 0, nil, &trouble{code: ExitFailed, what: "answered 404: that is no gateway of Muster, or an older one", where: where}
	}
	return resp.StatusCode, body, nil
}

// read decodes an answer that has to be an object.
func read(body []byte, what string, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return &trouble{code: ExitFailed, what: "answered something that is no " + what, cause: err}
	}
	return nil
}
