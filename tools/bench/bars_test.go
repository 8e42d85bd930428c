package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// everything returns a measurement of every point of the full plan, with Muster
// at factor times any yardstick.
func everything(factor float64) map[point]measurement {
	got := map[point]measurement{}
	p := fullPlan()
	for _, mode := range p.modes {
		for _, n := range p.sizes {
			for _, w := range p.fleets {
				for _, c := range p.connections(n) {
					for _, s := range subjectsInOrder {
						cost := time.Duration(n*w+100) * time.Microsecond
						switch s {
						case muster:
							cost = time.Duration(float64(cost) * factor)
						case plain, rows:
							cost *= 20
						}
						key := point{s, mode, n, w, c}
						got[key] = measurement{point: key, CPU: cost, P50: cost, P99: cost * 2, PeakBytes: 1 << 20}
					}
				}
			}
		}
	}
	return got
}

func TestJudge(t *testing.T) {
	good := judge(everything(1.2))
	if len(good) != len(bars()) {
		t.Errorf("%d of %d bars were judged", len(good), len(bars()))
	}
	for _, j := range good {
		if !j.Holds {
			t.Errorf("%s does not hold at %.2f of %.2f", j.Name, j.Ratio, j.Limit)
		}
	}
	if err := verdict(good); err != nil {
		t.Error(err)
	}
	bad := judge(everything(50))
	if err := verdict(bad); err == nil {
		t.Error("fifty times the floor passes")
	}
	again := failing(bad)
	if !again.has(modeREST, 10_000, 1, 8) || again.has(modeGRPC, 2, 1, 1) {
		t.Errorf("wrong cells to measure again: %v", again)
	}
	for i, j := range rejudge(bad, everything(1.2)) {
		if !j.Holds || (j.Reruns == 1) == bad[i].Holds {
			t.Errorf("%s after a second try: %+v", j.Name, j)
		}
	}
}

func TestJudgeNeedsAllPoints(t *testing.T) {
	if got := judge(map[point]measurement{}); len(got) != 0 {
		t.Errorf("%d bars judged from nothing", len(got))
	}
	zero := map[point]measurement{}
	for p := range everything(1) {
		zero[p] = measurement{point: p}
	}
	for _, j := range judge(zero) {
		if j.Holds && !strings.HasPrefix(j.Name, "peak memory") {
			t.Errorf("%s holds although nothing was measured", j.Name)
		}
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
	text := report(&outcome{Commit: "abc", Machine: "here", Cells: inOrder(got), Bars: judge(got), Excluded: []string{"this"}})
	for _, want := range []string{"`abc`", "### Bars", "gRPC workers", "- this", "| 2 | 1 | 1 |"} {
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
