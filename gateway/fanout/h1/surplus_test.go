package h1_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/fanout/h1"
)

// evil is an answer that nobody asked for: whoever takes it for the answer to
// the next request gives one caller what was made for another.
const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

// surplusPeer answers the first request of its first connection with reply, and
// writes surplus behind it when told to; every other request gets "good". The
// channel surplus returns on is closed once all of it was written.
func surplusPeer(t *testing.T, reply string, surplus []string, tell <-chan struct{}) (addr string, written <-chan struct{}, conns *atomic.Int32) {
	t.Helper()
	done := make(chan struct{})
	conns = new(atomic.Int32)
	addr = raw(t, func(n int, c net.Conn) {
		conns.Add(1)
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if n > 0 || i > 0 {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
				continue
			}
			io.WriteString(c, reply)
			<-tell
			for _, s := range surplus {
				io.WriteString(c, s)
			}
			close(done)
		}
	})
	return addr, done, conns
}

// Bytes that come behind an answer's end, when the connection is idle again, are
// never the beginning of the next answer, whatever they look like.
func TestSurplusIsNeverTheNextAnswer(t *testing.T) {
	replies := map[string]string{
		"sized":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst",
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n",
		"empty":   "HTTP/1.1 204 No Content\r\n\r\n",
	}
	for name, reply := range replies {
		for _, surplus := range [][]string{{evil}, strings.SplitAfter(evil, "\n"), {"x"}, {"\r\n"}, {evil + evil}} {
			tell := make(chan struct{})
			addr, written, conns := surplusPeer(t, reply, surplus, tell)
			c := client(t, addr)
			if _, _, err := post(within(t, 10*time.Second), c, "one"); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.Idle() != 1 {
				t.Fatalf("%s: the answer ended as framed and nothing else had come, and the connection was not kept", name)
			}
			close(tell)
			<-written
			for range 2 {
				if status, body, err := post(within(t, 10*time.Second), c, "two"); err != nil || status != 200 || body != "good" {
					t.Errorf("%s, %q behind it: the next answer is %d %q %v", name, surplus, status, body, err)
				}
			}
			if n := conns.Load(); n != 2 {
				t.Errorf("%s, %q behind it: %d connections; the one with surplus bytes must not be used again, the next must", name, surplus, n)
			}
		}
	}
}

// A tired connection is found by Prune too, so that no surplus waits for a use.
func TestPruneFindsSurplus(t *testing.T) {
	tell := make(chan struct{})
	addr, written, _ := surplusPeer(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", []string{evil}, tell)
	c := client(t, addr)
	if _, _, err := post(within(t, 10*time.Second), c, "one"); err != nil {
		t.Fatal(err)
	}
	c.Prune()
	if c.Idle() != 1 {
		t.Fatal("a quiet connection was not kept")
	}
	close(tell)
	<-written
	c.Prune()
	if c.Idle() != 0 {
		t.Fatal("a connection with surplus bytes was kept")
	}
}

// held keeps what is written until flush: then it goes out as one.
type held struct {
	net.Conn
	holding bool
	b       []byte
}

func (h *held) Write(p []byte) (int, error) {
	if !h.holding {
		return h.Conn.Write(p)
	}
	h.b = append(h.b, p...)
	return len(p), nil
}

func (h *held) flush() {
	h.holding = false
	h.Conn.Write(h.b)
}

// tlsPeer serves TLS with raw bytes: the first request's answer is written in the
// given pieces, one record each where they are short enough, all at once.
func tlsPeer(t *testing.T, pieces ...string) (addr string, conns *atomic.Int32, trust func(*h1.Config)) {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	cert := srv.TLS.Certificates[0]
	conns = new(atomic.Int32)
	addr = raw(t, func(n int, nc net.Conn) {
		conns.Add(1)
		h := &held{Conn: nc}
		c := tls.Server(h, &tls.Config{Certificates: []tls.Certificate{cert}})
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if n > 0 || i > 0 {
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
				continue
			}
			h.holding = true
			for _, p := range pieces {
				io.WriteString(c, p)
			}
			h.flush()
		}
	})
	return addr, conns, func(cfg *h1.Config) {
		cfg.TLS = func() *tls.Config {
			tc := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			tc.ServerName = "example.com"
			return tc
		}
	}
}

// Over TLS bytes wait where the socket does not show them: behind the answer's
// end in the same record, or in a record that was read along.
func TestSurplusInsideTLSIsNeverTheNextAnswer(t *testing.T) {
	for _, size := range []int{0, 1, 100, 4000, 4096, 5000, 9000, 12000} {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		body := strings.Repeat("b", size)
		chunked := fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", size, body)
		if size == 0 {
			chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		}
		for name, pieces := range map[string][]string{
			"one record":                 {head + body + evil},
			"a record of its own":        {head + body, evil},
			"head alone":                 {head, body + evil},
			"chunked, one record":        {chunked + evil},
			"chunked, a record after it": {chunked, evil},
			"one byte":                   {head + body + "x"},
		} {
			addr, conns, trust := tlsPeer(t, pieces...)
			c := client(t, addr, trust)
			resp, err := c.Do(within(t, 10*time.Second), &h1.Request{Body: [][]byte{[]byte("one")}, Size: 3})
			if err != nil {
				t.Fatal(err)
			}
			// A large buffer reads past the client's own.
			got, big := 0, make([]byte, 64<<10)
			for err == nil {
				var n int
				n, err = resp.Read(big)
				got += n
			}
			resp.Close()
			if err != io.EOF || got != size {
				t.Errorf("%d, %s: %d bytes, %v", size, name, got, err)
			}
			if status, next, err := post(within(t, 10*time.Second), c, "two"); err != nil || status != 200 || next != "good" {
				t.Errorf("%d bytes, %s: the next answer is %d %q %v", size, name, status, next, err)
			}
			if n := conns.Load(); n != 2 {
				t.Errorf("%d bytes, %s: %d connections", size, name, n)
			}
		}
	}
}

// Looking for surplus must cost no connection that has none.
func TestTLSConnectionsAreKept(t *testing.T) {
	for _, size := range []int{0, 100, 4096, 12000, 100_000} {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		addr, conns, trust := tlsPeer(t, head+strings.Repeat("b", size))
		c := client(t, addr, trust)
		for range 3 {
			if _, _, err := post(within(t, 10*time.Second), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d bytes: %d connections for 3 requests", size, n)
		}
	}
}
