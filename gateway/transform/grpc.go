package transform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/probe"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/token"
)

// maxMessage bounds one message of a worker's stream, in bytes.
const maxMessage = 16 << 20

// callGRPC asks the worker and stores what it streams back, in one transaction.
// What the worker may not post over REST is not stored for it either.
func (a *attempt) callGRPC(ctx context.Context, w *registry.Worker, g *given, bearer string, who *token.Principal) (string, error) {
	if err := a.engine.deps.MayWrite(who); err != nil {
		return "", err
	}
	conn, dialled, err := a.engine.grpcConn(w)
	if err != nil {
		return "", fail(codeWorkerUnreachable, "the worker's url cannot be called").because(err)
	}
	// Closing a connection that is of no more use has nothing to report.
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends a stream that is not read to its end
	out := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer, "muster-run", string(a.run.ID))
	stream, err := workerv1.NewRuleTransformationClient(conn).Transform(out, g.proto(), grpc.MaxCallRecvMsgSize(maxMessage))
	if err != nil {
		return "", streamFailure(w, err, dialled.Load())
	}
	in := &intake{attempt: a, who: who, token: bearer}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return in.finish(ctx)
		}
		if err != nil {
			return "", streamFailure(w, err, dialled.Load())
		}
		if err := in.take(ctx, chunk); err != nil {
			return "", err
		}
	}
}

// grpcConn makes a connection for one call; why the last dial or TLS handshake
// failed, if it did, is in the pointer.
func (e *Engine) grpcConn(w *registry.Worker) (*grpc.ClientConn, *atomic.Pointer[error], error) {
	u, err := url.Parse(w.URL)
	if err != nil {
		return nil, nil, err
	}
	var dialled atomic.Pointer[error]
	host, creds := u.Host, insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		creds = handshakes{credentials.NewTLS(e.deps.TLS()), &dialled}
		if u.Port() == "" {
			host = net.JoinHostPort(u.Hostname(), "443")
		}
	}
	conn, err := grpc.NewClient("passthrough:///"+host,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			c, err := e.deps.Dialer.DialGRPC(ctx, addr)
			dialled.Store(nil)
			if err != nil {
				dialled.Store(&err)
			}
			return c, err
		}),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithUserAgent("muster"),
	)
	return conn, &dialled, err
}

// streamFailure explains a stream that did not end with OK.
func streamFailure(w *registry.Worker, err error, dialled *error) *failure {
	if dialled != nil {
		if f := untrusted(w, *dialled); f != nil {
			return f
		}
		refused := new(address.Refused)
		if errors.As(*dialled, &refused) {
			return fail(codeAddressRefused, "the worker's name leads to an address that workers may not have: %s", refused.Error()).because(err)
		}
		return fail(codeWorkerUnreachable, "the worker cannot be reached: %s", probe.Printable((*dialled).Error(), maxObserved)).because(err)
	}
	st := status.Convert(err)
	return fail(codeWorkerStatus, "%s: %s", st.Code(), st.Message())
}

// proto is what is given as a message.
func (g *given) proto() *workerv1.TransformRequest {
	out := &workerv1.TransformRequest{Users: namesOf(g.Users), Clients: namesOf(g.Clients), Groups: namesOf(g.Groups)}
	if g.Entities != nil {
		out.Entities = &workerv1.ModelEntities{}
		for _, e := range *g.Entities {
			one := &workerv1.ModelEntity{Id: int64(e.ID), Title: e.Title}
			for _, p := range e.Properties {
				one.Properties = append(one.Properties, &workerv1.ModelProperty{Id: int64(p.ID), Title: p.Title})
			}
			out.Entities.Entities = append(out.Entities.Entities, one)
		}
	}
	if g.Relationships != nil {
		out.Relationships = &workerv1.ModelRelationships{}
		for _, r := range *g.Relationships {
			out.Relationships.Relationships = append(out.Relationships.Relationships, &workerv1.ModelRelationship{
				Id: int64(r.ID), EntityNameFrom: r.From, EntityNameTo: r.To, Name: r.Name, Alias: r.Alias,
			})
		}
	}
	return out
}

func namesOf(list *[]string) *workerv1.Names {
	if list == nil {
		return nil
	}
	return &workerv1.Names{Names: *list}
}

// strategyName is how a strategy is called on the wire, for messages.
func strategyName(s workerv1.RuleCreationStrategy) string {
	return strings.TrimPrefix(fmt.Sprint(s), "RULE_CREATION_STRATEGY_")
}
