package keycloak_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestADirectoryReadsOnePerson(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	d := directory(t, i.URL(), nil)
	p, err := d.Person(t.Context(), uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:muster:dev:admin")).String())
	if err != nil || p == nil || p.Username != "admin" || !p.Enabled || p.Email == "" || !p.EmailVerified ||
		!slices.Equal(p.Groups, []string{"/platform"}) || !slices.Contains(p.RealmRoles, devissuer.RoleAdmin) {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := d.Person(t.Context(), "00000000-0000-0000-0000-000000000000"); p != nil || err != nil {
		t.Errorf("nobody is %+v, %v", p, err)
	}
	if p, err := d.Person(t.Context(), "../clients"); p != nil || err != nil {
		t.Errorf("a subject that is a path is %+v, %v", p, err)
	}
	down := fakeRealm(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	if p, err := directory(t, down, func(c *keycloak.DirectoryConfig) {}).Person(t.Context(), "x"); p != nil || !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("a realm that fails: %+v, %v", p, err)
	}
}

func testPerson(t *testing.T, s *server) {
	admin, base := s.Admin(t), s.Base+"/admin/realms/muster"
	p, err := s.verifier(t, nil).Verify(t.Context(), s.Login(t, "admin").AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	d := directory(t, s.Issuer(), nil)
	got, err := d.Person(t.Context(), p.Subject)
	if err != nil || got == nil || got.Username != "admin" || !got.Enabled || got.Email != "admin@example.org" ||
		!slices.Equal(got.Groups, []string{"/platform"}) || !slices.Contains(got.RealmRoles, "muster-admin") {
		t.Errorf("admin is %+v, %v", got, err)
	}
	name := "leaver"
	if status, body := s.Call(t, http.MethodPost, base+"/users", admin, map[string]any{"username": name, "enabled": false}); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	var found []struct {
		ID string `json:"id"`
	}
	if status, body := s.Call(t, http.MethodGet, base+"/users?exact=true&username="+name, admin, nil); status != http.StatusOK || json.Unmarshal(body, &found) != nil || len(found) != 1 {
		t.Fatalf("%d %s", status, body)
	}
	if got, err := d.Person(t.Context(), found[0].ID); err != nil || got == nil || got.Enabled || len(got.Groups) != 0 {
		t.Errorf("a disabled user is %+v, %v", got, err)
	}
	if status, body := s.Call(t, http.MethodDelete, base+"/users/"+found[0].ID, admin, nil); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, body)
	}
	if got, err := d.Person(t.Context(), found[0].ID); got != nil || err != nil {
		t.Errorf("a deleted user is %+v, %v", got, err)
	}
}
