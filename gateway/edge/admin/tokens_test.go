package admin_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/gateway/edge/admin"
)

// Every documented answer of personal access tokens.
func TestTokenCodes(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{})
	kept := map[string]string{"eng": b.group("eng"), "unknown": unknown, "worker": worker, "alice": b.user("alice")}
	tokens := admin.TokensPath
	b.play(t, kept, []step{
		{what: "make", method: "POST", path: tokens, as: "alice", body: `{"name":"ci"}`, status: 201, keep: "token", want: `"scopes":["read"]`},
		{what: "its end", method: "GET", path: tokens + "/{token}", as: "alice", status: 200, want: `"expires_at":"` + time.Now().Add(90*24*time.Hour).UTC().Format("2006-01-")},
		{what: "never used", method: "GET", path: tokens + "/{token}", as: "alice", status: 200, want: `"last_used_at":null,"last_used_ip":"","revoked_at":null`},
		{what: "somebody else's", method: "GET", path: tokens + "/{token}", as: "bob", status: 404, want: `"not_found"`},
		{what: "an unknown one", method: "GET", path: tokens + "/{unknown}", as: "bob", status: 404, want: `"not_found"`},
		{what: "none", method: "GET", path: tokens + "/ci", as: "alice", status: 404},
		{what: "own ones", method: "GET", path: tokens, as: "alice", status: 200, want: `{"items":[{"id":"{token}"`},
		{what: "no own ones", method: "GET", path: tokens, as: "bob", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "no own ones of a stranger", method: "GET", path: tokens, as: "carol", status: 200, want: `{"items":[],"nextCursor":""}`},
		{what: "a blank name", method: "POST", path: tokens, as: "alice", body: `{"name":" "}`, status: 400, want: `"blank"`},
		{what: "no name", method: "POST", path: tokens, as: "alice", body: `{}`, status: 400, want: "name is missing"},
		{what: "a long name", method: "POST", path: tokens, as: "alice", body: `{"name":"` + strings.Repeat("x", 256) + `"}`, status: 422},
		{what: "no days", method: "POST", path: tokens, as: "alice", body: `{"name":"x","expires_in_days":0}`, status: 400, want: `"bad_expires_in_days"`},
		{what: "too many days", method: "POST", path: tokens, as: "alice", body: `{"name":"x","expires_in_days":3651}`, status: 400, want: `"bad_expires_in_days"`},
		{what: "without end", method: "POST", path: tokens, as: "alice", body: `{"name":"x","expires_in_days":null}`, status: 422, want: "access.tokens.allowUnlimited"},
		{what: "for an admin, by none", method: "POST", path: tokens, as: "alice", body: `{"name":"x","scopes":["admin"]}`, status: 403, want: `"scope_denied"`},
		{what: "for what is not hers", method: "POST", path: tokens, as: "alice", body: `{"name":"x","scopes":["read","worker:{worker}"]}`, status: 403, want: `"scope_denied"`},
		{what: "for nothing", method: "POST", path: tokens, as: "alice", body: `{"name":"x","scopes":[]}`, status: 400, want: `"bad_scope"`},
		{what: "for no scope", method: "POST", path: tokens, as: "alice", body: `{"name":"x","scopes":["everything"]}`, status: 422, want: `"bad_scope"`},
		{what: "for no worker", method: "POST", path: tokens, as: "alice", body: `{"name":"x","scopes":["worker:w1"]}`, status: 422, want: `"bad_scope"`},
		{what: "by an admin", method: "POST", path: tokens, body: `{"name":"x","scopes":["admin","worker:{worker}"],"expires_in_days":3650}`, status: 201, keep: "admins"},
		{what: "alice joins", method: "POST", path: admin.Root + "/groups/{eng}/members", body: `{"email":"alice@example.org"}`, status: 201},
		{what: "and gets a worker", method: "POST", path: admin.Root + "/grants", body: `{"group_id":"{eng}","resource_type":"worker","resource_id":"{worker}"}`, status: 201},
		{what: "for what is hers now", method: "POST", path: tokens, as: "alice", body: `{"name":"w","scopes":["worker:` + strings.ToUpper(worker) + `"]}`, status: 201, want: `"scopes":["worker:{worker}"]`, keep: "narrow"},
		{what: "a stranger", method: "POST", path: tokens, as: "carol", body: `{"name":"x"}`, status: 503, want: `"user_not_known"`},
		{what: "everybody's", method: "GET", path: admin.Root + "/tokens", status: 200, want: `"username":"alice"`},
		{what: "alice's", method: "GET", path: admin.Root + "/tokens?user_id={alice}", status: 200, want: `{"items":[{"id":"{token}"`},
		{what: "nobody's", method: "GET", path: admin.Root + "/tokens?user_id=alice", status: 400},
		{what: "everybody's, by none", method: "GET", path: admin.Root + "/tokens", as: "alice", status: 403},
		{what: "revoke somebody else's", method: "DELETE", path: tokens + "/{token}", as: "bob", status: 404},
		{what: "revoke", method: "DELETE", path: tokens + "/{token}", as: "alice", status: 204},
		{what: "it is revoked", method: "GET", path: tokens + "/{token}", as: "alice", status: 200, want: `"revoked_at":"20`},
		{what: "revoke hers as an admin", method: "DELETE", path: admin.Root + "/tokens/{narrow}", status: 204},
		{what: "revoke an unknown one", method: "DELETE", path: admin.Root + "/tokens/{unknown}", status: 404},
	})
}

// A token is shown once, is its owner less what its scopes leave out, and makes
// no other.
func TestATokenIsItsOwnerAndLess(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{AllowUnlimited: true})
	made := b.as("admin", http.MethodPost, admin.TokensPath, fmt.Sprintf(`{"name":"ci","expires_in_days":null,"scopes":["worker:%s"]}`, worker))
	made.want(t, http.StatusCreated, `"expires_at":null`, `"token":"mst_`)
	raw, id := made.get(t, "token"), made.get(t, "id")
	shown, err := pat.Parse(raw)
	if err != nil || made.get(t, "prefix") != shown.Prefix() || made.header.Get("Location") != admin.TokensPath+"/"+id {
		t.Fatalf("%v %s", err, made.body)
	}
	for _, path := range []string{admin.TokensPath, admin.TokensPath + "/" + id, admin.Root + "/tokens"} {
		if got := b.as("admin", http.MethodGet, path, "").want(t, http.StatusOK); strings.Contains(got.body, raw[12:]) {
			t.Errorf("%s tells the token: %s", path, got.body)
		}
	}
	b.as(raw, http.MethodGet, admin.MePath, "").want(t, http.StatusOK, `"username":"admin"`, `"is_admin":false`, `"id":"`+id+`"`)
	b.as(raw, http.MethodGet, admin.MePath+"/effective-access", "").want(t, http.StatusOK,
		`{"is_admin":false,"items":[{"resource_type":"worker","resource_id":"`+worker+`","via_groups":[{"group_id":"`+b.system("Admin")+`","group_name":"Admin"}]}],"nextCursor":""}`)
	b.as(raw, http.MethodGet, admin.Root+"/groups", "").want(t, http.StatusForbidden)
	b.as(raw, http.MethodPost, admin.TokensPath, `{"name":"child"}`).want(t, http.StatusForbidden)

	whole := b.as("admin", http.MethodPost, admin.TokensPath, `{"name":"all","scopes":["admin"]}`).want(t, http.StatusCreated).get(t, "token")
	b.as(whole, http.MethodGet, admin.Root+"/groups", "").want(t, http.StatusOK)
	b.as(whole, http.MethodPost, admin.Root+"/groups", `{"name":"by-token"}`).want(t, http.StatusCreated, `"created_by":"admin"`)
	b.as(whole, http.MethodPost, admin.TokensPath, `{"name":"child"}`).want(t, http.StatusForbidden, `"login_token_required"`)
	b.as(whole, http.MethodDelete, admin.TokensPath+"/"+id, "").want(t, http.StatusNoContent)
	b.as(raw, http.MethodGet, admin.MePath, "").want(t, http.StatusUnauthorized)
}

// The limits of the configuration hold, and how to change them is told.
func TestTokenLimits(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{MaxAge: 30 * 24 * time.Hour})
	b.as("alice", http.MethodPost, admin.TokensPath, `{"name":"x","expires_in_days":31}`).want(t, http.StatusUnprocessableEntity, "access.tokens.maxAge", "30")
	made := b.as("alice", http.MethodPost, admin.TokensPath, `{"name":"x"}`).want(t, http.StatusCreated)
	ends, err := time.Parse(time.RFC3339, made.get(t, "expires_at"))
	if left := time.Until(ends); err != nil || left > 30*24*time.Hour || left < 29*24*time.Hour {
		t.Errorf("it ends in %s: %v", left, err)
	}
	dry := b.as("alice", http.MethodPost, admin.TokensPath+"?dryRun=true", `{"name":"y"}`).want(t, http.StatusCreated)
	if _, err := pat.Parse(dry.get(t, "token")); err != nil || dry.header.Get("Location") != "" {
		t.Errorf("a dry run answers %s: %v", dry.body, err)
	}
	b.as(dry.get(t, "token"), http.MethodGet, admin.MePath, "").want(t, http.StatusUnauthorized)
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal([]byte(b.as("alice", http.MethodGet, admin.TokensPath, "").body), &list); err != nil || len(list.Items) != 1 {
		t.Errorf("a dry run made a token: %v %v", list, err)
	}
}
