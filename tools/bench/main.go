// Command bench measures a Muster binary against yardsticks that it starts in
// the same run: bytes-raw and bytes-http (what any fan-out has to do), plain Go
// (what an afternoon's gateway does) and nginx (what one proxy in front of one
// worker does). It keeps the load closed and bounded, takes CPU time from /proc,
// interleaves the repetitions of all subjects, compares medians, and judges
// ratios only: milliseconds belong to the machine. All traffic stays on
// 127.0.0.1.
//
//	bench run -bin bin/muster [-quick] [-only REGEXP] [-o docs/performance.md] [-json FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// errBars says that Muster was measured and is too slow somewhere.
var errBars = errors.New("not every bar holds")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(`say "run" to measure, or "serve" to run one of the peers`)
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:])
	case "serve":
		return serveCommand(ctx, args[1:])
	default:
		return fmt.Errorf("there is no command %q, only run and serve", args[0])
	}
}
