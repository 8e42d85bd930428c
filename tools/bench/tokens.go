package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/muster-fleet/muster/tools/bench/cputime"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	cachedName    = "cached token, against RS256 verification by golang-jwt"
	cachedOwnName = "cached token, against Muster's own RS256 verification"
	cachedAllocs  = "allocations of a cached token"
	tokenAudience = "muster"
	tokenKey      = "bench"
	tokenRounds   = 5
)

func tokenProbe() probe {
	return probe{
		name: "token", run: measureTokens,
		bars: []bar{
			figured(cachedName, "token", bar{asked: 1.0 / 20, stretch: 1.0 / 40}),
			figured(cachedOwnName, "token", bar{asked: 1.0 / 20, stretch: 1.0 / 40}),
			figured(cachedAllocs, "token", bar{asked: 1, exact: true}),
		},
	}
}

// testIssuer signs tokens and shows its key on loopback.
type testIssuer struct {
	url string
	key *rsa.PrivateKey
}

// newTestIssuer serves until ctx ends.
func newTestIssuer(ctx context.Context, l net.Listener) (*testIssuer, <-chan error, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	i := &testIssuer{url: "http://" + l.Addr().String() + "/realms/bench", key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // a failed write means that the client went away
	}
	mux.HandleFunc("GET /realms/bench/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": i.url, "jwks_uri": i.url + "/certs", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /realms/bench/certs", func(w http.ResponseWriter, _ *http.Request) {
		b64 := base64.RawURLEncoding.EncodeToString
		answer(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": tokenKey, "alg": "RS256", "use": "sig",
			"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	done := make(chan error, 1)
	go func() { done <- serveHTTP(ctx, l, mux) }()
	return i, done, nil
}

// sign returns a token of about a thousand bytes, as Keycloak's are.
func (i *testIssuer) sign(jti int) (string, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": i.url, "aud": tokenAudience, "sub": "8c9e6679-7425-40de-944b-e07fc1f90ae7", "typ": "Bearer", "azp": "muster-cli",
		"preferred_username": "alice", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "jti": fmt.Sprintf("%036d", jti),
		"groups": []string{"/plant/graz", "/plant/linz/assembly"}, "scope": "openid profile email",
		"realm_access": map[string]any{"roles": []string{"offline_access", "uma_authorization", "viewer"}},
	})
	t.Header["kid"] = tokenKey
	return t.SignedString(i.key)
}

// tokenTimes are nanoseconds a token, and objects.
type tokenTimes struct{ cached, own, peer, allocations []float64 }

func measureTokens(ctx context.Context, _ *bench) (f figure, err error) {
	ctx, cancel := context.WithCancel(ctx)
	listeners, err := listen(ctx, 1)
	if err != nil {
		cancel()
		return f, err
	}
	issuer, done, err := newTestIssuer(ctx, listeners[0])
	if err != nil {
		cancel()
		return f, errors.Join(err, listeners[0].Close())
	}
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	raws := make([]string, 2_000)
	for i := range raws {
		if raws[i], err = issuer.sign(i); err != nil {
			return f, err
		}
	}
	var all tokenTimes
	for range tokenRounds {
		if err := issuer.round(ctx, raws, &all); err != nil {
			return f, err
		}
	}
	own, peer, cached := middle(all.own), middle(all.peer), middle(all.cached)
	return figure{
		Title: "Tokens", Values: map[string]value{
			cachedName: over(all.cached, all.peer).asValue(), cachedOwnName: over(all.cached, all.own).asValue(),
			cachedAllocs: counted(middle(all.allocations)),
		},
		Rows: [][]string{
			{"what", "ns"}, {"cached", fmt.Sprintf("%.0f", cached)},
			{"RS256 verified by Muster", fmt.Sprintf("%.0f", own)}, {"RS256 verified by golang-jwt, claims checked", fmt.Sprintf("%.0f", peer)},
		},
		Notes: []string{fmt.Sprintf("Tokens of %d bytes, keys of 2048 bits, in this process, CPU time of one thread.", len(raws[0]))},
	}, nil
}

// round times a cached token, tokens that nobody has seen, and the peer, one
// after the other.
func (i *testIssuer) round(ctx context.Context, raws []string, all *tokenTimes) error {
	v, err := token.NewVerifier(ctx, token.Config{Issuers: []token.Issuer{{Issuer: i.url, Audience: tokenAudience}}})
	if err != nil {
		return err
	}
	defer v.Close()
	// The first one waits for the keys.
	if _, err := v.Verify(ctx, raws[0]); err != nil {
		return err
	}
	each, _, err := timeEach(len(raws)-1, func(n int) error {
		_, err := v.Verify(ctx, raws[n+1])
		return err
	})
	if err != nil {
		return err
	}
	all.own = append(all.own, each)
	each, objects, err := timeEach(100_000, func(int) error {
		_, err := v.Verify(ctx, raws[0])
		return err
	})
	if err != nil {
		return err
	}
	all.cached, all.allocations = append(all.cached, each), append(all.allocations, objects)
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(i.url), jwt.WithAudience(tokenAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	each, _, err = timeEach(len(raws), func(n int) error {
		_, err := parser.Parse(raws[n], func(*jwt.Token) (any, error) { return &i.key.PublicKey, nil })
		return err
	})
	all.peer = append(all.peer, each)
	return err
}

// timeEach calls do n times and returns nanoseconds of this thread's CPU time
// and objects a call.
func timeEach(n int, do func(int) error) (ns, objects float64, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC() // what was left behind before is nobody's here
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, err := cputime.Thread()
	if err != nil {
		return 0, 0, err
	}
	for i := range n {
		if err := do(i); err != nil {
			return 0, 0, err
		}
	}
	ended, err := cputime.Thread()
	runtime.ReadMemStats(&after)
	return float64(ended-began) / float64(n), float64(after.Mallocs-before.Mallocs) / float64(n), err
}
