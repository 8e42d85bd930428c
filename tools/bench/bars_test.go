package main

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// everything returns a measurement of every point of the full plan, with Muster
// at factor times any yardstick, and probes that found just what is asked, times
// factor.
func everything(factor float64) found {
	got := found{points: map[point]measurement{}, figures: map[string]figure{}}
	grid := fullPlan().grid()
	maps.Copy(grid, pointsOf(allBars()))
	for p := range grid {
		cost := time.Duration(p.N*p.W+100) * time.Microsecond
		switch p.Subject {
		case muster:
			cost = time.Duration(float64(cost) * factor)
		case plain, rows, rowsReady:
			cost *= 20
		}
		s := sample{CPU: cost, P50: cost, P99: cost * 2, Requests: 1_000_000, Elapsed: time.Second}
		got.points[p] = summarize(p, []sample{s, s, s})
	}
	for _, p := range probes() {
		f := figure{Values: map[string]value{}}
		for _, b := range p.bars {
			v := b.asked * factor
			if b.atLeast {
				v = b.asked / factor
			}
			f.Values[b.name] = value{Value: v}
		}
		got.figures[p.name] = f
	}
	return got
}

func TestJudge(t *testing.T) {
	good := judge(allBars(), everything(1))
	if len(good) != len(allBars()) {
		t.Errorf("%d of %d bars were judged", len(good), len(allBars()))
	}
	for _, j := range good {
		if !j.Holds {
			t.Errorf("%s does not hold at %.2f of %.2f: %s", j.Name, j.Value, j.Asked, j.Refused)
		}
	}
	if err := verdict(good); err != nil {
		t.Error(err)
	}
	bad := judge(allBars(), everything(50))
	if err := verdict(bad); err == nil {
		t.Error("fifty times the floor passes")
	}
	points, probes := failing(bad)
	if !points[point{muster, modeREST, 10_000, 1, 8}] || points[point{muster, modeGRPC, 2, 1, 1}] || !probes["wire"] {
		t.Errorf("wrong things to measure again: %v %v", points, probes)
	}
	for i, j := range rejudge(bad, everything(1)) {
		if !j.Holds || (j.Reruns == 1) == bad[i].Holds {
			t.Errorf("%s after a second try: %+v", j.Name, j)
		}
	}
}

func TestBarsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range allBars() {
		if seen[b.name] {
			t.Errorf("two bars are called %q", b.name)
		}
		seen[b.name] = true
		if b.asked == 0 || b.stretch != 0 && (b.stretch > b.asked) != b.atLeast {
			t.Errorf("%s asks for %g, and at best for %g", b.name, b.asked, b.stretch)
		}
	}
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		bar  bar
		want float64
	}{
		{bar{asked: 4}, 5}, {bar{asked: 4, exact: true}, 4}, {bar{asked: 5, atLeast: true}, 4},
	} {
		if got := c.bar.limit(); got != c.want {
			t.Errorf("%+v allows %g, want %g", c.bar, got, c.want)
		}
	}
}

func TestJudgeNeedsAllPoints(t *testing.T) {
	if got := judge(allBars(), found{}); len(got) != 0 {
		t.Errorf("%d bars judged from nothing", len(got))
	}
	zero := everything(1)
	for p := range zero.points {
		zero.points[p] = summarize(p, []sample{{Requests: 1}})
	}
	for _, p := range probes() {
		zero.figures[p.name] = figure{}
	}
	for _, j := range judge(allBars(), zero) {
		if j.Holds || j.Refused == "" {
			t.Errorf("%s holds although nothing was measured", j.Name)
		}
	}
}

func TestTooLittleCPUIsNoNumber(t *testing.T) {
	own, other := point{muster, modeREST, 10_000, 8, 8}, point{raw, modeREST, 10_000, 8, 8}
	b := against(cpuPerRequest, cpu, modeREST, raw, 2.5, 2, 10_000, 8, 8)
	for requests, tells := range map[int]bool{1: false, 29: false, 30: true, 1_000: true} {
		s := sample{CPU: time.Millisecond, Requests: requests, Elapsed: time.Second}
		got := b.read(found{points: map[point]measurement{
			own: summarize(own, []sample{s}), other: summarize(other, []sample{s}),
		}})
		if (got.refused == "") != tells {
			t.Errorf("%d ms of CPU time: %+v", requests, got)
		}
	}
}

// The cost of legs is a difference; when it is within the noise, nothing is told
// of it.
func TestLegsWithinTheNoise(t *testing.T) {
	b := legs("legs", 0.45, 0.3, 1, modeGRPC, rowsReady, modeGRPC)
	got := everything(1)
	for _, p := range b.needs {
		if p.Subject == muster {
			s := sample{CPU: 20*time.Millisecond + time.Duration(p.W)*10*time.Microsecond, Requests: 60, Elapsed: time.Second}
			got.points[p] = summarize(p, []sample{s, s, s})
		}
	}
	if r := b.read(got); r.refused == "" {
		t.Errorf("4 ms of CPU time a repetition tell %+v", r)
	}
}

func TestOver(t *testing.T) {
	r := over([]float64{2, 4, 3}, []float64{1, 1, 1})
	if r.value != 3 || math.Abs(r.spread-1.0/3) > 1e-9 {
		t.Errorf("got %+v", r)
	}
	for name, bad := range map[string]reading{
		"nothing":      over(nil, []float64{1}),
		"no yard":      over([]float64{1}, nil),
		"zero yard":    over([]float64{1}, []float64{0}),
		"negative":     over([]float64{1}, []float64{-1}),
		"both are 0":   over([]float64{0}, []float64{0}),
		"no number":    over([]float64{math.NaN()}, []float64{1}),
		"no end to it": over([]float64{math.Inf(1)}, []float64{1}),
	} {
		if bad.refused == "" {
			t.Errorf("%s: got %+v", name, bad)
		}
	}
	if got := minus([]float64{5, 7}, []float64{1, 2, 3}); !slices.Equal(got, []float64{4, 5}) {
		t.Errorf("got %v", got)
	}
}

func TestSummarize(t *testing.T) {
	s := func(cpu, p50 int) sample {
		return sample{Requests: 10, Elapsed: time.Second, CPU: time.Duration(cpu), P50: time.Duration(p50), P99: 9, Max: time.Duration(cpu * 10)}
	}
	m := summarize(point{}, []sample{s(30, 1), s(10, 3), s(20, 2)})
	if m.CPU != 20 || m.P50 != 2 || m.Max != 300 || m.Spread != 0.5 || m.Rate != 10 {
		t.Errorf("got %+v", m)
	}
	times := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if quantile(times, 0.5) != 5 || quantile(times, 0.99) != 10 || quantile(times[:1], 0.5) != 1 {
		t.Error("quantiles are wrong")
	}
}

func TestReportGoesIntoTheDocument(t *testing.T) {
	got := everything(1)
	got.figures["wire"] = figure{Title: "Bytes", Rows: [][]string{{"what", "how many"}, {"rest", "7"}}, Notes: []string{"Counted."}}
	verdicts := judge(allBars(), everything(50))
	verdicts[0].Refused, verdicts[1].Reruns, verdicts[1].Spread = "too little to tell", 1, 0.07
	text := report(&outcome{Commit: "abc", Machine: "here", Cells: inOrder(got.points), Figures: got.figures, Bars: verdicts, Excluded: []string{"this"}})
	for _, want := range []string{
		"`abc`", "### Bars", "gRPC workers", "- this", "| 2 | 1 | 1 |", "### Bytes\n\n| what | how many |\n|---|---|\n| rest | 7 |\n\nCounted.",
		"| too little to tell |", "**no** (second try)", "±7%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	doc := filepath.Join(t.TempDir(), "performance.md")
	old := "before\n" + markBegin + "\nOUTDATED\n" + markEnd + "\nafter\n"
	if err := os.WriteFile(doc, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // writing again changes nothing
		if err := intoDocument(doc, text); err != nil {
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(now), "before\n") || !strings.HasSuffix(string(now), "\nafter\n") || strings.Contains(string(now), "OUTDATED") {
		t.Errorf("got %s", now)
	}
	if err := intoDocument(doc+"x", text); err == nil {
		t.Error("no file, and yet no error")
	}
}

func TestPlans(t *testing.T) {
	for _, p := range []plan{fullPlan(), quickPlan()} {
		for _, n := range p.sizes {
			if len(p.connections(n)) == 0 {
				t.Errorf("no connections for %d nodes", n)
			}
		}
	}
	if got := fullPlan().connections(10_000); !slices.Equal(got, []int{1, 8}) {
		t.Errorf("got %v", got)
	}
	if _, err := numbers("2,x"); err == nil {
		t.Error("x is no number")
	}
}

// Every bar of the full run must find what it is made of.
func TestTheFullGridHasAllThatBarsNeed(t *testing.T) {
	grid := fullPlan().grid()
	for _, b := range allBars() {
		for _, p := range b.needs {
			if !grid[p] {
				t.Errorf("%s needs %+v, which is not in the full matrix", b.name, p)
			}
		}
	}
}

func TestCells(t *testing.T) {
	grid := fullPlan().grid()
	seen := wanted{}
	var last cell
	for _, c := range grid.cells() {
		if c.mode == last.mode && (c.n < last.n || c.n == last.n && c.c <= last.c) {
			t.Errorf("%s %d %d comes after %d %d", c.mode, c.n, c.c, last.n, last.c)
		}
		last = c
		for _, p := range c.points {
			if seen[p] || p.Mode != c.mode || p.N != c.n || p.C != c.c {
				t.Errorf("%+v is in a wrong cell", p)
			}
			seen[p] = true
		}
	}
	if len(seen) != len(grid) {
		t.Errorf("%d of %d points are in cells", len(seen), len(grid))
	}
	if got := (wanted{{muster, modeREST, 2, 1, 1}: true, {muster, modeREST, 10, 1, 8}: true, {raw, modeREST, 2, 1, 1}: true}).sizes(); !slices.Equal(got, []int{2, 10}) {
		t.Errorf("sizes %v", got)
	}
}

func TestFlags(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for args, ok := range map[string]bool{
		"-only wire": true, "-only [": false, "-only wire -o x": false, "-smoke -o x": false, "-smoke": true, "-x": false,
	} {
		_, err := runFlags(append([]string{"-bin", self}, strings.Fields(args)...))
		if (err == nil) != ok {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, err := runFlags([]string{"-bin", self + "-not"}); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("no binary: %v", err)
	}
	if err := runCommand(t.Context(), []string{"-bin", self, "-only", "no such bar"}); err == nil {
		t.Error("no bar is called so")
	}
}

func TestProc(t *testing.T) {
	used, err := cpuTime(os.Getpid())
	if err != nil || used < 0 {
		t.Errorf("CPU time %v, %v", used, err)
	}
	if peak, err := peakMemory(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("peak %d, %v", peak, err)
	}
	if _, err := cpuTime(1 << 30); err == nil {
		t.Error("there is no such process")
	}
	if machine() == "" {
		t.Error("the machine has no description")
	}
}
