package worker_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testUUID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11"

// known takes exactly the token "good", which is alice's.
type known struct{}

func (known) Verify(_ context.Context, raw string) (*token.Principal, error) {
	if raw != "good" {
		return nil, fault.New(fault.Unauthenticated, "invalid_token", "the token is not known")
	}
	return &token.Principal{Username: "alice", Groups: []string{"/staff"}}, nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// policy is a worker's function that uses every verdict.
func policy(_ context.Context, p *worker.Principal, e worker.Element) worker.Verdict {
	if e.HasLabel("Secret") {
		return worker.Hide("secret")
	}
	if v, ok := e.Property("boom"); ok {
		if s, _ := v.Text(); s == "panic" {
			panic("boom " + p.Username)
		}
		return worker.Fail(io.ErrUnexpectedEOF)
	}
	return worker.Strip("ssn").Mask("phone", "***")
}

func testConfig() worker.Config {
	return worker.Config{
		UUID: testUUID, Version: "1.2.3", Judge: policy, Verifier: known{},
		Addr: "127.0.0.1:0", GRPCAddr: "127.0.0.1:0", Logger: quiet(),
		DrainGrace: -1, DrainTimeout: 5 * time.Second,
	}
}

func newServer(t *testing.T, change func(*worker.Config)) *httptest.Server {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	w, err := worker.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	s := httptest.NewServer(w.Handler())
	t.Cleanup(s.Close)
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) code(t *testing.T) string {
	t.Helper()
	var c fault.Contract
	if err := json.Unmarshal([]byte(a.body), &c); err != nil || c.Description == "" {
		t.Fatalf("no error body: %q", a.body)
	}
	return c.Error
}

func call(t *testing.T, method, url, body string, change func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

func nodes(elements ...string) string {
	return `{"parameters":{"type":"nodes"},"data":[` + strings.Join(elements, ",") + `]}`
}

func TestRESTFilters(t *testing.T) {
	s := newServer(t, nil)
	whole := `{ "elementId":"1", "labels":["A"],"properties":{"n":12345678901234567890,"s":"\u00e9ü"} }`
	got := call(t, http.MethodPost, s.URL+worker.DefaultPath, nodes(whole,
		`{"elementId":"2","labels":["Secret"],"properties":{}}`,
		`{"elementId":"3","labels":["A"],"properties":{ "a" : 1.50 , "ssn":"x","phone": "1" }}`), nil)
	want := `{"result":{"nodes":[` + whole +
		`,{"elementId":"3","labels":["A"],"properties":{"a":1.50,"phone":"***"}}]}}`
	if got.status != http.StatusOK || got.body != want {
		t.Fatalf("got %d %s\nwant %s", got.status, got.body, want)
	}
}

func TestRESTRefusals(t *testing.T) {
	s := newServer(t, func(c *worker.Config) { c.MaxBody = 2000; c.MaxTimeout = 5 * time.Second })
	url, good := s.URL+worker.DefaultPath, nodes(`{"elementId":"1","labels":[],"properties":{}}`)
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name   string
		body   string
		change func(*http.Request)
		status int
		code   string
	}{
		{"no token", good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "invalid_token"},
		{"bad token", good, with("Authorization", "Bearer bad"), 401, "invalid_token"},
		{"two tokens", good, func(r *http.Request) { r.Header.Add("Authorization", "Bearer good") }, 401, "invalid_token"},
		{"token before body", "{", with("Authorization", "Bearer bad"), 401, "invalid_token"},
		{"no JSON", "{", nil, 400, "invalid_request"},
		{"unknown type", `{"parameters":{"type":"edges"},"data":[]}`, nil, 400, "invalid_request"},
		{"graph", `{"parameters":{"type":"graph"},"data":{"nodes":[],"relationships":[]}}`, nil, 400, "invalid_request"},
		{"duplicate names", `{"parameters":{"type":"nodes"},"data":[],"data":[]}`, nil, 400, "invalid_request"},
		{"no id", nodes(`{"labels":[],"properties":{}}`), nil, 400, "invalid_request"},
		{"one id, two contents", nodes(`{"elementId":"1","labels":[],"properties":{}}`, `{"elementId":"1","labels":["A"],"properties":{}}`), nil, 400, "invalid_request"},
		{"too large", nodes(`{"elementId":"` + strings.Repeat("x", 3000) + `"}`), nil, 413, "too_large"},
		{"too large, unannounced", nodes(`{"elementId":"` + strings.Repeat("x", 3000) + `"}`), func(r *http.Request) { r.ContentLength = -1 }, 413, "too_large"},
		{"compressed", good, with("Content-Encoding", "gzip"), 415, "unsupported_media_type"},
		{"text", good, with("Content-Type", "text/plain"), 415, "unsupported_media_type"},
		{"latin", good, with("Content-Type", "application/json; charset=latin1"), 415, "unsupported_media_type"},
		{"bad deadline", good, with("Request-Timeout", "soon"), 400, "invalid_request"},
		{"no time", good, with("Request-Timeout", "-1s"), 400, "invalid_request"},
		{"panic", nodes(`{"elementId":"1","labels":[],"properties":{"boom":"panic"}}`), nil, 500, "internal"},
		{"policy down", nodes(`{"elementId":"1","labels":[],"properties":{"boom":1}}`), nil, 503, "policy_unavailable"},
	} {
		got := call(t, http.MethodPost, url, c.body, c.change)
		if got.status != c.status || got.code(t) != c.code {
			t.Errorf("%s: %d %s; want %d %s", c.name, got.status, got.body, c.status, c.code)
		}
		if strings.Contains(got.body, "elementId\":") || strings.Contains(got.body, "boom") {
			t.Errorf("%s: the refusal quotes the request: %s", c.name, got.body)
		}
	}
	if got := call(t, http.MethodGet, url, "", nil); got.status != 405 || got.header.Get("Allow") != "POST" || got.code(t) != "method_not_allowed" {
		t.Errorf("GET on the path: %+v", got)
	}
	if got := call(t, http.MethodPost, s.URL+"/other", good, nil); got.status != 404 || got.code(t) != "not_found" {
		t.Errorf("another path: %+v", got)
	}
}

func TestRESTInfoAndOperations(t *testing.T) {
	s := newServer(t, func(c *worker.Config) { c.UUID = "{" + strings.ToUpper(testUUID) + "}" })
	anonymous := func(r *http.Request) { r.Header.Del("Authorization") }
	got := call(t, http.MethodGet, s.URL+"/", "", anonymous)
	if want := `{"class":"result","type":"ExternalGraphSecurity","uuid":"` + testUUID + `","version":"1.2.3"}`; got.body != want {
		t.Errorf("%s\nwant %s", got.body, want)
	}
	call(t, http.MethodPost, s.URL+worker.DefaultPath, nodes(`{"elementId":"1","labels":["Secret"],"properties":{}}`), nil)
	for path, want := range map[string]string{
		"/livez": `"ok"`, "/readyz": `"ok"`,
		"/metrics": `worker_elements_total{kind="nodes",verdict="hidden"} 1`,
	} {
		if got := call(t, http.MethodGet, s.URL+path, "", anonymous); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d lacks %s", path, got.status, want)
		}
	}
}

func TestRESTDeadlineAndConcurrency(t *testing.T) {
	inside, leave := make(chan struct{}, 4), make(chan struct{})
	s := newServer(t, func(c *worker.Config) {
		c.MaxConcurrent = 1
		c.Judge = func(ctx context.Context, _ *worker.Principal, _ worker.Element) worker.Verdict {
			inside <- struct{}{}
			select {
			case <-ctx.Done():
				return worker.Fail(ctx.Err())
			case <-leave:
				return worker.Keep()
			}
		}
	})
	url, good := s.URL+worker.DefaultPath, nodes(`{"elementId":"1","labels":[],"properties":{}}`)
	for _, timeout := range []string{"50ms", "0.05"} {
		got := call(t, http.MethodPost, url, good, func(r *http.Request) { r.Header.Set("Request-Timeout", timeout) })
		<-inside
		if got.status != 504 || got.code(t) != "timeout" {
			t.Errorf("%s: %+v", timeout, got)
		}
	}
	first := make(chan answer, 1)
	go func() { first <- call(t, http.MethodPost, url, good, nil) }()
	<-inside
	if got := call(t, http.MethodPost, url, good, nil); got.status != 503 || got.code(t) != "busy" || got.header.Get("Retry-After") == "" {
		t.Errorf("beyond the limit: %+v", got)
	}
	close(leave)
	if got := <-first; got.status != 200 {
		t.Errorf("within the limit: %+v", got)
	}
}

func TestRESTRepetitionsAreAnsweredTwice(t *testing.T) {
	s := newServer(t, nil)
	a, b := `{"elementId":"1","labels":[],"properties":{}}`, `{"elementId":"2","labels":[],"properties":{"ssn":1}}`
	got := call(t, http.MethodPost, s.URL+worker.DefaultPath, nodes(a, b, a, b), nil)
	c := `{"elementId":"2","labels":[],"properties":{}}`
	if want := `{"result":{"nodes":[` + strings.Join([]string{a, c, a, c}, ",") + `]}}`; got.body != want {
		t.Errorf("%s\nwant %s", got.body, want)
	}
}

func TestBatchFunc(t *testing.T) {
	n := 0
	s := newServer(t, func(c *worker.Config) {
		c.Judge = nil
		c.JudgeBatch = func(_ context.Context, _ *worker.Principal, b worker.Batch) ([]worker.Verdict, error) {
			switch n++; n {
			case 1:
				return make([]worker.Verdict, b.Len()), nil
			case 2:
				return nil, nil
			default:
				return nil, fault.New(fault.Denied, "not_yours", "not for you")
			}
		}
	})
	url, good := s.URL+worker.DefaultPath, nodes(`{"elementId":"1","labels":[],"properties":{}}`)
	if got := call(t, http.MethodPost, url, good, nil); got.body != `{"result":{"nodes":[]}}` {
		t.Errorf("the zero verdict shows: %s", got.body)
	}
	if got := call(t, http.MethodPost, url, good, nil); got.status != 500 {
		t.Errorf("too few verdicts: %+v", got)
	}
	if got := call(t, http.MethodPost, url, good, nil); got.status != 403 || got.code(t) != "not_yours" {
		t.Errorf("a fault of the author's: %+v", got)
	}
	if got := call(t, http.MethodPost, url, nodes(), nil); got.body != `{"result":{"nodes":[]}}` {
		t.Errorf("empty data: %+v", got)
	}
}

// Whatever is asked, the answer is a subset in order, and what was not edited has
// its bytes.
func TestReplyProperty(t *testing.T) {
	var verdicts map[string]worker.Verdict
	s := newServer(t, func(c *worker.Config) {
		c.Judge = func(_ context.Context, _ *worker.Principal, e worker.Element) worker.Verdict { return verdicts[e.ID()] }
	})
	rapid.Check(t, func(rt *rapid.T) {
		verdicts = map[string]worker.Verdict{}
		var in, want []string
		space := rapid.SampledFrom([]string{"", " ", "\n\t"})
		for i := range rapid.IntRange(0, 12).Draw(rt, "n") {
			id := strconv.Itoa(i)
			head := `{` + space.Draw(rt, "s") + `"elementId":"` + id + `","labels":["A"],"properties":`
			text := head + `{` + space.Draw(rt, "s") + `"a" : 1.50 ,"b":[ 1 ]` + space.Draw(rt, "s") + `}}`
			in = append(in, text+space.Draw(rt, "s"))
			switch rapid.IntRange(0, 5).Draw(rt, "verdict") {
			case 0:
				verdicts[id] = worker.Hide("x")
			case 1:
			case 2:
				verdicts[id] = worker.Strip("a")
				want = append(want, head+`{"b":[ 1 ]}}`)
			case 3:
				verdicts[id] = worker.Mask("b", nil).Strip("none")
				want = append(want, head+`{"a":1.50,"b":null}}`)
			default:
				verdicts[id] = worker.Keep()
				want = append(want, text)
			}
		}
		got := call(t, http.MethodPost, s.URL+worker.DefaultPath, nodes(in...), nil)
		var out struct {
			Result struct{ Nodes []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(got.body), &out); err != nil {
			rt.Fatal(err)
		}
		var texts []string
		for _, e := range out.Result.Nodes {
			texts = append(texts, string(e))
		}
		if !slices.Equal(texts, want) {
			rt.Fatalf("got %v\nwant %v", texts, want)
		}
	})
}
