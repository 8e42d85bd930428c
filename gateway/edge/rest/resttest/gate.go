// Package resttest guards APIs in tests: by the real table of endpoints and the
// real resolver, with names for tokens. Verifying tokens is tested elsewhere.
package resttest

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// People are the principals whose names tokens are.
type People map[string]*token.Principal

// Gate lets people in by the standard tables.
type Gate struct {
	table  *authz.Table
	access *authz.Access
	people People
}

// NewGate returns a Gate over the newest snapshot.
func NewGate(t *testing.T, snapshots func() *registry.Snapshot, people People) *Gate {
	t.Helper()
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		t.Fatal(err)
	}
	table, err := authz.NewTable(types, authz.Endpoints()...)
	if err != nil {
		t.Fatal(err)
	}
	access, err := authz.NewAccess(authz.Config{}, types, snapshots)
	if err != nil {
		t.Fatal(err)
	}
	return &Gate{table: table, access: access, people: people}
}

// Guard is a rest.Gate. The Authorization header is a name, with or without
// "Bearer" before it.
func (g *Gate) Guard(key string) (rest.Guard, error) {
	e := g.table.Endpoint(key)
	if e == nil {
		return nil, fault.New(fault.Internal, "internal", "the table says nothing of %q", key)
	}
	return func(r *http.Request) (rest.Caller, error) {
		return g.enter(r.Header.Get("Authorization"), e, r.PathValue)
	}, nil
}

// Unary and Stream guard a gRPC server; field returns a message's field of text.
func (g *Gate) Unary(token func(context.Context) string, field func(req any, name string) string) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		who, err := g.enter(token(ctx), g.table.Endpoint(info.FullMethod), func(name string) string { return field(req, name) })
		if err != nil {
			return nil, err
		}
		return next(rest.WithCaller(ctx, who), req)
	}
}

// Stream is Unary for calls that stream, which have no fields.
func (g *Gate) Stream(token func(context.Context) string) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		who, err := g.enter(token(ss.Context()), g.table.Endpoint(info.FullMethod), func(string) string { return "" })
		if err != nil {
			return err
		}
		return next(srv, guarded{ss, rest.WithCaller(ss.Context(), who)})
	}
}

type guarded struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that is how gRPC hands a stream its context
}

func (g guarded) Context() context.Context { return g.ctx }

func (g *Gate) enter(header string, e *authz.Endpoint, param func(string) string) (rest.Caller, error) {
	name := strings.TrimPrefix(header, "Bearer ")
	p := g.people[name]
	if p == nil {
		return rest.Caller{}, fault.New(fault.Unauthenticated, token.CodeInvalid, "%q is no token here", name)
	}
	who, err := g.access.Who(authn.Caller{Principal: p})
	if err != nil {
		return rest.Caller{}, err
	}
	pass, err := who.Require(e, param)
	if err != nil {
		return rest.Caller{}, err
	}
	return rest.Caller{
		Actor: registry.Actor{Issuer: p.Issuer, Subject: p.Subject, Username: p.Username},
		Who:   who, Pass: pass, Principal: p, TokenDigest: sha256.Sum256([]byte(name)),
	}, nil
}

// Granted returns snapshots in which these people have a group of their own each,
// with these grants, written "type:id", and admin is a member of Admin.
func Granted(snapshots func() *registry.Snapshot, people People, grants map[string][]string) func() *registry.Snapshot {
	var d access.Delta
	next := byte(0)
	id := func() access.ID { next++; return access.ID{0: 1, 15: next} }
	admin := id()
	d.Groups = []access.Group{{ID: admin, Name: access.Admin, System: true}, {ID: id(), Name: access.Everyone, System: true}}
	for name, p := range people {
		user := access.User{ID: id(), Issuer: p.Issuer, Subject: p.Subject, Username: p.Username, Active: true}
		group := access.Group{ID: id(), Name: "of " + name}
		d.Users, d.Groups = append(d.Users, user), append(d.Groups, group)
		in := group.ID
		if name == "admin" {
			in = admin
		}
		d.Members = append(d.Members, access.Member{MemberKey: access.MemberKey{User: user.ID, Group: in, Source: access.SourceAdmin}})
		for _, g := range grants[name] {
			typ, resource, _ := strings.Cut(g, ":")
			d.Grants = append(d.Grants, access.Grant{ID: id(), Group: group.ID, Type: typ, Resource: resource})
		}
	}
	set := (*access.Set)(nil).With(&d)
	return func() *registry.Snapshot { return snapshots().WithAccess(set) }
}
