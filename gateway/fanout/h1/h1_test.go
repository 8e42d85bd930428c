package h1_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/fanout/h1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

func client(t testing.TB, addr string, change ...func(*h1.Config)) *h1.Client {
	t.Helper()
	cfg := h1.Config{
		Dial: dial, Addr: addr, Host: "worker.test", Target: "/filter?x=1",
		Fields:  []h1.Field{{Name: "Content-Type", Value: "application/json"}},
		MaxIdle: 8, IdleTimeout: time.Minute, MaxAge: time.Minute,
	}
	for _, c := range change {
		c(&cfg)
	}
	c, err := h1.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// post sends a body in slices and returns status and body.
func post(ctx context.Context, c *h1.Client, parts ...string) (int, string, error) {
	r := h1.Request{Fields: []h1.Field{{Name: "X-One", Value: "1"}}}
	for _, p := range parts {
		r.Body = append(r.Body, []byte(p))
		r.Size += int64(len(p))
	}
	resp, err := c.Do(ctx, &r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Close()
	body, err := io.ReadAll(resp)
	return resp.Status, string(body), err
}

// raw serves connections by hand and returns the address.
func raw(t testing.TB, serve func(n int, c net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(n, c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// take reads one request whole.
func take(c net.Conn) error {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s %s %s %d\n", r.Method, r.URL, r.Host, r.Header.Get("X-One"), r.ContentLength)
	w.Write(body)
}

func TestExchangeAgainstNetHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(echo))
	defer srv.Close()
	c := client(t, srv.Listener.Addr().String())
	for _, n := range []int{0, 1, 10, 100_000, 5 << 20} {
		part := strings.Repeat("x", n)
		status, body, err := post(within(t, 10*time.Second), c, "a", part, "b")
		want := fmt.Sprintf("POST /filter?x=1 worker.test 1 %d\na%sb", n+2, part)
		if err != nil || status != 200 || body != want {
			t.Fatalf("n=%d: %d, %d bytes, %v", n, status, len(body), err)
		}
	}
	if c.Idle() != 1 {
		t.Fatalf("%d idle connections after requests in a row; want the one", c.Idle())
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(echo))
	defer srv.Close()
	c := client(t, srv.Listener.Addr().String(), func(cfg *h1.Config) {
		cfg.TLS = func() *tls.Config {
			tc := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			tc.ServerName = "example.com"
			return tc
		}
	})
	for _, n := range []int{1, 3 << 20, 2} {
		status, body, err := post(within(t, 10*time.Second), c, strings.Repeat("y", n))
		if err != nil || status != 200 || len(body) < n {
			t.Fatalf("n=%d: %d, %d bytes, %v", n, status, len(body), err)
		}
	}
	if c.Idle() != 1 {
		t.Fatalf("%d idle connections", c.Idle())
	}
	wrong := client(t, srv.Listener.Addr().String(), func(cfg *h1.Config) {
		cfg.TLS = func() *tls.Config { return &tls.Config{ServerName: "example.com"} }
	})
	var dialErr *h1.DialError
	if _, _, err := post(within(t, time.Second), wrong, "z"); !errors.As(err, &dialErr) {
		t.Fatalf("an unknown certificate: %v", err)
	}
}

// A peer that answers while it reads must not lock both sides up.
func TestFullDuplex(t *testing.T) {
	addr := raw(t, func(_ int, c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", r.ContentLength)
		io.Copy(c, r.Body)
	})
	body := strings.Repeat("d", 24<<20)
	status, got, err := post(within(t, 20*time.Second), client(t, addr), body)
	if err != nil || status != 200 || got != body {
		t.Fatalf("%d, %d bytes, %v", status, len(got), err)
	}
}

// A peer that refuses without reading is heard although the write is stuck.
func TestEarlyAnswer(t *testing.T) {
	done := make(chan struct{})
	addr := raw(t, func(_ int, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		<-done
	})
	defer close(done)
	c := client(t, addr)
	start := time.Now()
	status, got, err := post(within(t, 10*time.Second), c, strings.Repeat("e", 32<<20))
	if err != nil || status != 401 || got != "no" {
		t.Fatalf("%d %q %v", status, got, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
	if c.Idle() != 0 {
		t.Fatal("a connection with half a request on it was kept")
	}
}

func TestDeadlineAndCancelEndEverything(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	silent := raw(t, func(_ int, c net.Conn) { <-done })
	half := raw(t, func(_ int, c net.Conn) {
		if take(c) == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
		}
		<-done
	})
	for name, addr := range map[string]string{"silent": silent, "half": half} {
		for _, size := range []int{1, 32 << 20} {
			c := client(t, addr)
			start := time.Now()
			_, _, err := post(within(t, 100*time.Millisecond), c, strings.Repeat("t", size))
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
				t.Errorf("%s %d: %v after %v", name, size, err, time.Since(start))
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, _, err := post(ctx, c, strings.Repeat("t", size)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s %d: %v", name, size, err)
			}
			if c.Idle() != 0 {
				t.Errorf("%s %d: an interrupted connection was kept", name, size)
			}
		}
	}
}

func TestDeadPooledConnectionIsFoundBeforeUse(t *testing.T) {
	addr := raw(t, func(_ int, c net.Conn) {
		if take(c) == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	c := client(t, addr)
	for range 5 {
		if _, body, err := post(within(t, 5*time.Second), c, "x"); err != nil || body != "ok" {
			t.Fatal(body, err)
		}
		waitFor(t, func() bool { c.Prune(); return c.Idle() == 0 })
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to pass")
		}
	}
}

func TestAgeAndIdleBoundReuse(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	for name, change := range map[string]func(*h1.Config){
		"age":  func(c *h1.Config) { c.MaxAge = time.Nanosecond },
		"idle": func(c *h1.Config) { c.IdleTimeout = time.Nanosecond },
	} {
		conns.Store(0)
		c := client(t, srv.Listener.Addr().String(), change)
		for range 3 {
			if _, _, err := post(within(t, 5*time.Second), c, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if n := conns.Load(); n != 3 {
			t.Errorf("%s: %d connections for 3 requests", name, n)
		}
	}
}

func TestFieldsCannotBeSmuggled(t *testing.T) {
	addr := raw(t, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	c := client(t, addr)
	_, err := c.Do(within(t, time.Second), &h1.Request{Fields: []h1.Field{{Name: "Authorization", Value: "Bearer a\r\nX: y"}}})
	if err == nil || strings.Contains(err.Error(), "X: y") {
		t.Fatalf("%v", err)
	}
	if _, err := h1.New(h1.Config{Host: "a\nb"}); err == nil {
		t.Fatal("a host with a line feed was taken")
	}
}

func TestNothingToDial(t *testing.T) {
	var dialErr *h1.DialError
	if _, _, err := post(within(t, time.Second), client(t, "127.0.0.1:1"), "x"); !errors.As(err, &dialErr) {
		t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := post(ctx, client(t, "127.0.0.1:1"), "x"); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
}
