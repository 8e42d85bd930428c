package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/edge/admin"
	"github.com/muster-fleet/muster/registry/access"
)

const (
	unknown = "0b0f5d3e-7a66-7a4b-9d0f-6f5b0d9a3c77"
	worker  = "1b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c78"
)

// step is one call and its answer. In path and body {name} stands for what a step
// before has kept under the name.
type step struct {
	what, method, path, body string
	status                   int
	want                     string
	keep                     string // the name for the answer's id
	as                       string // admin when empty
	headers                  []string
}

// play makes the calls one after the other.
func (b *bench) play(t *testing.T, kept map[string]string, steps []step) {
	t.Helper()
	for _, s := range steps {
		fill := func(text string) string {
			for name, value := range kept {
				text = strings.ReplaceAll(text, "{"+name+"}", value)
			}
			return text
		}
		t.Run(s.what, func(t *testing.T) {
			as := s.as
			if as == "" {
				as = "admin"
			}
			got := b.as(as, s.method, fill(s.path), fill(s.body), s.headers...).want(t, s.status, fill(s.want))
			if s.keep != "" {
				kept[s.keep] = got.get(t, "id")
			}
		})
	}
}

// Every documented answer of groups and members.
func TestGroupCodes(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	b.see("bob", []string{})
	kept := map[string]string{
		"Admin": b.system(access.Admin), "Everyone": b.system(access.Everyone), "unknown": unknown,
		"alice": b.user("alice"), "bob": b.user("bob"), "admin": b.user("admin"),
	}
	groups := admin.Root + "/groups"
	b.play(t, kept, []step{
		{what: "nobody", method: "GET", path: groups, status: 401, as: "", want: "", headers: []string{"Authorization", ""}},
		{what: "not an admin", method: "GET", path: groups, as: "alice", status: 403, want: `"denied"`},
		{what: "not an admin, and no such path", method: "GET", path: admin.Root + "/nothing", as: "alice", status: 404, want: `"not_found"`},
		{what: "make", method: "POST", path: groups, body: `{"name":"platform","description":"d"}`, status: 201, keep: "platform",
			want: `"origin":"admin","created_at":`},
		{what: "taken", method: "POST", path: groups, body: `{"name":"platform"}`, status: 409, want: `"group_exists"`},
		{what: "taken by a system group", method: "POST", path: groups, body: `{"name":"Admin"}`, status: 409},
		{what: "blank", method: "POST", path: groups, body: `{"name":"  "}`, status: 400, want: `"blank"`},
		{what: "missing", method: "POST", path: groups, body: `{}`, status: 400, want: "name is missing"},
		{what: "no name", method: "POST", path: groups, body: `{"name":"a\u0007b"}`, status: 422, want: `"bad_name"`},
		{what: "unknown member", method: "POST", path: groups, body: `{"name":"x","is_system":true}`, status: 400, want: "is_system"},
		{what: "wrong type", method: "POST", path: groups, body: `{"name":["x"]}`, status: 400},
		{what: "broken", method: "POST", path: groups, body: `{"name":`, status: 400, want: "invalid_request"},
		{what: "twice", method: "POST", path: groups, body: `{"name":"a","name":"b"}`, status: 400},
		{what: "no JSON", method: "POST", path: groups, body: `{"name":"x"}`, headers: []string{"Content-Type", "text/plain"}, status: 415},
		{what: "too large", method: "POST", path: groups, body: `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413},
		{what: "a query that is none", method: "POST", path: groups + "?dryrun=true", body: `{"name":"x"}`, status: 400, want: "dryrun"},
		{what: "read", method: "GET", path: groups + "/{platform}", status: 200, want: `"member_count":0,"grant_count":0`},
		{what: "read a system one", method: "GET", path: groups + "/{Admin}", status: 200, want: `"is_system":true,"origin":"system"`},
		{what: "read in upper case", method: "GET", path: groups + "/" + strings.ToUpper(kept["Admin"]), status: 200},
		{what: "read no uuid", method: "GET", path: groups + "/platform", status: 404, want: `"not_found"`},
		{what: "read an unknown one", method: "GET", path: groups + "/{unknown}", status: 404, want: `"not_found"`},
		{what: "find", method: "GET", path: groups + "?name=platform", status: 200, want: "{platform}"},
		{what: "find nothing", method: "GET", path: groups + "?name=Platform", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "a bad limit", method: "GET", path: groups + "?limit=0", status: 400},
		{what: "a bad cursor", method: "GET", path: groups + "?cursor=x", status: 400, want: "cursor"},
		{what: "rename", method: "PATCH", path: groups + "/{platform}", body: `{"name":"core"}`, status: 200, want: `"name":"core","description":"d"`},
		{what: "rename to a taken one", method: "PATCH", path: groups + "/{platform}", body: `{"name":"Everyone"}`, status: 409},
		{what: "rename a system group", method: "PATCH", path: groups + "/{Admin}", body: `{"name":"Root"}`, status: 409, want: `"system_group"`},
		{what: "describe a system group", method: "PATCH", path: groups + "/{Admin}", body: `{"description":"all"}`, status: 200, want: `"description":"all"`},
		{what: "rename to blank", method: "PATCH", path: groups + "/{platform}", body: `{"name":" "}`, status: 400},
		{what: "rename an unknown one", method: "PATCH", path: groups + "/{unknown}", body: `{"name":"x"}`, status: 404},
		{what: "an older revision", method: "PATCH", path: groups + "/{platform}", body: `{"name":"x"}`, headers: []string{"If-Match", `"77"`}, status: 412, want: `"revision_mismatch"`},
		{what: "add", method: "POST", path: groups + "/{platform}/members", body: `{"email":" ALICE@Example.org "}`, status: 201,
			want: `"user_id":"{alice}","email":"alice@example.org","username":"alice"`},
		{what: "add again", method: "POST", path: groups + "/{platform}/members", body: `{"email":"alice@example.org"}`, status: 409, want: `"already_member"`},
		{what: "add by id", method: "POST", path: groups + "/{platform}/members", body: `{"email":"{bob}"}`, status: 201, want: `"source":"admin"`},
		{what: "add an unknown one", method: "POST", path: groups + "/{platform}/members", body: `{"email":"x@example.org"}`, status: 404, want: `"user_not_found"`},
		{what: "add to an unknown group", method: "POST", path: groups + "/{unknown}/members", body: `{"email":"alice@example.org"}`, status: 404, want: `"not_found"`},
		{what: "add nobody", method: "POST", path: groups + "/{platform}/members", body: `{"email":""}`, status: 400, want: `"blank"`},
		{what: "members", method: "GET", path: groups + "/{platform}/members", status: 200, want: `"added_by":"admin"`},
		{what: "members of an unknown group", method: "GET", path: groups + "/{unknown}/members", status: 404},
		{what: "everyone's", method: "GET", path: groups + "/{Everyone}/members", status: 200, want: `"source":"everyone"`},
		{what: "remove", method: "DELETE", path: groups + "/{platform}/members/{alice}", status: 204},
		{what: "remove again", method: "DELETE", path: groups + "/{platform}/members/{alice}", status: 404},
		{what: "remove an unknown user", method: "DELETE", path: groups + "/{platform}/members/{unknown}", status: 404},
		{what: "remove from an unknown group", method: "DELETE", path: groups + "/{unknown}/members/{bob}", status: 404},
		{what: "remove whom another source put there", method: "DELETE", path: groups + "/{Admin}/members/{admin}", status: 409, want: "system_seed"},
		{what: "delete a system group", method: "DELETE", path: groups + "/{Everyone}", status: 409, want: `"system_group"`},
		{what: "delete an older revision", method: "DELETE", path: groups + "/{platform}", headers: []string{"If-Match", `"77"`}, status: 412},
		{what: "delete", method: "DELETE", path: groups + "/{platform}", status: 204},
		{what: "delete again", method: "DELETE", path: groups + "/{platform}", status: 404},
	})
}

// Every documented answer of grants, resource types and who can.
func TestGrantCodes(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	kept := map[string]string{"eng": b.group("eng"), "unknown": unknown, "worker": worker, "WORKER": strings.ToUpper(worker), "alice": b.user("alice")}
	grants := admin.Root + "/grants"
	grant := func(typ, id, more string) string {
		return fmt.Sprintf(`{"group_id":"{eng}","resource_type":%q,"resource_id":%q%s}`, typ, id, more)
	}
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	b.play(t, kept, []step{
		{what: "types", method: "GET", path: admin.Root + "/resource-types", status: 200, want: `{"key":"worker","display_name":`},
		{what: "grant", method: "POST", path: grants, body: grant("worker", " {WORKER} ", ""), status: 201, keep: "grant",
			want: `"group_name":"eng","resource_type":"worker","resource_id":"{worker}","expires_at":null`},
		{what: "grant again", method: "POST", path: grants, body: grant("worker", "{worker}", ""), status: 409, want: `"grant_exists"`},
		{what: "with an end", method: "POST", path: grants, body: grant("rule_step", "nightly", `,"expires_at":"`+later+`"`), status: 201, want: `"expires_at":"` + later},
		{what: "an unknown type", method: "POST", path: grants, body: grant("planet", "mars", ""), status: 400, want: `"unknown_type"`},
		{what: "a blank resource", method: "POST", path: grants, body: grant("worker", " ", ""), status: 400, want: `"blank"`},
		{what: "no such format", method: "POST", path: grants, body: grant("worker", "w1", ""), status: 422, want: `"bad_resource_id"`},
		{what: "another format", method: "POST", path: grants, body: grant("graph_rules", "delete", ""), status: 422, want: `"bad_resource_id"`},
		{what: "expired already", method: "POST", path: grants, body: grant("rule_step", "weekly", `,"expires_at":"2020-01-01T00:00:00Z"`), status: 422, want: `"bad_expires_at"`},
		{what: "no time", method: "POST", path: grants, body: grant("rule_step", "weekly", `,"expires_at":"tomorrow"`), status: 400, want: "expires_at"},
		{what: "a wrong type", method: "POST", path: grants, body: `{"group_id":1,"resource_type":"worker","resource_id":"{worker}"}`, status: 400},
		{what: "nothing", method: "POST", path: grants, body: `{}`, status: 400, want: "resource_id is missing"},
		{what: "an unknown group", method: "POST", path: grants, body: `{"group_id":"{unknown}","resource_type":"rule_step","resource_id":"x"}`, status: 404, want: `"not_found"`},
		{what: "no group", method: "POST", path: grants, body: `{"group_id":"eng","resource_type":"rule_step","resource_id":"x"}`, status: 404},
		{what: "list", method: "GET", path: grants + "?group_id={eng}&resource_type=worker", status: 200, want: `"id":"{grant}"`},
		{what: "list of a resource", method: "GET", path: grants + "?resource_type=worker&resource_id={worker}", status: 200, want: `"id":"{grant}"`},
		{what: "list of another type", method: "GET", path: grants + "?resource_type=connector", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "list of an unknown type", method: "GET", path: grants + "?resource_type=planet", status: 400},
		{what: "list of no group", method: "GET", path: grants + "?group_id=eng", status: 400},
		{what: "list of an unknown group", method: "GET", path: grants + "?group_id={unknown}", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "member", method: "POST", path: admin.Root + "/groups/{eng}/members", body: `{"email":"alice@example.org"}`, status: 201},
		{what: "who can", method: "GET", path: admin.Root + "/who-can?resource_type=worker&resource_id={WORKER}", status: 200, want: `"username":"alice","name":"","via_groups":[{"group_id":"{eng}","group_name":"eng"}]`},
		{what: "admins can", method: "GET", path: admin.Root + "/who-can?resource_type=worker&resource_id={WORKER}", status: 200, want: `"group_name":"Admin"`},
		{what: "who can what is none", method: "GET", path: admin.Root + "/who-can?resource_type=worker&resource_id=w1", status: 422},
		{what: "who can what kind", method: "GET", path: admin.Root + "/who-can?resource_type=planet&resource_id=w1", status: 400, want: `"unknown_type"`},
		{what: "who can what", method: "GET", path: admin.Root + "/who-can?resource_type=worker", status: 400, want: "resource_id is missing"},
		{what: "overview", method: "GET", path: admin.Root + "/access-overview", status: 200, want: `"complete":true`},
		{what: "overview's grants", method: "GET", path: admin.Root + "/access-overview", status: 200, want: `"id":"{grant}","group_id":"{eng}"`},
		{what: "overview's blocks", method: "GET", path: admin.Root + "/access-overview", status: 200, want: `{"type_key":"graph_rules","type_display":`},
		{what: "suggestions", method: "GET", path: admin.Root + "/group-suggestions", status: 200, want: `{"items":[{"name":"/eng/data","source":"keycloak"},{"name":"/eng/platform","source":"keycloak"}],"nextCursor":""}`},
		{what: "one suggestion less", method: "POST", path: admin.Root + "/groups", body: `{"name":"/eng/data"}`, status: 201},
		{what: "fewer suggestions", method: "GET", path: admin.Root + "/group-suggestions", status: 200, want: `{"items":[{"name":"/eng/platform","source":"keycloak"}],"nextCursor":""}`},
		{what: "take back", method: "DELETE", path: grants + "/{grant}", status: 204},
		{what: "take back again", method: "DELETE", path: grants + "/{grant}", status: 404},
		{what: "take back none", method: "DELETE", path: grants + "/x", status: 404},
	})
}

// Every documented answer of users.
func TestUserCodes(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	kept := map[string]string{"eng": b.group("eng"), "unknown": unknown, "alice": b.user("alice"), "bob": b.user("bob"), "admin": b.user("admin")}
	users := admin.Root + "/users"
	b.play(t, kept, []step{
		{what: "list", method: "GET", path: users, status: 200, want: `"username":"bob"`},
		{what: "by e-mail", method: "GET", path: users + "?email=Alice%40EXAMPLE.org", status: 200, want: `{"items":[{"id":"{alice}"`},
		{what: "by user name", method: "GET", path: users + "?username=BOB", status: 200, want: `{"items":[{"id":"{bob}"`},
		{what: "by a part", method: "GET", path: users + "?search=LIC", status: 200, want: `{"items":[{"id":"{alice}"`},
		{what: "by nothing", method: "GET", path: users + "?email=%20", status: 400},
		{what: "inactive ones", method: "GET", path: users + "?active=false", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "a wrong flag", method: "GET", path: users + "?active=no", status: 400},
		{what: "read", method: "GET", path: users + "/{admin}", status: 200, want: `"active":true,"is_admin":true`},
		{what: "read an unknown one", method: "GET", path: users + "/{unknown}", status: 404, want: `"user_not_found"`},
		{what: "read none", method: "GET", path: users + "/alice", status: 404},
		{what: "deactivate", method: "POST", path: users + "/{bob}/deactivate", status: 200, want: `"active":false`},
		{what: "who is deactivated", method: "GET", path: admin.MePath, as: "bob", status: 401, want: `"user_deactivated"`},
		{what: "what they reach", method: "GET", path: users + "/{bob}/effective-access", status: 200, want: `{"is_admin":false,"items":[],"nextCursor":""}`},
		{what: "activate", method: "POST", path: users + "/{bob}/activate", status: 200, want: `"active":true`},
		{what: "deactivate the last admin", method: "POST", path: users + "/{admin}/deactivate", status: 409, want: `"last_admin"`},
		{what: "deactivate an unknown one", method: "POST", path: users + "/{unknown}/deactivate", status: 404, want: `"user_not_found"`},
		{what: "activate an unknown one", method: "POST", path: users + "/{unknown}/activate", status: 404},
		{what: "add", method: "POST", path: users + "/{alice}/memberships", body: `{"group_id":"{eng}"}`, status: 201, want: `{"group_id":"{eng}","group_name":"eng","is_system":false,"source":"admin"`},
		{what: "add again", method: "POST", path: users + "/{alice}/memberships", body: `{"group_id":"{eng}"}`, status: 409, want: `"already_member"`},
		{what: "add to an unknown group", method: "POST", path: users + "/{alice}/memberships", body: `{"group_id":"{unknown}"}`, status: 404, want: `"not_found"`},
		{what: "add to no group", method: "POST", path: users + "/{alice}/memberships", body: `{"group_id":"eng"}`, status: 404},
		{what: "add nothing", method: "POST", path: users + "/{alice}/memberships", body: `{"group_id":null}`, status: 400},
		{what: "add an unknown user", method: "POST", path: users + "/{unknown}/memberships", body: `{"group_id":"{eng}"}`, status: 404, want: `"user_not_found"`},
		{what: "memberships", method: "GET", path: users + "/{alice}/memberships", status: 200, want: `"group_name":"Everyone"`},
		{what: "memberships of an unknown user", method: "GET", path: users + "/{unknown}/memberships", status: 404},
		{what: "grant", method: "POST", path: admin.Root + "/grants", body: `{"group_id":"{eng}","resource_type":"explain","resource_id":"filter"}`, status: 201},
		{what: "what alice reaches", method: "GET", path: users + "/{alice}/effective-access", status: 200,
			want: `{"is_admin":false,"items":[{"resource_type":"explain","resource_id":"filter","via_groups":[{"group_id":"{eng}","group_name":"eng"}]}],"nextCursor":""}`},
		{what: "what alice finds herself", method: "GET", path: admin.MePath + "/effective-access", as: "alice", status: 200, want: `"resource_id":"filter"`},
		{what: "what an admin reaches", method: "GET", path: users + "/{admin}/effective-access", status: 200, want: `{"is_admin":true,"items":[],"nextCursor":""}`},
		{what: "what nobody reaches", method: "GET", path: users + "/{unknown}/effective-access", status: 404, want: `"user_not_found"`},
		{what: "remove", method: "DELETE", path: users + "/{alice}/memberships/{eng}", status: 204},
		{what: "remove again", method: "DELETE", path: users + "/{alice}/memberships/{eng}", status: 404},
		{what: "remove no group", method: "DELETE", path: users + "/{alice}/memberships/eng", status: 404},
		{what: "who am I", method: "GET", path: admin.MePath, as: "alice", status: 200, want: `"user_id":"{alice}"`},
		{what: "who is the admin", method: "GET", path: admin.MePath, status: 200, want: `"is_admin":true,"groups":[`},
	})
	// Two sources: ending the one of admins leaves the other.
	b.see("alice", []string{"eng"})
	b.do(http.MethodPost, "/users/"+kept["alice"]+"/memberships", `{"group_id":"`+kept["eng"]+`"}`).want(t, http.StatusCreated)
	b.do(http.MethodGet, "/groups/"+kept["eng"], "").want(t, http.StatusOK, `"member_count":1`)
	b.do(http.MethodDelete, "/groups/"+kept["eng"]+"/members/"+kept["alice"]+"?dryRun=true", "").want(t, http.StatusOK, `{"remaining_sources":["idp_sync"]}`)
	b.do(http.MethodDelete, "/groups/"+kept["eng"]+"/members/"+kept["alice"], "").want(t, http.StatusOK, `{"remaining_sources":["idp_sync"]}`)
	b.do(http.MethodDelete, "/groups/"+kept["eng"]+"/members/"+kept["alice"], "").want(t, http.StatusConflict, `"not_admin_source"`, "idp_sync")
}
