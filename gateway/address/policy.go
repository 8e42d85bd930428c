// Package address decides which network addresses a worker may have and dials
// no others (fleet specification, section 7). A registration names a host, and
// whoever names a host could point the gateway at a cloud's metadata service or
// at its own loopback; so every address that a name resolves to is judged at
// registration and again on every dial, and the address that was judged is the
// one that is dialled.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Policy says which addresses workers may have. The zero value, and a nil
// *Policy, allow none. It is safe for concurrent use as long as nobody changes
// Allowed.
type Policy struct {
	// Allowed are the ranges that workers may live in. The ranges that are
	// always refused stay refused inside them.
	Allowed []netip.Prefix
}

// Refused is the error for an address that a worker may not have. No connection
// was attempted, so nothing in it tells open ports from closed ones.
type Refused struct {
	// Host is the host as it was asked for.
	Host string
	// Addr is the refused address that Host stands for.
	Addr netip.Addr
	// Reason says in a few words why Addr is refused.
	Reason string
}

// Error names the host, the address and the reason.
func (r *Refused) Error() string {
	if r.Host == "" || r.Host == r.Addr.String() {
		return fmt.Sprintf("address %s may not be a worker's: %s", r.Addr, r.Reason)
	}
	return fmt.Sprintf("host %q has address %s, which may not be a worker's: %s", r.Host, r.Addr, r.Reason)
}

const (
	reasonZone       = "an address with a zone means something else on every host"
	reasonNotAllowed = "it is in none of the allowed ranges (workers.allowedCIDRs)"
	reasonInvalid    = "it is not an IP address"
)

// forbidden is a range that is refused even inside allowed ranges.
type forbidden struct {
	prefix netip.Prefix
	reason string
}

// never holds the always refused ranges. Metadata services are named one by one
// because they live inside ranges that are otherwise fit for workers.
var never = []forbidden{
	{netip.MustParsePrefix("0.0.0.0/8"), "0.0.0.0/8 means this host or this network"},
	{netip.MustParsePrefix("169.254.0.0/16"), "169.254.0.0/16 is link-local and holds metadata services"},
	{netip.MustParsePrefix("224.0.0.0/4"), "it is a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "it is the broadcast address"},
	{netip.MustParsePrefix("100.100.100.200/32"), "it is a metadata service"},
	{netip.MustParsePrefix("::/128"), "it is the unspecified address"},
	{netip.MustParsePrefix("fe80::/10"), "fe80::/10 is link-local"},
	{netip.MustParsePrefix("ff00::/8"), "it is a multicast address"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "it is a metadata service"},
	{netip.MustParsePrefix("fd20:ce::254/128"), "it is a metadata service"},
}

// Private returns the ranges that `muster serve` allows by default: the private
// ones without loopback.
func Private() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("fc00::/7"),
	}
}

// Loopback returns the loopback ranges, which `muster dev` allows as well.
func Loopback() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("::1/128"),
	}
}

// Check returns nil when a worker may have addr and a *Refused otherwise.
// Addresses that carry an IPv4 address are judged by it, since that is where
// the packets end up.
func (p *Policy) Check(addr netip.Addr) error {
	if reason := p.judge(addr); reason != "" {
		return &Refused{Addr: addr, Reason: reason}
	}
	return nil
}

func (p *Policy) judge(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return reasonInvalid
	case addr.Zone() != "":
		// Prefix.Contains is false for zoned addresses; judging them by it would
		// slip them past the ranges that are always refused.
		return reasonZone
	}
	inner, carries := embedded(addr)
	if !carries {
		return p.judgePlain(addr)
	}
	for _, a := range inner {
		if reason := p.judgePlain(a); reason != "" {
			return "it carries " + a.String() + "; " + reason
		}
	}
	return ""
}

func (p *Policy) judgePlain(addr netip.Addr) string {
	for _, f := range never {
		if f.prefix.Contains(addr) {
			return f.reason
		}
	}
	if p != nil {
		for _, allowed := range p.Allowed {
			if allowed.Contains(addr) {
				return ""
			}
		}
	}
	return reasonNotAllowed
}

// ParseCIDRs reads ranges such as "10.0.0.0/8" or "fc00::/7"; a single address
// stands for itself. All mistakes are reported at once, in one error.
func ParseCIDRs(list []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(list))
	var mistakes []error
	for _, entry := range list {
		prefix, err := parseCIDR(strings.TrimSpace(entry))
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	return prefixes, nil
}

func parseCIDR(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		s = netip.PrefixFrom(addr, addr.BitLen()).String()
	}
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is not an address range; write it like 10.0.0.0/8 or fc00::/7", s)
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 range in IPv6 clothes; write the IPv4 range, which covers both", s)
	case prefix != prefix.Masked():
		// A slip here opens more than was meant, so it is not masked silently.
		return netip.Prefix{}, fmt.Errorf("%q has bits set after its first %d; write %s, or %s for the one address",
			s, prefix.Bits(), prefix.Masked(), netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
	return prefix, nil
}
