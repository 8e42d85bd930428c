// Command ruleloader is the reference worker of type RuleTransformation: it makes
// Graph Access Rules from CSV files, Parquet files and PostgreSQL by a mapping file
// (see workers/ruleloader). Its deployment is configured by the environment that
// worker.FromEnv documents.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/muster-fleet/muster/workers/ruleloader"
	"github.com/muster-fleet/muster/workers/worker"
)

const version = "1.0.0"

const usage = `ruleloader makes Graph Access Rules from tables, by a mapping file.

Usage:
  ruleloader [-mapping FILE] [-timeout 1h]          serve as a worker of type RuleTransformation
  ruleloader check-mapping FILE                     report every mistake of a mapping, with its line
  ruleloader preview [-request FILE] FILE           print the rules that a run would post, one JSON
                                                    object a line, and post nothing

Examples:
  ruleloader check-mapping mapping.yaml
  ruleloader preview -request transform-request.json mapping.yaml | head
  WORKER_UUID=5f0c… ISSUER=https://sso.example.org/realms/muster AUDIENCE=muster \
    GATEWAY_URL=https://muster.example.org MAPPING_FILE=mapping.yaml ruleloader

Serving, it is posted to at /api/transform; its environment:
  MAPPING_FILE                  the mapping file, as -mapping
  GATEWAY_URL, GATEWAY_CA_FILE  gateway that rules are posted to
  WORKER_UUID                   identity; the same on all replicas
  ISSUER, AUDIENCE              which tokens are good
  HOST, PORT, OPS_PORT          listeners (PORT 8080)
  TLS_CERT_FILE, TLS_KEY_FILE   TLS on PORT
  MUSTER_URL, WORKER_URL, MUSTER_TOKEN_FILE  enrol at a gateway's registry

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "check-mapping":
			return checkMapping(args[1:], out)
		case "preview":
			return preview(ctx, args[1:], out)
		}
	}
	flags := newFlags("ruleloader")
	file := flags.String("mapping", getenv("MAPPING_FILE"), "mapping file (MAPPING_FILE)")
	timeout := flags.Duration("timeout", worker.DefaultTransformTimeout, "bound of one run")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no command; there are check-mapping and preview, and without one it serves", flags.Arg(0))
	}
	if *file == "" {
		return errors.New("no mapping: give -mapping FILE or MAPPING_FILE")
	}
	if *timeout <= 0 {
		return errors.New("-timeout must be above 0, such as 30m")
	}
	return serve(ctx, *file, *timeout, getenv, out)
}

func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() {
		// Standard error that nobody reads is no reason to fail.
		_, _ = io.WriteString(flags.Output(), usage)
		flags.PrintDefaults()
	}
	return flags
}

func serve(ctx context.Context, file string, timeout time.Duration, getenv func(string) string, out io.Writer) error {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	loader, err := ruleloader.New(file, logger)
	if err != nil {
		return err
	}
	cfg, err := worker.FromEnv(getenv)
	if err != nil {
		return err
	}
	cfg.Version, cfg.Transform, cfg.Logger = version, loader.Transform, logger
	cfg.MaxTimeout = timeout
	cfg.Listening = worker.PrintListening(out)
	return worker.Serve(ctx, cfg)
}

func checkMapping(args []string, out io.Writer) error {
	flags := newFlags("ruleloader check-mapping")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("check-mapping takes one mapping file")
	}
	m, err := ruleloader.LoadMapping(flags.Arg(0))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s is good: %d sources, rules named %s-…\n", flags.Arg(0), m.Sources(), m.Prefix())
	return err
}

func preview(ctx context.Context, args []string, out io.Writer) error {
	flags := newFlags("ruleloader preview")
	file := flags.String("request", "", "file with what a step sends, as JSON; without it nothing is sent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("preview takes one mapping file, after its flags")
	}
	body := []byte("{}")
	if *file != "" {
		var err error
		if body, err = os.ReadFile(*file); err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
	}
	request, err := worker.ParseTransformRequest(body)
	if err != nil {
		return fmt.Errorf("the request in %s: %w", *file, err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	loader, err := ruleloader.New(flags.Arg(0), logger)
	if err != nil {
		return err
	}
	report, err := loader.Preview(ctx, &request, out)
	if err != nil {
		return err
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "nothing was posted", slog.Int64("rows", report.Rows),
		slog.Int64("rowsSkipped", report.RowsSkipped), slog.Int64("badRows", report.BadRows),
		slog.Int("rules", report.Rules), slog.Any("skipped", report.Skipped))
	return nil
}
