package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// The codes of the fleet specification, section 2, that this package gives.
const (
	codeAddressRefused = "address_refused"
	codeUnreachable    = "unreachable"
	codeTimeout        = "timeout"
	codeRedirected     = "redirected"
	codeBadStatus      = "bad_status"
	codeTooLarge       = "too_large"
	codeNotJSON        = "not_json"
	codeEmptyAnswer    = "empty_answer"
	codeMissingField   = "missing_field"
	codeIncompatible   = "incompatible_protocol"
	codeBadURL         = "bad_url"
	codeBadTransport   = "bad_transport"
)

// The bounds of an inspection.
const (
	// DefaultTimeout covers everything from DNS to the last byte.
	DefaultTimeout = 5 * time.Second
	// DefaultMaxBody is the most that an info answer may hold, in bytes.
	DefaultMaxBody = 64 << 10
)

// InspectorConfig is what an Inspector needs.
type InspectorConfig struct {
	// Dialer makes every connection; required.
	Dialer *address.Dialer
	// TLS returns the configuration of a new connection: the roots to trust and
	// the client certificate as they are now. nil means the system's roots.
	// (*certs.Source).Config fits.
	TLS func() *tls.Config
	// Timeout bounds an inspection; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxBody bounds the answer, in bytes; 0 means DefaultMaxBody.
	MaxBody int64
}

// Inspector asks workers who they are. It sends no token, follows no redirect,
// uses no proxy and connects only where its dialer allows. Each inspection makes
// a connection of its own, so that the address is judged anew each time. It is
// safe for concurrent use.
type Inspector struct {
	cfg    InspectorConfig
	client *http.Client
}

var _ registry.Inspector = (*Inspector)(nil)

// NewInspector makes an Inspector.
func NewInspector(cfg InspectorConfig) *Inspector {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.TLS == nil {
		cfg.TLS = func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS12} }
	}
	i := &Inspector{cfg: cfg}
	i.client = &http.Client{
		Transport: &http.Transport{
			DialContext:            cfg.Dialer.DialContext,
			DialTLSContext:         i.dialTLS,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return i
}

// Inspect calls the worker at a registration's url and returns what it answers
// of itself. A refusal is a *fault.Error of kind Unprocessable with one of the
// codes of section 2 and everything found in Violations; then Info holds those
// members that could be read, others empty. Info.ID is as the worker wrote it.
// The end of ctx itself is no finding about the worker: it is the fault timeout
// or cancelled, of those kinds.
func (i *Inspector) Inspect(ctx context.Context, rawURL string, t registry.Transport) (registry.Info, error) {
	info, _, err := i.Measure(ctx, rawURL, t)
	return info, err
}

// Measure is Inspect, and says how long the call took from DNS to the last byte.
func (i *Inspector) Measure(ctx context.Context, rawURL string, t registry.Transport) (registry.Info, time.Duration, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return registry.Info{}, 0, refusal(codeBadURL, "the url is not an absolute one")
	}
	bounded, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	began := time.Now()
	var info registry.Info
	switch scheme := strings.ToLower(u.Scheme); {
	case t == registry.TransportREST && (scheme == "http" || scheme == "https"):
		info, err = i.get(bounded, scheme, u.Host)
	case t == registry.TransportGRPC && (scheme == "grpc" || scheme == "grpcs"):
		info, err = i.describe(bounded, scheme, u.Host)
	default:
		return registry.Info{}, 0, refusal(codeBadTransport, "transport %q does not fit a url with scheme %q", t, u.Scheme)
	}
	took := time.Since(began)
	if err != nil && ctx.Err() != nil {
		return registry.Info{}, took, fault.From(ctx.Err())
	}
	return info, took, err
}

func (i *Inspector) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	raw, err := i.cfg.Dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg := i.cfg.TLS().Clone()
	cfg.ServerName = host
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS handshake: %w", err), raw.Close())
	}
	return conn, nil
}

// refusal is a finding about the worker; the url is what the caller can change.
func refusal(code, format string, args ...any) error {
	e := fault.New(fault.Unprocessable, code, format, args...)
	e.Violations = []fault.Violation{{Code: code, Pointer: "/url", Detail: e.Detail}}
	return e
}

// failed explains why there was no answer at all.
func failed(ctx context.Context, limit time.Duration, err error) error {
	refused := new(address.Refused)
	switch {
	case errors.As(err, &refused):
		return withCause(refusal(codeAddressRefused, "%s", refused.Error()), err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), isTimeout(err):
		return withCause(refusal(codeTimeout, "the worker did not answer in full within %s", limit), err)
	default:
		return withCause(refusal(codeUnreachable, "the worker cannot be reached: %s", Printable(plain(err), maxObserved)), err)
	}
}

// withCause keeps the cause for the log.
func withCause(e, cause error) error { return fault.From(e).Wrap(cause) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// plain returns what went wrong without the request that it happened to, which
// the reader knows.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// lastError remembers why the latest dial failed, for callers that only see a
// text made of it.
type lastError struct{ p atomic.Pointer[error] }

func (l *lastError) set(err error) { l.p.Store(&err) }

func (l *lastError) get() error {
	if p := l.p.Load(); p != nil {
		return *p
	}
	return nil
}
