package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
)

// methodCall makes one call of a method about a worker, and returns how it ended.
type methodCall func(ctx context.Context, conn *grpc.ClientConn, uuid string, opts ...grpc.CallOption) error

// first ends a stream after its first message.
func first[T any](recv func() (T, error), err error) error {
	if err != nil {
		return err
	}
	if _, err = recv(); errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// methodCalls is how every method is called. Those that are let in change nothing,
// except for Deregister.
func methodCalls() map[string]methodCall {
	reg := registryv1.NewRegistryClient
	const registry, health = "/muster.registry.v1.Registry/", "/grpc.health.v1.Health/"
	return map[string]methodCall{
		registry + "Register": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			_, err := reg(c).Register(ctx, &registryv1.RegisterRequest{Url: "x"}, o...)
			return err
		},
		registry + "List": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			_, err := reg(c).List(ctx, &registryv1.ListRequest{}, o...)
			return err
		},
		registry + "Get": func(ctx context.Context, c *grpc.ClientConn, uuid string, o ...grpc.CallOption) error {
			_, err := reg(c).Get(ctx, &registryv1.GetRequest{Uuid: uuid}, o...)
			return err
		},
		registry + "Update": func(ctx context.Context, c *grpc.ClientConn, uuid string, o ...grpc.CallOption) error {
			_, err := reg(c).Update(ctx, &registryv1.UpdateRequest{Uuid: uuid, Name: proto.String("x"), IfRevision: 1 << 40}, o...)
			return err
		},
		registry + "Deregister": func(ctx context.Context, c *grpc.ClientConn, uuid string, o ...grpc.CallOption) error {
			_, err := reg(c).Deregister(ctx, &registryv1.DeregisterRequest{Uuid: uuid}, o...)
			return err
		},
		registry + "Watch": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			s, err := reg(c).Watch(ctx, &registryv1.WatchRequest{}, o...)
			return first(s.Recv, err)
		},
		"/muster.gateway.v1.GraphSecurity/Filter": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			s, err := gatewayv1.NewGraphSecurityClient(c).Filter(ctx, o...)
			if err == nil {
				_ = s.CloseSend() // what comes back tells why
			}
			return first(s.Recv, err)
		},
		health + "Check": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			_, err := healthv1.NewHealthClient(c).Check(ctx, &healthv1.HealthCheckRequest{}, o...)
			return err
		},
		health + "List": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			_, err := healthv1.NewHealthClient(c).List(ctx, &healthv1.HealthListRequest{}, o...)
			return err
		},
		health + "Watch": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			s, err := healthv1.NewHealthClient(c).Watch(ctx, &healthv1.HealthCheckRequest{}, o...)
			return first(s.Recv, err)
		},
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			s, err := reflectionv1.NewServerReflectionClient(c).ServerReflectionInfo(ctx, o...)
			if err == nil {
				_ = s.CloseSend() // what comes back tells why
			}
			return first(s.Recv, err)
		},
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": func(ctx context.Context, c *grpc.ClientConn, _ string, o ...grpc.CallOption) error {
			s, err := reflectionv1alpha.NewServerReflectionClient(c).ServerReflectionInfo(ctx, o...)
			if err == nil {
				_ = s.CloseSend() // what comes back tells why
			}
			return first(s.Recv, err)
		},
	}
}

// methods asks a server which methods it has.
func (w *walk) methods(t *testing.T, conn *grpc.ClientConn) map[string]bool {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+w.root)
	s, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(req *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := s.Send(req); err != nil {
			t.Fatal(err)
		}
		got, err := s.Recv()
		if err != nil || got.GetErrorResponse() != nil {
			t.Fatalf("%v %v", got, err)
		}
		return got
	}
	out := map[string]bool{}
	list := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{ListServices: "*"}})
	for _, service := range list.GetListServicesResponse().GetService() {
		file := ask(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.GetName()},
		})
		for _, raw := range file.GetFileDescriptorResponse().GetFileDescriptorProto() {
			var d descriptorpb.FileDescriptorProto
			if err := proto.Unmarshal(raw, &d); err != nil {
				t.Fatal(err)
			}
			for _, one := range d.GetService() {
				for _, m := range one.GetMethod() {
					if name := d.GetPackage() + "." + one.GetName(); name == service.GetName() {
						out["/"+name+"/"+m.GetName()] = true
					}
				}
			}
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	return out
}

// walkGRPC is the walk over the methods that the server says it has.
func (w *walk) walkGRPC(t *testing.T, counts map[string]int) {
	conn, calls := w.dial(t), methodCalls()
	served := w.methods(t, conn)
	if len(served) != len(calls) {
		t.Errorf("the server has %d methods, the test calls %d: %v", len(served), len(calls), served)
	}
	for i := range w.endpoints {
		e := &w.endpoints[i]
		if !w.isGRPC(e) {
			continue
		}
		call := calls[e.key]
		if !served[e.key] || call == nil {
			t.Errorf("%s stands in the table: served %v, called %v", e.key, served[e.key], call != nil)
			continue
		}
		delete(served, e.key)
		for _, who := range w.walkers {
			got, want := grpcOutcome(ended(t, conn, call, who.token, restUUID, nil, nil)), w.expects(t, e, who, theThings())
			if got != want {
				t.Errorf("%s as %s: %s, want %s", e.key, who.name, got, want)
			}
			if got == letIn && strings.HasSuffix(e.key, "/Deregister") {
				w.mustCall(t, http.StatusCreated, http.MethodPost, "/api/workers", w.root, w.workers[restUUID])
			}
			counts[want]++
		}
		w.hidesGRPC(t, conn, e, call)
	}
	for key := range served {
		t.Errorf("%s is served, and the table says nothing of it", key)
	}
}

// ended makes a call that is given up after its first answer.
func ended(t *testing.T, conn *grpc.ClientConn, call methodCall, token, uuid string, head, tail *metadata.MD) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	var opts []grpc.CallOption
	if head != nil {
		opts = append(opts, grpc.Header(head), grpc.Trailer(tail))
	}
	return call(ctx, conn, uuid, opts...)
}

func grpcOutcome(err error) string {
	e, _ := fault.FromGRPC(err)
	if e == nil {
		return letIn
	}
	switch code := e.Kind.HTTPStatus(); code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return fmt.Sprintf("%d %s", code, e.Code)
	default:
		return letIn
	}
}

// hidesGRPC is hides for one method.
func (w *walk) hidesGRPC(t *testing.T, conn *grpc.ClientConn, e *endpoint, call methodCall) {
	t.Helper()
	there, gone := theThings(), others()
	if !strings.Contains(e.needs, "{uuid}") {
		return
	}
	say := func(who *walker, uuid string) string {
		var head, tail metadata.MD
		err := ended(t, conn, call, who.token, uuid, &head, &tail)
		s := status.Convert(err)
		// Two sentences of one status differ where a message is printed, so its bytes.
		wire, fail := proto.MarshalOptions{Deterministic: true}.Marshal(s.Proto())
		if fail != nil {
			t.Fatal(fail)
		}
		delete(tail, "grpc-status-details-bin") // those are in wire
		return strings.ReplaceAll(fmt.Sprintf("%q %v %v", wire, head, tail), gone["{uuid}"], there["{uuid}"])
	}
	for _, who := range w.walkers {
		if w.expects(t, e, who, there) == letIn || w.expects(t, e, who, gone) == letIn || w.may(who, "worker", restUUID, false) {
			continue
		}
		if a, b := say(who, there["{uuid}"]), say(who, gone["{uuid}"]); a != b {
			t.Errorf("%s as %s:\n%s\n%s", e.key, who.name, a, b)
		}
	}
}
