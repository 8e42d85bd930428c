package token

import (
	"net/http"
	"strings"
)

// FromHeader returns the token of a request's one Authorization header. It does
// not verify it. The errors are those of FromValues.
func FromHeader(h http.Header) (string, error) {
	return FromValues(h["Authorization"])
}

// FromValues returns the bearer token of the values of the Authorization header
// (RFC 6750 section 2.1): there must be exactly one, with the scheme in any case
// and one token of at most MaxLength bytes. Anything else is a *fault.Error of
// the code invalid_token, with ErrMissing in its chain when there is no value.
func FromValues(values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", invalid("the request has no Authorization header; send a bearer token").Wrap(ErrMissing)
	case 1:
	default:
		return "", invalid("the request has %d Authorization headers; send one", len(values))
	}
	scheme, rest, found := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", invalid("the Authorization header is not of the Bearer scheme")
	}
	raw := strings.TrimLeft(rest, " ")
	if !found || raw == "" {
		return "", invalid("the Authorization header holds no token after Bearer")
	}
	if len(raw) > MaxLength {
		return "", invalid("the token is longer than %d bytes", MaxLength)
	}
	if !isToken68(raw) {
		return "", invalid("the Authorization header must hold exactly one token, of the characters of RFC 6750")
	}
	return raw, nil
}

// isToken68 reports whether s is a b64token of RFC 6750: letters, digits and
// -._~+/ with = only at the end.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	if body == "" {
		return false
	}
	for i := range len(body) {
		c := body[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}
