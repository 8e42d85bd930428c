package edge

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/token"
)

const headerRequestID = "X-Request-Id"

// Gate lets callers in to endpoints, by the table of what each of them needs. It
// is safe for concurrent use.
type Gate struct {
	authn  *authn.Authenticator
	access *authz.Access
	table  *authz.Table
	// refused is told of changes that were refused; nil tells nobody.
	refused func(actor registry.Actor, action, resource, code string)
}

// NoteRefusals has the gate tell of each change that is refused to a caller whose
// token is good, by the names of the audit log: by the gate itself, or by what the
// call was handed to. It is to be called before the first request; f must not
// block. Trying a change out is none.
func (g *Gate) NoteRefusals(f func(actor registry.Actor, action, resource, code string)) {
	g.refused = f
}

// NewGate returns a Gate.
func NewGate(a *authn.Authenticator, access *authz.Access, table *authz.Table) *Gate {
	return &Gate{authn: a, access: access, table: table}
}

// endpoint returns the entry of an endpoint, or an error that says where it is
// missing.
func (g *Gate) endpoint(key string) (*authz.Endpoint, error) {
	if e := g.table.Endpoint(key); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("the table of endpoints says nothing of %q; enter it in gateway/authz/endpoints.go", key)
}

// Guard returns what lets callers in to an endpoint of the HTTP listener. It is a
// rest.Gate.
func (g *Gate) Guard(key string) (rest.Guard, error) {
	if _, err := g.endpoint(key); err != nil {
		return nil, err
	}
	return g.guard(key), nil
}

// must is endpoint for what is mounted here: it panics over an endpoint that the
// table does not have, as a ServeMux does over a bad pattern.
func (g *Gate) must(key string) *authz.Endpoint {
	e, err := g.endpoint(key)
	if err != nil {
		panic("edge: " + err.Error())
	}
	return e
}

// guard is Guard for what is mounted here.
func (g *Gate) guard(key string) rest.Guard {
	e := g.must(key)
	return func(r *http.Request) (rest.Caller, error) { return g.http(r, e) }
}

func (g *Gate) http(r *http.Request, e *authz.Endpoint) (rest.Caller, error) {
	from := registry.Actor{Address: host(r.RemoteAddr), RequestID: requestID(r.Header.Get(headerRequestID))}
	if e.Need.IsPublic() {
		return rest.Caller{Actor: from}, nil
	}
	caller, err := g.authn.FromRequest(r)
	if err != nil {
		return rest.Caller{}, err
	}
	return g.enter(caller, from, e, r.PathValue, r.URL.Query().Get("dryRun") == "true")
}

// enter decides about an authenticated caller. Of somebody who is not let in no
// more is returned than where from.
func (g *Gate) enter(c authn.Caller, from registry.Actor, e *authz.Endpoint, param func(string) string, dryRun bool) (rest.Caller, error) {
	who, pass, err := g.decide(c, e, param)
	if err != nil {
		g.authn.NoteRefusal(from.Address, err)
		if f := fault.From(err); g.refused != nil && e.Changes() && !dryRun && f.Kind != fault.Unauthenticated {
			g.refused(callerOf(c, from, who, pass).Actor, e.Action, e.Resource(param), f.Code)
		}
		return rest.Caller{Actor: from}, err
	}
	caller := callerOf(c, from, who, pass)
	caller.Refused = rest.Refusals(e, param, dryRun, caller.Actor, g.refused)
	return caller, nil
}

// decide lets an authenticated caller in to an endpoint or says why not. It
// allocates nothing for callers who are let in.
func (g *Gate) decide(c authn.Caller, e *authz.Endpoint, param func(string) string) (authz.Who, authz.Pass, error) {
	who, err := g.access.Who(c)
	if err != nil {
		return who, authz.Pass{}, err
	}
	if e.Login {
		if err := g.authn.ForLogin(c); err != nil {
			return who, authz.Pass{}, err
		}
	}
	if e.Audience != authz.ForService {
		if err := g.authn.ForManagement(c); err != nil {
			if e.Audience == authz.ForServiceAccounts {
				return decidePlain(c, e, param, who, err)
			}
			return who, authz.Pass{}, err
		}
	}
	pass, err := who.Require(e, param)
	return who, pass, err
}

// decidePlain decides about a token that is not for the management endpoints: it
// does for a service account with a grant of its own, whose token no person's
// request can have brought to a worker.
func decidePlain(c authn.Caller, e *authz.Endpoint, param func(string) string, who authz.Who, wrongAudience error) (authz.Who, authz.Pass, error) {
	granted := who.WithoutAdmin()
	pass, err := granted.Require(e, param)
	switch {
	case err == nil && !pass.CreatorOnly && isServiceAccount(c.Principal):
		return granted, pass, nil
	case err != nil && !who.Admin():
		// Whom another token would not help is told which right is missing rather
		// than which audience.
		return who, pass, err
	default:
		return who, pass, wrongAudience
	}
}

// isServiceAccount reports whether a token is a client's own: it was given to the
// client that it speaks for.
func isServiceAccount(p *token.Principal) bool {
	client, ok := strings.CutPrefix(p.Username, "service-account-")
	return ok && client != "" && client == p.Client
}

func callerOf(c authn.Caller, actor registry.Actor, who authz.Who, pass authz.Pass) rest.Caller {
	actor.Subject, actor.Issuer, actor.Username = c.Principal.Subject, c.Principal.Issuer, c.Principal.Username
	if u := who.User(); u != nil {
		actor.User = u.ID.String()
	}
	if c.Personal != nil {
		actor.Token = c.Personal.ID.String()
	}
	return rest.Caller{Actor: actor, Who: who, Pass: pass, Principal: c.Principal, TokenDigest: sha256.Sum256([]byte(c.Token))}
}

// grpc decides about a call that the listener has authenticated; req is its
// message, nil for a stream.
func (g *Gate) grpc(ctx context.Context, c authn.Caller, e *authz.Endpoint, req any) (rest.Caller, error) {
	var from registry.Actor
	if p, ok := peer.FromContext(ctx); ok {
		from.Address = host(p.Addr.String())
	}
	given := ""
	if v := metadata.ValueFromIncomingContext(ctx, headerRequestID); len(v) == 1 {
		given = v[0]
	}
	from.RequestID = requestID(given)
	return g.enter(c, from, e, func(name string) string { return fieldOf(req, name) }, triedOut(req))
}

// triedOut reports whether a message asks for a dry run.
func triedOut(req any) bool {
	asked, ok := req.(interface{ GetDryRun() bool })
	return ok && asked.GetDryRun()
}

// fieldOf returns a message's field of text; "" when it has none of that name.
func fieldOf(req any, name string) string {
	m, ok := req.(proto.Message)
	if !ok {
		return ""
	}
	r := m.ProtoReflect()
	f := r.Descriptor().Fields().ByName(protoreflect.Name(name))
	if f == nil || f.Kind() != protoreflect.StringKind || f.IsList() {
		return ""
	}
	return r.Get(f).String()
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
