package edge_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

const service = "grpc:muster.gateway.v1.GraphSecurity"

// grpc serves the gRPC listener and returns a connection to it.
func (r *rig) grpc(t *testing.T) (*edge.GRPCServer, *grpc.ClientConn) {
	t.Helper()
	s, err := edge.ListenGRPC(t.Context(), "127.0.0.1:0", edge.GRPCConfig{MaxMessage: 1 << 20}, edge.GRPCDeps{
		Gate: r.d.Gate, Drain: r.d.Drain, Metrics: r.d.Metrics, Logger: r.d.Logger,
	}, func(s *grpc.Server) { edge.RegisterFilter(s, r.cfg, r.d) })
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	conn, err := grpc.NewClient("dns:///"+s.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		for range 2 { // again does no harm
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		}
		if err := <-s.Failed(); err != nil {
			t.Error(err)
		}
		r.settled(t)
	})
	return s, conn
}

// as is a call's context with somebody's token, or none, and further metadata.
func as(t *testing.T, who string, md ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	if who != "" {
		md = append(md, "authorization", "Bearer "+who)
	}
	return metadata.AppendToOutgoingContext(ctx, md...)
}

func header(batch gatewayv1.Batch, explain bool) *gatewayv1.FilterRequest {
	return &gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Header{Header: &gatewayv1.FilterHeader{Batch: batch, Explain: explain}}}
}

func chunk(kind workerv1.Kind, base uint64, elements ...string) *gatewayv1.FilterRequest {
	c := &workerv1.ElementChunk{Base: base}
	for _, e := range elements {
		c.Starts = append(c.Starts, uint32(len(c.GetData())))
		c.Data = append(c.Data, e...)
		c.Ends = append(c.Ends, uint32(len(c.GetData())))
	}
	return &gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Chunk{Chunk: &gatewayv1.ElementChunk{Kind: kind, Elements: c}}}
}

// filter sends messages and returns what came back before the end, and the end.
func filter(ctx context.Context, conn *grpc.ClientConn, messages ...*gatewayv1.FilterRequest) (got []*gatewayv1.FilterResponse, err error) {
	s, err := gatewayv1.NewGraphSecurityClient(conn).Filter(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if s.Send(m) != nil {
			break // what comes back tells why
		}
	}
	_ = s.CloseSend() // as above
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, m)
	}
}

func TestGRPCRefusals(t *testing.T) {
	r := setUp(t, 1<<30)
	r.cfg.MaxTimeout = 10 * time.Second
	_, conn := r.grpc(t)
	nodes, kind := header(gatewayv1.Batch_BATCH_NODES, false), workerv1.Kind_KIND_NODES
	node := faulttest.Node("n0")
	for _, c := range []struct {
		name     string
		who      string
		md       []string
		messages []*gatewayv1.FilterRequest
		code     codes.Code
		reason   string
		says     string
	}{
		{"no token", "", nil, nil, codes.Unauthenticated, "invalid_token", ""},
		{"a bad token", "mallory", nil, nil, codes.Unauthenticated, "invalid_token", ""},
		{"two tokens", "alice", []string{"authorization", "Bearer admin"}, nil, codes.Unauthenticated, "invalid_token", "2"},
		{"nothing", "alice", nil, nil, codes.InvalidArgument, "invalid_request", "the first message must be the header"},
		{"no header", "alice", nil, []*gatewayv1.FilterRequest{chunk(kind, 0, node)}, codes.InvalidArgument, "invalid_request", "the first message must be the header"},
		{"no batch", "alice", nil, []*gatewayv1.FilterRequest{header(0, false)}, codes.InvalidArgument, "invalid_request", "header.batch is BATCH_UNSPECIFIED"},
		{"an unknown batch", "alice", nil, []*gatewayv1.FilterRequest{header(77, false)}, codes.InvalidArgument, "invalid_request", "header.batch is 77"},
		{"no right to explain", "alice", nil, []*gatewayv1.FilterRequest{header(gatewayv1.Batch_BATCH_NODES, true)}, codes.PermissionDenied, "explain_denied", ""},
		{"hops", "alice", []string{"Muster-Hops", "-1"}, []*gatewayv1.FilterRequest{nodes}, codes.InvalidArgument, "invalid_request", "Muster-Hops"},
		{"hops twice", "alice", []string{"Muster-Hops", "1", "Muster-Hops", "2"}, []*gatewayv1.FilterRequest{nodes}, codes.InvalidArgument, "invalid_request", "Muster-Hops"},
		{"a loop", "alice", []string{"Muster-Hops", "9"}, []*gatewayv1.FilterRequest{nodes}, codes.OutOfRange, "loop_detected", ""},
		{"two headers", "alice", nil, []*gatewayv1.FilterRequest{nodes, nodes}, codes.InvalidArgument, "invalid_request", "every message must be a chunk"},
		{"an empty message", "alice", nil, []*gatewayv1.FilterRequest{nodes, {}}, codes.InvalidArgument, "invalid_request", "every message must be a chunk"},
		{"a chunk of nothing", "alice", nil, []*gatewayv1.FilterRequest{nodes, {Message: &gatewayv1.FilterRequest_Chunk{Chunk: &gatewayv1.ElementChunk{Kind: kind}}}}, codes.InvalidArgument, "invalid_request", "every message must be a chunk"},
		{"no kind", "alice", nil, []*gatewayv1.FilterRequest{nodes, chunk(0, 0, node)}, codes.InvalidArgument, "invalid_request", "chunk.kind is KIND_UNSPECIFIED"},
		{"another kind", "alice", nil, []*gatewayv1.FilterRequest{nodes, chunk(workerv1.Kind_KIND_RELATIONSHIPS, 0, node)}, codes.InvalidArgument, "invalid_request", "another kind"},
		{"a gap", "alice", nil, []*gatewayv1.FilterRequest{nodes, chunk(kind, 1, node)}, codes.InvalidArgument, "invalid_request", "begins at element 1"},
		{"no element", "alice", nil, []*gatewayv1.FilterRequest{nodes, chunk(kind, 0, `{"x":1}`)}, codes.InvalidArgument, "invalid_request", "nodes[0]"},
	} {
		got, err := filter(as(t, c.who, c.md...), conn, c.messages...)
		f, ours := fault.FromGRPC(err)
		if status.Code(err) != c.code || !ours || f.Code != c.reason || !strings.Contains(f.Detail, c.says) || len(got) != 0 {
			t.Errorf("%s: %v after %d messages; want %s %s with %q", c.name, err, len(got), c.code, c.reason, c.says)
		}
	}
	if n := r.count(t, "muster_requests_total", "401", service); n != 3 {
		t.Errorf("counted %v refusals of tokens, want 3", n)
	}
	if n := r.count(t, "muster_requests_total", "508", service); n != 1 {
		t.Errorf("counted %v loops", n)
	}
}

// Who has no token is refused before anything is read of him.
func TestGRPCRefusesBeforeTheFirstMessage(t *testing.T) {
	r := setUp(t, 1<<30)
	_, conn := r.grpc(t)
	s, err := gatewayv1.NewGraphSecurityClient(conn).Filter(as(t, ""))
	if err == nil {
		_, err = s.Recv() // nothing was sent
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("%v", err)
	}
	refl, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(as(t, ""))
	if err == nil {
		_, err = refl.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection, to a stranger: %v", err)
	}
	refl, err = reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(as(t, "alice"))
	if err == nil {
		err = refl.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
	}
	if err == nil {
		_, err = refl.Recv()
		_ = refl.CloseSend() // its end is not what is tested
	}
	if err != nil {
		t.Errorf("reflection, to alice: %v", err)
	}
}

// The health service is open, tells of readiness, and answers while draining.
func TestGRPCHealth(t *testing.T) {
	r := setUp(t, 1<<30)
	s, conn := r.grpc(t)
	health := func() healthv1.HealthCheckResponse_ServingStatus {
		resp, err := healthv1.NewHealthClient(conn).Check(as(t, ""), &healthv1.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetStatus()
	}
	if got := health(); got != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("%s", got)
	}
	s.NotReady()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.d.Drain.Shut(ended, 0, 0)
	if got := health(); got != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("after it was told: %s", got)
	}
	_, err := filter(as(t, "alice"), conn, header(gatewayv1.Batch_BATCH_NODES, false))
	if f, _ := fault.FromGRPC(err); f == nil || f.Code != "draining" || f.RetryAfter <= 0 || status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// The answer: summary first, then verdicts by place, then why.
func TestGRPCAnswers(t *testing.T) {
	url, _ := faulttest.REST(t, func(_, id string) faulttest.Verdict {
		return faulttest.Verdict{Hide: id == "n1", Strip: map[bool][]string{true: {"secret"}}[id == "n2"]}
	}, false)
	r := setUp(t, 1<<30, faulttest.Worker(1, url))
	_, conn := r.grpc(t)
	kind := workerv1.Kind_KIND_NODES
	got, err := filter(as(t, "admin"), conn, header(gatewayv1.Batch_BATCH_NODES, true),
		chunk(kind, 0, faulttest.Node("n0"), faulttest.Node("n1")), chunk(kind, 2, faulttest.Node("n2"), faulttest.Node("n1")))
	if err != nil || len(got) < 3 {
		t.Fatalf("%v after %d messages", err, len(got))
	}
	if s := got[0].GetSummary(); s.GetDecision() == "" || s.GetRevision() != 7 || !s.GetComplete() {
		t.Errorf("%v", got[0])
	}
	v := got[1].GetChunk()
	if v.GetKind() != kind || v.GetVerdicts().GetCount() != 4 || len(v.GetVerdicts().GetVisible()) != 1 || v.GetVerdicts().GetVisible()[0] != 0b0101 ||
		len(v.GetVerdicts().GetStrips()) != 1 {
		t.Errorf("%v", v)
	}
	why := map[uint64]string{}
	for _, m := range got[2:] {
		e := m.GetExplanation()
		why[e.GetOrdinal()] = e.GetVerdict()
		if len(e.GetBy()) != 1 || e.GetBy()[0].GetWorker().GetName() != "worker-01" {
			t.Errorf("%v", e)
		}
	}
	if why[1] != "hidden" || why[2] != "stripped" {
		t.Errorf("%v", why)
	}
	if n := r.count(t, "muster_requests_total", "200", service); n != 1 {
		t.Errorf("counted %v", n)
	}
}

// What a stream holds is reserved chunk by chunk: the elements too where a worker
// over REST is asked, and nothing but notes where none is.
func TestGRPCBytesInFlight(t *testing.T) {
	url, _ := faulttest.REST(t, func(string, string) faulttest.Verdict { return faulttest.Verdict{} }, false)
	node := faulttest.Node("n0")
	for _, c := range []struct {
		budget int64
		rest   bool
		ok     bool
	}{{63, false, false}, {64, false, true}, {64 + int64(len(node)) - 1, true, false}, {64 + int64(len(node)), true, true}} {
		r := setUp(t, c.budget)
		if c.rest {
			r = setUp(t, c.budget, faulttest.Worker(1, url))
		}
		_, conn := r.grpc(t)
		_, err := filter(as(t, "alice"), conn, header(gatewayv1.Batch_BATCH_NODES, false), chunk(workerv1.Kind_KIND_NODES, 0, node))
		if c.ok != (err == nil) || err != nil && !fault.Is(asFault(err), "overloaded") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func asFault(err error) error {
	f, _ := fault.FromGRPC(err)
	return f
}

// A caller who sets no deadline and then sends nothing more is not waited for any
// longer than the default, wherever he stops.
func TestGRPCDeadline(t *testing.T) {
	r := setUp(t, 1<<30)
	r.cfg.DefaultTimeout = 50 * time.Millisecond
	_, conn := r.grpc(t)
	all := []*gatewayv1.FilterRequest{
		header(gatewayv1.Batch_BATCH_NODES, false), chunk(workerv1.Kind_KIND_NODES, 0, faulttest.Node("n0")),
	}
	for n := range len(all) + 1 {
		s, err := gatewayv1.NewGraphSecurityClient(conn).Filter(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer alice"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all[:n] {
			if err := s.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error, 1) // the caller never half-closes
		go func() {
			_, err := s.Recv()
			ended <- err
		}()
		select {
		case err := <-ended:
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("after %d messages: %v", n, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("a stream that ends with %d messages and no end is held for ever", n)
		}
	}
	if n, b := r.d.Admission.InFlight(); n != 0 || b != 0 {
		t.Errorf("%d requests with %d bytes keep their place", n, b)
	}
}
