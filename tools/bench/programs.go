package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// program is another one that measures something by itself and says what it found in
// JSON, as package told has it.
type program struct {
	// name is the probe's, file the program's, which lies beside this one.
	name, file, title string
	bars              []keyed
	within            time.Duration
}

// keyed is a bar by the key that the program gives it.
type keyed struct {
	key, name string
	bar       bar
}

// programs are all that there are.
func programs() []program { return []program{rulesProgram(), accessProgram()} }

func (p program) probe() probe {
	out := probe{name: p.name, run: p.measure}
	for _, r := range p.bars {
		out.bars = append(out.bars, figured(r.name, p.name, r.bar))
	}
	return out
}

// measure runs the program.
func (p program) measure(ctx context.Context, b *bench) (figure, error) {
	dir := b.programs
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return figure{}, err
		}
		dir = filepath.Dir(self)
	}
	path := filepath.Join(dir, p.file)
	var args []string
	if b.plan.quick {
		args = append(args, "-quick")
	}
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	answer, err := cmd.Output()
	if err != nil {
		return figure{}, fmt.Errorf("%s: %w; \"make bench\" builds it", path, errors.Join(err, ctx.Err()))
	}
	f := figure{Title: p.title}
	if err := json.Unmarshal(answer, &f); err != nil {
		return figure{}, fmt.Errorf("%s: %w", path, err)
	}
	byKey := f.Values
	f.Values = map[string]value{}
	for _, r := range p.bars {
		v, ok := byKey[r.key]
		if !ok {
			return figure{}, fmt.Errorf("%s tells no %q", path, r.key)
		}
		f.Values[r.name] = v
	}
	return f, nil
}

// rulesProgram is benchrules.
func rulesProgram() program {
	// What counts as no allocation: what is folded for a new form of node is kept, and
	// there are few forms.
	const none = 0.05
	return program{name: "rules", file: "benchrules", title: "Graph Access Rules", within: 5 * time.Minute, bars: []keyed{
		{"rate", "rules: node decisions a second, parsed nodes, one thread", bar{asked: 2e6, stretch: 4.5e6, atLeast: true}},
		{"opaIndexed", "rules: decisions, against OPA with a written rule each, indexed by label", bar{asked: 100, stretch: 185, atLeast: true}},
		{"opa", "rules: decisions, against the best OPA", bar{asked: 100, stretch: 185, atLeast: true}},
		{"allocations", "rules: allocations a node", bar{asked: none, exact: true}},
		{"compile", "rules: ms to find and compile 1000 rules of one principal among 1000000", bar{asked: 5, stretch: 1}},
		{"bytes", "rules: bytes a rule in a snapshot of 1000000", bar{asked: 600, exact: true, format: "%.0f"}},
		{"grows", "rules: a change of one rule among 1000000, against one among 10000", bar{asked: 4}},
		{"proportion", "rules: each of 1000 rules changed at once, against one changed alone", bar{asked: 1}},
	}}
}

// accessProgram is benchaccess. Its first bar is of a time, which is the machine's as
// well: nothing is allowed for noise beside it.
func accessProgram() program {
	const none = 1e-4 // less than one in the thousand checks that are counted
	return program{name: "access", file: "benchaccess", title: "Access checks", within: 10 * time.Minute, bars: []keyed{
		{"p99", "access: us of a check at p99, 1000000 grants, 1000 changes a second", bar{asked: 1, stretch: 0.5, exact: true}},
		{"allocations", "access: allocations a check", bar{asked: none, exact: true}},
		{"grows", "access: a change of one row among 1000000 grants, against one among 10000", bar{asked: 4}},
		{"proportion", "access: each of 1000 grants given at once, against one row alone", bar{asked: 1}},
	}}
}
