package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

func (d *dev) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(d.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func bearer(ctx context.Context, token string, more ...string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, append(more, "authorization", "Bearer "+token)...)
}

// chunk makes a message of elements.
func chunk(kind workerv1.Kind, base int, elements ...string) *gatewayv1.FilterRequest {
	c := &workerv1.ElementChunk{Base: uint64(base)}
	for _, e := range elements {
		c.Starts = append(c.Starts, uint32(len(c.Data)))
		c.Data = append(c.Data, e...)
		c.Ends = append(c.Ends, uint32(len(c.Data)))
		c.Data = append(c.Data, ',')
	}
	return &gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Chunk{Chunk: &gatewayv1.ElementChunk{Kind: kind, Elements: c}}}
}

func header(b gatewayv1.Batch, explain bool) *gatewayv1.FilterRequest {
	return &gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Header{Header: &gatewayv1.FilterHeader{Batch: b, Explain: explain}}}
}

// exchange sends messages and collects the answer.
func exchange(ctx context.Context, t *testing.T, conn *grpc.ClientConn, messages ...*gatewayv1.FilterRequest) ([]*gatewayv1.FilterResponse, error) {
	t.Helper()
	s, err := gatewayv1.NewGraphSecurityClient(conn).Filter(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if err := s.Send(m); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var out []*gatewayv1.FilterResponse
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
}

const (
	nodeOpen   = `{"elementId":"1","labels":["Open"],"properties":{"ssn":"1","b":2}}`
	nodeSecret = `{"elementId":"2","labels":["Secret"],"properties":{}}`
	relOut     = `{"elementId":"r1","type":"T","startNodeElementId":"1","endNodeElementId":"2","properties":{}}`
	relLoop    = `{"elementId":"r2","type":"T","startNodeElementId":"1","endNodeElementId":"1","properties":{}}`
)

func TestFilterOverGRPC(t *testing.T) {
	d := startDev(t, nil)
	a := startWorker(t, d, restUUID, hideLabelFrom("Secret", "bob"))
	b := startWorker(t, d, grpcUUID, stripProperty("ssn"))
	conn := d.dial(t)
	graphOf := []*gatewayv1.FilterRequest{
		header(gatewayv1.Batch_BATCH_GRAPH, false),
		chunk(workerv1.Kind_KIND_NODES, 0, nodeOpen), chunk(workerv1.Kind_KIND_NODES, 1, nodeSecret),
		chunk(workerv1.Kind_KIND_RELATIONSHIPS, 0, relOut, relLoop),
	}
	check := func(t *testing.T) {
		t.Helper()
		for user, want := range map[string]string{"alice": "nodes 01 rels 02", "bob": "nodes 03 rels 03"} {
			out, err := exchange(bearer(t.Context(), d.token(t, user)), t, conn, graphOf...)
			if err != nil {
				t.Fatalf("%s: %v\n%s", user, err, d.log)
			}
			nodes, rels := out[1].GetChunk(), out[2].GetChunk()
			if got := fmt.Sprintf("nodes %x rels %x", nodes.GetVerdicts().GetVisible(), rels.GetVerdicts().GetVisible()); got != want {
				t.Errorf("%s sees %s, want %s", user, got, want)
			}
			if s := nodes.GetVerdicts().GetStrips(); len(s) != 1 || s[0].GetOrdinal() != 0 || s[0].GetProperties()[0] != "ssn" {
				t.Errorf("%s: strips %v, want ssn of 0", user, s)
			}
			if s := out[0].GetSummary(); len(s.GetDecision()) != 36 || !s.GetComplete() || s.GetRevision() == 0 {
				t.Errorf("%s: summary %v", user, s)
			}
		}
	}
	d.register(t, fmt.Sprintf(`{"url":"grpc://%s","uuid":"%s","name":"strips"}`, b.GRPC, grpcUUID))
	d.register(t, fmt.Sprintf(`{"url":"grpc://%s","uuid":"%s","name":"labels"}`, a.GRPC, restUUID))
	t.Run("gRPC workers", check)
	if resp, body := d.call(t, "DELETE", "/api/workers/"+restUUID, d.token(t, "admin"), ""); resp.StatusCode/100 != 2 {
		t.Fatalf("delete: %d %s", resp.StatusCode, body)
	}
	d.register(t, fmt.Sprintf(`{"url":"http://%s/api/filter","uuid":"%s","name":"labels"}`, a.REST, restUUID))
	t.Run("a REST worker among them", check)
	t.Run("explain", func(t *testing.T) {
		graphOf[0] = header(gatewayv1.Batch_BATCH_GRAPH, true)
		if _, err := exchange(bearer(t.Context(), d.token(t, "alice")), t, conn, graphOf...); status.Code(err) != codes.PermissionDenied {
			t.Errorf("alice asks for an explanation: %v", err)
		}
		out, err := exchange(bearer(t.Context(), d.token(t, "admin")), t, conn, graphOf...)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, m := range out {
			if e := m.GetExplanation(); e != nil {
				got += fmt.Sprintf("%s %d %s %s;", e.GetKind(), e.GetOrdinal(), e.GetVerdict(), e.GetBy()[0].GetWorker().GetName()+e.GetBy()[0].GetRule())
			}
		}
		if want := "KIND_NODES 0 stripped strips;KIND_NODES 1 hidden labels;KIND_RELATIONSHIPS 0 hidden closure;"; got != want {
			t.Errorf("explanations %s\nwant         %s", got, want)
		}
	})
}

func TestMistakesOverGRPC(t *testing.T) {
	d := startDev(t, nil)
	conn := d.dial(t)
	alice := d.token(t, "alice")
	nodes := header(gatewayv1.Batch_BATCH_NODES, false)
	for name, c := range map[string]struct {
		token    string
		messages []*gatewayv1.FilterRequest
		more     []string
		status   codes.Code
		code     string
	}{
		"no token":                   {"", []*gatewayv1.FilterRequest{nodes}, nil, codes.Unauthenticated, "invalid_token"},
		"bad token":                  {"a.b.c", []*gatewayv1.FilterRequest{nodes}, nil, codes.Unauthenticated, "invalid_token"},
		"nothing":                    {alice, nil, nil, codes.InvalidArgument, "invalid_request"},
		"no header":                  {alice, []*gatewayv1.FilterRequest{chunk(workerv1.Kind_KIND_NODES, 0, nodeOpen)}, nil, codes.InvalidArgument, "invalid_request"},
		"header twice":               {alice, []*gatewayv1.FilterRequest{nodes, nodes}, nil, codes.InvalidArgument, "invalid_request"},
		"no batch":                   {alice, []*gatewayv1.FilterRequest{header(0, false)}, nil, codes.InvalidArgument, "invalid_request"},
		"unknown batch":              {alice, []*gatewayv1.FilterRequest{header(9, false)}, nil, codes.InvalidArgument, "invalid_request"},
		"relationships among nodes":  {alice, []*gatewayv1.FilterRequest{nodes, chunk(workerv1.Kind_KIND_RELATIONSHIPS, 0, relLoop)}, nil, codes.InvalidArgument, "invalid_request"},
		"no kind":                    {alice, []*gatewayv1.FilterRequest{nodes, chunk(0, 0, nodeOpen)}, nil, codes.InvalidArgument, "invalid_request"},
		"a gap":                      {alice, []*gatewayv1.FilterRequest{nodes, chunk(workerv1.Kind_KIND_NODES, 1, nodeOpen)}, nil, codes.InvalidArgument, "invalid_request"},
		"not JSON":                   {alice, []*gatewayv1.FilterRequest{nodes, chunk(workerv1.Kind_KIND_NODES, 0, `{"elementId":}`)}, nil, codes.InvalidArgument, "invalid_request"},
		"an id twice, other content": {alice, []*gatewayv1.FilterRequest{nodes, chunk(workerv1.Kind_KIND_NODES, 0, nodeOpen), chunk(workerv1.Kind_KIND_NODES, 1, `{"elementId":"1","labels":[],"properties":{}}`)}, nil, codes.InvalidArgument, "invalid_request"},
		"nodes after relationships":  {alice, []*gatewayv1.FilterRequest{header(gatewayv1.Batch_BATCH_GRAPH, false), chunk(workerv1.Kind_KIND_RELATIONSHIPS, 0, relLoop), chunk(workerv1.Kind_KIND_NODES, 0, nodeOpen)}, nil, codes.InvalidArgument, "invalid_request"},
		"too many hops":              {alice, []*gatewayv1.FilterRequest{nodes}, []string{"muster-hops", "9"}, codes.OutOfRange, "loop_detected"},
		"two authorization values":   {alice, []*gatewayv1.FilterRequest{nodes}, []string{"authorization", "Bearer " + alice}, codes.Unauthenticated, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if c.token != "" {
				ctx = bearer(ctx, c.token, c.more...)
			}
			out, err := exchange(ctx, t, conn, c.messages...)
			e, ok := fault.FromGRPC(err)
			if status.Code(err) != c.status || !ok || e.Code != c.code {
				t.Errorf("got %v, %v; want %s %s", out, err, c.status, c.code)
			}
			if len(out) > 0 {
				t.Errorf("an answer came before the error: %v", out)
			}
		})
	}
	t.Run("an element twice is answered twice", func(t *testing.T) {
		out, err := exchange(bearer(t.Context(), alice), t, conn, nodes, chunk(workerv1.Kind_KIND_NODES, 0, nodeOpen, nodeOpen))
		if err != nil || out[1].GetChunk().GetVerdicts().GetCount() != 2 || out[1].GetChunk().GetVerdicts().GetVisible()[0] != 3 {
			t.Errorf("got %v, %v", out, err)
		}
	})
}

func TestWhatIsOpenOverGRPC(t *testing.T) {
	d := startDev(t, nil)
	conn := d.dial(t)
	health, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
	ask := func(ctx context.Context) error {
		s, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := s.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = s.Recv()
		return err
	}
	if err := ask(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("reflection without a token: %v", err)
	}
	ctx, cancel := context.WithCancel(bearer(t.Context(), d.token(t, "alice")))
	defer cancel()
	if err := ask(ctx); err != nil {
		t.Errorf("reflection with a token: %v", err)
	}
}
