package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// outcome is all that a run found, as it is written to the JSON file.
type outcome struct {
	Commit   string        `json:"commit"`
	Machine  string        `json:"machine"`
	At       time.Time     `json:"at"`
	Quick    bool          `json:"quick"`
	Minutes  float64       `json:"minutes"`
	Cells    []measurement `json:"cells"`
	Bars     []judged      `json:"bars"`
	Excluded []string      `json:"excluded"`
}

// runCommand measures, reports and judges.
func runCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	bin := flags.String("bin", "bin/muster", "the Muster to measure")
	quick := flags.Bool("quick", false, "fewer cells, shorter and fewer repetitions")
	modes := flags.String("modes", "", "only these of rest, reformat, grpc, comma-separated")
	doc := flags.String("o", "", "write the tables between the markers of this Markdown file")
	jsonFile := flags.String("json", "", "write all numbers to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p := fullPlan()
	if *quick {
		p = quickPlan()
	}
	if *modes != "" {
		p.modes = strings.Split(*modes, ",")
	}
	path, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%w; build it with \"make build\"", err)
	}
	out, err := measureAndJudge(ctx, p, path)
	if err != nil {
		return err
	}
	out.Quick = *quick
	return errors.Join(publish(out, *doc, *jsonFile), verdict(out.Bars))
}

func measureAndJudge(ctx context.Context, p plan, bin string) (*outcome, error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "muster-bench")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()     // only scratch
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nginx's workers run as another user
		return nil, err
	}
	awake, err := startSelf(ctx, "-kind", "spin")
	if err != nil {
		return nil, err
	}
	b := &bench{plan: p, bin: bin, log: os.Stderr, dir: dir, got: map[point]measurement{}}
	err = b.measure(ctx, nil)
	found := judge(b.got)
	if again := failing(found); err == nil && len(again) > 0 {
		fmt.Fprintf(os.Stderr, "measuring once more what is in %d points of bars that do not hold\n", len(again))
		err = b.measure(ctx, again)
		found = rejudge(found, b.got)
	}
	if err := errors.Join(err, awake.stop()); err != nil {
		return nil, err
	}
	return &outcome{
		Commit: commit(ctx), Machine: machine(), At: began.UTC().Truncate(time.Second),
		Minutes: time.Since(began).Minutes(), Cells: inOrder(b.got), Bars: found, Excluded: leftOut(p),
	}, nil
}

// leftOut names the cells of the full matrix that a plan does not measure.
func leftOut(p plan) []string {
	notes := []string{
		"N=10,000 with 32 connections and N=100,000 with more than one: plain Go would need minutes and several GB a cell",
		"bytes-raw and its like towards gRPC workers: they speak HTTP/1.1",
	}
	if p.plainUpTo < 100_000 {
		notes = append(notes, "N=100,000, W=3 and c=32: this was a quick run")
	}
	return notes
}

// commit returns the commit of the tree, marked when files differ from it.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func publish(out *outcome, doc, jsonFile string) error {
	text := report(out)
	fmt.Print(text)
	if jsonFile != "" {
		data, err := json.MarshalIndent(out, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(jsonFile, append(data, '\n'), 0o600); err != nil {
			return err
		}
	}
	if doc == "" {
		return nil
	}
	return intoDocument(doc, text)
}

// verdict is an error when a bar does not hold.
func verdict(bars []judged) error {
	for _, b := range bars {
		if !b.Holds {
			return errBars
		}
	}
	return nil
}
