// Command echoworker is the smallest worker: it shows everything but elements
// labelled Secret. Copy it to begin a worker of your own. Its configuration is
// the environment that worker.FromEnv documents.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/muster-fleet/muster/workers/worker"
)

func main() {
	cfg, err := worker.FromEnv(os.Getenv)
	if err == nil {
		cfg.Version, cfg.Judge, cfg.Listening = "1.0.0", judge, worker.PrintListening(os.Stdout)
		err = worker.Serve(context.Background(), cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func judge(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict {
	if e.HasLabel("Secret") {
		return worker.Hide("secret")
	}
	return worker.Keep()
}
