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

// The bars of Graph Access Rules by the keys that benchrules gives them.
var ruleBars = []struct {
	key, name string
	bar       bar
}{
	{"rate", "rules: node decisions a second, parsed nodes, one thread", bar{asked: 2e6, stretch: 4.5e6, atLeast: true}},
	{"opaIndexed", "rules: decisions, against OPA with a written rule each, indexed by label", bar{asked: 100, stretch: 185, atLeast: true}},
	{"opa", "rules: decisions, against the best OPA", bar{asked: 100, stretch: 185, atLeast: true}},
	{"allocations", "rules: allocations a node", bar{asked: noRuleAllocation, exact: true}},
	{"compile", "rules: ms to find and compile 1000 rules of one principal among 1000000", bar{asked: 5, stretch: 1}},
	{"bytes", "rules: bytes a rule in a snapshot of 1000000", bar{asked: 600, exact: true, format: "%.0f"}},
	{"grows", "rules: a change of one rule among 1000000, against one among 10000", bar{asked: 4}},
	{"proportion", "rules: each of 1000 rules changed at once, against one changed alone", bar{asked: 1}},
}

// noRuleAllocation is what counts as none: what is folded for a new form of node
// is kept, and there are few forms.
const noRuleAllocation = 0.05

func rulesProbe() probe {
	p := probe{name: "rules", run: measureRules}
	for _, r := range ruleBars {
		p.bars = append(p.bars, figured(r.name, p.name, r.bar))
	}
	return p
}

// measureRules runs benchrules.
func measureRules(ctx context.Context, b *bench) (figure, error) {
	path := b.rules
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return figure{}, err
		}
		path = filepath.Join(filepath.Dir(self), "benchrules")
	}
	var args []string
	if b.plan.quick {
		args = append(args, "-quick")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	answer, err := cmd.Output()
	if err != nil {
		return figure{}, fmt.Errorf("%s: %w; \"make bench\" builds it", path, errors.Join(err, ctx.Err()))
	}
	f := figure{Title: "Graph Access Rules"}
	if err := json.Unmarshal(answer, &f); err != nil {
		return figure{}, fmt.Errorf("%s: %w", path, err)
	}
	byKey := f.Values
	f.Values = map[string]value{}
	for _, r := range ruleBars {
		v, ok := byKey[r.key]
		if !ok {
			return figure{}, fmt.Errorf("%s tells no %q", path, r.key)
		}
		f.Values[r.name] = v
	}
	return f, nil
}
