package duckdb_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

// A change that is given up at any moment, as the request of a client that went
// away is, leaves a store that takes the next one, and ends in order. The driver
// may report a BEGIN as cancelled that was carried out.
func TestCancelledChangesLeaveNoTransactionOpen(t *testing.T) {
	s, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	nothing := func(context.Context, registry.Tx) error { return context.Canceled }
	cancelled := 0
	for range 1000 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(400))*time.Microsecond)
		if _, err := s.Write(ctx, nothing); err != nil && ctx.Err() != nil {
			cancelled++
		}
		cancel()
		if cancelled%20 == 0 {
			if _, err := s.Write(t.Context(), func(context.Context, registry.Tx) error { return nil }); err != nil {
				t.Fatalf("after %d cancelled changes: %v", cancelled, err)
			}
		}
	}
	if cancelled == 0 {
		t.Error("nothing was cancelled")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
