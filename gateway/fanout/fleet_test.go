package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/registry"
)

func TestFirstFailureByNameIsShownAndAllAreLogged(t *testing.T) {
	gate := make(chan struct{})
	var arrived atomic.Int32
	failing := func(status string) string {
		return "http://" + faulttest.Raw(t, func(c net.Conn) {
			if _, err := faulttest.Take(c); err != nil {
				return
			}
			if arrived.Add(1) == 2 {
				close(gate)
			}
			<-gate // both fail at the same time
			_, _ = io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		})
	}
	log := &lines{}
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	one, two := faulttest.Worker(1, failing("500 A")), faulttest.Worker(2, failing("503 B"))
	one.Settings.OnFailure = registry.HideUnjudged
	_, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), one, two))
	if e := faultOf(t, err); e.Worker.Name != "worker-02" {
		t.Errorf("the one that only hides is blamed: %v", e)
	}
	if !strings.Contains(log.String(), "worker-02") {
		t.Errorf("log: %s", log)
	}
}

func TestAFailureCancelsTheOthersAtOnce(t *testing.T) {
	hanging := make(chan struct{}, 1)
	slow := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			hanging <- struct{}{}
		}
		hang(c)
	})
	slowGRPC := afterAll(func(s faulttest.Stream, _ uint64) error { <-s.Context().Done(); return nil }).serve(t)
	bad := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			<-hanging
			_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
		}
	})
	seen := &faulttest.Observer{}
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Observer = seen })
	workers := []*registry.Worker{faulttest.Worker(1, slow), faulttest.Worker(2, slowGRPC), faulttest.Worker(3, bad)}
	for _, w := range workers {
		w.Settings.Timeout = 30 * time.Second
	}
	start := time.Now()
	_, err := f.Ask(within(t, time.Minute), call(faulttest.Nodes(t, 2), workers...))
	if e := faultOf(t, err); e.Worker.Name != "worker-03" || time.Since(start) > 10*time.Second {
		t.Errorf("%v after %v", e, time.Since(start))
	}
	if all := seen.All(); len(all) != 1 || all[0].Worker != workers[2].ID {
		t.Errorf("those that were cancelled were blamed: %+v", all)
	}
}

func TestCallerGoneCancelsEverything(t *testing.T) {
	var left sync.WaitGroup
	left.Add(1)
	slow := "http://" + faulttest.Raw(t, func(c net.Conn) {
		defer left.Done()
		hang(c)
	})
	seen := &faulttest.Observer{}
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Observer = seen })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	w := faulttest.Worker(1, slow)
	w.Settings.OnFailure = registry.HideUnjudged
	_, err := f.Ask(ctx, call(faulttest.Nodes(t, 2), w))
	if e := faultOf(t, err); e.Code != "cancelled" {
		t.Errorf("%v", e)
	}
	left.Wait() // the worker's connection has been closed
	if len(seen.All()) != 0 {
		t.Errorf("observed %+v", seen.All())
	}
}

func TestBulkhead(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	url := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			entered <- struct{}{}
			<-leave
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n"+`{"result":{"nodes":[]}}`)
		}
	})
	f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, url)
	w.Settings.MaxConcurrent = 1
	req := faulttest.Nodes(t, 2)
	first := make(chan error, 1)
	go func() {
		_, err := f.Ask(t.Context(), call(req, w))
		first <- err
	}()
	<-entered
	if n := counter(t, reg, "muster_worker_inflight", ""); n != 1 {
		t.Errorf("%v calls in flight", n)
	}
	_, err := f.Ask(within(t, 40*time.Second), call(req, w))
	if e := faultOf(t, err); e.Code != "worker_busy" || e.Kind.HTTPStatus() != 503 || e.RetryAfter <= 0 {
		t.Errorf("%+v", e)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := counter(t, reg, "muster_worker_inflight", ""); n != 0 {
		t.Errorf("%v calls in flight", n)
	}
}

func TestBreakerOpensAndRecovers(t *testing.T) {
	var mode atomic.Value
	mode.Store("500 No")
	url := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			body := `{"result":{"nodes":[]}}`
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", mode.Load(), len(body), body)
		}
	})
	cfg := fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 5, Delay: 300 * time.Millisecond}}
	f, _ := faulttest.Fleet(t, cfg, nil)
	w := faulttest.Worker(1, url)
	req := faulttest.Nodes(t, 2)
	code := func() string {
		_, err := f.Ask(within(t, 40*time.Second), call(req, w))
		if err == nil {
			return ""
		}
		e := faultOf(t, err)
		if e.Code == "worker_circuit_open" && (e.Kind.HTTPStatus() != 503 || e.RetryAfter <= 0) {
			t.Errorf("%+v", e)
		}
		return e.Code
	}
	for i := range 5 {
		if got := code(); got != "worker_error" {
			t.Fatalf("call %d: %s", i, got)
		}
	}
	if got := code(); got != "worker_circuit_open" {
		t.Fatalf("after 5 failures: %s", got)
	}
	mode.Store("200 OK")
	eventually(t, func() bool { return code() == "" })
	if got := code(); got != "" {
		t.Fatalf("after recovery: %s", got)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

// Violations do not trip a breaker, and neither does a caller in a hurry.
func TestWhatDoesNotTripTheBreaker(t *testing.T) {
	cfg := fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 3}}
	seen := &faulttest.Observer{}
	f, _ := faulttest.Fleet(t, cfg, func(d *fanout.Deps) { d.Observer = seen })
	req := faulttest.Nodes(t, 2)
	liar := faulttest.Worker(1, ok("[]")(t))
	for range 10 {
		if _, err := f.Ask(within(t, 40*time.Second), call(req, liar)); faultOf(t, err).Code != "worker_violation" {
			t.Fatal(err)
		}
	}
	if n := len(seen.All()); n != 10 {
		t.Fatalf("%d violations observed", n)
	}
	slow := faulttest.Worker(2, byHand(hang)(t))
	for range 6 {
		if _, err := f.Ask(within(t, 20*time.Millisecond), call(req, slow)); faultOf(t, err).Code != "worker_timeout" {
			t.Fatal(err)
		}
	}
	if n := len(seen.All()); n != 10 {
		t.Fatalf("a caller's own deadline was held against the worker: %+v", seen.All()[10:])
	}
}

// A pooled connection that dies while it is used costs one retry, never two,
// and a worker that is down is not called twice as often for long.
func TestOneRetryFromABudget(t *testing.T) {
	var conns, asked atomic.Int32
	url := "http://" + faulttest.Raw(t, func(c net.Conn) {
		conns.Add(1)
		if _, err := faulttest.Take(c); err == nil {
			asked.Add(1)
		}
	})
	f, _ := faulttest.Fleet(t, fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 10_000}}, nil)
	w := faulttest.Worker(1, url)
	req := faulttest.Nodes(t, 2)
	_, err := f.Ask(within(t, 40*time.Second), call(req, w))
	if e := faultOf(t, err); e.Code != "worker_unreachable" || asked.Load() != 2 {
		t.Fatalf("%v after %d attempts", e, asked.Load())
	}
	for range 199 {
		if _, err := f.Ask(within(t, 40*time.Second), call(req, w)); err == nil {
			t.Fatal("no error")
		}
	}
	if n := asked.Load(); n > 200+10+20+2 {
		t.Fatalf("%d attempts for 200 calls", n)
	}
}

func TestRetryFindsTheWorkerAgain(t *testing.T) {
	var n atomic.Int32
	url := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err != nil || n.Add(1) == 1 {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n"+`{"result":{"nodes":[]}}`)
	})
	f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
	if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), faulttest.Worker(1, url))); err != nil {
		t.Fatal(err)
	}
	if n := counter(t, reg, "muster_worker_failures_total", ""); n != 0 {
		t.Errorf("%v failures for a call that went well", n)
	}
}

// exchanger trades tokens.
type exchanger struct{ err error }

func (e exchanger) Exchange(_ context.Context, subject, audience string) (string, error) {
	return "for-" + audience + "-from-" + subject, e.err
}

func TestIdentity(t *testing.T) {
	url, calls := faulttest.REST(t, odd, false)
	w := faulttest.Worker(1, url)
	w.Settings.Identity, w.Settings.Audience = registry.IdentityExchange, "worker-a"
	req := faulttest.Nodes(t, 2)

	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Exchanger = exchanger{} })
	if _, err := f.Ask(within(t, 40*time.Second), call(req, w)); err != nil {
		t.Fatal(err)
	}
	if got := calls.Headers()[0].Get("Authorization"); got != "Bearer for-worker-a-from-alice-token" {
		t.Errorf("Authorization %q", got)
	}
	for _, x := range []fanout.Exchanger{exchanger{errors.New("down")}, nil} {
		f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Exchanger = x })
		_, err := f.Ask(within(t, 40*time.Second), call(req, w))
		if e := faultOf(t, err); e.Code != "identity_unavailable" || e.Kind.HTTPStatus() != 503 || e.Worker == nil {
			t.Errorf("%v", e)
		}
	}
	c := call(req, w)
	c.Token = ""
	_, err := f.Ask(within(t, 40*time.Second), c)
	if e := faultOf(t, err); e.Code != "login_token_required" || e.Kind.HTTPStatus() != 403 {
		t.Errorf("%v", e)
	}
	if len(calls.Headers()) != 1 {
		t.Errorf("%d calls", len(calls.Headers()))
	}
}

func TestQuarantinedIsNotCalled(t *testing.T) {
	url, calls := faulttest.REST(t, odd, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	stored, observed := faulttest.Worker(1, url), faulttest.Worker(2, url)
	stored.Quarantined = &registry.Quarantine{Reason: "lied", Since: time.Now()}
	for _, w := range []*registry.Worker{stored, observed} {
		c := call(faulttest.Nodes(t, 2), w)
		c.Standing = func(id registry.WorkerID) registry.State {
			if id == observed.ID {
				return registry.StateQuarantined
			}
			return registry.StateUnreachable // which is no reason not to call
		}
		_, err := f.Ask(within(t, 40*time.Second), c)
		if e := faultOf(t, err); e.Code != "worker_quarantined" || e.Kind.HTTPStatus() != 503 || e.Worker.UUID != string(w.ID) {
			t.Errorf("%v", e)
		}
	}
	if len(calls.Headers()) != 0 {
		t.Error("a quarantined worker was called")
	}
}

func TestSyncIsLevelTriggered(t *testing.T) {
	var opened, closed atomic.Int32
	serve := func(decide faulttest.Decide) string {
		srv := httptest.NewUnstartedServer(faulttest.Handler(decide, false, &faulttest.Calls{}))
		srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				opened.Add(1)
			case http.StateClosed:
				closed.Add(1)
			}
		}
		srv.Start()
		t.Cleanup(srv.Close)
		return srv.URL + "/x"
	}
	f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, serve(odd))
	req := faulttest.Nodes(t, 4)
	ask := func(w *registry.Worker) int {
		out, err := f.Ask(within(t, 40*time.Second), call(req, w))
		if err != nil {
			t.Fatal(err)
		}
		return out[0].Nodes.CountVisible()
	}
	for range 3 {
		f.Sync(faulttest.Snapshot(w))
		if ask(w) != 2 {
			t.Fatal("wrong verdicts")
		}
	}
	if opened.Load() != 1 {
		t.Fatalf("%d connections for three calls in a row", opened.Load())
	}
	moved := *w
	moved.URL, moved.Revision = serve(func(_, _ string) faulttest.Verdict { return faulttest.Verdict{} }), 2
	// A request may know of the change before Sync does.
	if ask(&moved) != 4 {
		t.Fatal("the new address was not asked")
	}
	eventually(t, func() bool { return closed.Load() == 1 })
	f.Sync(faulttest.Snapshot(&moved))
	if opened.Load() != 2 {
		t.Fatalf("%d connections", opened.Load())
	}
	f.Sync(faulttest.Snapshot())
	eventually(t, func() bool { return closed.Load() == 2 })
	if n := counter(t, reg, "muster_worker_call_seconds", ""); n != 0 {
		t.Errorf("a removed worker still has series")
	}
}

func TestClosedFleetAsksNobody(t *testing.T) {
	url, _ := faulttest.REST(t, odd, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 1), faulttest.Worker(1, url)))
	if e := faultOf(t, err); e.Code != "draining" {
		t.Fatal(e)
	}
}

// A worker behind a proxy of the environment would be one whose address was
// never checked.
func TestNoProxyFromTheEnvironment(t *testing.T) {
	var used atomic.Int32
	proxy := "http://" + faulttest.Raw(t, func(net.Conn) { used.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "grpc_proxy"} {
		t.Setenv(name, proxy)
	}
	t.Setenv("NO_PROXY", "")
	rest, _ := faulttest.REST(t, odd, false)
	grpc, _ := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	_, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), faulttest.Worker(1, rest), faulttest.Worker(2, grpc)))
	if err != nil || used.Load() != 0 {
		t.Fatalf("%v; the proxy was used %d times", err, used.Load())
	}
}

// Workers that fail at the same moment are blamed the same way every time: the
// first by name.
func TestOfSeveralFailuresTheFirstByNameIsBlamed(t *testing.T) {
	broken := func() string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	a, b, c := faulttest.Worker(1, broken()), faulttest.Worker(2, broken()), faulttest.Worker(3, broken())
	for _, w := range []*registry.Worker{a, b, c} {
		w.Settings.Timeout = 5 * time.Second
	}
	f, _ := faulttest.Fleet(t, fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 1000}}, nil)
	f.Sync(faulttest.Snapshot(a, b, c))
	for range 20 {
		_, err := f.Ask(within(t, 10*time.Second), call(faulttest.Nodes(t, 2), a, b, c))
		if e := faultOf(t, err); e.Worker == nil || e.Worker.UUID != string(a.ID) {
			t.Fatalf("blamed %+v, want %s", e.Worker, a.Name)
		}
	}
}
