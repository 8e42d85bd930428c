package registry

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURL bounds a worker's url, in bytes.
const maxURL = 2048

// schemes are the ones a worker's url may have, with the transport that each
// means and the port it stands for; 0 when the scheme has no port of its own.
var schemes = map[string]struct {
	transport Transport
	port      string
	secure    bool
}{
	"http":  {TransportREST, "80", false},
	"https": {TransportREST, "443", true},
	"grpc":  {TransportGRPC, "", false},
	"grpcs": {TransportGRPC, "443", true},
}

// address is a worker's url, taken apart.
type address struct {
	key       string // what is unique
	host      string // host:port, the default name
	transport Transport
	secure    bool // over TLS
}

// NormalizeURL returns the form of a worker's url in which two urls are the same
// exactly when their forms are equal: scheme and host in lower case, the host
// without a trailing dot, the default port left out, dot segments resolved,
// escapes of unreserved characters undone and others in upper case, "/" for an
// empty path. The error says what is wrong with a url that a worker may not have.
func NormalizeURL(raw string) (string, error) {
	a, err := parseAddress(raw)
	return a.key, err
}

func parseAddress(raw string) (address, error) {
	switch {
	case raw == "":
		return address{}, errors.New("is missing; give the worker's absolute url, such as http://host:8080/filter")
	case len(raw) > maxURL:
		return address{}, fmt.Errorf("is %d bytes long; at most %d are taken", len(raw), maxURL)
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return address{}, errors.New("holds white space, a control character or a backslash")
	case strings.Contains(raw, "#"):
		return address{}, errors.New("has a fragment; leave out # and what follows it")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the url, which may hold a password.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		if strings.Contains(raw, "@") {
			return address{}, errors.New("cannot be read as a url")
		}
		return address{}, fmt.Errorf("cannot be read as a url: %w", err)
	}
	scheme, known := schemes[u.Scheme] // url.Parse has put it in lower case
	switch {
	case !known || u.Opaque != "":
		return address{}, errors.New("is not absolute with scheme http, https, grpc or grpcs")
	case u.User != nil:
		return address{}, errors.New("holds a user or password; leave out what stands before @")
	case u.Hostname() == "":
		return address{}, errors.New("has no host")
	}
	host, err := normalizeHost(u.Hostname())
	if err != nil {
		return address{}, err
	}
	port, err := normalizePort(u.Host, u.Port(), scheme.port)
	if err != nil {
		return address{}, err
	}
	a := address{transport: scheme.transport, secure: scheme.secure}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	a.host = host
	if port != "" {
		a.host += ":" + port
	}
	a.key = u.Scheme + "://" + host
	if port != "" && port != scheme.port {
		a.key += ":" + port
	}
	a.key += normalizePath(u)
	if u.RawQuery != "" || u.ForceQuery {
		a.key += "?" + normalizeEscapes(u.RawQuery)
	}
	return a, nil
}

func normalizeHost(host string) (string, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "" || len(host) > 253 {
		return "", errors.New("has a host that is empty or longer than 253 characters")
	}
	for _, r := range host {
		if r > 0x7e {
			return "", errors.New("has a host with characters outside ASCII; write it in its xn-- form")
		}
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", r) {
			return "", fmt.Errorf("has a host with the character %q", r)
		}
	}
	return host, nil
}

func normalizePort(hostport, port, standard string) (string, error) {
	if port == "" {
		if strings.HasSuffix(hostport, ":") {
			return "", errors.New("ends its host with a colon but names no port")
		}
		if standard == "" {
			return "", errors.New("has no port, and its scheme has none by default; write host:port")
		}
		return standard, nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", errors.New("has a port outside 1 to 65535")
	}
	return strconv.FormatUint(n, 10), nil
}

// normalizePath resolves dot segments (RFC 3986, section 5.2.4); empty segments
// stay, they may mean something to the worker.
func normalizePath(u *url.URL) string {
	c := *u
	c.RawPath = normalizeEscapes(u.EscapedPath())
	if p := c.ResolveReference(&c).EscapedPath(); p != "" {
		return p
	}
	return "/"
}

// normalizeEscapes undoes escapes of unreserved characters and writes the others
// in upper case (RFC 3986, sections 6.2.2.1 and 6.2.2.2).
func normalizeEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				if unreserved(byte(n)) {
					b.WriteByte(byte(n))
				} else {
					b.WriteString(strings.ToUpper(s[i : i+3]))
				}
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
