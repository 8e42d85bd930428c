package main

import (
	"cmp"
	"slices"
	"strings"
	"sync"
)

// outcome of a test, ordered so that the greater one counts when several parts
// ran it.
type outcome int

const (
	skipped outcome = iota
	passed
	failed
)

// testID names a test: a package of the workspace without the project's prefix,
// and the test's name, which is empty for the package itself.
type testID struct {
	pkg, test string
}

func (id testID) String() string { return id.pkg + "." + id.test }

// top is the test without its subtests.
func (id testID) top() testID {
	name, _, _ := strings.Cut(id.test, "/")
	return testID{id.pkg, name}
}

type result struct {
	outcome outcome
	// reason of a skip, or of a failure that is not a test's own.
	reason string
	// slowest time that a part took for it, in seconds.
	seconds float64
}

// results collects outcomes over all parts. It is safe for concurrent use.
type results struct {
	mu sync.Mutex
	by map[testID]result
}

func newResults() *results { return &results{by: map[testID]result{}} }

func (r *results) add(id testID, got result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.by[id]
	if known && old.outcome > got.outcome {
		got.outcome, got.reason = old.outcome, old.reason
	}
	got.seconds = max(got.seconds, old.seconds)
	r.by[id] = got
}

// with returns the tests of one outcome, in order.
func (r *results) with(o outcome) []testID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []testID
	for id, res := range r.by {
		if res.outcome == o {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
	return ids
}

func (r *results) get(id testID) result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[id]
}

// hasFailure reports whether a test of the package itself has failed.
func (r *results) hasFailure(pkg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, res := range r.by {
		if id.pkg == pkg && id.test != "" && res.outcome == failed {
			return true
		}
	}
	return false
}

// slowest returns the n tests (not subtests) that took longest.
func (r *results) slowest(n int) []testID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []testID
	for id := range r.by {
		if id.test != "" && !strings.Contains(id.test, "/") {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b testID) int { return cmp.Compare(r.by[b].seconds, r.by[a].seconds) })
	return ids[:min(n, len(ids))]
}
