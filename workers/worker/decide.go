package worker

import (
	"slices"

	"google.golang.org/grpc"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// decideName is the method that judges elements of one message.
const decideName = "Decide"

// serviceDesc is the generated description of the service, except that Decide is
// served as a stream of one message each way, which is the same on the wire.
// gRPC reads the message of a unary call before any interceptor runs: without a
// token anybody could make the worker hold MaxBody bytes a call, and MaxConcurrent
// would not bound them. ServerStreams makes the interceptors of streams run.
func serviceDesc() *grpc.ServiceDesc {
	d := workerv1.GraphSecurity_ServiceDesc
	d.Methods = slices.DeleteFunc(slices.Clone(d.Methods), func(m grpc.MethodDesc) bool { return m.MethodName == decideName })
	d.Streams = append(slices.Clone(d.Streams), grpc.StreamDesc{StreamName: decideName, Handler: serveDecide, ServerStreams: true})
	return &d
}

func serveDecide(srv any, ss grpc.ServerStream) error {
	s, ok := srv.(*grpcService)
	if !ok {
		return fault.New(fault.Internal, "internal", "the worker is not wired up")
	}
	return s.serve(func() error { return s.decide(ss) })
}

// decide judges the elements of the one message. gRPC refuses another one, for
// the description says that the client does not stream.
func (s *grpcService) decide(ss grpc.ServerStream) error {
	ctx := ss.Context()
	principal, err := principalOf(ss)
	if err != nil {
		return err
	}
	req := new(workerv1.DecideRequest)
	if err := ss.RecvMsg(req); err != nil {
		return recvFault(ctx, err)
	}
	in, err := newIncoming(req.GetKind(), 0, nil, s.w.cfg.MaxBody)
	if err != nil {
		return err
	}
	batch, err := in.take(req.GetElements())
	if err != nil {
		return err
	}
	verdicts, err := s.w.judge(ctx, principal, batch)
	if err != nil {
		return err
	}
	answer := verdictChunk(0, batch, verdicts)
	if err := ss.SendMsg(&workerv1.DecideResponse{Chunk: answer}); err != nil {
		return fault.New(fault.Cancelled, "cancelled", "the caller went away").Wrap(err)
	}
	return nil
}
