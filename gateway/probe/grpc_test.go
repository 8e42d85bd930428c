package probe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/probe"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
)

// grpcWorker answers Describe as a test wants.
type grpcWorker struct {
	workerv1.UnimplementedGraphSecurityServer
	describe func(ctx context.Context) (*workerv1.DescribeResponse, error)
}

func (g *grpcWorker) Describe(ctx context.Context, _ *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	return g.describe(ctx)
}

func serveGRPC(t *testing.T, w workerv1.GraphSecurityServer, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	if w != nil {
		workerv1.RegisterGraphSecurityServer(s, w)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with Stop
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func description() *workerv1.DescribeResponse {
	return &workerv1.DescribeResponse{
		Class: "result", Type: "ExternalGraphSecurity", Uuid: workerID, Version: "1.0.0",
		Capabilities: &workerv1.Capabilities{Protocol: 1},
	}
}

func TestDescribe(t *testing.T) {
	addr := serveGRPC(t, &grpcWorker{describe: func(ctx context.Context) (*workerv1.DescribeResponse, error) {
		if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) != 0 {
			t.Error("a token was sent")
		}
		return description(), nil
	}})
	info, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), "grpc://"+addr+"/ignored", registry.TransportGRPC)
	if err != nil {
		t.Fatal(err)
	}
	if want := (registry.Info{Class: "result", Type: "ExternalGraphSecurity", ID: workerID, Version: "1.0.0"}); info != want {
		t.Errorf("got %+v, want %+v", info, want)
	}
}

// TestIPv6: literals in brackets work over both transports.
func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 loopback here: %v", err)
	}
	rest := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(goodInfo)) }))
	_ = rest.Listener.Close()
	rest.Listener = l
	rest.Start()
	defer rest.Close()
	l6, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	workerv1.RegisterGraphSecurityServer(s, &grpcWorker{describe: func(context.Context) (*workerv1.DescribeResponse, error) { return description(), nil }})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l6) }()
	defer func() { s.Stop(); <-done }()
	for _, c := range []struct{ url, transport string }{{"http://" + l.Addr().String() + "/f", "rest"}, {"grpc://" + l6.Addr().String(), "grpc"}} {
		if _, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), c.url, registry.Transport(c.transport)); err != nil {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

func TestEveryWayToMisdescribe(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(d *workerv1.DescribeResponse) error
		code string
		all  []string
	}{
		{"no capabilities", func(d *workerv1.DescribeResponse) error { d.Capabilities = nil; return nil }, "incompatible_protocol", nil},
		{"protocol 0", func(d *workerv1.DescribeResponse) error { d.Capabilities.Protocol = 0; return nil }, "incompatible_protocol", nil},
		{"protocol 2", func(d *workerv1.DescribeResponse) error { d.Capabilities.Protocol = 2; return nil }, "incompatible_protocol", nil},
		{"no version", func(d *workerv1.DescribeResponse) error { d.Version = ""; return nil }, "missing_field", nil},
		{"no version, no protocol", func(d *workerv1.DescribeResponse) error { d.Version, d.Capabilities = "", nil; return nil },
			"missing_field", []string{"missing_field", "incompatible_protocol"}},
		{"nothing", func(d *workerv1.DescribeResponse) error {
			d.Class, d.Type, d.Uuid, d.Version, d.Capabilities = "", "", "", "", nil
			return nil
		}, "empty_answer", []string{"empty_answer", "incompatible_protocol"}},
		{"too much", func(d *workerv1.DescribeResponse) error { d.Version = strings.Repeat("v", 70_000); return nil }, "too_large", nil},
		{"wants a token", func(*workerv1.DescribeResponse) error { return status.Error(codes.Unauthenticated, "token\x1b") }, "bad_status", nil},
		{"internal", func(*workerv1.DescribeResponse) error { return status.Error(codes.Internal, "oops") }, "bad_status", nil},
		{"unimplemented", func(*workerv1.DescribeResponse) error { return status.Error(codes.Unimplemented, "no") }, "incompatible_protocol", nil},
		{"unavailable", func(*workerv1.DescribeResponse) error { return status.Error(codes.Unavailable, "later") }, "unreachable", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := serveGRPC(t, &grpcWorker{describe: func(context.Context) (*workerv1.DescribeResponse, error) {
				d := description()
				err := c.make(d)
				return d, err
			}})
			_, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), "grpc://"+addr, registry.TransportGRPC)
			e := mustRefuse(t, err, c.code)
			if c.all == nil {
				c.all = []string{c.code}
			}
			var got []string
			for _, v := range e.Violations {
				got = append(got, v.Code)
			}
			if strings.Join(got, " ") != strings.Join(c.all, " ") {
				t.Errorf("violations %v, want %v", got, c.all)
			}
		})
	}
}

func TestServersThatAreNoGRPCWorkers(t *testing.T) {
	i := inspector(probe.InspectorConfig{Timeout: 500 * time.Millisecond})
	_, err := i.Inspect(t.Context(), "grpc://"+serveGRPC(t, nil), registry.TransportGRPC)
	mustRefuse(t, err, "incompatible_protocol")
	_, err = i.Inspect(t.Context(), "grpc://"+serveRaw(t, "HTTP/1.1 400 Bad Request\r\n\r\n", false).addr, registry.TransportGRPC)
	mustRefuse(t, err, "unreachable")

	release := make(chan struct{})
	defer close(release)
	_, err = i.Inspect(t.Context(), "grpc://"+serveGRPC(t, &grpcWorker{
		describe: func(context.Context) (*workerv1.DescribeResponse, error) { <-release; return description(), nil },
	}), registry.TransportGRPC)
	mustRefuse(t, err, "timeout", "500ms")
}

// authority is a test CA.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert: cert, key: key, pool: pool}
}

func (a *authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLS: own CA, client certificate, and both taken anew for each connection.
func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	server := &tls.Config{Certificates: []tls.Certificate{ca.issue(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool}
	rest := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(goodInfo))
	}))
	rest.TLS = server.Clone()
	rest.StartTLS()
	defer rest.Close()
	grpcAddr := serveGRPC(t, &grpcWorker{describe: func(context.Context) (*workerv1.DescribeResponse, error) {
		return description(), nil
	}}, grpc.Creds(credentials.NewTLS(server.Clone())))

	var current atomic.Pointer[tls.Config]
	i := inspector(probe.InspectorConfig{TLS: current.Load})
	try := func(want bool) {
		t.Helper()
		for _, c := range []struct{ url, transport string }{{rest.URL, "rest"}, {"grpcs://" + grpcAddr, "grpc"}} {
			_, err := i.Inspect(t.Context(), c.url, registry.Transport(c.transport))
			if want && err != nil {
				t.Errorf("%s: %v", c.url, err)
			} else if !want {
				mustRefuse(t, err, "unreachable")
			}
		}
	}
	good := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca.pool, Certificates: []tls.Certificate{ca.issue(t)}}
	current.Store(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: newAuthority(t).pool, Certificates: good.Certificates})
	try(false) // a stranger's CA
	current.Store(good)
	try(true)
	current.Store(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca.pool})
	try(false) // no client certificate

	_, err := inspector(probe.InspectorConfig{}).Inspect(t.Context(), rest.URL, registry.TransportREST)
	mustRefuse(t, err, "unreachable", "certificate")
	_, err = i.Inspect(t.Context(), "http://"+rest.Listener.Addr().String(), registry.TransportREST)
	mustRefuse(t, err, "bad_status", "400")
}
