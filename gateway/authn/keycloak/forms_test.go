package keycloak_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
)

var (
	formAction  = regexp.MustCompile(`<form[^>]*\saction="([^"]+)"`)
	hiddenInput = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`)
	attribute   = regexp.MustCompile(`\s(name|value)="([^"]*)"`)
)

// browser follows a person through Keycloak's pages.
type browser struct {
	client *http.Client
	page   string
	at     *url.URL
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{client: &http.Client{Jar: jar}}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

func (b *browser) load(t *testing.T, resp *http.Response, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", resp.Request.URL, resp.StatusCode)
	}
	b.page, b.at = string(body), resp.Request.URL
}

func (b *browser) open(t *testing.T, address string) {
	t.Helper()
	resp, err := b.client.Get(address)
	b.load(t, resp, err)
}

// submit sends the page's form with its hidden fields and the given ones.
func (b *browser) submit(t *testing.T, fields ...string) {
	t.Helper()
	found := formAction.FindStringSubmatch(b.page)
	if found == nil {
		t.Fatalf("no form on %s:\n%s", b.at, b.page)
	}
	action, err := b.at.Parse(html.UnescapeString(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	values := keycloaktest.Form(fields...)
	for _, input := range hiddenInput.FindAllString(b.page, -1) {
		pair := map[string]string{}
		for _, m := range attribute.FindAllStringSubmatch(input, -1) {
			pair[m[1]] = html.UnescapeString(m[2])
		}
		if pair["name"] != "" && !values.Has(pair["name"]) {
			values.Set(pair["name"], pair["value"])
		}
	}
	resp, err := b.client.PostForm(action.String(), values)
	b.load(t, resp, err)
}

// testDeviceLogin does what `muster login` and a person with a browser do.
func testDeviceLogin(t *testing.T, s *server) {
	begun := s.Ask(t, s.Endpoint()+"/auth/device", keycloaktest.Form("client_id", "muster-cli"))
	poll := keycloaktest.Form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "muster-cli", "device_code", begun.DeviceCode)
	if r := s.Ask(t, s.Endpoint()+"/token", poll); r.Error != "authorization_pending" {
		t.Fatalf("before the login: %+v", r)
	}
	b := newBrowser(t)
	b.open(t, begun.Complete)
	b.submit(t, "username", "alice", "password", "alice")
	b.submit(t, "accept", "Yes")
	if !strings.Contains(b.page, "Device Login Successful") {
		t.Fatalf("the last page is\n%s", b.page)
	}
	var r keycloaktest.Reply
	waitUntil(t, "the device gets its token", func() bool {
		r = s.Ask(t, s.Endpoint()+"/token", poll)
		// Keycloak wants five seconds between two questions.
		return r.Error != "slow_down" && r.Error != "authorization_pending"
	})
	p, err := s.verifier(t, nil).Verify(t.Context(), r.AccessToken)
	if err != nil || p.Username != "alice" || !p.HasAudience("muster-admin") {
		t.Errorf("%+v, %v (%s)", p, err, r.Error)
	}
}

const keyProviderType = "org.keycloak.keys.KeyProvider"

type component struct {
	ID           string              `json:"id,omitempty"`
	Name         string              `json:"name"`
	ProviderID   string              `json:"providerId"`
	ProviderType string              `json:"providerType"`
	Config       map[string][]string `json:"config"`
}

func (s *server) components() string { return s.Base + "/admin/realms/muster/components" }

// keyProviders returns the ids of the realm's key providers by their names.
func (s *server) keyProviders(t *testing.T) map[string]string {
	t.Helper()
	status, body := s.Call(t, http.MethodGet, s.components()+"?type="+keyProviderType, s.Admin(t), nil)
	var all []component
	if err := json.Unmarshal(body, &all); err != nil {
		t.Fatalf("%d %s", status, body)
	}
	ids := map[string]string{}
	for _, c := range all {
		ids[c.Name] = c.ID
	}
	return ids
}

func (s *server) addKey(t *testing.T, name string, priority int) {
	t.Helper()
	b, err := json.Marshal(priority)
	if err != nil {
		t.Fatal(err)
	}
	c := component{Name: name, ProviderID: "rsa-generated", ProviderType: keyProviderType, Config: map[string][]string{
		"priority": {string(b)}, "enabled": {"true"}, "active": {"true"}, "algorithm": {"RS256"},
	}}
	if status, body := s.Call(t, http.MethodPost, s.components(), s.Admin(t), c); status != http.StatusCreated {
		t.Fatalf("add a key: %d %s", status, body)
	}
}

func (s *server) removeKey(t *testing.T, id string) {
	t.Helper()
	if status, body := s.Call(t, http.MethodDelete, s.components()+"/"+id, s.Admin(t), nil); status != http.StatusNoContent {
		t.Fatalf("remove a key: %d %s", status, body)
	}
}

// kid returns the key that a token names.
func kid(t *testing.T, raw string) string {
	t.Helper()
	head, _, _ := strings.Cut(raw, ".")
	b, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		t.Fatal(err)
	}
	var h struct {
		KID string `json:"kid"`
	}
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	return h.KID
}
