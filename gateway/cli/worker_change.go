package cli

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// settingFlags are the flags of a registration's settings.
type settingFlags struct {
	timeout, onFailure, identity, audience string
	mask                                   bool
	maxElements, maxConcurrent             int
}

func (f *settingFlags) add(s *shell, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.timeout, "timeout", "", "bound of one call, such as 2s")
	flags.StringVar(&f.onFailure, "on-failure", "", "fail the request, or hide what the worker did not judge")
	flags.BoolVar(&f.mask, "mask", false, "allow the worker to change property values")
	flags.StringVar(&f.identity, "identity", "", "forward the caller's token, or exchange it for one of the worker's audience")
	flags.StringVar(&f.audience, "audience", "", "audience that token exchange asks for")
	flags.IntVar(&f.maxElements, "max-elements-per-call", 0, "split larger batches; needs conformance level laws; 0 never splits")
	flags.IntVar(&f.maxConcurrent, "max-concurrent", 0, "calls in flight to the worker, per replica")
	s.complete(cmd, "on-failure", "fail", "hide")
	s.complete(cmd, "identity", "forward", "exchange")
}

// given returns the settings whose flags were given; nil when none was.
func (f *settingFlags) given(cmd *cobra.Command) *settings {
	out := &settings{
		Timeout: given(cmd, "timeout", f.timeout), OnFailure: given(cmd, "on-failure", f.onFailure),
		Mask: given(cmd, "mask", f.mask), Identity: given(cmd, "identity", f.identity),
		Audience:           given(cmd, "audience", f.audience),
		MaxElementsPerCall: given(cmd, "max-elements-per-call", f.maxElements),
		MaxConcurrent:      given(cmd, "max-concurrent", f.maxConcurrent),
	}
	if *out == (settings{}) {
		return nil
	}
	return out
}

// given returns a flag's value when it stood on the command line.
func given[T any](cmd *cobra.Command, name string, value T) *T {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	return &value
}

func (s *shell) registerCommand() *cobra.Command {
	var id, name, transport string
	var paused, dryRun bool
	var set settingFlags
	cmd := &cobra.Command{
		Use: "register URL --uuid UUID", Aliases: []string{"add"},
		Short: "Register a worker",
		Long: `Register a worker. URL is where it takes requests; the gateway asks the root of
that address who the worker is, and refuses it unless it answers with this uuid.`,
		Example: `  muster worker register http://10.1.2.3:9000/filter --uuid 0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11 --name clearance
  muster worker register grpc://10.1.2.3:9001 --uuid 0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11 --dry-run`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		if id == "" {
			return usagef("it is the uuid that the worker answers with; its author knows it", "--uuid is missing")
		}
		ch := change{URL: &args[0], UUID: &id, Name: given(cmd, "name", name),
			Transport: given(cmd, "transport", transport), Settings: set.given(cmd)}
		if paused {
			ch.Active = new(bool)
		}
		body, err := ch.body()
		if err != nil {
			return err
		}
		query := url.Values{}
		if dryRun {
			query.Set("dryRun", "true")
		}
		got, err := c.call(ctx, request{method: http.MethodPost, path: workersPath, query: query, body: body})
		if err != nil {
			return err
		}
		r, err := readRecord(got.body)
		if err != nil {
			return err
		}
		if dryRun {
			s.say("a dry run: nothing was stored")
		}
		return s.printRecord(r)
	})
	flags := cmd.Flags()
	flags.StringVar(&id, "uuid", "", "uuid that the worker has to answer with")
	flags.StringVar(&name, "name", "", "name for people (default HOST:PORT of the URL)")
	flags.StringVar(&transport, "transport", "", "rest or grpc (default by the URL)")
	flags.BoolVar(&paused, "paused", false, "register it without calling it")
	flags.BoolVar(&dryRun, "dry-run", false, "check everything, store nothing")
	set.add(s, cmd)
	s.complete(cmd, "transport", "rest", "grpc")
	return cmd
}

func (s *shell) updateCommand() *cobra.Command {
	var name, address, ifMatch string
	var set settingFlags
	cmd := &cobra.Command{
		Use:   "update REF",
		Short: "Change a worker's name, address or settings",
		Long: `Change a worker's name, address or settings; what is not given stays as it is.
A new address is asked first who it is, as at registration.`,
		Example: `  muster worker update clearance --timeout 5s
  muster worker update clearance --worker-url http://10.1.2.4:9000/filter --if-match 12`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		ch := change{Name: given(cmd, "name", name), URL: given(cmd, "worker-url", address), Settings: set.given(cmd)}
		if ch == (change{}) {
			return usagef(cmd.CommandPath()+" --help shows what can be changed", "nothing to change was given")
		}
		return s.patch(ctx, c, args[0], ch, ifMatch)
	})
	flags := cmd.Flags()
	flags.StringVar(&name, "name", "", "new name")
	flags.StringVar(&address, "worker-url", "", "new address of the worker")
	flags.StringVar(&ifMatch, "if-match", "", "change only this revision of the record")
	set.add(s, cmd)
	return cmd
}

// patch sends a change and prints the record that came of it.
func (s *shell) patch(ctx context.Context, c *client, ref string, ch change, ifMatch string) error {
	id, err := c.resolve(ctx, ref)
	if err != nil {
		return err
	}
	body, err := ch.body()
	if err != nil {
		return err
	}
	header := http.Header{}
	if ifMatch != "" {
		header.Set("If-Match", ifMatch)
	}
	got, err := c.call(ctx, request{method: http.MethodPatch, path: workersPath + "/" + id, header: header, body: body})
	if err != nil {
		return err
	}
	if text := warningOf(got); text != "" {
		s.say("warning: %s", text)
	}
	r, err := readRecord(got.body)
	if err != nil {
		return err
	}
	return s.printRecord(r)
}

func (s *shell) pauseCommand() *cobra.Command {
	var until string
	var span time.Duration
	cmd := &cobra.Command{
		Use:   "pause REF",
		Short: "Stop calling a worker: what it would have hidden shows meanwhile",
		Long: `Stop calling a worker. This is the operator's deliberate exception: what only
this worker would have hidden shows as long as the pause lasts. It is audited.`,
		Example: `  muster worker pause clearance --for 10m
  muster worker pause clearance --until 2027-01-01T06:00:00Z`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		ch := change{Active: new(bool)}
		switch {
		case until != "" && span != 0:
			return usagef("give one of them", "--until and --for are both set")
		case span < 0:
			return usagef("give a duration such as 10m", "--for lies in the past")
		case span > 0:
			text := time.Now().Add(span).UTC().Format(time.RFC3339Nano)
			ch.Until = &text
		case until != "":
			t, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return usagef("give a time such as 2027-01-01T06:00:00Z", "--until %s is not a time", quote(until))
			}
			text := t.UTC().Format(time.RFC3339Nano)
			ch.Until = &text
		}
		return s.patch(ctx, c, args[0], ch, "")
	})
	cmd.Flags().StringVar(&until, "until", "", "when the pause ends by itself, as 2027-01-01T06:00:00Z")
	cmd.Flags().DurationVar(&span, "for", 0, "how long the pause lasts, as 10m")
	return cmd
}

func (s *shell) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "resume REF",
		Short:             "Call a paused worker again",
		Example:           "  muster worker resume clearance",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
		RunE: s.withClient(func(ctx context.Context, c *client, args []string) error {
			active := true
			return s.patch(ctx, c, args[0], change{Active: &active}, "")
		}),
	}
}

// completeWorkers offers the names and uuids of the register. It keeps quiet
// when there is no gateway or no token: completion is no place for errors.
func (s *shell) completeWorkers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, none
	}
	c, err := s.connect()
	if err != nil {
		return nil, none
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	all, err := c.all(ctx, nil)
	if err != nil {
		return nil, none
	}
	names := map[string]int{}
	for _, r := range all {
		names[r.Name]++
	}
	var out []cobra.Completion
	for _, r := range all {
		if _, isID := uuid.Parse(r.Name); names[r.Name] == 1 && isID != nil && clean(r.Name) == r.Name {
			out = append(out, cobra.CompletionWithDesc(r.Name, r.UUID))
		}
		out = append(out, cobra.CompletionWithDesc(r.UUID, clean(r.Name)))
	}
	return out, none
}
