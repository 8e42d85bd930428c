package authz_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// with is somebody's personal access token with scopes.
func (w *world) with(owner string, scopes ...string) authn.Caller {
	id := w.id("token of " + owner + strings.Join(scopes, " "))
	return authn.Caller{
		Principal: &token.Principal{Issuer: issuer, Subject: "sub-" + owner, Username: owner},
		Personal:  &access.Token{ID: id, User: w.id(owner), Scopes: scopes},
	}
}

func named(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// rich is a world of an administrator, somebody with many grants and somebody
// without any.
func rich(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.user("root")
	w.member("root", access.Admin, access.SourceAdmin)
	w.user("plain")
	w.may("alice", authz.TypeWorker, someone)
	w.grant("g-alice", authz.TypeWorkerType, authz.Wildcard)
	w.grant("g-alice", authz.TypeGraphRules, authz.RulesWrite)
	return w
}

// A token reaches what its owner reaches and its scopes name, and no more.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := rich(t)
	a, all := w.access(), table(t)
	const get, patch, post, register, rules, list = "GET /api/workers/{uuid}", "PATCH /api/workers/{uuid}", "POST /api/admin/groups",
		"POST /api/workers", "PUT /api/graph-model", "GET /api/workers"
	const tokens, steps, model = "DELETE /api/tokens/{id}", "PUT /api/rule-transformations/{name}", "GET /api/graph-model"
	const short, hidden, denied = authz.CodeInsufficientScope, "not_found", "denied"
	for _, c := range []struct {
		owner, scope, key, uuid, code string
	}{
		{"alice", "read", get, someone, ""}, {"alice", "read", get, other, hidden}, {"alice", "read", patch, someone, short},
		{"alice", "read", patch, other, hidden}, {"alice", "read", register, "", short}, {"alice", "read", model, "", ""},
		{"alice", "read", rules, "", short}, {"alice", "read", list, "", ""}, {"alice", "read", tokens, "", short}, {"alice", "read", post, "", denied},
		{"alice", "admin", patch, someone, ""}, {"alice", "admin", patch, other, hidden}, {"alice", "admin", post, "", denied}, {"alice", "admin", tokens, "", ""},
		{"alice", "worker:" + someone, patch, someone, ""}, {"alice", "worker:" + someone, get, other, hidden}, {"alice", "worker:" + someone, register, "", short},
		{"alice", "worker:*", patch, someone, ""}, {"alice", "worker:*", get, other, hidden}, {"alice", "worker:" + other, get, someone, hidden},
		{"alice", "worker:" + other, get, other, hidden}, {"alice", "worker_type:X", register, "", ""}, {"alice", "worker_type:*", register, "", ""},
		{"alice", "graph_rules:read", model, "", ""}, {"alice", "graph_rules:read", rules, "", short}, {"alice", "graph_rules:write", model, "", ""},
		{"plain", "admin", get, someone, hidden}, {"plain", "worker:*", get, someone, hidden}, {"plain", "worker_type:X", register, "", denied},
		{"plain", "graph_rules:write", rules, "", denied}, {"plain", "read", rules, "", denied},
		{"root", "admin", post, "", ""}, {"root", "read", post, "", short}, {"root", "read", "GET /api/admin/groups", "", ""}, {"root", "worker:" + someone, post, "", short},
		{"root", "worker:" + someone, patch, someone, ""}, {"root", "worker:" + someone, patch, other, hidden}, {"root", "worker:*", patch, other, ""},
		{"root", "worker_type:X", register, "", ""}, {"root", "worker:*", register, "", short}, {"root", "read", steps, "", short},
		// Not what they look like.
		{"root", "Read", get, someone, hidden}, {"root", "worker", get, someone, hidden}, {"root", "worker:", get, someone, hidden},
		{"root", "workers:" + someone, get, someone, hidden}, {"root", "explain:*", "POST /api/graph-access-rule/accessRules:check", "", short},
		{"root", "*", get, someone, hidden}, {"root", "*:*", get, someone, hidden}, {"root", "", get, someone, hidden},
	} {
		got := who(t, a, w.with(c.owner, c.scope))
		_, err := got.Require(all.Endpoint(c.key), named(map[string]string{"uuid": c.uuid}))
		if code := codeOf(err); code != c.code {
			t.Errorf("%s's token for %q at %s %s: %q, want %q", c.owner, c.scope, c.key, c.uuid, code, c.code)
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

// Creators are let in to their own, by tokens that reach what it is a part of; who
// may see a worker is told which right is missing to remove it, and nobody else.
func TestCreatorsAndOnlookers(t *testing.T) {
	t.Parallel()
	w := rich(t)
	w.may("bob", authz.TypeWorker, someone)
	a, all := w.access(), table(t)
	const mine, remove = "GET /api/graph-access-rule/accessRules/{id}", "DELETE /api/workers/{uuid}"
	for _, c := range []struct {
		by      authn.Caller
		key     string
		uuid    string
		code    string
		creator bool
	}{
		{login("plain", nil, nil), mine, "", "", true}, {w.with("plain", "read"), mine, "", "", true},
		{w.with("plain", "graph_rules:read"), mine, "", "", true}, {w.with("plain", "worker:*"), mine, "", authz.CodeInsufficientScope, true},
		{w.with("root", "worker:*"), mine, "", authz.CodeInsufficientScope, true}, {login("alice", nil, nil), mine, "", "", false},
		{login("plain", nil, nil), remove, someone, "not_found", false}, {login("plain", nil, nil), remove, nobody, "not_found", false},
		{login("bob", nil, nil), remove, someone, "denied", false}, {login("bob", nil, nil), remove, other, "not_found", false},
		{login("alice", nil, nil), remove, other, "", false}, {login("alice", nil, nil), remove, nobody, "not_found", false},
	} {
		got := who(t, a, c.by)
		pass, err := got.Require(all.Endpoint(c.key), named(map[string]string{"uuid": c.uuid, "id": "1"}))
		if codeOf(err) != c.code || pass.CreatorOnly != c.creator {
			t.Errorf("%s %v at %s %s: %v, %+v", c.by.Principal.Username, c.by.Personal, c.key, c.uuid, err, pass)
		}
	}
}

// Who was demoted has tokens that may no more than they.
func TestTokensFollowTheirOwner(t *testing.T) {
	t.Parallel()
	w := rich(t)
	w.user("synced").ConfirmedAt = now.Add(-authz.DefaultFreshness)
	w.member("synced", access.Admin, access.SourceSync)
	w.user("stale").ConfirmedAt = now.Add(-authz.DefaultFreshness - time.Second)
	w.member("stale", access.Admin, access.SourceSync)
	a := w.access()
	for owner, want := range map[string]bool{"root": true, "alice": false, "plain": false, "synced": true, "stale": false} {
		got := who(t, a, w.with(owner, "admin"))
		if got.Admin() != want || got.May(authz.TypeRuleStep, "s") != want {
			t.Errorf("%s: %v", owner, got.Admin())
		}
	}
	// Claims are a login's: a personal access token's principal has none that count.
	caller := w.with("plain", "admin")
	caller.Principal.RealmRoles, caller.Principal.Groups = []string{"muster-admin"}, []string{"g-alice"}
	if got := who(t, a, caller); got.Admin() || got.May(authz.TypeWorker, someone) {
		t.Error("claims beside a personal access token count")
	}
}

func TestCheckScopes(t *testing.T) {
	t.Parallel()
	w := rich(t)
	a := w.access()
	for _, c := range []struct {
		by, scopes, want, code string
	}{
		{"alice", "read", "read", ""}, {"alice", "admin", "", "scope_denied"}, {"root", "admin,read,admin", "admin,read", ""},
		{"alice", "worker:{" + strings.ToUpper(someone) + "}", "worker:" + someone, ""}, {"alice", "worker:" + other, "", "scope_denied"},
		{"alice", "worker:*", "", "scope_denied"}, {"alice", "worker_type:*", "worker_type:*", ""}, {"alice", "worker_type:X", "worker_type:X", ""},
		{"alice", "graph_rules:read", "graph_rules:read", ""}, {"root", "worker:*", "worker:*", ""}, {"root", "explain:*", "", "bad_scope"},
		{"root", "cat:tom", "", "bad_scope"}, {"root", "worker:x", "", "bad_scope"}, {"root", "Admin", "", "bad_scope"}, {"root", "", "", "bad_scope"},
		{"alice", "read,worker:" + other, "", "scope_denied"},
	} {
		got := who(t, a, login(c.by, nil, nil))
		scopes, err := got.CheckScopes(strings.Split(c.scopes, ","))
		if strings.Join(scopes, ",") != c.want || codeOf(err) != c.code {
			t.Errorf("%s for %s: %q %v", c.by, c.scopes, scopes, err)
		}
	}
	got := who(t, a, login("alice", nil, nil))
	if _, err := got.CheckScopes(nil); !fault.Is(err, "bad_scope") {
		t.Errorf("%v", err)
	}
}

// Whatever the scopes, a token is let in to nothing that its owner's login is not.
func TestNoScopeGivesMoreThanTheOwnerHas(t *testing.T) {
	w := rich(t)
	a, all := w.access(), table(t)
	rapid.Check(t, func(r *rapid.T) {
		owner := rapid.SampledFrom([]string{"alice", "plain", "root"}).Draw(r, "owner")
		scopes := rapid.SliceOfN(rapid.OneOf(
			rapid.SampledFrom([]string{"read", "admin", "worker:*", "worker:" + someone, "worker:" + other, "worker_type:*", "worker_type:X", "graph_rules:write", "rule_step:*"}),
			rapid.StringMatching(`[a-z_]{0,12}:?[a-z*]{0,8}`),
		), 1, 4).Draw(r, "scopes")
		e := rapid.SampledFrom(all.All()).Draw(r, "endpoint")
		param := named(map[string]string{"uuid": rapid.SampledFrom([]string{someone, other, nobody, "x", ""}).Draw(r, "uuid"), "name": "s"})
		byToken, byLogin := who(t, a, w.with(owner, scopes...)), who(t, a, login(owner, nil, nil))
		_, asToken := byToken.Require(e, param)
		_, asLogin := byLogin.Require(e, param)
		if asToken == nil && asLogin != nil {
			r.Fatalf("%s with %q is let in to %s: %v", owner, scopes, e.Key, asLogin)
		}
		// What a token may not see is told as to somebody without any grant.
		if code := codeOf(asToken); code == authz.CodeInsufficientScope && asLogin != nil {
			r.Fatalf("%s with %q lacks more than scopes at %s: %v", owner, scopes, e.Key, asLogin)
		}
	})
}

// Calls that last are asked again, by the newest state.
func TestAgain(t *testing.T) {
	t.Parallel()
	w := rich(t)
	clock, set := now, (*access.Set)(nil).With(&w.delta)
	personal := w.with("alice", "read")
	personal.Personal.Expires, personal.Principal.Expires = now.Add(time.Hour), now.Add(time.Hour)
	set = set.With(&access.Delta{Tokens: []access.Token{*personal.Personal}})
	w.config.Clock = func() time.Time { return clock }
	a, err := authz.NewAccess(w.config, types(t), func() *registry.Snapshot {
		return registry.NewSnapshot("", 1, now, w.workers).WithAccess(set)
	})
	if err != nil {
		t.Fatal(err)
	}
	alice := login("alice", nil, nil)
	alice.Principal.Expires = now.Add(time.Hour)
	byLogin, byToken, before := who(t, a, alice), who(t, a, personal), set
	check := func(what, code string, sees bool) {
		t.Helper()
		for _, one := range []authz.Who{byLogin, byToken} {
			again, err := one.Again()
			if codeOf(err) != code || again.May(authz.TypeWorkerType, "X") != (sees && one.Personal() == nil) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	check("as before", "", true)
	set = before.With(&access.Delta{GoneGroups: []access.ID{w.id("g-alice")}})
	check("without the group", "", false)
	user := *before.User(w.id("alice"))
	user.Active = false
	set = before.With(&access.Delta{Users: []access.User{user}})
	check("deactivated", "user_deactivated", false)
	set, clock = before, now.Add(time.Hour)
	check("after its end", "invalid_token", false)
	clock = now
	revoked := *personal.Personal
	revoked.RevokedAt = now
	set = before.With(&access.Delta{Tokens: []access.Token{revoked}})
	if _, err := byToken.Again(); codeOf(err) != "invalid_token" {
		t.Errorf("revoked: %v", err)
	}
	var zero authz.Who
	if again, err := zero.Again(); err != nil || again.May(authz.TypeWorker, someone) {
		t.Errorf("%v", err)
	}
	plain := byLogin.WithoutAdmin()
	if again, err := plain.Again(); err != nil || again.Admin() {
		t.Errorf("%v", err)
	}
}
