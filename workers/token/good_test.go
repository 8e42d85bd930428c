package token_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestEveryAlgorithm(t *testing.T) {
	signers := []signer{
		{"rs256", "RS256", rsaKeys[0]()}, {"rs384", "RS384", rsaKeys[0]()}, {"rs512", "RS512", rsaKeys[0]()},
		{"ps256", "PS256", rsaKeys[0]()}, {"ps384", "PS384", rsaKeys[0]()}, {"ps512", "PS512", rsaKeys[0]()},
		{"es256", "ES256", ecKeys["ES256"]()}, {"es384", "ES384", ecKeys["ES384"]()}, {"es512", "ES512", ecKeys["ES512"]()},
		{"eddsa", "EdDSA", edKey()},
	}
	i := newIssuer(t, signers...)
	v := start(t, i.config())
	for _, s := range signers {
		p, err := v.Verify(t.Context(), i.token(s, nil))
		if err != nil || p.Username != "alice" {
			t.Errorf("%s: %+v, %v", s.alg, p, err)
		}
	}
	if hits, misses := v.Stats(); hits != 0 || misses != uint64(len(signers)) {
		t.Errorf("%d hits and %d misses", hits, misses)
	}
}

func TestPrincipal(t *testing.T) {
	s := rs256("k")
	i := newIssuer(t, s)
	v := start(t, i.config())
	changes := map[string]any{"exp": float64(time.Now().Add(time.Minute).Unix()) + 0.5, "note": []any{1.50, "x"}}
	raw := i.token(s, changes)
	p, err := v.Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	if p.Issuer != i.url || p.Subject != "5f0c6e1c-alice" || p.Username != "alice" || p.Client != "muster-cli" || p.ID != "1" {
		t.Errorf("names: %+v", p)
	}
	if p.Email != "alice@example.org" || !p.EmailVerified || !slices.Equal(p.Groups, []string{"/engineering"}) {
		t.Errorf("attributes: %+v", p)
	}
	if !p.HasRealmRole("muster-admin") || p.HasRealmRole("") || !p.HasAudience("account") || p.HasAudience("acc") {
		t.Errorf("roles %v, audience %v", p.RealmRoles, p.Audience)
	}
	if p.Expires.Nanosecond() != 5e8 || p.IssuedAt.IsZero() || p.Expires.Location() != time.UTC {
		t.Errorf("dates: %v %v", p.IssuedAt, p.Expires)
	}
	if !strings.Contains(string(p.Claims), `"note":[1.5,"x"]`) {
		t.Errorf("claims: %s", p.Claims)
	}
	again, err := v.Verify(t.Context(), raw)
	if err != nil || again != p {
		t.Error("the same token is another principal")
	}
}

func TestWhatClaimsMayLackOrHold(t *testing.T) {
	s := rs256("k")
	i := newIssuer(t, s)
	v := start(t, i.config())
	check := func(name, raw string, want func(*token.Principal) bool) {
		t.Helper()
		p, err := v.Verify(t.Context(), raw)
		if err != nil || !want(p) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	at := func(typ string) string { return `{"alg":"RS256","kid":"k","typ":"` + typ + `"}` }
	untyped := i.payload(map[string]any{"typ": nil})
	check("RFC 9068", s.sign(at("at+jwt"), untyped), func(p *token.Principal) bool { return p.Username == "alice" })
	check("RFC 9068 in full", s.sign(at("application/AT+JWT"), untyped), func(p *token.Principal) bool { return p.Username == "alice" })
	check("no header typ", s.sign(`{"alg":"RS256","kid":"k"}`, i.payload(nil)), func(p *token.Principal) bool { return p.Username == "alice" })
	check("no groups", i.token(s, map[string]any{"groups": nil}), func(p *token.Principal) bool { return p.Groups == nil })
	check("empty groups", i.token(s, map[string]any{"groups": []string{}}), func(p *token.Principal) bool { return p.Groups != nil && len(p.Groups) == 0 })
	check("no user name", i.token(s, map[string]any{"preferred_username": nil}), func(p *token.Principal) bool { return p.Username == p.Subject })
	check("one audience", i.token(s, map[string]any{"aud": audience}), func(p *token.Principal) bool { return slices.Equal(p.Audience, []string{audience}) })
	check("no roles", i.token(s, map[string]any{"realm_access": map[string]any{"x": 1}}), func(p *token.Principal) bool { return p.RealmRoles == nil })
	check("no iat", i.token(s, map[string]any{"iat": nil}), func(p *token.Principal) bool { return p.IssuedAt.IsZero() })
	check("escapes", i.token(s, map[string]any{"sub": "\u00e9<\u2028\""}), func(p *token.Principal) bool { return p.Subject == "\u00e9<\u2028\"" })
	soon := time.Now().Add(3 * time.Second).Unix()
	check("nbf and iat within the leeway", i.token(s, map[string]any{"nbf": soon, "iat": soon}), func(p *token.Principal) bool { return true })

	strict := i.config()
	strict.Leeway = -1
	_, err := start(t, strict).Verify(t.Context(), i.token(s, map[string]any{"nbf": soon}))
	if !fault.Is(err, token.CodeInvalid) {
		t.Errorf("without leeway: %v", err)
	}
}

func TestSeveralIssuersKeepApart(t *testing.T) {
	a, b := rs256("k"), signer{"k", "RS256", rsaKeys[1]()}
	first, second := newIssuer(t, a), newIssuer(t, b)
	v := start(t, token.Config{Issuers: []token.Issuer{
		{Issuer: first.url, Audience: audience, MapRoles: true},
		{Issuer: second.url, Audience: "partner", UsernamePrefix: "partner:", GroupsPrefix: "/partner"},
	}})
	p, err := v.Verify(t.Context(), first.token(a, nil))
	if err != nil || p.Username != "alice" || !p.HasRealmRole("muster-admin") {
		t.Errorf("first: %+v, %v", p, err)
	}
	p, err = v.Verify(t.Context(), second.token(b, map[string]any{"aud": "partner"}))
	if err != nil || p.Username != "partner:alice" || !slices.Equal(p.Groups, []string{"/partner/engineering"}) || len(p.RealmRoles) != 0 {
		t.Errorf("second: %+v, %v", p, err)
	}
	p, err = v.Verify(t.Context(), second.token(b, map[string]any{"aud": "partner", "preferred_username": nil}))
	if err != nil || p.Username != "partner:"+p.Subject {
		t.Errorf("second without a name: %+v, %v", p, err)
	}
	// Neither issuer's key, nor its audience, is good for the other.
	for name, raw := range map[string]string{
		"key of the other": first.token(b, nil), "audience of the other": first.token(a, map[string]any{"aud": "partner"}),
	} {
		if p, err := v.Verify(t.Context(), raw); !fault.Is(err, token.CodeInvalid) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if len(v.KeyStatus()) != 2 || !v.KeysReady() {
		t.Errorf("status %+v", v.KeyStatus())
	}
}

func TestConfigurationMistakesAreToldAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		config token.Config
		want   []string
	}{
		"nothing": {token.Config{}, []string{"no issuer"}},
		"everything": {token.Config{
			Issuers: []token.Issuer{
				{}, {Issuer: "ftp://x", DiscoveryURL: "x"}, {Issuer: "ftp://x", Audience: "a", UsernamePrefix: "p"},
				{Issuer: "https://u:p@x/", Audience: "a", UsernamePrefix: "p", GroupsPrefix: "g"}, {Issuer: "https://x/#f"},
			},
			MaxKeyAge: -1, CacheSize: -1, RefreshInterval: -1,
		}, []string{
			"issuers[0]: issuer is missing", "issuers[0]: audience is missing", `issuers[1]: issuer "ftp://x" is not an absolute`,
			"issuers[1]: audience", `issuers[1]: discoveryURL "x"`, "issuers[1]: usernamePrefix", "issuers[1]: groupsPrefix",
			`issuers[2]: issuer "ftp://x" is there twice`, "issuers[2]: groupsPrefix", "issuers[3]: issuer", "user information",
			"a fragment", "maxKeyAge", "cacheSize", "refreshInterval",
		}},
		"no CA file": {token.Config{Issuers: []token.Issuer{{Issuer: "https://x", Audience: "a"}}, CAFile: "testdata/none.pem"}, []string{"CA file"}},
	} {
		v, err := token.NewVerifier(t.Context(), c.config)
		if err == nil {
			v.Close()
			t.Fatalf("%s: accepted", name)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in\n%v", name, want, err)
			}
		}
	}
}

func TestFromHeader(t *testing.T) {
	long := strings.Repeat("a", token.MaxLength)
	for name, c := range map[string]struct {
		values []string
		want   string
		detail string
	}{
		"usual":           {[]string{"Bearer a.b.c"}, "a.b.c", ""},
		"any case":        {[]string{"bEARER a.b-_~+/c=="}, "a.b-_~+/c==", ""},
		"more spaces":     {[]string{"Bearer   x"}, "x", ""},
		"the longest":     {[]string{"Bearer " + long}, long, ""},
		"none":            {nil, "", "the request has no Authorization header; send a bearer token"},
		"two":             {[]string{"Bearer a", "Bearer a"}, "", "the request has 2 Authorization headers; send one"},
		"too long":        {[]string{"Bearer a" + long}, "", "the token is longer than 16384 bytes"},
		"Basic":           {[]string{"Basic YTpi"}, "", "the Authorization header is not of the Bearer scheme"},
		"token alone":     {[]string{"a.b.c"}, "", "the Authorization header is not of the Bearer scheme"},
		"prefix":          {[]string{"Bearertoken a"}, "", "the Authorization header is not of the Bearer scheme"},
		"empty":           {[]string{""}, "", "the Authorization header is not of the Bearer scheme"},
		"scheme alone":    {[]string{"Bearer"}, "", "the Authorization header holds no token after Bearer"},
		"spaces alone":    {[]string{"Bearer  "}, "", "the Authorization header holds no token after Bearer"},
		"two tokens":      {[]string{"Bearer a b"}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
		"joined by comma": {[]string{"Bearer a, Bearer b"}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
		"tab":             {[]string{"Bearer \ta"}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
		"equals only":     {[]string{"Bearer =="}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
		"equals within":   {[]string{"Bearer a=b"}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
		"not ASCII":       {[]string{"Bearer \u00e9"}, "", "the Authorization header must hold exactly one token, of the characters of RFC 6750"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := token.FromHeader(http.Header{"Authorization": c.values})
			if c.detail == "" {
				if err != nil || raw != c.want {
					t.Fatalf("%q, %v", raw, err)
				}
				return
			}
			var f *fault.Error
			if !errors.As(err, &f) || f.Detail != c.detail || f.Code != token.CodeInvalid || raw != "" {
				t.Errorf("%q, %v", raw, err)
			}
			if errors.Is(err, token.ErrMissing) != (c.values == nil) {
				t.Errorf("missing: %v", err)
			}
		})
	}
}
