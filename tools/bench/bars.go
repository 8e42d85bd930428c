package main

import "fmt"

// allowance is what the machine's noise may add to a ratio.
const allowance = 1.25

// bar is a ratio that must hold.
type bar struct {
	name string
	// limit that is asked for; the ratio may exceed it by the allowance.
	limit float64
	// needs are the points that the ratio is made of.
	needs []point
	ratio func(m func(point) measurement) float64
}

// judged is a bar with what was found.
type judged struct {
	Name   string  `json:"name"`
	Limit  float64 `json:"limit"`
	Ratio  float64 `json:"ratio"`
	Holds  bool    `json:"holds"`
	Reruns int     `json:"reruns"`

	needs []point
}

func cpu(m measurement) float64 { return float64(m.CPU) }
func p50(m measurement) float64 { return float64(m.P50) }

// against compares one number of Muster with that of a yardstick in the same cell, with REST workers that answer bytes as they came.
func against(what string, of func(measurement) float64, yardstick string, limit float64, n, w, c int) bar {
	own := point{muster, modeREST, n, w, c}
	other := point{yardstick, modeREST, n, w, c}
	return bar{
		name:  fmt.Sprintf("%s, %s, N=%d W=%d c=%d, against %s", what, modeREST, n, w, c, yardstick),
		limit: limit, needs: []point{own, other},
		ratio: func(m func(point) measurement) float64 { return of(m(own)) / of(m(other)) },
	}
}

// marginal compares what one more worker costs Muster with what it costs a
// yardstick, each in a mode of its own.
func marginal(limit float64, mode, yardstick, yardstickMode string) bar {
	const n, c, few, many = 10_000, 8, 1, 8
	own := [2]point{{muster, mode, n, few, c}, {muster, mode, n, many, c}}
	other := [2]point{{yardstick, yardstickMode, n, few, c}, {yardstick, yardstickMode, n, many, c}}
	return bar{
		name:  fmt.Sprintf("CPU of one more worker, %s, N=%d c=%d, against %s (%s)", mode, n, c, yardstick, yardstickMode),
		limit: limit, needs: []point{own[0], own[1], other[0], other[1]},
		ratio: func(m func(point) measurement) float64 {
			return (cpu(m(own[1])) - cpu(m(own[0]))) / (cpu(m(other[1])) - cpu(m(other[0])))
		},
	}
}

// bars are those of the design's table that a load can show.
func bars() []bar {
	all := []bar{
		against("CPU per request", cpu, raw, 5, 10_000, 1, 8),
		against("CPU per request", cpu, raw, 2.5, 10_000, 8, 8),
		against("CPU per request", cpu, raw, 3, 1_000, 8, 8),
		against("CPU per request", cpu, viaHTTP, 1.7, 2, 1, 8),
		against("CPU per request", cpu, viaHTTP, 1.7, 2, 8, 8),
		against("p50", p50, nginx1, 3, 10_000, 1, 1),
		against("p50", p50, nginx2, 3.5, 1_000, 1, 1),
		marginal(2.2, modeREST, raw, modeREST),
		marginal(8, modeReformat, raw, modeREST),
		marginal(0.45, modeGRPC, rows, modeGRPC),
	}
	for _, n := range []int{1_000, 10_000} {
		for _, w := range []int{1, 3, 8} {
			all = append(all, against("CPU per request", cpu, plain, 0.1, n, w, 8))
		}
	}
	for _, w := range []int{1, 3, 8} {
		all = append(all, against("CPU per request", cpu, plain, 0.1, 100_000, w, 1))
	}
	tail := point{muster, modeREST, 10_000, 8, 8}
	all = append(all, bar{
		name: "p99 / p50, rest, N=10000 W=8 c=8", limit: 3, needs: []point{tail},
		ratio: func(m func(point) measurement) float64 { return float64(m(tail).P99) / float64(m(tail).P50) },
	})
	big := point{muster, modeREST, 100_000, 8, 1}
	return append(all, bar{
		name: "peak memory, rest, N=100000 W=8 c=1, against bytes in flight", limit: 3, needs: []point{big},
		ratio: func(m func(point) measurement) float64 { return float64(m(big).PeakBytes) / inFlight(100_000, 8) },
	})
}

// inFlight is the request and all answers, in bytes.
func inFlight(n, w int) float64 {
	const share = 1 - 1.0/hiddenOneIn
	return float64(n) * nodeSize * (1 + share*float64(w))
}

// judge works out the bars whose points were all measured.
func judge(got map[point]measurement) []judged {
	var all []judged
	for _, b := range bars() {
		complete := true
		for _, p := range b.needs {
			_, ok := got[p]
			complete = complete && ok
		}
		if !complete {
			continue
		}
		ratio := b.ratio(func(p point) measurement { return got[p] })
		all = append(all, judged{
			Name: b.name, Limit: b.limit, Ratio: ratio, needs: b.needs,
			// Written so that a ratio that is no number does not hold.
			Holds: ratio <= b.limit*allowance,
		})
	}
	return all
}

// failing returns the points of the bars that do not hold.
func failing(all []judged) wanted {
	w := wanted{}
	for _, j := range all {
		if !j.Holds {
			for _, p := range j.needs {
				w[p] = true
			}
		}
	}
	return w
}

// rejudge judges again after failing cells were measured once more.
func rejudge(before []judged, got map[point]measurement) []judged {
	after := judge(got)
	for i := range after {
		if !before[i].Holds {
			after[i].Reruns = before[i].Reruns + 1
		}
	}
	return after
}
