package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// memoryCell is a batch size and a number of connections whose memory is looked
// at, each with a gateway of its own.
type memoryCell struct{ n, c int }

const memoryWorkers = 8

var memoryCells = []memoryCell{{100_000, 1}, {10_000, 32}, {100_000, 32}}

func (m memoryCell) name() string {
	return fmt.Sprintf("peak memory, rest, N=%d W=%d c=%d, against bytes in flight", m.n, memoryWorkers, m.c)
}

func memoryProbe() probe {
	p := probe{name: "memory", run: measureMemory}
	for _, m := range memoryCells {
		p.bars = append(p.bars, figured(m.name(), p.name, bar{asked: 3, stretch: 1}))
	}
	return p
}

// inFlight is the request and all answers, in bytes, of all connections.
func (m memoryCell) inFlight() float64 {
	const share = 1 - 1.0/hiddenOneIn
	return float64(m.c) * float64(m.n) * nodeSize * (1 + share*float64(memoryWorkers))
}

// measureMemory takes the largest resident size that a new gateway ever has.
func measureMemory(ctx context.Context, b *bench) (figure, error) {
	f := figure{
		Title: "Memory", Values: map[string]value{},
		Rows:  [][]string{{"N", "W", "c", "requests", "MB in flight", "peak MB", "at rest before, MB"}},
		Notes: []string{"Largest resident size of a gateway that served nothing else (VmHWM), what it has at rest included."},
	}
	for _, m := range memoryCells {
		row, err := m.measure(ctx, b, f.Values)
		if err != nil {
			return figure{}, fmt.Errorf("%s: %w", m.name(), err)
		}
		f.Rows = append(f.Rows, row)
	}
	return f, nil
}

func (m memoryCell) measure(ctx context.Context, b *bench, values map[string]value) ([]string, error) {
	// With 32 requests on two cores each waits for the others.
	env := []string{"MUSTER_LIMITS_DEFAULTTIMEOUT=1m"}
	a, err := startAlone(ctx, b, modeREST, memoryWorkers, []int{m.n}, env, nil)
	if err != nil {
		return nil, err
	}
	rest, err := peakMemory(a.gateway.pid())
	if err != nil {
		return nil, a.stop(err)
	}
	s := a.subject()
	t, err := s.target(ctx)
	if err != nil {
		return nil, a.stop(err)
	}
	if err := warm(ctx, s, t, requestBody(m.n), cell{n: m.n, c: 1}, effort{}); err != nil {
		return nil, a.stop(err)
	}
	got, err := load(ctx, t, requestBody(m.n), m.c, 4*time.Second)
	if err != nil {
		return nil, a.stop(err)
	}
	peak, err := peakMemory(a.gateway.pid())
	if err := a.stop(err); err != nil {
		return nil, err
	}
	values[m.name()] = counted(float64(peak) / m.inFlight())
	return []string{
		strconv.Itoa(m.n), strconv.Itoa(memoryWorkers), strconv.Itoa(m.c), strconv.Itoa(got.Requests),
		fmt.Sprintf("%.0f", m.inFlight()/1e6), fmt.Sprintf("%.0f", float64(peak)/1e6), fmt.Sprintf("%.0f", float64(rest)/1e6),
	}, nil
}
