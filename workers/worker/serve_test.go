package worker_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/worker"
)

// running is a worker that serves until stop is called.
type running struct {
	worker.Addresses
	stop func()
	done chan error
}

func start(t *testing.T, change func(*worker.Config)) *running {
	t.Helper()
	cfg := testConfig()
	listening := make(chan worker.Addresses, 1)
	cfg.Listening = func(a worker.Addresses) { listening <- a }
	if change != nil {
		change(&cfg)
	}
	w, err := worker.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r := &running{stop: stop, done: make(chan error, 1)}
	var ended error
	var once sync.Once
	go func() { r.done <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		once.Do(func() { ended = <-r.done })
		if ended != nil {
			t.Error(ended)
		}
	})
	select {
	case r.Addresses = <-listening:
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	return r
}

// What is in flight at the end is finished; what comes after readiness went off
// and the grace is over is refused.
func TestDrain(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *worker.Config) {
		c.OpsAddr = "127.0.0.1:0"
		c.DrainGrace = 300 * time.Millisecond
		c.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict {
			close(inside)
			<-leave
			return worker.Keep()
		}
	})
	url, good := "http://"+r.REST+worker.DefaultPath, nodes(`{"elementId":"1","labels":[],"properties":{}}`)
	first := make(chan answer, 1)
	go func() { first <- call(t, http.MethodPost, url, good, nil) }()
	<-inside
	ready := func() answer { return call(t, http.MethodGet, "http://"+r.Ops+"/readyz", "", nil) }
	if got := ready(); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	r.stop()
	deadline := time.Now().Add(5 * time.Second)
	for got := ready(); got.status != 503 || !strings.Contains(got.body, "draining"); got = ready() {
		if time.Now().After(deadline) {
			t.Fatalf("still ready: %+v", got)
		}
	}
	if got := call(t, http.MethodPost, url, nodes(), nil); got.status != 200 {
		t.Errorf("refused within the grace: %+v", got)
	}
	close(leave)
	if got := <-first; got.status != 200 {
		t.Errorf("what was in flight: %+v", got)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
	if _, err := net.DialTimeout("tcp", r.REST, time.Second); err == nil {
		t.Error("the listener is still open")
	}
}

func TestListenerInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := testConfig()
	cfg.GRPCAddr = l.Addr().String()
	if err := worker.Serve(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "gRPC listener on "+cfg.GRPCAddr) {
		t.Errorf("%v", err)
	}
}

func TestConfigMistakesAreToldTogether(t *testing.T) {
	_, err := worker.New(t.Context(), worker.Config{
		UUID: "x", Addr: worker.Off, GRPCAddr: worker.Off, Path: "no-slash", MaxBody: -1, Enrol: &worker.Enrol{Gateway: "ftp://x"},
	})
	for _, want := range []string{"UUID", "Version", "Judge", "Auth.Issuer", "Auth.Audience", "both off", "no-slash", "MaxBody", "Enrol.Gateway", "Enrol.URL", "Enrol.Token"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s: %v", want, err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{
		"WORKER_UUID": testUUID, "ISSUER": "http://i", "AUDIENCE": "muster", "HOST": "127.0.0.1", "PORT": "9000", "GRPC_PORT": "off",
		"MAX_BODY": "1000", "MUSTER_URL": "http://g", "WORKER_URL": "http://w", "MUSTER_TOKEN_FILE": "/t",
	}
	cfg, err := worker.FromEnv(func(k string) string { return env[k] })
	if err != nil || cfg.Addr != "127.0.0.1:9000" || cfg.GRPCAddr != worker.Off || cfg.MaxBody != 1000 || cfg.Enrol == nil {
		t.Errorf("%v %+v", err, cfg)
	}
	env = map[string]string{"PORT": "x", "MAX_BODY": "0", "TLS_CERT_FILE": "a", "MUSTER_URL": "http://g"}
	_, err = worker.FromEnv(func(k string) string { return env[k] })
	for _, want := range []string{"WORKER_UUID", "ISSUER", "AUDIENCE", `PORT is "x"`, "MAX_BODY", "TLS_KEY_FILE", "WORKER_URL", "MUSTER_TOKEN_FILE"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s: %v", want, err)
		}
	}
	var b bytes.Buffer
	worker.PrintListening(&b)(worker.Addresses{REST: "a:1", GRPC: "b:2"})
	if b.String() != `{"listening":{"http":"a:1","grpc":"b:2"}}`+"\n" {
		t.Error(b.String())
	}
}

// Enrolment is tried until the gateway takes the worker, and its token is read
// anew each time and never logged.
func TestEnrol(t *testing.T) {
	var tries atomic.Int64
	taken := make(chan map[string]any, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch tries.Add(1) {
		case 1:
			rw.WriteHeader(http.StatusBadGateway)
		case 2:
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
		case 3:
			fault.New(fault.Unprocessable, "unreachable", "the worker cannot be reached").WriteProblem(rw)
		default:
			var body map[string]any
			if r.Header.Get("Authorization") == "Bearer second-secret" && r.URL.Path == "/api/workers" && json.NewDecoder(r.Body).Decode(&body) == nil {
				taken <- body
			}
			rw.WriteHeader(http.StatusCreated)
		}
	}))
	defer gateway.Close()
	file := filepath.Join(t.TempDir(), "token")
	secret := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	secret("first-secret")
	var mu sync.Mutex
	var log bytes.Buffer
	r := start(t, func(c *worker.Config) {
		c.Logger = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), nil))
		read := worker.TokenFile(file)
		c.Enrol = &worker.Enrol{
			Gateway: gateway.URL + "/", URL: "http://w:1/api/filter", Name: "mine", FirstPause: time.Millisecond, MaxPause: 2 * time.Millisecond,
			Token: func(ctx context.Context) (string, error) {
				if tries.Load() == 3 {
					secret("second-secret")
				}
				return read(ctx)
			},
		}
	})
	body := <-taken
	if body["uuid"] != testUUID || body["url"] != "http://w:1/api/filter" || body["name"] != "mine" || body["enrols"] != true {
		t.Errorf("%v", body)
	}
	r.stop()
	<-r.done
	r.done <- nil
	mu.Lock()
	defer mu.Unlock()
	if text := log.String(); strings.Contains(text, "secret") || !strings.Contains(text, "422 unreachable") {
		t.Error(text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func certificate(t *testing.T, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(serial) * time.Second) // coarse clocks of file systems
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestTLSFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := certificate(t, dir, 1)
	secure, err := worker.LoadTLS(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *worker.Config) { c.TLS = secure })
	serial := func(addr string) int64 {
		c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if serial(r.REST) != 1 || serial(r.GRPC) != 1 {
		t.Error("another certificate")
	}
	certificate(t, dir, 2)
	if serial(r.REST) != 2 || serial(r.GRPC) != 2 {
		t.Error("the new certificate is not served")
	}
	if err := os.WriteFile(certFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial(r.REST) != 2 {
		t.Error("the last good certificate is not served")
	}
	if _, err := worker.LoadTLS(certFile, keyFile); err == nil {
		t.Error("a broken certificate was taken")
	}
}

// Whoever announces a body and withholds it is answered all the same, and soon.
func TestAWithheldBodyHoldsNothing(t *testing.T) {
	w := start(t, nil)
	for name, head := range map[string]string{
		"no token":     "POST /api/filter HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\n{",
		"bad token":    "POST /api/filter HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer x\r\nContent-Length: 100\r\n\r\n{",
		"unknown path": "POST /other HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\n{",
		"info":         "GET / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n",
		"liveness":     "GET /livez HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", w.REST)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(conn) // to the end: the connection is closed
			if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}
