package worker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/token"
)

const (
	// protocol is the revision of muster.worker.v1 that this SDK speaks.
	protocol = 1
	// messageOverhead is what a chunk's message may have beside its elements' text.
	messageOverhead = 1 << 20
	// The windows for elements, in bytes: as the gateway's chunks are, and a bound
	// on what a connection may bring before it is read. Without fixed windows gRPC
	// measures the path with a ping and its echo at every small call, which is a
	// tenth of the call's cost.
	streamWindow = 1 << 20
	connWindow   = 4 << 20
	// keepStreams bounds the streams of one connection; MaxConcurrent bounds all.
	keepStreams = 1024
)

// newGRPC makes the gRPC server with all its services registered.
func (w *Worker) newGRPC() (*health.Server, *grpc.Server) {
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(int(min(w.cfg.MaxBody, 1<<30) + messageOverhead)),
		grpc.MaxConcurrentStreams(keepStreams),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		grpc.ChainStreamInterceptor(w.recoverStream, w.authenticateStream),
	}
	if w.cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(w.cfg.TLS)))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(serviceDesc(), &grpcService{w: w})
	h := health.NewServer()
	h.SetServingStatus(workerv1.GraphSecurity_ServiceDesc.ServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, h)
	reflection.Register(s)
	return h, s
}

// recoverStream turns a panic of ours into an error; an author's is caught where
// his function is called.
func (w *Worker) recoverStream(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.logPanic(ss.Context(), r)
			err = fault.New(fault.Internal, "internal", "the worker failed; its log has the reason")
		}
	}()
	return next(srv, ss)
}

// authenticateStream demands a token before the first message of every stream
// but those of grpc.health.
func (w *Worker) authenticateStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if info.FullMethod == grpc_health_v1.Health_Watch_FullMethodName {
		return next(srv, ss)
	}
	ctx, cancel := context.WithTimeout(ss.Context(), w.cfg.MaxTimeout)
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	raw, err := token.FromHeader(http.Header{"Authorization": md.Get("authorization")})
	if err != nil {
		return err
	}
	p, err := w.verifier.Verify(ctx, raw)
	if err != nil {
		return err
	}
	return next(srv, &stream{ServerStream: ss, ctx: ctx, principal: p})
}

// stream carries the principal and the deadline to the handler.
type stream struct {
	grpc.ServerStream
	ctx       context.Context //nolint:containedctx // grpc.ServerStream hands its context over this way
	principal *Principal
}

// Context returns the context that ends with the worker's own limit, too.
func (s *stream) Context() context.Context { return s.ctx }

// RecvMsg waits no longer than the context lasts. gRPC's own wait ends with the call
// alone, and a caller that sends nothing and sets no deadline would hold its place
// among MaxConcurrent for ever. The goroutine ends when the handler returns.
func (s *stream) RecvMsg(m any) error {
	got := make(chan error, 1)
	go func() { got <- s.ServerStream.RecvMsg(m) }()
	select {
	case err := <-got:
		return err
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

type grpcService struct {
	workerv1.UnimplementedGraphSecurityServer
	w *Worker
}

// Describe answers what GET / answers over REST, to anyone.
func (s *grpcService) Describe(context.Context, *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	return &workerv1.DescribeResponse{
		Class: class, Type: workerType, Uuid: s.w.cfg.UUID, Version: s.w.cfg.Version,
		Capabilities: &workerv1.Capabilities{Protocol: protocol, Strips: true, Masks: s.w.cfg.Masks, Decide: true},
	}, nil
}

// Filter judges chunk by chunk; nothing of a chunk is kept once it is answered.
func (s *grpcService) Filter(ss grpc.BidiStreamingServer[workerv1.FilterRequest, workerv1.FilterResponse]) error {
	return s.serve(func() error { return s.filter(ss) })
}

// serve gives one call its place among the requests in work, and measures it.
func (s *grpcService) serve(call func() error) error {
	begun := time.Now()
	code := "ok"
	defer func() { s.w.metrics.request("grpc", code, time.Since(begun)) }()
	release, err := s.w.admit()
	if err == nil {
		defer release()
		err = call()
	}
	if err != nil {
		f := fault.From(err)
		code = f.Code
		return f
	}
	return nil
}

func (s *grpcService) filter(ss grpc.BidiStreamingServer[workerv1.FilterRequest, workerv1.FilterResponse]) error {
	ctx := ss.Context()
	principal, err := principalOf(ss)
	if err != nil {
		return err
	}
	in, err := s.readHeader(ss)
	if err != nil {
		return err
	}
	for {
		m, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return in.finish()
		}
		if err != nil {
			return recvFault(ctx, err)
		}
		batch, err := in.take(m.GetChunk())
		if err != nil {
			return err
		}
		verdicts, err := s.w.judge(ctx, principal, batch)
		if err != nil {
			return err
		}
		answer := verdictChunk(m.GetChunk().GetBase(), batch, verdicts)
		if err := ss.Send(&workerv1.FilterResponse{Chunk: answer}); err != nil {
			return fault.New(fault.Cancelled, "cancelled", "the caller went away").Wrap(err)
		}
	}
}

func principalOf(ss grpc.ServerStream) (*Principal, error) {
	// The generated stream wraps the one that authenticateStream passed on.
	if g, ok := ss.(*grpc.GenericServerStream[workerv1.FilterRequest, workerv1.FilterResponse]); ok {
		ss = g.ServerStream
	}
	s, ok := ss.(*stream)
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "invalid_token", "the call carries no verified token")
	}
	return s.principal, nil
}

func (s *grpcService) readHeader(ss grpc.BidiStreamingServer[workerv1.FilterRequest, workerv1.FilterResponse]) (*incoming, error) {
	m, err := ss.Recv()
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "invalid_request", "the stream ended before its header")
	}
	if err != nil {
		return nil, recvFault(ss.Context(), err)
	}
	if m.GetHeader() == nil {
		return nil, fault.New(fault.Invalid, "invalid_request", "the stream's first message must be its header")
	}
	h := m.GetHeader()
	return newIncoming(h.GetKind(), h.GetTotal(), h.GetIdsDigest(), s.w.cfg.MaxBody)
}

func recvFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.From(ctx.Err())
	}
	// The caller has been told by gRPC itself; what is returned is for the metric.
	f, _ := fault.FromGRPC(err)
	return f
}
