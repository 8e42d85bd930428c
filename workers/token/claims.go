package token

import (
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// checkHeader holds the header to the rules that need no key.
func (t *unverified) checkHeader() *fault.Error {
	h := &t.header
	if _, ok := algorithms[h.alg]; !ok {
		return invalid("the token's algorithm is not one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA")
	}
	if h.hasCrit {
		return invalid("the token's header has crit, and no extension is understood here")
	}
	if h.kid == "" {
		return invalid("the token's header has no kid")
	}
	return t.checkType()
}

// checkType tells access tokens from the other tokens an issuer signs with the
// same keys: RFC 9068 says so in the header, Keycloak in the payload. One of the
// two must be there, and neither may say something else.
func (t *unverified) checkType() *fault.Error {
	headerSays := false
	switch typ := strings.ToLower(t.header.typ); strings.TrimPrefix(typ, "application/") {
	case "at+jwt":
		headerSays = true
	case "", "jwt":
	default:
		return invalid("the token is not an access token: its header's typ is neither at+jwt nor JWT")
	}
	switch {
	case t.claims.typ != "" && t.claims.typ != "Bearer":
		return invalid("the token is not an access token: its typ claim is not Bearer")
	case t.claims.typ == "" && !headerSays:
		return invalid("the token is not an access token: neither its header's typ is at+jwt nor its typ claim Bearer")
	}
	return nil
}

// checkClaims holds the claims to the rules of an issuer at a moment.
func (t *unverified) checkClaims(is *Issuer, now time.Time, leeway time.Duration) *fault.Error {
	c := &t.claims
	switch {
	case c.audience == nil:
		return invalid("the token has no aud")
	case !slices.Contains(c.audience, is.Audience):
		return invalid("the token was not issued for this service: its aud does not hold %q", is.Audience)
	case !c.hasExp:
		return invalid("the token has no exp")
	case !now.Before(c.exp):
		return expired()
	case c.hasNbf && now.Add(leeway).Before(c.nbf):
		return invalid("the token is not valid yet (nbf)")
	case c.hasIat && now.Add(leeway).Before(c.iat):
		return invalid("the token was issued in the future (iat)")
	case c.sub == "":
		return invalid("the token has no sub, so it names nobody")
	}
	return nil
}

func expired() *fault.Error { return invalid("the token has expired") }

// principal makes the caller out of a token that has passed every check.
func (t *unverified) principal(is *Issuer) *Principal {
	c := &t.claims
	p := &Principal{
		Issuer: c.iss, Subject: c.sub, Username: c.username,
		Email: c.email, EmailVerified: c.emailVerified,
		Groups: c.groups, Client: c.azp, Audience: c.audience, ID: c.jti,
		IssuedAt: c.iat, Expires: c.exp, Claims: t.payload,
	}
	if p.Username == "" {
		p.Username = p.Subject
	}
	p.Username = is.UsernamePrefix + p.Username
	if is.GroupsPrefix != "" {
		for i := range p.Groups {
			p.Groups[i] = is.GroupsPrefix + p.Groups[i]
		}
	}
	if is.MapRoles {
		p.RealmRoles = c.realmRoles
	}
	return p
}
