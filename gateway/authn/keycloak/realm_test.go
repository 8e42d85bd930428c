package keycloak_test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
)

// realm is what the tests look at in the shipped file.
type realm struct {
	Realm        string           `json:"realm"`
	Users        []realmUser      `json:"users"`
	Groups       []any            `json:"groups"`
	Default      []string         `json:"defaultDefaultClientScopes"`
	Optional     []string         `json:"defaultOptionalClientScopes"`
	ClientScopes []clientScope    `json:"clientScopes"`
	Clients      []realmClient    `json:"clients"`
	Roles        map[string][]any `json:"roles"`
}

// realmUser is a service account: no other user is shipped.
type realmUser struct {
	Name        string              `json:"username"`
	Client      string              `json:"serviceAccountClientId"`
	Roles       []string            `json:"realmRoles"`
	ClientRoles map[string][]string `json:"clientRoles"`
	Credentials []any               `json:"credentials"`
}

type clientScope struct {
	Name    string `json:"name"`
	Mappers []struct {
		Type   string            `json:"protocolMapper"`
		Config map[string]string `json:"config"`
	} `json:"protocolMappers"`
}

type realmClient struct {
	ID         string            `json:"clientId"`
	Public     bool              `json:"publicClient"`
	Secret     *string           `json:"secret"`
	Standard   bool              `json:"standardFlowEnabled"`
	Implicit   bool              `json:"implicitFlowEnabled"`
	Password   bool              `json:"directAccessGrantsEnabled"`
	Service    bool              `json:"serviceAccountsEnabled"`
	Attributes map[string]string `json:"attributes"`
	Scopes     []string          `json:"defaultClientScopes"`
	Optional   []string          `json:"optionalClientScopes"`
}

func shippedRealm(t *testing.T) realm {
	t.Helper()
	b, err := os.ReadFile(keycloaktest.RealmFile(t))
	if err != nil {
		t.Fatal(err)
	}
	var r realm
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if r.Realm != devissuer.Realm || len(r.Clients) == 0 || len(r.ClientScopes) == 0 {
		t.Fatalf("this is not the realm: %+v", r)
	}
	return r
}

func TestTheShippedRealmHoldsNoSecretsAndNoPeople(t *testing.T) {
	r := shippedRealm(t)
	if len(r.Groups) != 0 {
		t.Error("groups are shipped; they belong to the test's overlay")
	}
	want := map[string]realmUser{
		"muster-gateway": {ClientRoles: map[string][]string{"realm-management": {"view-users", "view-clients", "query-groups"}}},
		"rule-loader":    {Roles: []string{"muster-rules-write"}},
		"airflow":        {}, // what it may is a matter of grants
	}
	for _, u := range r.Users {
		may, known := want[u.Client]
		if !known || u.Name != "service-account-"+u.Client || len(u.Credentials) != 0 {
			t.Errorf("%s is shipped; people belong to the test's overlay", u.Name)
		}
		if !slices.Equal(u.Roles, may.Roles) || !maps.EqualFunc(u.ClientRoles, may.ClientRoles, slices.Equal[[]string]) {
			t.Errorf("%s has the roles %v and %v", u.Name, u.Roles, u.ClientRoles)
		}
		delete(want, u.Client)
	}
	if len(want) != 0 {
		t.Errorf("service accounts without their roles: %v", want)
	}
	for _, c := range r.Clients {
		if c.Secret != nil {
			t.Errorf("%s has a secret; Keycloak makes one at import", c.ID)
		}
	}
}

// Beside the two that people use, the one client that starts runs for a scheduler.
func TestOnlyTheCommandLineTheConsoleAndTheSchedulerManage(t *testing.T) {
	r := shippedRealm(t)
	giving := map[string][]string{}
	for _, s := range r.ClientScopes {
		for _, m := range s.Mappers {
			for _, member := range []string{"included.custom.audience", "included.client.audience"} {
				if a := m.Config[member]; a != "" {
					giving[a] = append(giving[a], s.Name)
				}
			}
		}
	}
	if !slices.Equal(giving[devissuer.ManagementAudience], []string{"muster-admin"}) {
		t.Errorf("the management audience is given by the scopes %v", giving[devissuer.ManagementAudience])
	}
	// Keycloak exchanges only tokens that name the client which asks for it.
	if !slices.Contains(giving[devissuer.ClientGateway], "muster") || !slices.Contains(giving[devissuer.Audience], "muster") {
		t.Errorf("the scope muster does not give both audiences: %v", giving)
	}
	if slices.Contains(slices.Concat(r.Default, r.Optional), "muster-admin") {
		t.Error("every new client would get the management audience")
	}
	for _, c := range r.Clients {
		has := slices.Contains(slices.Concat(c.Scopes, c.Optional), "muster-admin")
		if want := c.ID == "muster-cli" || c.ID == "muster-console" || c.ID == devissuer.ClientAirflow; has != want {
			t.Errorf("%s: management audience %v", c.ID, has)
		}
	}
}

func TestClientsMayDoWhatTheyNeedAndNoMore(t *testing.T) {
	r := shippedRealm(t)
	scopes := map[string]bool{}
	for _, s := range r.ClientScopes {
		scopes[s.Name] = true
	}
	for _, name := range slices.Concat(r.Default, r.Optional) {
		if !scopes[name] {
			t.Errorf("the realm's scope %s is not defined", name)
		}
	}
	type may struct{ public, standard, service, device, exchange bool }
	want := map[string]may{
		"muster-cli":     {public: true, device: true},
		"muster-console": {standard: true},
		"muster-gateway": {service: true, exchange: true},
		"graph-service":  {service: true},
		"rule-loader":    {service: true},
		"airflow":        {service: true},
		"sample-worker":  {},
	}
	for _, c := range r.Clients {
		got := may{
			c.Public, c.Standard, c.Service,
			c.Attributes["oauth2.device.authorization.grant.enabled"] == "true", c.Attributes["standard.token.exchange.enabled"] == "true",
		}
		if expected, known := want[c.ID]; !known || got != expected {
			t.Errorf("%s: %+v, want %+v", c.ID, got, expected)
		}
		delete(want, c.ID)
		if c.Implicit || c.Password {
			t.Errorf("%s: the implicit or the password grant is on", c.ID)
		}
		if c.Standard && c.Attributes["pkce.code.challenge.method"] != "S256" {
			t.Errorf("%s: an authorization code without PKCE", c.ID)
		}
		for _, name := range slices.Concat(c.Scopes, c.Optional) {
			if !scopes[name] {
				t.Errorf("%s: the scope %s is not defined", c.ID, name)
			}
		}
	}
	if len(want) != 0 {
		t.Errorf("clients that are missing: %v", want)
	}
}

func TestGroupsTravelWithTheirFullPath(t *testing.T) {
	for _, s := range shippedRealm(t).ClientScopes {
		for _, m := range s.Mappers {
			if m.Type == "oidc-group-membership-mapper" && (m.Config["full.path"] != "true" || m.Config["claim.name"] != "groups") {
				t.Errorf("scope %s: %v", s.Name, m.Config)
			}
			if strings.Contains(m.Type, "role") && m.Config["claim.name"] != "realm_access.roles" {
				t.Errorf("scope %s: %v", s.Name, m.Config)
			}
		}
	}
}
