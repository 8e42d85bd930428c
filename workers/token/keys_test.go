package token_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestRotationUnderLoadCostsNoRequest(t *testing.T) {
	signers := []signer{
		{"a", "RS256", rsaKeys[0]()}, {"b", "RS256", rsaKeys[1]()},
		{"c", "ES256", ecKeys["ES256"]()}, {"d", "EdDSA", edKey()},
	}
	i := newIssuer(t, signers[0])
	v := start(t, i.config())
	var current atomic.Int64
	var stop atomic.Bool
	var done atomic.Int64
	var load sync.WaitGroup
	for w := range 4 {
		load.Go(func() {
			for n := 0; !stop.Load(); n++ {
				s := signers[current.Load()]
				raw := i.token(s, map[string]any{"jti": fmt.Sprint(w, n%50)})
				if _, err := v.Verify(t.Context(), raw); err != nil {
					t.Errorf("key %s: %v", s.kid, err)
					return
				}
				done.Add(1)
			}
		})
	}
	for next := 1; next < len(signers); next++ {
		before := done.Load()
		eventually(t, "tokens are verified", func() bool { return done.Load() > before+50 })
		i.show(signers[:next+1]...)
		current.Store(int64(next))
	}
	before := done.Load()
	eventually(t, "tokens of the last key are verified", func() bool { return done.Load() > before+50 })
	stop.Store(true)
	load.Wait()
}

func everySecond(c *token.Config) { c.RefreshInterval = time.Second }

func TestAWithdrawnKeyIsRefusedAfterTheNextRefresh(t *testing.T) {
	a, b := rs256("a"), signer{"b", "RS256", rsaKeys[1]()}
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, everySecond, a, b)
		raw, kept := i.token(a, nil), i.token(b, nil)
		for _, r := range []string{raw, kept} {
			if _, err := v.Verify(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		i.show(b)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := v.Verify(t.Context(), raw); !fault.Is(err, token.CodeInvalid) {
			t.Errorf("the cached token of the withdrawn key: %v", err)
		}
		before, _ := v.Stats()
		if _, err := v.Verify(t.Context(), kept); err != nil {
			t.Error(err)
		}
		if after, _ := v.Stats(); after != before+1 {
			t.Error("a token of a key that stayed was dropped from the cache")
		}
		// The same key again makes the same token good again.
		i.show(a, b)
		if _, err := v.Verify(t.Context(), raw); err != nil {
			t.Error(err)
		}
	})
}

func TestAKidWithAnotherKeyIsAnotherKey(t *testing.T) {
	a, b := rs256("k"), signer{"k", "RS256", rsaKeys[1]()}
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, everySecond, a)
		old := i.token(a, nil)
		if _, err := v.Verify(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		i.show(b)
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := v.Verify(t.Context(), i.token(b, nil)); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(t.Context(), old); !fault.Is(err, token.CodeInvalid) {
			t.Errorf("the old key's token: %v", err)
		}
	})
}

func TestAFailedFetchReplacesNothing(t *testing.T) {
	s := rs256("k")
	enc := s.jwk()
	enc["use"] = "enc"
	synctest.Test(t, func(t *testing.T) {
		var log lines
		v, i, _ := bubbled(t, func(c *token.Config) {
			c.RefreshInterval = time.Minute
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelInfo}))
		}, s)
		synctest.Wait()
		for name, document := range map[string]string{
			"not JSON": "<html>", "cut off": `{"keys":[`, "no keys": `{}`, "keys of the wrong type": `{"keys":{}}`,
			"empty": `{"keys":[]}`, "nothing usable": string(must(json.Marshal(map[string]any{"keys": []any{enc, 1, map[string]any{}}}))),
			"duplicate names": `{"keys":[],"keys":[]}`, "trailing": `{"keys":[]}{}`, "huge": `{"x":"` + strings.Repeat("x", 1<<20) + `"}`,
		} {
			i.set(func(i *issuer) { i.document = []byte(document) })
			before := i.fetches.Load()
			time.Sleep(time.Minute)
			synctest.Wait()
			if i.fetches.Load() == before {
				t.Errorf("%s: was not fetched", name)
			}
			if _, err := v.Verify(t.Context(), i.token(s, map[string]any{"jti": name})); err != nil || v.KeysAge() < time.Minute {
				t.Errorf("%s: age %s, %v", name, v.KeysAge(), err)
			}
			i.set(func(i *issuer) { i.document = nil })
			time.Sleep(time.Minute)
			synctest.Wait()
			if v.KeysAge() > time.Minute {
				t.Errorf("after %s: the keys are %s old", name, v.KeysAge())
			}
		}
		if text := log.String(); !strings.Contains(text, "cannot be fetched") || strings.Contains(text, "eyJ") {
			t.Errorf("log: %s", text)
		}
	})
}

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestOneBadKeyCostsNoOther(t *testing.T) {
	s := rs256("k")
	weak := signer{"weak", "RS256", weakRSA()}
	i := newIssuer(t, s)
	change := func(k map[string]any, name string, value any) map[string]any {
		k[name] = value
		return k
	}
	i.set(func(i *issuer) {
		i.keys = append([]map[string]any{
			weak.jwk(),
			{"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
			{"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"},
			{"kty": "OKP", "crv": "Ed448", "kid": "ed448", "x": "AAAA"},
			{"kty": "EC", "crv": "secp256k1", "kid": "koblitz", "x": "AAAA", "y": "AAAA"},
			{"kty": "EC", "crv": "P-256", "kid": "off-curve", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
			{"kid": 1}, {},
			change(signer{"e1", "RS256", rsaKeys[1]()}.jwk(), "e", "AQ"),
			change(signer{"e-long", "RS256", rsaKeys[1]()}.jwk(), "e", "AQAAAAAAAAAB"),
			change(signer{"sign-only", "RS256", rsaKeys[1]()}.jwk(), "key_ops", []string{"sign"}),
			change(signer{"bad-ops", "RS256", rsaKeys[1]()}.jwk(), "key_ops", "verify"),
		}, i.keys...)
	})
	v := start(t, i.config())
	if _, err := v.Verify(t.Context(), i.token(s, nil)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []signer{weak, {"e1", "RS256", rsaKeys[1]()}, {"e-long", "RS256", rsaKeys[1]()}, {"sign-only", "RS256", rsaKeys[1]()}, {"bad-ops", "RS256", rsaKeys[1]()}} {
		t.Run(bad.kid, func(t *testing.T) {
			t.Parallel()
			p, err := v.Verify(t.Context(), i.token(bad, nil))
			checkInvalid(t, p, err, "the token's key is not one of the issuer's")
		})
	}
}

func TestKeysOfOneKidAreToldApartByTheirKind(t *testing.T) {
	r, e := rs256("k"), signer{"k", "ES256", ecKeys["ES256"]()}
	i := newIssuer(t, r, e)
	// Without alg the kind of the key decides alone.
	i.set(func(i *issuer) { delete(i.keys[0], "alg"); delete(i.keys[0], "use") })
	v := start(t, i.config())
	pss := signer{"k", "PS384", r.private}
	for _, s := range []signer{r, e, pss} {
		if _, err := v.Verify(t.Context(), i.token(s, nil)); err != nil {
			t.Errorf("%s: %v", s.alg, err)
		}
	}
}

func TestDiscovery(t *testing.T) {
	s := rs256("k")
	inner := newIssuer(t, s)
	public := "https://login.example.org/realms/muster"
	inside := token.Issuer{Issuer: public, Audience: audience, DiscoveryURL: inner.url + "/.well-known/openid-configuration"}
	inner.set(func(i *issuer) {
		i.discovery = fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q}`, public, inner.server.URL+"/keys")
	})
	v := start(t, token.Config{Issuers: []token.Issuer{inside}})
	p, err := v.Verify(t.Context(), inner.token(s, map[string]any{"iss": public}))
	if err != nil || p.Issuer != public {
		t.Errorf("by the inner address: %+v, %v", p, err)
	}
	for name, document := range map[string]string{
		"another issuer": `{"issuer":"https://login.example.org/realms/other","jwks_uri":"` + inner.server.URL + `/keys"}`,
		"no issuer":      `{"jwks_uri":"` + inner.server.URL + `/keys"}`,
		"no jwks_uri":    `{"issuer":"` + public + `"}`,
		"file jwks_uri":  `{"issuer":"` + public + `","jwks_uri":"file:///etc/passwd"}`,
		"two issuers":    `{"issuer":"https://other","issuer":"` + public + `","jwks_uri":"` + inner.server.URL + `/keys"}`,
	} {
		t.Run(name, func(t *testing.T) {
			bad := newIssuer(t, s)
			bad.set(func(i *issuer) { i.discovery = []byte(document) })
			is := inside
			is.DiscoveryURL = bad.url + "/.well-known/openid-configuration"
			_, err := start(t, token.Config{Issuers: []token.Issuer{is}}).Verify(t.Context(), bad.token(s, map[string]any{"iss": public}))
			if !fault.Is(err, token.CodeUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCAFileAndRedirects(t *testing.T) {
	s := rs256("k")
	i := &issuer{}
	i.show(s)
	mux := i.routes()
	mux.Handle("GET /moved/", http.RedirectHandler("/realms/muster/.well-known/openid-configuration", http.StatusFound))
	i.server = httptest.NewTLSServer(mux)
	i.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	i.url = i.server.URL + "/realms/muster"
	t.Cleanup(i.server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(b []byte) {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ours := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
	c := i.config()
	c.CAFile = file
	write([]byte("not a certificate"))
	if v, err := token.NewVerifier(t.Context(), c); err == nil {
		v.Close()
		t.Fatal("a CA file without a certificate is good")
	}
	write(ours)
	moved := c
	moved.Issuers = []token.Issuer{{Issuer: i.url, Audience: audience, DiscoveryURL: i.server.URL + "/moved/"}}
	if _, err := start(t, moved).Verify(t.Context(), i.token(s, nil)); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("a redirect was followed: %v", err)
	}
	without := i.config()
	if _, err := start(t, without).Verify(t.Context(), i.token(s, nil)); !fault.Is(err, token.CodeUnavailable) {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	v := start(t, c)
	if _, err := v.Verify(t.Context(), i.token(s, nil)); err != nil {
		t.Error(err)
	}
	// A file that changes is read again; one that breaks leaves the last good one.
	write(append(ours, '\n'))
	foreign := signer{"other", "RS256", rsaKeys[1]()}
	if _, err := v.Verify(t.Context(), i.token(foreign, nil)); !fault.Is(err, token.CodeInvalid) {
		t.Errorf("after the file changed: %v", err)
	}
	write(nil)
	i.show(s, foreign)
	if _, err := v.Verify(t.Context(), i.token(foreign, nil)); err != nil {
		t.Errorf("after the file broke: %v", err)
	}
}
