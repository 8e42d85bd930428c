package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// readAllowed reads the list of tests that may be skipped in CI: one a line, the
// test as package.Test, then a reason. Blank lines and lines that begin with #
// count for nothing.
func readAllowed(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	allowed := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: %q has no reason; write \"package.Test reason\"", path, n, line)
		}
		allowed[name] = strings.TrimSpace(reason)
	}
	return allowed, lines.Err()
}

// report prints the summary and returns the exit code.
func (r *runner) report() int {
	skips := r.results.with(skipped)
	if len(skips) > 0 {
		fmt.Fprintf(r.out, "\n%d skipped:\n", len(skips))
	}
	for _, id := range skips {
		why, listed := r.allowed[id.String()]
		switch {
		case listed:
			fmt.Fprintf(r.out, "  %s: %s (allowed: %s)\n", id, r.results.get(id).reason, why)
		case r.strict:
			fmt.Fprintf(r.out, "  %s: %s: NOT in .ci/allowed-skips, so it fails\n", id, r.results.get(id).reason)
			r.results.add(id, result{outcome: failed, reason: "skipped without being allowed"})
		default:
			fmt.Fprintf(r.out, "  %s: %s\n", id, r.results.get(id).reason)
		}
	}
	failures := r.results.with(failed)
	if len(failures) > 0 {
		fmt.Fprintf(r.out, "\n%d failed:\n", len(failures))
	}
	for _, id := range failures {
		fmt.Fprintf(r.out, "  %s %s\n", id, r.results.get(id).reason)
	}
	r.reportTimes()
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n",
		len(r.results.with(passed)), len(failures), len(r.results.with(skipped)))
	if len(failures) > 0 {
		return 1
	}
	return 0
}

func (r *runner) reportTimes() {
	fmt.Fprintf(r.out, "\nslowest tests:\n")
	for _, id := range r.results.slowest(10) {
		fmt.Fprintf(r.out, "  %6.1f s  %s\n", r.results.get(id).seconds, id)
	}
	fmt.Fprintf(r.out, "\nminutes of each part:\n")
	total := 0.0
	for _, t := range r.minutes {
		note := ""
		if t.err != nil {
			note = "  FAILED"
		}
		fmt.Fprintf(r.out, "  %6.2f  %s%s\n", t.took.Minutes(), t.name, note)
		if !strings.HasPrefix(t.name, " ") {
			total += t.took.Minutes()
		}
	}
	fmt.Fprintf(r.out, "  %6.2f  in all\n\n", total)
}
