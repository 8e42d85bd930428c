package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// event is one line of watch.
type event struct {
	Time   time.Time       `json:"time"`
	Event  string          `json:"event"`
	Worker json.RawMessage `json:"worker"`

	record *record
}

func (s *shell) watchCommand() *cobra.Command {
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print every change of the fleet until interrupted",
		Long: `Print the fleet, then every change of a record or a standing as it is seen, until
interrupted. With -o json there is one JSON object per line, with -o yaml one
document per change. The gateway is asked for its list every --interval; a
gateway that cannot be reached is waited for, with a message.`,
		Example: `  muster worker watch
  muster worker watch -o json | jq -r 'select(.event=="changed").worker.standing.state'`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, _ []string) error {
		if interval < 100*time.Millisecond {
			return usagef("give at least 100ms", "--interval is %s", interval)
		}
		return s.watch(ctx, c, interval)
	})
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks")
	return cmd
}

// watch looks at the list again and again and prints what differs. It ends
// well when it is interrupted, and with an error when the very first look or
// any later one is refused.
func (s *shell) watch(ctx context.Context, c *client, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var known map[string]*record
	down := false
	for {
		all, err := c.all(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if down {
				s.say("the gateway answers again")
			}
			down = false
			if known == nil {
				if err := s.printHeading(); err != nil {
					return err
				}
			}
			if known, err = s.printEvents(known, all); err != nil {
				return err
			}
		case known == nil || exitCode(err) != ExitUnavailable:
			return err
		case !down:
			down = true
			s.say("%s; waiting for it", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *shell) printHeading() error {
	if s.output != formTable {
		return nil
	}
	return s.watchRow("TIME", "EVENT", "NAME", "UUID", "STATE", "ACTIVE", "VERSION", "ERROR")
}

// watchRow writes one line in columns of a fixed width: what comes later is not
// known when the first lines are written.
func (s *shell) watchRow(cells ...any) error {
	for i, c := range cells {
		if text, ok := c.(string); ok {
			cells[i] = clean(text)
		}
	}
	line := fmt.Sprintf("%-8s  %-7s  %-20s  %-36s  %-11s  %-6s  %-10s  %s", cells...)
	_, err := fmt.Fprintln(s.Out, strings.TrimRight(line, " "))
	return err
}

// printEvents prints how the fleet differs from what was known and returns what
// is known now.
func (s *shell) printEvents(known map[string]*record, all []*record) (map[string]*record, error) {
	present := make(map[string]*record, len(all))
	now := time.Now()
	for _, r := range all {
		present[r.UUID] = r
		before, was := known[r.UUID]
		kind := ""
		switch {
		case known == nil:
			kind = "present"
		case !was:
			kind = "added"
		case before.differs(r):
			kind = "changed"
		}
		if kind == "" {
			continue
		}
		if err := s.printEvent(event{Time: now.UTC(), Event: kind, Worker: r.raw, record: r}); err != nil {
			return nil, err
		}
	}
	for id, r := range known {
		if _, still := present[id]; !still {
			if err := s.printEvent(event{Time: now.UTC(), Event: "removed", Worker: r.raw, record: r}); err != nil {
				return nil, err
			}
		}
	}
	return present, nil
}

// differs reports whether anything but the passing of time and the last probe
// has changed.
func (r *record) differs(now *record) bool {
	return r.Revision != now.Revision || r.Active != now.Active || r.Version != now.Version ||
		r.Standing.State != now.Standing.State || r.Standing.LastError != now.Standing.LastError ||
		r.Conformance.Level != now.Conformance.Level
}

func (s *shell) printEvent(e event) error {
	switch s.output {
	case formJSON:
		return json.NewEncoder(s.Out).Encode(e)
	case formYAML:
		if _, err := io.WriteString(s.Out, "---\n"); err != nil {
			return err
		}
		return s.print(e, nil)
	default:
		r := e.record
		return s.watchRow(e.Time.Format(time.TimeOnly), e.Event, r.Name, r.UUID, r.Standing.State,
			r.activity(e.Time), r.Version, r.Standing.LastError)
	}
}
