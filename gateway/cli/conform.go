package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-fleet/muster/workers/workertest"
)

// conformFlags are the flags of conform.
type conformFlags struct {
	typ, uuid, level, samples string
	replicas                  []string
	mask, record              bool
	recordTokenFile           string
	issuer, expiredTokenFile  string
	within, wait              time.Duration
	elements                  int
	seed                      uint64
	sink, prefix              string
}

func (s *shell) conformCommand() *cobra.Command {
	var f conformFlags
	cmd := &cobra.Command{
		Use:   "conform URL|REF",
		Short: "Hold a worker, in any language, against the contract",
		Long: `Hold a worker, in any language, against the contract: its cases stand on three
levels, core, robust and laws, each of which needs the ones before it. The worker
is named by its URL as it would be registered, or, when a gateway knows it, by
its uuid or name.

The token is one that the worker takes; without one nothing is proven. The bad
tokens of the suite are made from it and signed by a key of the suite's own, so a
worker may refuse them for that alone: whether it looks at exp, nbf and iss is
then "not proved", a warning. --issuer proves it: the suite is the issuer, and
the worker has to be started for it. Exit code 1 when a case failed or no level
was reached.

A worker of type RuleTransformation is held against the contract of its own: with
--sink, which takes its rules as a gateway does, and has to be the gateway that the
worker was started with.`,
		Example: `  muster conform http://127.0.0.1:9000/filter --token-file token
  muster conform clearance --record
  muster conform grpc://127.0.0.1:9001 --level core -o junit > report.xml
  muster conform http://127.0.0.1:9000/filter --issuer 127.0.0.1:8180
  muster conform http://127.0.0.1:9000/api/transform --sink 127.0.0.1:8190 --samples transform-request.json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeWorkers,
		Annotations:       map[string]string{annotationForms: formJUnit},
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.conform(cmd.Context(), f, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.typ, "type", "", "type that the worker has to be of (default its word)")
	flags.StringVar(&f.uuid, "uuid", "", "uuid that the worker has to answer with (default its word)")
	flags.StringVar(&f.level, "level", "", "last level to run: core, robust or laws (default laws)")
	flags.StringVar(&f.samples, "samples", "", "file with a request's body: elements that the token's owner may see, or what a transformation's step sends")
	flags.StringSliceVar(&f.replicas, "replica", nil, "URL of a further replica, which has to tell the same identity")
	flags.BoolVar(&f.mask, "mask", false, "the worker's registration allows changed values")
	flags.BoolVar(&f.record, "record", false, "store the level in the worker's record; needs the right to manage the fleet")
	flags.StringVar(&f.recordTokenFile, "record-token-file", "", "file with another token for --record")
	flags.StringVar(&f.issuer, "issuer", "", "be the issuer that the worker trusts, at this loopback HOST:PORT, realm and audience muster; its tokens take the token's place")
	flags.StringVar(&f.expiredTokenFile, "expired-token-file", "", "file with a token of the worker's own issuer that has expired by now")
	flags.DurationVar(&f.wait, "wait", 0, "how long to wait for a worker that is still starting (default 30s with --issuer)")
	flags.DurationVar(&f.within, "within", 0, "bound of one call (default 10s)")
	flags.IntVar(&f.elements, "elements", 0, "size of the large batches (default 10000)")
	flags.Uint64Var(&f.seed, "seed", 0, "makes the same run again (default a new one, which the report names)")
	flags.StringVar(&f.sink, "sink", "", "be the gateway that a transformation posts its rules to, at this HOST:PORT")
	flags.StringVar(&f.prefix, "prefix", "", "what the names of a transformation's rules begin with (default whatever they have in common)")
	s.complete(cmd, "level", "core", "robust", "laws")
	return cmd
}

func (s *shell) conform(ctx context.Context, f conformFlags, target string) error {
	o := workertest.Options{
		URL: target, Type: f.typ, UUID: f.uuid, Level: workertest.Level(f.level), Mask: f.mask,
		Replicas: f.replicas, AnswerWithin: f.within, Elements: f.elements, Seed: f.seed, Wait: f.wait,
	}
	stopIssuing, err := s.conformTokens(ctx, f, &o)
	if err != nil {
		return err
	}
	defer stopIssuing()
	stopSink, err := conformSink(ctx, f, &o)
	if err != nil {
		return err
	}
	defer stopSink()
	if !strings.Contains(target, "://") {
		if err := s.lookUp(ctx, target, &o); err != nil {
			return err
		}
	}
	if err := readSamples(f.samples, &o); err != nil {
		return err
	}
	stop := s.progress("holding " + o.URL + " against the contract")
	report, err := workertest.Run(ctx, o)
	stop()
	if err != nil {
		code := exitCode(err)
		if code == ExitFailed {
			code = ExitUsage // what cannot be run at all was asked for wrongly
		}
		return &trouble{code: code, what: err.Error(), where: o.URL, do: "muster conform --help shows what it takes", cause: err}
	}
	if err := s.printReport(report); err != nil {
		return err
	}
	if f.record && ctx.Err() == nil {
		if err := s.record(ctx, f, report); err != nil {
			return err
		}
	}
	return s.conformVerdict(report, o.Tokens != nil)
}

// lookUp takes what the gateway knows of a registered worker.
func (s *shell) lookUp(ctx context.Context, ref string, o *workertest.Options) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.close()
	r, err := c.get(ctx, ref)
	if err != nil {
		return err
	}
	o.URL, o.UUID, o.Mask = r.URL, r.UUID, o.Mask || r.Settings.Mask
	if o.Type == "" {
		o.Type = r.Type
	}
	return nil
}

// readSamples takes the elements of a request's body.
func readSamples(name string, o *workertest.Options) error {
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return usagef("name a file with a request's body", "--samples cannot be read: %v", err)
	}
	var doc struct {
		Parameters struct {
			Type string `json:"type"`
		} `json:"parameters"`
		Data json.RawMessage `json:"data"`
	}
	var graph struct {
		Nodes         []json.RawMessage `json:"nodes"`
		Relationships []json.RawMessage `json:"relationships"`
	}
	if err = json.Unmarshal(data, &doc); err == nil {
		if doc.Parameters.Type == "" && doc.Data == nil {
			o.Transform = data // what a step sends has neither
			return nil
		}
		switch doc.Parameters.Type {
		case "nodes":
			err = json.Unmarshal(doc.Data, &graph.Nodes)
		case "relationships":
			err = json.Unmarshal(doc.Data, &graph.Relationships)
		case "graph":
			err = json.Unmarshal(doc.Data, &graph)
		default:
			err = fmt.Errorf("parameters.type is %s", quote(doc.Parameters.Type))
		}
	}
	if err != nil {
		return usagef("name a file with a request's body, as for muster filter", "--samples %s holds no elements: %v", name, err)
	}
	o.Nodes, o.Relationships = graph.Nodes, graph.Relationships
	return nil
}

func (s *shell) printReport(r *workertest.Report) error {
	switch s.output {
	case formTable:
		return r.WriteTable(s.Out)
	case formJUnit:
		return r.WriteJUnit(s.Out)
	default:
		return s.print(r, nil)
	}
}

// record stores the level that was reached in the worker's record.
func (s *shell) record(ctx context.Context, f conformFlags, r *workertest.Report) error {
	if f.recordTokenFile != "" {
		s.token, s.tokenFile = "", f.recordTokenFile
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.close()
	id, err := c.resolve(ctx, r.Info.UUID)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{
		"level": string(r.Level()), "version": r.Info.Version, "at": r.Begun.UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return err
	}
	_, err = c.call(ctx, request{method: http.MethodPut, path: workersPath + "/" + id + "/conformance", body: body})
	if err != nil {
		return err
	}
	s.say("recorded level %s for version %s of %s", r.Level(), r.Info.Version, id)
	return nil
}

func (s *shell) conformVerdict(r *workertest.Report, hadToken bool) error {
	if n := r.Count(workertest.NotProved); n > 0 {
		s.say("warning: cases not proved: %d; each of them says why, and what proves it", n)
	}
	switch failed := len(r.Failed()); {
	case failed > 0 && r.Contextual():
		return &trouble{code: ExitFailed, what: "the worker conforms but for the laws: it works, with whole batches",
			do: "make each element's verdict depend on the caller and the element alone"}
	case failed > 0:
		return &trouble{code: ExitFailed, what: fmt.Sprintf("%d cases failed", failed),
			do: "each of them says what was wrong and what was due"}
	case r.Level() == workertest.None && !hadToken:
		return &trouble{code: ExitFailed, what: "nothing was proven: there was no token",
			do: "give one that the worker takes, by MUSTER_TOKEN or --token-file"}
	case r.Level() == workertest.None:
		return &trouble{code: ExitFailed, what: "no level was reached: cases that a level needs were skipped",
			do: "each of them says why; --samples gives elements that the token's owner may see"}
	}
	return nil
}
