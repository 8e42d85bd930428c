package address_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/address"
)

// everything allows every address that can be allowed at all.
var everything = &address.Policy{Allowed: []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
}}

var serveDefault = &address.Policy{Allowed: address.Private()}

var devDefault = &address.Policy{Allowed: append(address.Private(), address.Loopback()...)}

// TestAlwaysRefused holds the ranges that no allowed list opens, in every form
// in which they can be written.
func TestAlwaysRefused(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "0.1.2.3", "0.255.255.255",
		"169.254.0.0", "169.254.169.254", "169.254.255.255",
		"224.0.0.1", "239.255.255.255", "232.1.1.1", "255.255.255.255",
		"100.100.100.200",
		"::", "fe80::1", "fe80::1%lo", "febf:ffff::1", "ff02::1", "ff0e::1", "fd00:ec2::254", "fd20:ce::254",
		"::ffff:0.0.0.0", "::ffff:169.254.169.254", "::ffff:255.255.255.255", "::ffff:100.100.100.200", "::ffff:224.0.0.1",
		"::169.254.169.254", "::100.100.100.200", "::0.0.0.2", "::ffff:0:169.254.169.254",
		"64:ff9b::169.254.169.254", "64:ff9b::0.0.0.0", "64:ff9b::100.100.100.200", "64:ff9b::ffff:ffff",
		"64:ff9b:1::169.254.169.254", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::",
		"64:ff9b:1:0:a9:fea9:fe00:0", "64:ff9b:1:ffff:ffff:ffff:169.254.169.254",
		"2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "2002:0:0::1", "2002:ffff:ffff::1", "2002:6464:64c8::1",
		"2001:0:a9fe:a9fe::", "2001:0:a00:1::5601:5601", "2001:0:a9fe:a9fe::f5ff:fffe",
		"10.0.0.1%eth0",
	} {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			// netip has no zones on IPv4; such text never becomes an address.
			continue
		}
		refused := new(address.Refused)
		if err := everything.Check(addr); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, want it refused", s, err)
		} else if refused.Addr != addr || refused.Reason == "" || !strings.Contains(err.Error(), addr.String()) {
			t.Errorf("%s: incomplete refusal %+v (%v)", s, refused, err)
		}
	}
}

func TestJudgedByTheAllowedRanges(t *testing.T) {
	for _, c := range []struct {
		addr       string
		serve, dev bool
	}{
		{"10.0.0.1", true, true}, {"10.255.255.255", true, true}, {"11.0.0.0", false, false}, {"9.255.255.255", false, false},
		{"172.16.0.1", true, true}, {"172.31.255.255", true, true}, {"172.15.255.255", false, false}, {"172.32.0.0", false, false},
		{"192.168.7.7", true, true}, {"192.169.0.1", false, false},
		{"fd12:3456::1", true, true}, {"fc00::", true, true}, {"fe00::1", false, false},
		{"127.0.0.1", false, true}, {"127.255.255.254", false, true}, {"::1", false, true}, {"::2", false, false},
		{"8.8.8.8", false, false}, {"2606:4700::1111", false, false}, {"100.64.0.1", false, false},
		{"240.0.0.1", false, false}, {"fec0::1", false, false}, {"168.63.129.16", false, false},
		{"::ffff:10.0.0.1", true, true}, {"::ffff:127.0.0.1", false, true}, {"::ffff:8.8.8.8", false, false},
		{"::10.0.0.1", true, true}, {"::127.0.0.1", false, true}, {"::ffff:0:10.0.0.1", true, true},
		{"64:ff9b::10.0.0.1", true, true}, {"64:ff9b::127.0.0.1", false, true}, {"64:ff9b::8.8.8.8", false, false},
		{"64:ff9b:1::10.0.0.1", true, true}, {"64:ff9b:1::127.0.0.1", false, true},
		{"64:ff9b:1::8.8.8.8", false, false}, {"64:ff9b:1:abcd::10.0.0.1", true, true},
		{"64:ff9b:2::10.0.0.1", false, false}, {"64:ff9b:0:0:0:1:10.0.0.1", false, false},
		{"2002:a00:1::1", true, true}, {"2002:7f00:1::", false, true}, {"2002:808:808::1", false, false},
		{"2001:0:a00:1::f5ff:fffe", true, true}, {"2001:0:a00:1::80ff:fffe", false, true},
		{"2001:0:808:808::f5ff:fffe", false, false}, {"2001:0:a00:1::f7f7:f7f7", false, false},
	} {
		addr := netip.MustParseAddr(c.addr)
		if got := serveDefault.Check(addr) == nil; got != c.serve {
			t.Errorf("serve: %s allowed = %v, want %v", c.addr, got, c.serve)
		}
		if got := devDefault.Check(addr) == nil; got != c.dev {
			t.Errorf("dev: %s allowed = %v, want %v", c.addr, got, c.dev)
		}
	}
}

func TestNothingAllowedByDefault(t *testing.T) {
	var none *address.Policy
	for _, p := range []*address.Policy{none, {}} {
		for _, s := range []string{"10.0.0.1", "127.0.0.1", "::1", "fd00::1"} {
			if p.Check(netip.MustParseAddr(s)) == nil {
				t.Errorf("%s is allowed by an empty policy", s)
			}
		}
		if p.Check(netip.Addr{}) == nil {
			t.Error("the invalid address is allowed")
		}
	}
}

func v4Gen() *rapid.Generator[[4]byte] {
	interesting := rapid.SampledFrom([][4]byte{
		{10, 0, 0, 1}, {127, 0, 0, 1}, {169, 254, 169, 254}, {0, 0, 0, 0}, {255, 255, 255, 255},
		{172, 31, 0, 0}, {192, 168, 0, 0}, {224, 0, 0, 1}, {100, 100, 100, 200}, {8, 8, 8, 8},
	})
	return rapid.Custom(func(t *rapid.T) [4]byte {
		if rapid.Bool().Draw(t, "interesting") {
			return interesting.Draw(t, "address")
		}
		var b [4]byte
		copy(b[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "bytes"))
		return b
	})
}

// TestFormsAreJudgedAlike: an IPv4 address and every address that carries it get
// the same verdict, whatever ranges are allowed.
func TestFormsAreJudgedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := v4Gen().Draw(t, "v4")
		range4 := v4Gen().Draw(t, "allowed")
		bits := rapid.IntRange(0, 32).Draw(t, "bits")
		p := &address.Policy{Allowed: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4(range4), bits).Masked()}}
		if rapid.Bool().Draw(t, "allow all of IPv6") {
			// An IPv6 range opens no IPv4 address that is dressed up as IPv6.
			p.Allowed = append(p.Allowed, netip.MustParsePrefix("::/0"))
		}
		want := p.Check(netip.AddrFrom4(b)) == nil
		forms := map[string]netip.Addr{
			"mapped":     from16("::ffff:0.0.0.0", 12, b),
			"translated": from16("::ffff:0:0.0.0.0", 12, b),
			"nat64":      from16("64:ff9b::", 12, b),
			"6to4":       from16("2002::1", 2, b),
			"teredo":     teredo(b),
		}
		if compat := from16("::", 12, b); !compat.IsLoopback() {
			forms["compatible"] = compat
		}
		for name, addr := range forms {
			if got := p.Check(addr) == nil; got != want {
				t.Fatalf("%s %s allowed = %v, its IPv4 address %v", name, addr, got, want)
			}
		}
		if p.Check(from16("64:ff9b:1::", 12, b)) == nil && !want {
			t.Fatalf("the local NAT64 form of a refused address is allowed")
		}
	})
}

// TestAllowingMoreRefusesNothing: the verdict is monotone in the allowed ranges.
func TestAllowingMoreRefusesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var raw [16]byte
		copy(raw[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))
		addr := netip.AddrFrom16(raw)
		less := &address.Policy{Allowed: []netip.Prefix{netip.PrefixFrom(addr, rapid.IntRange(1, 128).Draw(t, "bits")).Masked()}}
		more := &address.Policy{Allowed: append([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, less.Allowed...)}
		if less.Check(addr) == nil && more.Check(addr) != nil {
			t.Fatalf("%s is refused once more is allowed", addr)
		}
	})
}

func from16(base string, at int, b [4]byte) netip.Addr {
	raw := netip.MustParseAddr(base).As16()
	copy(raw[at:], b[:])
	return netip.AddrFrom16(raw)
}

func teredo(b [4]byte) netip.Addr {
	raw := netip.MustParseAddr("2001::").As16()
	copy(raw[4:], b[:])
	for i, x := range b {
		raw[12+i] = ^x
	}
	return netip.AddrFrom16(raw)
}

func TestParseCIDRs(t *testing.T) {
	got, err := address.ParseCIDRs([]string{"10.0.0.0/8", " fc00::/7 ", "127.0.0.1", "::1", "0.0.0.0/0"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"10.0.0.0/8", "fc00::/7", "127.0.0.1/32", "::1/128", "0.0.0.0/0"}
	for i, p := range got {
		if p.String() != want[i] {
			t.Errorf("range %d is %s, want %s", i, p, want[i])
		}
	}
	_, err = address.ParseCIDRs([]string{"10.0.0.0/8", "10.1.2.3/8", "banana", "::ffff:10.0.0.0/104", "10.0.0.0/33", ""})
	if err == nil {
		t.Fatal("mistakes were accepted")
	}
	for _, part := range []string{"10.0.0.0/8, or 10.1.2.3/32", `"banana"`, "IPv6 clothes", `"10.0.0.0/33"`, `""`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not tell of %s: %v", part, err)
		}
	}
}

func FuzzParseCIDRs(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "fc00::/7", "::ffff:10.0.0.0/104", "fe80::1%eth0/64", "/", "1.2.3.4/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		prefixes, err := address.ParseCIDRs([]string{s})
		if err != nil {
			return
		}
		if p := prefixes[0]; !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			t.Fatalf("%q became %v", s, p)
		}
	})
}
