package token

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

// Defaults and bounds of a Verifier.
const (
	// MaxLength is the longest token that is looked at, in bytes.
	MaxLength = 16 << 10
	// DefaultMaxKeyAge is how long the last good keys serve without a new fetch.
	DefaultMaxKeyAge = 24 * time.Hour
	// DefaultLeeway is what nbf and iat may lie in the future; exp has none.
	DefaultLeeway = 5 * time.Second
	// DefaultCacheSize is how many verified tokens are kept.
	DefaultCacheSize = 10_000
	// DefaultRefreshInterval is how often the keys are fetched in the background.
	DefaultRefreshInterval = 5 * time.Minute
)

// Config is what a Verifier needs. Only Issuers is required.
type Config struct {
	// Issuers are those whose tokens are taken; the first is the primary one.
	Issuers []Issuer
	// CAFile is a PEM file of authorities that are trusted for the issuers,
	// beside the system's. It is read again when it changes. HTTPClient, when
	// set, makes it meaningless.
	CAFile string
	// MaxKeyAge is how long keys serve after the last good fetch; 0 means
	// DefaultMaxKeyAge.
	MaxKeyAge time.Duration
	// Leeway is what nbf and iat may lie in the future; 0 means DefaultLeeway,
	// a negative value none at all.
	Leeway time.Duration
	// CacheSize bounds the cache of verified tokens; 0 means DefaultCacheSize.
	// A token with more than 2 KiB of claims counts more than once.
	CacheSize int
	// RefreshInterval is how often keys are fetched in the background; 0 means
	// DefaultRefreshInterval.
	RefreshInterval time.Duration
	// Logger takes what happens to the keys; nil discards it. Tokens and claims
	// are never logged.
	Logger *slog.Logger
	// HTTPClient fetches discovery documents and keys; nil means NewHTTPClient
	// with CAFile.
	HTTPClient *http.Client
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Issuer is one authority whose tokens are taken.
type Issuer struct {
	// Issuer is the exact value of iss: an absolute http or https URL.
	Issuer string
	// Audience must be among the token's aud.
	Audience string
	// DiscoveryURL is the address of the discovery document when it is not below
	// Issuer. The document must name Issuer all the same.
	DiscoveryURL string
	// UsernamePrefix and GroupsPrefix are put before the user name and every
	// group of this issuer's tokens, so that two issuers cannot speak of the same
	// person. They are mandatory for all issuers but the first.
	UsernamePrefix string
	GroupsPrefix   string
	// MapRoles makes realm roles of realm_access.roles; without it this issuer's
	// principals have none.
	MapRoles bool
}

// validate reports every mistake at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Issuers) == 0 {
		bad("no issuer is configured; at least one with its audience is required")
	}
	seen := make(map[string]bool, len(c.Issuers))
	for i, is := range c.Issuers {
		if seen[is.Issuer] {
			bad("issuers[%d]: issuer %q is there twice", i, is.Issuer)
		}
		seen[is.Issuer] = true
		errs = append(errs, is.validate(i)...)
	}
	if c.MaxKeyAge < 0 {
		bad("maxKeyAge is %s; it must be above 0", c.MaxKeyAge)
	}
	if c.CacheSize < 0 {
		bad("cacheSize is %d; it must be above 0", c.CacheSize)
	}
	if c.RefreshInterval < 0 {
		bad("refreshInterval is %s; it must be above 0", c.RefreshInterval)
	}
	return errors.Join(errs...)
}

func (is Issuer) validate(i int) []error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("issuers[%d]: "+format, append([]any{i}, args...)...))
	}
	switch {
	case is.Issuer == "":
		bad("issuer is missing; give the exact URL that the tokens carry as iss")
	default:
		if err := absoluteURL(is.Issuer); err != nil {
			bad("issuer %q %w", is.Issuer, err)
		}
	}
	if is.Audience == "" {
		bad("audience is missing; without one any token of the realm would be taken")
	}
	if is.DiscoveryURL != "" {
		if err := absoluteURL(is.DiscoveryURL); err != nil {
			bad("discoveryURL %q %w", is.DiscoveryURL, err)
		}
	}
	if i > 0 && is.UsernamePrefix == "" {
		bad("usernamePrefix is missing; every issuer but the first needs one")
	}
	if i > 0 && is.GroupsPrefix == "" {
		bad("groupsPrefix is missing; every issuer but the first needs one")
	}
	return errs
}

func absoluteURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("is not an absolute http or https URL")
	case u.User != nil:
		return errors.New("holds user information, which has no place there")
	case u.Fragment != "":
		return errors.New("holds a fragment, which has no place there")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.MaxKeyAge == 0 {
		c.MaxKeyAge = DefaultMaxKeyAge
	}
	switch {
	case c.Leeway == 0:
		c.Leeway = DefaultLeeway
	case c.Leeway < 0:
		c.Leeway = 0
	}
	if c.CacheSize == 0 {
		c.CacheSize = DefaultCacheSize
	}
	if c.RefreshInterval == 0 {
		c.RefreshInterval = DefaultRefreshInterval
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}
