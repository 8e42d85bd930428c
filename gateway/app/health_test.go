package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

// bodyOf asks for an object without a token.
func bodyOf(t *testing.T, address, path string) (status int, body map[string]any) {
	t.Helper()
	status, text := textOf(t, address, path)
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%s: %v: %s", path, err, text)
	}
	return status, body
}

// textOf asks without a token.
func textOf(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestHealthOfADevelopmentGateway(t *testing.T) {
	d := startDev(t, nil)
	status, h := bodyOf(t, d.http, "/api/health")
	if status != http.StatusOK || h["status"] != "ok" || h["db_schema"] != "ok" || h["current"] != h["expected"] || h["version"] != "1.2.3-test" {
		t.Errorf("%d %v", status, h)
	}
	if status, v := bodyOf(t, d.http, "/api/version"); status != http.StatusOK || v["version"] != "1.2.3-test" || len(v) != 1 {
		t.Errorf("%d %v", status, v)
	}
	status, r := bodyOf(t, d.ops, "/readyz")
	details, _ := r["details"].(map[string]any)
	store, _ := details["store"].(map[string]any)
	if age, ok := store["age_seconds"].(float64); status != http.StatusOK || !ok || age < 0 || store["failed"] != 0.0 || store["of"] == 0.0 {
		t.Errorf("%d %v", status, r)
	}
	if _, metrics := textOf(t, d.ops, "/metrics"); !strings.Contains(metrics, "muster_store_healthy 1") {
		t.Error("the metrics do not say that the store is healthy")
	}
	if status, l := bodyOf(t, d.ops, "/livez"); status != http.StatusOK || l["status"] != "ok" {
		t.Errorf("%d %v", status, l)
	}
}

// A gateway that loses its database says so, keeps serving, and recovers.
func TestHealthWithoutTheStore(t *testing.T) {
	issuer, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	server := pgtest.Start(t)
	d, _ := spawn(t, serving{Store: server.Database(t), Issuer: issuer.URL(), Secrets: t.TempDir()}, issuer)
	is := func(wantStatus int, wantHealth, wantSchema, wantStore string) func() bool {
		return func() bool {
			status, h := bodyOf(t, d.http, "/api/health")
			ready, r := bodyOf(t, d.ops, "/readyz")
			checks, _ := r["checks"].(map[string]any)
			store, _ := checks["store"].(string)
			if ready != http.StatusOK {
				t.Errorf("a gateway without its store is taken out of service: %d %v", ready, r)
			}
			return status == wantStatus && h["status"] == wantHealth && h["db_schema"] == wantSchema && len(store) >= len(wantStore) && store[:len(wantStore)] == wantStore
		}
	}
	until(t, "it is well", is(http.StatusOK, "ok", "ok", "ok"))
	if err := server.Down(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it tells that the store is gone", is(http.StatusServiceUnavailable, "unhealthy", "unreachable", "degraded: "))
	if err := server.Up(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is well again", is(http.StatusOK, "ok", "ok", "ok"))
}

// eventually waits for longer than until does: for several tries of the canary.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(90 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("never: " + what)
		}
	}
}
