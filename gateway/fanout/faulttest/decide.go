package faulttest

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// Decider is a worker that serves Decide, as a plain unary method, beside
// Filter, and says so.
type Decider struct {
	workerv1.UnimplementedGraphSecurityServer
	// Judge serves both methods, as it would serve Filter.
	Judge func(Stream) error
	// Decided, Filtered and Described count the calls.
	Decided, Filtered, Described atomic.Int64
	// Tokens counts the calls of Describe that carried a token.
	Tokens atomic.Int64
	// Forgets makes Decide answer as a worker without it does.
	Forgets atomic.Bool
	// Denies makes Describe tell of no Decide.
	Denies atomic.Bool
	// Then, when set, serves Decide in place of Judge from the second call on.
	Then func(Stream) error
}

// Serve serves the worker until the test ends and returns its URL.
func (d *Decider) Serve(t testing.TB, opts ...grpc.ServerOption) string {
	t.Helper()
	return serve(t, d, opts...)
}

// Describe tells of Decide.
func (d *Decider) Describe(ctx context.Context, _ *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) > 0 {
		d.Tokens.Add(1)
	}
	d.Described.Add(1)
	return &workerv1.DescribeResponse{Capabilities: &workerv1.Capabilities{Protocol: 1, Decide: !d.Denies.Load()}}, nil
}

// Filter judges a stream.
func (d *Decider) Filter(s Stream) error {
	d.Filtered.Add(1)
	return d.Judge(s)
}

// Decide judges one message.
func (d *Decider) Decide(ctx context.Context, req *workerv1.DecideRequest) (*workerv1.DecideResponse, error) {
	if d.Forgets.Load() {
		return nil, status.Error(codes.Unimplemented, "unknown method Decide for service muster.worker.v1.GraphSecurity")
	}
	judge := d.Judge
	if n := d.Decided.Add(1); n > 1 && d.Then != nil {
		judge = d.Then
	}
	one := &oneMessage{ctx: ctx, req: req, out: &workerv1.DecideResponse{}}
	if err := judge(one); err != nil {
		return nil, err
	}
	return one.out, nil
}

// oneMessage lets a function that serves streams serve Decide: it gets the
// header, the elements and the end, and its first chunk is the answer.
type oneMessage struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // grpc.ServerStream hands its context over this way
	req   *workerv1.DecideRequest
	calls int
	out   *workerv1.DecideResponse
	told  bool
}

// Context implements grpc.ServerStream.
func (s *oneMessage) Context() context.Context { return s.ctx }

// Recv implements Stream.
func (s *oneMessage) Recv() (*workerv1.FilterRequest, error) {
	s.calls++
	switch s.calls {
	case 1:
		return &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{Kind: s.req.GetKind()}}}, nil
	case 2:
		return &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Chunk{Chunk: s.req.GetElements()}}, nil
	default:
		return nil, io.EOF
	}
}

// Send implements Stream.
func (s *oneMessage) Send(r *workerv1.FilterResponse) error {
	if s.told {
		return errors.New("there is only one message to answer with")
	}
	s.told, s.out.Chunk = true, r.GetChunk()
	return nil
}
