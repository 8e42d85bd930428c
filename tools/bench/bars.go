package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/muster-fleet/muster/tools/bench/cputime"
)

// allowance is what the machine's noise may add to a ratio of times.
const allowance = 1.25

// leastCPU is the least CPU time, in one repetition, that a ratio is made of:
// three ticks of the clock that accounts for it. Less is noise.
const leastCPU = 3 * cputime.Tick

// bar is a number that must hold.
type bar struct {
	name string
	// asked is what must be reached, stretch what would be very good; 0 is none.
	asked, stretch float64
	// atLeast says that the number must not be below asked; otherwise it must not
	// be above.
	atLeast bool
	// exact says that noise cannot touch the number, so that nothing is allowed
	// beside what is asked.
	exact bool
	// format is how the number is written; empty is %.3g.
	format string
	// needs are the points that the number is made of, probe the probe.
	needs []point
	probe string
	read  func(found) reading
}

// reading is what a bar's number came out as.
type reading struct {
	value float64
	// spread is half the distance between the largest and the smallest of the
	// repetitions' own numbers, as a share of value.
	spread float64
	// refused says why there is no number.
	refused string
}

// found is all that was measured.
type found struct {
	points  map[point]measurement
	figures map[string]figure
}

// judged is a bar with what was found.
type judged struct {
	Name    string  `json:"name"`
	Value   float64 `json:"value"`
	Spread  float64 `json:"spread"`
	Asked   float64 `json:"asked"`
	Stretch float64 `json:"stretch,omitempty"`
	// Limit is Asked with the allowance for noise.
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"`
	Holds   bool    `json:"holds"`
	// Refused says why there is no value; such a bar does not hold.
	Refused string `json:"refused,omitempty"`
	Reruns  int    `json:"reruns"`

	bar bar
}

func cpu(s sample) time.Duration { return s.CPU }
func p50(s sample) time.Duration { return s.P50 }

// series are the numbers of a measurement's repetitions.
func series(m measurement, of func(sample) time.Duration) []float64 {
	all := make([]float64, len(m.samples))
	for i, s := range m.samples {
		all[i] = float64(of(s))
	}
	return all
}

// minus subtracts repetition by repetition: both were measured right after each
// other.
func minus(a, b []float64) []float64 {
	all := make([]float64, min(len(a), len(b)))
	for i := range all {
		all[i] = a[i] - b[i]
	}
	return all
}

// over divides the medians of two series; the spread is that of the quotients.
func over(a, b []float64) reading {
	if len(a) == 0 || len(b) == 0 {
		return reading{refused: "not measured"}
	}
	r := reading{value: middle(a) / middle(b)}
	if math.IsNaN(r.value) || math.IsInf(r.value, 0) || middle(b) <= 0 {
		return reading{refused: "the yardstick measured nothing"}
	}
	var each []float64
	for i, v := range a[:min(len(a), len(b))] {
		each = append(each, v/b[i])
	}
	r.spread = spreadOf(each, r.value)
	return r
}

// spreadOf is half the distance between the largest and the smallest of each, as
// a share of value.
func spreadOf(each []float64, value float64) float64 {
	if value == 0 {
		return 0
	}
	return (slices.Max(each) - slices.Min(each)) / 2 / math.Abs(value)
}

func middle(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// enough refuses a ratio over CPU time whose numerator, in a repetition of m, is
// less than the clock can tell.
func enough(r reading, each []float64, m measurement) reading {
	if r.refused != "" {
		return r
	}
	requests := make([]float64, len(m.samples))
	for i, s := range m.samples {
		requests[i] = float64(s.Requests)
	}
	if spent := time.Duration(middle(each) * middle(requests)); spent < leastCPU {
		return reading{refused: fmt.Sprintf("%s of CPU time a repetition is too little to tell", spent.Round(time.Millisecond))}
	}
	return r
}

// judge works out the bars of all whose points and probes were measured.
func judge(all []bar, got found) []judged {
	var verdicts []judged
	for _, b := range all {
		if !b.measured(got) {
			continue
		}
		r := b.read(got)
		j := judged{
			Name: b.name, Value: r.value, Spread: r.spread, Asked: b.asked, Stretch: b.stretch,
			Limit: b.limit(), AtLeast: b.atLeast, Refused: r.refused, bar: b,
		}
		// Written so that a value that is no number does not hold.
		j.Holds = r.refused == "" && (b.atLeast && r.value >= j.Limit || !b.atLeast && r.value <= j.Limit)
		verdicts = append(verdicts, j)
	}
	return verdicts
}

func (b *bar) measured(got found) bool {
	for _, p := range b.needs {
		if _, ok := got.points[p]; !ok {
			return false
		}
	}
	_, ok := got.figures[b.probe]
	return b.probe == "" || ok
}

func (b *bar) limit() float64 {
	switch {
	case b.exact:
		return b.asked
	case b.atLeast:
		return b.asked / allowance
	default:
		return b.asked * allowance
	}
}

// write gives a number in the bar's form.
func (b *bar) write(v float64) string {
	if b.format == "" {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf(b.format, v)
}

// failing returns the points and probes of the bars that do not hold.
func failing(all []judged) (wanted, map[string]bool) {
	points, probes := wanted{}, map[string]bool{}
	for _, j := range all {
		if j.Holds {
			continue
		}
		for _, p := range j.bar.needs {
			points[p] = true
		}
		if j.bar.probe != "" {
			probes[j.bar.probe] = true
		}
	}
	return points, probes
}

// rejudge judges again after what failed was measured once more.
func rejudge(before []judged, got found) []judged {
	bars := make([]bar, len(before))
	for i, j := range before {
		bars[i] = j.bar
	}
	after := judge(bars, got)
	for i := range after {
		if !before[i].Holds {
			after[i].Reruns = before[i].Reruns + 1
		}
	}
	return after
}
