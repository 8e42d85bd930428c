package devissuer_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, c devissuer.Config) *devissuer.Issuer {
	t.Helper()
	c.Addr = "127.0.0.1:0"
	i, err := devissuer.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func verifier(t *testing.T, i *devissuer.Issuer, audience string) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(t.Context(), token.Config{
		Issuers:         []token.Issuer{{Issuer: i.URL(), Audience: audience, MapRoles: true}},
		RefreshInterval: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

type answer struct {
	status          int
	AccessToken     string `json:"access_token"`
	RefreshToken    string `json:"refresh_token"`
	IssuedTokenType string `json:"issued_token_type"`
	ExpiresIn       int    `json:"expires_in"`
	Error           string `json:"error"`
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	Complete        string `json:"verification_uri_complete"`
}

func post(t *testing.T, address string, form url.Values) answer {
	t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return a
}

func form(pairs ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		f.Set(pairs[i], pairs[i+1])
	}
	return f
}

func password(name, secret string) url.Values {
	return form("grant_type", "password", "client_id", "muster-cli", "username", name, "password", secret)
}

func TestPeopleLogInWithTheirNames(t *testing.T) {
	i := start(t, devissuer.Config{})
	v := verifier(t, i, devissuer.ManagementAudience)
	for name, want := range map[string]struct {
		group string
		admin bool
	}{"alice": {"/engineering", false}, "bob": {"/support", false}, "admin": {"/platform", true}} {
		a := post(t, i.TokenURL(), password(name, name))
		if a.status != http.StatusOK {
			t.Fatalf("%s: status %d %s", name, a.status, a.Error)
		}
		p, err := v.Verify(t.Context(), a.AccessToken)
		if err != nil {
			t.Fatal(err)
		}
		if p.Username != name || p.Client != "muster-cli" || !slices.Equal(p.Groups, []string{want.group}) {
			t.Errorf("%s: principal %+v", name, p)
		}
		if p.HasRealmRole(devissuer.RoleAdmin) != want.admin {
			t.Errorf("%s: roles %v", name, p.RealmRoles)
		}
		if !p.HasAudience("muster") || !p.HasAudience("muster-admin") {
			t.Errorf("%s: audience %v", name, p.Audience)
		}
	}
}

func TestServiceAccountHasNoManagementAudience(t *testing.T) {
	i := start(t, devissuer.Config{})
	f := form("grant_type", "client_credentials", "client_id", "graph-service", "client_secret", "graph-service")
	raw := post(t, i.TokenURL(), f).AccessToken
	p, err := verifier(t, i, devissuer.Audience).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if p.Username != "service-account-graph-service" || p.Client != "graph-service" || p.HasAudience("muster-admin") {
		t.Errorf("principal %+v", p)
	}
	if p.Groups != nil {
		t.Errorf("groups %#v, want none, as Keycloak does it", p.Groups)
	}
	if _, err := verifier(t, i, devissuer.ManagementAudience).Verify(t.Context(), raw); err == nil {
		t.Error("the management audience took a service account's token")
	}
}

func TestRefusals(t *testing.T) {
	i := start(t, devissuer.Config{WorkerAudiences: []string{"sample-worker"}})
	alice := post(t, i.TokenURL(), password("alice", "alice")).AccessToken
	exchange := func(subject, audience string) url.Values {
		return form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
			"client_id", "muster-gateway", "client_secret", "muster-gateway", "audience", audience,
			"subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token")
	}
	foreign, err := i.Issue("alice", map[string]any{"aud": "other"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		form   url.Values
		status int
		code   string
	}{
		"wrong password":           {password("alice", "bob"), 401, "invalid_grant"},
		"unknown person":           {password("mallory", "mallory"), 401, "invalid_grant"},
		"nobody":                   {password("", ""), 401, "invalid_grant"},
		"unknown client":           {form("grant_type", "password", "client_id", "x"), 401, "invalid_client"},
		"no client":                {form("grant_type", "password"), 401, "invalid_client"},
		"wrong secret":             {form("grant_type", "client_credentials", "client_id", "graph-service", "client_secret", "x"), 401, "unauthorized_client"},
		"no secret":                {form("grant_type", "client_credentials", "client_id", "graph-service"), 401, "unauthorized_client"},
		"no grant":                 {form("client_id", "muster-cli"), 400, "invalid_request"},
		"grant not allowed":        {form("grant_type", "client_credentials", "client_id", "muster-cli"), 400, "unauthorized_client"},
		"unknown refresh":          {form("grant_type", "refresh_token", "client_id", "muster-cli", "refresh_token", "x"), 400, "invalid_grant"},
		"unknown device":           {form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "muster-cli", "device_code", "x"), 400, "invalid_grant"},
		"exchange not enabled":     {form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "client_id", "muster-cli"), 400, "invalid_request"},
		"exchange of nothing":      {exchange("", "sample-worker"), 400, "invalid_request"},
		"exchange for a stranger":  {exchange(alice, "other-worker"), 400, "invalid_client"},
		"exchange of a stranger's": {exchange(foreign, "sample-worker"), 403, "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			a := post(t, i.TokenURL(), c.form)
			if a.status != c.status || a.Error != c.code || a.AccessToken != "" {
				t.Errorf("status %d %s, want %d %s", a.status, a.Error, c.status, c.code)
			}
		})
	}
}

func TestRefreshTokenServesOnce(t *testing.T) {
	i := start(t, devissuer.Config{})
	first := post(t, i.TokenURL(), password("bob", "bob"))
	again := form("grant_type", "refresh_token", "client_id", "muster-cli", "refresh_token", first.RefreshToken)
	second := post(t, i.TokenURL(), again)
	if second.status != http.StatusOK || second.RefreshToken == first.RefreshToken {
		t.Fatalf("refresh: %+v", second)
	}
	if _, err := verifier(t, i, "muster").Verify(t.Context(), second.AccessToken); err != nil {
		t.Error(err)
	}
	if third := post(t, i.TokenURL(), again); third.status != http.StatusBadRequest {
		t.Errorf("a used refresh token gave %+v", third)
	}
}

func TestDeviceLoginIsApprovedOnThePage(t *testing.T) {
	i := start(t, devissuer.Config{})
	auth := strings.TrimSuffix(i.TokenURL(), "/token") + "/auth/device"
	begun := post(t, auth, form("client_id", "muster-cli"))
	poll := form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "muster-cli", "device_code", begun.DeviceCode)
	if a := post(t, i.TokenURL(), poll); a.Error != "authorization_pending" {
		t.Fatalf("before approval: %+v", a)
	}
	page, err := http.Get(begun.Complete)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(page.Body)
	if err != nil || !strings.Contains(string(body), begun.UserCode) {
		t.Fatalf("the page does not show the code: %s %v", body, err)
	}
	if err := page.Body.Close(); err != nil {
		t.Fatal(err)
	}
	at, _, _ := strings.Cut(begun.Complete, "?")
	if a := post(t, at, form("user_code", begun.UserCode, "username", "alice", "password", "wrong")); a.status != http.StatusUnauthorized {
		t.Errorf("a wrong password gave %d", a.status)
	}
	if a := post(t, at, form("user_code", "NONE-SUCH", "username", "alice", "password", "alice")); a.status != http.StatusNotFound {
		t.Errorf("a made-up code gave %d", a.status)
	}
	if a := post(t, at, form("user_code", strings.ToLower(begun.UserCode), "username", "alice", "password", "alice")); a.status != http.StatusOK {
		t.Fatalf("approval gave %d", a.status)
	}
	done := post(t, i.TokenURL(), poll)
	p, err := verifier(t, i, "muster-admin").Verify(t.Context(), done.AccessToken)
	if err != nil || p.Username != "alice" {
		t.Errorf("principal %+v, %v", p, err)
	}
	if a := post(t, i.TokenURL(), poll); a.Error != "invalid_grant" {
		t.Errorf("a used device code gave %+v", a)
	}
}

func TestDeviceLoginDeniedExpiredOrApprovedAtOnce(t *testing.T) {
	now := time.Now()
	i := start(t, devissuer.Config{Clock: func() time.Time { return now }})
	auth := strings.TrimSuffix(i.TokenURL(), "/token") + "/auth/device"
	poll := func(code string) url.Values {
		return form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "muster-cli", "device_code", code)
	}
	begun := post(t, auth, form("client_id", "muster-cli"))
	at, _, _ := strings.Cut(begun.Complete, "?")
	post(t, at, form("user_code", begun.UserCode, "username", "bob", "password", "bob", "decision", "deny"))
	if a := post(t, i.TokenURL(), poll(begun.DeviceCode)); a.Error != "access_denied" {
		t.Errorf("denied: %+v", a)
	}
	begun = post(t, auth, form("client_id", "muster-cli"))
	now = now.Add(11 * time.Minute)
	if a := post(t, i.TokenURL(), poll(begun.DeviceCode)); a.Error != "expired_token" {
		t.Errorf("late: %+v", a)
	}
	if a := post(t, auth, form("client_id", "graph-service", "client_secret", "graph-service")); a.Error != "unauthorized_client" {
		t.Errorf("a service account began a device login: %+v", a)
	}

	auto := start(t, devissuer.Config{ApproveDevicesAs: "admin"})
	begun = post(t, strings.TrimSuffix(auto.TokenURL(), "/token")+"/auth/device", form("client_id", "muster-cli"))
	if a := post(t, auto.TokenURL(), poll(begun.DeviceCode)); a.status != http.StatusOK {
		t.Errorf("approved at once: %+v", a)
	}
}

func TestExchangeNarrowsTheAudience(t *testing.T) {
	i := start(t, devissuer.Config{Lifetime: 10 * time.Minute})
	subject, err := i.Issue("alice", map[string]any{"exp": time.Now().Add(time.Minute).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	a := post(t, i.TokenURL(), form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"client_id", "muster-gateway", "client_secret", "muster-gateway", "audience", "sample-worker",
		"subject_token", subject, "subject_token_type", "urn:ietf:params:oauth:token-type:access_token"))
	if a.status != http.StatusOK || a.IssuedTokenType != "urn:ietf:params:oauth:token-type:access_token" || a.ExpiresIn > 60 {
		t.Fatalf("exchange: %+v", a)
	}
	p, err := verifier(t, i, "sample-worker").Verify(t.Context(), a.AccessToken)
	if err != nil || p.Username != "alice" || p.HasAudience("muster") || p.Client != "muster-gateway" {
		t.Errorf("principal %+v, %v", p, err)
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "10.0.0.1:8180", "nonsense", "127.0.0.1"} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		i, err := devissuer.New(ctx, devissuer.Config{Addr: addr})
		cancel()
		if err == nil {
			t.Errorf("%s: listens", addr)
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTheWarningIsLoud(t *testing.T) {
	var log strings.Builder
	i := start(t, devissuer.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if s := log.String(); !strings.Contains(s, "level=WARN") || !strings.Contains(s, i.URL()) {
		t.Errorf("log: %s", s)
	}
}

func TestHooks(t *testing.T) {
	i := start(t, devissuer.Config{})
	v := verifier(t, i, "muster")
	old, err := i.Issue("alice", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	first := i.Keys()[0]
	if _, err := i.RotateKey(); err != nil {
		t.Fatal(err)
	}
	fresh, err := i.Issue("graph-service", map[string]any{"email": nil, "note": "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), fresh); err != nil {
		t.Fatalf("after rotation: %v", err)
	}
	if !i.WithdrawKey(first) || i.WithdrawKey(first) || len(i.Keys()) != 1 {
		t.Error("withdrawing does not work once")
	}
	if err := i.GoDown(); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(i.URL()); err == nil {
		t.Error("it answers while it is down")
	}
	if err := i.ComeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := i.KeyFetches()
	if before == 0 {
		t.Error("no fetch was counted")
	}
	if _, err := i.Issue("mallory", nil); err == nil {
		t.Error("a token for a stranger")
	}
	if _, err := i.Sign(map[string]any{"typ": "at+jwt"}, map[string]any{"iss": i.URL()}); err != nil {
		t.Error(err)
	}
}
