package main

import (
	"context"
	"errors"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// grpcWorker is a fake gRPC worker: it judges by ordinal, with verdicts that
// were computed at start, and looks at no element.
type grpcWorker struct {
	workerv1.UnimplementedGraphSecurityServer
	k int
	// visible are the bitsets, by the number of nodes.
	visible map[uint64][]byte
}

// serveGRPCWorker is fake gRPC worker k for batches of these sizes; it serves
// until ctx ends.
func serveGRPCWorker(ctx context.Context, l net.Listener, k int, sizes []int) error {
	w := &grpcWorker{k: k, visible: map[uint64][]byte{}}
	for _, n := range sizes {
		w.visible[uint64(n)] = visibleBits(k, n)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	workerv1.RegisterGraphSecurityServer(s, w)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	return s.Serve(l)
}

// Describe answers who the worker is.
func (w *grpcWorker) Describe(context.Context, *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	return &workerv1.DescribeResponse{
		Class: "result", Type: "ExternalGraphSecurity", Uuid: fakeUUID(w.k), Version: "1.0.0",
		Capabilities: &workerv1.Capabilities{Protocol: 1},
	}, nil
}

// Filter takes the elements, counts them, and answers all verdicts in one chunk.
func (w *grpcWorker) Filter(stream grpc.BidiStreamingServer[workerv1.FilterRequest, workerv1.FilterResponse]) error {
	count := uint64(0)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		count += uint64(len(m.GetChunk().GetEnds()))
	}
	visible, ok := w.visible[count]
	if !ok {
		return status.Errorf(codes.InvalidArgument, "%d elements are no size that this worker was started for", count)
	}
	return stream.Send(&workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Count: count, Visible: visible}})
}
