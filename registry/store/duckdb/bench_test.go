package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

// BenchmarkChange is one acknowledged change: a transaction with its audit row,
// on disk, and the snapshot after it, in a fleet of the given size.
func BenchmarkChange(b *testing.B) {
	for _, workers := range []int{10, 1000} {
		b.Run(fmt.Sprint(workers, " workers"), func(b *testing.B) {
			log := slog.New(slog.DiscardHandler)
			st, err := openAt(b.Context(), filepath.Join(b.TempDir(), "muster.db"), log)
			if err != nil {
				b.Fatal(err)
			}
			_, err = st.Write(b.Context(), func(ctx context.Context, tx registry.Tx) error {
				var all error
				for n := range workers {
					all = errors.Join(all, tx.InsertWorker(ctx, storetest.Worker(n)))
				}
				return all
			})
			if err != nil {
				b.Fatal(err)
			}
			s, err := registry.Open(b.Context(), st, registry.Options{Logger: log, Inspector: storetest.Scribbler()})
			if err != nil {
				b.Fatal(err)
			}
			for n := 0; b.Loop(); n++ {
				name := fmt.Sprint("name ", n)
				if _, err := s.Update(b.Context(), registry.Actor{}, storetest.Worker(1).ID, registry.Patch{Name: &name}, ""); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkRules tells what many Graph Access Rules cost.
func BenchmarkRules(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { storetest.BenchRules(b, filepath.Join(b.TempDir(), "muster.db"), openAt, n) })
	}
}

// BenchmarkAccess tells what a million grants cost, and a large group among them;
// to be run with -benchtime=1x.
func BenchmarkAccess(b *testing.B) {
	storetest.BenchAccess(b, filepath.Join(b.TempDir(), "muster.db"), openAt, 1_000_000)
}
