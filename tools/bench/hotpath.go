package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// hotWorkers and hotClients are what the counts are taken with.
	hotWorkers = 8
	hotClients = 8
	hotRounds  = 3
	// noAllocation is what counts as none an element. Buffers and frames grow with
	// the bytes, and come to one in twenty elements when eight workers are sent
	// them; anything that is made for elements is one for each, or more.
	noAllocation = 0.1
)

func allocationsName(mode string) string {
	return fmt.Sprintf("allocations an element, %s, W=%d, from N=1000 to N=10000", mode, hotWorkers)
}

func goroutinesName(mode string) string {
	return fmt.Sprintf("goroutines a request in flight, %s, N=10000 W=%d c=%d", mode, hotWorkers, hotClients)
}

func hotPathProbe() probe {
	p := probe{name: "hotpath", run: measureHotPath}
	for _, mode := range []string{modeREST, modeReformat, modeGRPC} {
		p.bars = append(p.bars, figured(allocationsName(mode), p.name, bar{asked: noAllocation, exact: true}))
	}
	for _, mode := range []string{modeREST, modeGRPC} {
		p.bars = append(p.bars, figured(goroutinesName(mode), p.name, bar{asked: goroutinesAsked[mode], exact: true}))
	}
	return p
}

// goroutinesAsked are two that net/http has for the caller's connection and two
// to spare, and for each worker one, or, for a gRPC stream, one that sends, one
// that receives and the one that gRPC watches it with.
var goroutinesAsked = map[string]float64{modeREST: hotWorkers + 4, modeGRPC: 3*hotWorkers + 4}

// measureHotPath reads from /metrics what Muster allocates and how many
// goroutines it has.
func measureHotPath(ctx context.Context, b *bench) (figure, error) {
	f := figure{
		Title: "Allocations and goroutines", Values: map[string]value{},
		Rows: [][]string{{"workers answer", "allocations a request, N=1000", "N=10000", "an element more", "goroutines a request"}},
		Notes: []string{fmt.Sprintf("W=%d; objects counted by the runtime (`go_memstats_mallocs_total` of /metrics, before and after), "+
			"one connection; goroutines are the most that were seen with %d requests in flight, less those at rest, by request.", hotWorkers, hotClients)},
	}
	for _, mode := range []string{modeREST, modeReformat, modeGRPC} {
		got, err := hotPath(ctx, b, mode)
		if err != nil {
			return figure{}, fmt.Errorf("%s: %w", mode, err)
		}
		f.Values[allocationsName(mode)] = got.each.asValue()
		f.Values[goroutinesName(mode)] = counted(got.goroutines)
		f.Rows = append(f.Rows, []string{mode, fmt.Sprintf("%.0f", got.small), fmt.Sprintf("%.0f", got.large),
			fmt.Sprintf("%.4f", got.each.value), fmt.Sprintf("%.1f", got.goroutines)})
	}
	return f, nil
}

type hotCounts struct {
	small, large, goroutines float64
	each                     reading
}

func hotPath(ctx context.Context, b *bench, mode string) (hotCounts, error) {
	const few, many = 1_000, 10_000
	a, err := startAlone(ctx, b, mode, hotWorkers, []int{few, many}, []string{"MUSTER_WORKERS_PROBEINTERVAL=1h"}, nil)
	if err != nil {
		return hotCounts{}, err
	}
	var small, large, each []float64
	for range hotRounds {
		s, err := a.allocations(ctx, few, b.plan.effort)
		if err != nil {
			return hotCounts{}, a.stop(err)
		}
		l, err := a.allocations(ctx, many, b.plan.effort)
		if err != nil {
			return hotCounts{}, a.stop(err)
		}
		small, large, each = append(small, s), append(large, l), append(each, (l-s)/(many-few))
	}
	goroutines, err := a.goroutines(ctx, many)
	if err := a.stop(err); err != nil {
		return hotCounts{}, err
	}
	// Fewer for more elements is none; the collector's timing makes it.
	return hotCounts{small: middle(small), large: middle(large), goroutines: goroutines, each: reading{value: max(middle(each), 0)}}, nil
}

// allocations returns how many objects one request of n nodes costs.
func (a *alone) allocations(ctx context.Context, n int, e effort) (float64, error) {
	s, c := a.subject(), cell{n: n, c: 1}
	body := requestBody(n)
	t, err := s.target(ctx)
	if err != nil {
		return 0, err
	}
	if err := warm(ctx, s, t, body, c, e); err != nil {
		return 0, err
	}
	before, err := a.gateway.metric(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return 0, err
	}
	own, err := a.gateway.metric(ctx, "go_memstats_mallocs_total")
	if err != nil {
		return 0, err
	}
	got, err := load(ctx, t, body, 1, max(e.length, 500*time.Millisecond))
	if err != nil {
		return 0, err
	}
	after, err := a.gateway.metric(ctx, "go_memstats_mallocs_total")
	// Reading the metrics allocates as well, about as much each time.
	return (after - own - (own - before)) / float64(got.Requests), err
}

// goroutines returns how many goroutines a request in flight has, at most.
func (a *alone) goroutines(ctx context.Context, n int) (float64, error) {
	t, err := a.subject().target(ctx)
	if err != nil {
		return 0, err
	}
	rest, err := a.gateway.metric(ctx, "go_goroutines")
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := load(ctx, t, requestBody(n), hotClients, 2*time.Second)
		done <- err
	}()
	most := rest
	for {
		select {
		case err := <-done:
			return (most - rest) / hotClients, err
		default:
		}
		now, err := a.gateway.metric(ctx, "go_goroutines")
		if err != nil {
			return 0, errors.Join(err, <-done)
		}
		most = max(most, now)
	}
}

// metric returns a metric without labels.
func (g *gateway) metric(ctx context.Context, name string) (float64, error) {
	text, err := g.send(ctx, http.MethodGet, "http://"+g.ops+"/metrics", "", "", nil)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("/metrics has no %s", name)
}
