package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

const modulePrefix = "github.com/muster-fleet/muster/"

// event is one line of "go test -json" (cmd/test2json).
type event struct {
	Action      string  `json:"Action"`
	Package     string  `json:"Package"`
	ImportPath  string  `json:"ImportPath"`
	Test        string  `json:"Test"`
	Output      string  `json:"Output"`
	Elapsed     float64 `json:"Elapsed"`
	FailedBuild string  `json:"FailedBuild"`
}

// goTest runs "go test -json args" in dir and books what it says. env is added
// to the environment. The error says that a test or a build failed. Nothing is
// taken from the cache of results: it does not know of files of other modules,
// which the laws read, nor of servers.
func (r *runner) goTest(ctx context.Context, dir string, env []string, args ...string) error {
	return r.events(ctx, dir, env, append([]string{"test", "-json", "-count=1"}, args...)...)
}

// events runs a command of go's that tells what tests do, and books it.
func (r *runner) events(ctx context.Context, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(r.environment(), env...)
	cmd.Stderr = r.out
	endGently(cmd)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.book(pipe)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go %s: %w", args[0], err)
	}
	return readErr
}

// book reads the events of one run and adds their outcomes.
func (r *runner) book(stream io.Reader) error {
	b := booking{r: r, output: map[testID][]string{}, build: map[string][]string{}}
	lines := bufio.NewReaderSize(stream, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			b.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// booking is the state of one run of go test.
type booking struct {
	r      *runner
	output map[testID][]string
	build  map[string][]string
}

func (b *booking) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		// go test prints plain text where a toolchain step fails.
		fmt.Fprintf(b.r.out, "%s", line)
		return
	}
	id := testID{strings.TrimPrefix(e.Package, modulePrefix), e.Test}
	switch e.Action {
	case "output":
		b.output[id] = append(b.output[id], e.Output)
	case "build-output":
		b.build[e.ImportPath] = append(b.build[e.ImportPath], e.Output)
	case "pass", "skip":
		b.done(id, e)
	case "fail":
		b.failed(id, e)
	}
}

func (b *booking) done(id testID, e event) {
	lines := b.output[id]
	delete(b.output, id)
	switch {
	case e.Test == "" && e.Action == "pass":
		fmt.Fprintf(b.r.out, "ok   %-45s %6.1fs\n", id.pkg, e.Elapsed)
	case e.Test == "":
		// A package without tests is no skipped test.
	case e.Action == "pass":
		b.r.results.add(id, result{outcome: passed, seconds: e.Elapsed})
	default:
		b.r.results.add(id, result{outcome: skipped, reason: skipReason(lines), seconds: e.Elapsed})
	}
}

func (b *booking) failed(id testID, e event) {
	lines := b.output[id]
	delete(b.output, id)
	if e.Test != "" {
		b.r.results.add(id, result{outcome: failed, seconds: e.Elapsed})
		fmt.Fprintf(b.r.out, "FAIL %s\n%s", id, strings.Join(lines, ""))
		return
	}
	if e.FailedBuild != "" {
		lines = append(b.build[e.FailedBuild], lines...)
	}
	fmt.Fprintf(b.r.out, "FAIL %s %6.1fs\n", id.pkg, e.Elapsed)
	// A package that fails without a failing test panicked, did not compile,
	// or left goroutines behind: that is a failure of its own.
	if !b.r.results.hasFailure(id.pkg) {
		fmt.Fprint(b.r.out, strings.Join(lines, ""))
		b.r.results.add(id, result{outcome: failed, reason: "the package failed outside its tests"})
	}
}

var skipLine = regexp.MustCompile(`^\s+(\S+)\.go:\d+: (.*)`)

// skipReason finds what a skipped test said, in its output.
func skipReason(lines []string) string {
	reason := ""
	for _, l := range lines {
		// The last line is the skip's own, but for testscript, which logs the
		// script after it.
		if m := skipLine.FindStringSubmatch(strings.TrimRight(l, "\n")); m != nil && m[1] != "testscript" {
			reason = m[2]
		}
	}
	if reason == "" {
		return "no reason given"
	}
	return reason
}

// environment is the environment of the tests: ours without Muster's variables,
// so that what a developer has set changes no test; those that switch long tests
// on are set part by part. A PostgreSQL that the caller names is for all.
func (r *runner) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MUSTER_") || strings.HasPrefix(kv, "MUSTER_TEST_POSTGRES_DSN=") {
			env = append(env, kv)
		}
	}
	return env
}
