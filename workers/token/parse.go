package token

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
)

// unverified is a token that has been read, and nothing more.
type unverified struct {
	signingInput string
	signature    []byte
	header       header
	claims       claims
	payload      []byte
}

type header struct {
	alg string
	kid string
	typ string
	// hasCrit is set for a crit member of any content: no extension of it is
	// understood here (RFC 7515 section 4.1.11).
	hasCrit bool
}

type claims struct {
	iss, sub, typ, azp, jti string
	username, email         string
	emailVerified           bool
	audience                []string
	groups, realmRoles      []string
	exp, nbf, iat           time.Time
	hasExp, hasNbf, hasIat  bool
}

// segment is base64url without padding; Strict refuses loose trailing bits, and
// isSegment keeps out the line breaks that the decoder would skip.
var segment = base64.RawURLEncoding.Strict()

func parse(raw string) (*unverified, *fault.Error) {
	if len(raw) > MaxLength {
		return nil, invalid("the token is longer than %d bytes", MaxLength)
	}
	head, rest, ok1 := strings.Cut(raw, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || strings.Contains(sig, ".") {
		return nil, invalid("the token is not a signed JWT: it must have three parts")
	}
	t := &unverified{signingInput: raw[:len(raw)-len(sig)-1]}
	headBytes, err := decodeSegment("header", head)
	if err != nil {
		return nil, err
	}
	if t.payload, err = decodeSegment("payload", body); err != nil {
		return nil, err
	}
	if t.signature, err = decodeSegment("signature", sig); err != nil {
		return nil, err
	}
	if err := eachMember(headBytes, t.header.read); err != nil {
		return nil, invalid("the token's header %s", err.Error())
	}
	if err := eachMember(t.payload, t.claims.read); err != nil {
		return nil, invalid("the token's payload %s", err.Error())
	}
	return t, nil
}

func decodeSegment(part, s string) ([]byte, *fault.Error) {
	if s == "" {
		return nil, invalid("the token's %s is empty", part)
	}
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && c != '-' && c != '_' {
			return nil, invalid("the token's %s is not base64url without padding", part)
		}
	}
	b, err := segment.DecodeString(s)
	if err != nil {
		return nil, invalid("the token's %s is not base64url without padding", part)
	}
	return b, nil
}

// read takes the header's members that count. jku, x5u, jwk and x5c are among
// those that do not: keys come from the issuer's set alone.
func (h *header) read(m member) (err error) {
	switch m.name {
	case "alg":
		h.alg, err = m.text()
	case "kid":
		h.kid, err = m.text()
	case "typ":
		h.typ, err = m.text()
	case "crit":
		h.hasCrit = true
	}
	return err
}

func (c *claims) read(m member) (err error) {
	switch m.name {
	case "iss":
		c.iss, err = m.text()
	case "sub":
		c.sub, err = m.text()
	case "typ":
		c.typ, err = m.text()
	case "azp":
		c.azp, err = m.text()
	case "jti":
		c.jti, err = m.text()
	case "preferred_username":
		c.username, err = m.text()
	case "email":
		c.email, err = m.text()
	case "email_verified":
		c.emailVerified, err = m.boolean()
	case "aud":
		c.audience, err = m.audience()
	case "groups":
		c.groups, err = m.texts()
	case "realm_access":
		c.realmRoles, err = m.roles()
	case "exp":
		c.hasExp = true
		c.exp, err = m.date()
	case "nbf":
		c.hasNbf = true
		c.nbf, err = m.date()
	case "iat":
		c.hasIat = true
		c.iat, err = m.date()
	}
	return err
}

// audience reads aud, which RFC 7519 section 4.1.3 allows to be one string.
func (m member) audience() ([]string, error) {
	switch m.value.Kind() {
	case '"':
		one, err := m.text()
		return []string{one}, err
	case '[':
		if all, err := m.texts(); err == nil {
			return all, nil
		}
	}
	return nil, m.wrong("a string or an array of strings")
}

func (m member) roles() (roles []string, err error) {
	if m.value.Kind() != '{' {
		return nil, m.wrong("an object")
	}
	err = eachMember(m.value, func(inner member) error {
		if inner.name != "roles" {
			return nil
		}
		var err error
		roles, err = inner.texts()
		return err
	})
	return roles, err
}
