package fleet_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/muster-fleet/muster/proto/fault"
	registryv1 "github.com/muster-fleet/muster/proto/gen/muster/registry/v1"
)

func asAdmin(t *testing.T) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer admin")
}

// mustFail checks a gRPC error: the kind's code, and the stable code inside.
func mustFail(t *testing.T, err error, grpcCode codes.Code, code string, errs ...string) {
	t.Helper()
	e, ours := fault.FromGRPC(err)
	if !ours || status.Code(err) != grpcCode || e.Code != code {
		t.Fatalf("got %v, want %s %s", err, grpcCode, code)
	}
	var got []string
	for _, v := range e.Violations {
		got = append(got, strings.TrimSpace(v.Code+" "+v.Pointer))
	}
	if len(errs) > 0 && strings.Join(got, ",") != strings.Join(errs, ",") {
		t.Errorf("violations are %q, want %q", got, errs)
	}
}

func TestGRPC(t *testing.T) {
	g, w, ctx := newGateway(t, false), newWorker(t), asAdmin(t)
	req := &registryv1.RegisterRequest{
		Url: w.url, Uuid: strings.ToUpper(w.uuid), Name: "one", DryRun: true,
		Settings: &registryv1.Settings{Timeout: durationpb.New(1500 * time.Millisecond), MaxConcurrent: ptr(int32(7))},
	}
	dry, err := g.grpc.Register(ctx, req)
	if err != nil || dry.GetWorker().GetUuid() != w.uuid {
		t.Fatalf("got %v, %v", dry, err)
	}
	if _, err := g.grpc.Get(ctx, &registryv1.GetRequest{Uuid: w.uuid}); err == nil {
		t.Fatal("a dry run stored something")
	}
	req.DryRun = false
	made, err := g.grpc.Register(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	rec := made.GetWorker()
	if rec.GetSettings().GetTimeout().AsDuration() != 1500*time.Millisecond || rec.GetSettings().GetMaxConcurrent() != 7 ||
		rec.GetStanding().GetState() != "healthy" || rec.GetStanding().GetStableFor() == nil || rec.GetConformance().GetAt() != nil ||
		rec.GetRegisteredBy() != "admin" || rec.GetRevision() != 1 || rec.GetRegisteredAt().AsTime().IsZero() {
		t.Errorf("got %v", rec)
	}
	rest := g.do("GET", "/api/workers/"+w.uuid, "").must(t, 200)
	got, err := g.grpc.Get(ctx, &registryv1.GetRequest{Uuid: w.uuid})
	if err != nil || got.GetWorker().GetName() != rest.Name || !got.GetWorker().GetUpdatedAt().AsTime().Equal(rest.UpdatedAt) {
		t.Errorf("got %v, %v, want %+v", got, err, rest)
	}

	until := time.Now().Add(time.Hour)
	up, err := g.grpc.Update(ctx, &registryv1.UpdateRequest{
		Uuid: w.uuid, Active: ptr(false), Until: timestamppb.New(until), IfRevision: 1, Settings: &registryv1.Settings{Mask: ptr(true)},
	})
	if err != nil || up.GetWarning() == "" || up.GetWorker().GetActive() || !up.GetWorker().GetSettings().GetMask() ||
		up.GetWorker().GetPausedUntil().AsTime().Sub(until).Abs() > time.Millisecond {
		t.Errorf("got %v, %v", up, err)
	}
	_, err = g.grpc.Update(ctx, &registryv1.UpdateRequest{Uuid: w.uuid, Name: ptr("x"), IfRevision: 1})
	mustFail(t, err, codes.FailedPrecondition, "revision_mismatch")

	page, err := g.grpc.List(ctx, &registryv1.ListRequest{Type: "ExternalGraphSecurity", Active: ptr(false), State: "healthy"})
	if err != nil || len(page.GetItems()) != 1 || page.GetNextCursor() != "" {
		t.Errorf("got %v, %v", page, err)
	}
	gone, err := g.grpc.Deregister(ctx, &registryv1.DeregisterRequest{Uuid: w.uuid})
	if err != nil || gone.GetWarning() != "" { // it was paused, so nothing changed for requests
		t.Errorf("got %v, %v", gone, err)
	}
	_, err = g.grpc.Deregister(ctx, &registryv1.DeregisterRequest{Uuid: w.uuid})
	mustFail(t, err, codes.NotFound, "not_found")
}

func TestGRPCMistakes(t *testing.T) {
	g, w, ctx := newGateway(t, false), newWorker(t), asAdmin(t)
	_, err := g.grpc.Register(ctx, &registryv1.RegisterRequest{
		Url: "x", Transport: "y", Settings: &registryv1.Settings{Timeout: &durationpb.Duration{Seconds: 1 << 62}, MaxConcurrent: ptr(int32(0))},
	})
	mustFail(t, err, codes.InvalidArgument, "bad_url", "bad_url /url", "bad_uuid /uuid",
		"bad_settings /settings/timeout", "bad_settings /settings/maxConcurrent", "bad_transport /transport")
	w.set("type", "Nonsense")
	_, err = g.grpc.Register(ctx, &registryv1.RegisterRequest{Url: w.url, Uuid: w.uuid})
	mustFail(t, err, codes.InvalidArgument, "unsupported_type")
	w.set("type", "ExternalGraphSecurity")
	if _, err = g.grpc.Register(ctx, &registryv1.RegisterRequest{Url: w.url, Uuid: w.uuid}); err != nil {
		t.Fatal(err)
	}
	_, err = g.grpc.Register(ctx, &registryv1.RegisterRequest{Url: w.url, Uuid: w.uuid})
	mustFail(t, err, codes.AlreadyExists, "uuid_taken")
	_, err = g.grpc.Update(ctx, &registryv1.UpdateRequest{Uuid: w.uuid, Active: ptr(false), Until: &timestamppb.Timestamp{Seconds: 1 << 62}})
	mustFail(t, err, codes.InvalidArgument, "bad_request")
	_, err = g.grpc.Get(ctx, &registryv1.GetRequest{Uuid: "banana"})
	mustFail(t, err, codes.NotFound, "not_found")
	for _, req := range []*registryv1.ListRequest{{Limit: -1}, {Limit: 1001}, {State: "fine"}, {Cursor: "x"}} {
		_, err = g.grpc.List(ctx, req)
		mustFail(t, err, codes.InvalidArgument, "invalid_request")
	}
	_, err = g.grpc.List(t.Context(), &registryv1.ListRequest{})
	mustFail(t, err, codes.Unauthenticated, "invalid_token")
	alice := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer alice")
	_, err = g.grpc.Register(alice, &registryv1.RegisterRequest{Url: "x"})
	mustFail(t, err, codes.PermissionDenied, "denied")
	_, err = g.grpc.Get(alice, &registryv1.GetRequest{Uuid: w.uuid})
	mustFail(t, err, codes.NotFound, "not_found")
}

// TestWatch: the present state first, then the newest; a watcher that does not
// read holds nobody up and then gets the newest, not all that went by.
func TestWatch(t *testing.T) {
	g := newGateway(t, false)
	ctx, cancel := context.WithCancel(asAdmin(t))
	defer cancel()
	watch, err := g.grpc.Watch(ctx, &registryv1.WatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || len(first.GetWorkers()) != 0 {
		t.Fatalf("got %v, %v", first, err)
	}
	w := newWorker(t)
	g.do("POST", "/api/workers", w.body()).must(t, 201)
	// Records large enough that a watcher who does not read fills its window.
	name := strings.Repeat("n", 190)
	const changes = 60
	for i := range changes {
		g.do("PATCH", "/api/workers/"+w.uuid, fmt.Sprintf(`{"name":"%s%03d"}`, name, i)).must(t, 200)
	}
	last := first.GetRevision()
	for {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got.GetRevision() <= last {
			t.Fatalf("revision %d after %d", got.GetRevision(), last)
		}
		last = got.GetRevision()
		if strings.HasSuffix(got.GetWorkers()[0].GetName(), fmt.Sprintf("%03d", changes-1)) {
			break
		}
	}
	if last != int64(g.svc.Snapshot().Revision) {
		t.Errorf("the watch is at %d, the registry at %d", last, g.svc.Snapshot().Revision)
	}
	cancel()
	if _, err := watch.Recv(); status.Code(err) != codes.Canceled && err != io.EOF {
		t.Errorf("got %v", err)
	}
}

// TestWatchEnds: a gateway that drains, or whose registry is closed, says so.
func TestWatchEnds(t *testing.T) {
	for name, end := range map[string]func(g *gateway){
		"draining": func(g *gateway) { close(g.ending) },
		"closed": func(g *gateway) {
			if err := g.svc.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, false)
			watch, err := g.grpc.Watch(asAdmin(t), &registryv1.WatchRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			end(g)
			for err == nil { // closing may be a change of its own
				_, err = watch.Recv()
			}
			mustFail(t, err, codes.Unavailable, "draining")
		})
	}
}

func ptr[T any](v T) *T { return &v }
