package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
)

// Limits of the gRPC listener that nobody needs to configure.
const (
	grpcConnectTimeout = 10 * time.Second
	grpcMinPing        = 10 * time.Second
	grpcMaxStreams     = 1024
	grpcBuffer         = 128 << 10
)

// GRPCConfig bounds the gRPC listener.
type GRPCConfig struct {
	// MaxMessage is the largest message taken, in bytes.
	MaxMessage int
}

// GRPCDeps are what every call of the gRPC listener goes through.
type GRPCDeps struct {
	Gate    *Gate
	Drain   *Drain
	Metrics *Metrics
	Logger  *slog.Logger
	TLS     *tls.Config
}

// GRPCServer is the gRPC listener.
type GRPCServer struct {
	srv    *grpc.Server
	health *health.Server
	ln     net.Listener
	done   chan error
}

// ListenGRPC opens the listener. register adds the services; each of their calls
// is authenticated before its first message. Serve starts to answer.
func ListenGRPC(ctx context.Context, addr string, cfg GRPCConfig, d GRPCDeps, register func(*grpc.Server)) (*GRPCServer, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, listenError(addr, err)
	}
	g := &calls{GRPCDeps: d, endpoints: make(map[string]*endpointMetrics), needs: make(map[string]*authz.Endpoint)}
	opts := []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.MaxRecvMsgSize(cfg.MaxMessage),
		grpc.MaxConcurrentStreams(grpcMaxStreams),
		grpc.ConnectionTimeout(grpcConnectTimeout),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: grpcMinPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout}),
		grpc.WriteBufferSize(grpcBuffer), grpc.ReadBufferSize(grpcBuffer),
	}
	if d.TLS != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(d.TLS)))
	}
	s := &GRPCServer{srv: grpc.NewServer(opts...), health: health.NewServer(), ln: ln, done: make(chan error, 1)}
	healthv1.RegisterHealthServer(s.srv, s.health)
	register(s.srv)
	reflection.Register(s.srv)
	for name, info := range s.srv.GetServiceInfo() {
		g.endpoints[name] = d.Metrics.endpoint("grpc:" + name)
		for _, m := range info.Methods {
			key := "/" + name + "/" + m.Name
			if g.needs[key], err = d.Gate.endpoint(key); err != nil {
				return nil, errors.Join(err, closeListener(ln))
			}
		}
	}
	return s, nil
}

// Addr is the address that the listener really has.
func (s *GRPCServer) Addr() net.Addr { return s.ln.Addr() }

// Serve answers in the background until Shutdown.
func (s *GRPCServer) Serve() {
	go func() { s.done <- s.srv.Serve(s.ln) }()
}

// Failed delivers the error that ended the server by itself, or nil after it
// was shut down.
func (s *GRPCServer) Failed() <-chan error { return s.done }

// NotReady makes the health service say NOT_SERVING.
func (s *GRPCServer) NotReady() { s.health.Shutdown() }

// Shutdown closes the listener, waits for what is in flight until ctx ends, and
// then closes every connection. It may be called again, and before Serve.
func (s *GRPCServer) Shutdown(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.srv.GracefulStop()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.srv.Stop()
		<-ended
	}
	return closeListener(s.ln)
}

// calls is what every call passes: panics, draining, who may, counting.
type calls struct {
	GRPCDeps
	endpoints map[string]*endpointMetrics
	needs     map[string]*authz.Endpoint // by method, complete
}

func (g *calls) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	done := g.begin(info.FullMethod)
	defer func() { err = done(ctx, recover(), err) }()
	ctx, leave, err := g.enter(ctx, info.FullMethod, req)
	if err != nil {
		return nil, err
	}
	defer leave()
	resp, err = next(ctx, req)
	if who, ok := rest.CallerFrom(ctx); ok && err != nil && who.Refused != nil {
		e, _ := shown(err)
		who.Refused(e)
	}
	return resp, err
}

func (g *calls) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	done := g.begin(info.FullMethod)
	defer func() { err = done(ss.Context(), recover(), err) }()
	ctx, leave, err := g.enter(ss.Context(), info.FullMethod, nil)
	if err != nil {
		return err
	}
	defer leave()
	return next(srv, &contextStream{ServerStream: ss, ctx: ctx})
}

// enter counts a call in, and asks whether its caller may make it.
func (g *calls) enter(ctx context.Context, method string, req any) (context.Context, func(), error) {
	need := g.needs[method]
	if need.Need.IsPublic() {
		return ctx, func() {}, nil
	}
	if err := g.Drain.Begin(); err != nil {
		return ctx, nil, err
	}
	caller, err := g.Gate.authn.FromGRPC(ctx)
	if err == nil {
		var who rest.Caller
		who, err = g.Gate.grpc(ctx, caller, need, req)
		ctx = rest.WithCaller(authn.WithCaller(ctx, caller), who)
	}
	if err != nil {
		g.Drain.End()
		return ctx, nil, err
	}
	return ctx, g.Drain.End, nil
}

// begin starts the clock of a call; what it returns ends it: it turns panics
// and every error into a *fault.Error and counts the call.
func (g *calls) begin(method string) func(ctx context.Context, panicked any, err error) error {
	start := time.Now()
	return func(ctx context.Context, panicked any, err error) error {
		if panicked != nil {
			g.Logger.LogAttrs(ctx, slog.LevelError, "panic in a gRPC call", slog.String("method", method),
				slog.Any("panic", panicked), slog.String("stack", string(debug.Stack())))
			err = fault.From(errPanic)
		}
		status := 200
		if err != nil {
			var e *fault.Error
			e, err = shown(err)
			status = e.Kind.HTTPStatus()
		}
		if m := g.endpoints[serviceOf(method)]; m != nil {
			m.done(status, start)
		}
		return err
	}
}

// shown returns an error as the caller gets it, and as a fault for counting. A
// status that gRPC itself made, such as a cancelled stream's, stays as it is.
func shown(err error) (*fault.Error, error) {
	var e *fault.Error
	if errors.As(err, &e) {
		return e, e
	}
	if fault.IsStatus(err) {
		e, _ = fault.FromGRPC(err)
		return e, err
	}
	e = fault.From(err)
	return e, e
}

var errPanic = errors.New("panic")

// serviceOf returns "pkg.Service" of "/pkg.Service/Method".
func serviceOf(method string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return name
}

// contextStream is a stream whose context carries the caller.
type contextStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // that is how gRPC hands a stream its context
}

func (s *contextStream) Context() context.Context { return s.ctx }
