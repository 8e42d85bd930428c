package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// learned asks a worker, which must serve Decide well once, until the fleet has
// learned that it does.
func learned(t *testing.T, f *fanout.Fleet, d *faulttest.Decider, w *registry.Worker) {
	t.Helper()
	before := d.Decided.Load()
	patient := *w
	patient.Settings.Timeout = 30 * time.Second
	eventually(t, func() bool {
		if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 1), &patient)); err != nil {
			t.Fatal(err)
		}
		return d.Decided.Load() > before
	})
}

// Verdicts of all sorts, on either kind, are the same by one message as over a
// stream.
func TestDecideAgreesWithStreams(t *testing.T) {
	decide := func(_, id string) faulttest.Verdict {
		switch id[len(id)-1] {
		case '1':
			return faulttest.Verdict{Hide: true}
		case '2':
			return faulttest.Verdict{Strip: []string{"secret"}}
		case '3':
			return faulttest.Verdict{Mask: map[string]json.RawMessage{"secret": json.RawMessage(`0`)}}
		}
		return faulttest.Verdict{}
	}
	stream, _ := faulttest.GRPC(t, decide)
	d := &faulttest.Decider{Judge: func(s faulttest.Stream) error { return faulttest.Judges(s, decide) }}
	one, two := faulttest.Worker(1, stream), faulttest.Worker(2, d.Serve(t))
	one.Settings.Mask, two.Settings.Mask = true, true
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	learned(t, f, d, two)
	for _, most := range []int{0, 7} {
		two.Settings.MaxElementsPerCall = most
		for _, n := range []int{1, 2, 8, 63, 64, 65, 100} {
			nodes, rels := make([]string, n), make([]string, n/2+1)
			for i := range nodes {
				nodes[i] = faulttest.Node(fmt.Sprintf("n%d", i))
			}
			for i := range rels {
				rels[i] = faulttest.Relationship(fmt.Sprintf("r%d", i), "n0", fmt.Sprintf("n%d", i))
			}
			req := faulttest.Parse(t, `{"parameters":{"type":"graph"},"data":{"nodes":[`+strings.Join(nodes, ", ")+`],"relationships":[`+strings.Join(rels, ",")+`]}}`)
			before, streams := d.Decided.Load(), d.Filtered.Load()
			out, err := f.Ask(within(t, 40*time.Second), call(req, one, two))
			if err != nil {
				t.Fatal(err)
			}
			if !same(out[0].Nodes, out[1].Nodes) || !same(out[0].Relationships, out[1].Relationships) {
				t.Fatalf("%d elements, %d a call: the verdicts differ", n, most)
			}
			if d.Decided.Load() == before || d.Filtered.Load() != streams {
				t.Fatalf("%d elements went over a stream", n)
			}
		}
	}
}

// same reports whether two sets hold the same verdicts.
func same(a, b *verdict.Set) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i := range a.Len() {
		if a.Visible(i) != b.Visible(i) || fmt.Sprint(a.StripsOf(i), a.MasksOf(i)) != fmt.Sprint(b.StripsOf(i), b.MasksOf(i)) {
			return false
		}
	}
	return true
}

// Few elements go by one message, many over a stream; Describe, which tells of
// it, gets no token, and Decide gets all that a stream gets.
func TestOnlyFewElementsAreDecided(t *testing.T) {
	seen := make(chan metadata.MD, 100)
	d := &faulttest.Decider{}
	d.Judge = func(s faulttest.Stream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		seen <- md
		if _, bounded := s.Context().Deadline(); !bounded {
			return errors.New("no deadline came with the call")
		}
		return judgeAll(s)
	}
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, d.Serve(t))
	learned(t, f, d, w)
	for len(seen) > 0 {
		<-seen
	}
	for _, test := range []struct {
		size    int
		decided int64
	}{{100, 1}, {60_000, 1}, {64<<10 + 1, 0}, {3 << 20, 0}} {
		body := `{"parameters":{"type":"nodes"},"data":[{"elementId":"1","labels":[],"properties":{"p":"` + strings.Repeat("x", test.size) + `"}}]}`
		decided, filtered := d.Decided.Load(), d.Filtered.Load()
		out, err := f.Ask(within(t, 40*time.Second), call(faulttest.Parse(t, body), w))
		if err != nil || !out[0].Nodes.Visible(0) {
			t.Fatal(out, err)
		}
		if d.Decided.Load()-decided != test.decided || d.Filtered.Load()-filtered != 1-test.decided {
			t.Errorf("an element of %d bytes: %d calls of Decide", test.size, d.Decided.Load()-decided)
		}
		md := <-seen
		if got := fmt.Sprint(md.Get("authorization"), md.Get("muster-hops")); got != "[Bearer alice-token] [3]" {
			t.Errorf("beside the elements: %s", got)
		}
	}
	if d.Tokens.Load() != 0 {
		t.Error("Describe got a token")
	}
}

// A worker that says nothing of Decide is not asked by it.
func TestWithoutTheCapabilityStreamsStay(t *testing.T) {
	d := &faulttest.Decider{Judge: judgeAll}
	d.Denies.Store(true)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, d.Serve(t))
	eventually(t, func() bool {
		if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), w)); err != nil {
			t.Fatal(err)
		}
		return d.Described.Load() > 0 && d.Filtered.Load() > 20
	})
	if d.Decided.Load() != 0 {
		t.Error("it was called all the same")
	}
}

// Behind one address there may be replicas of an older version: the call that
// finds one is made again as a stream, the worker is not blamed, and Decide is
// not tried again on that connection.
func TestWorkerThatDecidesNoMore(t *testing.T) {
	d := &faulttest.Decider{Judge: judgeAll}
	seen := &faulttest.Observer{}
	f, reg := faulttest.Fleet(t, fanout.Config{}, func(deps *fanout.Deps) { deps.Observer = seen })
	w := faulttest.Worker(1, d.Serve(t))
	learned(t, f, d, w)
	d.Forgets.Store(true)
	before := d.Filtered.Load()
	for range 3 {
		out, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 3), w))
		if err != nil || out[0].Nodes.CountVisible() != 3 {
			t.Fatal(out, err)
		}
	}
	if d.Filtered.Load()-before != 3 || counter(t, reg, "muster_worker_failures_total", "status") != 0 {
		t.Errorf("%d streams, %v failures", d.Filtered.Load()-before, counter(t, reg, "muster_worker_failures_total", "status"))
	}
	d.Forgets.Store(false)
	decided := d.Decided.Load()
	if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 3), w)); err != nil || d.Decided.Load() != decided {
		t.Error("it was tried again: ", err)
	}
	for _, o := range seen.All() {
		if o.Result != fanout.Succeeded {
			t.Errorf("the worker was blamed: %+v", o)
		}
	}
}

// A new connection is asked anew: a worker that was replaced by a version with
// Decide is soon asked by it.
func TestNewConnectionsLearnAnew(t *testing.T) {
	d := &faulttest.Decider{Judge: judgeAll}
	d.Denies.Store(true)
	f, _ := faulttest.Fleet(t, fanout.Config{MaxAge: 20 * time.Millisecond}, nil)
	w := faulttest.Worker(1, d.Serve(t))
	if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 1), w)); err != nil {
		t.Fatal(err)
	}
	d.Denies.Store(false)
	learned(t, f, d, w)
}

// Every row of what a worker may answer over gRPC holds for Decide.
func TestDecideRows(t *testing.T) {
	for _, b := range grpcAnswers {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			seen := &faulttest.Observer{}
			f, reg := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Observer = seen })
			d := &faulttest.Decider{Judge: judgeAll, Then: b.handler}
			w := faulttest.Worker(1, d.Serve(t))
			learned(t, f, d, w)
			if b.code == "worker_timeout" {
				w.Settings.Timeout = rowTimeout
			}
			before, filtered := len(seen.All()), d.Filtered.Load()
			req := faulttest.Nodes(t, 3)
			out, err := f.Ask(within(t, 40*time.Second), call(req, w))
			e := faultOf(t, err)
			if out != nil || e.Kind.HTTPStatus() != b.status || e.Code != b.code || e.Worker == nil || e.Worker.UUID != string(w.ID) {
				t.Errorf("%v, %d %v", out, e.Kind.HTTPStatus(), e)
			}
			if n := counter(t, reg, "muster_worker_failures_total", b.reason); n != 1 {
				t.Errorf("failures with reason %s: %v", b.reason, n)
			}
			checkObserved(t, seen.All()[before:], b.code)
			w.Settings.OnFailure = registry.HideUnjudged
			out, err = f.Ask(within(t, 40*time.Second), call(req, w))
			if err != nil || out[0].Err == nil || out[0].Err.Code != b.code || out[0].Nodes.Len() != 3 || out[0].Nodes.Any() {
				t.Errorf("with hide: %+v, %v", out, err)
			}
			if d.Filtered.Load() != filtered {
				t.Error("a failed Decide was made again as a stream")
			}
		})
	}
}

// A caller that goes away takes its call of Decide with it, and the body is let
// go of.
func TestDecideEndsWithItsCaller(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	d := &faulttest.Decider{Judge: judgeAll, Then: func(s faulttest.Stream) error {
		close(arrived)
		<-s.Context().Done()
		close(gone)
		return s.Context().Err()
	}}
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, d.Serve(t))
	learned(t, f, d, w)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	body := &lease{}
	c := call(faulttest.Nodes(t, 100), w)
	c.Body = body
	if _, err := f.Ask(ctx, c); faultOf(t, err).Code != "cancelled" {
		t.Error(err)
	}
	<-gone
	eventually(t, func() bool { return body.held.Load() == 0 })
	if body.max.Load() == 0 {
		t.Error("the body was copied")
	}
}

// maxConcurrent and the breaker count a call of Decide as they count a stream.
func TestDecideIsBoundedAndTrips(t *testing.T) {
	var fails atomic.Bool
	inside, leave := make(chan struct{}), make(chan struct{})
	d := &faulttest.Decider{Judge: judgeAll, Then: func(s faulttest.Stream) error {
		if fails.Load() {
			return status.Error(codes.Internal, "boom")
		}
		inside <- struct{}{}
		<-leave
		return judgeAll(s)
	}}
	f, _ := faulttest.Fleet(t, fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 10, Delay: time.Hour}}, nil)
	w := faulttest.Worker(1, d.Serve(t))
	w.Settings.MaxConcurrent = 1
	learned(t, f, d, w)
	req := faulttest.Nodes(t, 2)
	done := make(chan error)
	go func() {
		_, err := f.Ask(within(t, 40*time.Second), call(req, w))
		done <- err
	}()
	<-inside
	if _, err := f.Ask(within(t, 40*time.Second), call(req, w)); faultOf(t, err).Code != "worker_busy" {
		t.Error(err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	fails.Store(true)
	eventually(t, func() bool {
		_, err := f.Ask(within(t, 40*time.Second), call(req, w))
		return faultOf(t, err).Code == "worker_circuit_open"
	})
}

// A connection that dies under a call of Decide is one retry from the budget.
func TestDecideIsRetriedOnce(t *testing.T) {
	d := &faulttest.Decider{Judge: judgeAll}
	url := d.Serve(t)
	proxy := newCutter(t, strings.TrimPrefix(url, "grpc://"))
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, "grpc://"+proxy.addr)
	learned(t, f, d, w)
	d.Judge = func(s faulttest.Stream) error {
		if proxy.cut() {
			<-s.Context().Done()
			return s.Context().Err()
		}
		return judgeAll(s)
	}
	out, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 3), w))
	if err != nil || out[0].Nodes.CountVisible() != 3 || !proxy.done.Load() {
		t.Fatal(out, err, proxy.done.Load())
	}
}

// Whoever ends well at the caller's deadline is late, by one message and over
// either form of stream: which of the two clocks is first must not matter.
func TestEndingWellAtTheDeadlineIsLate(t *testing.T) {
	giveUp := func(s faulttest.Stream) error { <-s.Context().Done(); return nil }
	d := &faulttest.Decider{Judge: judgeAll, Then: giveUp}
	f, _ := faulttest.Fleet(t, fanout.Config{Breaker: fanout.BreakerConfig{MinCalls: 1 << 30}}, nil)
	streams, decides := faulttest.Worker(1, faulttest.GRPCWith(t, giveUp)), faulttest.Worker(2, d.Serve(t))
	learned(t, f, d, decides)
	for range 40 {
		for _, w := range []*registry.Worker{streams, decides} {
			ctx := within(t, 10*time.Millisecond)
			if _, err := f.Ask(ctx, call(faulttest.Nodes(t, 3), w)); faultOf(t, err).Code != "worker_timeout" {
				t.Fatalf("%s: %v", w.Name, err)
			}
		}
		s, err := f.Open(within(t, 10*time.Millisecond), streamCall(element.TypeNodes, streams))
		if err != nil {
			t.Fatal(err)
		}
		if err = feed(s, element.NewStream(element.TypeNodes, element.Options{}), element.Nodes, 2, nodes(3)); err == nil {
			_, err = s.Finish()
		}
		s.Close()
		if faultOf(t, err).Code != "worker_timeout" {
			t.Fatal(err)
		}
	}
}
