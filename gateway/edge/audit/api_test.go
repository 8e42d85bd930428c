package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/edge/audit"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/edge/rest/resttest"
	"github.com/muster-fleet/muster/registry"
	chain "github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering inspects every worker as one.
type answering struct{}

func (answering) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{Class: "result", Type: "ExternalGraphSecurity", ID: workerID, Version: "1"}, nil
}

const workerID = "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c77"

var people = resttest.People{
	"admin": {Issuer: "i", Subject: "admin", Username: "admin"},
	"alice": {Issuer: "i", Subject: "alice", Username: "alice"},
}

// bench is the API over a real registry with a chained log.
type bench struct {
	*registry.Service
	url string
	rt  *http.Transport
}

func newBench(t *testing.T) *bench {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	keys, err := chain.ParseKeys([]byte(chain.NewKey()))
	if err != nil {
		t.Fatal(err)
	}
	store, err := duckdb.Open(t.Context(), filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log, Chain: keys})
	if err != nil {
		t.Fatal(err)
	}
	s, err := registry.Open(t.Context(), store, registry.Options{Logger: log, Inspector: answering{}})
	if err != nil {
		t.Fatal(errors.Join(err, store.Close(t.Context())))
	}
	gate := resttest.NewGate(t, resttest.Granted(s.Snapshot, people, nil), people)
	server := httptest.NewServer(audit.Handler(audit.Deps{Registry: s, Gate: gate.Guard, Logger: log}))
	b := &bench{Service: s, url: server.URL, rt: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		server.Close()
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	// Three rows are there: the fleet's uuid and the two system groups.
	who := registry.Actor{Subject: "s-alice", Issuer: "i", Username: "alice", Token: "t-1", User: "u-1", Address: "192.0.2.7", RequestID: "r-1"}
	if _, err := s.Register(t.Context(), who, registry.RegisterInput{URL: "http://w/f", UUID: workerID}, false); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		name := fmt.Sprint("name ", i)
		if _, err := s.Update(t.Context(), who, workerID, registry.Patch{Name: &name}, ""); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// get asks as somebody and decodes what is answered with the wanted status.
func (b *bench) get(t *testing.T, who, path string, status int, into any) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+who)
	resp, err := b.rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("%s: %d %s, want %d", path, resp.StatusCode, body, status)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
	return string(body)
}

// The members of a row are what scripts rely on.
func TestRow(t *testing.T) {
	b := newBench(t)
	var page struct {
		Items      []map[string]json.RawMessage
		NextCursor *string
	}
	b.get(t, "admin", "/api/admin/audit?action=worker.registered", http.StatusOK, &page)
	if len(page.Items) != 1 || page.NextCursor == nil {
		t.Fatalf("%+v", page)
	}
	got := page.Items[0]
	for member, want := range map[string]string{
		"number": "4", "action": `"worker.registered"`, "resource": `"worker:` + workerID + `"`, "result": `"ok"`, "before": "null",
		"actor":   `{"subject":"s-alice","issuer":"i","username":"alice","token_id":"t-1","user_id":"u-1"}`,
		"address": `"192.0.2.7"`, "request_id": `"r-1"`,
	} {
		if string(got[member]) != want {
			t.Errorf("%s is %s, want %s", member, got[member], want)
		}
	}
	for _, member := range []string{"id", "time", "after", "key_id", "mac"} {
		if len(got[member]) < 4 {
			t.Errorf("%s is %s", member, got[member])
		}
	}
	if len(got) != 13 {
		t.Errorf("%d members: %v", len(got), got)
	}
}

func TestPages(t *testing.T) {
	b := newBench(t)
	for order, want := range map[string]string{"": "9 8 7 6 5 4 3 2 1", "&order=newest": "9 8 7 6 5 4 3 2 1", "&order=oldest": "1 2 3 4 5 6 7 8 9", "&order=oldest&after=4": "5 6 7 8 9"} {
		var numbers []string
		cursor := ""
		for range 10 {
			var page audit.AuditPage
			b.get(t, "admin", "/api/admin/audit?limit=2"+order+cursor, http.StatusOK, &page)
			for _, r := range page.Items {
				numbers = append(numbers, fmt.Sprint(r.Number))
			}
			if page.NextCursor == "" {
				break
			}
			cursor = "&cursor=" + page.NextCursor
		}
		if got := strings.Join(numbers, " "); got != want {
			t.Errorf("%q: %s, want %s", order, got, want)
		}
	}
}

func TestFilters(t *testing.T) {
	b := newBench(t)
	for query, want := range map[string]int{
		"action=worker.*": 6, "action=worker.updated": 5, "action=worker": 0, "actor=alice": 6, "actor=t-1": 6, "actor=muster": 3,
		"resource=worker:" + workerID: 6, "result=ok": 9, "result=denied": 0, "since=2000-01-01T00:00:00Z": 9, "until=2000-01-01T00:00:00%2B02:00": 0,
		"actor=alice&action=worker.registered": 1,
	} {
		var page audit.AuditPage
		b.get(t, "admin", "/api/admin/audit?"+query, http.StatusOK, &page)
		if len(page.Items) != want {
			t.Errorf("%s: %d rows, want %d", query, len(page.Items), want)
		}
	}
}

func TestMistakes(t *testing.T) {
	b := newBench(t)
	for path, want := range map[string]string{
		"/api/admin/audit?actions=x":         "unknown",
		"/api/admin/audit?action=":           "action is empty",
		"/api/admin/audit?actor=%00":         "NUL",
		"/api/admin/audit?since=yesterday":   "RFC 3339",
		"/api/admin/audit?order=up":          "newest or oldest",
		"/api/admin/audit?after=-1":          "number of a row",
		"/api/admin/audit?limit=0":           "limit",
		"/api/admin/audit?cursor=MXg":        "cursor",
		"/api/admin/audit/heads?cursor=@":    "cursor",
		"/api/admin/audit/verify?head=1:2":   "N:HASH",
		"/api/admin/audit/verify?heads=1":    "unknown",
		"/api/admin/audit?until=x&order=y":   "newest or oldest",
		"/api/admin/audit/heads?order=older": "unknown",
	} {
		if body := b.get(t, "admin", path, http.StatusBadRequest, nil); !strings.Contains(body, want) {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}
}

// Only an administrator reads the log.
func TestNobodyElse(t *testing.T) {
	b := newBench(t)
	for _, path := range []string{"/api/admin/audit", "/api/admin/audit/heads", "/api/admin/audit/verify"} {
		b.get(t, "nobody", path, http.StatusUnauthorized, nil)
		if body := b.get(t, "alice", path, http.StatusForbidden, nil); strings.Contains(body, "worker") {
			t.Errorf("%s tells %s", path, body)
		}
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t)
	var r audit.AuditReport
	b.get(t, "admin", "/api/admin/audit/verify", http.StatusOK, &r)
	if !r.OK || r.Looked.Rows != 9 || len(r.Keys) != 1 || r.Keys[0].KeyID == "" || r.Findings == nil || r.Notes == nil {
		t.Fatalf("%+v", r)
	}
	end, other := r.End, "9:"+strings.Repeat("0", 64)
	b.get(t, "admin", "/api/admin/audit/verify?head="+end, http.StatusOK, &r)
	if !r.OK || r.Heads != 1 {
		t.Errorf("%+v", r)
	}
	r = audit.AuditReport{}
	b.get(t, "admin", "/api/admin/audit/verify?head="+end+","+other+",12"+other[1:], http.StatusOK, &r)
	if r.OK || len(r.Findings) != 2 || r.Findings[0].Kind != "replaced" || r.Findings[1].Kind != "cut_tail" {
		t.Errorf("%+v", r)
	}
	var heads audit.AuditHeadPage
	b.get(t, "admin", "/api/admin/audit/heads", http.StatusOK, &heads)
	if len(heads.Items) != 0 || heads.Items == nil {
		t.Errorf("%+v", heads)
	}
}

func TestDescription(t *testing.T) {
	gate := resttest.NewGate(t, func() *registry.Snapshot { return registry.NewSnapshot("", 0, registry.Snapshot{}.LoadedAt, nil) }, people)
	frame := rest.API{Gate: gate.Guard, Logger: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, rest.OpenAPIPath, nil)
	req.Header.Set("Authorization", "Bearer alice")
	frame.Description("1", audit.Describe).ServeHTTP(w, req)
	for _, want := range []string{"/api/admin/audit/verify", "AuditReport", "request_id", "cut_tail", `"oldest"`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the description lacks %s: %d", want, w.Code)
		}
	}
}
