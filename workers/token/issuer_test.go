package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const audience = "muster"

// signer is a key that test tokens are signed with.
type signer struct {
	kid, alg string
	private  crypto.Signer
}

var (
	rsaKeys = [2]func() crypto.Signer{makeRSA(2048), makeRSA(2048)}
	weakRSA = makeRSA(1024)
	ecKeys  = map[string]func() crypto.Signer{
		"ES256": makeEC(elliptic.P256()), "ES384": makeEC(elliptic.P384()), "ES512": makeEC(elliptic.P521()),
	}
	edKey = sync.OnceValue(func() crypto.Signer {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func makeRSA(bits int) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, bits)) })
}

func makeEC(c elliptic.Curve) func() crypto.Signer {
	return sync.OnceValue(func() crypto.Signer { return must(ecdsa.GenerateKey(c, rand.Reader)) })
}

func rs256(kid string) signer { return signer{kid: kid, alg: "RS256", private: rsaKeys[0]()} }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the signer's public key as a set shows it.
func (s signer) jwk() map[string]any {
	k := map[string]any{"kid": s.kid, "use": "sig", "alg": s.alg}
	switch p := s.private.Public().(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		half := (len(point) - 1) / 2
		k["kty"], k["crv"] = "EC", p.Curve.Params().Name
		k["x"], k["y"] = b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(p)
	}
	return k
}

// sign makes a token out of the texts of a header and a payload, whatever they
// hold.
func (s signer) sign(header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(must(jwt.GetSigningMethod(s.alg).Sign(input, s.private)))
}

func (s signer) header() string {
	return `{"alg":"` + s.alg + `","typ":"JWT","kid":"` + s.kid + `"}`
}

// issuer is an issuer in this process, over a real socket.
type issuer struct {
	url     string
	server  *httptest.Server
	fetches atomic.Int64

	mu        sync.Mutex
	keys      []map[string]any
	document  []byte // served in place of keys when set
	discovery []byte // served in place of the right one when set
	status    int    // of both, when set
	hold      chan struct{}
}

func newIssuer(t *testing.T, signers ...signer) *issuer {
	t.Helper()
	i := &issuer{}
	i.show(signers...)
	i.serve()
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/muster/.well-known/openid-configuration", i.serveDiscovery)
	mux.HandleFunc("GET /keys", i.serveKeys)
	return mux
}

func (i *issuer) serve() {
	i.server = httptest.NewServer(i.routes())
	i.url = i.server.URL + "/realms/muster"
}

func (i *issuer) show(signers ...signer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = nil
	for _, s := range signers {
		i.keys = append(i.keys, s.jwk())
	}
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.status != 0 {
		w.WriteHeader(i.status)
		return
	}
	body := i.discovery
	if body == nil {
		body = must(json.Marshal(map[string]any{"issuer": i.url, "jwks_uri": i.server.URL + "/keys", "token_endpoint": i.server.URL + "/token"}))
	}
	must(w.Write(body))
}

func (i *issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	i.fetches.Add(1)
	i.mu.Lock()
	hold, status, body := i.hold, i.status, i.document
	if body == nil {
		body = must(json.Marshal(map[string]any{"keys": i.keys}))
	}
	i.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	must(w.Write(body))
}

// claims are those of a good token, changed; nil removes one.
func (i *issuer) claims(changes map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": i.url, "aud": []string{"account", audience}, "sub": "5f0c6e1c-alice", "typ": "Bearer",
		"exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "jti": "1", "azp": "muster-cli",
		"preferred_username": "alice", "email": "alice@example.org", "email_verified": true,
		"groups": []string{"/engineering"}, "realm_access": map[string]any{"roles": []string{"muster-admin"}},
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func (i *issuer) payload(changes map[string]any) string {
	return string(must(json.Marshal(i.claims(changes))))
}

func (i *issuer) token(s signer, changes map[string]any) string {
	return s.sign(s.header(), i.payload(changes))
}

func (i *issuer) config() token.Config {
	return token.Config{Issuers: []token.Issuer{{Issuer: i.url, Audience: audience, MapRoles: true}}}
}

func start(t *testing.T, c token.Config) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// clock is a clock that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// eventually waits for a condition that background work brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}
