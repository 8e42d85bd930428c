package token

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// NewHTTPClient returns a client for calls to an issuer. It follows no redirect,
// trusts the authorities in caFile (PEM; empty: none) beside the system's, reads
// that file again when it changes, and gives up on a connection after 5 s. It is
// safe for concurrent use. A file that cannot be read is an error now; later it
// leaves the last good one in force.
func NewHTTPClient(caFile string) (*http.Client, error) {
	t := &issuerTransport{caFile: caFile}
	if err := t.load(); err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// issuerTransport is an http.Transport that is made anew when its CA file changes.
type issuerTransport struct {
	caFile string

	mu       sync.Mutex
	current  *http.Transport
	modified time.Time
	size     int64
}

// RoundTrip implements http.RoundTripper.
func (t *issuerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	if t.changed() {
		// A half-written file must not cost the authorities that are known.
		_ = t.reload()
	}
	current := t.current
	t.mu.Unlock()
	return current.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (t *issuerTransport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current.CloseIdleConnections()
}

func (t *issuerTransport) load() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reload()
}

func (t *issuerTransport) changed() bool {
	if t.caFile == "" {
		return false
	}
	info, err := os.Stat(t.caFile)
	return err == nil && (!info.ModTime().Equal(t.modified) || info.Size() != t.size)
}

func (t *issuerTransport) reload() error {
	next := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: fetchTimeout}).DialContext,
		TLSHandshakeTimeout: fetchTimeout,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        4,
		IdleConnTimeout:     time.Minute,
	}
	if t.caFile != "" {
		info, err := os.Stat(t.caFile)
		if err != nil {
			return fmt.Errorf("read the issuer's CA file: %w", err)
		}
		if next.TLSClientConfig.RootCAs, err = readAuthorities(t.caFile); err != nil {
			return err
		}
		t.modified, t.size = info.ModTime(), info.Size()
	}
	if t.current != nil {
		t.current.CloseIdleConnections()
	}
	t.current = next
	return nil
}

func readAuthorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the issuer's CA file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the issuer's CA file " + file + " holds no PEM certificate")
	}
	return pool, nil
}
