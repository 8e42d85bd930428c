package idpsync

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// admin speaks to a realm as its administrator does.
type admin struct {
	*keycloaktest.Server
	t     *testing.T
	token string
}

// must makes a call that has to succeed, and reads its answer into out unless nil.
func (a admin) must(method, path string, in, out any) {
	a.t.Helper()
	status, body := a.Call(a.t, method, a.Base+"/admin/realms/muster"+path, a.token, in)
	if status >= http.StatusMultipleChoices {
		a.t.Fatalf("%s %s: %d %s", method, path, status, body)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			a.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// group makes a group at the top and returns its id.
func (a admin) group(name string) string {
	a.t.Helper()
	a.must(http.MethodPost, "/groups", map[string]any{"name": name}, nil)
	var found []named
	a.must(http.MethodGet, "/groups?exact=true&search="+name, nil, &found)
	return found[0].ID
}

// person makes somebody whose password is their name.
func (a admin) person(name string) string {
	a.t.Helper()
	a.must(http.MethodPost, "/users", map[string]any{
		"username": name, "email": name + "@example.org", "emailVerified": true, "enabled": true, "firstName": name, "lastName": name,
		"credentials": []map[string]any{{"type": "password", "value": name}},
	}, nil)
	var found []named
	a.must(http.MethodGet, "/users?exact=true&username="+name, nil, &found)
	return found[0].ID
}

// claim edits the mapper of the groups claim; nil takes it away.
func (a admin) claim(edit func(config map[string]string)) {
	a.t.Helper()
	var scopes []struct {
		named
		Mappers []map[string]any `json:"protocolMappers"`
	}
	a.must(http.MethodGet, "/client-scopes", nil, &scopes)
	at := slices.IndexFunc(scopes, func(s struct {
		named
		Mappers []map[string]any `json:"protocolMappers"`
	}) bool {
		return s.Name == "groups"
	})
	mapper := scopes[at].Mappers[0]
	path := "/client-scopes/" + scopes[at].ID + "/protocol-mappers/models/" + mapper["id"].(string)
	config := map[string]string{}
	for k, v := range mapper["config"].(map[string]any) {
		config[k] = v.(string)
	}
	edit(config)
	mapper["config"] = config
	a.must(http.MethodPut, path, mapper, nil)
}

// TestGroupsFollowKeycloak synchronises groups from real tokens, and asks the real
// realm after the owner of a personal access token.
func TestGroupsFollowKeycloak(t *testing.T) {
	s := keycloaktest.Start(t)
	a, h := admin{s, t, s.Admin(t)}, newHouse(t)
	verifier, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: s.Issuer(), Audience: "muster", MapRoles: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer verifier.Close()
	h.recorder.config.Primary, h.recorder.config.GroupsPrefix = s.Issuer(), ""
	d, err := keycloak.NewDirectory(keycloak.DirectoryConfig{Issuer: s.Issuer(), ClientID: devissuer.ClientGateway, ClientSecret: devissuer.ClientGateway})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := NewConfirmer(h.recorder, h, d, within, h.recorder.log)
	if err != nil {
		t.Fatal(err)
	}
	finance, made := a.group("finance"), a.group("made")
	a.must(http.MethodPost, "/groups/"+made+"/children", map[string]any{"name": "a"}, nil)
	var children []named
	a.must(http.MethodGet, "/groups/"+made+"/children", nil, &children)
	in, shadow := children[0].ID, a.group("Admin")
	if _, err := h.CreateGroup(t.Context(), registry.Muster(), access.Group{Name: "/finance"}, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	user := a.person("syncer")
	join := func(group string) { a.must(http.MethodPut, "/users/"+user+"/groups/"+group, nil, nil) }
	leave := func(group string) { a.must(http.MethodDelete, "/users/"+user+"/groups/"+group, nil, nil) }
	login := func() *token.Principal {
		t.Helper()
		var p *token.Principal
		// iat is told in seconds: the next token has to be newer.
		for last := syncedAt(h, s.Issuer(), user); p == nil || !p.IssuedAt.After(last); {
			if p, err = verifier.Verify(t.Context(), s.Login(t, "syncer").AccessToken); err != nil {
				t.Fatal(err)
			}
		}
		h.saw(p)
		c.confirmDue(t.Context()) // what Run does when it is woken
		return p
	}
	want := func(says, groups string, isAdmin bool) {
		t.Helper()
		p := login()
		set := h.Snapshot().Access
		u := set.UserOf(p.Issuer, p.Subject)
		var got []string
		for m := range set.GroupsOf(u.ID) {
			got = append(got, set.Group(m.Group).Name)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != groups || set.IsAdmin(&access.Who{User: u, Sync: true}) != isAdmin {
			t.Errorf("%s: %v", says, got)
		}
	}
	join(finance)
	join(in)
	want("two groups", "/finance /made/a", false)
	leave(finance)
	want("one was left", "/made/a", false)
	leave(in)
	if p := login(); p.Groups != nil {
		t.Errorf("Keycloak sends %#v for nobody's groups, where it used to send no claim", p.Groups)
	}
	want("all were left", "", false)
	join(shadow)
	join(in)
	want("a group named Admin", "/made/a", false)
	a.claim(func(c map[string]string) { c["full.path"] = "false" })
	want("and by its name alone", "", false)
	var role named
	a.must(http.MethodGet, "/roles/muster-admin", nil, &role)
	a.must(http.MethodPost, "/users/"+user+"/role-mappings/realm", []named{role}, nil)
	want("a mapped role", "Admin", true)
	a.must(http.MethodDelete, "/users/"+user+"/role-mappings/realm", []named{role}, nil)
	a.claim(func(c map[string]string) { c["full.path"] = "true" })
	want("without it", "/made/a", false)
	a.claim(func(c map[string]string) { c["access.token.claim"] = "false" })
	leave(in)
	if p, err := verifier.Verify(t.Context(), s.Login(t, "syncer").AccessToken); err != nil || p.Groups != nil {
		t.Errorf("%#v %v", p.Groups, err)
	} else {
		h.saw(p)
	}
	if m := groupsOf(h, s.Issuer(), user); m != "/made/a" {
		t.Errorf("without a claim: %s", m)
	}
	testConfirmed(t, a, h, c, user)
}

func syncedAt(h *house, issuer, subject string) (at time.Time) {
	if u := h.Snapshot().Access.UserOf(issuer, subject); u != nil {
		at = u.SyncedAt
	}
	return at
}

func groupsOf(h *house, issuer, subject string) string {
	set := h.Snapshot().Access
	var out []string
	for m := range set.GroupsOf(set.UserOf(issuer, subject).ID) {
		out = append(out, set.Group(m.Group).Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// testConfirmed has the realm asked after somebody who does not log in any more.
func testConfirmed(t *testing.T, a admin, h *house, c *Confirmer, user string) {
	t.Helper()
	u := h.Snapshot().Access.UserOf(a.Issuer(), user)
	if _, err := h.CreateToken(t.Context(), registry.Muster(), registry.TokenInput{
		User: u.ID, Name: "ci", Digest: [32]byte{9}, Prefix: "abcdefgh", Scopes: []string{"read"}, Expires: time.Now().Add(48 * time.Hour),
	}, registry.Change{}); err != nil {
		t.Fatal(err)
	}
	h.now.Store(int64(within.Seconds()))
	c.confirmDue(t.Context())
	if got := groupsOf(h, a.Issuer(), user); got != "" {
		t.Errorf("the realm says that they have left, stored is %s", got)
	}
	a.must(http.MethodPut, "/users/"+user, map[string]any{"username": "syncer", "enabled": false}, nil)
	h.now.Add(int64(within.Seconds()))
	c.confirmDue(t.Context())
	if h.Snapshot().Access.UserOf(a.Issuer(), user).Active {
		t.Error("who was disabled is active")
	}
}
