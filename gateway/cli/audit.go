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
	"time"

	"github.com/spf13/cobra"
)

const auditPath = "/api/admin/audit"

// auditRow is one row of the audit log; raw is what the API gave.
type auditRow struct {
	Number int64     `json:"number"`
	Time   time.Time `json:"time"`
	Actor  struct {
		Subject  string `json:"subject"`
		Username string `json:"username"`
	} `json:"actor"`
	Action   string `json:"action"`
	Resource string `json:"resource"`
	Result   string `json:"result"`
	Address  string `json:"address"`

	raw json.RawMessage
}

func readAuditRow(raw json.RawMessage) (*auditRow, error) {
	r := &auditRow{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, unreadable("row of the audit log", err)
	}
	return r, nil
}

// cells are a row's columns.
func (r *auditRow) cells() []string {
	who := r.Actor.Username
	if who == "" {
		who = r.Actor.Subject
	}
	if who == "" {
		who = "-"
	}
	return []string{
		strconv.FormatInt(r.Number, 10), r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), who, r.Action, r.Resource, r.Result, r.Address,
	}
}

func auditHeadings() []string {
	return []string{"NUMBER", "TIME", "ACTOR", "ACTION", "RESOURCE", "RESULT", "ADDRESS"}
}

// auditFilter are the flags that choose rows.
type auditFilter struct{ action, actor, resource, result, since, until string }

func (f *auditFilter) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.action, "action", "", "only this action, or, with * at its end, those that begin so")
	flags.StringVar(&f.actor, "actor", "", "only what this subject, username, user or token has done")
	flags.StringVar(&f.resource, "resource", "", "only what was done to this, such as worker:UUID")
	flags.StringVar(&f.result, "result", "", "only what ended so: ok, or the code of a refusal")
	flags.StringVar(&f.since, "since", "", "only from this time on: RFC 3339, or how long ago, such as 24h")
	flags.StringVar(&f.until, "until", "", "only before this time, in the same forms")
}

func (f *auditFilter) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	for name, value := range map[string]string{"action": f.action, "actor": f.actor, "resource": f.resource, "result": f.result} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, value := range map[string]string{"since": f.since, "until": f.until} {
		if value == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, value)
		if err != nil {
			ago, agoErr := time.ParseDuration(value)
			if agoErr != nil || ago < 0 {
				return nil, usagef("give it as 2026-03-01T12:00:00Z, or as 24h for a day ago", "--%s %s is neither a time nor a duration", name, quote(value))
			}
			t = now.Add(-ago)
		}
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
	return q, nil
}

func (s *shell) auditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the audit log",
		Example: `  muster admin audit list --since 24h --action 'worker.*'
  muster admin audit tail -f
  muster admin audit verify --head 1000:4b22…`,
	}
	cmd.AddCommand(s.auditListCommand(), s.auditTailCommand(), s.auditVerifyCommand())
	s.group(cmd)
	return cmd
}

func (s *shell) auditListCommand() *cobra.Command {
	f := &auditFilter{}
	var limit int
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List what was done, the newest first",
		Example: `  muster admin audit list --actor alice --since 24h
  muster admin audit list --action 'worker.*' --resource worker:8a8a8a8a-0000-4000-8000-000000000001 -o json`,
		Args: cobra.NoArgs,
	}
	f.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most this many rows; 0 for all")
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		query, err := f.query(time.Now())
		if err != nil {
			return err
		}
		if limit < 0 {
			return usagef("give a number from 0", "--limit is %d", limit)
		}
		all, err := c.auditRows(ctx, query, limit)
		if err != nil {
			return err
		}
		return s.print(map[string]any{"items": nonNil(all), "nextCursor": ""}, func(w io.Writer) error {
			if err := row(w, auditHeadings()...); err != nil {
				return err
			}
			for _, raw := range all {
				r, err := readAuditRow(raw)
				if err != nil {
					return err
				}
				if err := row(w, r.cells()...); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return cmd
}

// auditRows reads the rows that meet a query, up to most; 0 means all.
func (c *client) auditRows(ctx context.Context, query url.Values, most int) (all []json.RawMessage, err error) {
	query.Set("limit", "1000")
	if most > 0 && most < 1000 {
		query.Set("limit", strconv.Itoa(most))
	}
	for {
		items, next, err := c.pageOf(ctx, auditPath, query)
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

// tailInterval is how often the log is asked for what is new.
const tailInterval = time.Second

func (s *shell) auditTailCommand() *cobra.Command {
	f := &auditFilter{}
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the last rows, the oldest first, and with -f what is done from then on",
		Long: `Show the last rows, the oldest first, and with --follow what is done from then on,
until interrupted. With -o json each row is an object on a line of its own.`,
		Example: `  muster admin audit tail -f
  muster admin audit tail -n 100 --action login_failed -o json`,
		Args: cobra.NoArgs,
	}
	f.flags(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "how many rows to begin with, at most 1000")
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		query, err := f.query(time.Now())
		if err != nil {
			return err
		}
		if lines < 0 || lines > 1000 {
			return usagef("give a number from 0 to 1000", "--lines is %d", lines)
		}
		last, err := s.auditLast(ctx, c, query, lines)
		if err != nil || !follow {
			return err
		}
		return s.auditFollow(ctx, c, query, last)
	})
	return cmd
}

// auditLast shows the last rows and returns the number of the newest of all.
func (s *shell) auditLast(ctx context.Context, c *client, query url.Values, lines int) (last int64, err error) {
	newest, _, err := c.pageOf(ctx, auditPath, url.Values{"limit": {"1"}})
	if err != nil {
		return 0, err
	}
	for _, raw := range newest {
		r, err := readAuditRow(raw)
		if err != nil {
			return 0, err
		}
		last = r.Number
	}
	if lines == 0 {
		return last, nil
	}
	rows, err := c.auditRows(ctx, query, lines)
	if err != nil {
		return 0, err
	}
	query.Del("cursor")
	for _, raw := range slices.Backward(rows) {
		n, err := s.auditLine(raw)
		if err != nil {
			return 0, err
		}
		last = max(last, n)
	}
	return last, nil
}

// auditFollow shows rows with numbers above last as they come.
func (s *shell) auditFollow(ctx context.Context, c *client, query url.Values, last int64) error {
	query.Set("order", "oldest")
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		query.Set("after", strconv.FormatInt(last, 10))
		query.Del("cursor")
		rows, err := c.auditRows(ctx, query, 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case exitCode(err) == ExitUnavailable && err != nil:
			if !away {
				s.say("%v; it is tried again", err)
			}
			away = true
			continue
		case err != nil:
			return err
		}
		away = false
		for _, raw := range rows {
			if last, err = s.auditLine(raw); err != nil {
				return err
			}
		}
	}
}

// auditLine shows one row on a line of its own and returns its number.
func (s *shell) auditLine(raw json.RawMessage) (int64, error) {
	r, err := readAuditRow(raw)
	if err != nil {
		return 0, err
	}
	if s.output != formTable {
		line, err := json.Marshal(r.raw) // without line breaks
		if err != nil {
			return 0, unreadable("row of the audit log", err)
		}
		_, err = fmt.Fprintf(s.Out, "%s\n", line)
		return r.Number, err
	}
	cells := r.cells()
	for i := range cells {
		cells[i] = clean(cells[i])
	}
	_, err = fmt.Fprintf(s.Out, "%s %-8s %-16s %-28s %s %s %s\n", cells[1], cells[0], cells[2], cells[3], cells[4], cells[5], cells[6])
	return r.Number, err
}

// verifyOnline has the gateway verify its log.
func (c *client) verifyOnline(ctx context.Context, heads string) (json.RawMessage, error) {
	query := url.Values{}
	if heads != "" {
		query.Set("head", heads)
	}
	got, err := c.call(ctx, request{method: http.MethodGet, path: auditPath + "/verify", query: query, timeout: verifyTimeout})
	if err != nil {
		return nil, err
	}
	return got.body, nil
}
