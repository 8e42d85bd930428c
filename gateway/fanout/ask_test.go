package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func call(req *element.Request, workers ...*registry.Worker) *fanout.Call {
	return &fanout.Call{
		Snapshot: faulttest.Snapshot(workers...), Workers: workers, Request: req,
		Principal: faulttest.Alice, Token: "alice-token", Hops: 2,
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// faultOf returns the *fault.Error that an ask failed with.
func faultOf(t testing.TB, err error) *fault.Error {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) {
		t.Fatalf("not a fault: %v", err)
	}
	return f
}

func odd(_, id string) faulttest.Verdict {
	return faulttest.Verdict{Hide: strings.HasSuffix(id, "1") || strings.HasSuffix(id, "3")}
}

// every transport and way of answering gives the same verdicts.
func TestTransportsAgree(t *testing.T) {
	decide := func(_, id string) faulttest.Verdict {
		switch id[len(id)-1] {
		case '1':
			return faulttest.Verdict{Hide: true}
		case '2':
			return faulttest.Verdict{Strip: []string{"secret", "nested"}}
		case '3':
			return faulttest.Verdict{Mask: map[string]json.RawMessage{"secret": json.RawMessage(`"***"`)}}
		}
		return faulttest.Verdict{}
	}
	echo, _ := faulttest.REST(t, decide, false)
	anew, _ := faulttest.REST(t, decide, true)
	overGRPC, _ := faulttest.GRPC(t, decide)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	for _, n := range []int{1, 2, 100, 5000} {
		for _, split := range []int{0, 7, 1000} {
			req := faulttest.Nodes(t, n)
			for i, url := range []string{echo, anew, overGRPC} {
				w := faulttest.Worker(i, url)
				w.Settings.Mask = true
				w.Settings.MaxElementsPerCall = split
				out, err := f.Ask(within(t, 60*time.Second), call(req, w))
				if err != nil {
					t.Fatalf("n=%d split=%d %s: %v", n, split, url, err)
				}
				set := out[0].Nodes
				for i := range n {
					id := string(req.Nodes.ID(i))
					v := decide("", id)
					if set.Visible(i) == v.Hide || len(set.StripsOf(i)) != len(v.Strip) || len(set.MasksOf(i)) != len(v.Mask) {
						t.Fatalf("n=%d split=%d %s: %s is judged %v %v %v", n, split, url, id, set.Visible(i), set.StripsOf(i), set.MasksOf(i))
					}
				}
				if out[0].Relationships != nil {
					t.Fatal("verdicts over relationships that nobody sent")
				}
			}
			req.Release()
		}
	}
}

func TestGraphCallsBothKinds(t *testing.T) {
	rest, restCalls := faulttest.REST(t, odd, false)
	grpc, grpcCalls := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	req := faulttest.Parse(t, `{"parameters":{"type":"graph"},"data":{"nodes":[`+faulttest.Node("a1")+","+faulttest.Node("a2")+
		`],"relationships":[`+faulttest.Relationship("r1", "a1", "a2")+","+faulttest.Relationship("r2", "a2", "a2")+`]}}`)
	one, two := faulttest.Worker(1, rest), faulttest.Worker(2, grpc)
	two.Settings.MaxConcurrent = 1 // both calls still happen, one after the other
	out, err := f.Ask(within(t, 40*time.Second), call(req, one, two))
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range out {
		if o.Nodes.Visible(0) || !o.Nodes.Visible(1) || o.Relationships.Visible(0) || !o.Relationships.Visible(1) {
			t.Errorf("worker %d: wrong verdicts", i)
		}
	}
	for i, c := range []*faulttest.Calls{restCalls, grpcCalls} {
		if got := c.Elements(); len(got) != 4 || len(c.Headers()) != 2 {
			t.Errorf("worker %d got %v in %d calls", i, got, len(c.Headers()))
		}
	}
}

func TestNothingToSendIsNotSent(t *testing.T) {
	rest, calls := faulttest.REST(t, odd, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	for _, body := range []string{
		`{"parameters":{"type":"nodes"},"data":[]}`,
		`{"parameters":{"type":"graph"},"data":{"nodes":[],"relationships":[]}}`,
	} {
		if _, err := f.Ask(within(t, 40*time.Second), call(faulttest.Parse(t, body), faulttest.Worker(1, rest))); err != nil {
			t.Fatal(err)
		}
	}
	half := faulttest.Parse(t, `{"parameters":{"type":"graph"},"data":{"nodes":[`+faulttest.Node("a")+`],"relationships":[]}}`)
	out, err := f.Ask(within(t, 40*time.Second), call(half, faulttest.Worker(1, rest)))
	if err != nil || out[0].Relationships.Len() != 0 {
		t.Fatal(out, err)
	}
	if n := len(calls.Headers()); n != 1 {
		t.Fatalf("%d calls; only the one list with something in it is worth one", n)
	}
}

func TestWhatTravelsBesideTheElements(t *testing.T) {
	rest, restCalls := faulttest.REST(t, odd, false)
	grpc, grpcCalls := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	if _, err := f.Ask(within(t, 20*time.Second), call(faulttest.Nodes(t, 3), faulttest.Worker(1, rest), faulttest.Worker(2, grpc))); err != nil {
		t.Fatal(err)
	}
	h := restCalls.Headers()[0]
	want := map[string]string{
		"Authorization": "Bearer alice-token", "Content-Type": "application/json", "Accept-Encoding": "identity", "Muster-Hops": "3",
	}
	for k, v := range want {
		if got := h.Values(k); len(got) != 1 || got[0] != v {
			t.Errorf("%s is %q", k, got)
		}
	}
	left, err := time.ParseDuration(h.Get("Request-Timeout"))
	if err != nil || left > 20*time.Second || left < time.Second {
		t.Errorf("Request-Timeout is %q", h.Get("Request-Timeout"))
	}
	g := grpcCalls.Headers()[0]
	if g.Get("Authorization") != "Bearer alice-token" || g.Get("Muster-Hops") != "3" {
		t.Errorf("metadata %v", g)
	}
}

func TestRepeatedElementsAreSentOnce(t *testing.T) {
	rest, restCalls := faulttest.REST(t, odd, false)
	grpc, grpcCalls := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	a, b := faulttest.Node("a1"), faulttest.Node("b2")
	req := faulttest.Parse(t, fmt.Sprintf(`{"parameters":{"type":"nodes"},"data":[%s,%s,%s,%s,%s]}`, a, a, b, a, b))
	out, err := f.Ask(within(t, 40*time.Second), call(req, faulttest.Worker(1, rest), faulttest.Worker(2, grpc)))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if o.Nodes.Visible(0) || !o.Nodes.Visible(1) {
			t.Error("wrong verdicts")
		}
	}
	for _, c := range []*faulttest.Calls{restCalls, grpcCalls} {
		if got := c.Elements(); got["a1"] != 1 || got["b2"] != 1 {
			t.Errorf("sent %v", got)
		}
	}
}
