package workertest_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/token"
	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// decider is plainGRPC with Decide, which it serves as it serves a stream unless
// it is told otherwise.
type decider struct {
	*plainGRPC
	decide func(context.Context, *workerv1.DecideRequest, *workerv1.DecideResponse, error) (*workerv1.DecideResponse, error)
}

// Decide judges one message.
func (d *decider) Decide(ctx context.Context, q *workerv1.DecideRequest) (*workerv1.DecideResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	raw, err := token.FromHeader(http.Header{"Authorization": md.Get("authorization")})
	if err == nil {
		_, err = d.verifier.Verify(ctx, raw)
	}
	in := q.GetElements()
	if err == nil && in.GetBase() != 0 {
		err = status.Error(codes.InvalidArgument, "a gap")
	}
	n := len(in.GetEnds())
	out := &workerv1.VerdictChunk{Count: uint64(n), Visible: make([]byte, (n+7)/8)}
	for i := range n {
		if !bytes.Contains(in.GetData()[in.GetStarts()[i]:min(int(in.GetEnds()[i]), len(in.GetData()))], []byte("Secret")) {
			out.Visible[i/8] |= 1 << (i % 8)
		}
	}
	a := &workerv1.DecideResponse{Chunk: out}
	if d.decide != nil {
		return d.decide(ctx, q, a, err)
	}
	return a, err
}

func newDecider() *decider {
	return &decider{plainGRPC: &plainGRPC{describe: func(r *workerv1.DescribeResponse) { r.Capabilities.Decide = true }}}
}

func TestDecideIsHeldAgainstTheContract(t *testing.T) {
	is := newIssuer(t)
	strict := func(q *workerv1.DecideRequest, a *workerv1.DecideResponse, err error) (*workerv1.DecideResponse, error) {
		if end := q.GetElements().GetEnds(); q.GetKind() == 0 || int(end[len(end)-1]) > len(q.GetElements().GetData()) {
			return nil, errors.New("malformed")
		}
		return a, err
	}
	for _, test := range []struct {
		name, caught string // caught is empty for one that does nothing wrong
		decide       func(context.Context, *workerv1.DecideRequest, *workerv1.DecideResponse, error) (*workerv1.DecideResponse, error)
	}{
		{"shows what a stream hides", "core/decide", func(_ context.Context, _ *workerv1.DecideRequest, a *workerv1.DecideResponse, err error) (*workerv1.DecideResponse, error) {
			for i := range a.GetChunk().GetVisible() {
				a.Chunk.Visible[i] = 255
			}
			if rest := a.GetChunk().GetCount() % 8; rest != 0 {
				a.Chunk.Visible[len(a.Chunk.Visible)-1] = 1<<rest - 1
			}
			return a, err
		}},
		{"answers nothing", "core/decide", func(context.Context, *workerv1.DecideRequest, *workerv1.DecideResponse, error) (*workerv1.DecideResponse, error) {
			return &workerv1.DecideResponse{}, nil
		}},
		{"announces what it does not have", "core/decide", func(context.Context, *workerv1.DecideRequest, *workerv1.DecideResponse, error) (*workerv1.DecideResponse, error) {
			return (&workerv1.UnimplementedGraphSecurityServer{}).Decide(nil, nil) //nolint:staticcheck // neither is looked at
		}},
		{"asks for no token", "core/decide-tokens", func(ctx context.Context, _ *workerv1.DecideRequest, a *workerv1.DecideResponse, err error) (*workerv1.DecideResponse, error) {
			if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("authorization")) == 0 {
				return a, nil
			}
			return a, err
		}},
		{"takes any token", "core/decide-tokens", func(_ context.Context, _ *workerv1.DecideRequest, a *workerv1.DecideResponse, _ error) (*workerv1.DecideResponse, error) {
			return a, nil
		}},
		{"does not look at the kind", "robust/decide-refuses", func(_ context.Context, q *workerv1.DecideRequest, a *workerv1.DecideResponse, err error) (*workerv1.DecideResponse, error) {
			q.Kind = workerv1.Kind_KIND_NODES
			return strict(q, a, err)
		}},
		{"is right", "", func(_ context.Context, q *workerv1.DecideRequest, a *workerv1.DecideResponse, err error) (*workerv1.DecideResponse, error) {
			return strict(q, a, err)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := newDecider()
			d.decide = test.decide
			cases := []string{"core/decide", "core/decide-tokens", "robust/decide-refuses"}
			r := run(t, workertest.Options{URL: d.startAs(t, is, true, d), Tokens: is, Only: cases, Seed: 7, AnswerWithin: 10 * time.Second})
			for _, name := range cases {
				want := workertest.Pass
				if name == test.caught {
					want = workertest.Fail
				}
				if c := find(t, r, name); c.Status != want && (test.caught == "" || want == workertest.Fail) {
					t.Errorf("case %s is %s %q\n%s", name, c.Status, c.Detail, table(r))
				}
			}
		})
	}
}

// Whoever does not announce Decide is not asked by it, and loses nothing by that;
// what the SDK serves is held to all of it.
func TestDecideCasesAreForThoseWhoAnnounceIt(t *testing.T) {
	is := newIssuer(t)
	cases := []string{"core/decide", "core/decide-tokens", "robust/decide-refuses"}
	for name, test := range map[string]struct {
		url  string
		want workertest.Status
	}{
		"without": {(&plainGRPC{}).start(t, is, true), workertest.Skip},
		"the SDK": {"grpc://" + sdkWorker(t, is, func(c *worker.Config) { c.Masks = true }).GRPC, workertest.Pass},
	} {
		r := run(t, workertest.Options{URL: test.url, Tokens: is, Only: cases, Seed: 7, AnswerWithin: 10 * time.Second})
		for _, c := range cases {
			if got := find(t, r, c); got.Status != test.want || got.Unproven {
				t.Errorf("%s: case %s is %s %q", name, c, got.Status, got.Detail)
			}
		}
	}
}
