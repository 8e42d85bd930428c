package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"
)

// algorithm is one way of signing that is taken, and the keys it goes with.
type algorithm struct {
	method jwt.SigningMethod
	fits   func(key any) bool
}

// algorithms is the whole list: asymmetric ones only. none and HS* are absent,
// so no key of ours can ever be used as a shared secret.
var algorithms = map[string]algorithm{
	"RS256": {jwt.SigningMethodRS256, isRSA},
	"RS384": {jwt.SigningMethodRS384, isRSA},
	"RS512": {jwt.SigningMethodRS512, isRSA},
	"PS256": {strictPSS(jwt.SigningMethodPS256), isRSA},
	"PS384": {strictPSS(jwt.SigningMethodPS384), isRSA},
	"PS512": {strictPSS(jwt.SigningMethodPS512), isRSA},
	"ES256": {jwt.SigningMethodES256, onCurve(elliptic.P256())},
	"ES384": {jwt.SigningMethodES384, onCurve(elliptic.P384())},
	"ES512": {jwt.SigningMethodES512, onCurve(elliptic.P521())},
	"EdDSA": {jwt.SigningMethodEdDSA, isEd25519},
}

// strictPSS demands the salt length of RFC 7518 section 3.5, which the library
// only uses when signing.
func strictPSS(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: m.SigningMethodRSA,
		Options:          m.Options,
		VerifyOptions:    &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	}
}

func isRSA(key any) bool {
	_, ok := key.(*rsa.PublicKey)
	return ok
}

// onCurve holds an ES algorithm to its own curve (RFC 7518 section 3.4); the
// library only looks at the length of the signature.
func onCurve(c elliptic.Curve) func(any) bool {
	return func(key any) bool {
		k, ok := key.(*ecdsa.PublicKey)
		return ok && k.Curve == c
	}
}

func isEd25519(key any) bool {
	_, ok := key.(ed25519.PublicKey)
	return ok
}
