package authz_test

import (
	"testing"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/registry/access"
)

// A check asks nobody and takes no memory, for whoever it is.
func TestChecksAllocateNothing(t *testing.T) {
	w := newWorld(t)
	w.may("alice", authz.TypeWorker, someone)
	w.group("/a")
	w.grant("/a", authz.TypeRuleStep, "nightly")
	w.group("writers")
	w.grant("writers", authz.TypeGraphRules, authz.RulesWrite)
	w.config.RoleMapping = map[string]string{"role:muster-admin": access.Admin, "role:w": "writers"}
	a := w.access()
	all := table(t)
	get, step, rules, list := all.Endpoint("GET /api/workers/{uuid}"), all.Endpoint("POST /api/rule-transformations/{name}/runs"),
		all.Endpoint("POST /api/graph-access-rule/accessRules"), all.Endpoint("POST /api/graph-security/filter")
	parameters := map[string]string{"uuid": someone, "name": "nightly"}
	param := func(name string) string { return parameters[name] }
	alice, bob, loader, admin := login("alice", nil, []string{"/b", "/c"}), login("bob", nil, []string{"/a"}),
		login("loader", []string{"w"}, []string{"/c"}), login("admin", []string{"x", "muster-admin"}, []string{"/c"})
	personal := login("alice", nil, nil)
	personal.Personal = &access.Token{User: w.id("alice"), Scopes: []string{"worker:" + someone}}
	asked := []struct {
		by authn.Caller
		of *authz.Endpoint
	}{{alice, get}, {bob, step}, {loader, rules}, {admin, get}, {personal, get}, {alice, list}}
	if n := testing.AllocsPerRun(200, func() {
		for i := range asked {
			one, err := a.Who(asked[i].by)
			if err != nil {
				t.Error(err)
			}
			if _, err := one.Require(asked[i].of, param); err != nil {
				t.Error(err)
			}
		}
		one, err := a.Who(bob)
		if err != nil || one.May(authz.TypeWorker, other) || one.Admin() {
			t.Error("bob may what he may not")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
