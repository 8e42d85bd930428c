// Package authn tells who a request comes from: it takes the one bearer token of
// an HTTP or gRPC request and has it verified. It decides nothing; that is what
// package authz is for.
package authn

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// Verifier tells who a token speaks for. *token.Verifier is one. It must be safe
// for concurrent use; its errors are *fault.Error or the context's.
type Verifier interface {
	Verify(ctx context.Context, raw string) (*token.Principal, error)
}

// Caller is an authenticated request's principal and the token that proved it,
// which is forwarded to workers or exchanged, and never logged.
type Caller struct {
	Principal *token.Principal
	Token     string
	// Personal is the record of the personal access token that was shown, nil for
	// one of the issuer. Such a token never leaves Muster.
	Personal *access.Token
}

// Options of an Authenticator.
type Options struct {
	// ManagementAudience is what a token must be for, beside the service's own
	// audience, to be used on management endpoints; empty: nothing more.
	ManagementAudience string
	// Access returns the newest users and personal access tokens; nil refuses every
	// personal access token.
	Access func() *access.Set
	// TokenUsed is told of each use of a personal access token, with the address
	// that it came from, empty when unknown. It must not block; nil tells nobody.
	TokenUsed func(id access.ID, at time.Time, address string)
	// Saw is told of each principal of the issuer. It must not block, nor change it;
	// nil tells nobody.
	Saw func(p *token.Principal)
	// Refused is told of each request without a token that is good, by the address
	// that it came from, empty when unknown, and the refusal's code. It must not block;
	// nil tells nobody.
	Refused func(address, code string)
	// Clock tells the time for personal access tokens; nil means time.Now.
	Clock func() time.Time
}

// Authenticator authenticates requests. It is safe for concurrent use.
type Authenticator struct {
	verifier Verifier
	options  Options
}

// New returns an Authenticator over a verifier.
func New(v Verifier, o Options) *Authenticator {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Authenticator{verifier: v, options: o}
}

// FromRequest authenticates an HTTP request by its Authorization header alone;
// the body is not touched. The error is a *fault.Error (401 invalid_token, 503
// identity_unavailable); Challenge makes the WWW-Authenticate header out of it.
func (a *Authenticator) FromRequest(r *http.Request) (Caller, error) {
	address := host(r.RemoteAddr)
	raw, err := token.FromHeader(r.Header)
	if err != nil {
		a.NoteRefusal(address, err)
		return Caller{}, err
	}
	return a.from(r.Context(), raw, address)
}

// NoteRefusal tells of a request that is refused for its token; errors that are not
// 401 are none.
func (a *Authenticator) NoteRefusal(address string, err error) {
	var f *fault.Error
	if a.options.Refused != nil && errors.As(err, &f) && f.Kind == fault.Unauthenticated {
		a.options.Refused(address, f.Code)
	}
}

// FromGRPC authenticates a gRPC call by the metadata of its context, which must
// hold exactly one authorization value. The errors are those of FromRequest.
func (a *Authenticator) FromGRPC(ctx context.Context) (Caller, error) {
	address := ""
	if p, ok := peer.FromContext(ctx); ok {
		address = host(p.Addr.String())
	}
	raw, err := token.FromValues(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		a.NoteRefusal(address, err)
		return Caller{}, err
	}
	return a.from(ctx, raw, address)
}

// FromToken authenticates by a token that has already been taken from its request.
func (a *Authenticator) FromToken(ctx context.Context, raw string) (Caller, error) {
	return a.from(ctx, raw, "")
}

func (a *Authenticator) from(ctx context.Context, raw, address string) (c Caller, err error) {
	defer func() {
		if err != nil {
			a.NoteRefusal(address, err)
		}
	}()
	if pat.Is(raw) {
		return a.fromPersonal(raw, address)
	}
	p, err := a.verifier.Verify(ctx, raw)
	if err != nil {
		return Caller{}, fault.From(err)
	}
	if a.options.Saw != nil {
		a.options.Saw(p)
	}
	return Caller{Principal: p, Token: raw}, nil
}

// host is an address without its port.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// ForManagement refuses a caller whose token is not for the management
// endpoints. It is 401 invalid_token, not 403: the token is of the wrong
// audience, and another login may bring the right one, whereas a right would
// have to be granted (RFC 9068 section 4). A personal access token has no audience:
// it is for Muster alone.
func (a *Authenticator) ForManagement(c Caller) error {
	want := a.options.ManagementAudience
	if want == "" || c.Personal != nil || c.Principal.HasAudience(want) {
		return nil
	}
	return fault.New(fault.Unauthenticated, token.CodeInvalid,
		"the token is not for the management endpoints: its aud does not hold %q; log in with muster-cli", want)
}

// Challenge sets WWW-Authenticate for a refusal, as RFC 6750 section 3 wants it:
// with an error code for a bad token, without one when none was sent. It does
// nothing for errors that are not 401. Call it before the error is written.
func Challenge(h http.Header, err error) {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unauthenticated {
		return
	}
	challenge := `Bearer realm="muster"`
	if !errors.Is(err, token.ErrMissing) {
		challenge += `, error="` + token.CodeInvalid + `"`
	}
	h.Set("WWW-Authenticate", challenge)
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller of a context; ok is false when it has none.
func CallerFrom(ctx context.Context) (c Caller, ok bool) {
	c, ok = ctx.Value(callerKey{}).(Caller)
	return c, ok
}
