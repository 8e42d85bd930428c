package fanout_test

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// A name that is re-pointed after registration is refused at the next dial, and
// no connection is made.
func TestNameThatChangesItsAnswer(t *testing.T) {
	rest, _ := faulttest.REST(t, odd, false)
	grpc, _ := faulttest.GRPC(t, odd)
	for _, raw := range []string{rest, grpc} {
		dns := faulttest.NewDNS(t, "127.0.0.1")
		dialer := &address.Dialer{Policy: &address.Policy{Allowed: address.Loopback()}, Resolver: dns.Resolver()}
		f, _ := faulttest.Fleet(t, fanout.Config{MaxAge: time.Nanosecond}, func(d *fanout.Deps) { d.Dialer = dialer })
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = "worker.test:" + u.Port()
		w := faulttest.Worker(1, u.String())
		req := faulttest.Nodes(t, 2)
		if _, err := f.Ask(within(t, 40*time.Second), call(req, w)); err != nil {
			t.Fatal(err)
		}
		for _, answers := range [][]string{{"169.254.169.254"}, {"127.0.0.1", "169.254.169.254"}, {"10.0.0.1"}} {
			dns.Set(answers...)
			_, err = f.Ask(within(t, 40*time.Second), call(req, w))
			if e := faultOf(t, err); e.Code != "worker_address_refused" || e.Kind.HTTPStatus() != 503 || e.Worker == nil {
				t.Errorf("%s, %v: %v", u.Scheme, answers, e)
			}
		}
		dns.Set("127.0.0.1")
		if _, err := f.Ask(within(t, 40*time.Second), call(req, w)); err != nil {
			t.Errorf("%s, pointed back: %v", u.Scheme, err)
		}
	}
}

// The retry carries a token, so it goes to the address of the first attempt
// even when the name has another by then.
func TestRetryStaysWithTheAddress(t *testing.T) {
	dns := faulttest.NewDNS(t, "127.0.0.1")
	var elsewhere atomic.Int32
	var port string
	first := faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err == nil {
			dns.Set("127.0.0.2")
		}
	})
	_, port, _ = strings.Cut(first, ":")
	ln, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("no second loopback address: ", err)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			elsewhere.Add(1)
			_ = c.Close()
		}
	}()
	defer ln.Close()
	dialer := &address.Dialer{Policy: &address.Policy{Allowed: address.Loopback()}, Resolver: dns.Resolver()}
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Dialer = dialer })
	_, err = f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 2), faulttest.Worker(1, "http://worker.test:"+port+"/f")))
	if e := faultOf(t, err); e.Code != "worker_unreachable" {
		t.Error(e)
	}
	if elsewhere.Load() != 0 {
		t.Error("the retry went to another address")
	}
}

// trusting trusts a test server.
type trusting struct{ cfg *tls.Config }

func (s trusting) Config() *tls.Config                    { return s.cfg.Clone() }
func (s trusting) GRPC() credentials.TransportCredentials { return credentials.NewTLS(s.cfg) }

func TestTLSOverBothTransports(t *testing.T) {
	srv := httptest.NewTLSServer(faulttest.Handler(odd, false, &faulttest.Calls{}))
	defer srv.Close()
	trust := srv.Client().Transport.(*http.Transport).TLSClientConfig
	overGRPC := faulttest.GRPCWith(t, func(s faulttest.Stream) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		m, err := s.Recv()
		if err != nil {
			return err
		}
		return s.Send(&workerv1.FilterResponse{Chunk: faulttest.Judge(m.GetChunk(), "nodes", odd, nil)})
	}, grpc.Creds(credentials.NewServerTLSFromCert(&srv.TLS.Certificates[0])))
	req := faulttest.Nodes(t, 4)
	for _, u := range []string{srv.URL, "grpcs" + strings.TrimPrefix(overGRPC, "grpc")} {
		w := faulttest.Worker(1, u)
		f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.TLS = trusting{trust} })
		out, err := f.Ask(within(t, 40*time.Second), call(req, w))
		if err != nil || out[0].Nodes.CountVisible() != 2 {
			t.Errorf("%s: %v", u, err)
		}
		f, _ = faulttest.Fleet(t, fanout.Config{}, nil)
		_, err = f.Ask(within(t, 40*time.Second), call(req, w))
		if e := faultOf(t, err); e.Code != "worker_unreachable" {
			t.Errorf("%s, a certificate that nobody vouches for: %v", u, e)
		}
	}
}

func TestTraceIsPassedOnAndTold(t *testing.T) {
	rest, restCalls := faulttest.REST(t, odd, false)
	grpc, grpcCalls := faulttest.GRPC(t, odd)
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	tracer := provider.Tracer("test")
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Tracer = tracer })
	ctx, root := tracer.Start(within(t, 40*time.Second), "request")
	bad := faulttest.Worker(3, closedURL(t))
	_, err := f.Ask(ctx, call(faulttest.Nodes(t, 2), faulttest.Worker(1, rest), faulttest.Worker(2, grpc)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Ask(ctx, call(faulttest.Nodes(t, 2), bad)); err == nil {
		t.Fatal("no error")
	}
	root.End()
	id := root.SpanContext().TraceID().String()
	for _, h := range []http.Header{restCalls.Headers()[0], grpcCalls.Headers()[0]} {
		if got := h.Get("Traceparent"); !strings.Contains(got, id) || strings.Contains(got, root.SpanContext().SpanID().String()) {
			t.Errorf("traceparent %q", got)
		}
	}
	if n := len(spans.Ended()); n != 4 {
		t.Errorf("%d spans; one per worker call and the request's", n)
	}
	failed := 0
	for _, s := range spans.Ended() {
		if s.Status().Description == "worker_unreachable" {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d spans tell of the failure", failed)
	}
}

func closedURL(t *testing.T) string { return "http://" + closedPort(t) }

// lease counts who holds the body.
type lease struct{ held, max atomic.Int32 }

func (l *lease) Retain() {
	if n := l.held.Add(1); n > l.max.Load() {
		l.max.Store(n)
	}
}
func (l *lease) Release() { l.held.Add(-1) }

// Over gRPC the body is sent from where it lies, and let go of when the
// connection is done with it, however the call ends.
func TestBodyIsHeldWhileItIsSent(t *testing.T) {
	good, _ := countingGRPC(t)
	stuck := faulttest.GRPCWith(t, func(s faulttest.Stream) error { <-s.Context().Done(); return nil })
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	req := faulttest.Nodes(t, 20_000)
	for name, url := range map[string]string{"good": good, "stuck": stuck} {
		body := &lease{}
		w := faulttest.Worker(1, url)
		w.Settings.Timeout = 500 * time.Millisecond
		if name == "good" {
			w.Settings.Timeout = 20 * time.Second
		}
		c := call(req, w)
		c.Body = body
		_, err := f.Ask(within(t, 20*time.Second), c)
		if (err == nil) != (name == "good") {
			t.Fatalf("%s: %v", name, err)
		}
		if body.max.Load() == 0 {
			t.Errorf("%s: the body was copied", name)
		}
		eventually(t, func() bool { return body.held.Load() == 0 })
	}
}

// A worker's words are passed on cut and cleaned.
func TestWorkersWordsAreCleaned(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	body := `{"error":"bad\"code\n","description":"line\u001b[31m\nnext ` + long + `"}`
	log := &lines{}
	f, _ := faulttest.Fleet(t, fanout.Config{}, func(d *fanout.Deps) { d.Logger = slog.New(slog.NewJSONHandler(log, nil)) })
	w := faulttest.Worker(1, refusing("403 No", body)(t))
	w.Name = "evil\nname"
	_, err := f.Ask(within(t, 40*time.Second), call(faulttest.Nodes(t, 1), w))
	e := faultOf(t, err)
	rec := httptest.NewRecorder()
	e.WriteContract(rec)
	if strings.ContainsAny(e.Code, "\"\n") || strings.ContainsAny(e.Detail, "\n\x1b") || len(e.Detail) > 1100 || !strings.HasPrefix(e.Detail, `evil\u000aname: line`) {
		t.Errorf("%q %d bytes: %.80q", e.Code, len(e.Detail), e.Detail)
	}
	if rec.Code != 403 || strings.Contains(log.String(), "\x1b") {
		t.Errorf("%d %s", rec.Code, log)
	}
}
