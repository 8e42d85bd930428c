package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// draw makes a verdict of any sort.
func draw(rt *rapid.T, name string) worker.Verdict {
	v := []worker.Verdict{worker.Hide("r"), {}, worker.Keep(), worker.Keep(), worker.Strip("a"), worker.Mask("b", 1)}[rapid.IntRange(0, 5).Draw(rt, name)]
	if rapid.Bool().Draw(rt, name+" more") {
		v = v.Strip("b", "none").Mask("a", "x").Mask("missing", nil)
	}
	return v
}

// The two answers to one question are the same: what gRPC tells by ordinal is what
// REST shows, whatever the function decides and however the stream is cut.
func TestTransportsAgree(t *testing.T) {
	var verdicts map[string]worker.Verdict
	r := start(t, func(c *worker.Config) {
		c.Judge = func(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict { return verdicts[e.ID()] }
	})
	c := dialGRPC(t, r.GRPC)
	rapid.Check(t, func(rt *rapid.T) {
		verdicts = map[string]worker.Verdict{}
		elements := make([]string, rapid.IntRange(1, 30).Draw(rt, "n"))
		for i := range elements {
			verdicts[strconv.Itoa(i)] = draw(rt, "verdict")
			elements[i] = fmt.Sprintf(`{"elementId":"%d","labels":[],"properties":{"a":1.50,"b":[%d]}}`, i, i)
		}
		rest := overREST(t, r.REST, elements)
		size := rapid.IntRange(1, 9).Draw(rt, "chunk")
		messages := []*workerv1.FilterRequest{header(workerv1.Kind_KIND_NODES, uint64(len(elements)), nil)}
		for base := 0; base < len(elements); base += size {
			messages = append(messages, chunk(uint64(base), elements[base:min(base+size, len(elements))]...))
		}
		chunks, err := stream(t, withToken(t.Context(), "good"), c, messages...)
		if err != nil {
			rt.Fatal(err)
		}
		if grpc := overGRPC(chunks, elements); rest != grpc {
			rt.Fatalf("REST %s\ngRPC %s", rest, grpc)
		}
		one, err := decide(withToken(t.Context(), "good"), c, question(workerv1.Kind_KIND_NODES, 0, elements...))
		if err != nil {
			rt.Fatal(err)
		}
		if byOne := overGRPC([]*workerv1.VerdictChunk{one}, elements); rest != byOne {
			rt.Fatalf("REST %s\nDecide %s", rest, byOne)
		}
	})
}

// overREST returns the properties of what is shown, by id.
func overREST(t *testing.T, addr string, elements []string) string {
	got := call(t, http.MethodPost, "http://"+addr+worker.DefaultPath, nodes(elements...), nil)
	var out struct {
		Result struct {
			Nodes []struct {
				ElementID  string
				Properties map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil {
		t.Fatalf("%v: %s", err, got.body)
	}
	var b strings.Builder
	for _, n := range out.Result.Nodes {
		fmt.Fprintf(&b, "%s a=%s b=%s\n", n.ElementID, n.Properties["a"], n.Properties["b"])
	}
	return b.String()
}

// overGRPC puts together the same from verdicts.
func overGRPC(chunks []*workerv1.VerdictChunk, elements []string) string {
	var b strings.Builder
	for _, c := range chunks {
		for i := range c.GetCount() {
			o := c.GetBase() + i
			if c.GetVisible()[i/8]>>(i%8)&1 == 0 {
				continue
			}
			p := map[string]string{"a": "1.50", "b": fmt.Sprintf("[%d]", o)}
			for _, s := range c.GetStrips() {
				for _, name := range s.GetProperties() {
					if s.GetOrdinal() == o {
						delete(p, name)
					}
				}
			}
			for _, m := range c.GetMasks() {
				if m.GetOrdinal() == o {
					p[m.GetProperty()] = string(m.GetValue())
				}
			}
			fmt.Fprintf(&b, "%d a=%s b=%s\n", o, p["a"], p["b"])
		}
	}
	_ = elements
	return b.String()
}

func TestGRPCConcurrencyAndDrain(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *worker.Config) {
		c.MaxConcurrent = 1
		c.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict {
			inside <- struct{}{}
			<-leave
			return worker.Keep()
		}
	})
	c := dialGRPC(t, r.GRPC)
	one := []*workerv1.FilterRequest{header(workerv1.Kind_KIND_NODES, 0, nil), chunk(0, `{"elementId":"1","labels":[],"properties":{}}`)}
	first := make(chan error, 1)
	go func() {
		_, err := stream(t, withToken(t.Context(), "good"), c, one...)
		first <- err
	}()
	<-inside
	if _, err := stream(t, withToken(t.Context(), "good"), c, one...); status.Code(err) != codes.Unavailable {
		t.Errorf("beyond the limit: %v", err)
	}
	r.stop()
	close(leave)
	if err := <-first; err != nil {
		t.Errorf("what was in flight: %v", err)
	}
}

// A function that never ends does not keep the process alive for ever.
func TestDrainTimeout(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	cfg := testConfig()
	cfg.DrainTimeout = 100 * time.Millisecond
	cfg.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict {
		close(inside)
		<-leave
		return worker.Keep()
	}
	listening := make(chan worker.Addresses, 1)
	cfg.Listening = func(a worker.Addresses) { listening <- a }
	w, err := worker.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	a := <-listening
	caller := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+a.REST+worker.DefaultPath,
			strings.NewReader(nodes(`{"elementId":"1","labels":[],"properties":{}}`)))
		if err == nil {
			req.Header.Set("Authorization", "Bearer good")
			req.Header.Set("Content-Type", "application/json")
			var resp *http.Response
			if resp, err = http.DefaultTransport.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		caller <- err
	}()
	<-inside
	stop()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "still in flight") {
		t.Errorf("%v", err)
	}
	close(leave)
	if err := <-caller; err == nil {
		t.Error("the caller was answered although his connection was closed")
	}
}

// With its issuer down a worker starts, is not ready, and answers 503 instead of
// blaming the token.
func TestIssuerDown(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good, err := is.Token("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := is.Close(); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *worker.Config) {
		c.Verifier, c.Auth = nil, worker.Auth{Issuer: is.URL(), Audience: worker.AudienceForward}
	})
	url := "http://" + r.REST
	got := call(t, http.MethodPost, url+worker.DefaultPath, nodes(), func(req *http.Request) { req.Header.Set("Authorization", "Bearer "+good) })
	if got.status != http.StatusServiceUnavailable || got.code(t) != "identity_unavailable" {
		t.Errorf("%+v", got)
	}
	if got := call(t, http.MethodGet, url+"/readyz", "", nil); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "keys") {
		t.Errorf("%+v", got)
	}
	if got := call(t, http.MethodGet, url+"/livez", "", nil); got.status != http.StatusOK {
		t.Errorf("%+v", got)
	}
}

// A body that does not arrive ends with the request's deadline.
func TestSilentCaller(t *testing.T) {
	s := newServer(t, func(c *worker.Config) { c.MaxTimeout = 200 * time.Millisecond })
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+worker.DefaultPath, r)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// large is a body of 10,000 nodes.
func large() (string, []string) {
	list := make([]string, 10_000)
	for i := range list {
		list[i] = fmt.Sprintf(`{"elementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","labels":["Document"],"properties":{"key1":"value1","key2":"value2","rank":%d}}`, i, i)
	}
	return nodes(list...), list
}

func benchmarkREST(b *testing.B, judge worker.Func) {
	cfg := testConfig()
	cfg.Judge = judge
	w, err := worker.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	h := w.Handler()
	body, _ := large()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, worker.DefaultPath, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer good")
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Body.String())
		}
	}
}

func BenchmarkRESTKeepAll(b *testing.B) {
	benchmarkREST(b, func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() })
}

func BenchmarkRESTStripAll(b *testing.B) {
	benchmarkREST(b, func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Strip("key1") })
}
