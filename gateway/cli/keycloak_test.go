package cli

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
	"github.com/muster-fleet/muster/workers/token"
)

var deviceAddress = regexp.MustCompile(`open (\S+) in a browser`)

// heard gathers what a command says and reports the address to log in at.
type heard struct {
	mu      sync.Mutex
	text    bytes.Buffer
	address chan string
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Write(p)
	if m := deviceAddress.FindSubmatch(h.text.Bytes()); m != nil && h.address != nil {
		h.address <- string(m[1])
		close(h.address)
		h.address = nil
	}
	return len(p), nil
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// TestLoginAtKeycloak logs in as a person does: the command waits while a browser
// goes through Keycloak's own pages, keeps the login, renews it, and ends it.
func TestLoginAtKeycloak(t *testing.T) {
	s := keycloaktest.Start(t)
	h := newHome(t, devissuer.Config{})
	address := make(chan string, 1)
	errs := &heard{address: address}
	code := make(chan int, 1)
	go func() {
		code <- Run(t.Context(), Process{Args: []string{"login", "--issuer", s.Issuer()}, Environ: h.env, In: strings.NewReader(""), Out: io.Discard, Err: errs})
	}()
	select {
	case a := <-address:
		keycloaktest.NewBrowser(t).ApproveDevice(t, a, "alice")
	case c := <-code:
		t.Fatalf("it ended with %d before the login: %s", c, errs)
	}
	if c := <-code; c != ExitOK {
		t.Fatalf("exit code %d: %s", c, errs)
	}
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: s.Issuer(), Audience: "muster", MapRoles: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	check := func() {
		t.Helper()
		h.run("worker", "list").want(t, ExitOK)
		if p, err := v.Verify(t.Context(), h.last()); err != nil || p.Username != "alice" || !p.HasAudience("muster-admin") {
			t.Errorf("%+v, %v", p, err)
		}
	}
	check()
	first := h.last()
	if err := changeKept(h.path, func(k *keptFile) error {
		l := k.Gateways[h.url]
		l.Expires = l.Expires.Add(-24 * 60 * 60 * 1e9)
		k.Gateways[h.url] = l
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	check()
	if h.last() == first {
		t.Error("it was not renewed")
	}
	refresh := h.kept().RefreshToken
	h.run("logout").want(t, ExitOK, "logged out")
	ended := s.Ask(t, s.Endpoint()+"/token", keycloaktest.Form("grant_type", "refresh_token", "client_id", "muster-cli", "refresh_token", refresh))
	if ended.AccessToken != "" || ended.Error != "invalid_grant" {
		t.Errorf("the login goes on at Keycloak: %+v", ended)
	}
}
