package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mind is what a generated worker thinks: a function of the element's id alone.
type mind struct{ seed atomic.Uint64 }

func (m *mind) decide(_, id string) faulttest.Verdict {
	h := fnv.New64a()
	fmt.Fprint(h, m.seed.Load(), id)
	switch n := h.Sum64(); n % 7 {
	case 0, 1:
		return faulttest.Verdict{Hide: true}
	case 2:
		return faulttest.Verdict{Strip: []string{"secret"}}
	case 3:
		value := fmt.Sprintf(`"m%d"`, n>>8%2)
		return faulttest.Verdict{Mask: map[string]json.RawMessage{"name": json.RawMessage(value), "secret": json.RawMessage(value)}}
	}
	return faulttest.Verdict{}
}

// fleet is a set of real workers, some over REST and some over gRPC, whose minds
// can be changed.
type fleet struct {
	urls  []string
	minds []*mind
	fleet *fanout.Fleet
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{}
	for i := range 6 {
		m := &mind{}
		var url string
		if i%2 == 0 {
			url, _ = faulttest.REST(t, m.decide, i == 2)
		} else {
			url, _ = faulttest.GRPC(t, m.decide)
		}
		f.urls, f.minds = append(f.urls, url), append(f.minds, m)
	}
	f.fleet, _ = faulttest.Fleet(t, fanout.Config{}, nil)
	return f
}

// setting is one configuration of one worker.
type setting struct {
	index, split, concurrent int
}

func (f *fleet) workers(settings []setting) []*registry.Worker {
	var out []*registry.Worker
	for _, s := range settings {
		w := faulttest.Worker(s.index, f.urls[s.index])
		w.Settings.Mask, w.Settings.Timeout = true, 20*time.Second
		w.Settings.MaxElementsPerCall, w.Settings.MaxConcurrent = s.split, s.concurrent
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *registry.Worker) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func filter(t interface{ Fatal(...any) }, f fanoutAsker, s *registry.Snapshot, cfg pipeline.Config) *pipeline.Filter {
	p, err := pipeline.New(cfg, pipeline.Deps{Snapshots: func() *registry.Snapshot { return s }, Fleet: f})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type fanoutAsker = pipeline.Asker

var alice = authn.Caller{Principal: faulttest.Alice, Token: "alice-token"}

// TestLaws draws a fleet and a graph and holds the whole line, sockets and all,
// against the laws written down as a model: meet (law 1), what a worker may do
// (2), closure (3), and explanations that account for every difference (6). The
// settings and order of workers are drawn too and must not matter.
func TestLaws(t *testing.T) {
	f := newFleet(t)
	rapid.Check(t, func(rt *rapid.T) {
		g := drawGraph(rt)
		var settings []setting
		var minds []*mind
		for i := range f.urls {
			if !rapid.Bool().Draw(rt, "in") {
				continue
			}
			f.minds[i].seed.Store(rapid.Uint64().Draw(rt, "mind"))
			settings = append(settings, setting{i, rapid.SampledFrom([]int{0, 1, 3, 1000}).Draw(rt, "split"), rapid.SampledFrom([]int{1, 4}).Draw(rt, "concurrent")})
			minds = append(minds, f.minds[i])
		}
		snapshot := faulttest.Snapshot(f.workers(settings)...)
		f.fleet.Sync(snapshot)
		p := filter(rt, f.fleet, snapshot, pipeline.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		req, err := element.ParseRequest(g.body(), element.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		d, err := p.Decide(ctx, pipeline.Input{Caller: alice, Request: req, Explain: true})
		if err != nil {
			rt.Fatal(err)
		}
		nodes, rels := model(&g, minds)
		check(rt, "nodes", g.nodeIDs, req.Nodes.Ordinal, d.Nodes, nodes)
		check(rt, "relationships", g.relIDs, req.Relationships.Ordinal, d.Relationships, rels)
		if !d.Complete || d.Revision != snapshot.Revision || len(d.ID) != 36 || d.ID[14] != '7' {
			rt.Fatalf("decision %+v", d)
		}
		checkExplained(rt, d)
		checkAnswer(rt, &g, req, d, nodes, rels)
		streamed := stream(rt, ctx, p, &g, rapid.IntRange(1, 50).Draw(rt, "chunk"))
		same := func(p int) int { return p }
		check(rt, "streamed nodes", g.nodeIDs, same, streamed.Nodes, nodes)
		check(rt, "streamed relationships", g.relIDs, same, streamed.Relationships, rels)
		// Asking again about what is left takes nothing more away by closure.
		again := d.Relationships.Clone()
		verdict.Close(req, d.Nodes, again)
		if again.CountVisible() != d.Relationships.CountVisible() {
			rt.Fatal("closing twice is not closing once")
		}
	})
}

// Adding a worker never reveals anything (law 1).
func TestMoreWorkersShowLess(t *testing.T) {
	f := newFleet(t)
	for i, m := range f.minds {
		m.seed.Store(uint64(i))
	}
	req := faulttest.Nodes(t, 300)
	var before *verdict.Set
	for n := range len(f.urls) + 1 {
		var settings []setting
		for i := range n {
			settings = append(settings, setting{i, 0, 64})
		}
		d, err := filter(t, f.fleet, faulttest.Snapshot(f.workers(settings)...), pipeline.Config{}).
			Decide(t.Context(), pipeline.Input{Caller: alice, Request: req})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && d.Nodes.CountVisible() != 300 {
			t.Fatal("without workers the input comes back whole")
		}
		for i := range 300 {
			if before != nil && d.Nodes.Visible(i) && !before.Visible(i) {
				t.Fatalf("worker %d revealed element %d", n, i)
			}
		}
		if d.Explanations != nil {
			t.Fatal("explanations that nobody asked for")
		}
		before = d.Nodes
	}
}

// An outage is an error, or hides everything and says so; it is never an empty
// or a fuller answer (laws 4 and 5).
func TestFailClosed(t *testing.T) {
	good, _ := faulttest.REST(t, func(_, _ string) faulttest.Verdict { return faulttest.Verdict{} }, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	bad := faulttest.Worker(2, "http://127.0.0.1:1/")
	req := faulttest.Nodes(t, 5)
	ask := func(bad *registry.Worker) (*pipeline.Decision, error) {
		return filter(t, f, faulttest.Snapshot(faulttest.Worker(1, good), bad), pipeline.Config{}).
			Decide(t.Context(), pipeline.Input{Caller: alice, Request: req, Explain: true})
	}
	if d, err := ask(bad); d != nil || err == nil {
		t.Fatalf("%+v %v", d, err)
	}
	bad.Settings.OnFailure = registry.HideUnjudged
	d, err := ask(bad)
	if err != nil || d.Complete || d.Nodes.Any() || len(d.Explanations) != 5 || d.Explanations[0].By[0].Reason != "worker_unreachable" {
		t.Fatalf("%+v %v", d, err)
	}
	bad.Active = false
	if d, err := ask(bad); err != nil || !d.Complete || d.Nodes.CountVisible() != 5 {
		t.Fatalf("a paused worker was asked: %+v %v", d, err)
	}
	bad.PausedUntil = time.Now().Add(-time.Second)
	if d, err := ask(bad); err != nil || d.Complete {
		t.Fatalf("a pause that has ended holds on: %+v %v", d, err)
	}
}

func TestRefusedBeforeAnybodyIsAsked(t *testing.T) {
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	req := faulttest.Nodes(t, 1)
	paused := faulttest.Worker(1, "http://127.0.0.1:1/")
	paused.Active = false
	for _, x := range []struct {
		cfg  pipeline.Config
		hops int
		code string
	}{
		{pipeline.Config{MinWorkers: 1}, 0, "no_security_worker"},
		{pipeline.Config{}, 9, "loop_detected"},
		{pipeline.Config{}, 8, ""},
	} {
		p := filter(t, f, faulttest.Snapshot(paused), x.cfg)
		_, err := p.Decide(t.Context(), pipeline.Input{Caller: alice, Request: req, Hops: x.hops})
		checkCode(t, err, x.code)
		s, err := p.Stream(t.Context(), pipeline.StreamInput{Caller: alice, Type: element.TypeNodes, Hops: x.hops})
		checkCode(t, err, x.code)
		if err == nil {
			s.Close()
		}
	}
	if _, err := pipeline.New(pipeline.Config{}, pipeline.Deps{}); err == nil {
		t.Error("a line without a fleet")
	}
}

func checkCode(t *testing.T, err error, want string) {
	t.Helper()
	var f interface{ Error() string }
	switch {
	case want == "" && err == nil:
	case err == nil || !errors.As(err, &f) || !strings.HasPrefix(f.Error(), want):
		t.Errorf("%v, want %q", err, want)
	}
}
