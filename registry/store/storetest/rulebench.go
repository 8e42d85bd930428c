package storetest

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// BenchRules stores n rules through a Service and reports, in seconds, how long
// each part took: staging them in chunks, the first commit, the same again, a
// change of a hundredth, one rule, and loading all at a start.
func BenchRules(b *testing.B, place string, open OpenAt, n int) {
	log := slog.New(slog.DiscardHandler)
	start := func() *registry.Service {
		store, err := open(b.Context(), place, log)
		if err != nil {
			b.Fatal(err)
		}
		s, err := registry.Open(b.Context(), store, registry.Options{Logger: log, Inspector: newFleet()})
		if err != nil {
			b.Fatal(errors.Join(err, store.Close(b.Context())))
		}
		return s
	}
	took := func(unit string, do func()) {
		begun := time.Now()
		do()
		b.ReportMetric(time.Since(begun).Seconds(), unit)
	}
	s := start()
	for generation := 0; b.Loop(); generation++ {
		for part := range 3 {
			benchGeneration(b, s, fmt.Sprint("g", generation, part), n, part == 2, []string{"first-", "again-", "percent-"}[part], took)
		}
		took("one-s", func() { alice.post(b, s, rule.DeleteOnConflict, ruleOf("one", 1)) })
	}
	if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	took("load-s", func() { s = start() })
	if s.Snapshot().Rules.Len() != n+1 {
		b.Errorf("%d rules", s.Snapshot().Rules.Len())
	}
	if err := s.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// benchGeneration stages and commits; changed says that one rule in a hundred is
// another than before.
func benchGeneration(b *testing.B, s *registry.Service, id string, n int, changed bool, unit string, took func(string, func())) {
	const each = 50_000
	took(unit+"stage-s", func() {
		for from := 0; from < n; from += each {
			rules := make([]rule.Rule, min(each, n-from))
			for i := range rules {
				version := 1
				if changed && i%100 == 0 {
					version = 2
				}
				rules[i] = ruleOf(fmt.Sprintf("loader/benchmark-department-%07d", from+i), version)
				rules[i].Users = []string{fmt.Sprintf("user-%06d@example.org", (from+i)%300_000)}
			}
			alice.stage(b, s, id, rules...)
		}
	})
	took(unit+"commit-s", func() {
		if _, err := alice.commit(b, s, id); err != nil {
			b.Fatal(err)
		}
	})
}
