package worker_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/worker"
)

func dialGRPC(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// stream sends messages and returns the verdicts and the status.
func stream(t *testing.T, ctx context.Context, c *grpc.ClientConn, list ...*workerv1.FilterRequest) ([]*workerv1.VerdictChunk, error) {
	t.Helper()
	s, err := workerv1.NewGraphSecurityClient(c).Filter(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if s.Send(m) != nil {
			break // the status tells why
		}
	}
	_ = s.CloseSend()
	var out []*workerv1.VerdictChunk
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, m.GetChunk())
	}
}

func header(kind workerv1.Kind, total uint64, digest []byte) *workerv1.FilterRequest {
	return &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{Kind: kind, Total: total, IdsDigest: digest}}}
}

func chunk(base uint64, elements ...string) *workerv1.FilterRequest {
	c := &workerv1.ElementChunk{Base: base}
	for _, e := range elements {
		c.Starts = append(c.Starts, uint32(len(c.Data)))
		c.Data = append(c.Data, e...)
		c.Ends = append(c.Ends, uint32(len(c.Data)))
		c.Data = append(c.Data, ", "...)
	}
	return &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Chunk{Chunk: c}}
}

func TestGRPCFilters(t *testing.T) {
	r := start(t, func(c *worker.Config) { c.Masks = true })
	c := dialGRPC(t, r.GRPC)
	out, err := stream(t, withToken(t.Context(), "good"), c, header(workerv1.Kind_KIND_NODES, 3, nil),
		chunk(0, `{"elementId":"1","labels":["A"],"properties":{"ssn":1,"phone":2,"x":3}}`, `{"elementId":"2","labels":["Secret"],"properties":{}}`),
		chunk(2, `{"elementId":"3","labels":[],"properties":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || out[0].Count != 2 || out[0].Visible[0] != 0b01 || out[1].Base != 2 || out[1].Visible[0] != 1 {
		t.Fatalf("%v", out)
	}
	if len(out[0].Strips) != 1 || out[0].Strips[0].Properties[0] != "ssn" || len(out[0].Masks) != 1 || string(out[0].Masks[0].Value) != `"***"` {
		t.Errorf("%v", out[0])
	}
	if len(out[1].Strips)+len(out[1].Masks) != 0 {
		t.Errorf("edits of properties that are not there: %v", out[1])
	}
	if len(out[0].Reasons) != 1 || out[0].Reasons[0].Ordinal != 1 || out[0].Reasons[0].Code != "secret" {
		t.Errorf("%v", out[0].Reasons)
	}
	d, err := workerv1.NewGraphSecurityClient(c).Describe(t.Context(), &workerv1.DescribeRequest{})
	if err != nil || d.Uuid != testUUID || d.Capabilities.Protocol != 1 || !d.Capabilities.Masks || !d.Capabilities.Strips {
		t.Errorf("%v %v", d, err)
	}
}

func TestGRPCRefusals(t *testing.T) {
	r := start(t, func(c *worker.Config) { c.MaxBody = 1000 })
	c := dialGRPC(t, r.GRPC)
	nodeKind := workerv1.Kind_KIND_NODES
	one := `{"elementId":"1","labels":[],"properties":{}}`
	outside := chunk(0, one)
	outside.GetChunk().Ends[0] = 5000
	for _, test := range []struct {
		name  string
		token string
		code  codes.Code
		list  []*workerv1.FilterRequest
	}{
		{"no token", "", codes.Unauthenticated, []*workerv1.FilterRequest{header(nodeKind, 0, nil)}},
		{"bad token", "bad", codes.Unauthenticated, nil},
		{"no header", "good", codes.InvalidArgument, nil},
		{"chunk first", "good", codes.InvalidArgument, []*workerv1.FilterRequest{chunk(0, one)}},
		{"no kind", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(0, 0, nil)}},
		{"short digest", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 1, []byte("x")), chunk(0, one)}},
		{"wrong digest", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 1, make([]byte, 32)), chunk(0, one)}},
		{"two headers", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 0, nil), header(nodeKind, 0, nil)}},
		{"gap", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 0, nil), chunk(1, one)}},
		{"too few", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 2, nil), chunk(0, one)}},
		{"too many", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 1, nil), chunk(0, one, strings.Replace(one, "1", "2", 1))}},
		{"no JSON", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 0, nil), chunk(0, "{")}},
		{"outside", "good", codes.InvalidArgument, []*workerv1.FilterRequest{header(nodeKind, 0, nil), outside}},
		{"too large", "good", codes.ResourceExhausted, []*workerv1.FilterRequest{header(nodeKind, 0, nil), chunk(0, `{"elementId":"`+strings.Repeat("x", 2000)+`"}`)}},
		{"panic", "good", codes.Internal, []*workerv1.FilterRequest{header(nodeKind, 0, nil), chunk(0, `{"elementId":"1","labels":[],"properties":{"boom":"panic"}}`)}},
		{"policy down", "good", codes.Unavailable, []*workerv1.FilterRequest{header(nodeKind, 0, nil), chunk(0, `{"elementId":"1","labels":[],"properties":{"boom":1}}`)}},
	} {
		ctx := t.Context()
		if test.token != "" {
			ctx = withToken(ctx, test.token)
		}
		if _, err := stream(t, ctx, c, test.list...); status.Code(err) != test.code {
			t.Errorf("%s: %v; want %s", test.name, err, test.code)
		} else if f, ok := fault.FromGRPC(err); !ok || f.Code == "" {
			t.Errorf("%s: no stable code in %v", test.name, err)
		}
	}
}

func TestGRPCHealthIsOpenAndReflectionIsNot(t *testing.T) {
	r := start(t, nil)
	c := dialGRPC(t, r.GRPC)
	h, err := grpc_health_v1.NewHealthClient(c).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "muster.worker.v1.GraphSecurity"})
	if err != nil || h.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%v %v", h, err)
	}
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	for token, want := range map[string]codes.Code{"bad": codes.Unauthenticated, "good": codes.OK} {
		ctx, cancel := context.WithCancel(withToken(t.Context(), token))
		s, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(ctx)
		if err == nil {
			_ = s.Send(list)
			_, err = s.Recv()
		}
		cancel()
		if status.Code(err) != want {
			t.Errorf("%s: %v", token, err)
		}
	}
}
