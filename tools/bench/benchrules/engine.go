package main

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/muster-fleet/muster/tools/bench/cputime"
)

// engine decides nodes by rules. One engine is used by one goroutine.
type engine interface {
	// load takes the nodes to come over in the form that the engine likes best;
	// it is not timed.
	load(nodes []node) error
	// decide decides all loaded nodes.
	decide() error
	// answers writes what was decided last into out; it is not timed.
	answers(out []decision) error
}

// kind says what a contender's numbers are for.
type kind int

const (
	peer     kind = iota // shown
	opa                  // the best of these is what OPA can do
	ours                 // Muster, judged
	oursElse             // Muster on other nodes or with more to do, shown
)

// contender is an engine in the run.
type contender struct {
	name string
	kind kind
	// nodes is how many nodes it decides in one go: fewer for the slow ones, so
	// that every repetition takes about as long.
	nodes int
	make  func(rules []grant) (engine, error)
	// anyPair gives it nodes whose labels are paired at random.
	anyPair bool
}

// timed is what was measured of one contender.
type timed struct {
	Name string `json:"name"`
	// Rate is the median of nodes decided a second over the repetitions.
	Rate float64 `json:"nodesPerSecond"`
	// Allocations is how many objects one node cost.
	Allocations float64 `json:"allocationsPerNode"`
	// Spread is half the distance between the fastest and the slowest repetition,
	// as a share of the median.
	Spread float64 `json:"spread"`

	kind kind
}

// check compares an engine with the reference.
func check(e engine, rules []grant, nodes []node) error {
	if err := e.load(nodes); err != nil {
		return err
	}
	out := make([]decision, len(nodes))
	if err := errors.Join(e.decide(), e.answers(out)); err != nil {
		return err
	}
	for i := range nodes {
		if want := reference(rules, &nodes[i]); out[i] != want {
			return fmt.Errorf("node %d is decided %+v; the rules say %+v", i, out[i], want)
		}
	}
	return nil
}

// checked is how many nodes are compared with the reference: enough for every
// label and every rule with a condition to have been met.
const checked = 5_000

// race compares every contender with the reference, then times them in turn,
// repetition by repetition, so that whatever else the machine does falls on all
// of them alike.
func race(all []contender, rules []grant, count, repetitions int, atLeast time.Duration) ([]timed, error) {
	engines := make([]engine, len(all))
	usual, anyPair := makeNodes(count, false), makeNodes(count, true)
	for i, c := range all {
		nodes := usual
		if c.anyPair {
			nodes = anyPair
		}
		e, err := c.make(rules)
		if err == nil {
			err = check(e, rules, nodes[:min(checked, len(nodes))])
		}
		if err == nil {
			err = e.load(nodes[:min(c.nodes, len(nodes))])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		engines[i] = e
	}
	rates := make([][]float64, len(all))
	allocations := make([]float64, len(all))
	for range repetitions {
		for i, c := range all {
			rate, each, err := pass(engines[i], min(c.nodes, count), atLeast)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			rates[i] = append(rates[i], rate)
			allocations[i] = each
		}
	}
	results := make([]timed, len(all))
	for i, c := range all {
		slices.Sort(rates[i])
		mid := rates[i][len(rates[i])/2]
		results[i] = timed{
			Name: c.name, Rate: mid, Allocations: allocations[i], kind: c.kind,
			Spread: (rates[i][len(rates[i])-1] - rates[i][0]) / 2 / mid,
		}
	}
	return results, nil
}

// pass decides the loaded nodes again and again for a while. The time is that of
// this thread alone: what the collector does on another core is nobody's, which
// flatters whoever allocates.
func pass(e engine, nodes int, atLeast time.Duration) (rate, allocations float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC() // what others left behind is not this one's to collect
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, err := cputime.Thread()
	if err != nil {
		return 0, 0, err
	}
	took, done := time.Duration(0), 0
	for took < atLeast {
		if err := e.decide(); err != nil {
			return 0, 0, err
		}
		done += nodes
		now, err := cputime.Thread()
		if err != nil {
			return 0, 0, err
		}
		took = now - began
	}
	runtime.ReadMemStats(&after)
	return float64(done) / took.Seconds(), float64(after.Mallocs-before.Mallocs) / float64(done), nil
}

// best returns the fastest of a kind, or nil.
func best(all []timed, of kind) *timed {
	var found *timed
	for i := range all {
		if all[i].kind == of && (found == nil || all[i].Rate > found.Rate) {
			found = &all[i]
		}
	}
	return found
}

// perNode is nanoseconds.
func (t *timed) perNode() float64 {
	if t.Rate == 0 {
		return math.Inf(1)
	}
	return 1e9 / t.Rate
}
