package authz_test

import (
	"testing"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestRequire(t *testing.T) {
	t.Parallel()
	loader := &token.Principal{Username: "service-account-loader", RealmRoles: []string{authz.RoleRulesWrite}}
	admin := &token.Principal{Username: "admin", RealmRoles: []string{"offline_access", authz.RoleAdmin}}
	cases := []struct {
		name   string
		p      *token.Principal
		action authz.Action
		code   string // "" means allowed
	}{
		{"admin manages", admin, authz.ManageWorkers, ""},
		{"admin explains", admin, authz.ExplainFilter, ""},
		{"alice manages", &token.Principal{Username: "alice"}, authz.ManageWorkers, "denied"},
		{"alice explains", &token.Principal{Username: "alice"}, authz.ExplainFilter, "explain_denied"},
		{"nobody", nil, authz.ManageWorkers, "denied"},
		{"nobody writes rules", nil, authz.WriteRules, "denied"},
		{"a principal without roles writes rules", &token.Principal{}, authz.WriteRules, "denied"},
		{"admin writes rules", admin, authz.WriteRules, ""},
		{"admin runs transformations", admin, authz.RunTransformation, ""},
		{"a loader writes rules", loader, authz.WriteRules, ""},
		{"a loader manages workers", loader, authz.ManageWorkers, "denied"},
		{"a loader explains", loader, authz.ExplainFilter, "explain_denied"},
		{"a loader runs transformations", loader, authz.RunTransformation, "denied"},
		{"a loader changes transformations", loader, authz.ManageTransformations, "denied"},
		{"a user named like the role", &token.Principal{Username: authz.RoleAdmin, Client: authz.RoleAdmin, Groups: []string{authz.RoleAdmin}}, authz.ManageWorkers, "denied"},
		{"the role in other case", &token.Principal{RealmRoles: []string{"Muster-Admin"}}, authz.ManageWorkers, "denied"},
		{"the role with a blank", &token.Principal{RealmRoles: []string{authz.RoleAdmin + " "}}, authz.ManageWorkers, "denied"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := authz.Require(c.p, c.action)
			if c.code == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if !fault.Is(err, c.code) || fault.From(err).Kind != fault.Denied {
				t.Fatalf("got %v, want %s of kind denied", err, c.code)
			}
		})
	}
}

func TestRequireAllocatesNothingWhenItAllows(t *testing.T) {
	p := &token.Principal{RealmRoles: []string{authz.RoleAdmin}}
	if n := testing.AllocsPerRun(100, func() {
		if authz.Require(p, authz.ManageWorkers) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations per check, want 0", n)
	}
}
