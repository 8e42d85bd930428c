package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// part is one piece of work that is timed and reported by itself.
type part struct {
	name string
	do   func(context.Context, *runner) error
	// tests says that the part books tests one by one; any other part counts as
	// one test of its own name.
	tests bool
}

// modules of the workspace; those in pure build without cgo.
var (
	modules = []string{"proto", "registry", "workers", "connectors", "gateway"}
	pure    = []string{"proto", "workers"}
	apart   = []string{"tools", "tools/bench"}
)

var profiles = map[string][]part{
	"full": {
		{name: "set-up", do: script("tools/setup/all.sh")},
		{name: "generated code", do: script("tools/gencheck.sh")},
		{name: "go.mod files", do: script(".tools/tidycheck")},
		{name: "build", do: build},
		{name: "lint", do: lint},
		{name: "tools", do: toolTests, tests: true},
		{name: "tests", do: allTests, tests: true},
		{name: "long tests", do: longTests, tests: true},
		{name: "crash", do: crashTests, tests: true},
		{name: "faults", do: faultTests, tests: true},
		{name: "race", do: raceTests, tests: true},
		{name: "solo", do: solo(false), tests: true},
	},
	"fast": {
		{name: "generated code", do: script("tools/gencheck.sh")},
		{name: "go.mod files", do: script(".tools/tidycheck")},
		{name: "tools", do: toolTests, tests: true},
		{name: "tests", do: shortTests, tests: true},
	},
	"solo": {{name: "solo", do: solo(true), tests: true}},
	"fuzz": {{name: "fuzz", do: fuzz}},
}

// script is a part that one program of the tree does.
func script(name string) func(context.Context, *runner) error {
	return func(ctx context.Context, r *runner) error {
		return r.command(ctx, r.root, nil, filepath.Join(r.root, name))
	}
}

func build(ctx context.Context, r *runner) error {
	if err := r.command(ctx, r.root, nil, "go", "build", "work"); err != nil {
		return err
	}
	return r.command(ctx, r.root, nil, "make", "--no-print-directory", "build")
}

func lint(ctx context.Context, r *runner) error {
	return r.command(ctx, r.root, nil, "make", "--no-print-directory", "lint")
}

func toolTests(ctx context.Context, r *runner) error {
	var errs []error
	for _, dir := range apart {
		path := filepath.Join(r.root, dir)
		if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
			errs = append(errs, r.goTest(ctx, path, []string{"GOWORK=off"}, "./..."))
		}
	}
	return errors.Join(errs...)
}

func allTests(ctx context.Context, r *runner) error {
	return r.goTest(ctx, r.root, nil, "-timeout", "25m", "work")
}

func shortTests(ctx context.Context, r *runner) error {
	return r.goTest(ctx, r.root, nil, "-short", "-timeout", "5m", "work")
}

// crashTests kills the writers of both stores as often as their promise says, both
// at a time; the tests part kills a few times only.
func crashTests(ctx context.Context, r *runner) error {
	return r.goTest(ctx, r.root, []string{"MUSTER_TEST_CRASH_KILLS=200"}, "-count=1", "-p", "2", "-timeout", "20m",
		"-run", "^(TestStore|TestKilledWhileMigrating|TestServerKilled)$/^(Crash.*|)$",
		modulePrefix+"registry/store/duckdb", modulePrefix+"registry/store/postgres")
}

// faultTests lets workers fail ten thousand times and looks for what leaks.
func faultTests(ctx context.Context, r *runner) error {
	return r.goTest(ctx, r.root, []string{"MUSTER_TEST_FAULTS=10000"}, "-count=1", "-timeout", "20m",
		"-run", "^TestNothingLeaks$", modulePrefix+"gateway/fanout")
}

// solo builds, vets and tests every module as someone sees it who has only that
// module: siblings by their replace lines, versions by its own go.mod. Unless all
// are to be tested it tests those that build without cgo, which is how no other
// part tests them; the others' tests have run already, as the workspace has them.
func solo(all bool) func(context.Context, *runner) error {
	return func(ctx context.Context, r *runner) error {
		var errs []error
		for _, m := range modules {
			env := []string{"GOWORK=off"}
			isPure := slices.Contains(pure, m)
			if isPure {
				env = append(env, "CGO_ENABLED=0")
			}
			dir := filepath.Join(r.root, m)
			for _, step := range []string{"build", "vet"} {
				if err := r.command(ctx, dir, env, "go", step, "./..."); err != nil {
					errs = append(errs, r.ownFailure("solo "+step, m, err))
				}
			}
			if all || isPure {
				errs = append(errs, r.goTest(ctx, dir, env, "-short", "-timeout", "10m", "./..."))
			}
		}
		return errors.Join(errs...)
	}
}

// fuzz runs every fuzz target of the workspace for a while.
func fuzz(ctx context.Context, r *runner) error {
	targets, err := fuzzTargets(r.root)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range targets {
		fmt.Fprintf(r.out, "fuzz %s\n", f)
		errs = append(errs, r.command(ctx, filepath.Join(r.root, f.pkg), nil,
			"go", "test", "-run", "^$", "-fuzz", "^"+f.test+"$", "-fuzztime", r.fuzztime.String(), "."))
	}
	return errors.Join(errs...)
}

// fuzzTargets finds the functions FuzzX in the modules' test files.
func fuzzTargets(root string) ([]testID, error) {
	var found []testID
	for _, m := range modules {
		err := filepath.WalkDir(filepath.Join(root, m), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			pkg, err := filepath.Rel(root, filepath.Dir(path))
			for line := range strings.Lines(string(text)) {
				if rest, ok := strings.CutPrefix(line, "func Fuzz"); ok {
					name, _, _ := strings.Cut(rest, "(")
					found = append(found, testID{pkg, "Fuzz" + name})
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
