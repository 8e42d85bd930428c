package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// probe measures what a load on the cells of the matrix cannot show.
type probe struct {
	name string
	bars []bar
	run  func(context.Context, *bench) (figure, error)
}

// figure is what a probe found.
type figure struct {
	// Title and Rows make a table in the report; the first row is its head.
	Title string     `json:"title,omitempty"`
	Rows  [][]string `json:"rows,omitempty"`
	// Notes say what the numbers do not.
	Notes []string `json:"notes,omitempty"`
	// Values are the bars' numbers by the bars' names.
	Values map[string]value `json:"values"`
}

// value is one number of a probe with the spread of its repetitions.
type value struct {
	Value   float64 `json:"value"`
	Spread  float64 `json:"spread"`
	Refused string  `json:"refused,omitempty"`
}

func (v value) reading() reading {
	return reading{value: v.Value, spread: v.Spread, refused: v.Refused}
}

func (r reading) asValue() value {
	return value{Value: r.value, Spread: r.spread, Refused: r.refused}
}

// counted is a number without noise.
func counted(v float64) value { return value{Value: v} }

// probes are all that there are, in the order of the report.
func probes() []probe {
	return []probe{wireProbe(), slopeProbe(), hotPathProbe(), memoryProbe(), tokenProbe(), rulesProgram().probe(), rulesCostProbe(), accessProgram().probe()}
}

// probe runs those that are wanted, one after the other.
func (b *bench) probe(ctx context.Context, want map[string]bool) error {
	for _, p := range probes() {
		if !want[p.name] {
			continue
		}
		began := time.Now()
		f, err := p.run(ctx, b)
		if err != nil {
			return fmt.Errorf("probe %s: %w", p.name, err)
		}
		b.figures[p.name] = f
		for _, bar := range p.bars {
			v := f.Values[bar.name]
			said := bar.write(v.Value)
			if v.Refused != "" {
				said = v.Refused
			}
			if err := b.progress("%s: %s", bar.name, said); err != nil {
				return err
			}
		}
		if err := b.progress("probe %s took %.0f s", p.name, time.Since(began).Seconds()); err != nil {
			return err
		}
	}
	return nil
}

// probesOf names the probes that bars need.
func probesOf(bars []bar) map[string]bool {
	names := map[string]bool{}
	for _, b := range bars {
		if b.probe != "" {
			names[b.probe] = true
		}
	}
	return names
}

// pointsOf are the points that bars need.
func pointsOf(bars []bar) wanted {
	points := wanted{}
	for _, b := range bars {
		for _, p := range b.needs {
			points[p] = true
		}
	}
	return points
}

// alone starts fake workers and a Muster of its own for a probe.
type alone struct {
	gateway *gateway
	workers []string
	running fleetOf
}

// startAlone starts w fake workers of a mode that answer batches of sizes, and a
// Muster with env that knows them; through, when it is not nil, may put
// something between them.
func startAlone(ctx context.Context, b *bench, mode string, w int, sizes []int, env []string, through func(string) (string, error)) (*alone, error) {
	a := &alone{running: fleetOf{bench: b, mode: mode, w: w, sizes: sizes}}
	var err error
	if a.workers, err = a.running.fakes(ctx); err != nil {
		return nil, a.stop(err)
	}
	addrs := slices.Clone(a.workers)
	if through != nil {
		for i, addr := range addrs {
			if addrs[i], err = through(addr); err != nil {
				return nil, a.stop(err)
			}
		}
	}
	if a.gateway, err = a.running.muster(ctx, addrs, env...); err != nil {
		return nil, a.stop(err)
	}
	return a, nil
}

// stop ends everything and adds what went wrong to err.
func (a *alone) stop(err error) error { return a.running.stop(err) }

// subject is the gateway as a load sees it.
func (a *alone) subject() subject {
	return subject{name: muster, w: a.running.w, procs: []int{a.gateway.pid()}, target: a.gateway.target, exact: true}
}
