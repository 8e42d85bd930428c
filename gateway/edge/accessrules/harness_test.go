package accessrules_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/edge/accessrules"
	"github.com/muster-fleet/muster/gateway/edge/rest/resttest"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is the API over real sockets, with a real registry in a DuckDB file
// and the real line of rules.
type gateway struct {
	t   *testing.T
	url string
	svc *registry.Service
}

// nobodyAsks is an inspector for registries without workers.
type nobodyAsks struct{}

func (nobodyAsks) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{}, fault.New(fault.Internal, "internal", "no worker is registered here")
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	ctx, log := t.Context(), slog.New(slog.DiscardHandler)
	store, err := duckdb.Open(ctx, filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := registry.Open(ctx, store, registry.Options{Logger: log, Inspector: nobodyAsks{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := svc.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	fleet, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	line, err := pipeline.New(pipeline.Config{}, pipeline.Deps{Snapshots: svc.Snapshot, Fleet: fleet, Rules: rules.New(rules.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(accessrules.Handler(accessrules.Deps{
		Registry: svc, Judge: line, Logger: log, MaxBody: 1 << 20,
		Gate: resttest.NewGate(t, resttest.Granted(svc.Snapshot, people, grants), people).Guard,
	}))
	t.Cleanup(srv.Close)
	return &gateway{t: t, url: srv.URL, svc: svc}
}

// people are who calls: loader and other write rules, alice has no grant.
var people = resttest.People{
	"loader": person("loader"), "other": person("other"),
	"admin": person("admin"), "alice": person("alice"), "reader": person("reader"),
}

var grants = map[string][]string{"loader": {"graph_rules:write"}, "other": {"graph_rules:write"}, "reader": {"graph_rules:read"}}

func person(name string) *token.Principal {
	return &token.Principal{Issuer: "https://issuer", Subject: "sub-" + name, Username: name, Groups: []string{"/staff"}}
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// as calls the API with somebody's token; headers come in pairs.
func (g *gateway) as(who, method, path, body string, headers ...string) reply {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+who)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, strings.TrimSpace(string(text))}
}

// ok demands a 200 and returns its body decoded.
func (g *gateway) ok(who, method, path, body string) map[string]any {
	g.t.Helper()
	r := g.as(who, method, path, body)
	if r.status != http.StatusOK {
		g.t.Fatalf("%s %s as %s: %d %s", method, path, who, r.status, r.body)
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		g.t.Fatal(err, r.body)
	}
	return out
}

// refused demands a problem with a code, and all of these words.
func (g *gateway) refused(r reply, status int, code string, words ...string) {
	g.t.Helper()
	var p fault.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		g.t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	if r.status != status || p.Code != code || p.Status != status {
		g.t.Fatalf("got %d %s, want %d %s", r.status, r.body, status, code)
	}
	for _, w := range words {
		if !strings.Contains(r.body, w) {
			g.t.Errorf("%q is not in %s", w, r.body)
		}
	}
}

// contract returns a documented body.
func contract(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "contract", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const rulesPath = "/api/graph-access-rule/accessRules"

// model is that of the contract's transform request.
const model = `{"entities": [
	{"id": 414, "title": "Benchmark", "properties": [{"id": 5303, "title": "Benchmark_ID"}, {"id": 5296, "title": "BK_ID"}]},
	{"id": 500, "title": "A_Benchmark", "properties": []}],
 "relationships": [{"id": 415, "entityNameFrom": "Benchmark", "entityNameTo": "Benchmark", "name": "PARENTS", "alias": "PARENTS"}]}`

// see is the rule body by which a user sees benchmarks.
func see(name, user string) string {
	return `{"name": "` + name + `", "users": ["` + user + `"], "entities": [{"id": 414, "properties": [5303]}]}`
}
