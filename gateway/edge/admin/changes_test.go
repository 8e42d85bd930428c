package admin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/admin"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// Each mutation, as a dry run, answers as the call that follows, and neither
// changes anything nor leaves a row in the audit log.
func TestDryRuns(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	kept := map[string]string{"eng": b.group("eng"), "alice": b.user("alice"), "bob": b.user("bob"), "Admin": b.system(access.Admin), "admin": b.user("admin")}
	token := b.as("alice", http.MethodPost, admin.TokensPath, `{"name":"ci"}`).want(t, http.StatusCreated).get(t, "id")
	grant := b.do(http.MethodPost, "/grants", `{"group_id":"`+kept["eng"]+`","resource_type":"explain","resource_id":"filter"}`).want(t, http.StatusCreated).get(t, "id")
	for _, s := range []step{
		{method: "POST", path: "/api/admin/groups", body: `{"name":"new"}`, status: 201},
		{method: "POST", path: "/api/admin/groups", body: `{"name":"eng"}`, status: 409},
		{method: "PATCH", path: "/api/admin/groups/{eng}", body: `{"description":"d"}`, status: 200},
		{method: "POST", path: "/api/admin/groups/{eng}/members", body: `{"email":"alice@example.org"}`, status: 201},
		{method: "POST", path: "/api/admin/groups/{eng}/members", body: `{"email":"alice@example.org"}`, status: 409},
		{method: "DELETE", path: "/api/admin/groups/{eng}/members/{alice}", status: 204},
		{method: "DELETE", path: "/api/admin/groups/{eng}/members/{alice}", status: 404},
		{method: "POST", path: "/api/admin/users/{bob}/memberships", body: `{"group_id":"{eng}"}`, status: 201},
		{method: "DELETE", path: "/api/admin/users/{bob}/memberships/{eng}", status: 204},
		{method: "POST", path: "/api/admin/users/{bob}/deactivate", status: 200},
		{method: "POST", path: "/api/admin/users/{bob}/activate", status: 200},
		{method: "POST", path: "/api/admin/users/{admin}/deactivate", status: 409},
		{method: "POST", path: "/api/admin/grants", body: `{"group_id":"{eng}","resource_type":"worker_type","resource_id":"ExternalGraphSecurity"}`, status: 201},
		{method: "DELETE", path: "/api/admin/grants/" + grant, status: 204},
		{method: "DELETE", path: "/api/admin/tokens/" + token, status: 204},
		{method: "POST", path: "/api/tokens", body: `{"name":"ci"}`, status: 201},
		{method: "DELETE", path: "/api/admin/groups/{Admin}", status: 409},
		{method: "DELETE", path: "/api/admin/groups/{eng}", status: 204},
	} {
		path, body := s.path, s.body
		for name, value := range kept {
			path, body = strings.ReplaceAll(path, "{"+name+"}", value), strings.ReplaceAll(body, "{"+name+"}", value)
		}
		before := b.svc.Snapshot()
		dry := b.as("admin", s.method, path+"?dryRun=true", body).want(t, s.status)
		if b.svc.Snapshot().Access != before.Access {
			t.Errorf("a dry run of %s %s changed something", s.method, s.path)
		}
		real := b.as("admin", s.method, path, body).want(t, s.status)
		if got, want := shape(t, dry.body), shape(t, real.body); got != want {
			t.Errorf("a dry run of %s %s answers\n%s and the call\n%s", s.method, s.path, got, want)
		}
		if s.status < 300 && b.svc.Snapshot().Access == before.Access {
			t.Errorf("%s %s changed nothing", s.method, s.path)
		}
	}
	b.as("admin", http.MethodPost, "/api/admin/groups?dryRun=maybe", `{"name":"x"}`).want(t, http.StatusBadRequest, "dryRun")
}

// shape is a body without what is new in each: ids, times, and the token itself.
func shape(t *testing.T, body string) string {
	t.Helper()
	if body == "" {
		return ""
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, member := range []string{"id", "created_at", "added_at", "assigned_at", "updated_at", "deactivated_at", "expires_at", "token", "prefix"} {
		if _, there := all[member]; there {
			all[member] = "…"
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Of the last two admins who remove each other at once exactly one succeeds; so
// does one of many who change the same revision of a group, and who take the same
// name.
func TestTwoAdminsAtOnce(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	members := admin.Root + "/groups/" + b.system(access.Admin) + "/members"
	ids := map[string]string{"alice": b.user("alice"), "bob": b.user("bob")}
	for name := range ids {
		b.as("admin", http.MethodPost, members, `{"email":"`+name+`@example.org"}`).want(t, http.StatusCreated)
	}
	b.as("alice", http.MethodPost, admin.Root+"/users/"+b.user("admin")+"/deactivate", "").want(t, http.StatusOK)
	for round := range 10 {
		answers := together(2, func(i int) int {
			who, other := "alice", "bob"
			if i == 1 {
				who, other = other, who
			}
			return b.as(who, http.MethodDelete, members+"/"+ids[other], "").status
		})
		// The second is refused by the guard, or as the last one.
		if answers[http.StatusNoContent] != 1 || answers[http.StatusForbidden]+answers[http.StatusConflict] != 1 {
			t.Fatalf("round %d: %v", round, answers)
		}
		last, other := "alice", "bob"
		if b.as(last, http.MethodGet, members, "").status == http.StatusForbidden {
			last, other = other, last
		}
		b.as(last, http.MethodDelete, members+"/"+ids[last], "").want(t, http.StatusConflict, `"last_admin"`)
		b.as(last, http.MethodPost, members, `{"email":"`+other+`@example.org"}`).want(t, http.StatusCreated)
	}
	group := b.as("alice", http.MethodPost, admin.Root+"/groups", `{"name":"contested"}`).want(t, http.StatusCreated)
	path, tag := admin.Root+"/groups/"+group.get(t, "id"), group.header.Get("ETag")
	answers := together(8, func(i int) int {
		return b.as("bob", http.MethodPatch, path, fmt.Sprintf(`{"description":"%d"}`, i), "If-Match", tag).status
	})
	if answers[http.StatusOK] != 1 || answers[http.StatusPreconditionFailed] != 7 {
		t.Errorf("of 8 changes of one revision: %v", answers)
	}
	answers = together(8, func(int) int {
		return b.as("alice", http.MethodPost, admin.Root+"/groups", `{"name":"taken"}`).status
	})
	if answers[http.StatusCreated] != 1 || answers[http.StatusConflict] != 7 {
		t.Errorf("of 8 groups of one name: %v", answers)
	}
}

// together makes n calls at once and counts their statuses.
func together(n int, call func(i int) int) map[int]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	statuses, start := map[int]int{}, make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			status := call(i)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
		})
	}
	close(start)
	all.Wait()
	return statuses
}

// Walks over 3,000 groups, members and grants find each once, also while others
// come and go.
func TestWalksOverThousands(t *testing.T) {
	const n = 3000
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	stored := access.Delta{}
	of := func(kind byte, i int) access.ID {
		return access.ID{0x01, kind, 6: 0x70, 8: 0x80, 14: byte(i >> 8), 15: byte(i)}
	}
	for i := range n {
		stored.Groups = append(stored.Groups, access.Group{ID: of('g', i), Name: fmt.Sprintf("team-%04d", i), CreatedAt: at, UpdatedAt: at, Revision: 1})
		stored.Users = append(stored.Users, access.User{ID: of('u', i), Issuer: issuer, Subject: fmt.Sprint("s", i), Username: fmt.Sprint("s", i), Active: true, CreatedAt: at, UpdatedAt: at, Revision: 1})
		stored.Members = append(stored.Members, access.Member{MemberKey: access.MemberKey{User: of('u', i), Group: of('g', 0), Source: access.SourceAdmin}, AddedAt: at})
		stored.Grants = append(stored.Grants, access.Grant{ID: of('r', i), Group: of('g', 0), Type: "rule_step", Resource: fmt.Sprintf("step-%04d", i), AssignedAt: at})
	}
	b := newBench(t, &stored, admin.TokenLimits{})
	first := of('g', 0).String()
	for path, want := range map[string]int{
		"/groups": n + 2, "/groups/" + first + "/members": n, "/grants": n, "/grants?group_id=" + first: n, "/users": n + 3,
		"/users/" + of('u', 7).String() + "/effective-access":        n,
		"/who-can?resource_type=rule_step&resource_id=step-0007":     n + 1,
		"/groups/" + b.system(access.Everyone) + "/members?limit=77": n + 3,
	} {
		seen := map[string]bool{}
		for pages, cursor := 0, ""; pages == 0 || cursor != ""; pages++ {
			separator := "?"
			if strings.Contains(path, "?") {
				separator = "&"
			}
			got := b.do(http.MethodGet, path+separator+"cursor="+url.QueryEscape(cursor), "").want(t, http.StatusOK)
			var page struct {
				Items      []json.RawMessage
				NextCursor string `json:"nextCursor"`
			}
			if err := json.NewDecoder(bytes.NewReader([]byte(got.body))).Decode(&page); err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				seen[string(item)] = true
			}
			if cursor = page.NextCursor; pages > 100 {
				t.Fatalf("%s has no end", path)
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d entries, want %d", path, len(seen), want)
		}
	}
}

// What is refused is in the audit log, with its code; so is what is done, once. A
// dry run and a body that is none are not.
func TestRefusalsAreAudited(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	eng := b.group("eng")
	b.do(http.MethodPatch, "/groups/"+eng, `{"name":"Admin"}`).want(t, http.StatusConflict)
	b.do(http.MethodDelete, "/groups/"+b.system(access.Admin), "").want(t, http.StatusConflict)
	b.do(http.MethodDelete, "/groups/"+b.system(access.Admin)+"?dryRun=true", "").want(t, http.StatusConflict)
	b.do(http.MethodPost, "/grants", `{"group_id":"`+eng+`","resource_type":"worker","resource_id":"w1"}`).want(t, http.StatusUnprocessableEntity)
	b.do(http.MethodPost, "/grants", `{`).want(t, http.StatusBadRequest)
	b.as("alice", http.MethodPost, admin.TokensPath, `{"name":"x","scopes":["admin"]}`).want(t, http.StatusForbidden)
	want := map[string]string{
		"group:" + eng:                    "user_group.updated group_exists admin",
		"group:" + b.system(access.Admin): "user_group.deleted system_group admin",
		"grant":                           "resource_grant.created bad_resource_id admin",
		"token":                           "token.create scope_denied alice",
	}
	deadline := time.Now().Add(10 * time.Second)
	var got map[string]string
	for time.Now().Before(deadline) && len(got) < len(want) {
		got = b.refusals()
		if len(got) < len(want) {
			select { // the rows are written in the background
			case <-t.Context().Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	for resource, row := range want {
		if got[resource] != row {
			t.Errorf("%s: got %q, want %q", resource, got[resource], row)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// refusals are the audit log's, by resource.
func (b *bench) refusals() map[string]string {
	b.t.Helper()
	rows, err := b.svc.AuditFind(b.t.Context(), registry.AuditQuery{Limit: 1000})
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]string{}
	for _, row := range rows {
		if row.Result != "ok" {
			found[row.Resource] += row.Action + " " + row.Result + " " + row.Actor.Username
		}
	}
	return found
}
