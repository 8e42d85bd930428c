// Command muster is the registry and gateway of a fleet of workers, and the
// command line that looks after it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mattn/go-isatty"

	"github.com/muster-fleet/muster/gateway/cli"
)

// version is set by the linker of a release, with -X main.version.
var version string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order; from then on a second one has its
	// usual effect and ends the process at once.
	context.AfterFunc(ctx, stop)
	terminal := isatty.IsTerminal(os.Stderr.Fd())
	code := cli.Run(ctx, cli.Process{
		Args: os.Args[1:], Environ: os.Environ(), Version: version,
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: terminal, Asks: terminal && isatty.IsTerminal(os.Stdin.Fd()),
	})
	stop()
	os.Exit(code)
}
