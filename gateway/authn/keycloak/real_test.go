package keycloak_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/keycloak"
	"github.com/muster-fleet/muster/gateway/authn/keycloak/keycloaktest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

// TestRealKeycloak runs everything against one real Keycloak, in an order that
// ends with the server being killed.
func TestRealKeycloak(t *testing.T) {
	s := &server{keycloaktest.Start(t)}
	for _, c := range []struct {
		name string
		test func(*testing.T, *server)
	}{
		{"people", testPeople},
		{"device login", testDeviceLogin},
		{"service account", testServiceAccount},
		{"other tokens of the realm", testOtherTokens},
		{"exchange", testExchange},
		{"person", testPerson},
		{"directory", testDirectory},
		{"rotation and withdrawal under load", testRotation},
		{"hung, then dead", testOutage},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

// server is the Keycloak of these tests.
type server struct{ *keycloaktest.Server }

func (s *server) verifier(t *testing.T, change func(*token.Config)) *token.Verifier {
	t.Helper()
	c := token.Config{Issuers: []token.Issuer{{Issuer: s.Issuer(), Audience: "muster", MapRoles: true}}}
	if change != nil {
		change(&c)
	}
	v, err := token.NewVerifier(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func (s *server) exchanger(t *testing.T) *keycloak.Exchanger {
	t.Helper()
	e, err := keycloak.New(keycloak.Config{Issuer: s.Issuer(), ClientID: "muster-gateway", ClientSecret: "muster-gateway"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func testPeople(t *testing.T, s *server) {
	a := authn.New(s.verifier(t, nil), authn.Options{ManagementAudience: "muster-admin"})
	for name, want := range map[string]struct {
		group string
		admin bool
	}{"alice": {"/engineering/graph", false}, "bob": {"/support", false}, "admin": {"/platform", true}} {
		c, err := a.FromToken(t.Context(), s.Login(t, name).AccessToken)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := c.Principal
		if p.Username != name || p.Email != name+"@example.org" || p.Subject == "" || p.Client != "muster-cli" {
			t.Errorf("%s: %+v", name, p)
		}
		if !slices.Equal(p.Groups, []string{want.group}) || p.HasRealmRole("muster-admin") != want.admin {
			t.Errorf("%s: groups %v, roles %v", name, p.Groups, p.RealmRoles)
		}
		if err := a.ForManagement(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func testServiceAccount(t *testing.T, s *server) {
	a := authn.New(s.verifier(t, nil), authn.Options{ManagementAudience: "muster-admin"})
	c, err := a.FromToken(t.Context(), s.ServiceToken(t, "graph-service"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Principal.Username != "service-account-graph-service" || c.Principal.Client != "graph-service" || c.Principal.Groups != nil {
		t.Errorf("%+v", c.Principal)
	}
	if err := a.ForManagement(c); !fault.Is(err, token.CodeInvalid) {
		t.Errorf("a service account's token opens the management endpoints: %v", err)
	}
}

func testOtherTokens(t *testing.T, s *server) {
	v := s.verifier(t, nil)
	r := s.Login(t, "alice")
	foreign := s.Ask(t, s.Endpoint()+"/token", keycloaktest.Form("grant_type", "password", "client_id", "admin-cli", "username", "alice", "password", "alice"))
	for name, raw := range map[string]string{
		"ID token": r.IDToken, "refresh token": r.RefreshToken, "without our audience": foreign.AccessToken, "of another realm": s.Admin(t),
	} {
		if raw == "" {
			t.Fatalf("%s: Keycloak gave none", name)
		}
		if p, err := v.Verify(t.Context(), raw); !fault.Is(err, token.CodeInvalid) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func testExchange(t *testing.T, s *server) {
	e := s.exchanger(t)
	v := s.verifier(t, func(c *token.Config) { c.Issuers[0].Audience = worker })
	for name, raw := range map[string]string{"alice": s.Login(t, "alice").AccessToken, "service-account-graph-service": s.ServiceToken(t, "graph-service")} {
		got, err := e.Exchange(t.Context(), raw, worker)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p, err := v.Verify(t.Context(), got)
		if err != nil || p.Username != name || !slices.Equal(p.Audience, []string{worker}) || p.Client != "muster-gateway" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if _, err := e.Exchange(t.Context(), raw, "graph-service"); !fault.Is(err, token.CodeUnavailable) {
			t.Errorf("%s: exchanged for a client that is no worker: %v", name, err)
		}
		if _, err := e.Exchange(t.Context(), got, "another"); !fault.Is(err, token.CodeUnavailable) {
			t.Errorf("%s: the worker's token was exchanged on: %v", name, err)
		}
	}
}

// testRotation adds a key and removes the old one while requests go on.
func testRotation(t *testing.T, s *server) {
	const interval = 2 * time.Second
	v := s.verifier(t, func(c *token.Config) { c.RefreshInterval = interval })
	old := s.Login(t, "alice").AccessToken
	if _, err := v.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[string]
	current.Store(&old)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			// Some load, but not the processors that Keycloak needs.
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				if _, err := v.Verify(t.Context(), *current.Load()); err != nil {
					t.Errorf("under load: %v", err)
					return
				}
			}
		})
	}
	first := s.keyProviders(t)
	s.addKey(t, "newer", 200)
	fresh := s.Login(t, "alice").AccessToken
	if kid(t, fresh) == kid(t, old) {
		t.Error("Keycloak still signs with the old key")
	}
	current.Store(&fresh)
	if _, err := v.Verify(t.Context(), s.Login(t, "bob").AccessToken); err != nil {
		t.Errorf("the first token of the new key: %v", err)
	}
	s.removeKey(t, first["rsa-generated"])
	waitUntil(t, "the withdrawn key's token is refused", func() bool {
		_, err := v.Verify(t.Context(), old)
		return fault.Is(err, token.CodeInvalid)
	})
	close(stop)
	load.Wait()
}

// testOutage stops Keycloak so that it hangs, and then kills it, while a clock
// that runs fast lets more than a minute pass.
func testOutage(t *testing.T, s *server) {
	var offset atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	v := s.verifier(t, func(c *token.Config) { c.RefreshInterval, c.Clock = time.Second, clock })
	e := s.exchanger(t)
	alice, bob := s.Login(t, "alice").AccessToken, s.Login(t, "bob").AccessToken
	if _, err := v.Verify(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Exchange(t.Context(), alice, worker); err != nil {
		t.Fatal(err)
	}
	s.Signal(t, syscall.SIGSTOP)
	through(t, v, alice, bob, &offset)
	if age := v.KeysAge(); age < time.Minute || !v.KeysReady() {
		t.Errorf("after a minute the keys are %s old, ready %v", age, v.KeysReady())
	}
	s.Signal(t, syscall.SIGCONT)
	waitUntil(t, "the keys are fetched again", func() bool { return v.KeysAge() < 30*time.Second })
	s.Signal(t, syscall.SIGKILL)
	through(t, v, alice, bob, &offset)
	if _, err := e.Exchange(t.Context(), alice, worker); err != nil {
		t.Errorf("an exchanged token from the cache: %v", err)
	}
	if _, err := e.Exchange(t.Context(), bob, worker); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("an exchange with nobody: %v", err)
	}
	if _, err := s.verifier(t, nil).Verify(t.Context(), alice); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("a verifier that starts now: %v", err)
	}
}

// through verifies a cached and a new token through a minute of the fast clock,
// which takes three real seconds, so that refreshes fail meanwhile.
func through(t *testing.T, v *token.Verifier, cached, other string, offset *atomic.Int64) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := range 30 {
		offset.Add(int64(2 * time.Second))
		for _, raw := range []string{cached, other} {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Fatalf("step %d of the outage: %v", n, err)
			}
		}
		<-tick.C
	}
}

func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal(fmt.Sprint("waited in vain: ", what))
		case <-tick.C:
		}
	}
}
