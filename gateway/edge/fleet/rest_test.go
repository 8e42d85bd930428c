package fleet_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/fleet"
)

func TestLifeOfAWorker(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	r := g.do("POST", "/api/workers", w.body(`"name":"one"`, `"settings":{"timeout":"700ms","maxConcurrent":3}`))
	rec := r.must(t, http.StatusCreated)
	if r.header.Get("Location") != "/api/workers/"+w.uuid || r.header.Get("ETag") != `"1"` || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers are %v", r.header)
	}
	checkRecordShape(t, r.json(t))
	want := fleet.Settings{Timeout: "700ms", OnFailure: "fail", Identity: "forward", MaxConcurrent: 3}
	if rec.Settings != want || rec.Name != "one" || rec.RegisteredBy != "admin" || rec.Transport != "rest" || !rec.Active ||
		rec.Standing.State != "healthy" || rec.Standing.LastProbe == nil || rec.Conformance.Level != "none" || rec.Revision != 1 {
		t.Errorf("got %s", r.body)
	}
	if got := g.do("GET", "/api/workers/{"+strings.ToUpper(w.uuid)+"}", "").must(t, 200); got.UUID != w.uuid {
		t.Errorf("got %+v", got)
	}

	r = g.do("PATCH", "/api/workers/"+w.uuid, `{"settings":{"mask":true},"name":"two"}`, "If-Match", `"1"`)
	rec = r.must(t, 200)
	if rec.Revision != 2 || r.header.Get("ETag") != `"2"` || !rec.Settings.Mask || rec.Settings.Timeout != "700ms" || rec.Name != "two" {
		t.Errorf("got %s", r.body)
	}
	for _, m := range []string{"1", `"1"`, `W/"2"`, `*, "1"`, "", `"1", "3"`, "x"} {
		g.do("PATCH", "/api/workers/"+w.uuid, `{"name":"no"}`, "If-Match", m).problem(t, 412, "revision_mismatch")
	}
	for _, m := range []string{"2", `"2"`, "*", `"1", "2"`} {
		g.do("PATCH", "/api/workers/"+w.uuid, `{"name":"two"}`, "If-Match", m).must(t, 200)
	}

	rec = g.do("PUT", "/api/workers/"+w.uuid+"/conformance", `{"level":"laws","at":"2026-01-02T03:04:05+01:00","version":"1.0.0"}`).must(t, 200)
	if rec.Conformance.Level != "laws" || rec.Conformance.At.Format(time.RFC3339) != "2026-01-02T02:04:05Z" || rec.Conformance.Version != "1.0.0" {
		t.Errorf("got %+v", rec.Conformance)
	}
	g.do("PATCH", "/api/workers/"+w.uuid, `{"settings":{"maxElementsPerCall":1000}}`).must(t, 200)

	s := g.do("POST", "/api/workers/"+w.uuid+"/probe", "")
	if got := s.json(t); s.status != 200 || got["state"] != "healthy" || got["latencyMs"].(float64) <= 0 || got["stableFor"] == "" {
		t.Errorf("got %d %s", s.status, s.body)
	}
	r = g.do("DELETE", "/api/workers/"+w.uuid, "")
	if r.status != 204 || len(r.body) != 0 || !strings.Contains(r.header.Get("Muster-Warning"), "no active ExternalGraphSecurity worker") {
		t.Errorf("got %d %v", r.status, r.header)
	}
	for _, method := range []string{"GET", "DELETE"} {
		g.do(method, "/api/workers/"+w.uuid, "").problem(t, 404, "not_found")
	}
}

// checkRecordShape holds the record to the members of the specification.
func checkRecordShape(t *testing.T, rec map[string]any) {
	t.Helper()
	names := func(v any) string {
		var out []string
		for name := range v.(map[string]any) {
			out = append(out, name)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		of   any
		want string
	}{
		{rec, "active class conformance name registeredAt registeredBy revision settings standing transport type updatedAt url uuid version"},
		{rec["settings"], "audience identity mask maxConcurrent maxElementsPerCall onFailure timeout"},
		{rec["standing"], "lastError lastProbe latencyMs since stableFor state"},
		{rec["conformance"], "at level version"},
	} {
		if got := names(c.of); got != c.want {
			t.Errorf("members are %s, want %s", got, c.want)
		}
	}
	for _, v := range []any{rec["registeredAt"], rec["updatedAt"]} {
		if at, err := time.Parse(time.RFC3339, v.(string)); err != nil || !strings.HasSuffix(v.(string), "Z") || at.IsZero() {
			t.Errorf("%v is no RFC 3339 time in UTC", v)
		}
	}
}

func TestPause(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	r := g.do("PATCH", "/api/workers/"+w.uuid, `{"active":false,"until":"`+until+`"}`)
	rec := r.must(t, 200)
	if rec.Active || rec.PausedUntil == nil || rec.PausedUntil.Format(time.RFC3339) != until || rec.Warning == "" || r.header.Get("Muster-Warning") != rec.Warning {
		t.Errorf("got %s", r.body)
	}
	rec = g.do("PATCH", "/api/workers/"+w.uuid, `{"active":true}`).must(t, 200)
	if !rec.Active || rec.PausedUntil != nil || rec.Warning != "" {
		t.Errorf("got %+v", rec)
	}
	g.do("PATCH", "/api/workers/"+w.uuid, `{"until":"`+until+`"}`).problem(t, 422, "bad_request", "bad_request /until")
	g.do("PATCH", "/api/workers/"+w.uuid, `{"active":false,"until":"soon"}`).problem(t, 422, "bad_request", "bad_request /until")
	g.do("PATCH", "/api/workers/"+w.uuid, `{"active":false,"until":null}`).problem(t, 422, "bad_request", "bad_request /until")
}

func TestDryRun(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	for range 2 {
		rec := g.do("POST", "/api/workers?dryRun=true", w.body()).must(t, 200)
		if rec.UUID != w.uuid || rec.Version != "1.0.0" || rec.Standing.State != "healthy" {
			t.Errorf("got %+v", rec)
		}
	}
	g.do("GET", "/api/workers/"+w.uuid, "").problem(t, 404, "not_found")
	w.set("version", nil)
	g.do("POST", "/api/workers?dryRun=true", w.body()).problem(t, 422, "missing_field")
	g.do("POST", "/api/workers?dryRun=yes", w.body()).problem(t, 400, "invalid_request")
	g.do("POST", "/api/workers?dryrun=true", w.body()).problem(t, 400, "invalid_request")
	g.do("PATCH", "/api/workers/"+w.uuid+"?dryRun=true", `{}`).problem(t, 400, "invalid_request")
}

// TestEnrolment: success for the same uuid and url, a conflict for others, and a
// record left as the operator wants it.
func TestEnrolment(t *testing.T) {
	g, w := newGateway(t, false), newWorker(t)
	g.do("POST", "/api/workers", w.body(`"enrols":true`, `"name":"mine"`)).must(t, 201)
	g.do("PATCH", "/api/workers/"+w.uuid, `{"name":"theirs","active":false}`).must(t, 200)
	rec := g.do("POST", "/api/workers", w.body(`"enrols":true`, `"name":"mine"`)).must(t, 200)
	if rec.Name != "theirs" || rec.Active || rec.Revision != 2 {
		t.Errorf("got %+v", rec)
	}
	g.do("POST", "/api/workers", w.body(`"enrols":false`)).problem(t, 409, "uuid_taken")
	g.do("POST", "/api/workers", fmt.Sprintf(`{"url":%q,"uuid":%q,"enrols":true}`, w.url+"/other", w.uuid)).problem(t, 409, "uuid_taken")
}

// TestConflicts are answered before the address is called, uuid first.
func TestConflicts(t *testing.T) {
	g, a, b := newGateway(t, false), newWorker(t), newWorker(t)
	g.do("POST", "/api/workers", a.body()).must(t, 201)
	g.do("POST", "/api/workers", b.body()).must(t, 201)
	asked := a.asked.Load() + b.asked.Load()
	g.do("POST", "/api/workers", a.body()).problem(t, 409, "uuid_taken")
	g.do("POST", "/api/workers", fmt.Sprintf(`{"url":%q,"uuid":%q}`, b.url, a.uuid)).problem(t, 409, "uuid_taken")
	other := "bbbbbbbb-0000-4000-8000-000000000000"
	g.do("POST", "/api/workers", fmt.Sprintf(`{"url":%q,"uuid":%q}`, strings.Replace(a.url, "http://", "HTTP://", 1), other)).problem(t, 409, "url_taken")
	g.do("PATCH", "/api/workers/"+a.uuid, fmt.Sprintf(`{"url":%q}`, b.url)).problem(t, 409, "url_taken")
	if now := a.asked.Load() + b.asked.Load(); now != asked {
		t.Errorf("the workers were called %d times", now-asked)
	}
}

// TestMovedWorker: a changed url is inspected as at registration.
func TestMovedWorker(t *testing.T) {
	g, a, b := newGateway(t, false), newWorker(t), newWorker(t)
	g.do("POST", "/api/workers", a.body()).must(t, 201)
	move := fmt.Sprintf(`{"url":%q}`, b.url)
	g.do("PATCH", "/api/workers/"+a.uuid, move).problem(t, 422, "uuid_mismatch")
	b.set("uuid", a.uuid)
	if rec := g.do("PATCH", "/api/workers/"+a.uuid, move).must(t, 200); rec.URL != b.url || rec.Revision != 2 {
		t.Errorf("got %+v", rec)
	}
}

// TestQuarantineOverTheAPI: an impostor is found by probing, shown, kept, and
// pardoned by the operator's probe alone.
func TestQuarantineOverTheAPI(t *testing.T) {
	g, w := newGateway(t, true), newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	w.set("uuid", "bbbbbbbb-0000-4000-8000-000000000000")
	state := func() string { return g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200).Standing.State }
	eventually(t, "quarantined", func() bool { return state() == "quarantined" })
	eventually(t, "stored", func() bool { return g.svc.Snapshot().Workers[0].Quarantined != nil })
	if got := g.do("POST", "/api/workers/"+w.uuid+"/probe", "").json(t); got["state"] != "quarantined" || got["lastError"] == "" {
		t.Errorf("got %v", got)
	}
	if rec := g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200); rec.Revision != 1 {
		t.Errorf("a quarantine moved the revision to %d", rec.Revision)
	}
	w.set("uuid", w.uuid)
	asked := w.asked.Load()
	eventually(t, "probed again", func() bool { return w.asked.Load() > asked+3 })
	if got := state(); got != "quarantined" {
		t.Errorf("good probes ended the quarantine: %s", got)
	}
	if got := g.do("POST", "/api/workers/"+w.uuid+"/probe", "").json(t); got["state"] != "healthy" {
		t.Errorf("got %v", got)
	}
	w.set("version", "2.0.0")
	eventually(t, "version recorded", func() bool {
		rec := g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200)
		return rec.Version == "2.0.0" && rec.Revision == 2 && rec.Standing.State == "healthy"
	})
}

func TestListing(t *testing.T) {
	g := newGateway(t, false)
	var all []*restWorker
	for i := range 7 {
		w := newWorker(t)
		if i%2 == 1 {
			w.set("type", "RuleTransformation")
		}
		all = append(all, w)
		g.do("POST", "/api/workers", w.body(fmt.Sprintf(`"name":"n%d"`, (6-i)/2))).must(t, 201)
	}
	g.do("PATCH", "/api/workers/"+all[0].uuid, `{"active":false}`).must(t, 200)
	count := func(query string) int {
		t.Helper()
		r := g.do("GET", "/api/workers?"+query, "")
		if r.status != 200 {
			t.Fatalf("%s: %d %s", query, r.status, r.body)
		}
		return len(r.json(t)["items"].([]any))
	}
	for query, want := range map[string]int{
		"": 7, "class=result": 7, "class=auth": 0, "type=RuleTransformation": 3, "active=true": 6, "active=false": 1,
		"state=healthy": 7, "state=suspect": 0, "limit=1000": 7, "limit=1": 1, "active=true&type=ExternalGraphSecurity": 3,
	} {
		if got := count(query); got != want {
			t.Errorf("%q lists %d, want %d", query, got, want)
		}
	}
	for _, query := range []string{
		"limit=0", "limit=1001", "limit=-1", "limit=x", "limit=", "limit=1&limit=2", "state=fine", "active=yes",
		"cursor=x", "cursor=MTIz", "sate=healthy", "limit=%zz",
	} {
		g.do("GET", "/api/workers?"+query, "").problem(t, 400, "invalid_request")
	}
	g.do("GET", "/api/workers?limit=0&state=x&active=y&z=1", "").problem(t, 400, "invalid_request",
		"invalid_request", "invalid_request", "invalid_request", "invalid_request")
	walkPages(t, g, all)
}

// walkPages walks in small pages while workers go away.
func walkPages(t *testing.T, g *gateway, all []*restWorker) {
	t.Helper()
	var seen []string
	cursor := ""
	for page := 0; ; page++ {
		r := g.do("GET", "/api/workers?limit=2&cursor="+cursor, "").json(t)
		for _, item := range r["items"].([]any) {
			rec := item.(map[string]any)
			seen = append(seen, rec["name"].(string)+rec["uuid"].(string))
		}
		if cursor = r["nextCursor"].(string); cursor == "" {
			break
		}
		if page == 0 {
			// The last one of the first page, which the cursor stands on, goes away.
			gone := seen[len(seen)-1][2:]
			if r := g.do("DELETE", "/api/workers/"+gone, ""); r.status != 204 {
				t.Fatalf("got %d", r.status)
			}
		}
	}
	if len(seen) != len(all) || !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
		t.Errorf("pages gave %q", seen)
	}
}
