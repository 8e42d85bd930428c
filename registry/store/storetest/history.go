package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func isUnavailable(err error) bool { return fault.Is(err, "store_unavailable") }

func testChangesByRevision(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insert(t, s, Worker(1), Worker(2), Worker(3)) // 1
	changed := Worker(2)
	changed.Name = "changed"
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, changed) })   // 2
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(3)) }) // 3
	for _, c := range []struct {
		since            registry.Revision
		full             bool
		workers, deleted int
	}{
		{0, true, 2, 0}, {1, false, 1, 1}, {2, false, 0, 1}, {3, false, 0, 0}, {4, true, 2, 0}, {-1, true, 2, 0},
	} {
		got := load(t, s, c.since)
		if got.Revision != 3 || got.Full != c.full || len(got.Workers) != c.workers || len(got.Deleted) != c.deleted {
			t.Errorf("since %d: %+v", c.since, got)
		}
	}
	insert(t, s, Worker(3)) // 4: back again, so no longer deleted
	if got := load(t, s, 2); got.Full || len(got.Workers) != 1 || len(got.Deleted) != 0 {
		t.Errorf("%+v", got)
	}
}

func testForgotten(t *testing.T, b Backend) {
	s := opened(t, at(b.Place(t), b.Forgetful))
	insert(t, s, Worker(1), Worker(2), Worker(3))
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(1)) }) // 2
	for range Remembered {
		insert(t, s)
	}
	if c := load(t, s, 1); c.Full || len(c.Deleted) != 1 {
		t.Errorf("forgotten too early: %+v", c)
	}
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(2)) })
	if c := load(t, s, 1); !c.Full || len(c.Workers) != 1 {
		t.Errorf("a deletion is lost to who was away: %+v", c)
	}
	if c := load(t, s, Remembered+2); c.Full || len(c.Deleted) != 1 || c.Deleted[0] != uuidOf(2) {
		t.Errorf("%+v", c)
	}
}

// testLoadsBesideWrites: who loads while the same process writes sees a store that
// goes on, not one that was restored from an older copy.
func testLoadsBesideWrites(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insert(t, s, Worker(1))
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.Audit(ctx, entry(0)) })
	done := make(chan struct{})
	var writers, readers sync.WaitGroup
	for n := range 2 {
		writers.Go(func() {
			for range 80 {
				if _, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
					return tx.Audit(ctx, entry(n))
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c, err := s.Load(t.Context(), 1); err != nil || c.Full {
					t.Errorf("%+v %v", c, err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// testRandomHistories compares the store with a map, and what Load tells of any
// past revision with what really changed since.
func testRandomHistories(t *testing.T, b Backend) {
	open := b.New(t)
	s := opened(t, open)
	model := map[registry.WorkerID]*registry.Worker{}
	past := []map[registry.WorkerID]*registry.Worker{nil}
	base := load(t, s, 0).Revision
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOfN(rapid.IntRange(0, 39), 1, 6).Draw(t, "ops")
		next := maps.Clone(model)
		giveUp := rapid.IntRange(0, 9).Draw(t, "giveUp") == 0
		_, err := s.Write(context.Background(), func(ctx context.Context, tx registry.Tx) error {
			for _, op := range ops {
				if err := step(ctx, tx, next, op); err != nil {
					return err
				}
			}
			if giveUp {
				return errGiveUp
			}
			return nil
		})
		if giveUp != (err != nil) {
			t.Fatal(err)
		}
		if !giveUp {
			model = next
			past = append(past, maps.Clone(next))
		}
		from := rapid.IntRange(0, len(past)-1).Draw(t, "from")
		c, err := s.Load(context.Background(), base+registry.Revision(from))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, past[from], c, model)
	})
}

// step does one thing to the transaction and to the model.
func step(ctx context.Context, tx registry.Tx, model map[registry.WorkerID]*registry.Worker, op int) error {
	w := Worker(op % 10)
	old := model[w.ID]
	switch {
	case old == nil:
		model[w.ID] = w
		return tx.InsertWorker(ctx, w)
	case op >= 30:
		delete(model, w.ID)
		return tx.DeleteWorker(ctx, w.ID)
	default:
		w.Revision, w.Name, w.Active = old.Revision+1, fmt.Sprintf("name %d", op), op%2 == 0
		model[w.ID] = w
		return tx.UpdateWorker(ctx, w)
	}
}

// compare applies c to before, which must give after.
func compare(t *rapid.T, before map[registry.WorkerID]*registry.Worker, c *registry.Changes, after map[registry.WorkerID]*registry.Worker) {
	got := maps.Clone(before)
	if c.Full || got == nil {
		got = map[registry.WorkerID]*registry.Worker{}
	}
	for _, id := range c.Deleted {
		delete(got, id)
	}
	for _, w := range c.Workers {
		got[w.ID] = w
	}
	ids := slices.Sorted(maps.Keys(after))
	if !slices.Equal(slices.Sorted(maps.Keys(got)), ids) {
		t.Fatalf("has %v, not %v", slices.Sorted(maps.Keys(got)), ids)
	}
	for _, id := range ids {
		if !same(got[id], after[id]) {
			t.Fatalf("%+v\nis not %+v", got[id], after[id])
		}
	}
}
