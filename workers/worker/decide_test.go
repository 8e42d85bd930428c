package worker_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/worker"
)

const oneNode = `{"elementId":"1","labels":[],"properties":{}}`

// question puts elements into one message.
func question(kind workerv1.Kind, base uint64, elements ...string) *workerv1.DecideRequest {
	return &workerv1.DecideRequest{Kind: kind, Elements: chunk(base, elements...).GetChunk()}
}

func decide(ctx context.Context, c *grpc.ClientConn, q *workerv1.DecideRequest) (*workerv1.VerdictChunk, error) {
	a, err := workerv1.NewGraphSecurityClient(c).Decide(ctx, q)
	return a.GetChunk(), err
}

// An ordinary unary client gets what a stream gets.
func TestDecide(t *testing.T) {
	r := start(t, func(c *worker.Config) { c.Masks = true })
	c := dialGRPC(t, r.GRPC)
	ctx := withToken(t.Context(), "good")
	elements := []string{
		`{"elementId":"1","labels":["A"],"properties":{"ssn":1,"phone":2,"x":3}}`,
		`{"elementId":"2","labels":["Secret"],"properties":{}}`, `{"elementId":"3","labels":[],"properties":{}}`,
	}
	want, err := stream(t, ctx, c, header(workerv1.Kind_KIND_NODES, 3, nil), chunk(0, elements...))
	if err != nil || len(want) != 1 || len(want[0].GetStrips()) != 1 || len(want[0].GetMasks()) != 1 || len(want[0].GetReasons()) != 1 {
		t.Fatal(want, err)
	}
	got, err := decide(ctx, c, question(workerv1.Kind_KIND_NODES, 0, elements...))
	if err != nil || !proto.Equal(got, want[0]) {
		t.Errorf("%v %v; want %v", got, err, want[0])
	}
	rel := `{"elementId":"5","type":"T","startNodeLabel":"A","endNodeLabel":"B","startNodeElementId":"1","endNodeElementId":"2","properties":{}}`
	if got, err = decide(ctx, c, question(workerv1.Kind_KIND_RELATIONSHIPS, 0, rel)); err != nil || got.GetCount() != 1 || got.GetVisible()[0] != 1 {
		t.Errorf("%v %v", got, err)
	}
	if got, err = decide(ctx, c, question(workerv1.Kind_KIND_NODES, 0)); err != nil || got == nil || got.GetCount() != 0 {
		t.Errorf("of no elements: %v %v", got, err)
	}
	d, err := workerv1.NewGraphSecurityClient(c).Describe(t.Context(), &workerv1.DescribeRequest{})
	if err != nil || !d.GetCapabilities().GetDecide() {
		t.Errorf("%v %v", d, err)
	}
}

func TestDecideRefusals(t *testing.T) {
	r := start(t, func(c *worker.Config) { c.MaxBody = 1000 })
	c := dialGRPC(t, r.GRPC)
	nodes := workerv1.Kind_KIND_NODES
	outside := question(nodes, 0, oneNode)
	outside.Elements.Ends[0] = 5000
	const byGRPC = "larger than any message" // refused by gRPC itself, in its own words
	for _, test := range []struct {
		name, token string
		code        codes.Code
		q           *workerv1.DecideRequest
	}{
		{"no token", "", codes.Unauthenticated, question(nodes, 0, oneNode)},
		{"bad token", "bad", codes.Unauthenticated, question(nodes, 0, oneNode)},
		{"no kind", "good", codes.InvalidArgument, question(0, 0, oneNode)},
		{"strange kind", "good", codes.InvalidArgument, question(7, 0, oneNode)},
		{"no elements", "good", codes.InvalidArgument, &workerv1.DecideRequest{Kind: nodes}},
		{"gap", "good", codes.InvalidArgument, question(nodes, 1, oneNode)},
		{"no JSON", "good", codes.InvalidArgument, question(nodes, 0, "{")},
		{"twice", "good", codes.InvalidArgument, question(nodes, 0, oneNode, strings.Replace(oneNode, "[]", `["A"]`, 1))},
		{"outside", "good", codes.InvalidArgument, outside},
		{"too large", "good", codes.ResourceExhausted, question(nodes, 0, `{"elementId":"`+strings.Repeat("x", 2000)+`"}`)},
		{byGRPC, "good", codes.ResourceExhausted, question(nodes, 0, `{"elementId":"`+strings.Repeat("x", 2<<20)+`"}`)},
		{"panic", "good", codes.Internal, question(nodes, 0, `{"elementId":"1","labels":[],"properties":{"boom":"panic"}}`)},
		{"policy down", "good", codes.Unavailable, question(nodes, 0, `{"elementId":"1","labels":[],"properties":{"boom":1}}`)},
	} {
		ctx := t.Context()
		if test.token != "" {
			ctx = withToken(ctx, test.token)
		}
		if got, err := decide(ctx, c, test.q); status.Code(err) != test.code || got != nil {
			t.Errorf("%s: %v %v; want %s", test.name, got, err, test.code)
		} else if f, ok := fault.FromGRPC(err); (!ok || f.Code == "") && test.name != byGRPC {
			t.Errorf("%s: no stable code in %v", test.name, err)
		}
	}
}

// Nobody makes the worker read a message without a token, and nobody gets past
// the limit on calls by sending slowly: both are asked before the message.
func TestDecideRefusesBeforeItReads(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	r := start(t, func(c *worker.Config) {
		c.MaxConcurrent = 1
		c.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict {
			inside <- struct{}{}
			<-leave
			return worker.Keep()
		}
	})
	c := dialGRPC(t, r.GRPC)
	silent := func(ctx context.Context) error {
		s, err := c.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, workerv1.GraphSecurity_Decide_FullMethodName)
		if err != nil {
			return err
		}
		return s.RecvMsg(new(workerv1.DecideResponse)) // without having sent anything
	}
	if err := silent(withToken(t.Context(), "bad")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a good token: %v", err)
	}
	first := make(chan error, 1)
	go func() {
		_, err := decide(withToken(t.Context(), "good"), c, question(workerv1.Kind_KIND_NODES, 0, oneNode))
		first <- err
	}()
	<-inside
	if err := silent(withToken(t.Context(), "good")); status.Code(err) != codes.Unavailable {
		t.Errorf("beyond the limit: %v", err)
	}
	r.stop()
	close(leave)
	if err := <-first; err != nil {
		t.Errorf("what was in flight: %v", err)
	}
}

// One message is all that a call may bring.
func TestDecideTakesOneMessage(t *testing.T) {
	judged := false
	r := start(t, func(c *worker.Config) {
		c.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict {
			judged = true
			return worker.Keep()
		}
	})
	c := dialGRPC(t, r.GRPC)
	for _, n := range []int{0, 2} {
		s, err := c.NewStream(withToken(t.Context(), "good"), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, workerv1.GraphSecurity_Decide_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := s.SendMsg(question(workerv1.Kind_KIND_NODES, 0, oneNode)); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.CloseSend()
		if err := s.RecvMsg(new(workerv1.DecideResponse)); status.Code(err) != codes.Internal || judged {
			t.Errorf("%d messages: %v, judged %v", n, err, judged)
		}
	}
}

// The worker's own limit ends a call whose caller has none.
func TestDecideEndsWithItsDeadline(t *testing.T) {
	r := start(t, func(c *worker.Config) {
		c.MaxTimeout = 1 // nanosecond: over before the function runs
	})
	_, err := decide(withToken(t.Context(), "good"), dialGRPC(t, r.GRPC), question(workerv1.Kind_KIND_NODES, 0, oneNode))
	if status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
}

// BenchmarkTwo asks a worker about two elements over loopback, by a stream and by
// one message.
func BenchmarkTwo(b *testing.B) {
	cfg := testConfig()
	cfg.Judge = func(context.Context, *worker.Principal, worker.Element) worker.Verdict { return worker.Keep() }
	listening := make(chan worker.Addresses, 1)
	cfg.Listening = func(a worker.Addresses) { listening <- a }
	w, err := worker.New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	defer func() { stop(); <-done }()
	c, err := grpc.NewClient("passthrough:///"+(<-listening).GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	call := withToken(b.Context(), "good")
	two := []string{oneNode, strings.Replace(oneNode, "1", "2", 1)}
	b.Run("stream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := workerv1.NewGraphSecurityClient(c).Filter(call)
			if err != nil {
				b.Fatal(err)
			}
			_ = s.Send(header(workerv1.Kind_KIND_NODES, 2, nil))
			_ = s.Send(chunk(0, two...))
			_ = s.CloseSend()
			if _, err := s.Recv(); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Recv(); err == nil {
				b.Fatal("more than one answer")
			}
		}
	})
	b.Run("decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decide(call, c, question(workerv1.Kind_KIND_NODES, 0, two...)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
