package edge_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func get(t *testing.T, addr, path, who string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	return req
}

func routeOf(t *testing.T, name string, h http.Handler) edge.Route {
	t.Helper()
	return edge.Route{Pattern: "/api/" + name, Handler: h, Endpoint: name}
}

// Who the gateway is, it tells anybody: four members, and not one more.
func TestInfoIsFourKeys(t *testing.T) {
	addr := setUp(t, 1<<30).http(t)
	for _, accept := range []string{"", "application/json", "text/html"} {
		req := get(t, addr, "/", "")
		req.Header.Set("Accept", accept)
		a := send(t, req)
		var out map[string]string
		if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%d %v %s", a.status, err, a.body)
		}
		keys := slices.Sorted(maps.Keys(out))
		if !slices.Equal(keys, []string{"class", "type", "uuid", "version"}) || out["class"] != "result" ||
			out["type"] != "ExternalGraphSecurity" || out["version"] != "1.2.3" || out["uuid"] != "00000000-0000-4000-8000-999999999999" {
			t.Errorf("%v", out)
		}
	}
}

// What is not there is not told to strangers.
func TestNothingThere(t *testing.T) {
	addr := setUp(t, 1<<30).http(t)
	for _, path := range []string{"/x", "/api", "/api/graph-security", "/api/graph-security/filter/", "/metrics", "/readyz"} {
		if a := send(t, get(t, addr, path, "")); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s, to a stranger: %d %s", path, a.status, a.body)
		}
		a := send(t, get(t, addr, path, "alice"))
		if a.status != 404 || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"not_found"`) {
			t.Errorf("%s, to alice: %d %s", path, a.status, a.body)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		req := get(t, addr, "/api/graph-security/filter", "alice")
		req.Method = method
		a := send(t, req)
		if code, _, _ := a.contract(t); a.status != 405 || code != "method_not_allowed" || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d %v %s", method, a.status, a.header, a.body)
		}
		req = get(t, addr, "/api/graph-security/filter", "")
		req.Method = method
		if a := send(t, req); a.status != 401 {
			t.Errorf("%s, of a stranger: %d", method, a.status)
		}
	}
}

// Routes are counted by the status that left, implied or not.
func TestRoutesAreCounted(t *testing.T) {
	r := setUp(t, 1<<30)
	mux := func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Query().Get("do") {
		case "write":
			_, _ = w.Write([]byte("x"))
			w.WriteHeader(http.StatusTeapot) // too late to count
		case "early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusCreated)
		case "twice":
			w.WriteHeader(http.StatusConflict)
			w.WriteHeader(http.StatusOK)
		case "flush":
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("the connection is out of reach: %v", err)
			}
		}
	}
	addr := r.http(t, routeOf(t, "odd", http.HandlerFunc(mux)))
	for do, status := range map[string]int{"": 200, "write": 200, "early": 201, "twice": 409, "flush": 200} {
		if a := send(t, get(t, addr, "/api/odd?do="+do, "alice")); a.status != status {
			t.Errorf("%q: %d, want %d", do, a.status, status)
		}
	}
	for code, want := range map[string]float64{"200": 3, "201": 1, "409": 1, "103": 0, "418": 0} {
		if n := r.count(t, "muster_requests_total", code, "odd"); n != want {
			t.Errorf("counted %v with %s, want %v", n, code, want)
		}
	}
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	addr := setUp(t, 1<<30).http(t)
	r := setUp(t, 1<<30)
	_, err := edge.ListenHTTP(t.Context(), addr, nil, http.NotFoundHandler(), r.d.Logger)
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	// Closing works before serving, and again.
	s, err := edge.ListenHTTP(t.Context(), "127.0.0.1:0", nil, http.NotFoundHandler(), r.d.Logger)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Readiness names every condition, and one that only degrades keeps it.
func TestReadiness(t *testing.T) {
	drain := edge.NewDrain()
	var trouble, lesser error
	checks := []edge.Check{
		{Name: "keys", Probe: func(ctx context.Context) error {
			if _, bounded := ctx.Deadline(); !bounded {
				t.Error("a check without a bound")
			}
			return trouble
		}},
		{Name: "store", Probe: func(context.Context) error { return lesser }, Degrades: true},
	}
	reg := prometheus.NewRegistry()
	ops := edge.Ops(reg, drain, checks, false)
	ask := func(path string) (int, string, map[string]string) {
		rec := httptest.NewRecorder()
		ops.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		var out struct {
			Status string
			Checks map[string]string
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			t.Fatalf("%v: %s", err, rec.Body)
		}
		return rec.Code, out.Status, out.Checks
	}
	if code, status, got := ask("/readyz"); code != 200 || status != "ok" || got["keys"] != "ok" || got["store"] != "ok" || got["serving"] != "ok" {
		t.Errorf("%d %s %v", code, status, got)
	}
	lesser = errors.New("no connection")
	if code, status, got := ask("/readyz"); code != 200 || status != "ok" || got["store"] != "degraded: no connection" {
		t.Errorf("degraded: %d %s %v", code, status, got)
	}
	trouble = errors.New("never fetched")
	if code, status, got := ask("/readyz"); code != 503 || status != "unavailable" || got["keys"] != "never fetched" {
		t.Errorf("no keys: %d %s %v", code, status, got)
	}
	trouble = nil
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	drain.Shut(ended, 0, 0)
	if code, status, got := ask("/readyz"); code != 503 || status != "unavailable" || got["serving"] != "shutting down" || got["keys"] != "ok" {
		t.Errorf("leaving: %d %s %v", code, status, got)
	}
	if code, status, _ := ask("/livez"); code != 200 || status != "ok" {
		t.Errorf("a process that leaves is alive: %d %s", code, status)
	}
}

// Profiles are there when they were asked for, and on no other listener.
func TestOpsPaths(t *testing.T) {
	for _, profiles := range []bool{false, true} {
		ops := edge.Ops(prometheus.NewRegistry(), edge.NewDrain(), nil, profiles)
		for path, want := range map[string]int{"/metrics": 200, "/debug/pprof/cmdline": 404, "/debug/pprof/symbol": 404, "/": 404} {
			if profiles && strings.HasPrefix(path, "/debug") {
				want = 200
			}
			rec := httptest.NewRecorder()
			ops.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
			if rec.Code != want {
				t.Errorf("profiles %v, %s: %d, want %d", profiles, path, rec.Code, want)
			}
		}
		rec := httptest.NewRecorder()
		ops.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/livez", strings.NewReader("x")))
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST /livez: %d", rec.Code)
		}
	}
}

// The gate lets in who may, and keeps of others no more than where they came from.
func TestGate(t *testing.T) {
	plain := people{"bob": {Subject: "b", Username: "bob", Audience: []string{"muster", "muster-admin"}}}
	maps.Copy(plain, everybody)
	gate := gateOf(t, plain, "muster-admin", func() *registry.Snapshot { return withAdmin(faulttest.Snapshot()) })
	guard, err := gate.Guard("POST /api/workers")
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]string{"admin": "", "alice": "invalid_token", "bob": "denied", "mallory": "invalid_token", "": "invalid_token"} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.RemoteAddr = "192.0.2.7:4711"
		if who != "" {
			req.Header.Set("Authorization", "Bearer "+who)
		}
		req.Header.Set("X-Request-Id", "load-plan_7.1")
		actor, err := guard(req)
		if want == "" {
			if err != nil || actor.Username != "admin" || actor.Subject != "id-of-admin" || actor.Address != "192.0.2.7" ||
				actor.RequestID != "load-plan_7.1" || !actor.Admin() {
				t.Errorf("%s: %+v %v", who, actor, err)
			}
			continue
		}
		if !fault.Is(err, want) || actor.Subject != "" || actor.Principal != nil || actor.Admin() {
			t.Errorf("%q: %+v %v", who, actor, err)
		}
	}
	if _, err := gate.Guard("GET /api/nowhere"); err == nil || !strings.Contains(err.Error(), "gateway/authz/endpoints.go") {
		t.Errorf("an endpoint that nobody has thought of: %v", err)
	}
}

// An id that came along is kept where it may stand in the audit log, and replaced
// where not.
func TestRequestIDs(t *testing.T) {
	guard, err := gateOf(t, everybody, "", func() *registry.Snapshot { return withAdmin(faulttest.Snapshot()) }).Guard("GET /api/workers")
	if err != nil {
		t.Fatal(err)
	}
	for given, keep := range map[string]bool{
		"a": true, "A-Z_0.9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\"b": false, "ä": false, "a/b": false, "\x1b[2J": false,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer admin")
		req.Header.Set("X-Request-Id", given)
		actor, err := guard(req)
		if err != nil || (actor.RequestID == given) != keep || actor.RequestID == "" {
			t.Errorf("%q became %q (%v)", given, actor.RequestID, err)
		}
	}
}

// A readiness check that hangs is given up, and the others still count.
func TestReadinessIsBounded(t *testing.T) {
	checks := []edge.Check{{Name: "slow", Probe: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}}
	begun := time.Now()
	rec := httptest.NewRecorder()
	edge.Ops(prometheus.NewRegistry(), edge.NewDrain(), checks, false).
		ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	if rec.Code != 503 || time.Since(begun) > 30*time.Second {
		t.Errorf("%d after %s", rec.Code, time.Since(begun))
	}
}
