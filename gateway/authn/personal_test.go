package authn_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// vault is a set of users with a token each, and what was told of their use.
type vault struct {
	set  *access.Set
	raw  map[string]string // by the owner's name
	used []string
	now  time.Time
}

func newVault(t *testing.T, change map[string]func(*access.User, *access.Token)) *vault {
	t.Helper()
	v := &vault{raw: map[string]string{}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	var d access.Delta
	for name, edit := range change {
		raw := pat.New()
		u := access.User{ID: uuid.New(), Issuer: "https://issuer.test", Subject: "s-" + name, Username: name, Email: name + "@example.test", Active: true}
		p := access.Token{
			ID: uuid.New(), User: u.ID, Name: "ci", Digest: raw.Digest(), Prefix: raw.Prefix(), Scopes: []string{"read"},
			CreatedAt: v.now.Add(-time.Hour), Expires: v.now.Add(time.Hour),
		}
		edit(&u, &p)
		v.raw[name] = raw.Reveal()
		d.Users, d.Tokens = append(d.Users, u), append(d.Tokens, p)
	}
	v.set = (*access.Set)(nil).With(&d)
	return v
}

func (v *vault) authenticator() *authn.Authenticator {
	refuse := verifierFunc(func(context.Context, string) (*token.Principal, error) {
		return nil, errors.New("the issuer's verifier was asked about a personal access token")
	})
	return authn.New(refuse, authn.Options{
		ManagementAudience: "muster-admin",
		Access:             func() *access.Set { return v.set },
		TokenUsed: func(_ access.ID, at time.Time, address string) {
			v.used = append(v.used, at.Format(time.TimeOnly)+" "+address)
		},
		Clock: func() time.Time { return v.now },
	})
}

func TestPersonalTokens(t *testing.T) {
	good := func(*access.User, *access.Token) {}
	v := newVault(t, map[string]func(*access.User, *access.Token){
		"alice":    good,
		"endless":  func(_ *access.User, p *access.Token) { p.Expires = time.Time{} },
		"revoked":  func(_ *access.User, p *access.Token) { p.RevokedAt = p.CreatedAt },
		"over":     func(_ *access.User, p *access.Token) { p.Expires = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) },
		"inactive": func(u *access.User, _ *access.Token) { u.Active = false },
	})
	v.raw["unknown"] = pat.New().Reveal()
	v.raw["cut"] = v.raw["alice"][:len(v.raw["alice"])-1]
	last := v.raw["alice"][len(v.raw["alice"])-1]
	flipped := byte('0')
	if last == '0' {
		flipped = '1'
	}
	v.raw["mistyped"] = v.raw["alice"][:len(v.raw["alice"])-1] + string(flipped)
	a := v.authenticator()
	for name, want := range map[string]struct{ code, says string }{
		"alice": {}, "endless": {},
		"revoked":  {"invalid_token", "revoked"},
		"over":     {"invalid_token", "expired"},
		"inactive": {"user_deactivated", "deactivated"},
		"unknown":  {"invalid_token", "unknown"},
		"cut":      {"invalid_token", "no personal access token"},
		"mistyped": {"invalid_token", "mistake"},
	} {
		v.used = nil
		c, err := a.FromToken(t.Context(), v.raw[name])
		if want.code == "" {
			if err != nil || c.Principal.Username != name || c.Personal == nil || len(v.used) != 1 {
				t.Errorf("%s: %+v, %v, used %q", name, c.Principal, err, v.used)
			}
			continue
		}
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Unauthenticated || f.Code != want.code || !strings.Contains(f.Detail, want.says) {
			t.Errorf("%s: %v, want %s with %q", name, err, want.code, want.says)
		}
		if len(v.used) > 0 || strings.Contains(err.Error(), v.raw[name]) {
			t.Errorf("%s: used %q; the error is %v", name, v.used, err)
		}
	}
}

// A personal access token has no audience and none of its owner's groups of the
// moment, and it is no login.
func TestWhatAPersonalTokenIs(t *testing.T) {
	v := newVault(t, map[string]func(*access.User, *access.Token){"alice": func(*access.User, *access.Token) {}})
	a := v.authenticator()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/workers", nil)
	r.RemoteAddr = "192.0.2.7:4711"
	r.Header.Set("Authorization", "Bearer "+v.raw["alice"])
	c, err := a.FromRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.ForManagement(c); err != nil {
		t.Error(err)
	}
	if err := a.ForLogin(c); !fault.Is(err, authn.CodeLoginRequired) {
		t.Errorf("a login: %v", err)
	}
	if err := a.ForLogin(authn.Caller{Principal: c.Principal}); err != nil {
		t.Error(err)
	}
	if c.Principal.Groups != nil || c.Principal.RealmRoles != nil || c.Principal.Issuer != "https://issuer.test" || c.Principal.Subject != "s-alice" {
		t.Errorf("%+v", c.Principal)
	}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+v.raw["alice"]))
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 1}})
	if _, err := a.FromGRPC(ctx); err != nil {
		t.Error(err)
	}
	if want := "12:00:00 192.0.2.7, 12:00:00 192.0.2.8"; strings.Join(v.used, ", ") != want {
		t.Errorf("used %q, want %s", v.used, want)
	}
}

func TestPersonalTokensWithoutAccess(t *testing.T) {
	a := authn.New(verifierFunc(func(context.Context, string) (*token.Principal, error) { return nil, errors.New("asked") }), authn.Options{})
	if _, err := a.FromToken(t.Context(), pat.New().Reveal()); !fault.Is(err, "invalid_token") {
		t.Errorf("%v", err)
	}
}

// Who was verified is told of, and nobody else: neither a token that is refused nor
// the owner of a personal one, whom the issuer says nothing of.
func TestWhoWasSeenIsTold(t *testing.T) {
	v := newVault(t, map[string]func(*access.User, *access.Token){"alice": func(*access.User, *access.Token) {}})
	var seen []string
	a := authn.New(verifierFunc(func(_ context.Context, raw string) (*token.Principal, error) {
		if raw != "good" {
			return nil, errors.New("bad")
		}
		return &token.Principal{Subject: "bob"}, nil
	}), authn.Options{
		Access: func() *access.Set { return v.set }, Clock: func() time.Time { return v.now },
		Saw: func(p *token.Principal) { seen = append(seen, p.Subject) },
	})
	for _, raw := range []string{"good", "bad", v.raw["alice"], "good"} {
		if _, err := a.FromToken(t.Context(), raw); (err != nil) != (raw == "bad") {
			t.Errorf("%v", err)
		}
	}
	if !slices.Equal(seen, []string{"bob", "bob"}) {
		t.Errorf("%v", seen)
	}
}
