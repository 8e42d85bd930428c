package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

// BenchmarkPropagation is a change at one replica until another one serves it; it
// reports the 99th percentile beside the mean.
func BenchmarkPropagation(b *testing.B) {
	dsn := pgtest.Database(b)
	open := func() *registry.Service {
		store, err := openAt(b.Context(), dsn, quiet())
		if err != nil {
			b.Fatal(err)
		}
		s, err := registry.Open(b.Context(), store, registry.Options{Logger: quiet(), Inspector: storetest.Scribbler(), PollInterval: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := s.Close(context.WithoutCancel(b.Context())); err != nil {
				b.Error(err)
			}
		})
		return s
	}
	writer, reader := open(), open()
	w := storetest.Worker(1)
	if _, err := writer.Register(b.Context(), registry.Actor{}, registry.RegisterInput{URL: w.URL, UUID: string(w.ID)}, false); err != nil {
		b.Fatal(err)
	}
	seen := reader.Watch(b.Context())
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		name := fmt.Sprint("name ", n)
		if _, err := writer.Update(b.Context(), registry.Actor{}, w.ID, registry.Patch{Name: &name}, ""); err != nil {
			b.Fatal(err)
		}
		acknowledged := time.Now()
		for snap := range seen {
			if got := snap.Worker(w.ID); got != nil && got.Name == name {
				break
			}
		}
		took = append(took, time.Since(acknowledged))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99-after-ack")
}

// BenchmarkRules tells what many Graph Access Rules cost.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { storetest.BenchRules(b, pgtest.Database(b), openAt, n) })
	}
}

// BenchmarkAccess tells what a million grants cost, and a large group among them;
// to be run with -benchtime=1x.
func BenchmarkAccess(b *testing.B) { storetest.BenchAccess(b, pgtest.Database(b), openAt, 1_000_000) }
