package probe_test

import (
	"bufio"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback lets tests call workers on this machine.
func loopback() *address.Dialer {
	return &address.Dialer{Policy: &address.Policy{Allowed: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"),
	}}}
}

func inspector(cfg probe.InspectorConfig) *probe.Inspector {
	if cfg.Dialer == nil {
		cfg.Dialer = loopback()
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	return probe.NewInspector(cfg)
}

// rawWorker is a worker that says exactly what a test wants on the wire.
type rawWorker struct {
	addr string

	mu       sync.Mutex
	requests []*http.Request
}

// serveRaw answers every connection with answer after reading one request. hold
// keeps the connection open until the test ends.
func serveRaw(t *testing.T, answer string, hold bool) *rawWorker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &rawWorker{addr: l.Addr().String()}
	done := make(chan struct{})
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed by the test
			}
			conns.Go(func() { w.answer(c, answer, hold, done) })
		}
	})
	t.Cleanup(func() {
		close(done)
		_ = l.Close()
		conns.Wait()
	})
	return w
}

func (w *rawWorker) answer(c net.Conn, answer string, hold bool, done <-chan struct{}) {
	defer func() { _ = c.Close() }()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return // not HTTP, or gone: some cases want that
	}
	w.mu.Lock()
	w.requests = append(w.requests, req)
	w.mu.Unlock()
	if _, err := c.Write([]byte(answer)); err != nil {
		return
	}
	if hold {
		<-done
	}
}

func (w *rawWorker) seen() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]*http.Request(nil), w.requests...)
}
