package authn_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

// part encodes one part of a token.
func part(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// While the issuer cannot be asked, what no key can make good is still 401, so
// that nobody tries again in vain; what a newer key might make good is 503 with a
// word on when, so that nobody throws a good token away. Both let nobody in.
func TestTokensInAnOutage(t *testing.T) {
	t.Run("the issuer was never reached", func(t *testing.T) {
		_, i := setup(t, authn.Options{})
		good, newer := issue(t, i, "alice", nil), newerToken(t, i)
		bad := badTokens(t, i)
		checkOutage(t, setupDown(t, i), bad, map[string]string{"good": good, "of a newer key": newer})
	})
	t.Run("the issuer went away later", func(t *testing.T) {
		a, i := setup(t, authn.Options{})
		good, bad := issue(t, i, "alice", nil), badTokens(t, i)
		if _, err := a.FromRequest(request(t, "Bearer "+good)); err != nil {
			t.Fatal(err)
		}
		if err := i.GoDown(); err != nil {
			t.Fatal(err)
		}
		if _, err := a.FromRequest(request(t, "Bearer "+good)); err != nil {
			t.Errorf("a good token of a known key: %v", err)
		}
		header, _, _ := strings.Cut(good, ".")
		checkOutage(t, a, bad, map[string]string{
			"of another key": strings.Replace(good, header, part(`{"alg":"RS256","typ":"at+jwt","kid":"made-meanwhile"}`), 1),
		})
	})
}

// setupDown makes an authenticator that trusts an issuer which it has never seen.
func setupDown(t *testing.T, i *devissuer.Issuer) *authn.Authenticator {
	t.Helper()
	if err := i.GoDown(); err != nil {
		t.Fatal(err)
	}
	v, err := token.NewVerifier(t.Context(), token.Config{
		Issuers: []token.Issuer{{Issuer: i.URL(), Audience: devissuer.Audience, MapRoles: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return authn.New(v, authn.Options{})
}

// newerToken is of a key that the issuer made last.
func newerToken(t *testing.T, i *devissuer.Issuer) string {
	t.Helper()
	if _, err := i.RotateKey(); err != nil {
		t.Fatal(err)
	}
	return issue(t, i, "alice", nil)
}

// badTokens are bad whatever the keys are.
func badTokens(t *testing.T, i *devissuer.Issuer) map[string]string {
	t.Helper()
	past := time.Now().Add(-time.Hour).Unix()
	good := issue(t, i, "alice", nil)
	return map[string]string{
		"no JWT":           "garbage",
		"two parts":        "a.b",
		"four parts":       good + ".x",
		"not base64":       "!.!.!",
		"no JSON":          part("hello") + "." + part("hello") + "." + part("x"),
		"header an array":  part("[]") + "." + part("{}") + "." + part("x"),
		"alg none":         part(`{"alg":"none","typ":"at+jwt"}`) + "." + good[strings.Index(good, ".")+1:],
		"alg HS256":        part(`{"alg":"HS256","typ":"at+jwt","kid":"k"}`) + "." + good[strings.Index(good, ".")+1:],
		"expired":          issue(t, i, "alice", map[string]any{"exp": past}),
		"another issuer":   issue(t, i, "alice", map[string]any{"iss": "https://elsewhere.example.org"}),
		"another audience": issue(t, i, "alice", map[string]any{"aud": "elsewhere"}),
		"not yet valid":    issue(t, i, "alice", map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}),
		"too long":         strings.Repeat("a", 17<<10),
	}
}

func checkOutage(t *testing.T, a *authn.Authenticator, bad, open map[string]string) {
	t.Helper()
	check := func(name string, err error, kind fault.Kind, code string) {
		t.Helper()
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != kind || f.Code != code {
			t.Errorf("%s: %v; want %s", name, err, code)
			return
		}
		h := http.Header{}
		authn.Challenge(h, err)
		if challenged := h.Get("WWW-Authenticate") != ""; challenged != (kind == fault.Unauthenticated) {
			t.Errorf("%s: challenged is %v", name, challenged)
		}
		if again := f.RetryAfter > 0; again != (kind == fault.Unavailable) {
			t.Errorf("%s: told to try again after %s", name, f.RetryAfter)
		}
	}
	for kind, tokens := range map[fault.Kind]map[string]string{fault.Unauthenticated: bad, fault.Unavailable: open} {
		code := map[fault.Kind]string{fault.Unauthenticated: "invalid_token", fault.Unavailable: "identity_unavailable"}[kind]
		for name, raw := range tokens {
			_, err := a.FromRequest(request(t, "Bearer "+raw))
			check(name, err, kind, code)
			_, err = a.FromGRPC(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+raw)))
			check(name+" over gRPC", err, kind, code)
			if err != nil && strings.Contains(err.Error(), raw) {
				t.Errorf("%s: the error quotes the token", name)
			}
		}
	}
	_, err := a.FromRequest(request(t))
	check("none at all", err, fault.Unauthenticated, "invalid_token")
}
