package workertest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/workertest"
)

// Every forgery is refused by the one verifier, and for the reason it was made.
func TestForgeriesAreBadInOneWay(t *testing.T) {
	is := newIssuer(t)
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: is.URL(), Audience: workertest.Audience}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	good, err := is.Good(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, err := v.Verify(t.Context(), good); err != nil || p.Username != "alice" {
		t.Fatalf("the good token: %v %+v", err, p)
	}
	for how, why := range map[workertest.Forgery]string{
		workertest.Expired: "expired", workertest.NotYetValid: "", workertest.WrongKey: "signature", workertest.AlgNone: "",
		workertest.WrongIssuer: "issuer", workertest.WrongAudience: "aud", workertest.Tampered: "signature", workertest.PublicKeyAsSecret: "",
	} {
		raw, err := is.Forge(t.Context(), how)
		if err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		if _, err := v.Verify(t.Context(), raw); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", how, err)
		}
	}
	if _, err := is.Forge(t.Context(), "unheard-of"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

// From one good token of any algorithm the suite makes tokens of the same one,
// under the same kid, that do not verify.
func TestStaticForgeries(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, key := range map[string]any{"ES384": ec, "EdDSA": ed, "HS256": []byte("0123456789abcdef0123456789abcdef")} {
		good := jwt.NewWithClaims(jwt.GetSigningMethod(alg), jwt.MapClaims{"iss": "i", "exp": time.Now().Add(time.Hour).Unix(), "n": 9007199254740993})
		good.Header["kid"] = "k1"
		raw, err := good.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		tokens := workertest.StaticTokens(raw)
		if again, err := tokens.Good(t.Context()); err != nil || again != raw {
			t.Errorf("%s: the good token was changed", alg)
		}
		for _, how := range []workertest.Forgery{
			workertest.Expired, workertest.NotYetValid, workertest.WrongIssuer, workertest.WrongKey, workertest.AlgNone, workertest.Tampered,
		} {
			checkForgery(t, tokens, alg, how, key)
		}
		if _, err := tokens.Forge(t.Context(), workertest.WrongAudience); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
	if _, err := workertest.StaticTokens("no token").Forge(t.Context(), workertest.WrongKey); err == nil {
		t.Error("something was made of nothing")
	}
}

func checkForgery(t *testing.T, tokens workertest.Tokens, alg string, how workertest.Forgery, key any) {
	t.Helper()
	raw, err := tokens.Forge(context.Background(), how)
	if err != nil {
		t.Errorf("%s %s: %v", alg, how, err)
		return
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(raw, jwt.MapClaims{})
	if err != nil || parsed.Header["kid"] != "k1" {
		t.Errorf("%s %s: %v %v", alg, how, err, parsed)
		return
	}
	if want := alg; how != workertest.AlgNone && parsed.Header["alg"] != want {
		t.Errorf("%s %s: algorithm %v", alg, how, parsed.Header["alg"])
	}
	public := key
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		public = &k.PublicKey
	case ed25519.PrivateKey:
		public = k.Public()
	}
	if _, err := jwt.Parse(raw, func(*jwt.Token) (any, error) { return public, nil }); err == nil {
		t.Errorf("%s %s: the token is good", alg, how)
	}
}
