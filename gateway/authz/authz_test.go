package authz_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"regexp"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// Only what the role mapping names makes an administrator, and a stored membership
// of a source that counts.
func TestWhoIsAdmin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, s := range []access.Source{access.SourceAdmin, access.SourceSeed, access.SourceBreakGlass, access.SourceSync} {
		w.user(string(s))
		w.member(string(s), access.Admin, s)
	}
	w.config.RoleMapping = map[string]string{"role:muster-admin": access.Admin, "group:/ops/admins": access.Admin}
	a := w.access()
	for name, c := range map[string]struct {
		user          string
		roles, groups []string
		want          bool
	}{
		"the role":                       {"x", []string{"offline_access", "muster-admin"}, nil, true},
		"the group's path":               {"x", nil, []string{"/a", "/ops/admins"}, true},
		"another user with it":           {"alice", []string{"muster-admin"}, []string{"/a"}, true},
		"a row of an administrator":      {"admin", nil, nil, true},
		"a row of the seed":              {"system_seed", nil, nil, true},
		"a row of the glass":             {"break_glass", nil, nil, true},
		"a stored row of the sync":       {"idp_sync", nil, nil, false},
		"nobody":                         {"x", nil, nil, false},
		"the role in other case":         {"x", []string{"Muster-Admin"}, nil, false},
		"the role with a blank":          {"x", []string{"muster-admin "}, nil, false},
		"the role as a group":            {"x", nil, []string{"muster-admin", "role:muster-admin"}, false},
		"the group as a role":            {"x", []string{"/ops/admins", "group:/ops/admins"}, nil, false},
		"a part of the group's path":     {"x", nil, []string{"admins", "/ops", "/ops/admins/", "ops/admins"}, false},
		"a group named like the system":  {"x", nil, []string{"Admin", "/Admin"}, false},
		"a role named like the system":   {"x", []string{"Admin"}, nil, false},
		"a user named like an admin":     {"muster-admin", nil, nil, false},
		"another issuer's subject":       {"admin ", nil, nil, false},
		"claims beside what maps to it":  {"x", []string{"muster-admin"}, []string{"Admin"}, true},
		"an empty role and an empty one": {"x", []string{""}, []string{""}, false},
	} {
		got := who(t, a, login(c.user, c.roles, c.groups))
		if got.Admin() != c.want {
			t.Errorf("%s: %v", name, got.Admin())
		}
		if got = got.WithoutAdmin(); got.Admin() || got.May(authz.TypeWorker, someone) {
			t.Errorf("%s: the power of administrators cannot be turned off", name)
		}
	}
}

// Without a group Admin nobody is one, whatever the token says.
func TestWithoutTheGroupNobodyIsAdmin(t *testing.T) {
	t.Parallel()
	for _, set := range []*access.Set{nil, {}} {
		snapshot := registry.NewSnapshot("", 1, now, nil).WithAccess(set)
		a, err := authz.NewAccess(authz.Config{}, types(t), func() *registry.Snapshot { return snapshot })
		if err != nil {
			t.Fatal(err)
		}
		got := who(t, a, login("admin", []string{"muster-admin"}, nil))
		if got.Admin() || got.May(authz.TypeWorker, someone) || got.MaySome(authz.TypeWorker) {
			t.Error("somebody is an administrator of nothing")
		}
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.may("alice", authz.TypeWorker, someone)
	w.may("bob", authz.TypeRuleStep, authz.Wildcard)
	w.may("carol", authz.TypeGraphRules, authz.RulesWrite)
	w.may("dave", authz.TypeGraphRules, authz.RulesRead)
	w.may("erin", authz.TypeExplain, authz.Wildcard) // stored by somebody else: the type allows none
	w.may("late", authz.TypeWorker, someone)
	w.delta.Grants[len(w.delta.Grants)-1].Expires = now
	w.may("soon", authz.TypeWorker, someone)
	w.delta.Grants[len(w.delta.Grants)-1].Expires = now.Add(time.Nanosecond)
	w.group("/engineering")
	w.grant("/engineering", authz.TypeRuleStep, "nightly")
	w.group("writers")
	w.grant("writers", authz.TypeGraphRules, authz.RulesWrite)
	w.grant(access.Everyone, authz.TypeConnector, "public")
	w.config.RoleMapping = map[string]string{"role:w": "writers"}
	a := w.access()
	for _, c := range []struct {
		user          string
		roles, groups []string
		typ, id       string
		want          bool
	}{
		{"alice", nil, nil, authz.TypeWorker, someone, true},
		{"alice", nil, nil, authz.TypeWorker, other, false},
		{"alice", nil, nil, authz.TypeWorker, authz.Wildcard, false},
		{"alice", nil, nil, authz.TypeWorkerType, someone, false},
		{"alice", nil, nil, "no type", someone, false},
		{"bob", nil, nil, authz.TypeRuleStep, "any", true},
		{"bob", nil, nil, authz.TypeWorker, someone, false},
		{"carol", nil, nil, authz.TypeGraphRules, authz.RulesWrite, true},
		{"carol", nil, nil, authz.TypeGraphRules, authz.RulesRead, true},
		{"dave", nil, nil, authz.TypeGraphRules, authz.RulesRead, true},
		{"dave", nil, nil, authz.TypeGraphRules, authz.RulesWrite, false},
		{"erin", nil, nil, authz.TypeExplain, authz.ExplainFilter, false},
		{"late", nil, nil, authz.TypeWorker, someone, false},
		{"soon", nil, nil, authz.TypeWorker, someone, true},
		{"x", nil, []string{"/engineering"}, authz.TypeRuleStep, "nightly", true},
		{"x", nil, []string{"engineering", "/engineering/a", "/Engineering"}, authz.TypeRuleStep, "nightly", false},
		{"x", []string{"w"}, []string{"/engineering"}, authz.TypeGraphRules, authz.RulesRead, true},
		{"x", []string{"/engineering"}, nil, authz.TypeRuleStep, "nightly", false},
		{"x", nil, nil, authz.TypeConnector, "public", true},
		{"x", nil, []string{access.Everyone, access.Admin}, authz.TypeConnector, "public", true},
		{"x", nil, nil, authz.TypeConnector, "private", false},
	} {
		got := who(t, a, login(c.user, c.roles, c.groups))
		if got.May(c.typ, c.id) != c.want {
			t.Errorf("%s %v %v on %s %s: %v", c.user, c.roles, c.groups, c.typ, c.id, !c.want)
		}
	}
	for user, typ := range map[string]string{"alice": authz.TypeWorker, "bob": authz.TypeRuleStep, "soon": authz.TypeWorker} {
		got := who(t, a, login(user, nil, nil))
		if !got.MaySome(typ) || got.MaySome(authz.TypeWorkerType) || !got.MaySome(authz.TypeConnector) {
			t.Errorf("%s has something else of %s", user, typ)
		}
	}
	if got := who(t, a, login("late", nil, nil)); got.MaySome(authz.TypeWorker) {
		t.Error("what has expired counts")
	}
	var zero authz.Who
	if zero.Admin() || zero.May(authz.TypeWorker, someone) || zero.MaySome(authz.TypeWorker) || !fault.Is(zero.Explain(), "explain_denied") {
		t.Error("nobody may something")
	}
}

// A deactivated user is nobody, by whichever token.
func TestDeactivatedUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice").Active = false
	a := w.access()
	_, err := a.Who(login("alice", []string{"muster-admin"}, nil))
	if e := fault.From(err); e.Code != "user_deactivated" || e.Kind != fault.Unauthenticated {
		t.Errorf("%v", err)
	}
	personal := login("alice", nil, nil)
	personal.Personal = &access.Token{User: w.id("alice"), Scopes: []string{"admin"}}
	if _, err := a.Who(personal); !fault.Is(err, "user_deactivated") {
		t.Errorf("%v", err)
	}
	personal.Personal = &access.Token{User: w.id("removed"), Scopes: []string{"admin"}}
	if _, err := a.Who(personal); !fault.Is(err, "user_deactivated") {
		t.Errorf("%v", err)
	}
	if _, err := a.Who(login("bob", nil, nil)); err != nil {
		t.Errorf("bob has never been seen, and may come: %v", err)
	}
	empty := login("bob", nil, nil)
	empty.Principal = nil
	if _, err := a.Who(empty); !fault.Is(err, "invalid_token") {
		t.Errorf("%v", err)
	}
}

// The names that a token gives are those of the mapping and of the claim; claims
// name no system group.
func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group("/a")
	w.group("writers")
	w.config.RoleMapping = map[string]string{"role:r": access.Admin, "group:/a": "writers", "role:s": "unmade"}
	w.config.GroupPattern = regexp.MustCompile(`^(?:/new/.*)$`)
	a := w.access()
	p := login("x", []string{"r", "s"}, []string{"/a", "/b", "Admin", "Everyone", "/new/x", "/a"}).Principal
	if got := strings.Join(a.Named(p), " "); got != "writers Admin unmade /a /b /new/x" {
		t.Errorf("named %s", got)
	}
	for name, want := range map[string]bool{"/new/x": true, "/a": false, "x/new/x": false, "/new/\x00": false, "Admin": false} {
		if a.Admits(name) != want {
			t.Errorf("%q may be created: %v", name, !want)
		}
	}
	if p.Groups[2] != "Admin" {
		t.Error("the principal, which others share, was changed")
	}
	if got := who(t, a, login("x", []string{"r"}, []string{"/b"})); !slices.Equal(got.Full().Named, []string{"Admin", "/b"}) {
		t.Errorf("%v", got.Full().Named)
	}
}

func TestBadMappings(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 65 {
		many["role:"+strings.Repeat("x", i+1)] = "g"
	}
	for says, m := range map[string]map[string]string{
		`"muster-admin" is neither role:`: {"muster-admin": "Admin"},
		`"/ops" is neither`:               {"/ops": "Admin"},
		`"role:" is neither`:              {"role:": "Admin"},
		`"Role:x" is neither`:             {"Role:x": "Admin"},
		`"client:x" is neither`:           {"client:x": "Admin"},
		`group whose name`:                {"role:x": ""},
		`Everyone, which everybody is in`: {"role:x": "Everyone"},
		`65 entries`:                      many,
	} {
		if err := authz.CheckMapping(m); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", m, err)
		}
		if _, err := authz.NewAccess(authz.Config{RoleMapping: m}, types(t), func() *registry.Snapshot { return nil }); err == nil {
			t.Errorf("%v was taken", m)
		}
	}
	err := authz.CheckMapping(map[string]string{"a": "x", "b": "", "role:ok": "fine"})
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all mistakes at once: %v", err)
	}
	if err := authz.CheckMapping(authz.DefaultMapping()); err != nil {
		t.Error(err)
	}
}

// Whatever the claims are, they alone never give what administrators may, nor what
// the system groups were granted beyond what everybody has.
func TestClaimsNeverReachSystemGroups(t *testing.T) {
	w := newWorld(t)
	w.grant(access.Admin, authz.TypeWorker, someone)
	a := w.access()
	rapid.Check(t, func(r *rapid.T) {
		word := rapid.OneOf(rapid.Just("Admin"), rapid.Just("/Admin"), rapid.Just("Everyone"), rapid.Just("muster-admin"),
			rapid.Just("role:muster-admin"), rapid.StringMatching(`[A-Za-z/:_-]{0,12}`))
		groups := rapid.SliceOf(word).Draw(r, "groups")
		roles := rapid.SliceOf(word).Draw(r, "roles")
		got := who(t, a, login("x", roles, groups))
		want := slices.Contains(roles, "muster-admin")
		if got.Admin() != want || got.May(authz.TypeWorker, someone) != want {
			r.Fatalf("roles %q and groups %q: %v", roles, groups, !want)
		}
	})
}
