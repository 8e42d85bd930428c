package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"
)

const slopeName = "slope of CPU per request over N=1000 to N=1000000, both logarithmic"

func slopeProbe() probe {
	return probe{
		name: "slope", run: measureSlope,
		bars: []bar{figured(slopeName, "slope", bar{asked: 1.05, exact: true})},
	}
}

// slopeLimits let a million nodes of 285 bytes through: 285 MB where
// limits.maxBody is 256 MiB, and on two busy cores more than the 10 s that a
// request has by itself.
var slopeLimits = []string{"MUSTER_LIMITS_MAXBODY=512MiB", "MUSTER_LIMITS_DEFAULTTIMEOUT=1m"}

// measureSlope loads one gateway with batches of four sizes in turn and fits a
// line through the logarithms.
func measureSlope(ctx context.Context, b *bench) (figure, error) {
	sizes := []int{1_000, 10_000, 100_000, 1_000_000}
	a, err := startAlone(ctx, b, modeREST, 1, sizes, slopeLimits, nil)
	if err != nil {
		return figure{}, err
	}
	repetitions := 3
	if b.plan.quick {
		repetitions = 1
	}
	s := a.subject()
	samples := map[int][]sample{}
	for rep := range repetitions {
		for _, n := range sizes {
			e := effort{length: time.Second, warm: time.Millisecond}
			got, err := s.repetition(ctx, requestBody(n), cell{n: n, c: 1}, rep, e)
			if err != nil {
				return figure{}, a.stop(fmt.Errorf("%d nodes: %w", n, err))
			}
			samples[n] = append(samples[n], got)
		}
	}
	if err := a.stop(nil); err != nil {
		return figure{}, err
	}
	f := figure{
		Title: "Growth", Values: map[string]value{slopeName: slopeOf(sizes, samples).asValue()},
		Rows: [][]string{{"N", "CPU ms a request", "ns a node", "p50 ms"}},
		Notes: []string{"One REST worker, one connection, one gateway for all sizes. To let a million nodes (285 MB) through, " +
			"`limits.maxBody` was raised from 256 MiB to 512 MiB and `limits.defaultTimeout` from 10 s to 1 m; nothing else."},
	}
	for _, n := range sizes {
		m := summarize(point{}, samples[n])
		f.Rows = append(f.Rows, []string{strconv.Itoa(n), ms(m.CPU), fmt.Sprintf("%.0f", float64(m.CPU)/float64(n)), ms(m.P50)})
	}
	return f, nil
}

// slopeOf is the slope through the medians; its spread is that of the
// repetitions' own slopes.
func slopeOf(sizes []int, samples map[int][]sample) reading {
	var x, y, each []float64
	for _, n := range sizes {
		x = append(x, math.Log(float64(n)))
		y = append(y, math.Log(float64(summarize(point{}, samples[n]).CPU)))
	}
	for rep := range samples[sizes[0]] {
		var own []float64
		for _, n := range sizes {
			own = append(own, math.Log(float64(samples[n][rep].CPU)))
		}
		each = append(each, regress(x, own))
	}
	value := regress(x, y)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return reading{refused: "a size cost no CPU time"}
	}
	return reading{value: value, spread: spreadOf(each, value)}
}

// regress is the slope of the line of least squares.
func regress(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for i := range x {
		mx += x[i] / float64(len(x))
		my += y[i] / float64(len(x))
	}
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	return xy / xx
}
