package main

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var switchName = regexp.MustCompile(`\bMUSTER_TEST_[A-Z0-9_]+\b`)

// longTests runs the tests that skipped themselves for want of a variable
// MUSTER_TEST_NAME, once more with the variable set: those of one set of
// variables together, package after package. A test that then asks for another
// variable gets both.
func longTests(ctx context.Context, r *runner) error {
	var errs []error
	asked := map[testID]map[string]bool{}
	for {
		groups := r.askingGroups(asked)
		if len(groups) == 0 {
			return errors.Join(errs...)
		}
		for _, names := range slices.Sorted(maps.Keys(groups)) {
			begin := time.Now()
			errs = append(errs, r.runLong(ctx, names, groups[names]))
			r.minutes = append(r.minutes, timing{"  " + short(names), time.Since(begin), nil})
		}
	}
}

func short(names string) string {
	return strings.ToLower(strings.ReplaceAll(names, "MUSTER_TEST_", ""))
}

// askingGroups returns the skipped tests that ask for a variable which they have
// not been run with, by the set of variables to run them with.
func (r *runner) askingGroups(asked map[testID]map[string]bool) map[string][]testID {
	fresh := map[testID]bool{}
	for _, id := range r.results.with(skipped) {
		for _, name := range switchName.FindAllString(r.results.get(id).reason, -1) {
			top := id.top()
			if asked[top] == nil {
				asked[top] = map[string]bool{}
			}
			if !asked[top][name] {
				asked[top][name] = true
				fresh[top] = true
			}
		}
	}
	groups := map[string][]testID{}
	for id := range fresh {
		names := strings.Join(slices.Sorted(maps.Keys(asked[id])), " ")
		groups[names] = append(groups[names], id)
	}
	return groups
}

func (r *runner) runLong(ctx context.Context, names string, ids []testID) error {
	var env []string
	for name := range strings.FieldsSeq(names) {
		value, err := r.valueOf(ctx, name)
		if err != nil {
			return err
		}
		env = append(env, name+"="+value)
	}
	byPackage := map[string][]string{}
	for _, id := range ids {
		byPackage[id.pkg] = append(byPackage[id.pkg], regexp.QuoteMeta(id.test))
	}
	var errs []error
	for _, pkg := range slices.Sorted(maps.Keys(byPackage)) {
		pattern := "^(" + strings.Join(byPackage[pkg], "|") + ")$"
		errs = append(errs, r.goTest(ctx, r.root, env, "-timeout", "25m", "-run", pattern, modulePrefix+pkg))
	}
	return errors.Join(errs...)
}
