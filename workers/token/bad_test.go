package token_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	badAlg = "the token's algorithm is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA"
	badTyp = "the token is not an access token: "
)

// badToken is one kind of token that must be refused, and the exact reason.
type badToken struct {
	name   string
	raw    string
	detail string
}

// bench is what the cases are made with.
type bench struct {
	*issuer
	good, foreign, es, unpublished signer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		good:        rs256("good"),
		foreign:     signer{kid: "good", alg: "RS256", private: rsaKeys[1]()},
		unpublished: signer{kid: "unpublished", alg: "RS256", private: rsaKeys[1]()},
		es:          signer{kid: "es", alg: "ES256", private: ecKeys["ES256"]()},
	}
	b.issuer = newIssuer(t, b.good, b.es)
	enc := signer{kid: "enc", alg: "RS256", private: rsaKeys[1]()}.jwk()
	enc["use"] = "enc"
	b.set(func(i *issuer) { i.keys = append(i.keys, enc) })
	return b
}

// shape are tokens that are not well-formed.
func (b *bench) shape() []badToken {
	ok := b.token(b.good, nil)
	head, rest, _ := strings.Cut(ok, ".")
	body, sig, _ := strings.Cut(rest, ".")
	header := b.good.header()
	notStrict := "the token's %s is not base64url without padding"
	part := func(p string) string { return strings.Replace(notStrict, "%s", p, 1) }
	three := "the token is not a signed JWT: it must have three parts"
	return []badToken{
		{"empty", "", three},
		{"one part", head, three},
		{"two parts", head + "." + body, three},
		{"four parts", ok + ".x", three},
		{"five parts, encrypted", ok + ".x.x", three},
		{"longer than 16 KiB", ok + strings.Repeat("A", token.MaxLength), "the token is longer than 16384 bytes"},
		{"empty header", "." + body + "." + sig, "the token's header is empty"},
		{"empty payload", head + ".." + sig, "the token's payload is empty"},
		{"empty signature", head + "." + body + ".", "the token's signature is empty"},
		{"padded header", head + "=." + body + "." + sig, part("header")},
		{"line break in the payload", head + "." + body[:8] + "\n" + body[8:] + "." + sig, part("payload")},
		{"standard alphabet", head + "." + body + ".+/" + sig[2:], part("signature")},
		{"loose bits at the end", head + "." + body + "." + loosen(sig), part("signature")},
		{"header is an array", b.good.sign(`[]`, b.payload(nil)), "the token's header is not a JSON object"},
		{"header is cut off", b.good.sign(header[:len(header)-1], b.payload(nil)), "the token's header is cut off at byte 39"},
		{"header is not UTF-8", b.good.sign("{\"alg\":\"RS256\",\"kid\":\"good\",\"x\":\"\xff\"}", b.payload(nil)), "the token's header is not strict JSON at byte 33"},
		{"header has trailing bytes", b.good.sign(header+"{}", b.payload(nil)), "the token's header has bytes after its end"},
		{"payload is a string", b.good.sign(header, `"x"`), "the token's payload is not a JSON object"},
		{"payload is not JSON", b.good.sign(header, `{x}`), "the token's payload is not strict JSON at byte 1"},
		{"payload has trailing bytes", b.good.sign(header, b.payload(nil)+" 1"), "the token's payload has bytes after its end"},
		{"payload is cut off", b.good.sign(header, `{"iss":"x"`), "the token's payload is cut off at byte 10"},
		{"payload is empty JSON", b.good.sign(header, ` `), "the token's payload is cut off"},
	}
}

// loosen changes the last character of base64 so that only bits beyond the last
// byte differ.
func loosen(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

// header are tokens whose header is wrong.
func (b *bench) headers() []badToken {
	with := func(header string) string { return b.good.sign(header, b.payload(nil)) }
	input := b64([]byte(`{"alg":"none","kid":"good"}`)) + "." + b64([]byte(b.payload(nil)))
	hs := b64([]byte(`{"alg":"HS256","kid":"good"}`)) + "." + b64([]byte(b.payload(nil)))
	mac := must(jwt.SigningMethodHS256.Sign(hs, must(base64.RawURLEncoding.DecodeString(b.good.jwk()["n"].(string)))))
	neither := badTyp + "its header's typ is neither at+jwt nor JWT"
	return []badToken{
		{"alg none", input + "." + b64([]byte("x")), badAlg},
		{"alg HS256 with the public key as secret", hs + "." + b64(mac), badAlg},
		{"alg in another case", with(`{"alg":"rs256","kid":"good"}`), badAlg},
		{"alg with a member in another case", with(`{"Alg":"RS256","kid":"good"}`), badAlg},
		{"no alg", with(`{"kid":"good"}`), badAlg},
		{"alg is a number", with(`{"alg":256,"kid":"good"}`), `the token's header has a "alg" that is not a string`},
		{"alg is null", with(`{"alg":null,"kid":"good"}`), `the token's header has a "alg" that is not a string`},
		{"alg twice", with(`{"alg":"RS256","alg":"none","kid":"good"}`), "the token's header has a duplicate name at byte 15"},
		{"alg twice, once escaped", with(`{"alg":"RS256","\u0061lg":"none","kid":"good"}`), "the token's header has a duplicate name at byte 15"},
		{"no kid", with(`{"alg":"RS256"}`), "the token's header has no kid"},
		{"kid is a list", with(`{"alg":"RS256","kid":["good"]}`), `the token's header has a "kid" that is not a string`},
		{"crit", with(`{"alg":"RS256","kid":"good","crit":["exp"]}`), "the token's header has crit, and no extension is understood here"},
		{"crit, empty", with(`{"alg":"RS256","kid":"good","crit":[]}`), "the token's header has crit, and no extension is understood here"},
		{"crit, null", with(`{"alg":"RS256","kid":"good","crit":null}`), "the token's header has crit, and no extension is understood here"},
		{"crit, unencoded payload", with(`{"alg":"RS256","kid":"good","crit":["b64"],"b64":false}`), "the token's header has crit, and no extension is understood here"},
		{"header typ of a logout token", with(`{"alg":"RS256","kid":"good","typ":"logout+jwt"}`), neither},
		{"header typ of a DPoP proof", with(`{"alg":"RS256","kid":"good","typ":"dpop+jwt"}`), neither},
		{"alg of another hash", signer{"good", "RS512", b.good.private}.sign(`{"alg":"RS512","kid":"good"}`, b.payload(nil)), "the token's algorithm does not go with its key"},
		{"alg PSS with a PKCS1 key", signer{"good", "PS256", b.good.private}.sign(`{"alg":"PS256","kid":"good"}`, b.payload(nil)), "the token's algorithm does not go with its key"},
		{"alg of another kind of key", b.good.sign(`{"alg":"RS256","kid":"es"}`, b.payload(nil)), "the token's algorithm does not go with its key"},
		{"alg of another curve", b.es.sign(`{"alg":"ES384","kid":"es"}`, b.payload(nil)), "the token's algorithm does not go with its key"},
	}
}

// signatures are tokens whose signature does not hold.
func (b *bench) signatures() []badToken {
	ok, other := b.token(b.good, nil), b.token(b.good, map[string]any{"sub": "mallory"})
	head := ok[:strings.LastIndexByte(ok, '.')]
	wrong, unknown := "the token's signature is wrong", "the token's key is not one of the issuer's"
	own := b.unpublished.jwk()
	inHeader := `{"alg":"RS256","kid":"unpublished","jwk":{"kty":"RSA","n":"` + own["n"].(string) + `","e":"AQAB"},"jku":"` + b.server.URL + `/keys","x5u":"` + b.server.URL + `","x5c":["AAAA"]}`
	return []badToken{
		{"another key under a known kid", b.token(b.foreign, nil), wrong},
		{"signature of another token", head + other[strings.LastIndexByte(other, '.'):], wrong},
		{"signature cut short", ok[:len(ok)-2], wrong},
		{"ES256 signature of the wrong length", b.es.sign(b.es.header(), b.payload(nil)) + "AAAA", wrong},
		{"unknown kid", b.token(b.unpublished, nil), unknown},
		{"kid of an encryption key", signer{"enc", "RS256", rsaKeys[1]()}.sign(`{"alg":"RS256","kid":"enc"}`, b.payload(nil)), unknown},
		{"key in the header", b.unpublished.sign(inHeader, b.payload(nil)), unknown},
		{"kid as a path", b.good.sign(`{"alg":"RS256","kid":"../../dev/null"}`, b.payload(nil)), unknown},
	}
}

// contents are tokens whose claims are wrong.
func (b *bench) contents() []badToken {
	with := func(changes map[string]any) string { return b.token(b.good, changes) }
	raw := func(payload string) string { return b.good.sign(b.good.header(), payload) }
	now := time.Now()
	wrong := func(name, want string) string {
		return `the token's payload has a "` + name + `" that is not ` + want
	}
	date, list := "a number of seconds since 1970", "an array of strings"
	noBearer := badTyp + "its typ claim is not Bearer"
	return []badToken{
		{"expired", with(map[string]any{"exp": now.Add(-time.Second).Unix()}), "the token has expired"},
		{"expired this second", with(map[string]any{"exp": now.Unix()}), "the token has expired"},
		{"no exp", with(map[string]any{"exp": nil}), "the token has no exp"},
		{"exp is a string", with(map[string]any{"exp": "9999999999"}), wrong("exp", date)},
		{"exp is null", raw(`{"exp":null}`), wrong("exp", date)},
		{"exp is negative", raw(`{"exp":-1}`), wrong("exp", date)},
		{"exp is beyond all dates", raw(`{"exp":1e300}`), wrong("exp", date)},
		{"exp is out of range", raw(`{"exp":1e999}`), wrong("exp", date)},
		{"exp twice", raw(`{"exp":1,"exp":9999999999}`), "the token's payload has a duplicate name at byte 9"},
		{"not yet valid", with(map[string]any{"nbf": now.Add(10 * time.Second).Unix()}), "the token is not valid yet (nbf)"},
		{"nbf is a boolean", with(map[string]any{"nbf": true}), wrong("nbf", date)},
		{"issued in the future", with(map[string]any{"iat": now.Add(10 * time.Second).Unix()}), "the token was issued in the future (iat)"},
		{"iat is a string", with(map[string]any{"iat": "now"}), wrong("iat", date)},
		{"no iss", with(map[string]any{"iss": nil}), "the token has no iss"},
		{"iss is a list", with(map[string]any{"iss": []string{b.url}}), wrong("iss", "a string")},
		{"iss of another realm", with(map[string]any{"iss": b.server.URL + "/realms/other"}), "the token is not of a known issuer"},
		{"iss with a slash", with(map[string]any{"iss": b.url + "/"}), "the token is not of a known issuer"},
		{"iss in another case", with(map[string]any{"iss": strings.ToUpper(b.url)}), "the token is not of a known issuer"},
		{"no aud", with(map[string]any{"aud": nil}), "the token has no aud"},
		{"aud is another", with(map[string]any{"aud": "account"}), `the token was not issued for this service: its aud does not hold "muster"`},
		{"aud is a prefix", with(map[string]any{"aud": []string{"must", "muster-admin"}}), `the token was not issued for this service: its aud does not hold "muster"`},
		{"aud is empty", with(map[string]any{"aud": []string{}}), `the token was not issued for this service: its aud does not hold "muster"`},
		{"aud is an object", with(map[string]any{"aud": map[string]any{"muster": 1}}), wrong("aud", "a string or an array of strings")},
		{"aud has a number", with(map[string]any{"aud": []any{"muster", 1}}), wrong("aud", "a string or an array of strings")},
		{"ID token", with(map[string]any{"typ": "ID"}), noBearer},
		{"refresh token", with(map[string]any{"typ": "Refresh"}), noBearer},
		{"DPoP-bound token", with(map[string]any{"typ": "DPoP"}), noBearer},
		{"no typ anywhere", with(map[string]any{"typ": nil}), badTyp + "neither its header's typ is at+jwt nor its typ claim Bearer"},
		{"no sub", with(map[string]any{"sub": nil}), "the token has no sub, so it names nobody"},
		{"sub is a number", with(map[string]any{"sub": 7}), wrong("sub", "a string")},
		{"preferred_username is a list", with(map[string]any{"preferred_username": []string{"alice"}}), wrong("preferred_username", "a string")},
		{"email_verified is a string", with(map[string]any{"email_verified": "true"}), wrong("email_verified", "a boolean")},
		{"groups is a string", with(map[string]any{"groups": "/engineering"}), wrong("groups", list)},
		{"groups has null", with(map[string]any{"groups": []any{nil}}), wrong("groups", list)},
		{"realm_access is a list", with(map[string]any{"realm_access": []string{"muster-admin"}}), wrong("realm_access", "an object")},
		{"roles is a string", with(map[string]any{"realm_access": map[string]any{"roles": "muster-admin"}}), wrong("roles", list)},
		{"roles twice", raw(`{"realm_access":{"roles":[],"roles":["muster-admin"]}}`), "the token's payload has a duplicate name at byte 28"},
		{"duplicate names deep in an unknown claim", raw(`{"x":[{"y":{"a":1,"a":2}}]}`), "the token's payload has a duplicate name at byte 18"},
		{"lone surrogate", raw(`{"sub":"\ud800"}`), "the token's payload is not strict JSON at byte 8"},
		{"invalid UTF-8", raw("{\"sub\":\"\xc3\x28\"}"), "the token's payload is not strict JSON at byte 8"},
	}
}

func TestBadTokens(t *testing.T) {
	b := newBench(t)
	v := start(t, b.config())
	if _, err := v.Verify(t.Context(), b.token(b.good, nil)); err != nil {
		t.Fatalf("the good token: %v", err)
	}
	groups := [][]badToken{b.shape(), b.headers(), b.signatures(), b.contents()}
	count := 0
	for _, group := range groups {
		for _, c := range group {
			count++
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				p, err := v.Verify(t.Context(), c.raw)
				checkInvalid(t, p, err, c.detail)
				// Nothing about it is remembered as good.
				p, err = v.Verify(t.Context(), c.raw)
				checkInvalid(t, p, err, c.detail)
			})
		}
	}
	if count < 40 {
		t.Errorf("%d kinds of bad token; there should be 40", count)
	}
}

func checkInvalid(t *testing.T, p *token.Principal, err error, detail string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || p != nil {
		t.Fatalf("%+v, %v; want a refusal: %s", p, err, detail)
	}
	if f.Code != token.CodeInvalid || f.Kind.HTTPStatus() != http.StatusUnauthorized || f.Detail != detail {
		t.Errorf("%d %s: %s\nwant %s", f.Kind.HTTPStatus(), f.Code, f.Detail, detail)
	}
}
