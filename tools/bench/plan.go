package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// plan is what to measure.
type plan struct {
	sizes   []int
	fleets  []int
	modes   []string
	effort  effort
	clients []int
	// plainUpTo is the largest batch that the slow yardsticks are put to.
	plainUpTo int
	quick     bool
}

func fullPlan() plan {
	return plan{
		sizes: []int{2, 1_000, 10_000, 100_000}, fleets: []int{1, 3, 8},
		modes:   []string{modeREST, modeReformat, modeGRPC},
		clients: []int{1, 8, 32}, plainUpTo: 100_000,
		effort: effort{repetitions: 5, length: 500 * time.Millisecond, warm: 150 * time.Millisecond},
	}
}

func quickPlan() plan {
	return plan{
		sizes: []int{2, 1_000, 10_000}, fleets: []int{1, 8},
		modes:   []string{modeREST, modeReformat, modeGRPC},
		clients: []int{1, 8}, plainUpTo: 10_000, quick: true,
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

// subjects are those that a mode's batches of n for w workers are put to.
func (p plan) subjects(mode string, n, w int) []string {
	all := []string{muster, raw}
	slow := false
	switch {
	case mode == modeGRPC:
		all, slow = []string{muster, rowsReady}, w > 0
	case mode == modeREST && w == 1:
		all, slow = append(all, viaHTTP, nginx1, nginx2, direct), true
	case mode == modeREST:
		all, slow = append(all, viaHTTP), true
	}
	if slow && n <= p.plainUpTo {
		all = append(all, map[string]string{modeREST: plain, modeGRPC: rows}[mode])
	}
	return all
}

// grid is every point of the matrix, and for the cost of legs alone a gateway
// without workers.
func (p plan) grid() wanted {
	all := wanted{}
	for _, mode := range p.modes {
		for _, n := range p.sizes {
			for _, w := range p.fleets {
				for _, c := range p.connections(n) {
					for _, s := range p.subjects(mode, n, w) {
						all[point{s, mode, n, w, c}] = true
					}
				}
			}
		}
		if mode == modeGRPC {
			for _, s := range p.subjects(mode, 10_000, 0) {
				all[point{s, mode, 10_000, 0, 8}] = true
			}
		}
	}
	return all
}

// wanted says which points to measure.
type wanted map[point]bool

// cell is what is measured in one go: the repetitions of all its points are
// interleaved, so that whatever else the machine does falls on all alike.
type cell struct {
	mode string
	n, c int
	// points are in the order of the matrix.
	points []point
}

// cells sorts points into cells, mode by mode and small batches first.
func (w wanted) cells() []cell {
	points := slices.SortedFunc(maps.Keys(w), inMatrix)
	var all []cell
	for _, p := range points {
		last := len(all) - 1
		if last < 0 || all[last].mode != p.Mode || all[last].n != p.N || all[last].c != p.C {
			all = append(all, cell{mode: p.Mode, n: p.N, c: p.C})
			last++
		}
		all[last].points = append(all[last].points, p)
	}
	return all
}

// inMatrix orders points: cell by cell, then by workers and subjects.
func inMatrix(a, b point) int {
	return cmp.Or(
		// rest, reformat, grpc is the reverse of the alphabet.
		cmp.Compare(b.Mode, a.Mode), cmp.Compare(a.N, b.N), cmp.Compare(a.C, b.C), cmp.Compare(a.W, b.W),
		cmp.Compare(slices.Index(subjectsInOrder, a.Subject), slices.Index(subjectsInOrder, b.Subject)),
	)
}

// bench is one run.
type bench struct {
	plan plan
	bin  string
	log  io.Writer
	dir  string
	// programs is where the other programs that measure are, "" beside this one.
	programs string
	got      map[point]measurement
	figures  map[string]figure
	began    time.Time
}

func (b *bench) found() found { return found{points: b.got, figures: b.figures} }

// progress prints one line with the time since the run began.
func (b *bench) progress(format string, args ...any) error {
	since := time.Since(b.began).Round(time.Second)
	_, err := fmt.Fprintf(b.log, "%6s  %s\n", since, fmt.Sprintf(format, args...))
	return err
}

// measure measures points, mode by mode; one more measurement of a point
// replaces the one before.
func (b *bench) measure(ctx context.Context, want wanted, e effort) error {
	cells := want.cells()
	for i := 0; i < len(cells); {
		end := i + 1
		for end < len(cells) && cells[end].mode == cells[i].mode {
			end++
		}
		if err := b.mode(ctx, cells[i:end], e); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// mode measures cells of one mode, whose fleets, each with a Muster and
// yardsticks of its own, all run at the same time.
func (b *bench) mode(ctx context.Context, cells []cell, e effort) (err error) {
	needs := map[int]wanted{}
	for _, c := range cells {
		for _, p := range c.points {
			if needs[p.W] == nil {
				needs[p.W] = wanted{}
			}
			needs[p.W][p] = true
		}
	}
	fleets := map[int]*fleetOf{}
	defer func() {
		for _, f := range fleets {
			err = f.stop(err)
		}
	}()
	for w, points := range needs {
		f := &fleetOf{bench: b, mode: cells[0].mode, w: w, sizes: points.sizes()}
		fleets[w] = f
		if err := f.start(ctx, points); err != nil {
			return err
		}
	}
	for _, c := range cells {
		if err := b.cell(ctx, c, fleets, e); err != nil {
			return err
		}
	}
	return nil
}

func (w wanted) sizes() []int {
	var all []int
	for p := range w {
		if !slices.Contains(all, p.N) {
			all = append(all, p.N)
		}
	}
	slices.Sort(all)
	return all
}

func (b *bench) cell(ctx context.Context, c cell, fleets map[int]*fleetOf, e effort) error {
	var subjects []subject
	for _, p := range c.points {
		s, ok := fleets[p.W].all[p.Subject]
		if !ok {
			return errors.New("there is no " + p.Subject + " for " + p.Mode)
		}
		subjects = append(subjects, s)
	}
	all, err := measureAll(ctx, subjects, c, e)
	if err != nil {
		return err
	}
	for i, m := range all {
		b.got[m.point] = m
		if i == len(all)-1 || all[i+1].W != m.W {
			if err := b.progress("%-8s N=%-6d W=%d c=%-2d  CPU/p50 ms: %s", m.Mode, m.N, m.W, m.C, brief(all, m.W)); err != nil {
				return err
			}
		}
	}
	return nil
}
