package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/muster-fleet/muster/registry"
)

func storeTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"an empty store is at revision 0":        testEmpty,
		"every field comes back":                 testEveryField,
		"what fails leaves nothing":              testRollback,
		"a panic leaves nothing":                 testPanic,
		"uuids and urls are unique":              testUnique,
		"what is not there is ErrNotFound":       testNotFound,
		"a key that was freed can be had again":  testFreedKeys,
		"the audit log counts without gaps":      testAudit,
		"writers stand in line":                  testWritersInLine,
		"closing and opening loses nothing":      testReopen,
		"a write can be checked":                 testCheckWritable,
		"the gateway's uuid is kept":             testGateway,
		"a context that is over changes nothing": testContextOver,
		"a closed store says so":                 testClosed,
		"changes are told by revision":           testChangesByRevision,
		"old deletions are forgotten":            testForgotten,
		"random histories":                       testRandomHistories,
		"loads beside writes see no other store": testLoadsBesideWrites,
	}
}

func testEmpty(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	c := load(t, s, 0)
	if !c.Full || c.Revision != 0 || len(c.Workers) != 0 || c.Gateway != "" {
		t.Errorf("%+v", c)
	}
	if n := len(trail(t, s)); n != 0 {
		t.Errorf("%d audit rows", n)
	}
}

func testEveryField(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	w := Worker(1)
	w.Name, w.URL, w.Version = "Zürich 'quoted' \"x\" \\ 日本", "https://W1/Filter?a=%41&b=;--", "1.0-β"
	w.Active, w.PausedUntil = false, noon.Add(1)
	w.PausedUntil = noon.AddDate(1, 0, 0)
	w.Settings = registry.Settings{
		Timeout: 1234567891, OnFailure: registry.HideUnjudged, Mask: true, Identity: registry.IdentityExchange,
		Audience: "aud 'x'", MaxElementsPerCall: 5000, MaxConcurrent: 7,
	}
	w.Conformance = registry.Conformance{Level: registry.LevelLaws, At: noon, Version: w.Version}
	w.Quarantined = &registry.Quarantine{Reason: "answered with another uuid: 'x'", Since: noon}
	w.Revision = 1 << 40
	insert(t, s, w)
	got := load(t, s, 0).Workers
	if len(got) != 1 || !same(got[0], w) {
		t.Fatalf("stored %+v\nloaded %+v", w, got)
	}
	plain := Worker(1)
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, plain) })
	if got := load(t, s, 0).Workers; len(got) != 1 || !same(got[0], plain) {
		t.Fatalf("stored %+v\nloaded %+v", plain, got[0])
	}
}

func testRollback(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insert(t, s, Worker(1))
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		if err := errors.Join(tx.InsertWorker(ctx, Worker(2)), tx.DeleteWorker(ctx, uuidOf(1)), tx.Audit(ctx, entry(1)),
			tx.SetGateway(ctx, uuidOf(9))); err != nil {
			return err
		}
		return fmt.Errorf("in the middle: %w", errGiveUp)
	})
	if !errors.Is(err, errGiveUp) {
		t.Fatalf("the function's error is to come back, not %v", err)
	}
	c := load(t, s, 0)
	if c.Revision != 1 || len(c.Workers) != 1 || c.Workers[0].ID != uuidOf(1) || c.Gateway != "" || len(trail(t, s)) != 0 {
		t.Errorf("%+v", c)
	}
}

func testPanic(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
			if err := tx.InsertWorker(ctx, Worker(1)); err != nil {
				return err
			}
			panic("on purpose")
		})
		t.Error("came back with", err)
	}()
	if insert(t, s, Worker(2)) != 1 || len(load(t, s, 0).Workers) != 1 {
		t.Error("the transaction that panicked left something")
	}
}

func testUnique(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insert(t, s, Worker(1), Worker(2))
	for name, c := range map[string]struct {
		want error
		do   func(ctx context.Context, tx registry.Tx) error
	}{
		"uuid and url": {registry.ErrURLTaken, func(ctx context.Context, tx registry.Tx) error {
			w := Worker(1)
			w.URL = Worker(2).URL
			return tx.InsertWorker(ctx, w)
		}},
		"uuid": {registry.ErrUUIDTaken, func(ctx context.Context, tx registry.Tx) error {
			w := Worker(1)
			w.URL = "http://elsewhere:1/"
			return tx.InsertWorker(ctx, w)
		}},
		"url": {registry.ErrURLTaken, func(ctx context.Context, tx registry.Tx) error {
			w := Worker(3)
			w.URL = "HTTP://W1.:8080/./filter"
			return tx.InsertWorker(ctx, w)
		}},
		"url of an update": {registry.ErrURLTaken, func(ctx context.Context, tx registry.Tx) error {
			w := Worker(2)
			w.URL = Worker(1).URL
			return tx.UpdateWorker(ctx, w)
		}},
	} {
		if _, err := s.Write(t.Context(), c.do); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	if c := load(t, s, 0); len(c.Workers) != 2 || c.Revision != 1 {
		t.Errorf("%+v", c)
	}
}

func testNotFound(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	for name, do := range map[string]func(ctx context.Context, tx registry.Tx) error{
		"read": func(ctx context.Context, tx registry.Tx) error { _, err := tx.Worker(ctx, uuidOf(1)); return err },
		"read by url": func(ctx context.Context, tx registry.Tx) error {
			_, err := tx.WorkerByURL(ctx, "http://a:1")
			return err
		},
		"update": func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, Worker(1)) },
		"delete": func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(1)) },
	} {
		if _, err := s.Write(t.Context(), do); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// testFreedKeys goes through what DuckDB has had trouble with: keys that are
// freed and taken again, in one transaction and in several.
func testFreedKeys(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insert(t, s, Worker(1), Worker(2))
	for range 20 {
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteWorker(ctx, uuidOf(1)) })
		insert(t, s, Worker(1))
		moved := Worker(1)
		moved.URL = "http://elsewhere:8080/"
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, moved) })
		taken := Worker(2)
		taken.URL = Worker(1).URL
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, taken) })
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, Worker(2)) })
		write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateWorker(ctx, Worker(1)) })
	}
	c := load(t, s, 0)
	if c.Revision != 1+20*6 || len(c.Workers) != 2 || !same(c.Workers[0], Worker(1)) || !same(c.Workers[1], Worker(2)) {
		t.Errorf("%+v", c)
	}
}

func testAudit(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	for n := range 5 {
		_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
			if err := errors.Join(tx.Audit(ctx, entry(2*n)), tx.Audit(ctx, entry(2*n+1))); err != nil {
				return err
			}
			if n == 2 {
				return errGiveUp
			}
			return nil
		})
		if (err != nil) != (n == 2) {
			t.Fatal(n, err)
		}
	}
	all := trail(t, s)
	if len(all) != 8 {
		t.Fatalf("%d rows", len(all))
	}
	for i, e := range all {
		want := entry(i)
		if i >= 4 {
			want = entry(i + 2) // two were given up
		}
		want.Number, want.Revision = int64(i+1), registry.Revision(i/2+1)
		if e.Number != want.Number || e.ID != want.ID || e.Revision != want.Revision || e.At != want.At || e.Actor != want.Actor ||
			e.Action != want.Action || e.Resource != want.Resource || e.Before != nil || string(e.After) != string(want.After) {
			t.Errorf("row %d is %+v, not %+v", i, e, want)
		}
	}
	page, err := s.AuditTrail(t.Context(), 3, 2)
	if err != nil || len(page) != 2 || page[0].Number != 4 {
		t.Errorf("%+v %v", page, err)
	}
}

func testWritersInLine(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	const writers, each = 6, 8
	var mu sync.Mutex
	var revs []registry.Revision
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range each {
				rev, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
					return errors.Join(tx.InsertWorker(ctx, Worker(n*each+i)), tx.Audit(ctx, entry(n*each+i)))
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				revs = append(revs, rev)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(revs)
	for i, rev := range revs {
		if rev != registry.Revision(i+1) {
			t.Fatalf("revisions have a gap or a repetition: %v", revs)
		}
	}
	for i, e := range trail(t, s) {
		if e.Number != int64(i+1) || e.Revision != registry.Revision(i+1) {
			t.Fatalf("row %d has number %d and revision %d", i, e.Number, e.Revision)
		}
	}
}

func testReopen(t *testing.T, b Backend) {
	open := b.New(t)
	s, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	insert(t, s, Worker(1))
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.SetGateway(ctx, uuidOf(9)) })
	if err := errors.Join(s.Close(t.Context()), s.Close(t.Context())); err != nil {
		t.Fatal("close, twice:", err)
	}
	c := load(t, opened(t, open), 0)
	if c.Revision != 2 || len(c.Workers) != 1 || !same(c.Workers[0], Worker(1)) || c.Gateway != uuidOf(9) {
		t.Errorf("%+v", c)
	}
}

func testCheckWritable(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	for range 3 {
		if err := s.CheckWritable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if c := load(t, s, 0); c.Revision != 0 {
		t.Errorf("a check moved the revision to %d", c.Revision)
	}
}

func testGateway(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		before, err := tx.Gateway(ctx)
		if err != nil || before != "" {
			return fmt.Errorf("before: %q %w", before, err)
		}
		return tx.SetGateway(ctx, uuidOf(7))
	})
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		if got, err := tx.Gateway(ctx); err != nil || got != uuidOf(7) {
			return fmt.Errorf("after: %q %w", got, err)
		}
		return nil
	})
	if c := load(t, s, 1); c.Gateway != uuidOf(7) || c.Full {
		t.Errorf("%+v", c)
	}
}

func testContextOver(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Write(ctx, func(ctx context.Context, tx registry.Tx) error { return tx.InsertWorker(ctx, Worker(1)) }); err == nil {
		t.Error("written")
	}
	if _, err := s.Load(ctx, 0); err == nil {
		t.Error("loaded")
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, err := s.Write(ctx, func(ctx context.Context, tx registry.Tx) error {
		defer cancel() // the caller goes away in the middle
		return tx.InsertWorker(ctx, Worker(1))
	})
	if err == nil {
		t.Error("written though the context ended before the commit")
	}
	if c := load(t, s, 0); c.Revision != 0 || len(c.Workers) != 0 {
		t.Errorf("%+v", c)
	}
}

func testClosed(t *testing.T, b Backend) {
	s, err := b.New(t)(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), 0); !isUnavailable(err) {
		t.Errorf("load: %v", err)
	}
	if _, err := s.Write(t.Context(), func(context.Context, registry.Tx) error { return nil }); !isUnavailable(err) {
		t.Errorf("write: %v", err)
	}
	if err := s.CheckWritable(t.Context()); !isUnavailable(err) {
		t.Errorf("check: %v", err)
	}
}
