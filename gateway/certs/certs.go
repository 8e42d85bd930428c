// Package certs makes TLS configurations from files that are read again when
// they change, so that a renewed certificate needs no restart.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// checkEvery bounds how often the files' modification times are looked at.
const checkEvery = time.Second

// Server returns the configuration of a listener whose certificate and key come
// from files. The files are read now, so that a mistake stops the start, and
// again whenever they change; a change that cannot be read is logged, and the
// last good pair keeps serving.
func Server(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	p, err := newPair(certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.current(), nil
		},
	}, nil
}

// ClientFiles names what a client needs; every field may be empty.
type ClientFiles struct {
	// CA holds the PEM certificates to trust instead of the system's.
	CA string
	// Cert and Key are the client's own certificate; both or none.
	Cert string
	Key  string
}

// Source hands out the TLS configuration of a client: always one that trusts the
// CA file, and shows the certificate, as they are now. A connection asks for it
// anew, because crypto/tls offers a client no hook that sees both the present
// roots and the name that was dialled (for an IP address VerifyConnection gets no
// name at all). A Source is safe for concurrent use.
type Source struct {
	client *watched[*tls.Certificate]
	roots  *watched[*x509.CertPool]
}

// Client reads the files and returns their Source. With no files it is the
// system's roots and no certificate of our own.
func Client(f ClientFiles, log *slog.Logger) (*Source, error) {
	s := &Source{}
	var err error
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a client certificate needs both its certificate file and its key file")
	}
	if f.Cert != "" {
		if s.client, err = newPair(f.Cert, f.Key, log); err != nil {
			return nil, err
		}
	}
	if f.CA != "" {
		if s.roots, err = newRoots(f.CA, log); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Config returns the configuration for one new connection; the caller owns it
// and sets ServerName.
func (s *Source) Config() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.roots != nil {
		cfg.RootCAs = s.roots.current()
	}
	if s.client != nil {
		cfg.Certificates = []tls.Certificate{*s.client.current()}
	}
	return cfg
}

// DialFunc opens a plain connection.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// DialTLS opens a connection with dial and completes the TLS handshake for
// addr's host over it. It fits http.Transport's DialTLSContext.
func (s *Source) DialTLS(ctx context.Context, dial DialFunc, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg := s.Config()
	cfg.ServerName = host
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// GRPC returns transport credentials that ask the Source at every handshake.
func (s *Source) GRPC() credentials.TransportCredentials {
	return grpcCredentials{TransportCredentials: credentials.NewTLS(s.Config()), source: s}
}

type grpcCredentials struct {
	credentials.TransportCredentials
	source *Source
}

func (c grpcCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(c.source.Config()).ClientHandshake(ctx, authority, raw)
}

func (c grpcCredentials) Clone() credentials.TransportCredentials { return c }

// watched reads a value from files again when one of them changes.
type watched[T any] struct {
	files []string
	load  func() (T, error)
	log   *slog.Logger

	mu      sync.Mutex
	value   T
	stamps  []time.Time
	checked time.Time
}

func newWatched[T any](log *slog.Logger, load func() (T, error), files ...string) (*watched[T], error) {
	w := &watched[T]{files: files, load: load, log: log, checked: time.Now()}
	w.stamps = w.stat()
	v, err := load()
	if err != nil {
		return nil, err
	}
	w.value = v
	return w, nil
}

func (w *watched[T]) current() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.checked) < checkEvery {
		return w.value
	}
	w.checked = time.Now()
	stamps := w.stat()
	if sameTimes(stamps, w.stamps) {
		return w.value
	}
	v, err := w.load()
	if err != nil {
		// Not remembered: a pair that is half written is read again next time.
		w.log.Warn("TLS files changed but cannot be read; the last good ones stay", "error", err)
		return w.value
	}
	w.value, w.stamps = v, stamps
	w.log.Info("TLS files read again", "files", w.files)
	return w.value
}

func (w *watched[T]) stat() []time.Time {
	stamps := make([]time.Time, len(w.files))
	for i, f := range w.files {
		// A file that is gone for a moment counts as unchanged-but-different: its
		// zero time makes the next look read it again.
		if st, err := os.Stat(f); err == nil {
			stamps[i] = st.ModTime()
		}
	}
	return stamps
}

func sameTimes(a, b []time.Time) bool {
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

func newPair(certFile, keyFile string, log *slog.Logger) (*watched[*tls.Certificate], error) {
	return newWatched(log, func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
		}
		return &c, nil
	}, certFile, keyFile)
}

func newRoots(caFile string, log *slog.Logger) (*watched[*x509.CertPool], error) {
	return newWatched(log, func() (*x509.CertPool, error) {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s holds no PEM certificate", caFile)
		}
		return pool, nil
	}, caFile)
}
