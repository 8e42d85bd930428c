package edge_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/edge/rest"
)

// getPlain asks a handler without a token.
func getPlain(t *testing.T, h http.Handler, method, path string) (int, map[string]any) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	var out map[string]any
	if rec.Body.Len() > 0 && json.Unmarshal(rec.Body.Bytes(), &out) != nil {
		t.Fatalf("%s %s: %s", method, path, rec.Body)
	}
	return rec.Code, out
}

// Health is told to everybody, with a status that says what the body says and with no
// member beside its own.
func TestHealth(t *testing.T) {
	r := setUp(t, 1<<30)
	current := int64(3)
	health := edge.Health{Status: edge.HealthOK, DBSchema: edge.SchemaOK, Current: &current, Expected: 3, Version: "1.2.3"}
	routes := edge.HealthRoutes(r.d.Gate, "1.2.3", func() edge.Health { return health })
	api := edge.API("1.2.3", r.cfg, r.d, routes...)
	code, got := getPlain(t, api, http.MethodGet, "/api/health")
	if code != http.StatusOK || got["status"] != "ok" || got["db_schema"] != "ok" || got["current"] != 3.0 || got["expected"] != 3.0 || got["version"] != "1.2.3" {
		t.Errorf("%d %v", code, got)
	}
	for _, schema := range []string{edge.SchemaMismatch, edge.SchemaUnreachable, edge.SchemaOK} {
		health.Status, health.DBSchema, health.Current = edge.HealthBad, schema, nil
		code, got := getPlain(t, api, http.MethodGet, "/api/health")
		if _, has := got["current"]; code != http.StatusServiceUnavailable || got["status"] != "unhealthy" || got["db_schema"] != schema || has {
			t.Errorf("%s: %d %v", schema, code, got)
		}
		for name := range got {
			if !slices.Contains([]string{"status", "db_schema", "current", "expected", "version"}, name) {
				t.Errorf("it tells %s as well", name)
			}
		}
	}
	if code, got := getPlain(t, api, http.MethodGet, "/api/version"); code != http.StatusOK || got["version"] != "1.2.3" || len(got) != 1 {
		t.Errorf("%d %v", code, got)
	}
	// Only reading is public.
	for _, path := range []string{"/api/health", "/api/version"} {
		if code, _ := getPlain(t, api, http.MethodPost, path); code != http.StatusUnauthorized {
			t.Errorf("POST %s: %d", path, code)
		}
	}
}

// A gate that does not know them refuses to have them mounted.
func TestHealthIsInTheTable(t *testing.T) {
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		t.Fatal(err)
	}
	table, err := authz.NewTable(types)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("mounted without an entry")
		}
	}()
	edge.HealthRoutes(edge.NewGate(nil, nil, table), "1", nil)
}

func TestHealthIsDescribed(t *testing.T) {
	doc := rest.NewDocument("1.2.3")
	edge.DescribeHealth(doc)
	for _, path := range []string{"/api/health", "/api/version"} {
		op := doc.Paths[path]
		if op == nil || op.Get == nil || op.Get.Security == nil || len(op.Get.Security) != 0 || op.Get.Responses["200"] == nil {
			t.Errorf("%s: %+v", path, op)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Paths map[string]map[string]struct {
			Security *[]any
		}
	}
	if err := json.Unmarshal(text, &read); err != nil || read.Paths["/api/health"]["get"].Security == nil {
		t.Errorf("the document asks for a token: %v %s", err, text)
	}
}

// What a check has to show stands beside the checks.
func TestReadinessDetails(t *testing.T) {
	checks := []edge.Check{{Name: "store", Probe: func(context.Context) error { return nil }, Detail: func() any { return map[string]int{"failed": 1} }}}
	ops := edge.Ops(prometheus.NewRegistry(), edge.NewDrain(), checks, false)
	code, got := getPlain(t, ops, http.MethodGet, "/readyz")
	details, _ := got["details"].(map[string]any)
	store, _ := details["store"].(map[string]any)
	if code != http.StatusOK || store["failed"] != 1.0 {
		t.Errorf("%d %v", code, got)
	}
}
