package edge

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"

	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/token"
)

const headerRequestID = "X-Request-Id"

// Guard lets management requests in: a token that is good, for the management
// audience, and of a principal who may do it. It is safe for concurrent use.
type Guard struct {
	Authn  *authn.Authenticator
	Action authz.Action
	// Plain is a role whose holders need no token for the management audience:
	// one that opens nothing but what this guard guards. Empty without one.
	Plain string
}

// Anybody lets everybody in who has a valid token.
func (g Guard) Anybody(r *http.Request) (rest.Caller, error) {
	caller, err := g.Authn.FromRequest(r)
	if err != nil {
		return rest.Caller{}, err
	}
	return callerOf(r, caller), nil
}

// HTTP returns who makes a request, for the audit log, or a *fault.Error.
func (g Guard) HTTP(r *http.Request) (registry.Actor, error) {
	who, err := g.Caller(r)
	return who.Actor, err
}

// Caller is HTTP with the principal, for calls that decide by it.
func (g Guard) Caller(r *http.Request) (rest.Caller, error) {
	caller, err := g.Authn.FromRequest(r)
	if err != nil {
		return rest.Caller{}, err
	}
	who := callerOf(r, caller)
	if _, err := g.allow(caller); err != nil {
		// Of somebody who was not let in no more is kept than where from.
		return rest.Caller{Actor: registry.Actor{Address: who.Address, RequestID: who.RequestID}}, err
	}
	return who, nil
}

func callerOf(r *http.Request, c authn.Caller) rest.Caller {
	actor := actorOf(c.Principal)
	actor.Address = host(r.RemoteAddr)
	actor.RequestID = requestID(r.Header.Get(headerRequestID))
	return rest.Caller{Actor: actor, Principal: c.Principal, TokenDigest: sha256.Sum256([]byte(c.Token))}
}

func actorOf(p *token.Principal) registry.Actor {
	return registry.Actor{Subject: p.Subject, Issuer: p.Issuer, Username: p.Username}
}

// GRPC is HTTP for a call that the listener has authenticated.
func (g Guard) GRPC(ctx context.Context) (registry.Actor, error) {
	caller, ok := authn.CallerFrom(ctx)
	if !ok {
		// No call reaches a service unauthenticated; if one did, this refuses it.
		var err error
		if caller, err = g.Authn.FromGRPC(ctx); err != nil {
			return registry.Actor{}, err
		}
	}
	actor, err := g.allow(caller)
	if p, ok := peer.FromContext(ctx); ok {
		actor.Address = host(p.Addr.String())
	}
	given := ""
	if v := metadata.ValueFromIncomingContext(ctx, headerRequestID); len(v) == 1 {
		given = v[0]
	}
	actor.RequestID = requestID(given)
	return actor, err
}

func (g Guard) allow(c authn.Caller) (registry.Actor, error) {
	// Who may come with a plain token has to be told which role is missing rather
	// than which audience.
	if g.Plain != "" {
		if err := authz.Require(c.Principal, g.Action); err != nil {
			return registry.Actor{}, err
		}
		if c.Principal.HasRealmRole(g.Plain) {
			return actorOf(c.Principal), nil
		}
	}
	if err := g.Authn.ForManagement(c); err != nil {
		return registry.Actor{}, err
	}
	if err := authz.Require(c.Principal, g.Action); err != nil {
		return registry.Actor{}, err
	}
	return actorOf(c.Principal), nil
}

func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// maxRequestID bounds a request id that a caller brings along.
const maxRequestID = 64

// requestID keeps a caller's id when it is short and plain, so that it may go
// into the audit log, and makes one otherwise.
func requestID(given string) string {
	plain := given != "" && len(given) <= maxRequestID
	for i := 0; plain && i < len(given); i++ {
		c := given[i]
		plain = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	}
	if plain {
		return given
	}
	return uuid.NewString()
}
