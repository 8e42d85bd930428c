package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// fleetOf is what runs for one mode and one number of workers: the workers, a
// Muster that knows them, and the yardsticks.
type fleetOf struct {
	*bench
	mode    string
	w       int
	sizes   []int
	running []*child
	all     map[string]subject
}

// start starts what the points are about.
func (f *fleetOf) start(ctx context.Context, points wanted) error {
	f.all = map[string]subject{}
	needs := map[string]bool{}
	for p := range points {
		needs[p.Subject] = true
	}
	workers, err := f.fakes(ctx)
	if err != nil {
		return err
	}
	if needs[muster] {
		g, err := f.muster(ctx, workers)
		if err != nil {
			return err
		}
		f.all[muster] = subject{name: muster, w: f.w, procs: []int{g.pid()}, target: g.target, exact: true}
	}
	if f.mode == modeGRPC {
		return f.rows(ctx, needs)
	}
	list := strings.Join(workers, ",")
	for name, kind := range map[string]string{raw: "raw", viaHTTP: "http", plain: "plain"} {
		if !needs[name] {
			continue
		}
		c, err := f.self(ctx, "-kind", kind, "-workers", list)
		if err != nil {
			return err
		}
		f.add(name, c)
	}
	f.all[direct] = subject{name: direct, w: f.w, target: fixed(workers[0])}
	return f.nginx(ctx, needs, workers[0])
}

// fakes starts the workers and returns where they are.
func (f *fleetOf) fakes(ctx context.Context) ([]string, error) {
	if f.w == 0 {
		return nil, nil
	}
	var sizes []string
	for _, n := range f.sizes {
		sizes = append(sizes, strconv.Itoa(n))
	}
	c, err := f.self(ctx, "-kind", f.mode, "-count", strconv.Itoa(f.w), "-sizes", strings.Join(sizes, ","))
	if err != nil {
		return nil, err
	}
	return c.addrs, nil
}

func (f *fleetOf) self(ctx context.Context, args ...string) (*child, error) {
	c, err := startSelf(ctx, args...)
	if err == nil {
		f.running = append(f.running, c)
	}
	return c, err
}

// muster starts a Muster that knows the workers at addrs.
func (f *fleetOf) muster(ctx context.Context, workers []string, env ...string) (*gateway, error) {
	dir, err := os.MkdirTemp(f.dir, "muster")
	if err != nil {
		return nil, err
	}
	g, err := startMuster(ctx, f.bin, dir, env...)
	if err != nil {
		return nil, err
	}
	f.running = append(f.running, g.child)
	transport := "rest"
	if f.mode == modeGRPC {
		transport = "grpc"
	}
	return g, g.register(ctx, transport, workers)
}

// rows starts the yardsticks towards gRPC workers, with workers of their own, as
// they speak another protocol.
func (f *fleetOf) rows(ctx context.Context, needs map[string]bool) error {
	if !needs[rows] && !needs[rowsReady] {
		return nil
	}
	var list string
	if f.w > 0 {
		workers, err := f.self(ctx, "-kind", "rows-worker", "-count", strconv.Itoa(f.w))
		if err != nil {
			return err
		}
		list = strings.Join(workers.addrs, ",")
	}
	for name, kind := range map[string]string{rows: "rows", rowsReady: "rows-ready"} {
		if !needs[name] {
			continue
		}
		c, err := f.self(ctx, "-kind", kind, "-workers", list)
		if err != nil {
			return err
		}
		f.add(name, c)
	}
	return nil
}

func (f *fleetOf) nginx(ctx context.Context, needs map[string]bool, worker string) error {
	for name, processes := range map[string]int{nginx1: 1, nginx2: 2} {
		if !needs[name] {
			continue
		}
		dir := filepath.Join(f.dir, name)
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // nginx's workers run as another user
			return err
		}
		c, err := startNginx(ctx, dir, worker, processes)
		if err != nil {
			return err
		}
		f.running = append(f.running, c)
		f.add(name, c)
	}
	return nil
}

func (f *fleetOf) add(name string, c *child) {
	s := subject{name: name, w: f.w, procs: []int{c.pid()}, target: fixed(c.addrs[0])}
	if name == plain || name == rows {
		s.atMost = 3 // slow, steady, and far from every bar
	}
	f.all[name] = s
}

func fixed(addr string) func(context.Context) (target, error) {
	return func(context.Context) (target, error) { return target{addr: addr, path: "/filter"}, nil }
}

// stop ends everything, the last started first, and adds what went wrong to err.
func (f *fleetOf) stop(err error) error {
	for _, c := range slices.Backward(f.running) {
		if ended := c.stop(); ended != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.name, ended))
		}
	}
	f.running = nil
	return err
}
