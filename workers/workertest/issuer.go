package workertest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is what an Issuer's tokens are for, unless told otherwise.
const Audience = "muster"

const (
	keyBits  = 2048
	tokenAge = 10 * time.Minute
)

// Issuer is a token issuer for tests: it serves a discovery document and its keys
// on a loopback port and signs whatever it is asked to sign, bad tokens included.
// It is safe for concurrent use.
type Issuer struct {
	url    string
	key    *rsa.PrivateKey
	kid    string // another one for each issuer: at the same address a new key must not look like the old one
	server *http.Server
	done   chan struct{}
}

// NewIssuer starts an issuer on a free port of 127.0.0.1; Close ends it.
func NewIssuer(ctx context.Context) (*Issuer, error) { return NewIssuerAt(ctx, "127.0.0.1:0") }

// NewIssuerAt starts an issuer on a loopback address, host:port, for workers that
// must know their issuer before it runs; Close ends it. Whoever reaches an issuer
// gets no token of it, but whoever trusts it trusts this process: so no other
// address is taken.
func NewIssuerAt(ctx context.Context, addr string) (*Issuer, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return nil, fmt.Errorf("workertest: the issuer's address %q is no loopback host:port; give one such as 127.0.0.1:8180", addr)
	}
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("workertest: make a signing key: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("workertest: open the issuer's listener: %w", err)
	}
	// The host as it was given: workers compare iss letter by letter.
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("workertest: read the issuer's address: %w", err), l.Close())
	}
	is := &Issuer{
		url: "http://" + net.JoinHostPort(host, port) + "/realms/muster", key: key,
		kid: "workertest-" + rand.Text(), done: make(chan struct{}),
	}
	const headerTimeout = 5 * time.Second
	is.server = &http.Server{Handler: is.handler(), ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(is.done)
		// Serve ends with ErrServerClosed at Close; before that its callers notice.
		_ = is.server.Serve(l)
	}()
	return is, nil
}

// Close ends the issuer and waits for it.
func (is *Issuer) Close() error {
	err := is.server.Close()
	<-is.done
	if err != nil {
		return fmt.Errorf("workertest: close the issuer: %w", err)
	}
	return nil
}

// URL is the iss of the issuer's tokens; the discovery document lies below it.
func (is *Issuer) URL() string { return is.url }

// Token returns a good token of a user, who is in the given groups.
func (is *Issuer) Token(user string, groups ...string) (string, error) {
	if groups == nil {
		groups = []string{}
	}
	return is.Sign(map[string]any{"preferred_username": user, "sub": "id-of-" + user, "groups": groups})
}

// Sign returns a token with the issuer's usual claims and the given ones over
// them; a nil value takes a claim away.
func (is *Issuer) Sign(claims map[string]any) (string, error) {
	return is.sign(is.claims(claims), is.key)
}

func (is *Issuer) claims(over map[string]any) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": is.url, "aud": []string{Audience}, "typ": "Bearer", "azp": "workertest",
		"sub": "id-of-alice", "preferred_username": "alice", "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(tokenAge).Unix(),
	}
	maps.Copy(c, over)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// Forge returns a token that is bad in one way and right in all others.
func (is *Issuer) Forge(_ context.Context, how Forgery) (string, error) {
	switch how {
	case Expired:
		past := time.Now().Add(-time.Minute)
		return is.Sign(map[string]any{"exp": past.Unix(), "iat": past.Add(-tokenAge).Unix()})
	case NotYetValid:
		return is.Sign(map[string]any{"nbf": time.Now().Add(tokenAge / 2).Unix()})
	case WrongIssuer:
		return is.Sign(map[string]any{"iss": is.url + "-other"})
	case WrongAudience:
		return is.Sign(map[string]any{"aud": []string{"another-service"}})
	case WrongKey:
		other, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return "", fmt.Errorf("make another key: %w", err)
		}
		return is.sign(is.claims(nil), other)
	case AlgNone:
		return unsigned(is.kid, is.claims(nil))
	case PublicKeyAsSecret:
		der, err := x509.MarshalPKIXPublicKey(&is.key.PublicKey)
		if err != nil {
			return "", fmt.Errorf("encode the public key: %w", err)
		}
		t := jwt.NewWithClaims(jwt.SigningMethodHS256, is.claims(nil))
		t.Header["kid"] = is.kid
		return t.SignedString(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	case Tampered:
		good, err := is.Token("alice")
		if err != nil {
			return "", err
		}
		return tamper(good)
	default:
		return "", fmt.Errorf("%w: %s", errors.ErrUnsupported, how)
	}
}

// sign signs with a key, under the name of the issuer's own.
func (is *Issuer) sign(claims jwt.Claims, key *rsa.PrivateKey) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header["kid"] = is.kid
	s, err := t.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return s, nil
}

func (is *Issuer) handler() http.Handler {
	exponent := big.NewInt(int64(is.key.E)).Bytes()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/muster/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, map[string]any{
			"issuer": is.url, "jwks_uri": is.url + "/protocol/openid-connect/certs",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET /realms/muster/protocol/openid-connect/certs", func(rw http.ResponseWriter, _ *http.Request) {
		writeJSON(rw, map[string]any{"keys": []map[string]any{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": is.kid,
			"n": base64.RawURLEncoding.EncodeToString(is.key.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(exponent),
		}}})
	})
	return mux
}

func writeJSON(rw http.ResponseWriter, body any) {
	rw.Header().Set("Content-Type", "application/json")
	// A failed write means that the caller went away.
	_ = json.NewEncoder(rw).Encode(body)
}
