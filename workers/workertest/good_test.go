package workertest_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a worker over sockets until the test ends.
func serve(t *testing.T, w *worker.Worker, listening <-chan worker.Addresses) worker.Addresses {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	select {
	case a := <-listening:
		return a
	case err := <-done:
		t.Fatalf("the worker did not start: %v", err)
		return worker.Addresses{}
	}
}

func sdkWorker(t *testing.T, is *workertest.Issuer, change func(*worker.Config)) worker.Addresses {
	t.Helper()
	listening := make(chan worker.Addresses, 1)
	w := newWorker(t, is, func(c *worker.Config) {
		c.Listening = func(a worker.Addresses) { listening <- a }
		if change != nil {
			change(c)
		}
	})
	return serve(t, w, listening)
}

func TestSDKWorkerPassesOverBothTransports(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, nil)
	for name, url := range map[string]string{"rest": "http://" + a.REST + worker.DefaultPath, "grpc": "grpc://" + a.GRPC} {
		t.Run(name, func(t *testing.T) {
			r := workertest.RunT(t, workertest.Options{URL: url, UUID: "{" + strings.ToUpper(testUUID) + "}", Tokens: is, AnswerWithin: time.Minute})
			if r.Level() != workertest.Laws || r.Count(workertest.Skip) != 0 || r.Contextual() {
				t.Errorf("level %s\n%s", r.Level(), table(r))
			}
		})
	}
}

func TestBatchWorkerPasses(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, func(c *worker.Config) {
		c.Judge = nil
		c.JudgeBatch = func(ctx context.Context, p *worker.Principal, b worker.Batch) ([]worker.Verdict, error) {
			out := make([]worker.Verdict, b.Len())
			for i, e := range b.All() {
				out[i] = mild(ctx, p, e)
			}
			return out, nil
		}
	})
	if r := workertest.RunT(t, workertest.Options{URL: "grpc://" + a.GRPC, Tokens: is, Elements: 1500, AnswerWithin: time.Minute}); r.Level() != workertest.Laws {
		t.Errorf("level %s", r.Level())
	}
}

// A worker whose reply is in another order is a good one.
func TestReorderingPasses(t *testing.T) {
	is := newIssuer(t)
	s := httptest.NewServer(onAnswer(func(_ doc, l []any, k string) any {
		for i, j := 0, len(l)-1; i < j; i, j = i+1, j-1 {
			l[i], l[j] = l[j], l[i]
		}
		return result(k, l)
	})(newWorker(t, is, nil).Handler()))
	defer s.Close()
	r := run(t, workertest.Options{URL: s.URL + worker.DefaultPath, Tokens: is, Elements: 500, Callers: 4})
	if r.Level() != workertest.Laws {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
}

// A worker that never echoes the end labels follows the documented sample.
func TestOmittedEndLabelsPass(t *testing.T) {
	is := newIssuer(t)
	s := httptest.NewServer(each(func(e doc) {
		delete(e, "startNodeLabel")
		delete(e, "endNodeLabel")
	})(newWorker(t, is, nil).Handler()))
	defer s.Close()
	r := run(t, workertest.Options{URL: s.URL + worker.DefaultPath, Tokens: is, Level: workertest.Core})
	if r.Level() != workertest.Core {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
}

func TestContextualWorker(t *testing.T) {
	is := newIssuer(t)
	s := httptest.NewServer(byElement(func(i int, _ json.RawMessage, _ []json.RawMessage) bool {
		return i < 100
	})(newWorker(t, is, nil).Handler()))
	defer s.Close()
	r := run(t, workertest.Options{URL: s.URL + worker.DefaultPath, Tokens: is, Elements: 500, Callers: 4})
	// Values beyond the first hundred elements of a batch go missing, which robust
	// finds; a worker that is contextual alone is one that keeps them.
	if r.Level() == workertest.Laws {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
	s2 := httptest.NewServer(byElement(func(i int, _ json.RawMessage, all []json.RawMessage) bool {
		return len(all) != 2
	})(newWorker(t, is, nil).Handler()))
	defer s2.Close()
	r = run(t, workertest.Options{URL: s2.URL + worker.DefaultPath, Tokens: is, Elements: 500, Callers: 4})
	if !r.Contextual() || r.Level() != workertest.Robust {
		t.Errorf("contextual %t, level %s\n%s", r.Contextual(), r.Level(), table(r))
	}
}

func TestWorkerThatShowsNothingIsUnproven(t *testing.T) {
	is := newIssuer(t)
	hide := func(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict {
		if e.HasLabel("Mine") {
			return worker.Keep()
		}
		return worker.Hide("default")
	}
	a := sdkWorker(t, is, func(c *worker.Config) { c.Judge = hide })
	o := workertest.Options{URL: "http://" + a.REST + worker.DefaultPath, Tokens: is, Elements: 500, Callers: 4}
	r := run(t, o)
	if r.Level() != workertest.Core || len(r.Failed()) != 0 {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
	o.Nodes = []json.RawMessage{[]byte(`{"elementId":"x","labels":["Mine"],"properties":{"a":1}}`)}
	o.Relationships = []json.RawMessage{[]byte(
		`{"elementId":"x","type":"T","startNodeElementId":"a","endNodeElementId":"b","startNodeLabel":"Mine","endNodeLabel":"B","properties":{}}`)}
	if r = run(t, o); r.Level() != workertest.Laws {
		t.Errorf("with samples: level %s\n%s", r.Level(), table(r))
	}
}

func TestDeadWorker(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for _, url := range []string{s.URL + "/x", strings.Replace(s.URL, "http", "grpc", 1)} {
		_, err := workertest.Run(t.Context(), workertest.Options{URL: url})
		if !fault.Is(err, "worker_unreachable") || !strings.Contains(err.Error(), url) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A worker that dies in the middle ends the run with a word on when.
func TestDyingWorker(t *testing.T) {
	is := newIssuer(t)
	good := newWorker(t, is, nil).Handler()
	var s *httptest.Server
	s = httptest.NewServer(onFilter(good, func(rw http.ResponseWriter, r *http.Request, body []byte) {
		if strings.Contains(string(body), `"edges"`) {
			_ = s.Listener.Close()
			panic(http.ErrAbortHandler)
		}
		good.ServeHTTP(rw, r)
	}))
	defer s.Close()
	r := run(t, workertest.Options{URL: s.URL + worker.DefaultPath, Tokens: is, Elements: 100})
	if c := find(t, r, "core/refuses-unknown-type"); c.Status != workertest.Fail {
		t.Errorf("%+v", c)
	}
	if c := find(t, r, "laws/repeatable"); c.Status != workertest.Skip || !strings.Contains(c.Detail, "gone since the case refuses-unknown-type") {
		t.Errorf("%+v", c)
	}
	if r.Level() != workertest.None {
		t.Errorf("level %s", r.Level())
	}
}

func TestReplicasMustAgree(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, nil)
	b := sdkWorker(t, is, func(c *worker.Config) { c.UUID = otherUUID })
	url := func(a worker.Addresses) string { return "http://" + a.REST + worker.DefaultPath }
	r := run(t, workertest.Options{URL: url(a), Replicas: []string{url(b)}, Only: []string{"core/info-stable"}})
	if c := find(t, r, "core/info-stable"); c.Status != workertest.Fail || !strings.Contains(c.Detail, otherUUID) {
		t.Errorf("%+v", c)
	}
}

func TestWithoutTokens(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, nil)
	r := run(t, workertest.Options{URL: "http://" + a.REST + worker.DefaultPath})
	if len(r.Failed()) != 0 || r.Level() != workertest.None {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
	if c := find(t, r, "core/token-missing"); c.Status != workertest.Pass {
		t.Errorf("%+v", c)
	}
}

func TestStaticToken(t *testing.T) {
	is := newIssuer(t)
	a := sdkWorker(t, is, nil)
	good, err := is.Token("alice")
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, workertest.Options{
		URL: "http://" + a.REST + worker.DefaultPath, Tokens: workertest.StaticTokens(good), Elements: 100, Callers: 4,
	})
	if r.Level() != workertest.Laws {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
	if c := find(t, r, "robust/token-wrong-audience"); c.Status != workertest.Skip || c.Unproven {
		t.Errorf("%+v", c)
	}
}

func TestBadOptions(t *testing.T) {
	_, err := workertest.Run(t.Context(), workertest.Options{
		URL: "ftp://u:p@h/x", Type: "ConnectorExtractor", Level: "best", Nodes: []json.RawMessage{[]byte(`{}`)}, Callers: -1,
	})
	for _, want := range []string{"ftp", "ConnectorExtractor", `"best"`, "nodes[0]", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	is := newIssuer(t)
	ctx, stop := context.WithCancel(t.Context())
	good := newWorker(t, is, nil).Handler()
	s := httptest.NewServer(onFilter(good, func(http.ResponseWriter, *http.Request, []byte) { stop() }))
	defer s.Close()
	begun := time.Now()
	r, err := workertest.Run(ctx, workertest.Options{URL: s.URL + worker.DefaultPath, Tokens: is})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r != nil && r.Count(workertest.Skip) == 0 || time.Since(begun) > time.Minute {
		t.Errorf("the run went on")
	}
}

func TestRenderings(t *testing.T) {
	r := &workertest.Report{
		URL: "http://w", Asked: workertest.Laws, Info: workertest.Info{UUID: testUUID, Version: "1\x1b[2J"},
		Cases: []workertest.Case{
			{Name: "a", Level: workertest.Core, Status: workertest.Pass, Duration: time.Second},
			{Name: "b", Level: workertest.Core, Status: workertest.Fail, Detail: "<no>\x00 & why"},
			{Name: "c", Level: workertest.Laws, Status: workertest.Skip, Detail: "gone", Unproven: true},
		},
	}
	if s := table(r); strings.ContainsAny(s, "\x1b\x00") || !strings.Contains(s, "core/b") || !strings.Contains(s, "1 passed, 1 failed, 0 not proved, 1 skipped; level none") {
		t.Error(s)
	}
	var b strings.Builder
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Level string
		Cases []struct {
			Name       string
			Status     string
			DurationMS float64
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back.Level != "none" || len(back.Cases) != 3 || back.Cases[0].DurationMS != 1000 {
		t.Errorf("%v %+v", err, back)
	}
	b.Reset()
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &suites); err != nil || len(suites.Suites) != 2 || suites.Suites[0].Failures != 1 || suites.Suites[0].Tests != 2 {
		t.Errorf("%v %+v\n%s", err, suites, b.String())
	}
}
