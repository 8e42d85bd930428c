package main

import (
	"fmt"
	"time"
)

// against compares one number of Muster with that of a yardstick in the same
// cell.
func against(what string, of func(sample) time.Duration, mode, yardstick string, asked, stretch float64, n, w, c int) bar {
	own, other := point{muster, mode, n, w, c}, point{yardstick, mode, n, w, c}
	return bar{
		name:  fmt.Sprintf("%s, %s, N=%d W=%d c=%d, against %s", what, mode, n, w, c, yardstick),
		asked: asked, stretch: stretch, needs: []point{own, other},
		read: func(f found) reading {
			a, b := f.points[own], f.points[other]
			r := over(series(a, of), series(b, of))
			if what == cpuPerRequest {
				r = enough(r, series(a, of), a)
			}
			return r
		},
	}
}

const cpuPerRequest = "CPU per request"

// legs compares what the workers from few to eight cost Muster, in CPU time of
// the gateway, with what they cost a yardstick, each in a mode of its own.
func legs(what string, asked, stretch float64, few int, mode, yardstick, yardstickMode string) bar {
	const n, c, many = 10_000, 8, 8
	own := [2]point{{muster, mode, n, few, c}, {muster, mode, n, many, c}}
	other := [2]point{{yardstick, yardstickMode, n, few, c}, {yardstick, yardstickMode, n, many, c}}
	return bar{
		name:  fmt.Sprintf("%s, %s, N=%d c=%d, against %s (%s)", what, mode, n, c, yardstick, yardstickMode),
		asked: asked, stretch: stretch, needs: []point{own[0], own[1], other[0], other[1]},
		read: func(f found) reading {
			a := minus(series(f.points[own[1]], cpu), series(f.points[own[0]], cpu))
			b := minus(series(f.points[other[1]], cpu), series(f.points[other[0]], cpu))
			return enough(over(a, b), a, f.points[own[1]])
		},
	}
}

// figured makes a bar of a figure that a probe found.
func figured(name, probe string, b bar) bar {
	b.name, b.probe = name, probe
	b.read = func(f found) reading {
		got := f.figures[probe]
		v, ok := got.Values[name]
		if !ok {
			return reading{refused: "the probe did not tell"}
		}
		return v.reading()
	}
	return b
}

// loadBars are those of the design's table that a load can show.
func loadBars() []bar {
	all := []bar{
		against(cpuPerRequest, cpu, modeREST, raw, 5, 3.3, 10_000, 1, 8),
		against(cpuPerRequest, cpu, modeREST, raw, 2.5, 2, 10_000, 8, 8),
		against(cpuPerRequest, cpu, modeREST, raw, 3, 2.3, 1_000, 8, 8),
		against(cpuPerRequest, cpu, modeREST, viaHTTP, 1.7, 1.3, 2, 1, 8),
		against(cpuPerRequest, cpu, modeREST, viaHTTP, 1.7, 1.3, 2, 8, 8),
		against("p50", p50, modeREST, nginx1, 3, 2.2, 10_000, 1, 1),
		against("p50", p50, modeREST, nginx2, 3.5, 2, 1_000, 1, 1),
		legs("CPU of seven more workers", 2.2, 1.7, 1, modeREST, raw, modeREST),
		legs("CPU of seven more workers", 8, 5, 1, modeReformat, raw, modeREST),
		against(cpuPerRequest, cpu, modeGRPC, rows, 0.45, 0.3, 10_000, 8, 8),
		legs("CPU of eight workers' legs", 0.45, 0.3, 0, modeGRPC, rowsReady, modeGRPC),
		legs("CPU of seven more workers", 0.45, 0.3, 1, modeGRPC, rowsReady, modeGRPC),
	}
	for _, n := range []int{1_000, 10_000} {
		for _, w := range []int{1, 3, 8} {
			all = append(all, against(cpuPerRequest, cpu, modeREST, plain, 0.1, 1.0/18, n, w, 8))
		}
	}
	for _, w := range []int{1, 3, 8} {
		all = append(all, against(cpuPerRequest, cpu, modeREST, plain, 0.1, 1.0/18, 100_000, w, 1))
	}
	tail := point{muster, modeREST, 10_000, 8, 8}
	return append(all, bar{
		name: "p99 / p50, rest, N=10000 W=8 c=8", asked: 3, stretch: 2.2, needs: []point{tail},
		read: func(f found) reading {
			m := f.points[tail]
			return over(series(m, func(s sample) time.Duration { return s.P99 }), series(m, p50))
		},
	})
}

// probeBars are those that need more than a load.
func probeBars() []bar {
	var all []bar
	for _, p := range probes() {
		all = append(all, p.bars...)
	}
	return all
}

// allBars are all that there are, in the order of the report.
func allBars() []bar { return append(loadBars(), probeBars()...) }
