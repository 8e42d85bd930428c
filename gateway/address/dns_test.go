package address_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is a real DNS server on loopback whose answers the test changes
// between lookups.
type nameServer struct {
	conn net.PacketConn

	mu      sync.Mutex
	records map[string][]netip.Addr
	silent  bool
	clients []net.Conn
	closed  bool
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn, records: map[string][]netip.Addr{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		s.hangUp()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

// set makes name, which ends in a dot, resolve to addrs from now on.
func (s *nameServer) set(name string, addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = nil
	for _, a := range addrs {
		s.records[name] = append(s.records[name], netip.MustParseAddr(a))
	}
}

func (s *nameServer) setSilent(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = silent
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return nil, net.ErrClosed
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "udp", s.conn.LocalAddr().String())
		if err == nil {
			s.clients = append(s.clients, c)
		}
		return c, err
	}}
}

// hangUp ends lookups that the net package goes on with after their caller left.
func (s *nameServer) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.clients {
		_ = c.Close() // most are closed already
	}
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return // closed by the test
		}
		answer, ok := s.answer(buf[:n])
		if !ok {
			continue
		}
		if _, err := s.conn.WriteTo(answer, from); err != nil {
			return
		}
	}
}

func (s *nameServer) answer(query []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if s.silent || m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil, false
	}
	q := m.Questions[0]
	addrs, known := s.records[q.Name.String()]
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionAvailable: true}
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	m.Additionals = nil
	head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}
	for _, a := range addrs {
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	out, err := m.Pack()
	return out, err == nil
}
