package worker

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// LoadTLS returns a TLS configuration for Config.TLS that reads the certificate
// and key files (PEM) again when either changes, and keeps the last good pair
// while they do not fit together. The pair is read once to report mistakes at
// start.
func LoadTLS(certFile, keyFile string) (*tls.Config, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile}
	if _, err := p.get(nil); err != nil {
		return nil, fmt.Errorf("worker: load the TLS certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: p.get}, nil
}

// keyPair is a certificate that follows its files. Safe for concurrent use.
type keyPair struct {
	certFile, keyFile string

	mu     sync.Mutex
	seen   [2]stamp
	loaded *tls.Certificate
}

type stamp struct {
	at   time.Time
	size int64
}

func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := p.stamps()
	if err == nil && (p.loaded == nil || now != p.seen) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(p.certFile, p.keyFile); err == nil {
			p.loaded, p.seen = &pair, now
		}
	}
	if p.loaded == nil {
		return nil, err
	}
	// A pair caught while it is being replaced is tried again at the next
	// handshake; until then the last good one serves.
	return p.loaded, nil
}

func (p *keyPair) stamps() (s [2]stamp, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		fi, err := os.Stat(name)
		if err != nil {
			return s, fmt.Errorf("look at %s: %w", name, err)
		}
		s[i] = stamp{at: fi.ModTime(), size: fi.Size()}
	}
	return s, nil
}
