// Package token verifies Keycloak access tokens offline. It is the one verifier
// of Muster: the worker SDK and the gateway both use it. It needs no cgo.
package token

import (
	"slices"
	"time"
)

// Principal is who is calling, taken from a verified token. It is immutable and
// safe for concurrent use.
type Principal struct {
	// Issuer is the token's iss, exactly as configured.
	Issuer string
	// Subject is sub: the stable id.
	Subject string
	// Username is preferred_username, with the issuer's prefix when it has one;
	// sub when the claim is absent.
	Username string
	// Email and EmailVerified are the claims of those names.
	Email         string
	EmailVerified bool
	// Groups are the paths of the groups claim, as sent; nil when the claim is
	// absent, empty and not nil when it is there and empty.
	Groups []string
	// RealmRoles are realm_access.roles; empty for an issuer without mapRoles.
	RealmRoles []string
	// Client is azp.
	Client string
	// Audience is aud as a list.
	Audience []string
	// ID is jti.
	ID string
	// IssuedAt and Expires are iat (zero when absent) and exp.
	IssuedAt time.Time
	Expires  time.Time
	// Claims is the token's payload: one JSON object, verified and read strictly.
	// It must not be changed.
	Claims []byte
}

// HasRealmRole reports whether the principal holds a realm role.
func (p *Principal) HasRealmRole(role string) bool {
	return slices.Contains(p.RealmRoles, role)
}

// HasAudience reports whether the token was issued for an audience.
func (p *Principal) HasAudience(audience string) bool {
	return slices.Contains(p.Audience, audience)
}
