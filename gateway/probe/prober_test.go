package probe_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// start runs a Prober in the test's bubble until the test ends.
func start(t *testing.T, cfg probe.Config, m *memory, w *workers) (*probe.Prober, *prometheus.Registry) {
	t.Helper()
	metrics := prometheus.NewPedanticRegistry()
	p, err := probe.New(cfg, probe.Deps{
		Registry: m, Inspector: w, Metrics: metrics, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p, metrics
}

func wantState(t *testing.T, p *probe.Prober, i int, want registry.State) {
	t.Helper()
	if got := p.State(idOf(i)); got != want {
		t.Errorf("worker %d is %s, want %s (%+v)", i, got, want, p.Standing(idOf(i)))
	}
}

func fails(_ context.Context, i int) (registry.Info, error) {
	return registry.Info{}, fault.New(fault.Unprocessable, "unreachable", "no")
}

func TestProbesEachWorkerOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := healthy()
		p, _ := start(t, probe.Config{}, newMemory(50), w)
		for i := range 50 {
			wantState(t, p, i, registry.StateUnknown)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i := range 50 {
			wantState(t, p, i, registry.StateHealthy)
		}
		time.Sleep(90 * time.Second)
		synctest.Wait()
		for url, n := range w.counts() {
			if n < 9 || n > 12 {
				t.Errorf("%s was probed %d times in 100 s, want about 10", url, n)
			}
		}
	})
}

func TestDownAndUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := answering(fails)
		p, _ := start(t, probe.Config{Interval: time.Second}, newMemory(1), w)
		time.Sleep(time.Second)
		synctest.Wait()
		wantState(t, p, 0, registry.StateSuspect)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		wantState(t, p, 0, registry.StateUnreachable)
		if s := p.Standing(idOf(0)); s.LastError != "unreachable: no" || s.LastProbe.IsZero() {
			t.Errorf("got %+v", s)
		}
		w.set(healthy().reply)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		wantState(t, p, 0, registry.StateHealthy)
	})
}

// TestImpostor: quarantined at once, also while nothing can be stored, and stored
// as soon as something can.
func TestImpostor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(2)
		m.down = true
		w := answering(func(_ context.Context, i int) (registry.Info, error) {
			if i == 0 {
				return info(7), nil
			}
			return info(i), nil
		})
		p, _ := start(t, probe.Config{}, m, w)
		time.Sleep(15 * time.Second)
		synctest.Wait()
		wantState(t, p, 0, registry.StateQuarantined)
		wantState(t, p, 1, registry.StateHealthy)
		if got := m.logged(); len(got) != 0 {
			t.Errorf("stored %v", got)
		}
		m.mu.Lock()
		m.down = false
		m.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.set(healthy().reply)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := m.logged(); !slices.Equal(got, []string{"quarantine w00000"}) {
			t.Errorf("stored %v", got)
		}
		wantState(t, p, 0, registry.StateQuarantined) // good probes do not end it
	})
}

func TestTrafficQuarantinesAndSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(2)
		p, _ := start(t, probe.Config{}, m, healthy())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for range 4 {
			p.Observe(idOf(0), probe.Violated)
		}
		wantState(t, p, 0, registry.StateHealthy)
		p.Observe(idOf(0), probe.Violated)
		wantState(t, p, 0, registry.StateQuarantined)
		synctest.Wait()
		if got := m.logged(); !slices.Equal(got, []string{"quarantine w00000"}) {
			t.Errorf("stored %v at once", got)
		}
		for range 3 {
			p.Observe(idOf(1), probe.Failed)
		}
		wantState(t, p, 1, registry.StateSuspect)
		p.Observe(idOf(9), probe.Failed) // nobody
		p.Observe(idOf(1), probe.Answered)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantState(t, p, 1, registry.StateHealthy)
	})
}

func TestOperatorsProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		w := answering(func(context.Context, int) (registry.Info, error) { return info(7), nil })
		p, _ := start(t, probe.Config{}, m, w)
		admin := registry.Actor{Username: "admin"}
		now := func() registry.Standing {
			t.Helper()
			s, err := p.ProbeNow(t.Context(), admin, idOf(0))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := now(); s.State != registry.StateQuarantined {
			t.Errorf("got %+v", s)
		}
		w.set(fails)
		if s := now(); s.State != registry.StateQuarantined || s.LastError != "unreachable: no" {
			t.Errorf("a failed probe ended the quarantine: %+v", s)
		}
		w.set(healthy().reply)
		if s := now(); s.State != registry.StateHealthy || s.LastError != "" {
			t.Errorf("got %+v", s)
		}
		if got := m.logged(); !slices.Equal(got, []string{"quarantine w00000", "pardon w00000 by admin"}) {
			t.Errorf("stored %v", got)
		}
		if _, err := p.ProbeNow(t.Context(), admin, idOf(5)); !fault.Is(err, "not_found") {
			t.Errorf("got %v", err)
		}
		m.down = true
		w.set(func(context.Context, int) (registry.Info, error) { return info(7), nil })
		if _, err := p.ProbeNow(t.Context(), admin, idOf(0)); !fault.Is(err, "store_unavailable") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.ProbeNow(ctx, admin, idOf(0)); fault.From(err).Kind != fault.Cancelled {
			t.Errorf("got %v", err)
		}
	})
}

func TestNewVersionIsRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		p, _ := start(t, probe.Config{}, m, answering(func(_ context.Context, i int) (registry.Info, error) {
			got := info(i)
			got.Version = "2"
			return got, nil
		}))
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := m.logged(); !slices.Equal(got, []string{"version w00000 2"}) {
			t.Errorf("stored %v", got)
		}
		wantState(t, p, 0, registry.StateHealthy)
	})
}

// TestComingAndGoing: a registration is healthy at once, before any probe; a
// removed worker leaves nothing behind.
func TestComingAndGoing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		w := answering(fails)
		p, metrics := start(t, probe.Config{}, m, w)
		time.Sleep(time.Minute)
		m.change(func() {
			m.put(1, func(w *registry.Worker) { w.Name, w.Version = "late\x1b", "1\n" })
			m.put(2, func(w *registry.Worker) { w.Active = false })
		})
		wantState(t, p, 1, registry.StateHealthy)
		wantState(t, p, 0, registry.StateUnreachable)
		if s := p.Standing(idOf(1)); s.LastProbe.IsZero() {
			t.Errorf("the inspection of the registration does not count as a probe: %+v", s)
		}
		want := `
# HELP muster_paused_security_workers ExternalGraphSecurity workers that are registered but paused, so that nobody asks them.
# TYPE muster_paused_security_workers gauge
muster_paused_security_workers 1
# HELP muster_worker_info 1 for every registered worker; joins its name, type and version to its uuid.
# TYPE muster_worker_info gauge
muster_worker_info{name="late\\x1b",type="ExternalGraphSecurity",version="1\\n",worker="00000000-0000-4000-8000-000000000001"} 1
muster_worker_info{name="w00002",type="ExternalGraphSecurity",version="1",worker="00000000-0000-4000-8000-000000000002"} 1
# HELP muster_worker_standing 1 for the state that a worker is in, as this replica sees it.
# TYPE muster_worker_standing gauge
muster_worker_standing{state="healthy",worker="00000000-0000-4000-8000-000000000001"} 1
muster_worker_standing{state="healthy",worker="00000000-0000-4000-8000-000000000002"} 1
`
		m.change(func() { delete(m.workers, idOf(0)) })
		wantState(t, p, 0, registry.StateUnknown)
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		before := w.counts()["http://w00000:1/"]
		time.Sleep(time.Minute)
		synctest.Wait()
		if after := w.counts()["http://w00000:1/"]; after != before {
			t.Errorf("a removed worker was probed %d times", after-before)
		}
	})
}

// TestStaleProbe: what was found at an old url says nothing about the new one.
func TestStaleProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1)
		release := make(chan struct{})
		w := answering(func(_ context.Context, i int) (registry.Info, error) { <-release; return info(7), nil })
		p, _ := start(t, probe.Config{}, m, w)
		time.Sleep(time.Second)
		synctest.Wait()
		m.change(func() { m.put(0, func(w *registry.Worker) { w.URL += "new" }) })
		w.set(healthy().reply)
		close(release)
		synctest.Wait()
		wantState(t, p, 0, registry.StateHealthy)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := m.logged(); len(got) != 0 {
			t.Errorf("stored %v", got)
		}
	})
}

// TestTenThousand: probes under way are bounded, starting does not wait for
// anybody, and the end of the context ends all of them.
func TestTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := answering(func(ctx context.Context, _ int) (registry.Info, error) {
			<-ctx.Done()
			return registry.Info{}, ctx.Err()
		})
		p, _ := start(t, probe.Config{Concurrency: 100}, newMemory(10_000), w)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantState(t, p, 9_999, registry.StateUnknown)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most != 50 { // all of them are in the lane of the quick, so far
			t.Errorf("%d probes ran at once, want 50", w.most)
		}
	})
}

// TestDeadWorkersHoldUpOnlyEachOther: with far more dead workers than probes may
// run, those that answer are probed as often as ever.
func TestDeadWorkersHoldUpOnlyEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := answering(func(ctx context.Context, i int) (registry.Info, error) {
			if i < 500 {
				time.Sleep(5 * time.Second)
				return fails(ctx, i)
			}
			time.Sleep(10 * time.Millisecond)
			return info(i), nil
		})
		p, _ := start(t, probe.Config{Concurrency: 20}, newMemory(600), w)
		time.Sleep(10 * time.Minute) // the dead ones find their lane
		synctest.Wait()
		before := w.counts()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		after := w.counts()
		for i := range 600 {
			url := fmt.Sprintf("http://w%05d:1/", i)
			n := after[url] - before[url]
			switch {
			case i >= 500 && (n < 50 || n > 70):
				t.Errorf("healthy worker %d was probed %d times in 600 s, want about 60", i, n)
			case i < 500 && (n < 1 || n > 4):
				t.Errorf("dead worker %d was probed %d times in 600 s, want about 2", i, n)
			}
		}
		wantState(t, p, 0, registry.StateUnreachable)
		wantState(t, p, 599, registry.StateHealthy)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most > 20 {
			t.Errorf("%d probes ran at once, want at most 20", w.most)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	deps := probe.Deps{Registry: newMemory(0), Inspector: healthy(), Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)}
	if _, err := probe.New(probe.Config{Interval: 99 * time.Millisecond}, deps); err == nil || !strings.Contains(err.Error(), "100ms") {
		t.Errorf("got %v", err)
	}
	if _, err := probe.New(probe.Config{Interval: probe.MinInterval}, deps); err != nil {
		t.Error(err)
	}
	if _, err := probe.New(probe.Config{}, deps); err == nil {
		t.Error("metrics were registered twice without an error")
	}
}

func BenchmarkState(b *testing.B) {
	p, err := probe.New(probe.Config{}, probe.Deps{
		Registry: newMemory(1000), Inspector: healthy(), Metrics: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	id := idOf(500)
	b.ReportAllocs()
	for b.Loop() {
		p.State(id)
	}
}
