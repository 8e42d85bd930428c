package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func replicaTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"only one holds an unshared store": testHeld,
		"ten start at once":                shared(testStartTogether),
		"a change reaches the others":      shared(testReaches),
		"a poll is the safety net":         shared(testPollAlone),
		"one of two wins":                  shared(testTwoWriters),
		"one enrolment of many":            shared(testEnrolTogether),
		"one replica ends a pause":         shared(testPauseEndsOnce),
		"what another changed counts":      shared(testReadYourWrites),
		"readers see no gap in rules":      testNoGap,
		"replicas have the same rules":     shared(testRulesConverge),
		"one replica sweeps generations":   shared(testSweptOnce),
	}
}

// shared is a test for stores that several may have open; others are held to
// testHeld instead.
func shared(test func(*testing.T, Backend)) func(*testing.T, Backend) {
	return func(t *testing.T, b Backend) {
		if b.Shared {
			test(t, b)
		}
	}
}

func testHeld(t *testing.T, b Backend) {
	open := b.New(t)
	first := opened(t, open)
	second, err := open(t.Context(), logger(t))
	if b.Shared {
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Close(t.Context()); err != nil {
			t.Error(err)
		}
		return
	}
	refused(t, err, "store_locked")
	insert(t, first, Worker(1)) // the refusal did the holder no harm
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := load(t, opened(t, open), 0); len(c.Workers) != 1 {
		t.Errorf("%+v", c)
	}
}

// replicas opens n services over the same data.
func replicas(t *testing.T, b Backend, n int, f registry.Inspector, change ...func(*registry.Options)) []*registry.Service {
	open := b.New(t)
	var all []*registry.Service
	for range n {
		all = append(all, service(t, open, f, change...))
	}
	return all
}

func testStartTogether(t *testing.T, b Backend) {
	open := b.New(t)
	const n = 10
	all := make([]*registry.Service, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			store, err := open(t.Context(), logger(t))
			if err != nil {
				t.Error(err)
				return
			}
			all[i], err = registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: newFleet()})
			if err != nil {
				t.Error(errors.Join(err, store.Close(t.Context())))
			}
		})
	}
	wg.Wait()
	for _, s := range all {
		if s == nil {
			continue
		}
		if got := s.Snapshot().Gateway; got == "" || got != all[0].Snapshot().Gateway {
			t.Errorf("another uuid: %q", got)
		}
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if n := len(trail(t, opened(t, open))); n != 3 {
		t.Errorf("%d audit rows for one uuid and two groups", n)
	}
}

func never(o *registry.Options) { o.PollInterval = time.Hour }

func testReaches(t *testing.T, b Backend) {
	f := newFleet()
	for n := range 20 {
		f.serve(Worker(n))
	}
	all := replicas(t, b, 3, f, never) // so that only a notification can tell
	watch := all[1].Watch(t.Context())
	var last registry.Revision
	for n := range 20 {
		register(t, all[n%2*2], Worker(n))
		eventually(t, fmt.Sprint("worker ", n, " is seen"), func() bool { return all[1].Snapshot().Worker(uuidOf(n)) != nil })
	}
	for snap := range watch {
		if snap.Revision < last {
			t.Errorf("revision %d after %d", snap.Revision, last)
		}
		if last = snap.Revision; last == all[0].Snapshot().Revision || last == all[2].Snapshot().Revision && last >= 21 {
			break
		}
	}
	if _, err := all[1].Deregister(t.Context(), admin, uuidOf(3)); err != nil {
		t.Fatal(err)
	}
	if err := all[0].Quarantine(t.Context(), uuidOf(4), "x"); err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		eventually(t, fmt.Sprint("replica ", i, " has it all"), func() bool {
			snap := s.Snapshot()
			return len(snap.Workers) == 19 && snap.Worker(uuidOf(3)) == nil && snap.Worker(uuidOf(4)).Quarantined != nil
		})
	}
}

// deaf is a store whose notifications are lost.
type deaf struct{ registry.Store }

func (deaf) Changed() <-chan struct{} { return nil }

func testPollAlone(t *testing.T, b Backend) {
	open := b.New(t)
	f := newFleet().serve(Worker(1))
	writer := service(t, open, f)
	store, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), deaf{store}, registry.Options{Logger: logger(t), Inspector: f, PollInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	register(t, writer, Worker(1))
	eventually(t, "a poll finds it", func() bool { return s.Snapshot().Worker(uuidOf(1)) != nil })
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func testTwoWriters(t *testing.T, b Backend) {
	f := newFleet()
	for n := range 8 {
		f.serve(Worker(n))
	}
	all := replicas(t, b, 2, f)
	for n := range 8 {
		outcomes := both(all, func(s *registry.Service) error {
			_, err := s.Register(t.Context(), admin, input(Worker(n)), false)
			return err
		})
		if outcomes != "ok uuid_taken" {
			t.Errorf("registering: %s", outcomes)
		}
		outcomes = both(all, func(s *registry.Service) error {
			_, err := s.Update(t.Context(), admin, uuidOf(n), registry.Patch{Active: ptr(false)}, "1")
			return err
		})
		if outcomes != "ok revision_mismatch" {
			t.Errorf("updating: %s", outcomes)
		}
		outcomes = both(all, func(s *registry.Service) error {
			_, err := s.Deregister(t.Context(), admin, uuidOf(n))
			return err
		})
		if outcomes != "not_found ok" {
			t.Errorf("removing: %s", outcomes)
		}
	}
}

// both has two replicas do the same at once and returns their outcomes, sorted.
func both(all []*registry.Service, do func(*registry.Service) error) string {
	outcomes := make([]string, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		wg.Go(func() {
			outcomes[i] = "ok"
			if err := do(s); err != nil {
				outcomes[i] = fault.From(err).Code
			}
		})
	}
	wg.Wait()
	slices.Sort(outcomes)
	return strings.Join(outcomes, " ")
}

func testEnrolTogether(t *testing.T, b Backend) {
	all := replicas(t, b, 3, newFleet().serve(Worker(1)))
	in := input(Worker(1))
	in.Enrols = true
	outcomes := both(all, func(s *registry.Service) error {
		_, err := s.Register(t.Context(), admin, in, false)
		return err
	})
	if outcomes != "ok ok ok" || len(audited(t, all[0])) != 1 {
		t.Errorf("%s, %d rows", outcomes, len(audited(t, all[0])))
	}
	for i, s := range all {
		if s.Snapshot().Worker(uuidOf(1)) == nil {
			t.Errorf("replica %d acknowledged what it does not show", i)
		}
	}
}

func testPauseEndsOnce(t *testing.T, b Backend) {
	all := replicas(t, b, 3, newFleet().serve(Worker(1)))
	register(t, all[0], Worker(1))
	p := registry.Patch{Active: ptr(false), Until: ptr(time.Now().Add(300 * time.Millisecond))}
	if _, err := all[1].Update(t.Context(), admin, uuidOf(1), p, ""); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		eventually(t, "the pause has ended", func() bool {
			w := s.Snapshot().Worker(uuidOf(1))
			return w.Active && w.Revision == 3
		})
	}
	if rows := audited(t, all[0]); len(rows) != 3 || rows[2].Action != registry.ActionResumed {
		t.Errorf("%+v", rows)
	}
}

func testReadYourWrites(t *testing.T, b Backend) {
	all := replicas(t, b, 2, newFleet().serve(Worker(1)), never)
	var rev atomic.Int64
	register(t, all[0], Worker(1))
	rev.Store(1)
	// A client that reads at one replica and writes at the other is never told
	// that its revision is old, however late the other hears of it.
	for n := range 20 {
		got, err := all[n%2].Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr(fmt.Sprint("n", n))}, fmt.Sprint(rev.Load()))
		if err != nil {
			t.Fatal(n, err)
		}
		rev.Store(got.Worker.Revision)
	}
}
