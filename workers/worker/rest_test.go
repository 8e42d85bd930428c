package worker_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
)

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
