package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// notRaced are packages that the race detector has nothing to see in: the laws of
// the tree have no goroutines, what is tested end to end are processes that are
// built without the detector, and what the DuckDB store does beyond what is raced
// over PostgreSQL is in C++.
var notRaced = []string{"gateway/law", "gateway/e2e", "registry/store/duckdb"}

// waiting are packages whose tests mostly wait for a server: they run beside the
// others.
var waiting = []string{"registry/store/postgres"}

// raceTests builds all test binaries with the race detector, as many at a time as
// there are cores, and runs them one at a time, but for those that wait: the
// detector makes tests several times slower, and two at once on two cores come too
// close to their deadlines. ("go test -p 1" would build one at a time too, which
// takes longer than the tests.)
func raceTests(ctx context.Context, r *runner) error {
	packages, err := r.testedPackages(ctx, notRaced)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "muster-race-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var lanes [2][]func() error
	var errs []error
	for i, batch := range apartByName(packages) {
		binaries := filepath.Join(dir, strconv.Itoa(i))
		args := []string{"test", "-race", "-vet=off", "-c", "-o", binaries + string(filepath.Separator)}
		for _, p := range batch {
			args = append(args, p.path)
			lane := 0
			if slices.Contains(waiting, strings.TrimPrefix(p.path, modulePrefix)) {
				lane = 1
			}
			binary := filepath.Join(binaries, path.Base(p.path)+".test")
			lanes[lane] = append(lanes[lane], func() error {
				return errors.Join(r.runBinary(ctx, p, binary), os.Remove(binary)) // they are large
			})
		}
		if err := r.command(ctx, r.root, nil, "go", args...); err != nil {
			errs = append(errs, r.ownFailure("race", "build", err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	var group sync.WaitGroup
	var ends [len(lanes)]error
	for i, lane := range lanes {
		group.Go(func() {
			for _, run := range lane {
				ends[i] = errors.Join(ends[i], run())
			}
		})
	}
	group.Wait()
	return errors.Join(ends[:]...)
}

// testedPackage is a package that has tests.
type testedPackage struct{ path, dir string }

// testedPackages lists those of the workspace, but for some.
func (r *runner) testedPackages(ctx context.Context, except []string) ([]testedPackage, error) {
	const format = "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}{{end}}"
	list := exec.CommandContext(ctx, "go", "list", "-f", format, "work")
	list.Dir, list.Env, list.Stderr = r.root, r.environment(), r.out
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []testedPackage
	for line := range strings.Lines(string(out)) {
		p, dir, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if p != "" && !slices.Contains(except, strings.TrimPrefix(p, modulePrefix)) {
			packages = append(packages, testedPackage{p, dir})
		}
	}
	return packages, nil
}

// apartByName splits packages so that no two of a batch end in the same name, which
// is what go test calls their binaries.
func apartByName(packages []testedPackage) (batches [][]testedPackage) {
	seen := map[string]int{}
	for _, p := range packages {
		name := path.Base(p.path)
		n := seen[name]
		seen[name]++
		if n == len(batches) {
			batches = append(batches, nil)
		}
		batches[n] = append(batches[n], p)
	}
	return batches
}

// runBinary runs the short tests of a package from its binary, as go test does, and
// books what they say.
func (r *runner) runBinary(ctx context.Context, p testedPackage, binary string) error {
	return r.events(ctx, p.dir, nil, "tool", "test2json", "-t", "-p", p.path,
		binary, "-test.v=test2json", "-test.short", "-test.paniconexit0", "-test.timeout=20m")
}
