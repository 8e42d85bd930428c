package admin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/admin"
	"github.com/muster-fleet/muster/registry"
)

// Every documented answer of the registry of tables.
func TestTableCodes(t *testing.T) {
	const list, register, one = admin.Root + "/registry", admin.Root + "/register-table", admin.Root + "/registry/orders"
	b := newBench(t, nil, admin.TokenLimits{})
	b.play(t, map[string]string{}, []step{
		{what: "none", method: "GET", path: list, status: 200, want: `{"tables":[],"count":0,"nextCursor":""}`},
		{what: "register", method: "POST", path: register, body: `{"name":" Orders "}`, status: 201, want: `{"id":"orders","name":"Orders","status":"registered"}`},
		{what: "read", method: "GET", path: one, status: 200,
			want: `{"id":"orders","name":"Orders","source_type":"local","bucket":"","source_table":"","sync_strategy":"full_refresh","query_mode":"local","sync_schedule":"","profile_after_sync":true,"primary_key":[],"folder":"","description":"","dataset":"local.Orders","registered_by":"admin","registered_at":"`},
		{what: "register again", method: "POST", path: register, body: `{"name":"ORDERS","source_type":"jira"}`, status: 409, want: `"table_exists"`},
		{what: "register with If-Match", method: "POST", path: register, body: `{"name":"x"}`, status: 412, want: `"revision_mismatch"`, headers: []string{"If-Match", "1"}},
		{what: "blank", method: "POST", path: register, body: `{"name":"  "}`, status: 422, want: `"bad_table"`},
		{what: "nameless", method: "POST", path: register, body: `{}`, status: 422, want: `"/name"`},
		{what: "null for a name", method: "POST", path: register, body: `{"name":null}`, status: 400, want: `name has to be a string"`},
		{what: "everything wrong", method: "POST", path: register, status: 422, want: `"/primary_key"`,
			body: `{"name":"in.c-crm","source_type":"x y","bucket":"/","source_table":"/","sync_strategy":"","query_mode":"x","sync_schedule":"x","folder":"\u0000","description":"\u0000","primary_key":["a","a"]}`},
		{what: "a key that cannot be read", method: "POST", path: register, body: `{"name":"x","primary_key":"['a"}`, status: 422, want: `"primary_key is a list that cannot be read`},
		{what: "wrong types", method: "POST", path: register, body: `{"name":1,"profile_after_sync":"yes","primary_key":[1],"folder":[]}`, status: 400, want: `primary_key has to be a list of strings, or a string`},
		{what: "an unknown member", method: "POST", path: register, body: `{"name":"x","id":"y"}`, status: 400, want: `\"id\" is unknown here`},
		{what: "a member of other systems", method: "POST", path: register, body: `{"name":"x","is_public":true}`, status: 400, want: `is_public`},
		{what: "no object", method: "POST", path: register, body: `[]`, status: 400, want: `"invalid_request"`},
		{what: "no JSON", method: "POST", path: register, body: `name=x`, status: 415, headers: []string{"Content-Type", "text/plain"}},
		{what: "an odd parameter", method: "GET", path: list + "?folder=x", status: 400},
		{what: "an odd cursor", method: "GET", path: list + "?cursor=MWd4", status: 400, want: "cursor"},
		{what: "update", method: "PUT", path: one, status: 200, want: `{"id":"orders","updated":["name","source_type","sync_schedule","profile_after_sync","primary_key"]}`,
			body: `{"name":"AllOrders","source_type":"postgres","sync_schedule":"0 6 * * mon-fri","profile_after_sync":false,"primary_key":"['id', 'line']"}`},
		{what: "updated", method: "GET", path: one, status: 200, want: `"name":"AllOrders","source_type":"postgres","bucket":""`},
		{what: "update nothing", method: "PUT", path: one, body: `{"name":"AllOrders"}`, status: 200, want: `"updated":[]`},
		{what: "clear", method: "PUT", path: one, body: `{"source_type":null,"sync_schedule":null,"profile_after_sync":null,"primary_key":null,"bucket":null,"sync_strategy":null,"query_mode":null}`, status: 200,
			want: `"updated":["source_type","sync_schedule","profile_after_sync","primary_key"]`},
		{what: "cleared", method: "GET", path: one, status: 200, want: `"source_type":"local","bucket":"","source_table":"","sync_strategy":"full_refresh","query_mode":"local","sync_schedule":"","profile_after_sync":true,"primary_key":[]`},
		{what: "update with a stale revision", method: "PUT", path: one, body: `{"folder":"x"}`, status: 412, want: `"revision_mismatch"`, headers: []string{"If-Match", `"1"`}},
		{what: "update what is not there", method: "PUT", path: list + "/gone", body: `{"folder":"x"}`, status: 404, want: `"not_found"`},
		{what: "update badly", method: "PUT", path: one, body: `{"name":"","sync_schedule":"every 0m"}`, status: 422, want: `from 1m to 8784h`},
		{what: "update by null", method: "PUT", path: one, body: `{"name":null}`, status: 400},
		{what: "register the old name", method: "POST", path: register, body: `{"name":"orders"}`, status: 409, want: `"table_exists"`},
		{what: "register another id of the name", method: "POST", path: register, body: `{"name":"other","primary_key":"a, b"}`, status: 201},
		{what: "take its name", method: "PUT", path: list + "/other", body: `{"name":"ALLORDERS"}`, status: 409, want: `"table_name_taken"`},
		{what: "delete with a stale revision", method: "DELETE", path: one, status: 412, headers: []string{"If-Match", `"1"`}},
		{what: "delete", method: "DELETE", path: one, status: 204, headers: []string{"If-Match", `"3"`}},
		{what: "delete again", method: "DELETE", path: one, status: 404, want: `"not_found"`},
		{what: "read what is gone", method: "GET", path: one, status: 404, want: `"not_found"`},
		{what: "read no id", method: "GET", path: list + "/%00", status: 404, want: `"not_found"`},
		{what: "for admins alone: list", method: "GET", path: list, as: "alice", status: 403},
		{what: "for admins alone: read", method: "GET", path: list + "/other", as: "alice", status: 403},
		{what: "for admins alone: register", method: "POST", path: register, body: `{"name":"x"}`, as: "alice", status: 403},
		{what: "for admins alone: update", method: "PUT", path: list + "/other", body: `{"folder":"x"}`, as: "alice", status: 403},
		{what: "for admins alone: delete", method: "DELETE", path: list + "/other", as: "alice", status: 403},
		{what: "other methods", method: "PATCH", path: one, status: 405},
	})
}

// A mutation that was only tried answers as the real one does, and leaves nothing.
func TestTableDryRuns(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	made := b.do(http.MethodPost, "/register-table", `{"name":"orders"}`).want(t, http.StatusCreated)
	if made.header.Get("ETag") != `"1"` || made.header.Get("Location") != admin.Root+"/registry/orders" {
		t.Errorf("%v", made.header)
	}
	before := b.svc.Snapshot().Revision
	tried := b.do(http.MethodPost, "/register-table?dryRun=true", `{"name":"x"}`).want(t, http.StatusCreated, `{"id":"x","name":"x","status":"registered"}`)
	if tried.header.Get("Location") != "" {
		t.Errorf("%v", tried.header)
	}
	b.do(http.MethodPut, "/registry/orders?dryRun=true", `{"folder":"x"}`).want(t, http.StatusOK, `"updated":["folder"]`)
	b.do(http.MethodDelete, "/registry/orders?dryRun=true", "").want(t, http.StatusNoContent)
	b.do(http.MethodPost, "/register-table?dryRun=true", `{"name":"orders"}`).want(t, http.StatusConflict, "table_exists")
	b.do(http.MethodDelete, "/registry/x?dryRun=true", "").want(t, http.StatusNotFound)
	if after := b.svc.Snapshot().Revision; after != before {
		t.Errorf("revision %d and then %d", before, after)
	}
	b.do(http.MethodGet, "/registry/orders", "").want(t, http.StatusOK, `"folder":""`, `"revision":1`)
}

// A list is read page by page, each of which knows how many there are in all.
func TestTablePages(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	for n := range 7 {
		source := []string{"jira", "keboola"}[n%2]
		b.do(http.MethodPost, "/register-table", fmt.Sprintf(`{"name":"T%d","source_type":%q}`, n, source)).want(t, http.StatusCreated)
	}
	for filter, want := range map[string]string{
		"": "t0 t1 t2 t3 t4 t5 t6", "source_type=jira": "t0 t2 t4 t6", "name=t3": "t3", "name=T3&source_type=jira": "", "source_type=a+b": "",
	} {
		var ids []string
		for cursor, pages := "", 0; ; pages++ {
			got := b.do(http.MethodGet, "/registry?limit=2&"+filter+"&cursor="+cursor, "").want(t, http.StatusOK)
			var page admin.TablePage
			if err := json.Unmarshal([]byte(got.body), &page); err != nil || page.Count != len(strings.Fields(want)) || len(page.Tables) > 2 || pages > 4 {
				t.Fatalf("%s: %s: %v", filter, got.body, err)
			}
			for _, one := range page.Tables {
				ids = append(ids, one.ID)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%q lists %s", filter, got)
		}
	}
}

// Registered tables are what datasets can be granted on.
func TestTablesAreDatasets(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	b.do(http.MethodPost, "/register-table", `{"name":"Orders","source_type":"keboola"}`).want(t, http.StatusCreated)
	b.do(http.MethodGet, "/access-overview", "").want(t, http.StatusOK, `{"id":"keboola","name":"keboola","items":[{"resource_id":"keboola.Orders","name":"Orders"}]}`)
	g := b.group("sales")
	b.do(http.MethodPost, "/grants", fmt.Sprintf(`{"group_id":%q,"resource_type":"dataset","resource_id":"keboola.Orders"}`, g)).want(t, http.StatusCreated)
	b.do(http.MethodDelete, "/registry/orders", "").want(t, http.StatusNoContent)
	b.do(http.MethodGet, "/grants?resource_type=dataset", "").want(t, http.StatusOK, `"resource_id":"keboola.Orders"`)
}

// What was refused is in the audit log, as what was done is.
func TestTableRefusalsAreAudited(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	b.do(http.MethodPost, "/register-table", `{"name":"orders"}`).want(t, http.StatusCreated)
	b.do(http.MethodPost, "/register-table", `{"name":"orders"}`).want(t, http.StatusConflict)
	b.do(http.MethodPost, "/register-table", `{"name":"2"}`).want(t, http.StatusUnprocessableEntity)
	b.do(http.MethodPut, "/registry/gone", `{"folder":"x"}`).want(t, http.StatusNotFound)
	b.do(http.MethodDelete, "/registry/orders", "", "If-Match", "7").want(t, http.StatusPreconditionFailed)
	want := map[string]bool{
		"table.registered table:orders ok": false, "table.registered table table_exists": false, "table.registered table bad_table": false,
		"table.updated table:gone not_found": false, "table.deleted table:orders revision_mismatch": false,
	}
	deadline, tick := time.Now().Add(20*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for left := len(want); left > 0; {
		all, err := b.svc.AuditFind(t.Context(), registry.AuditQuery{Action: "table.*", Limit: 100})
		if err = errors.Join(err, t.Context().Err()); err != nil || time.Now().After(deadline) {
			t.Fatalf("%v: %v", want, err)
		}
		<-tick.C
		left = len(want)
		for _, e := range all {
			want[fmt.Sprint(e.Action, " ", e.Resource, " ", e.Result)] = true
		}
		for _, found := range want {
			if found {
				left--
			}
		}
		if len(want) > 5 {
			t.Fatalf("rows of something else: %v", want)
		}
	}
}
