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
	"regexp"
	"slices"
	"strings"
	"time"
)

// outcome is all that a run found, as it is written to the JSON file.
type outcome struct {
	Commit  string    `json:"commit"`
	Machine string    `json:"machine"`
	At      time.Time `json:"at"`
	Quick   bool      `json:"quick"`
	// Only is the expression that chose bars; empty when all were.
	Only     string            `json:"only,omitempty"`
	Minutes  float64           `json:"minutes"`
	Cells    []measurement     `json:"cells"`
	Figures  map[string]figure `json:"figures"`
	Bars     []judged          `json:"bars"`
	Excluded []string          `json:"excluded"`
}

// options are the flags of run.
type options struct {
	bin, programs, doc, json string
	quick, smoke             bool
	only                     *regexp.Regexp
	modes                    string
}

func runFlags(args []string) (options, error) {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	var o options
	flags.StringVar(&o.bin, "bin", "bin/muster", "the Muster to measure")
	flags.StringVar(&o.programs, "programs", "", "the directory of benchrules and benchaccess, which measure rules and access; empty is where this program is")
	flags.BoolVar(&o.quick, "quick", false, "fewer cells, shorter and fewer repetitions")
	flags.BoolVar(&o.smoke, "smoke", false, "one short repetition of everything, judged by nobody: shows that it all works")
	only := flags.String("only", "", "only the bars whose name matches this expression, and what they need")
	flags.StringVar(&o.modes, "modes", "", "of the matrix, only these of rest, reformat, grpc, comma-separated")
	flags.StringVar(&o.doc, "o", "", "write the tables between the markers of this Markdown file")
	flags.StringVar(&o.json, "json", "", "write all numbers to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *only != "" {
		expression, err := regexp.Compile(*only)
		if err != nil {
			return o, fmt.Errorf("-only: %w", err)
		}
		o.only = expression
	}
	if o.doc != "" && (*only != "" || o.smoke) {
		return o, errors.New("-o with -only or -smoke: the document's tables would lose what was measured before; take -json")
	}
	path, err := filepath.Abs(o.bin)
	if err != nil {
		return o, err
	}
	o.bin = path
	if _, err := os.Stat(path); err != nil {
		return o, fmt.Errorf("%w; build it with \"make build\"", err)
	}
	return o, nil
}

func (o *options) plan() plan {
	p := fullPlan()
	if o.quick {
		p = quickPlan()
	}
	if o.smoke {
		p.quick, p.effort = true, effort{repetitions: 1, length: 20 * time.Millisecond, warm: time.Millisecond}
	}
	return p
}

// runCommand measures, reports and judges.
func runCommand(ctx context.Context, args []string) error {
	o, err := runFlags(args)
	if err != nil {
		return err
	}
	p := o.plan()
	if o.modes != "" {
		p.modes = strings.Split(o.modes, ",")
	}
	bars := allBars()
	points, probes := p.grid(), probesOf(bars)
	if o.only != nil {
		bars = slices.DeleteFunc(bars, func(b bar) bool { return !o.only.MatchString(b.name) })
		if len(bars) == 0 {
			return fmt.Errorf("-only: no bar's name matches %s", o.only)
		}
		points, probes = pointsOf(bars), probesOf(bars)
	}
	out, err := measureAndJudge(ctx, p, o, bars, points, probes)
	if err != nil {
		return err
	}
	if err := publish(out, o.doc, o.json); err != nil || o.smoke {
		return err
	}
	return verdict(out.Bars)
}

func measureAndJudge(ctx context.Context, p plan, o options, bars []bar, points wanted, probes map[string]bool) (*outcome, error) {
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
	b := &bench{plan: p, bin: o.bin, programs: o.programs, log: os.Stdout, dir: dir, got: map[point]measurement{}, figures: map[string]figure{}, began: began}
	verdicts, err := b.judged(ctx, bars, points, probes)
	if err := errors.Join(err, awake.stop()); err != nil {
		return nil, err
	}
	only := ""
	if o.only != nil {
		only = o.only.String()
	}
	return &outcome{
		Commit: commit(ctx), Machine: machine(), At: began.UTC().Truncate(time.Second), Quick: p.quick, Only: only,
		Minutes: time.Since(began).Minutes(), Cells: inOrder(b.got), Figures: b.figures, Bars: verdicts, Excluded: leftOut(p),
	}, nil
}

// judged measures, judges, and measures what failed once more, for twice as
// long, before it is believed.
func (b *bench) judged(ctx context.Context, bars []bar, points wanted, probes map[string]bool) ([]judged, error) {
	if err := b.progress("%d points in %d cells, %d probes, %d bars", len(points), len(points.cells()), len(probes), len(bars)); err != nil {
		return nil, err
	}
	if err := b.all(ctx, points, probes, b.plan.effort); err != nil {
		return nil, err
	}
	verdicts := judge(bars, b.found())
	points, probes = failing(verdicts)
	if len(points)+len(probes) == 0 || b.plan.effort.repetitions == 1 {
		return verdicts, nil
	}
	if err := b.progress("once more what does not hold: %d points, %d probes", len(points), len(probes)); err != nil {
		return nil, err
	}
	e := b.plan.effort
	e.length *= 2
	if err := b.all(ctx, points, probes, e); err != nil {
		return nil, err
	}
	return rejudge(verdicts, b.found()), nil
}

func (b *bench) all(ctx context.Context, points wanted, probes map[string]bool, e effort) error {
	if err := b.measure(ctx, points, e); err != nil {
		return err
	}
	return b.probe(ctx, probes)
}

// leftOut names the cells of the full matrix that a plan does not measure.
func leftOut(p plan) []string {
	notes := []string{
		"N=10,000 with 32 connections and N=100,000 with more than one, but for memory: plain Go would need minutes and several GB a cell",
		"bytes-raw and its like towards gRPC workers: they speak HTTP/1.1",
	}
	if p.plainUpTo < 100_000 {
		notes = append(notes, "N=100,000, W=3 and c=32, but for memory and growth: this was a quick run")
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
