package address

import "net/netip"

// Address forms that carry IPv4 addresses.
var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765 (SIIT)
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// embedded returns the IPv4 addresses that addr carries, all of which have to
// be fit for a worker. carries is false when addr stands for itself. addr has no
// zone.
func embedded(addr netip.Addr) (inner []netip.Addr, carries bool) {
	if addr.Is4() {
		return nil, false
	}
	b := addr.As16()
	switch {
	case addr.Is4In6():
		return []netip.Addr{addr.Unmap()}, true
	case addr.IsUnspecified(), addr.IsLoopback():
		// :: and ::1 lie in the range of the IPv4-compatible form but are not of it.
		return nil, false
	case compatible.Contains(addr), translated.Contains(addr), nat64.Contains(addr):
		return []netip.Addr{v4(b[12], b[13], b[14], b[15])}, true
	case nat64Local.Contains(addr):
		return nat64Forms(b), true
	case sixToFour.Contains(addr):
		return []netip.Addr{v4(b[2], b[3], b[4], b[5])}, true
	case teredo.Contains(addr):
		// The server relays, the client (stored inverted) receives.
		return []netip.Addr{v4(b[4], b[5], b[6], b[7]), v4(^b[12], ^b[13], ^b[14], ^b[15])}, true
	}
	return nil, false
}

// nat64Forms returns the IPv4 addresses that b, in 64:ff9b:1::/48, may stand
// for. RFC 8215 leaves the length of the translation prefix to each network, so
// the address is read at every length of RFC 6052 that fits it: where the bits
// after the embedded address, and bits 64 to 71, are 0 as that RFC demands. The
// reading as /96 always counts.
func nat64Forms(b [16]byte) []netip.Addr {
	forms := []netip.Addr{v4(b[12], b[13], b[14], b[15])}
	if b[8] != 0 {
		return forms
	}
	for _, f := range []struct {
		bytes [4]int
		tail  int
	}{
		{[4]int{6, 7, 9, 10}, 11},
		{[4]int{7, 9, 10, 11}, 12},
		{[4]int{9, 10, 11, 12}, 13},
	} {
		if zero(b[f.tail:]) {
			forms = append(forms, v4(b[f.bytes[0]], b[f.bytes[1]], b[f.bytes[2]], b[f.bytes[3]]))
		}
	}
	return forms
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }
