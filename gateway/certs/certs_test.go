package certs_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/certs"
)

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate and key for an address or name into dir.
func (a *authority) issue(t *testing.T, dir, host string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	return certFile, keyFile
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve accepts TLS connections on loopback, completes each handshake and
// reports the serial number that the client showed (0 for none).
func serve(t *testing.T, cfg *tls.Config) (addr string) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			// The client judges the handshake; a refused one ends here.
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

func dialSerial(ctx context.Context, s *certs.Source, addr string) (int64, error) {
	conn, err := s.DialTLS(ctx, (&net.Dialer{}).DialContext, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// eventually polls until ok or ten seconds have passed.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-tick.C
	}
}

func TestServerTakesARenewedCertificate(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	certFile, keyFile := ca.issue(t, dir, "127.0.0.1", 10)
	var logged bytes.Buffer
	cfg, err := certs.Server(certFile, keyFile, slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, cfg)
	caFile := filepath.Join(dir, "ca.crt")
	write(t, caFile, ca.pem)
	client, err := certs.Client(certs.ClientFiles{CA: caFile}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := dialSerial(t.Context(), client, addr); err != nil || n != 10 {
		t.Fatalf("got serial %d, %v; want 10", n, err)
	}
	// A broken renewal keeps the last good pair.
	write(t, certFile, []byte("half a file"))
	tick := time.NewTimer(1100 * time.Millisecond)
	<-tick.C
	if n, err := dialSerial(t.Context(), client, addr); err != nil || n != 10 {
		t.Fatalf("after a broken renewal: serial %d, %v; want 10", n, err)
	}
	ca.issue(t, dir, "127.0.0.1", 11)
	eventually(t, "the renewed certificate is served", func() bool {
		n, err := dialSerial(t.Context(), client, addr)
		return err == nil && n == 11
	})
}

func TestClientRefusesWhatItShould(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	caFile := filepath.Join(t.TempDir(), "ca.crt")
	write(t, caFile, ours.pem)
	client, err := certs.Client(certs.ClientFiles{CA: caFile}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by   *authority
		host string
		ok   bool
	}{
		"own CA, right address":     {ours, "127.0.0.1", true},
		"own CA, other address":     {ours, "127.0.0.2", false},
		"own CA, a name":            {ours, "worker.example", false},
		"foreign CA, right address": {theirs, "127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			certFile, keyFile := c.by.issue(t, t.TempDir(), c.host, 1)
			cfg, err := certs.Server(certFile, keyFile, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			_, err = dialSerial(t.Context(), client, serve(t, cfg))
			if (err == nil) != c.ok {
				t.Fatalf("handshake: %v, want success %v", err, c.ok)
			}
		})
	}
}

func TestClientTakesAChangedCA(t *testing.T) {
	t.Parallel()
	before, after, dir := newAuthority(t, "before"), newAuthority(t, "after"), t.TempDir()
	caFile := filepath.Join(dir, "ca.crt")
	write(t, caFile, before.pem)
	client, err := certs.Client(certs.ClientFiles{CA: caFile}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := after.issue(t, dir, "127.0.0.1", 7)
	cfg, err := certs.Server(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, cfg)
	if _, err := dialSerial(t.Context(), client, addr); err == nil {
		t.Fatal("a certificate of an unknown CA was accepted")
	}
	write(t, caFile, after.pem)
	eventually(t, "the new CA is trusted", func() bool {
		_, err := dialSerial(t.Context(), client, addr)
		return err == nil
	})
}

func TestMistakesStopTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	notPEM := filepath.Join(dir, "not.pem")
	write(t, notPEM, []byte("hello"))
	log := slog.New(slog.DiscardHandler)
	if _, err := certs.Server(filepath.Join(dir, "none.crt"), filepath.Join(dir, "none.key"), log); err == nil || !strings.Contains(err.Error(), "none.crt") {
		t.Errorf("missing files: %v, want an error that names them", err)
	}
	if _, err := certs.Client(certs.ClientFiles{CA: notPEM}, log); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
		t.Errorf("CA without a certificate: %v", err)
	}
	if _, err := certs.Client(certs.ClientFiles{Cert: "a.crt"}, log); err == nil || !strings.Contains(err.Error(), "key file") {
		t.Errorf("certificate without key: %v", err)
	}
}

func TestClientShowsItsCertificate(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t, "ca"), t.TempDir()
	serverCert, serverKey := ca.issue(t, t.TempDir(), "127.0.0.1", 1)
	clientCert, clientKey := ca.issue(t, dir, "gateway", 99)
	caFile := filepath.Join(dir, "ca.crt")
	write(t, caFile, ca.pem)
	cfg, err := certs.Server(serverCert, serverKey, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int64, 1)
	cfg.ClientAuth = tls.RequireAnyClientCert
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		seen <- cs.PeerCertificates[0].SerialNumber.Int64()
		return nil
	}
	addr := serve(t, cfg)
	client, err := certs.Client(certs.ClientFiles{CA: caFile, Cert: clientCert, Key: clientKey}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dialSerial(t.Context(), client, addr); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-seen:
		if n != 99 {
			t.Errorf("the server saw serial %d, want 99", n)
		}
	case <-time.After(5 * time.Second):
		t.Error("the server saw no certificate")
	}
}
