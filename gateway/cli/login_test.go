package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/workers/token"
)

// home is somebody's environment, with a place to keep logins, and a gateway that
// notes which tokens it was shown.
type home struct {
	t      *testing.T
	issuer *devissuer.Issuer
	url    string
	path   string
	env    []string

	mu    sync.Mutex
	shown []string
}

func newHome(t *testing.T, c devissuer.Config) *home {
	t.Helper()
	h := &home{t: t, path: filepath.Join(t.TempDir(), "config", "login.json")}
	if c.ApproveDevicesAs == "" {
		c.ApproveDevicesAs = "alice"
	}
	c.Addr = "127.0.0.1:0"
	var err error
	if h.issuer, err = devissuer.New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.issuer.Close(); err != nil {
			t.Error(err)
		}
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.shown = append(h.shown, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		_, _ = io.WriteString(w, `{"items":[],"nextCursor":"","username":"alice","is_admin":true,"groups":[{"group_id":"x","group_name":"Admin"},{"group_id":"y","group_name":"Everyone"}]}`)
	}))
	t.Cleanup(s.Close)
	h.url = s.URL
	h.env = []string{"MUSTER_URL=" + s.URL, "MUSTER_LOGIN_FILE=" + h.path}
	return h
}

func (h *home) run(args ...string) result {
	h.t.Helper()
	r := run(h.t, h.env, args...)
	if kept, err := readKept(h.path); err == nil && kept != nil {
		for _, l := range kept.Gateways {
			if strings.Contains(r.out+r.err, l.AccessToken) || l.RefreshToken != "" && strings.Contains(r.out+r.err, l.RefreshToken) {
				h.t.Errorf("%q prints a token: %s%s", args, r.out, r.err)
			}
		}
	}
	return r
}

// last is the token that the gateway was shown last.
func (h *home) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.shown) == 0 {
		h.t.Fatal("the gateway was not asked")
	}
	return h.shown[len(h.shown)-1]
}

func (h *home) kept() keptLogin {
	h.t.Helper()
	kept, err := readKept(h.path)
	if err != nil || kept == nil {
		h.t.Fatalf("%v, %v", kept, err)
	}
	return kept.Gateways[h.url]
}

func TestLogin(t *testing.T) {
	h := newHome(t, devissuer.Config{})
	h.run("login", "--issuer", h.issuer.URL()).want(t, ExitOK, "open http://", "the code is", "logged in at "+h.issuer.URL())
	info, err := os.Stat(h.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	h.run("worker", "list").want(t, ExitOK)
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: h.issuer.URL(), Audience: devissuer.Audience, MapRoles: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p, err := v.Verify(t.Context(), h.last())
	if err != nil || p.Username != "alice" || !p.HasAudience(devissuer.ManagementAudience) {
		t.Errorf("%+v, %v", p, err)
	}
	h.run("whoami").want(t, ExitOK, "alice", "Admin, Everyone", "yes")
	// What is given comes before what is kept.
	run(t, append(h.env, "MUSTER_TOKEN=other.to.ken"), "worker", "list").want(t, ExitOK)
	if h.last() != "other.to.ken" {
		t.Errorf("MUSTER_TOKEN was not used: %s", h.last())
	}
	// It is for this gateway alone.
	other := newHome(t, devissuer.Config{})
	run(t, []string{"MUSTER_URL=" + other.url, "MUSTER_LOGIN_FILE=" + h.path}, "worker", "list").want(t, ExitOK)
	if other.last() != "" {
		t.Errorf("another gateway was shown %s", other.last())
	}
	// The issuer is known from the first time.
	h.run("login").want(t, ExitOK, "logged in")
	h.run("logout").want(t, ExitOK, "logged out")
	h.run("logout").want(t, ExitOK, "nobody is logged in")
	h.run("worker", "list").want(t, ExitOK)
	if h.last() != "" {
		t.Errorf("after the logout the gateway was shown %s", h.last())
	}
	if data, err := os.ReadFile(h.path); err != nil || strings.Contains(string(data), "oken\": \"e") {
		t.Errorf("a token is left: %s %v", data, err)
	}
}

// A token that is about to end is renewed, once for all commands that run at the
// time, and a login that has ended says what to do.
func TestKeptLoginsAreRenewed(t *testing.T) {
	h := newHome(t, devissuer.Config{Lifetime: refreshMargin}) // due at once
	h.run("login", "--issuer", h.issuer.URL()).want(t, ExitOK)
	before := h.kept()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { h.run("worker", "list").want(t, ExitOK) })
	}
	wg.Wait()
	if after := h.kept(); after.AccessToken == before.AccessToken || after.RefreshToken == "" || after.Issuer != before.Issuer {
		t.Errorf("it was not renewed")
	}
	if err := changeKept(h.path, func(k *keptFile) error {
		l := k.Gateways[h.url]
		l.RefreshToken, l.Expires = "no.such.token", time.Now()
		k.Gateways[h.url] = l
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	h.run("worker", "list").want(t, ExitUnauthenticated, "the issuer refused", "run muster login")
	if err := h.issuer.GoDown(); err != nil {
		t.Fatal(err)
	}
	h.run("worker", "list").want(t, ExitUnavailable, "the issuer cannot be reached")
}

func TestLoginMistakes(t *testing.T) {
	h := newHome(t, devissuer.Config{})
	h.run("login").want(t, ExitUsage, "--issuer or MUSTER_ISSUER")
	for _, bad := range []string{"keycloak", "ftp://x/realms/y", "https://u:p@x/", "https://x/?q=1"} {
		h.run("login", "--issuer", bad).want(t, ExitUsage, "is not an http or https URL")
	}
	h.run("login", "--issuer", "http://192.0.2.1/realms/muster").want(t, ExitUsage, "without encryption", "https")
	h.run("login", "--issuer", "http://127.0.0.1:1/realms/muster").want(t, ExitUnavailable, "cannot be reached")
	h.run("login", "--issuer", h.url).want(t, ExitFailed, "is no issuer")
	h.run("login", "--issuer", h.issuer.URL(), "--client-id", "nobody").want(t, ExitUnauthenticated, "the issuer refused", "--client-id")
	h.run("login", "extra").want(t, ExitUsage)
	run(t, []string{"MUSTER_URL=" + h.url}, "login", "--issuer", h.issuer.URL()).want(t, ExitUsage, "no place to keep")
	if _, err := os.Stat(h.path); err == nil {
		t.Error("a login that failed left a file")
	}
	for text, says := range map[string]string{"{": "broken", `{"version":2}`: "broken", `{"version":1}`: ""} {
		if err := os.MkdirAll(filepath.Dir(h.path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := h.run("worker", "list"); says != "" {
			r.want(t, ExitUsage, says, "log in anew")
		} else {
			r.want(t, ExitOK)
		}
	}
	if err := os.Chmod(h.path, 0o644); err != nil {
		t.Fatal(err)
	}
	h.run("worker", "list").want(t, ExitUsage, "may be read by others", "chmod 600")
}

// An issuer that says it is another, or whose endpoints are not safe, is not used.
func TestIssuersThatLie(t *testing.T) {
	h := newHome(t, devissuer.Config{})
	var doc map[string]string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(doc); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	doc = map[string]string{"issuer": "https://elsewhere.test", "token_endpoint": s.URL, "device_authorization_endpoint": s.URL}
	h.run("login", "--issuer", s.URL).want(t, ExitFailed, "calls itself", "elsewhere.test")
	doc = map[string]string{"issuer": s.URL, "token_endpoint": "http://192.0.2.1/token", "device_authorization_endpoint": s.URL}
	h.run("login", "--issuer", s.URL).want(t, ExitFailed, "not safe")
	doc = map[string]string{"issuer": s.URL, "token_endpoint": s.URL}
	h.run("login", "--issuer", s.URL).want(t, ExitFailed, "offers no device flow")
}
