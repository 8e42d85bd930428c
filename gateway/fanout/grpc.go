package fanout

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// filterStream describes muster.worker.v1.GraphSecurity/Filter.
var filterStream = grpc.StreamDesc{StreamName: "Filter", ServerStreams: true, ClientStreams: true}

// ask gets the verdicts on the unit's elements: by one message where they are few
// and the worker serves that, and over a stream otherwise.
func (c *grpcCarrier) ask(ctx context.Context, u *unit) (*verdict.Set, error) {
	conn, err := c.acquire()
	if err != nil {
		return nil, dialFailure(err)
	}
	defer c.release(conn)
	e := u.shared.encoded(u.from, u.to)
	if e.bytes <= maxDecide && c.decides.Load() {
		set, err := c.decide(ctx, conn, u, e)
		if !errors.Is(err, errNoDecide) {
			return set, err
		}
		// Another replica than the one that told of it, or an older version.
		c.decides.Store(false)
	}
	return c.stream(ctx, conn, u, e)
}

// stream sends the elements over one stream and collects the verdicts.
func (c *grpcCarrier) stream(ctx context.Context, conn *grpcConn, u *unit, e *encoded) (*verdict.Set, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := replyFactor*e.bytes + replySpare
	s, err := conn.cc.NewStream(u.ask.metadata(ctx, u.auth), &filterStream, workerv1.GraphSecurity_Filter_FullMethodName,
		grpc.ForceCodecV2(c.codec), grpc.MaxCallRecvMsgSize(int(limit)))
	if err != nil {
		return nil, conn.failure(err, false)
	}
	sent := make(chan struct{})
	send := func() {
		defer close(sent)
		c.send(s, u, e)
	}
	if len(e.chunks) > 1 {
		// The worker may answer while it reads; both sides would wait for the other.
		go send()
	} else {
		send()
	}
	set, err := collect(s, u, limit)
	cancel()
	<-sent
	if err != nil {
		return nil, conn.failure(err, answeredBy(s))
	}
	return set, nil
}

// send writes the header and the chunks. When it fails the stream has ended, and
// collect learns why.
func (c *grpcCarrier) send(s grpc.ClientStream, u *unit, e *encoded) {
	header := &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{
		Kind: kindOf(u.batch.Kind()), Total: uint64(u.to - u.from), IdsDigest: u.shared.digest(u.from, u.to),
	}}}
	if s.SendMsg(header) != nil {
		return
	}
	for _, ch := range e.chunks {
		if s.SendMsg(ch) != nil {
			return
		}
	}
	// It fails only together with the stream.
	_ = s.CloseSend()
}

func kindOf(k element.Kind) workerv1.Kind {
	if k == element.Relationships {
		return workerv1.Kind_KIND_RELATIONSHIPS
	}
	return workerv1.Kind_KIND_NODES
}

// collect reads verdicts until the stream's status, which must be OK.
func collect(s grpc.ClientStream, u *unit, limit int64) (*verdict.Set, error) {
	n := u.to - u.from
	col := verdict.NewCollector(n, u.worker.Settings.Mask)
	for {
		resp := new(workerv1.FilterResponse)
		err := s.RecvMsg(resp)
		if errors.Is(err, io.EOF) {
			return u.finish(s.Context(), col)
		}
		if err != nil {
			return nil, err
		}
		if limit -= int64(proto.Size(resp)); limit < 0 {
			return nil, &verdict.Violation{Reason: verdict.ReasonTooLarge, Detail: "more than 4 times the request and 1 MiB"}
		}
		tidy(resp.GetChunk())
		if err := col.Add(resp.GetChunk()); err != nil {
			return nil, err
		}
	}
}

// finish returns the verdicts of a call that ended well.
func (u *unit) finish(ctx context.Context, col *verdict.Collector) (*verdict.Set, error) {
	set, err := col.Finish(u.to - u.from)
	if err != nil {
		return nil, late(ctx, err)
	}
	set.Fit(u.batch, u.from)
	return set, nil
}

// late returns the deadline's error in place of err once the deadline has passed.
// A worker that gives up at its deadline and ends well has not lied: what it
// left out must not count towards its quarantine.
func late(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return err
}

// tidy sorts the names within each element's strips and masks, which may come in
// any order: putting many of them in place one by one would take its time.
func tidy(chunk *workerv1.VerdictChunk) {
	for _, s := range chunk.GetStrips() {
		slices.Sort(s.GetProperties())
	}
	masks := chunk.GetMasks()
	for len(masks) > 0 {
		n := 1
		for n < len(masks) && masks[n].GetOrdinal() == masks[0].GetOrdinal() {
			n++
		}
		slices.SortFunc(masks[:n], func(a, b *workerv1.Mask) int { return strings.Compare(a.GetProperty(), b.GetProperty()) })
		masks = masks[n:]
	}
}

// metadata returns ctx with what travels beside the elements. The deadline
// travels by itself, as grpc-timeout.
func (a *ask) metadata(ctx context.Context, auth string) context.Context {
	md := metadata.MD{"authorization": {auth}, strings.ToLower(headerHops): {a.hops}}
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, metadataCarrier(md))
	}
	return metadata.NewOutgoingContext(ctx, md)
}

type metadataCarrier metadata.MD

func (metadataCarrier) Get(string) string { return "" }
func (metadataCarrier) Keys() []string    { return nil }
func (c metadataCarrier) Set(name, value string) {
	metadata.MD(c).Set(name, value)
}

// failure turns how a call ended into its row; answered says whether the peer
// had answered anything.
func (g *grpcConn) failure(err error, answered bool) error {
	var v *verdict.Violation
	if errors.As(err, &v) {
		return violation(v)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return err // of late: it is no status
	}
	st := status.Convert(err)
	switch st.Code() {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		if !answered {
			return context.Canceled
		}
	case codes.Unauthenticated, codes.PermissionDenied:
		if answered {
			return grpcRefusal(st, err)
		}
	case codes.Unavailable:
		if !answered {
			return g.unreachable(st, err)
		}
	case codes.ResourceExhausted:
		if strings.HasPrefix(st.Message(), "grpc: received message larger than max") {
			return violation(&verdict.Violation{Reason: verdict.ReasonTooLarge, Detail: "more than 4 times the request and 1 MiB"})
		}
	}
	if !answered || st.Code() == codes.Internal && strings.HasPrefix(st.Message(), "cardinality violation") {
		return workerError("framing", "its answer is not well-formed gRPC", err)
	}
	// The status is the worker's own, and its text not for a log: no cause.
	f := workerError("status", "it answered "+st.Code().String(), nil)
	f.said = clean(st.Message())
	return f
}

// answeredBy reports whether the peer sent headers or trailers of its own. The
// stream, if it began, has ended, so nothing is waited for.
func answeredBy(s grpc.ClientStream) bool {
	if s == nil {
		return false
	}
	header, err := s.Header()
	return err == nil && len(header) > 0 || len(s.Trailer()) > 0
}

// unreachable is a connection that failed before the peer answered.
func (g *grpcConn) unreachable(st *status.Status, err error) error {
	if dial := g.dialError(); dial != nil {
		return dialFailure(dial)
	}
	if strings.Contains(st.Message(), "server preface: http2:") {
		return workerError("framing", "it does not speak HTTP/2", err)
	}
	return &failure{row: rowUnreachable, reason: "connection_lost", again: true, cause: err,
		detail: "the connection failed before an answer"}
}

// grpcRefusal is the row of 401 and 403: the code is the worker's own where it
// sent one, and otherwise what the contract's words for the status are.
func grpcRefusal(st *status.Status, err error) *failure {
	f := &failure{row: rowRefusedToken, reason: "unauthorized", detail: "it refused with " + st.Code().String(),
		code: "invalid_token", said: clean(st.Message())}
	if st.Code() == codes.PermissionDenied {
		f.row, f.reason, f.code = rowDenied, "forbidden", "forbidden"
	}
	if e, ok := fault.FromGRPC(err); ok && e.Code != "" {
		f.code = cleanCode(e.Code)
	}
	return f
}
