package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// timing is how long a part took and how it ended.
type timing struct {
	name string
	took time.Duration
	err  error
}

// runner runs parts one after the other and collects what they found.
type runner struct {
	root     string
	out      io.Writer
	results  *results
	only     string
	fuzztime time.Duration
	allowed  map[string]string
	// strict makes an unlisted skip a failure.
	strict bool

	minutes []timing
}

func (r *runner) run(ctx context.Context, p part) {
	if !strings.Contains(p.name, r.only) || ctx.Err() != nil {
		return
	}
	fmt.Fprintf(r.out, "\n== %s\n", p.name)
	begin := time.Now()
	at, before := len(r.minutes), len(r.results.with(failed))
	err := p.do(ctx, r)
	if !p.tests {
		res := result{outcome: passed}
		if err != nil {
			res = result{outcome: failed, reason: err.Error()}
			fmt.Fprintf(r.out, "FAIL %s: %v\n", p.name, err)
		}
		r.results.add(testID{"check", p.name}, res)
	}
	if p.tests && err != nil && len(r.results.with(failed)) == before {
		r.results.add(testID{"check", p.name}, result{outcome: failed, reason: err.Error()})
	}
	// A part's own line stands before those of the groups within it.
	groups := append([]timing{{p.name, time.Since(begin), err}}, r.minutes[at:]...)
	r.minutes = append(r.minutes[:at:at], groups...)
}

// ownFailure books a failure that is no test's and returns it.
func (r *runner) ownFailure(pkg, name string, err error) error {
	fmt.Fprintf(r.out, "FAIL %s %s: %v\n", pkg, name, err)
	r.results.add(testID{pkg, name}, result{outcome: failed, reason: err.Error()})
	return fmt.Errorf("%s %s: %w", pkg, name, err)
}

// command runs a program whose output is shown and whose input is empty.
func (r *runner) command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = r.out, r.out
	endGently(cmd)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{filepath.Base(name)}, args...), " "), err)
	}
	return nil
}

// endGently lets a cancelled child clean up after itself for a while.
func endGently(cmd *exec.Cmd) {
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
}

// output runs a program and returns the last line that it printed; what it says
// on standard error is shown.
func (r *runner) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.root, name), args...)
	cmd.Dir = r.root
	cmd.Stderr = r.out
	endGently(cmd)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// valueOf returns what to set a switch to: what the caller has set, the home of
// an installed program, or just "1".
func (r *runner) valueOf(ctx context.Context, name string) (string, error) {
	if v := os.Getenv(name); v != "" {
		return v, nil
	}
	switch name {
	case "MUSTER_TEST_KEYCLOAK_HOME":
		return r.output(ctx, "tools/setup/keycloak.sh")
	case "MUSTER_TEST_AIRFLOW":
		return r.output(ctx, "tools/setup/airflow.sh")
	default:
		return "1", nil
	}
}
