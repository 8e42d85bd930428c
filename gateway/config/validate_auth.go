package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strings"
	"time"
)

func (c *checker) auth(a *Auth) {
	single := a.Issuer != "" || a.Audience != ""
	switch {
	case single && len(a.Issuers) > 0:
		c.wrong("auth.issuers", "is set beside auth.issuer or auth.audience")
	case len(a.Issuers) > 0:
		c.issuers(a.Issuers)
		if a.DiscoveryURL != "" {
			c.wrong("auth.discoveryURL", "goes with auth.issuer; in auth.issuers each entry has its own")
		}
	case c.skip["auth.issuers"]:
		// What it would have said is not known.
	default:
		c.single(a)
	}
	c.certificates("auth.caFile", a.CAFile)
	if a.ClientID != "" && a.ClientSecret == "" && !c.secretIsBroken() {
		c.wrong("auth.clientID", "is set without auth.clientSecretFile")
	}
	if a.ClientID == "" && a.ClientSecret != "" {
		c.wrong("auth.clientID", "is missing beside its secret")
	}
	c.between("auth.maxKeyAge", a.MaxKeyAge, time.Minute, 1<<62)
	c.between("auth.leeway", a.Leeway, 0, time.Minute)
}

// secretIsBroken reports whether a client secret was meant but could not be
// had; its own mistake is in the list then.
func (c *checker) secretIsBroken() bool {
	for _, m := range c.r.found.mistakes {
		if strings.HasPrefix(m.Key, "auth.clientSecret") {
			return true
		}
	}
	return false
}

func (c *checker) single(a *Auth) {
	if a.Issuer == "" {
		c.wrong("auth.issuer", "is required: without it no token could be believed")
	} else {
		c.url("auth.issuer", a.Issuer)
	}
	if a.Audience == "" {
		c.wrong("auth.audience", "is required: without it a token for any other service would do")
	}
	if a.DiscoveryURL != "" {
		c.url("auth.discoveryURL", a.DiscoveryURL)
	}
}

func (c *checker) issuers(all []Issuer) {
	const key = "auth.issuers"
	seen := map[string]bool{}
	for i, is := range all {
		if problem := urlProblem(is.Issuer); problem != "" {
			c.wrong(key, "[%d].issuer %s", i, problem)
		}
		if is.Audience == "" {
			c.wrong(key, "[%d].audience is missing", i)
		}
		if seen[is.Issuer] {
			c.wrong(key, "[%d].issuer stands there a second time", i)
		}
		seen[is.Issuer] = true
		if i > 0 && is.UsernamePrefix == "" {
			c.wrong(key, "[%d].usernamePrefix is missing: its users could pass for those of the first", i)
		}
		if i > 0 && is.GroupsPrefix == "" {
			c.wrong(key, "[%d].groupsPrefix is missing: its groups could pass for those of the first", i)
		}
		if is.DiscoveryURL != "" {
			if problem := urlProblem(is.DiscoveryURL); problem != "" {
				c.wrong(key, "[%d].discoveryURL %s", i, problem)
			}
		}
	}
}

func (c *checker) url(key, text string) {
	if problem := urlProblem(text); problem != "" {
		c.wrong(key, "%s", problem)
	}
}

// urlProblem says what keeps a text from being an issuer's address; empty when
// nothing does. It does not quote the text, which may hold a password.
func urlProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return "is missing"
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return "is not an absolute http or https URL"
	case u.User != nil:
		return "holds a user name or password"
	case u.RawQuery != "" || u.Fragment != "" || strings.Contains(text, "#"):
		return "has a query or a fragment"
	}
	return ""
}

// certificates checks a file of certificates, when one is named.
func (c *checker) certificates(key, name string) {
	if name == "" {
		return
	}
	data, err := readFile(name, maxFile)
	if err != nil {
		c.wrong(key, "cannot be read: %v", err)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		c.wrong(key, "%s holds no certificate", name)
	}
}

// pair checks a certificate and its key, when either is named.
func (c *checker) pair(certKey, cert, keyKey, key string) {
	switch {
	case cert == "" && key == "":
		return
	case key == "":
		c.wrong(certKey, "is set without %s", keyKey)
		return
	case cert == "":
		c.wrong(keyKey, "is set without %s", certKey)
		return
	}
	readable := true
	for _, f := range []struct{ key, name string }{{certKey, cert}, {keyKey, key}} {
		if _, err := os.Stat(f.name); err != nil {
			readable = false
			c.wrong(f.key, "cannot be read: %v", err)
		}
	}
	if !readable {
		return
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		c.wrong(certKey, "and %s do not make a certificate: %v", keyKey, err)
	}
}
