package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// plan is what to measure.
type plan struct {
	sizes   []int
	fleets  []int
	modes   []string
	effort  effort
	clients []int
	// plainUpTo is the largest batch that plain Go is put to.
	plainUpTo int
}

func fullPlan() plan {
	return plan{
		sizes: []int{2, 1_000, 10_000, 100_000}, fleets: []int{1, 3, 8},
		modes:   []string{modeREST, modeReformat, modeGRPC},
		clients: []int{1, 8, 32}, plainUpTo: 100_000,
		effort: effort{repetitions: 5, length: 700 * time.Millisecond, warm: 200 * time.Millisecond},
	}
}

func quickPlan() plan {
	return plan{
		sizes: []int{2, 1_000, 10_000}, fleets: []int{1, 8},
		modes:   []string{modeREST, modeReformat, modeGRPC},
		clients: []int{1, 8}, plainUpTo: 10_000,
		effort: effort{repetitions: 3, length: 300 * time.Millisecond, warm: 100 * time.Millisecond},
	}
}

// connections returns the numbers of connections to load batches of n with:
// large batches fill the machine with few.
func (p plan) connections(n int) []int {
	most := 32
	switch {
	case n >= 100_000:
		most = 1
	case n >= 10_000:
		most = 8
	}
	return slices.DeleteFunc(slices.Clone(p.clients), func(c int) bool { return c > most })
}

// wanted says which points to measure; nil means all of the plan.
type wanted map[point]bool

// has reports whether a cell, whatever the subject, is wanted.
func (w wanted) has(mode string, n, workers, c int) bool {
	if w == nil {
		return true
	}
	for p := range w {
		if p.Mode == mode && p.N == n && p.W == workers && p.C == c {
			return true
		}
	}
	return false
}

// only leaves those subjects out that no wanted point of the cell is about.
func (w wanted) only(subjects []subject, p point) []subject {
	if w == nil {
		return subjects
	}
	return slices.DeleteFunc(subjects, func(s subject) bool {
		p.Subject = s.name
		return !w[p]
	})
}

// bench is one run.
type bench struct {
	plan plan
	bin  string
	log  io.Writer
	dir  string
	got  map[point]measurement
}

// measure measures the wanted cells, fleet by fleet; each fleet gets a Muster of
// its own, and one more measurement of a cell replaces the one before.
func (b *bench) measure(ctx context.Context, want wanted) error {
	for _, mode := range b.plan.modes {
		for _, w := range b.plan.fleets {
			if !b.any(want, mode, w) {
				continue
			}
			if err := b.fleet(ctx, mode, w, want); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) any(want wanted, mode string, w int) bool {
	for _, n := range b.plan.sizes {
		for _, c := range b.plan.connections(n) {
			if want.has(mode, n, w, c) {
				return true
			}
		}
	}
	return false
}

// fleet measures all cells of one mode and one number of workers.
func (b *bench) fleet(ctx context.Context, mode string, w int, want wanted) (err error) {
	f := fleetOf{bench: b, mode: mode, w: w}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := f.start(ctx); err != nil {
		return err
	}
	for _, n := range b.plan.sizes {
		for _, c := range b.plan.connections(n) {
			if !want.has(mode, n, w, c) {
				continue
			}
			p := point{Mode: mode, N: n, W: w, C: c}
			all, err := measureAll(ctx, want.only(f.subjects(n), p), p, b.plan.effort, b.log)
			if err != nil {
				return err
			}
			for _, m := range all {
				b.got[m.point] = m
			}
		}
	}
	return nil
}

// fleetOf is what runs while one fleet is measured.
type fleetOf struct {
	*bench
	mode    string
	w       int
	running []*child
	all     []subject
}

func (f *fleetOf) start(ctx context.Context) error {
	var sizes []string
	for _, n := range f.plan.sizes {
		sizes = append(sizes, strconv.Itoa(n))
	}
	workers, err := f.self(ctx, "-kind", f.mode, "-count", strconv.Itoa(f.w), "-sizes", strings.Join(sizes, ","))
	if err != nil {
		return err
	}
	if err := f.muster(ctx, workers.addrs); err != nil {
		return err
	}
	if f.mode == modeGRPC {
		return f.rows(ctx)
	}
	list := strings.Join(workers.addrs, ",")
	kinds := map[string]string{raw: "raw"}
	if f.mode == modeREST {
		kinds = map[string]string{raw: "raw", viaHTTP: "http", plain: "plain"}
	}
	for _, name := range []string{raw, viaHTTP, plain} {
		if kinds[name] == "" {
			continue
		}
		c, err := f.self(ctx, "-kind", kinds[name], "-workers", list)
		if err != nil {
			return err
		}
		f.add(name, c, c.addrs[0])
	}
	if f.mode == modeREST && f.w == 1 {
		f.all = append(f.all, subject{name: direct, target: fixed(workers.addrs[0])})
		return f.nginx(ctx, workers.addrs[0])
	}
	return nil
}

func (f *fleetOf) self(ctx context.Context, args ...string) (*child, error) {
	c, err := startSelf(ctx, args...)
	if err == nil {
		f.running = append(f.running, c)
	}
	return c, err
}

func (f *fleetOf) muster(ctx context.Context, workers []string) error {
	dir, err := os.MkdirTemp(f.dir, "muster")
	if err != nil {
		return err
	}
	g, err := startMuster(ctx, f.bin, dir)
	if err != nil {
		return err
	}
	f.running = append(f.running, g.child)
	transport := "rest"
	if f.mode == modeGRPC {
		transport = "grpc"
	}
	f.all = append(f.all, subject{name: muster, procs: []int{g.pid()}, target: g.target, exact: true})
	return g.register(ctx, transport, workers)
}

// rows starts the yardstick towards gRPC workers, with workers of its own, as it
// speaks another protocol.
func (f *fleetOf) rows(ctx context.Context) error {
	workers, err := f.self(ctx, "-kind", "rows-worker", "-count", strconv.Itoa(f.w))
	if err != nil {
		return err
	}
	c, err := f.self(ctx, "-kind", "rows", "-workers", strings.Join(workers.addrs, ","))
	if err != nil {
		return err
	}
	f.add(rows, c, c.addrs[0])
	return nil
}

func (f *fleetOf) nginx(ctx context.Context, worker string) error {
	for name, processes := range map[string]int{nginx1: 1, nginx2: 2} {
		dir := filepath.Join(f.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nginx's workers run as another user
			return err
		}
		c, err := startNginx(ctx, dir, worker, processes)
		if err != nil {
			return err
		}
		f.running = append(f.running, c)
		f.add(name, c, c.addrs[0])
	}
	return nil
}

func (f *fleetOf) add(name string, c *child, addr string) {
	f.all = append(f.all, subject{name: name, procs: []int{c.pid()}, target: fixed(addr)})
}

func fixed(addr string) func(context.Context) (target, error) {
	return func(context.Context) (target, error) { return target{addr: addr, path: "/filter"}, nil }
}

// subjects returns those that batches of n are put to.
func (f *fleetOf) subjects(n int) []subject {
	return slices.DeleteFunc(slices.Clone(f.all), func(s subject) bool { return (s.name == plain || s.name == rows) && n > f.plan.plainUpTo })
}

func (f *fleetOf) stop() error {
	var errs []error
	for _, c := range slices.Backward(f.running) {
		if err := c.stop(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}
