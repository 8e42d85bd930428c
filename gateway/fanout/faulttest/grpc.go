package faulttest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sort"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// GRPC serves a well-behaved worker over plain gRPC and returns its URL. It
// answers each chunk at once, before the next has come.
func GRPC(t testing.TB, decide Decide) (url string, calls *Calls) {
	t.Helper()
	calls = &Calls{}
	return GRPCWith(t, func(s Stream) error { return serveChunks(s, decide, calls) }), calls
}

// Stream is a worker's end of a Filter call.
type Stream = grpc.BidiStreamingServer[workerv1.FilterRequest, workerv1.FilterResponse]

type grpcWorker struct {
	workerv1.UnimplementedGraphSecurityServer
	filter func(Stream) error
}

func (w *grpcWorker) Filter(s Stream) error { return w.filter(s) }

// GRPCWith serves Filter by hand and returns the worker's URL. It describes
// nothing of itself, so that it is asked over streams alone.
func GRPCWith(t testing.TB, filter func(Stream) error, opts ...grpc.ServerOption) string {
	t.Helper()
	return serve(t, &grpcWorker{filter: filter}, opts...)
}

func serve(t testing.TB, w workerv1.GraphSecurityServer, opts ...grpc.ServerOption) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	workerv1.RegisterGraphSecurityServer(srv, w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return "grpc://" + ln.Addr().String()
}

// Judges serves a stream as the worker of GRPC does.
func Judges(s Stream, decide Decide) error { return serveChunks(s, decide, &Calls{}) }

func serveChunks(s Stream, decide Decide, calls *Calls) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	header := http.Header{}
	for k, v := range md {
		header[http.CanonicalHeaderKey(k)] = v
	}
	calls.note(header, nil)
	first, err := s.Recv()
	if err != nil {
		return err
	}
	kind := "nodes"
	if first.GetHeader().GetKind() == workerv1.Kind_KIND_RELATIONSHIPS {
		kind = "relationships"
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		if err := s.Send(&workerv1.FilterResponse{Chunk: Judge(m.GetChunk(), kind, decide, calls)}); err != nil {
			return err
		}
	}
}

// Judge answers one chunk.
func Judge(c *workerv1.ElementChunk, kind string, decide Decide, calls *Calls) *workerv1.VerdictChunk {
	n := len(c.GetStarts())
	out := &workerv1.VerdictChunk{Base: c.GetBase(), Count: uint64(n), Visible: make([]byte, (n+7)/8)}
	ids := make([]string, n)
	for i := range n {
		id := idOf(c.GetData()[c.GetStarts()[i]:c.GetEnds()[i]])
		ids[i] = id
		v := decide(kind, id)
		if v.Hide {
			continue
		}
		out.Visible[i/8] |= 1 << (i % 8)
		ordinal := c.GetBase() + uint64(i)
		if len(v.Strip) > 0 {
			out.Strips = append(out.Strips, &workerv1.Strip{Ordinal: ordinal, Properties: slices.Clone(v.Strip)})
		}
		names := make([]string, 0, len(v.Mask))
		for name := range v.Mask {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			out.Masks = append(out.Masks, &workerv1.Mask{Ordinal: ordinal, Property: name, Value: v.Mask[name]})
		}
	}
	if calls != nil {
		calls.note(nil, ids)
	}
	return out
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
