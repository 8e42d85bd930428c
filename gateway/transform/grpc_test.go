package transform_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/transform"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

// streamer is a rule transformation's worker over gRPC.
type streamer struct {
	workerv1.UnimplementedRuleTransformationServer
	do  func(req *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error
	md  metadata.MD
	got *workerv1.TransformRequest
}

func (s *streamer) Describe(context.Context, *workerv1.DescribeRequest) (*workerv1.DescribeResponse, error) {
	return &workerv1.DescribeResponse{
		Class: "result", Type: "RuleTransformation", Uuid: loaderUUID, Version: "1", Capabilities: &workerv1.Capabilities{Protocol: 1},
	}, nil
}

func (s *streamer) Transform(req *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
	s.md, _ = metadata.FromIncomingContext(out.Context())
	s.got = req
	return s.do(req, out)
}

func newStreamer(t *testing.T, opts ...grpc.ServerOption) (*streamer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &streamer{}, grpc.NewServer(opts...)
	workerv1.RegisterRuleTransformationServer(server, s)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, "grpc://" + l.Addr().String()
}

// rules are n rules named after a prefix.
func rules(prefix string, n int) (all []*workerv1.AccessRule) {
	for i := range n {
		all = append(all, &workerv1.AccessRule{
			Name: fmt.Sprint(prefix, i), Users: []string{"alice"}, Entities: []*workerv1.EntityAccess{{Id: 414, Properties: []int64{5303}}},
			PropertyValueConditions: []*workerv1.PropertyValueCondition{{PropertyId: 5303, Value: "1"}}, Functions: []int64{12},
		})
	}
	return all
}

func send(chunks ...*workerv1.TransformResponse) func(*workerv1.TransformRequest, grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
	return func(_ *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
		for _, c := range chunks {
			if err := out.Send(c); err != nil {
				return err
			}
		}
		return nil
	}
}

const (
	ignore     = workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_IGNORE
	onConflict = workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_DELETE_ON_CONFLICT
	replaceAll = workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_DELETE_ALL_FOR_USER
)

func TestAWorkerStreamsItsRules(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	s, url := newStreamer(t)
	r.setUp(t, url, func(in *registry.StepInput) {
		in.Users, in.Entities, in.Groups = run.Choice[string]{All: true}, run.Choice[int64]{All: true}, run.Choice[string]{List: []string{}}
	})
	if _, err := r.ReplaceModel(t.Context(), admin, model, false); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		chunks []*workerv1.TransformResponse
		want   run.Counts
		left   int
	}{
		"1 all, in chunks": {[]*workerv1.TransformResponse{{Strategy: replaceAll, Rules: rules("a", 3)}, {Rules: rules("b", 2), Message: "halfway"}, {Message: "5 rules"}},
			run.Counts{Created: 5}, 5},
	} {
		s.do = send(c.chunks...)
		of := r.begin(t, "nightly")
		got := r.ended(t, of)
		if got.State != run.Succeeded || got.Counts != c.want || r.Snapshot().Rules.Len() != c.left || got.Message() != "5 rules" {
			t.Errorf("%s: %+v, %d rules", name, got, r.Snapshot().Rules.Len())
		}
		if log := r.text(t, of); !strings.Contains(log, "worker: halfway") {
			t.Error(log)
		}
	}
	a0, ok := r.Snapshot().Rules.ByName("a0")
	if !ok || a0.Creator.Step != "nightly" || !a0.Active || len(a0.Conditions) != 1 || a0.CreatedBy != "service-account-rule-loader" {
		t.Errorf("%+v", a0)
	}
	if s.got.Clients != nil || s.got.Groups == nil || len(s.got.Users.Names) != 3 || len(s.got.Entities.Entities) != 2 || s.got.Relationships != nil {
		t.Errorf("given %v", s.got)
	}
	if p, err := h.verifier.Verify(t.Context(), strings.TrimPrefix(s.md.Get("authorization")[0], "Bearer ")); err != nil || p.Username != "service-account-rule-loader" {
		t.Errorf("%+v %v", p, err)
	}
	// What the worker no longer has is gone after the next run; other strategies are
	// as they are over REST.
	for _, c := range []struct {
		chunks []*workerv1.TransformResponse
		want   run.Counts
		left   int
	}{
		{[]*workerv1.TransformResponse{{Strategy: replaceAll, Rules: rules("a", 1)}}, run.Counts{Created: 1, Deleted: 5}, 1},
		{[]*workerv1.TransformResponse{{Rules: rules("a", 2)}}, run.Counts{Created: 1, Ignored: 1}, 2},
		{[]*workerv1.TransformResponse{{Strategy: onConflict, Rules: rules("a", 1)}, {Strategy: onConflict, Rules: rules("c", 1)}}, run.Counts{Created: 2, Deleted: 1}, 3},
		{nil, run.Counts{}, 3},
		{[]*workerv1.TransformResponse{{Strategy: replaceAll}}, run.Counts{Deleted: 3}, 0},
	} {
		s.do = send(c.chunks...)
		if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Succeeded || got.Counts != c.want || r.Snapshot().Rules.Len() != c.left {
			t.Errorf("%v: %+v, %d rules", c.chunks, got, r.Snapshot().Rules.Len())
		}
	}
}

// TestAStreamThatDoesNotEndWellStoresNothing: all of a stream or nothing.
func TestAStreamThatDoesNotEndWellStoresNothing(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	s, url := newStreamer(t)
	r.setUp(t, url, nil)
	s.do = send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: rules("old", 2)})
	if got := r.ended(t, r.begin(t, "nightly")); got.State != run.Succeeded {
		t.Fatalf("%+v", got)
	}
	bad := rules("x", 2)
	bad[0].Users, bad[1].AccessLevel = nil, "edit"
	for name, c := range map[string]struct {
		do   func(*workerv1.TransformRequest, grpc.ServerStreamingServer[workerv1.TransformResponse]) error
		code string
		says string
	}{
		"an error after rules": {func(req *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
			if err := send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: rules("new", 5)})(req, out); err != nil {
				return err
			}
			return status.Error(codes.Unavailable, "the source went away")
		}, "worker_status", "Unavailable: the source went away"},
		"an error after rules to add": {func(req *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
			if err := send(&workerv1.TransformResponse{Strategy: ignore, Rules: rules("new", 5)})(req, out); err != nil {
				return err
			}
			return status.Error(codes.Internal, "oops")
		}, "worker_status", "oops"},
		"two strategies":   {send(&workerv1.TransformResponse{Strategy: replaceAll}, &workerv1.TransformResponse{Strategy: ignore}), "bad_rules", "DeleteAllForUser"},
		"unknown strategy": {send(&workerv1.TransformResponse{Strategy: 99, Rules: rules("new", 1)}), "bad_rules", "99"},
		"bad rules":        {send(&workerv1.TransformResponse{Strategy: ignore, Rules: bad}), "bad_rules", "2 mistakes"},
		"bad staged rules": {send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: bad}), "bad_rules", "2 mistakes"},
	} {
		s.do = c.do
		got := r.ended(t, r.begin(t, "nightly"))
		if got.State != run.Failed || got.Last().Code != c.code || !strings.Contains(got.Message(), c.says) || r.Snapshot().Rules.Len() != 2 {
			t.Errorf("%s: %+v, %d rules", name, got, r.Snapshot().Rules.Len())
		}
	}
}

// TestAStreamNeedsTheRightToWriteRules: what the client may not post it may not
// stream either.
func TestAStreamNeedsTheRightToWriteRules(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	s, url := newStreamer(t)
	s.do = send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: rules("x", 1)})
	h.secret(t, "graph", devissuer.ClientGraph)
	r.setUp(t, url, func(in *registry.StepInput) { in.Client = run.Client{ID: devissuer.ClientGraph, SecretFile: "graph"} })
	got := r.ended(t, r.begin(t, "nightly"))
	if got.State != run.Failed || got.Last().Code != "denied" || s.got != nil || r.Snapshot().Rules.Len() != 0 {
		t.Errorf("%+v", got)
	}
}

func TestACancelEndsAStream(t *testing.T) {
	h := newHouse(t, false)
	r := h.start(transform.Config{})
	s, url := newStreamer(t)
	gone := make(chan struct{})
	s.do = func(_ *workerv1.TransformRequest, out grpc.ServerStreamingServer[workerv1.TransformResponse]) error {
		if err := out.Send(&workerv1.TransformResponse{Strategy: replaceAll, Rules: rules("x", 1), Message: "sent"}); err != nil {
			return err
		}
		<-out.Context().Done()
		close(gone)
		return out.Context().Err()
	}
	r.setUp(t, url, nil)
	of := r.begin(t, "nightly")
	r.until(t, of, "rules have come in", func(run.Run) bool { return strings.Contains(r.text(t, of), "sent") })
	if _, err := r.CancelRun(t.Context(), admin, "nightly", of.ID); err != nil {
		t.Fatal(err)
	}
	<-gone
	if got := r.ended(t, of); got.State != run.Cancelled || r.Snapshot().Rules.Len() != 0 {
		t.Errorf("%+v, %d rules", got, r.Snapshot().Rules.Len())
	}
	var staged []registry.StagedRule
	staged, _, err := r.StagedRules(t.Context(), rule.Filter{}, registry.StagedPlace{}, 10)
	t.Logf("%d staged rules are left for a day, or until the next run: %v", len(staged), err)
}
