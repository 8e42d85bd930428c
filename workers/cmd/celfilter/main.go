// Command celfilter is the reference worker: it judges by a policy file of CEL
// rules (see workers/celfilter) and follows the file's changes. Its deployment is
// configured by the environment that worker.FromEnv documents.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/muster-fleet/muster/workers/celfilter"
	"github.com/muster-fleet/muster/workers/worker"
)

const version = "1.0.0"

func main() {
	err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	flags := flag.NewFlagSet("celfilter", flag.ContinueOnError)
	file := flags.String("policy", getenv("POLICY_FILE"), "policy file (POLICY_FILE)")
	check := flags.Bool("check", false, "read the policy, report its mistakes and end")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *file == "" {
		return errors.New("no policy: give -policy FILE or POLICY_FILE")
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	filter, err := celfilter.New(*file, logger)
	if err != nil {
		return err
	}
	if *check {
		_, err := fmt.Fprintf(out, "%s is good\n", *file)
		return err
	}
	cfg, err := worker.FromEnv(getenv)
	if err != nil {
		return err
	}
	cfg.Version, cfg.JudgeBatch, cfg.Logger = version, filter.JudgeBatch, logger
	cfg.Listening = worker.PrintListening(out)
	return serve(ctx, cfg, filter)
}

// serve ends when either the worker or the watching of the policy does.
func serve(ctx context.Context, cfg worker.Config, filter *celfilter.Filter) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watching := make(chan error, 1)
	go func() {
		defer stop()
		watching <- filter.Run(ctx)
	}()
	err := worker.Serve(ctx, cfg)
	stop()
	return errors.Join(err, <-watching)
}
