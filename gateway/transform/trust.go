package transform

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"github.com/muster-fleet/muster/gateway/probe"
	"github.com/muster-fleet/muster/registry"
)

// codeUntrusted is a worker whose certificate is not trusted.
const codeUntrusted = "worker_untrusted"

// untrusted explains a TLS handshake that failed by the worker's certificate; nil
// when that is not why.
func untrusted(w *registry.Worker, err error) *failure {
	var bad *tls.CertificateVerificationError
	if !errors.As(err, &bad) {
		return nil
	}
	return fail(codeUntrusted, "the certificate of worker %s at %s is not trusted: %s; name the file of its authority in workers.caFile, "+
		"or give the worker a certificate for the name in its url", w, w.URL, probe.Printable(bad.Err.Error(), maxObserved)).because(err)
}

// handshakes are TLS credentials that keep why the last handshake failed, which
// gRPC tells in words alone.
type handshakes struct {
	credentials.TransportCredentials
	failed *atomic.Pointer[error]
}

// ClientHandshake implements credentials.TransportCredentials.
func (h handshakes) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		h.failed.Store(&err)
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.failed}
}
