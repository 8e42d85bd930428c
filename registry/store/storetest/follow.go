package storetest

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func followTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"the newest wins, nobody waits": testWatch,
		"watches end":                   testWatchEnds,
		"a pause ends by itself":        testPauseEnds,
		"the store goes and comes back": testStoreGone,
		"an answer that never came":     testUnknownCommit,
		"nothing is left running":       testNothingLeft,
		"a closed service refuses":      testServiceClosed,
		"a write waits for its turn":    testBusy,
		"the age of a snapshot":         testAge,
	}
}

func testWatch(t *testing.T, b Backend) {
	f := newFleet()
	s := service(t, b.New(t), f)
	slow, fast := s.Watch(t.Context()), s.Watch(t.Context())
	if first := <-fast; first.Revision != s.Snapshot().Revision {
		t.Errorf("the first is at %d", first.Revision)
	}
	const changes = 10
	var last registry.Revision
	for n := range changes {
		f.serve(Worker(n))
		register(t, s, Worker(n))
		select {
		case snap := <-fast:
			if snap.Worker(uuidOf(n)) == nil || snap.Revision <= last {
				t.Errorf("change %d: revision %d after %d", n, snap.Revision, last)
			}
			last = snap.Revision
		default:
			t.Errorf("change %d is not there when the call returns", n)
		}
	}
	if snap := <-slow; len(snap.Workers) != changes {
		t.Errorf("a slow watcher gets %d workers, not the newest", len(snap.Workers))
	}
	select {
	case snap := <-slow:
		t.Errorf("and then again revision %d", snap.Revision)
	default:
	}
}

func testWatchEnds(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	ctx, cancel := context.WithCancel(t.Context())
	ended, closed := s.Watch(ctx), s.Watch(t.Context())
	<-ended
	cancel()
	if _, open := <-ended; open {
		t.Error("a watch outlives its context")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, ch := range []<-chan *registry.Snapshot{closed, s.Watch(t.Context())} {
		if snap := <-ch; snap == nil {
			t.Error("the present one is missing")
		}
		if _, open := <-ch; open {
			t.Error("a watch outlives the service")
		}
	}
}

func testPauseEnds(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1)))
	register(t, s, Worker(1))
	until := time.Now().Add(300 * time.Millisecond)
	p := registry.Patch{Active: ptr(false), Until: &until}
	if _, err := s.Update(t.Context(), admin, uuidOf(1), p, ""); err != nil {
		t.Fatal(err)
	}
	w := s.Snapshot().Worker(uuidOf(1))
	if w.ActiveAt(until.Add(-time.Millisecond)) || !w.ActiveAt(until) {
		t.Errorf("%+v", w)
	}
	eventually(t, "the end of the pause is stored", func() bool { return s.Snapshot().Worker(uuidOf(1)).Active })
	all := audited(t, s)
	if last := all[len(all)-1]; last.Action != registry.ActionResumed || last.Actor != registry.Muster() {
		t.Errorf("%+v", last)
	}
	if w := s.Snapshot().Worker(uuidOf(1)); !w.PausedUntil.IsZero() || w.Revision != 3 {
		t.Errorf("%+v", w)
	}
}

// cut is a store that can be cut off: a wire that a test pulls.
type cut struct {
	registry.Store
	off   atomic.Bool
	drops atomic.Bool // commits, but its answer is lost
}

func (c *cut) gone() error {
	if c.off.Load() {
		return fault.New(fault.Unavailable, "store_unavailable", "the wire is pulled")
	}
	return nil
}

func (c *cut) Load(ctx context.Context, since registry.Revision) (*registry.Changes, error) {
	if err := c.gone(); err != nil {
		return nil, err
	}
	return c.Store.Load(ctx, since)
}

func (c *cut) Write(ctx context.Context, fn func(context.Context, registry.Tx) error) (registry.Revision, error) {
	if err := c.gone(); err != nil {
		return 0, err
	}
	rev, err := c.Store.Write(ctx, fn)
	if c.drops.Load() && err == nil {
		return 0, fault.New(fault.Unavailable, "store_unavailable", "the answer is lost")
	}
	return rev, err
}

func (c *cut) StagedRules(ctx context.Context, after registry.StagedPlace, limit int) ([]registry.StagedRule, error) {
	if err := c.gone(); err != nil {
		return nil, err
	}
	return c.Store.StagedRules(ctx, after, limit)
}

func (c *cut) CheckWritable(ctx context.Context) error {
	if err := c.gone(); err != nil {
		return err
	}
	return c.Store.CheckWritable(ctx)
}

// cutting wraps what open opens.
func cutting(t testing.TB, open Open, f registry.Inspector, change ...func(*registry.Options)) (*registry.Service, *cut) {
	t.Helper()
	store, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &cut{Store: store}
	s := service(t, func(context.Context, *slog.Logger) (registry.Store, error) { return c, nil }, f, change...)
	return s, c
}

func often(o *registry.Options) { o.PollInterval = 10 * time.Millisecond }

func testStoreGone(t *testing.T, b Backend) {
	s, c := cutting(t, b.New(t), newFleet().serve(Worker(1), Worker(2)), often)
	register(t, s, Worker(1))
	before := s.Snapshot().Revision
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.off.Store(true)
	eventually(t, "it is noticed", func() bool { return s.StoreError() != nil })
	if !isUnavailable(s.Ready(t.Context())) || s.Snapshot().Revision != before || s.Snapshot().Worker(uuidOf(1)) == nil {
		t.Error("the last snapshot is to keep serving")
	}
	_, err := s.Register(t.Context(), admin, input(Worker(2)), false)
	if e := refused(t, err, "store_unavailable"); e.Kind.HTTPStatus() != 503 {
		t.Error(e.Kind)
	}
	_, err = s.Update(t.Context(), admin, uuidOf(1), registry.Patch{Name: ptr("x")}, "")
	refused(t, err, "store_unavailable")
	_, err = s.Deregister(t.Context(), admin, uuidOf(1))
	refused(t, err, "store_unavailable")
	if !isUnavailable(s.Quarantine(t.Context(), uuidOf(1), "x")) {
		t.Error("a quarantine that was not stored")
	}
	age := s.Age()
	eventually(t, "the age grows", func() bool { return s.Age() > age })
	c.off.Store(false)
	eventually(t, "it catches up by itself", func() bool { return s.StoreError() == nil })
	register(t, s, Worker(2))
}

func testUnknownCommit(t *testing.T, b Backend) {
	s, c := cutting(t, b.New(t), newFleet().serve(Worker(1)), often)
	c.drops.Store(true)
	_, err := s.Register(t.Context(), admin, input(Worker(1)), false)
	refused(t, err, "store_unavailable")
	c.drops.Store(false)
	eventually(t, "what was stored is seen", func() bool { return s.Snapshot().Worker(uuidOf(1)) != nil })
	if n := len(audited(t, s)); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func testNothingLeft(t *testing.T, b Backend) {
	open := b.New(t)
	before := goleak.IgnoreCurrent()
	store, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: newFleet().serve(Worker(1))})
	if err != nil {
		t.Fatal(err)
	}
	s.Watch(t.Context())
	register(t, s, Worker(1))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

func testServiceClosed(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1)))
	register(t, s, Worker(1))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := s.Deregister(t.Context(), admin, uuidOf(1))
	refused(t, err, "store_unavailable")
	if s.Snapshot().Worker(uuidOf(1)) == nil {
		t.Error("the last snapshot is gone")
	}
}

// testBusy holds the writers up and asks for a change with little patience.
func testBusy(t *testing.T, b Backend) {
	s, c := cutting(t, b.New(t), newFleet().serve(Worker(1)), func(o *registry.Options) { o.WriteTimeout = 100 * time.Millisecond })
	register(t, s, Worker(1))
	holding, free := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Store.Write(t.Context(), func(context.Context, registry.Tx) error {
			close(holding)
			<-free
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-holding
	if err := s.Quarantine(t.Context(), uuidOf(1), "x"); !isUnavailable(err) {
		t.Error(err)
	}
	close(free)
	wg.Wait()
	eventually(t, "it works again", func() bool { return s.Quarantine(t.Context(), uuidOf(1), "x") == nil })
}

func testAge(t *testing.T, b Backend) {
	c := &clock{at: noon}
	s := service(t, b.New(t), newFleet(), often, func(o *registry.Options) { o.Clock = c.now })
	rev := s.Snapshot().Revision
	watch := s.Watch(t.Context())
	<-watch
	c.advance(time.Hour)
	eventually(t, "a poll makes it young", func() bool { return s.Age() == 0 })
	select {
	case <-watch:
		t.Error("a poll that finds nothing wakes watchers")
	default:
	}
	if s.Snapshot().Revision != rev {
		t.Error("time moved the revision")
	}
}
