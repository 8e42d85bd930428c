package devissuer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

const (
	signingAlg = "RS256"
	keyBits    = 2048
)

// keyring holds the signing keys; the last one signs, the published ones are
// shown. It is safe for concurrent use.
type keyring struct {
	mu   sync.Mutex
	keys []signingKey
}

type signingKey struct {
	kid       string
	private   *rsa.PrivateKey
	published bool
}

func newKeyring() (*keyring, error) {
	r := &keyring{}
	_, err := r.rotate()
	return r, err
}

// rotate makes a new key the signing one; the others stay published.
func (r *keyring) rotate() (kid string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return "", fmt.Errorf("development issuer: make a key: %w", err)
	}
	sum := sha256.Sum256(private.N.Bytes())
	kid = base64.RawURLEncoding.EncodeToString(sum[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, signingKey{kid: kid, private: private, published: true})
	return kid, nil
}

// withdraw takes a key out of the published set; it reports whether it was there.
func (r *keyring) withdraw(kid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.keys, func(k signingKey) bool { return k.kid == kid && k.published })
	if i < 0 {
		return false
	}
	r.keys[i].published = false
	return true
}

func (r *keyring) kids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kids []string
	for _, k := range r.keys {
		if k.published {
			kids = append(kids, k.kid)
		}
	}
	return kids
}

// sign signs with the newest key. Members of header replace the usual ones.
func (r *keyring) sign(header, claims map[string]any) (string, error) {
	r.mu.Lock()
	k := r.keys[len(r.keys)-1]
	r.mu.Unlock()
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims(claims))
	t.Header["kid"] = k.kid
	maps.Copy(t.Header, header)
	signed, err := t.SignedString(k.private)
	if err != nil {
		return "", fmt.Errorf("development issuer: sign: %w", err)
	}
	return signed, nil
}

// public is the JWK Set, with an encryption key beside the signing ones, as
// Keycloak's has.
func (r *keyring) public() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := []map[string]string{}
	for _, k := range r.keys {
		if k.published {
			keys = append(keys, jwk(k, "sig", signingAlg, k.kid))
		}
	}
	if len(keys) > 0 {
		keys = append(keys, jwk(r.keys[0], "enc", "RSA-OAEP", "enc-"+r.keys[0].kid))
	}
	return map[string]any{"keys": keys}
}

func jwk(k signingKey, use, alg, kid string) map[string]string {
	return map[string]string{
		"kty": "RSA", "use": use, "alg": alg, "kid": kid,
		"n": base64.RawURLEncoding.EncodeToString(k.private.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.private.E)).Bytes()),
	}
}
