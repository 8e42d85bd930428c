package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	minRSABits = 2048
	// maxRSABits keeps a hostile set from making each verification slow.
	maxRSABits = 8192
	maxRSAExp  = 1<<31 - 1
)

// key is a public key of a set. Its pointer is its identity: a fetch that brings
// the same key again keeps the pointer, so that cached tokens stay good.
type key struct {
	kid    string
	alg    string
	public any
	// identity is the key's whole content, to recognise it in the next fetch.
	identity string
	// withdrawn is set once a fetched set no longer holds the key.
	withdrawn atomic.Bool
}

// keySet maps kid to its keys. RFC 7517 section 4.5 allows several under one
// kid as long as they are of different kinds. It is immutable.
type keySet map[string][]*key

// find returns the keys of a kid that an algorithm may be verified with.
func (s keySet) find(kid, alg string) []*key {
	var fit []*key
	for _, k := range s[kid] {
		if algorithms[alg].fits(k.public) && (k.alg == "" || k.alg == alg) {
			fit = append(fit, k)
		}
	}
	return fit
}

func (s keySet) kids() []string {
	kids := make([]string, 0, len(s))
	for kid := range s {
		kids = append(kids, kid)
	}
	slices.Sort(kids)
	return kids
}

// parseKeys reads a JWK Set (RFC 7517 section 5). A key that cannot be used here
// is left out: of another kind, for encryption, without kid, malformed or weak.
// A document that is not a set, or has no usable key, is an error.
func parseKeys(document []byte) (keySet, error) {
	set := keySet{}
	found, left := false, 0
	err := eachMember(document, func(m member) error {
		if m.name != "keys" {
			return nil
		}
		found = true
		return m.eachObject(func(raw jsontext.Value) {
			k, err := parseKey(raw)
			if err != nil {
				// Issuers publish keys of kinds to come; they must not cost the others.
				left++
				return
			}
			set[k.kid] = append(set[k.kid], k)
		})
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("the key set %w", err)
	case !found:
		return nil, errors.New(`the key set has no "keys"`)
	case len(set) == 0:
		return nil, fmt.Errorf("the key set holds no key that can verify signatures (%d others)", left)
	}
	return set, nil
}

func (m member) eachObject(visit func(raw jsontext.Value)) error {
	if m.value.Kind() != '[' {
		return m.wrong("an array of objects")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(m.value))
	if _, err := dec.ReadToken(); err != nil {
		return reason(err)
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return reason(err)
		}
		visit(raw)
	}
	return nil
}

// parseKey reads one key. Its x5c and x5u are never looked at, nor is private
// material that an issuer may have published by mistake.
func parseKey(raw jsontext.Value) (*key, error) {
	var jwk jwkset.JWKMarshal
	if raw.Kind() != '{' {
		return nil, errors.New("is not an object")
	}
	if err := eachMember(raw, func(m member) error { return readKeyMember(&jwk, m) }); err != nil {
		return nil, err
	}
	switch {
	case jwk.KID == "":
		return nil, errors.New("has no kid")
	case jwk.USE != "" && jwk.USE != jwkset.UseSig:
		return nil, errors.New("is not for signatures")
	case jwk.KEYOPS != nil && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify):
		return nil, errors.New("is not for verifying")
	case jwk.KTY == jwkset.KtyOct:
		return nil, errors.New("is a shared secret")
	}
	parsed, err := jwkset.NewJWKFromMarshal(jwk, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{
		StrictPadding: true, SkipKeyOps: true, SkipMetadata: true,
	})
	if err != nil {
		return nil, fmt.Errorf("is malformed: %w", err)
	}
	if err := checkStrength(parsed.Key(), jwk.E); err != nil {
		return nil, err
	}
	k := &key{kid: jwk.KID, alg: string(jwk.ALG), public: parsed.Key()}
	k.identity = strings.Join([]string{
		jwk.KID, string(jwk.ALG), string(jwk.KTY), string(jwk.CRV), jwk.N, jwk.E, jwk.X, jwk.Y,
	}, "\x00")
	return k, nil
}

func readKeyMember(jwk *jwkset.JWKMarshal, m member) error {
	field := map[string]func(string){
		"kty": func(s string) { jwk.KTY = jwkset.KTY(s) },
		"use": func(s string) { jwk.USE = jwkset.USE(s) },
		"alg": func(s string) { jwk.ALG = jwkset.ALG(s) },
		"kid": func(s string) { jwk.KID = s },
		"crv": func(s string) { jwk.CRV = jwkset.CRV(s) },
		"x":   func(s string) { jwk.X = s },
		"y":   func(s string) { jwk.Y = s },
		"n":   func(s string) { jwk.N = s },
		"e":   func(s string) { jwk.E = s },
	}[m.name]
	switch {
	case field != nil:
		s, err := m.text()
		if err != nil {
			return err
		}
		field(s)
	case m.name == "key_ops":
		ops, err := m.texts()
		if err != nil {
			return err
		}
		jwk.KEYOPS = make([]jwkset.KEYOPS, 0, len(ops))
		for _, op := range ops {
			jwk.KEYOPS = append(jwk.KEYOPS, jwkset.KEYOPS(op))
		}
	}
	return nil
}

// checkStrength refuses keys that would verify anything, nothing, or too slowly.
func checkStrength(public any, exponent string) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("is an RSA key of %d bits, outside %d to %d", bits, minRSABits, maxRSABits)
		}
		// The library cuts the exponent to a machine word, so its text is looked
		// at too: 4 bytes are 6 characters.
		if k.E < 3 || k.E > maxRSAExp || k.E%2 == 0 || len(exponent) > 6 {
			return errors.New("is an RSA key with an exponent out of range")
		}
	case *ecdsa.PublicKey:
		if _, err := k.ECDH(); err != nil {
			return errors.New("is a point that is not on its curve")
		}
	}
	return nil
}

// renew returns next with the keys that it shares with old kept by pointer, and
// marks those that are gone.
func renew(old, next keySet) keySet {
	for kid, keys := range old {
		for _, was := range keys {
			i := slices.IndexFunc(next[kid], func(k *key) bool { return k.identity == was.identity })
			if i < 0 {
				was.withdrawn.Store(true)
				continue
			}
			next[kid][i] = was
		}
	}
	return next
}
