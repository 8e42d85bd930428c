package address_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/address"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener accepts on host and counts.
type listener struct {
	net.Listener
	accepted atomic.Int64
}

func listen(t *testing.T, hostport string) *listener {
	t.Helper()
	l, err := net.Listen("tcp", hostport)
	if err != nil {
		t.Skipf("cannot listen on %s here: %v", hostport, err)
	}
	out := &listener{Listener: l}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			out.accepted.Add(1)
			_ = c.Close() // the dialler's side is what is under test
		}
	}()
	t.Cleanup(func() {
		_ = l.Close() // a test may have closed it already
		<-done
	})
	return out
}

func (l *listener) port() string {
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func only(addrs ...string) *address.Policy {
	p := &address.Policy{}
	for _, a := range addrs {
		p.Allowed = append(p.Allowed, netip.PrefixFrom(netip.MustParseAddr(a), netip.MustParseAddr(a).BitLen()))
	}
	return p
}

func mustDial(t *testing.T, d *address.Dialer, addr string) net.Addr {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.RemoteAddr()
}

func mustRefuse(t *testing.T, d *address.Dialer, addr string) *address.Refused {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err == nil {
		_ = conn.Close()
		t.Fatalf("connected to %s", addr)
	}
	refused := new(address.Refused)
	if !errors.As(err, &refused) {
		t.Fatalf("%s: %v is not a refusal", addr, err)
	}
	return refused
}

func TestDialsTheCheckedAddress(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	dns := startNameServer(t)
	dns.set("worker.test.", "127.0.0.1")
	d := &address.Dialer{Policy: only("127.0.0.1"), Resolver: dns.resolver()}
	for _, host := range []string{"127.0.0.1", "worker.test"} {
		if got := mustDial(t, d, net.JoinHostPort(host, l.port())); got.String() != l.Addr().String() {
			t.Errorf("%s: connected to %s, want %s", host, got, l.Addr())
		}
	}
	// A mapped literal is dialled as the IPv4 address that it was judged by.
	if got := mustDial(t, d, net.JoinHostPort("::ffff:127.0.0.1", l.port())); got.String() != l.Addr().String() {
		t.Errorf("connected to %s, want %s", got, l.Addr())
	}
	conn, err := d.DialGRPC(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// TestRepointedName: a name that was fine at registration is judged again on
// every dial.
func TestRepointedName(t *testing.T) {
	good, bad := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.2:0")
	dns := startNameServer(t)
	d := &address.Dialer{Policy: only("127.0.0.1"), Resolver: dns.resolver()}
	dns.set("worker.test.", "127.0.0.1")
	mustDial(t, d, "worker.test:"+good.port())
	for _, to := range []string{"127.0.0.2", "169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"} {
		dns.set("worker.test.", to)
		mustRefuse(t, d, "worker.test:"+bad.port())
	}
	dns.set("worker.test.", "127.0.0.1")
	mustDial(t, d, "worker.test:"+good.port())
	if n := bad.accepted.Load(); n != 0 {
		t.Errorf("%d connections reached the refused address", n)
	}
}

// TestOneBadAddressRefusesTheName: also when the good one comes first, and
// whatever family is asked for.
func TestOneBadAddressRefusesTheName(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	dns := startNameServer(t)
	d := &address.Dialer{Policy: only("127.0.0.1"), Resolver: dns.resolver()}
	for _, set := range [][]string{
		{"127.0.0.1", "127.0.0.2"},
		{"127.0.0.2", "127.0.0.1"},
		{"127.0.0.1", "fe80::1"},
		{"127.0.0.1", "2002:a9fe:a9fe::1"},
	} {
		dns.set("worker.test.", set...)
		for _, network := range []string{"tcp", "tcp4", "tcp6"} {
			conn, err := d.DialContext(t.Context(), network, "worker.test:"+l.port())
			if err == nil {
				_ = conn.Close()
			}
			if refused := new(address.Refused); !errors.As(err, &refused) {
				t.Errorf("%v over %s: %v", set, network, err)
			}
		}
	}
	if n := l.accepted.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestRefusedAlike: open and closed ports of a refused address look the same,
// and no packet is sent to either.
func TestRefusedAlike(t *testing.T) {
	open := listen(t, "127.0.0.2:0")
	closed := listen(t, "127.0.0.2:0")
	closedPort := closed.port()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	d := &address.Dialer{Policy: only("127.0.0.1")}
	a, b := mustRefuse(t, d, "127.0.0.2:"+open.port()), mustRefuse(t, d, "127.0.0.2:"+closedPort)
	if a.Error() != b.Error() || *a != *b {
		t.Errorf("open: %v\nclosed: %v", a, b)
	}
	if n := open.accepted.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestNextAddressIsTried: a name whose first address does not answer still works.
func TestNextAddressIsTried(t *testing.T) {
	l := listen(t, "127.0.0.3:0")
	dns := startNameServer(t)
	dns.set("worker.test.", "127.0.0.1", "127.0.0.2", "127.0.0.3")
	d := &address.Dialer{Policy: only("127.0.0.1", "127.0.0.2", "127.0.0.3"), Resolver: dns.resolver()}
	if got := mustDial(t, d, "worker.test:"+l.port()); got.String() != l.Addr().String() {
		t.Errorf("connected to %s, want %s", got, l.Addr())
	}
}

func TestUnreachableAndUnknown(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	port := l.port()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dns := startNameServer(t)
	dns.set("six.test.", "::1")
	d := &address.Dialer{Policy: only("127.0.0.1", "::1"), Resolver: dns.resolver()}
	for _, c := range []struct{ network, addr string }{
		{"tcp", "127.0.0.1:" + port},
		{"tcp", "nobody.test:" + port},
		{"tcp4", "six.test:" + port},
		{"tcp", "no-port"},
		{"udp", "127.0.0.1:53"},
		{"tcp", "127.0.0.1:http-of-nobody"},
	} {
		conn, err := d.DialContext(t.Context(), c.network, c.addr)
		if err == nil {
			_ = conn.Close()
			t.Errorf("connected to %s", c.addr)
		}
		if refused := new(address.Refused); errors.As(err, &refused) {
			t.Errorf("%s: unreachable was taken for refused: %v", c.addr, err)
		}
	}
}

// TestTimeoutCoversDNS: a silent name server uses up the dial's own timeout.
func TestTimeoutCoversDNS(t *testing.T) {
	dns := startNameServer(t)
	dns.setSilent(true)
	d := &address.Dialer{Policy: only("127.0.0.1"), Resolver: dns.resolver(), Timeout: 50 * time.Millisecond}
	_, err := d.DialContext(t.Context(), "tcp", "worker.test:80")
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("got %v, want a timeout", err)
	}
}

func TestCancelledDial(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := &address.Dialer{Policy: only("127.0.0.1")}
	if conn, err := d.DialContext(ctx, "tcp", "127.0.0.1:9"); err == nil {
		_ = conn.Close()
		t.Fatal("dialled although the caller had gone")
	}
}
