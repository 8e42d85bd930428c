package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// runRecord is a run as the API gives it. raw is what it gave.
type runRecord struct {
	ID         string    `json:"id"`
	Step       string    `json:"step"`
	State      string    `json:"state"`
	Cancelling bool      `json:"cancelling"`
	StartedBy  string    `json:"startedBy"`
	QueuedAt   time.Time `json:"queuedAt"`
	NotBefore  time.Time `json:"notBefore"`
	EndedAt    time.Time `json:"endedAt"`
	Message    string    `json:"message"`
	Attempts   []struct {
		Number  int    `json:"number"`
		State   string `json:"state"`
		Status  int    `json:"status"`
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"attempts"`
	Rules struct {
		Created int64 `json:"created"`
		Ignored int64 `json:"ignored"`
		Deleted int64 `json:"deleted"`
	} `json:"rules"`
	Lines int64 `json:"lines"`

	raw json.RawMessage
}

func readRun(raw []byte) (*runRecord, error) {
	r := &runRecord{raw: raw}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, unreadable("run", err)
	}
	return r, nil
}

func (r *runRecord) ended() bool { return r.State != "queued" && r.State != "running" }

func (r *runRecord) state() string {
	if r.Cancelling {
		return r.State + " (being cancelled)"
	}
	return r.State
}

func (r *runRecord) path() string { return runPath(r.Step, r.ID) }

func runPath(step, id string) string { return stepPath(step) + "/runs/" + url.PathEscape(id) }

func (s *shell) runCommand() *cobra.Command {
	var wait, coalesce bool
	var key string
	cmd := &cobra.Command{
		Use: "run STEP", Aliases: []string{"start"},
		Short: "Start a run of a step",
		Long: `Start a run of a step. With --wait its log is printed to standard error until it has
ended, and the exit code tells how: 0 when it has succeeded, 1 when it has not, with
the worker's message. A start with the same --idempotency-key gives the same run,
for 24 hours. While a run is under way another start is refused, unless --coalesce
has exactly one more follow it.`,
		Example: `  muster transform run nightly
  muster transform run nightly --wait
  muster transform run nightly --wait --idempotency-key "$DAG_RUN-$TASK" --coalesce`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeSteps,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		query, header := url.Values{}, http.Header{}
		if coalesce {
			query.Set("coalesce", "true")
		}
		if key != "" {
			header.Set("Idempotency-Key", key)
		}
		got, err := c.call(ctx, request{method: http.MethodPost, path: stepPath(args[0]) + "/runs", query: query, header: header})
		if err != nil {
			return err
		}
		r, err := readRun(got.body)
		if err != nil {
			return err
		}
		if wait {
			if r, err = s.awaitRun(ctx, c, r); err != nil {
				return err
			}
		}
		if err := s.printRun(r); err != nil {
			return err
		}
		return unsuccessful(r)
	})
	flags := cmd.Flags()
	flags.BoolVarP(&wait, "wait", "w", false, "wait until the run has ended, with its log on standard error")
	flags.BoolVar(&coalesce, "coalesce", false, "while a run is under way, have one more follow it")
	flags.StringVar(&key, "idempotency-key", "", "the same key gives the same run, for 24 hours")
	return cmd
}

// unsuccessful is the error for a run that has ended in any way but success.
func unsuccessful(r *runRecord) error {
	if !r.ended() || r.State == "succeeded" {
		return nil
	}
	what := "the run is " + r.State
	if r.Message != "" {
		what += ": " + r.Message
	}
	return &trouble{
		code: ExitFailed, what: what, where: "run " + r.ID + " of " + r.Step,
		do: "muster transform log " + r.Step + " " + r.ID + " shows how it came to that",
	}
}

// awaitRun prints the log of a run until it has ended. A gateway that goes away
// meanwhile is waited for.
func (s *shell) awaitRun(ctx context.Context, c *client, r *runRecord) (*runRecord, error) {
	s.say("run %s of %s is %s", r.ID, r.Step, r.state())
	after, down := int64(0), false
	for !r.ended() {
		var err error
		after, err = c.followLog(ctx, r.path(), after, true, func(l logLine) error {
			_, err := fmt.Fprintln(s.Err, l.text())
			return err
		})
		var now *runRecord
		if err == nil {
			now, err = c.run(ctx, r.path(), 10*time.Second)
		}
		switch {
		case err == nil:
			r, down = now, false
			continue
		case ctx.Err() != nil || exitCode(err) != ExitUnavailable:
			return r, err
		case !down:
			down = true
			s.say("%s; waiting for it", err)
		}
		select {
		case <-ctx.Done():
			return r, &trouble{code: ExitFailed, what: "interrupted", where: "run " + r.ID + " goes on", cause: ctx.Err()}
		case <-time.After(time.Second):
		}
	}
	return r, nil
}

// run reads a run, when wait is above 0 as soon as it has ended or after that long.
func (c *client) run(ctx context.Context, path string, wait time.Duration) (*runRecord, error) {
	query := url.Values{}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	got, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query, timeout: wait + callTimeout})
	if err != nil {
		return nil, err
	}
	return readRun(got.body)
}

// printRun prints one run; its table has a line per member.
func (s *shell) printRun(r *runRecord) error {
	return s.print(r.raw, func(w io.Writer) error {
		at := func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format(time.RFC3339)
		}
		lines := [][]string{
			{"id", r.ID}, {"step", r.Step}, {"state", r.state()}, {"started by", r.StartedBy}, {"queued at", at(r.QueuedAt)},
			{"not before", at(r.NotBefore)}, {"ended at", at(r.EndedAt)}, {"message", r.Message},
			{"rules", fmt.Sprintf("%d created, %d ignored, %d deleted", r.Rules.Created, r.Rules.Ignored, r.Rules.Deleted)},
		}
		for _, a := range r.Attempts {
			text := a.State
			if a.Status != 0 {
				text += " with status " + strconv.Itoa(a.Status)
			}
			lines = append(lines, []string{"attempt " + strconv.Itoa(a.Number), strings.TrimSpace(text + " " + a.Code)})
		}
		for _, line := range lines {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shell) runsCommand() *cobra.Command {
	limit := 20
	cmd := &cobra.Command{
		Use:               "runs STEP",
		Short:             "List the runs of a step, the newest first",
		Example:           "  muster transform runs nightly --limit 5",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeSteps,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		if limit < 0 {
			return usagef("0 lists all", "--limit is %d", limit)
		}
		all, err := c.everything(ctx, stepPath(args[0])+"/runs", limit)
		if err != nil {
			return err
		}
		return s.print(map[string]any{"items": nonNil(all), "nextCursor": ""}, func(w io.Writer) error {
			if err := row(w, "ID", "STATE", "STARTED BY", "QUEUED", "ATTEMPTS", "CREATED", "DELETED", "MESSAGE"); err != nil {
				return err
			}
			now := time.Now()
			for _, raw := range all {
				r, err := readRun(raw)
				if err != nil {
					return err
				}
				if err := row(w, r.ID, r.state(), r.StartedBy, age(r.QueuedAt, now), strconv.Itoa(len(r.Attempts)),
					strconv.FormatInt(r.Rules.Created, 10), strconv.FormatInt(r.Rules.Deleted, 10), r.Message); err != nil {
					return err
				}
			}
			return nil
		})
	})
	cmd.Flags().IntVar(&limit, "limit", limit, "how many to list; 0 means all")
	return cmd
}

// newest is the run that RUN stands for: the newest one when it is left out.
func (c *client) newest(ctx context.Context, args []string) (string, error) {
	if len(args) > 1 {
		return runPath(args[0], args[1]), nil
	}
	items, _, err := c.pageOf(ctx, stepPath(args[0])+"/runs", url.Values{"limit": {"1"}})
	if err != nil {
		return "", err
	}
	if len(items) == 0 {
		return "", &trouble{code: ExitNotFound, what: "the step " + quote(args[0]) + " has no run", do: "muster transform run starts one"}
	}
	r, err := readRun(items[0])
	if err != nil {
		return "", err
	}
	return r.path(), nil
}

func (s *shell) runStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status STEP [RUN]",
		Short: "Show a run, or the newest one of the step",
		Example: `  muster transform status nightly
  muster transform status nightly 01980f4e-6a3b-7c21-9a55-2f0d3c7b1e90 -o json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: s.completeSteps,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			path, err := c.newest(ctx, args)
			if err != nil {
				return err
			}
			r, err := c.run(ctx, path, 0)
			if err != nil {
				return err
			}
			return s.printRun(r)
		}),
	}
}

func (s *shell) runCancelCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel STEP [RUN]",
		Short: "Cancel a run, or the newest one of the step",
		Long: `Cancel a run, or the newest one of the step. What its worker posts is refused from
then on; the connection to the worker is closed as soon as the gateway that
carries it out has heard of it.`,
		Example:           "  muster transform cancel nightly",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: s.completeSteps,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			path, err := c.newest(ctx, args)
			if err != nil {
				return err
			}
			got, err := c.call(ctx, request{method: http.MethodPost, path: path + ":cancel"})
			if err != nil {
				return err
			}
			r, err := readRun(got.body)
			if err != nil {
				return err
			}
			return s.printRun(r)
		}),
	}
}

func (s *shell) runLogCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use: "log STEP [RUN]", Aliases: []string{"logs"},
		Short: "Print the log of a run, or of the newest one of the step",
		Example: `  muster transform log nightly
  muster transform log nightly -f`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: s.completeSteps,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		path, err := c.newest(ctx, args)
		if err != nil {
			return err
		}
		_, err = c.followLog(ctx, path, 0, follow, s.printLine)
		if ctx.Err() != nil && follow {
			return nil // that is how following is ended
		}
		return err
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended")
	return cmd
}

// printLine prints one line of a log: a JSON object, a YAML document, or text.
func (s *shell) printLine(l logLine) error {
	switch s.output {
	case formJSON:
		_, err := fmt.Fprintf(s.Out, "%s\n", l.raw)
		return err
	case formYAML:
		if _, err := io.WriteString(s.Out, "---\n"); err != nil {
			return err
		}
		return writeYAML(s.Out, l.raw)
	default:
		_, err := fmt.Fprintln(s.Out, l.text())
		return err
	}
}
