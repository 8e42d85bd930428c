// Package told is what the programs that bench starts have in common: they measure
// something in a process of their own, and print what they found as one JSON
// object.
package told

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/muster-fleet/muster/tools/bench/cputime"
)

// Outcome is what is printed. Values are by the keys that bench knows them by.
type Outcome struct {
	// Rows are a table, the first row its head; Notes say what it does not.
	Rows   [][]string       `json:"rows"`
	Notes  []string         `json:"notes"`
	Values map[string]Value `json:"values"`
}

// Value is a number, with how far the ends of its series are apart, as half a share
// of it.
type Value struct {
	Value  float64 `json:"value"`
	Spread float64 `json:"spread"`
}

// Put adds the median of a series under a key, times a scale, and returns the median
// itself.
func (o *Outcome) Put(key string, scale float64, series []float64) float64 {
	if o.Values == nil {
		o.Values = map[string]Value{}
	}
	mid, apart := Middle(series)
	o.Values[key] = Value{mid * scale, apart}
	return mid
}

// Main runs a program that measures, ends its context on SIGINT and SIGTERM, and
// exits: 1 for an error, 2 for wrong flags.
func Main(name string, measure func(ctx context.Context, quick bool) (Outcome, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, name, os.Args[1:], os.Stdout, measure)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func command(ctx context.Context, name string, args []string, out io.Writer, measure func(context.Context, bool) (Outcome, error)) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	quick := flags.Bool("quick", false, "shorter and fewer repetitions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("takes no arguments, but has %q", flags.Args())
	}
	o, err := measure(ctx, *quick)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(o)
}

// Middle is the median of a series, and how far the ends are apart, as half a share
// of it.
func Middle(series []float64) (mid, apart float64) {
	sorted := slices.Sorted(slices.Values(series))
	mid = sorted[len(sorted)/2]
	if mid == 0 {
		return 0, 0
	}
	return mid, (sorted[len(sorted)-1] - sorted[0]) / 2 / mid
}

// Live is the memory in use after a collection, in bytes.
func Live() int64 {
	runtime.GC()
	runtime.GC() // what the first one found to be finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// OnThread returns the CPU time that do takes on its thread, in nanoseconds.
func OnThread(do func() error) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	began, err := cputime.Thread()
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	ended, err := cputime.Thread()
	return float64((ended - began) / time.Nanosecond), err
}
