package keycloak_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/workers/token"

	"github.com/muster-fleet/muster/proto/fault"
)

func directory(t *testing.T, issuer string, change func(*keycloak.DirectoryConfig)) *keycloak.Directory {
	t.Helper()
	c := keycloak.DirectoryConfig{Issuer: issuer, ClientID: devissuer.ClientGateway, ClientSecret: devissuer.ClientGateway}
	if change != nil {
		change(&c)
	}
	d, err := keycloak.NewDirectory(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// theServiceAccounts reports whether these are accounts of clients that have one,
// those that every realm of ours has among them.
func theServiceAccounts(got []string) bool {
	for _, want := range []string{"graph-service", "muster-gateway", "rule-loader"} {
		if !slices.Contains(got, "service-account-"+want) {
			return false
		}
	}
	for _, never := range []string{"muster-cli", "muster-console", "sample-worker", "account", "admin-cli"} {
		if slices.Contains(got, "service-account-"+never) {
			return false
		}
	}
	return slices.IsSorted(got)
}

// numbered are n names in their order.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return all
}

func TestADirectoryReadsEveryPage(t *testing.T) {
	users, groups := numbered("user-", 25), []string{"/a/b/c", "/a/b2", "/ä ö/x", "/z"}
	i := devIssuer(t, devissuer.Config{Users: users, Groups: groups})
	for _, size := range []int{1, 7, 14, 28, 1000} {
		d := directory(t, i.URL(), func(c *keycloak.DirectoryConfig) { c.PageSize = size })
		got, err := d.Users(t.Context())
		if want := append([]string{"admin", "alice", "bob"}, users...); err != nil || !slices.Equal(got, want) {
			t.Errorf("page size %d: users %v, %v", size, got, err)
		}
		got, err = d.Groups(t.Context())
		want := []string{"/a", "/a/b", "/a/b/c", "/a/b2", "/engineering", "/platform", "/support", "/z", "/ä ö", "/ä ö/x"}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("page size %d: groups %v, %v", size, got, err)
		}
		got, err = d.ServiceAccounts(t.Context())
		if err != nil || !theServiceAccounts(got) {
			t.Errorf("page size %d: clients %v, %v", size, got, err)
		}
	}
}

func TestADirectoryGivesFreshTokensOfClients(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	d := directory(t, i.URL(), func(c *keycloak.DirectoryConfig) { c.ClientID = "" })
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: i.URL(), Audience: "muster", MapRoles: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	seen := map[string]bool{}
	for range 2 {
		raw, err := d.ClientToken(t.Context(), devissuer.ClientLoader, devissuer.ClientLoader)
		if err != nil {
			t.Fatal(err)
		}
		p, err := v.Verify(t.Context(), raw)
		if err != nil || p.Username != "service-account-rule-loader" || !p.HasRealmRole(devissuer.RoleRules) {
			t.Errorf("%+v %v", p, err)
		}
		seen[raw] = true
	}
	if len(seen) != 2 {
		t.Error("the second token is the first")
	}
	_, err = d.ClientToken(t.Context(), devissuer.ClientLoader, "wrong-secret-of-alice")
	if !fault.Is(err, token.CodeUnavailable) || strings.Contains(fmt.Sprintf("%v %+v", err, errors.Unwrap(err)), "alice") {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err := d.Users(t.Context()); !fault.Is(err, token.CodeUnavailable) || !strings.Contains(err.Error(), "auth.clientID") {
		t.Errorf("without an admin client: %v", err)
	}
}

func TestADirectoryWithoutRights(t *testing.T) {
	i := devIssuer(t, devissuer.Config{})
	d := directory(t, i.URL(), func(c *keycloak.DirectoryConfig) {
		c.ClientID, c.ClientSecret = devissuer.ClientLoader, devissuer.ClientLoader
	})
	if _, err := d.Groups(t.Context()); !fault.Is(err, token.CodeUnavailable) || !strings.Contains(err.Error(), "roles") {
		t.Errorf("%v", err)
	}
	if err := i.GoDown(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Users(t.Context()); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("while the issuer is down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Users(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
	if err := i.ComeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryRenewsItsToken(t *testing.T) {
	var offset atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	i := devIssuer(t, devissuer.Config{Lifetime: time.Minute, Clock: clock})
	// The directory's own clock stands still: the issuer's 401 has to be enough.
	d := directory(t, i.URL(), nil)
	for range 3 {
		if _, err := d.Users(t.Context()); err != nil {
			t.Fatal(err)
		}
		offset.Add(int64(2 * time.Minute))
	}
}

// fakeRealm answers the admin endpoints as a realm that changes while it is read,
// or wrongly.
func fakeRealm(t *testing.T, admin http.HandlerFunc) string {
	t.Helper()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
			fmt.Fprintf(w, `{"issuer":"%[1]s/realms/x","jwks_uri":"%[1]s/k","token_endpoint":"%[1]s/realms/x/protocol/openid-connect/token"}`, s.URL)
		case strings.HasSuffix(r.URL.Path, "/token"):
			fmt.Fprint(w, `{"access_token":"e30.e30.AAAA","token_type":"Bearer","expires_in":60}`)
		default:
			admin(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/realms/x"
}

func TestUsersThatLeaveWhileTheyAreReadCostNobody(t *testing.T) {
	users := numbered("u", 6)
	var asked atomic.Int64
	issuer := fakeRealm(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/count") {
			fmt.Fprint(w, len(users))
			return
		}
		var first int
		fmt.Sscan(r.URL.Query().Get("first"), &first)
		page := users[min(first, len(users)):min(first+2, len(users))]
		var out []string
		for _, u := range page {
			out = append(out, fmt.Sprintf(`{"username":%q}`, u))
		}
		fmt.Fprintf(w, "[%s]", strings.Join(out, ","))
		if asked.Add(1) == 1 {
			users = users[1:] // all others move up by one: u0002 falls between two pages
		}
	})
	d := directory(t, issuer, func(c *keycloak.DirectoryConfig) { c.PageSize = 2 })
	got, err := d.Users(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range numbered("u", 6)[1:] {
		if !slices.Contains(got, u) {
			t.Errorf("%s is missing of %v", u, got)
		}
	}
}

func TestAnswersOfNoKeycloak(t *testing.T) {
	for name, answer := range map[string]string{
		"no JSON": "<html>secret-of-alice", "an object": `{"a":1}`, "names as numbers": `[{"username":1,"path":2,"clientId":3}]`,
	} {
		issuer := fakeRealm(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/count") {
				fmt.Fprint(w, 1)
				return
			}
			fmt.Fprint(w, answer)
		})
		d := directory(t, issuer, nil)
		for what, read := range map[string]func(context.Context) ([]string, error){"users": d.Users, "groups": d.Groups, "clients": d.ServiceAccounts} {
			got, err := read(t.Context())
			if !fault.Is(err, token.CodeUnavailable) || strings.Contains(err.Error(), "alice") {
				t.Errorf("%s, %s: %v %v", name, what, got, err)
			}
		}
	}
	// A group that is its own child must not be read for ever.
	loop := fakeRealm(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"id":"a","path":"/a","subGroupCount":1,"subGroups":[]}]`)
	})
	if got, err := directory(t, loop, nil).Groups(t.Context()); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("%v %v", got, err)
	}
}

func TestADirectoryIsConfiguredWhole(t *testing.T) {
	_, err := keycloak.NewDirectory(keycloak.DirectoryConfig{ClientID: "x"})
	if err == nil || !strings.Contains(err.Error(), "issuer") || !strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	issuer := fakeRealm(t, nil)
	d := directory(t, strings.TrimSuffix(issuer, "/realms/x")+"/other", nil)
	if _, err := d.Users(t.Context()); !fault.Is(err, token.CodeUnavailable) {
		t.Error(err)
	}
}

// group makes a group and returns its id.
func (s *server) group(t *testing.T, admin, address, name string) string {
	t.Helper()
	status, body := s.Call(t, http.MethodPost, address, admin, map[string]any{"name": name})
	var made struct{ ID string }
	if err := json.Unmarshal(body, &made); status != http.StatusCreated || err != nil && len(body) > 0 {
		t.Fatalf("%s: %d %s", name, status, body)
	}
	if made.ID != "" {
		return made.ID
	}
	// The answer names it by its Location only; it is looked up.
	_, body = s.Call(t, http.MethodGet, s.Base+"/admin/realms/muster/groups?exact=true&search="+url.QueryEscape(name), admin, nil)
	var found []struct{ ID string }
	if err := json.Unmarshal(body, &found); err != nil || len(found) != 1 {
		t.Fatalf("%s: %s", name, body)
	}
	return found[0].ID
}

// testDirectory fills a real realm with more than a page of users and with nested
// groups, and reads them through a service account with the shipped rights.
func testDirectory(t *testing.T, s *server) {
	admin := s.Admin(t)
	users, base := numbered("reader-", 60), s.Base+"/admin/realms/muster"
	for _, name := range users {
		if status, body := s.Call(t, http.MethodPost, base+"/users", admin, map[string]any{"username": name, "enabled": true}); status != http.StatusCreated {
			t.Fatalf("%s: %d %s", name, status, body)
		}
	}
	parent := ""
	for _, name := range append(numbered("team-", 12), "Ünïcode & more") {
		parent = s.group(t, admin, base+"/groups", name)
	}
	for _, name := range numbered("sub-", 9) { // more than a page, below the last one
		s.group(t, admin, base+"/groups/"+parent+"/children", name)
	}
	d := directory(t, s.Issuer(), func(c *keycloak.DirectoryConfig) { c.PageSize = 7 })
	got, err := d.Users(t.Context())
	if want := append([]string{"admin", "alice", "bob"}, users...); err != nil || !slices.Equal(got, want) {
		t.Errorf("users %v, %v", got, err)
	}
	got, err = d.Groups(t.Context())
	want := slices.Concat([]string{"/engineering", "/engineering/graph", "/platform", "/support"}, numbered("/team-", 12),
		[]string{"/Ünïcode & more"}, numbered("/Ünïcode & more/sub-", 9))
	if slices.Sort(want); err != nil || !slices.Equal(got, want) {
		t.Errorf("groups %q, %v", got, err)
	}
	got, err = d.ServiceAccounts(t.Context())
	if err != nil || !theServiceAccounts(got) {
		t.Errorf("clients %v, %v", got, err)
	}
	v := s.verifier(t, nil)
	raw, err := d.ClientToken(t.Context(), "rule-loader", "rule-loader")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := v.Verify(t.Context(), raw); err != nil || !p.HasRealmRole("muster-rules-write") || p.Username != "service-account-rule-loader" {
		t.Errorf("%+v %v", p, err)
	}
	other := directory(t, s.Issuer(), func(c *keycloak.DirectoryConfig) { c.ClientID, c.ClientSecret = "rule-loader", "rule-loader" })
	if got, err := other.Users(t.Context()); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("a client without the roles reads users: %v %v", got, err)
	}
}
