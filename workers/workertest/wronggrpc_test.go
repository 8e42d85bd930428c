package workertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/workertest"
)

// plainGRPC is a worker written by hand, without the SDK, with places to go wrong.
type plainGRPC struct {
	workerv1.UnimplementedGraphSecurityServer
	verifier *token.Verifier

	describe  func(*workerv1.DescribeResponse)
	authorise func(ctx context.Context, verified error) error
	chunk     func(in *workerv1.ElementChunk, out *workerv1.VerdictChunk) *workerv1.VerdictChunk
	anyBase   bool
	atEnd     func(next uint64, send func(*workerv1.VerdictChunk) error) error
}

func (p *plainGRPC) Describe(context.Context, *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	d := &workerv1.DescribeResponse{
		Class: "result", Type: "ExternalGraphSecurity", Uuid: testUUID, Version: "1.0.0",
		Capabilities: &workerv1.Capabilities{Protocol: 1, Strips: true},
	}
	if p.describe != nil {
		p.describe(d)
	}
	return d, nil
}

func (p *plainGRPC) Filter(s workerv1.GraphSecurity_FilterServer) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	raw, err := token.FromHeader(http.Header{"Authorization": md.Get("authorization")})
	if err == nil {
		_, err = p.verifier.Verify(s.Context(), raw)
	}
	if p.authorise != nil {
		err = p.authorise(s.Context(), err)
	}
	if err != nil {
		return err
	}
	send := func(c *workerv1.VerdictChunk) error { return s.Send(&workerv1.FilterResponse{Chunk: c}) }
	next := uint64(0)
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF) && p.atEnd != nil:
			return p.atEnd(next, send)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case m.GetChunk() == nil:
			continue
		}
		in := m.GetChunk()
		if in.GetBase() != next && !p.anyBase {
			return status.Error(codes.InvalidArgument, "a gap")
		}
		n := len(in.GetEnds())
		out := &workerv1.VerdictChunk{Base: next, Count: uint64(n), Visible: make([]byte, (n+7)/8)}
		next += uint64(n)
		for i := range n {
			if !bytes.Contains(in.GetData()[in.GetStarts()[i]:in.GetEnds()[i]], []byte("Secret")) {
				out.Visible[i/8] |= 1 << (i % 8)
			}
		}
		if p.chunk != nil {
			out = p.chunk(in, out)
		}
		if out == nil {
			continue
		}
		if err := send(out); err != nil {
			return err
		}
	}
}

// start serves the worker on a free port.
func (p *plainGRPC) start(t *testing.T, is *workertest.Issuer, healthy bool) string {
	t.Helper()
	return p.startAs(t, is, healthy, p)
}

// startAs serves as, which is built on the worker.
func (p *plainGRPC) startAs(t *testing.T, is *workertest.Issuer, healthy bool, as workerv1.GraphSecurityServer) string {
	t.Helper()
	v, err := token.NewVerifier(t.Context(), token.Config{
		Issuers: []token.Issuer{{Issuer: is.URL(), Audience: workertest.Audience}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.verifier = v
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	workerv1.RegisterGraphSecurityServer(s, as)
	if healthy {
		grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
		v.Close()
	})
	return "grpc://" + l.Addr().String()
}

type wrongGRPC struct {
	name   string
	worker *plainGRPC
	caught string
	sick   bool
}

func grpcMistakes() []wrongGRPC {
	edit := func(f func(in *workerv1.ElementChunk, out *workerv1.VerdictChunk)) *plainGRPC {
		return &plainGRPC{chunk: func(in *workerv1.ElementChunk, out *workerv1.VerdictChunk) *workerv1.VerdictChunk {
			f(in, out)
			return out
		}}
	}
	info := func(f func(*workerv1.DescribeResponse)) *plainGRPC { return &plainGRPC{describe: f} }
	held := 0
	return []wrongGRPC{
		{name: "no capabilities", caught: "core/info", worker: info(func(d *workerv1.DescribeResponse) { d.Capabilities = nil })},
		{name: "protocol 0", caught: "core/info", worker: info(func(d *workerv1.DescribeResponse) { d.Capabilities.Protocol = 0 })},
		{name: "no version", caught: "core/info", worker: info(func(d *workerv1.DescribeResponse) { d.Version = "" })},
		{name: "another uuid each time", caught: "core/info-stable", worker: info(func(d *workerv1.DescribeResponse) {
			if held++; held%3 == 0 {
				d.Uuid = otherUUID
			}
		})},
		{name: "no token needed", caught: "core/token-missing", worker: &plainGRPC{authorise: func(ctx context.Context, err error) error {
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) == 0 {
				return nil
			}
			return err
		}}},
		{name: "takes any token", caught: "core/token-wrong-issuer", worker: &plainGRPC{authorise: func(context.Context, error) error { return nil }}},
		{name: "another code for bad tokens", caught: "core/token-expired", worker: &plainGRPC{authorise: func(_ context.Context, err error) error {
			if err != nil {
				return status.Error(codes.Internal, "token error")
			}
			return nil
		}}},
		{name: "too few bits", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Visible = out.Visible[:len(out.Visible)-1]
		})},
		{name: "judges too many", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Count += 8
			out.Visible = append(out.Visible, 255)
		})},
		{name: "unused bits set", caught: "robust/any-chunking", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			if out.Count%8 != 0 {
				out.Visible[len(out.Visible)-1] |= 0x80
			}
		})},
		{name: "ends early", caught: "robust/many-nodes", worker: &plainGRPC{chunk: func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) *workerv1.VerdictChunk {
			if out.Base >= 1024 {
				return nil
			}
			return out
		}}},
		{name: "answers a chunk twice", caught: "core/nodes", worker: &plainGRPC{
			chunk: func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) *workerv1.VerdictChunk { return out },
			atEnd: func(_ uint64, send func(*workerv1.VerdictChunk) error) error {
				return send(&workerv1.VerdictChunk{Base: 0, Count: 1, Visible: []byte{1}})
			},
		}},
		{name: "empty chunks", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) { out.Count, out.Visible = 0, nil })},
		{name: "strips what is not there", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Strips = []*workerv1.Strip{{Ordinal: out.Base, Properties: []string{"nothing of that name"}}}
		})},
		{name: "strips beyond its chunk", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Strips = []*workerv1.Strip{{Ordinal: out.Base + out.Count, Properties: []string{"rank"}}}
		})},
		{name: "masks with an object", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Masks = []*workerv1.Mask{{Ordinal: out.Base, Property: "rank", Value: []byte("{}")}}
		})},
		{name: "masks without leave", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Masks = []*workerv1.Mask{{Ordinal: out.Base, Property: "rank", Value: []byte("0")}}
		})},
		{name: "reasons without end", caught: "core/nodes", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			out.Reasons = []*workerv1.Reason{{Ordinal: out.Base, Code: string(make([]byte, 500))}}
		})},
		{name: "takes gaps", caught: "robust/refuses-gaps", worker: &plainGRPC{anyBase: true}},
		{name: "no health service", caught: "robust/health", worker: &plainGRPC{}, sick: true},
		{name: "judges by place in the chunk", caught: "robust/any-chunking", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) { out.Visible[0] &^= 1 })},
		{name: "judges by place", caught: "laws/order-free", worker: edit(func(_ *workerv1.ElementChunk, out *workerv1.VerdictChunk) {
			if out.Base == 0 {
				out.Visible[0] &^= 1
			}
		})},
	}
}

func TestWrongGRPCWorkersAreCaught(t *testing.T) {
	is := newIssuer(t)
	for _, w := range grpcMistakes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, workertest.Options{
				URL: w.worker.start(t, is, !w.sick), Tokens: is, Only: []string{w.caught},
				Elements: 2000, Callers: 8, Seed: 7, AnswerWithin: 10 * time.Second,
			})
			c := find(t, r, w.caught)
			if c.Status != workertest.Fail || c.Detail == "" {
				t.Fatalf("case %s is %s %q\n%s", w.caught, c.Status, c.Detail, table(r))
			}
			t.Log(c.Detail)
		})
	}
}

func TestPlainGRPCWorkerPasses(t *testing.T) {
	is := newIssuer(t)
	r := workertest.RunT(t, workertest.Options{URL: (&plainGRPC{}).start(t, is, true), UUID: testUUID, Tokens: is, AnswerWithin: time.Minute})
	if r.Level() != workertest.Laws {
		t.Errorf("level %s\n%s", r.Level(), table(r))
	}
}
