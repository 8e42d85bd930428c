package workertest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Forgery is a way in which a token is bad.
type Forgery string

// The ways in which the suite's bad tokens are bad.
const (
	// Expired was good until a minute ago.
	Expired Forgery = "expired"
	// NotYetValid will be good in some minutes (nbf).
	NotYetValid Forgery = "not-yet-valid"
	// WrongKey is signed with a key that is not the issuer's, under its kid.
	WrongKey Forgery = "wrong-key"
	// AlgNone has no signature and says so.
	AlgNone Forgery = "alg-none"
	// WrongIssuer names another issuer.
	WrongIssuer Forgery = "wrong-issuer"
	// WrongAudience is for another service.
	WrongAudience Forgery = "wrong-audience"
	// Tampered names another user than was signed.
	Tampered Forgery = "tampered"
	// PublicKeyAsSecret is an HMAC with the issuer's public key as its secret.
	PublicKeyAsSecret Forgery = "public-key-as-secret"
)

// Tokens gives the tokens of a run. Implementations must be safe for concurrent
// use.
type Tokens interface {
	// Good returns a token that the worker must take; it is asked often, so that
	// a token may be renewed in a long run.
	Good(ctx context.Context) (string, error)
	// Forge returns a token that the worker must refuse. An error that is
	// errors.ErrUnsupported skips the case.
	Forge(ctx context.Context, how Forgery) (string, error)
}

// Good returns a token of alice; with Forge it makes an Issuer the Tokens of a
// run against a worker that trusts it.
func (is *Issuer) Good(context.Context) (string, error) { return is.Token("alice") }

// Doubter is what Tokens implement some of whose bad tokens are bad in a second
// way as well. A worker that refuses such a token has proven nothing of the first:
// the case ends NotProved, and not as a pass.
type Doubter interface {
	// Doubt says why a refusal of a forgery proves nothing; empty when it does.
	Doubt(how Forgery) string
}

// StaticTokens makes the tokens of a run from one good token, for workers whose
// issuer is out of reach. The suite can then sign with a key of its own only: it
// builds the bad tokens from the good one's header and claims. A worker that
// checks signatures refuses them all, so whether exp, nbf and iss are looked at
// stays not proved, unless the Tokens can sign, as an Issuer does, or, for exp, an
// expired token of the issuer's is at hand: see StaticTokensWithExpired.
func StaticTokens(good string) Tokens { return staticTokens{good: good} }

// StaticTokensWithExpired is StaticTokens with a token that the same issuer signed
// with the same key and that has expired by now. Its error says what is wrong with
// the latter; nobody's signature is checked.
func StaticTokensWithExpired(good, expired string) (Tokens, error) {
	goodHeader, goodClaims, err := readToken(good)
	if err != nil {
		return nil, fmt.Errorf("workertest: the good token is no JWT: %w", err)
	}
	header, claims, err := readToken(expired)
	if err != nil {
		return nil, fmt.Errorf("workertest: the expired token is no JWT: %w", err)
	}
	var bad []error
	switch exp, err := claims.GetExpirationTime(); {
	case err != nil || exp == nil:
		bad = append(bad, errors.New("it has no exp"))
	case time.Now().Before(exp.Time):
		bad = append(bad, fmt.Errorf("it is good until %s; wait until then, or give an older one", exp.UTC().Format(time.RFC3339)))
	}
	if claims["iss"] != goodClaims["iss"] {
		bad = append(bad, errors.New("its iss is not the good token's; it must be refused for its age alone"))
	}
	if header["kid"] != goodHeader["kid"] {
		bad = append(bad, errors.New("it names another key (kid) than the good token; it must be refused for its age alone"))
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("workertest: the expired token does not serve: %w", errors.Join(bad...))
	}
	return staticTokens{good, expired}, nil
}

// staticTokens are one good token and, where there is one, an expired one.
type staticTokens struct{ good, expired string }

// Good returns the one token.
func (s staticTokens) Good(context.Context) (string, error) { return s.good, nil }

// Doubt names what a key of the suite's own cannot prove.
func (s staticTokens) Doubt(how Forgery) string {
	var claim, also string
	switch how {
	case Expired:
		claim, also = "exp", ", or give an expired token of the worker's own issuer (muster conform --expired-token-file)"
	case NotYetValid:
		claim = "nbf"
	case WrongIssuer:
		claim = "iss"
	}
	if claim == "" || how == Expired && s.expired != "" {
		return ""
	}
	return "refused, but its signature was wrong too, so whether the worker looks at " + claim +
		" is open; run the worker against an issuer that the suite signs for (muster conform --issuer, workertest.NewIssuer)" + also
}

// Forge builds on the good token, signing with a new key.
func (s staticTokens) Forge(_ context.Context, how Forgery) (string, error) {
	if how == Expired && s.expired != "" {
		return s.expired, nil
	}
	header, claims, err := readToken(s.good)
	if err != nil {
		return "", fmt.Errorf("the good token is no JWT: %w", err)
	}
	now := time.Now()
	switch how {
	case Expired:
		claims["exp"] = now.Add(-time.Minute).Unix()
	case NotYetValid:
		claims["nbf"] = now.Add(tokenAge).Unix()
	case WrongIssuer:
		claims["iss"] = fmt.Sprint(claims["iss"]) + "-other"
	case WrongKey:
	case AlgNone:
		kid, _ := header["kid"].(string)
		return unsigned(kid, claims)
	case Tampered:
		return tamper(s.good)
	default:
		return "", fmt.Errorf("%w: only the issuer can make a token that is bad by %s alone", errors.ErrUnsupported, how)
	}
	return signLike(header, claims)
}

// readToken decodes a token without checking anything.
func readToken(raw string) (header map[string]any, claims jwt.MapClaims, err error) {
	claims = jwt.MapClaims{}
	t, _, err := jwt.NewParser(jwt.WithJSONNumber()).ParseUnverified(raw, claims)
	if err != nil {
		return nil, nil, fmt.Errorf("read the token: %w", err)
	}
	return t.Header, claims, nil
}

// signLike signs with a new key of the kind that header's algorithm takes.
func signLike(header map[string]any, claims jwt.MapClaims) (string, error) {
	name, _ := header["alg"].(string)
	method := jwt.GetSigningMethod(name)
	if method == nil || method == jwt.SigningMethodNone {
		method = jwt.SigningMethodRS256
	}
	key, err := newKey(method)
	if err != nil {
		return "", fmt.Errorf("make a key for %s: %w", method.Alg(), err)
	}
	t := jwt.NewWithClaims(method, claims)
	t.Header["kid"] = header["kid"]
	s, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", method.Alg(), err)
	}
	return s, nil
}

func newKey(method jwt.SigningMethod) (any, error) {
	switch m := method.(type) {
	case *jwt.SigningMethodECDSA:
		curve := map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}[m.CurveBits]
		return ecdsa.GenerateKey(curve, rand.Reader)
	case *jwt.SigningMethodEd25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return crypto.Signer(key), err
	case *jwt.SigningMethodHMAC:
		secret := make([]byte, 32)
		_, err := rand.Read(secret)
		return secret, err
	default:
		return rsa.GenerateKey(rand.Reader, keyBits)
	}
}

// unsigned returns a token with "alg": "none" and no signature.
func unsigned(kid string, claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodNone, claims)
	if kid != "" {
		t.Header["kid"] = kid
	}
	s, err := t.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		return "", fmt.Errorf("make an unsigned token: %w", err)
	}
	return s, nil
}

// tamper changes the user of a signed token and keeps its signature.
func tamper(good string) (string, error) {
	parts := strings.Split(good, ".")
	_, claims, err := readToken(good)
	if err != nil {
		return "", err
	}
	claims["preferred_username"] = "admin"
	claims["sub"] = "id-of-somebody-else"
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode the changed claims: %w", err)
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(payload)
	return strings.Join(parts, "."), nil
}
