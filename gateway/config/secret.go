package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// hidden is what a secret looks like wherever it is printed.
const hidden = "(secret)"

// Secret is text that no log, error, dump or JSON may show. Reveal alone gives
// it away.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns "(secret)", or nothing when there is none.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format writes String for every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { writeState(f, s.String()) }

// MarshalText makes JSON and YAML show String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue makes slog show String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// StoreURL is the address of the store; printed, its password is left out.
type StoreURL string

// Reveal returns the address with its password.
func (s StoreURL) Reveal() string { return string(s) }

// Path returns the file of an embedded store; ok is false for any other store.
func (s StoreURL) Path() (path string, ok bool) {
	return strings.CutPrefix(string(s), "duckdb:")
}

// Postgres reports whether the address is one of PostgreSQL.
func (s StoreURL) Postgres() bool {
	return strings.HasPrefix(string(s), "postgres://") || strings.HasPrefix(string(s), "postgresql://")
}

// String returns the address with (secret) in place of a password.
func (s StoreURL) String() string {
	if !s.Postgres() {
		if _, ok := s.Path(); !ok && s != "" {
			// Neither form: there is no telling which part is the password.
			return hidden
		}
		return string(s)
	}
	u, err := url.Parse(string(s))
	if err != nil {
		return hidden
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		shown += u.User.Username()
		if _, has := u.User.Password(); has {
			shown += ":" + hidden
		}
		shown += "@"
	}
	shown += u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		// Options may hold a password or a key's path.
		shown += "?" + hidden
	}
	return shown
}

// hasPassword reports whether the address holds a password, in either place
// where PostgreSQL's clients take one.
func (s StoreURL) hasPassword() bool {
	u, err := url.Parse(string(s))
	if err != nil {
		return s.Postgres()
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// Format writes String for every verb.
func (s StoreURL) Format(f fmt.State, _ rune) { writeState(f, s.String()) }

// MarshalText makes JSON and YAML show String.
func (s StoreURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue makes slog show String.
func (s StoreURL) LogValue() slog.Value { return slog.StringValue(s.String()) }

func writeState(f fmt.State, text string) {
	// fmt.State reports a failed write through the printing function itself.
	_, _ = f.Write([]byte(text))
}
