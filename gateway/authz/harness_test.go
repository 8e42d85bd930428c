package authz_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	issuer  = "https://issuer.test"
	someone = "11111111-1111-4111-8111-111111111111"
	other   = "22222222-2222-4222-8222-222222222222"
	nobody  = "33333333-3333-4333-8333-333333333333"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is a set of access that tests write down by names.
type world struct {
	t       *testing.T
	delta   access.Delta
	ids     map[string]access.ID
	workers []*registry.Worker
	config  authz.Config
}

// newWorld has the system groups and two workers of different types.
func newWorld(t *testing.T) *world {
	w := &world{t: t, ids: map[string]access.ID{}, config: authz.Config{Clock: func() time.Time { return now }}}
	for _, name := range []string{access.Admin, access.Everyone} {
		w.delta.Groups = append(w.delta.Groups, access.Group{ID: w.id(name), Name: name, System: true})
	}
	w.workers = []*registry.Worker{
		{ID: someone, Name: "a", Class: "result", Type: "ExternalGraphSecurity", Active: true},
		{ID: other, Name: "b", Class: "result", Type: "RuleTransformation", Active: true},
	}
	return w
}

// id is a name's, the same each time.
func (w *world) id(name string) access.ID {
	if _, ok := w.ids[name]; !ok {
		w.ids[name] = uuid.UUID{0: 1, 15: byte(len(w.ids) + 1)}
	}
	return w.ids[name]
}

func (w *world) user(name string) *access.User {
	w.delta.Users = append(w.delta.Users, access.User{ID: w.id(name), Issuer: issuer, Subject: "sub-" + name, Username: name, Active: true})
	return &w.delta.Users[len(w.delta.Users)-1]
}

func (w *world) group(name string) access.ID {
	w.delta.Groups = append(w.delta.Groups, access.Group{ID: w.id(name), Name: name})
	return w.id(name)
}

func (w *world) member(user, group string, s access.Source) {
	w.delta.Members = append(w.delta.Members, access.Member{MemberKey: access.MemberKey{User: w.id(user), Group: w.id(group), Source: s}})
}

func (w *world) grant(group, typ, id string) *access.Grant {
	w.delta.Grants = append(w.delta.Grants, access.Grant{ID: w.id("grant " + group + typ + id), Group: w.id(group), Type: typ, Resource: id})
	return &w.delta.Grants[len(w.delta.Grants)-1]
}

// may gives a user a group of their own with one grant.
func (w *world) may(user, typ, id string) {
	w.user(user)
	w.group("g-" + user)
	w.member(user, "g-"+user, access.SourceAdmin)
	w.grant("g-"+user, typ, id)
}

func (w *world) access() *authz.Access {
	w.t.Helper()
	var set *access.Set
	snapshot := registry.NewSnapshot("", 1, now, w.workers).WithAccess(set.With(&w.delta))
	a, err := authz.NewAccess(w.config, types(w.t), func() *registry.Snapshot { return snapshot })
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func types(t *testing.T, more ...authz.Type) *authz.Types {
	t.Helper()
	all, err := authz.NewTypes(append(authz.Standard(), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func table(t *testing.T, more ...authz.Endpoint) *authz.Table {
	t.Helper()
	all, err := authz.NewTable(types(t), append(authz.Endpoints(), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// login is a principal of a name, with realm roles and with groups.
func login(name string, roles, groups []string) authn.Caller {
	return authn.Caller{Principal: &token.Principal{
		Issuer: issuer, Subject: "sub-" + name, Username: name, RealmRoles: roles, Groups: groups,
	}}
}

func who(t *testing.T, a *authz.Access, c authn.Caller) authz.Who {
	t.Helper()
	w, err := a.Who(c)
	if err != nil {
		t.Fatal(err)
	}
	return w
}
