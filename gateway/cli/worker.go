package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func (s *shell) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "worker",
		Aliases: []string{"workers"},
		Short:   "Register workers and look after them",
		Long: `Register workers and look after them.

REF stands for a worker's uuid, or its name where only one worker has it.`,
		Example: `  muster worker register http://10.1.2.3:9000/filter --uuid 0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11 --name clearance
  muster worker list
  muster worker pause clearance --for 10m`,
	}
	cmd.AddCommand(
		s.registerCommand(), s.listCommand(), s.getCommand(), s.updateCommand(),
		s.pauseCommand(), s.resumeCommand(), s.probeCommand(), s.deleteCommand(), s.watchCommand(),
	)
	s.group(cmd)
	return cmd
}

// withClient runs a command that calls the gateway.
func (s *shell) withClient(run func(ctx context.Context, c *client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := s.connect()
		if err != nil {
			return err
		}
		defer c.close()
		return run(cmd.Context(), c, args)
	}
}

func (s *shell) listCommand() *cobra.Command {
	var class, typ, state, active string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"},
		Short: "List the workers",
		Example: `  muster worker list
  muster worker list --state unreachable -o json
  muster worker list --active=false`,
		Args: cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client, _ []string) error {
			query := url.Values{}
			for name, value := range map[string]string{"class": class, "type": typ, "state": state, "active": active} {
				if value != "" {
					query.Set(name, value)
				}
			}
			if active != "" && active != "true" && active != "false" {
				return usagef("leave it out to see both", "--active %s is neither true nor false", quote(active))
			}
			all, err := c.all(ctx, query)
			if err != nil {
				return err
			}
			return s.printList(all)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&class, "class", "", "only workers of this class")
	flags.StringVar(&typ, "type", "", "only workers of this type")
	flags.StringVar(&state, "state", "", "only workers in this standing: healthy, suspect, unreachable, quarantined or unknown")
	flags.StringVar(&active, "active", "", "only active workers (true) or paused ones (false)")
	s.complete(cmd, "state", "healthy", "suspect", "unreachable", "quarantined", "unknown")
	s.complete(cmd, "active", "true", "false")
	return cmd
}

func (s *shell) printList(all []*record) error {
	raws := make([]json.RawMessage, len(all))
	for i, r := range all {
		raws[i] = r.raw
	}
	return s.print(map[string]any{"items": raws, "nextCursor": ""}, func(w io.Writer) error {
		if err := row(w, "NAME", "UUID", "TYPE", "VERSION", "STATE", "SINCE", "ACTIVE", "URL"); err != nil {
			return err
		}
		now := time.Now()
		for _, r := range all {
			if err := row(w, r.Name, r.UUID, r.Type, r.Version, r.Standing.State,
				age(r.Standing.Since, now), r.activity(now), r.URL); err != nil {
				return err
			}
		}
		return nil
	})
}

// activity says whether a worker is called, in one cell.
func (r *record) activity(now time.Time) string {
	switch {
	case r.Active:
		return "yes"
	case r.PausedUntil.After(now):
		return "paused for " + r.PausedUntil.Sub(now).Round(time.Second).String()
	default:
		return "paused"
	}
}

func (s *shell) getCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get REF", Aliases: []string{"show"},
		Short:             "Show one worker",
		Example:           "  muster worker get clearance -o yaml",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			r, err := c.get(ctx, args[0])
			if err != nil {
				return err
			}
			return s.printRecord(r)
		}),
	}
}

// printRecord prints one worker; its table has a line per member.
func (s *shell) printRecord(r *record) error {
	return s.print(r.raw, func(w io.Writer) error {
		now := time.Now()
		at := func(t time.Time) string {
			if t.IsZero() {
				return ""
			}
			return t.UTC().Format(time.RFC3339) + " (" + age(t, now) + " ago)"
		}
		set := &r.Settings
		for _, line := range [][]string{
			{"name", r.Name}, {"uuid", r.UUID}, {"url", r.URL}, {"class", r.Class}, {"type", r.Type},
			{"version", r.Version}, {"transport", r.Transport}, {"active", r.activity(now)},
			{"state", r.Standing.State}, {"since", at(r.Standing.Since)}, {"last probe", at(r.Standing.LastProbe)},
			{"last error", r.Standing.LastError},
			{"latency", strconv.FormatFloat(r.Standing.LatencyMS, 'f', -1, 64) + "ms"},
			{"conformance", r.Conformance.Level},
			{"timeout", set.Timeout}, {"on failure", set.OnFailure}, {"mask", strconv.FormatBool(set.Mask)},
			{"identity", set.Identity}, {"audience", set.Audience},
			{"max elements per call", strconv.Itoa(set.MaxElementsPerCall)},
			{"max concurrent", strconv.Itoa(set.MaxConcurrent)},
			{"registered by", r.RegisteredBy}, {"registered at", at(r.RegisteredAt)},
			{"updated at", at(r.UpdatedAt)}, {"revision", strconv.FormatInt(r.Revision, 10)},
		} {
			if err := row(w, line...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *shell) probeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "probe REF",
		Short: "Ask a worker now who it is; a probe that passes ends a quarantine",
		Long: `Ask a worker now who it is. A probe that passes makes it healthy at once and
ends a quarantine. Exit code 1 when the probe does not pass.`,
		Example:           "  muster worker probe clearance",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := c.resolve(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := c.call(ctx, request{method: http.MethodPost, path: workersPath + "/" + id + "/probe"})
			if err != nil {
				return err
			}
			var found standing
			if err := json.Unmarshal(got.body, &found); err != nil {
				return &trouble{code: ExitFailed, what: "the gateway's standing is not readable: " + err.Error(), cause: err}
			}
			err = s.print(json.RawMessage(got.body), func(w io.Writer) error {
				if err := row(w, "STATE", "LATENCY", "ERROR"); err != nil {
					return err
				}
				return row(w, found.State, strconv.FormatFloat(found.LatencyMS, 'f', -1, 64)+"ms", found.LastError)
			})
			if err == nil && found.State != "healthy" {
				return &trouble{code: ExitFailed, what: "the probe did not pass: " + found.LastError, where: args[0],
					do: "mend what it says at the worker, then probe again"}
			}
			return err
		}),
	}
}

func (s *shell) deleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete REF", Aliases: []string{"rm"},
		Short:             "Remove a worker from the register",
		Example:           "  muster worker delete clearance",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			id, err := c.resolve(ctx, args[0])
			if err != nil {
				return err
			}
			got, err := c.call(ctx, request{method: http.MethodDelete, path: workersPath + "/" + id})
			if err != nil {
				return err
			}
			done := struct {
				UUID    string `json:"uuid"`
				Deleted bool   `json:"deleted"`
				Warning string `json:"warning,omitempty"`
			}{UUID: id, Deleted: true, Warning: warningOf(got)}
			if done.Warning != "" {
				s.say("warning: %s", done.Warning)
			}
			return s.print(done, func(w io.Writer) error { return row(w, "deleted "+id) })
		}),
	}
}
