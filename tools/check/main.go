// Command check runs the project's checks and tests in parts, as "make test",
// "make test-fast", "make test-solo" and "make fuzz" do. It prints what failed
// as it fails, every test that was skipped with its reason, the minutes of each
// part, and, as its last line, how many tests passed, failed and were skipped.
//
// A test counts once, however many parts ran it: it failed when it failed in
// any, it passed when it passed in any, and it was skipped when no part ran it.
// So a long test skips itself unless an environment variable MUSTER_TEST_NAME is
// set, and names that variable in its reason; check then runs it in a part of
// its own with the variable set. With CI=true a test that is still skipped, and
// is not listed in .ci/allowed-skips, is a failure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := start(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func start(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	profile := flags.String("profile", "full", "full, fast, solo or fuzz")
	only := flags.String("only", "", "run only the parts whose name contains this")
	fuzztime := flags.Duration("fuzztime", 20*time.Second, "how long each fuzz target runs, with -profile fuzz")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	top, err := findRoot()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 2
	}
	allowed, err := readAllowed(filepath.Join(top, ".ci", "allowed-skips"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 2
	}
	r := &runner{
		root: top, out: os.Stdout, results: newResults(), only: *only,
		fuzztime: *fuzztime, allowed: allowed, strict: os.Getenv("CI") == "true",
	}
	parts, ok := profiles[*profile]
	if !ok {
		fmt.Fprintf(os.Stderr, "check: no profile %q; there are full, fast, solo and fuzz\n", *profile)
		return 2
	}
	for _, p := range parts {
		r.run(ctx, p)
	}
	return r.report()
}

// findRoot returns the directory of go.work at or above the working directory.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.work here or above; run it inside the repository")
		}
		dir = up
	}
}
