package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// DefaultTimeout bounds a dial, from DNS to connect, unless the Dialer says
	// otherwise.
	DefaultTimeout = 5 * time.Second
	// MaxAddresses is how many of a name's addresses are tried; all are checked.
	MaxAddresses = 8

	// minAttempt keeps a share of the timeout usable when many addresses wait.
	minAttempt = 500 * time.Millisecond
)

// Dialer connects to workers and to nothing else. It resolves a name, refuses
// it when any of its addresses is refused, and then dials the very addresses
// that it checked, one after another. It never uses a proxy. It is safe for
// concurrent use.
type Dialer struct {
	// Policy says which addresses may be dialled; nil allows none.
	Policy *Policy
	// Resolver looks names up; nil means net.DefaultResolver.
	Resolver *net.Resolver
	// Timeout bounds resolving and connecting together; 0 means DefaultTimeout.
	// A deadline of the context that comes earlier counts.
	Timeout time.Duration
}

// DialContext connects to addr, which is host:port, over "tcp", "tcp4" or
// "tcp6". The error is or wraps a *Refused when the host has an address that no
// worker may have, a *net.DNSError when the name does not resolve, and otherwise
// what connecting to the last address tried came to.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", addr, err)
	}
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("dial %q: %w", addr, net.UnknownNetworkError(network))
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	addrs, err := d.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs = candidates(network, addrs)
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no address for " + network, Name: host, IsNotFound: true}
	}
	return d.dialFirst(ctx, network, addrs, port)
}

// DialGRPC is DialContext over "tcp", in the form of grpc.WithContextDialer. The
// target must use the passthrough scheme, so that gRPC leaves resolving to it.
func (d *Dialer) DialGRPC(ctx context.Context, addr string) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", addr)
}

// Resolve returns the addresses of host, which may be a literal, in the order
// of the resolver. It fails with a *Refused when any one of them is refused.
func (d *Dialer) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		if reason := d.Policy.judge(a); reason != "" {
			return nil, &Refused{Host: host, Addr: a, Reason: reason}
		}
		addrs[i] = a.Unmap()
	}
	return addrs, nil
}

func (d *Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{literal}, nil
	}
	resolver := d.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	// Both families are looked up whatever the network is: one bad address
	// refuses the name.
	addrs, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %q: %w", host, err)
	}
	return addrs, nil
}

// candidates keeps the addresses that fit the network, families taking turns as
// in RFC 8305 with the resolver's first choice first, at most MaxAddresses.
func candidates(network string, addrs []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, a := range addrs {
		if (network == "tcp4" && !a.Is4()) || (network == "tcp6" && a.Is4()) {
			continue
		}
		if len(first) == 0 || first[0].Is4() == a.Is4() {
			first = append(first, a)
		} else {
			second = append(second, a)
		}
	}
	out := make([]netip.Addr, 0, len(first)+len(second))
	for i := 0; i < len(first) || i < len(second); i++ {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out[:min(len(out), MaxAddresses)]
}

// dialFirst tries addrs in order and returns the first connection. Each attempt
// gets an equal share of the time left, so that one silent address does not use
// up the time of the others.
func (d *Dialer) dialFirst(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	dialer := net.Dialer{ControlContext: d.control}
	var failures []error
	for i, a := range addrs {
		attempt, cancel := share(ctx, len(addrs)-i)
		conn, err := dialer.DialContext(attempt, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// share returns a context that ends after an nth of the time that ctx has left.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(n), minAttempt))
}

// control checks the address of the socket itself, just before it connects:
// nothing between the check of the name and here can change what is dialled.
func (d *Dialer) control(_ context.Context, _, addr string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	return d.Policy.Check(ap.Addr())
}
