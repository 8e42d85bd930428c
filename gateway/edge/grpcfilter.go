package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

const (
	// plainChunk and markedChunk are how many verdicts go into one message:
	// bits alone are small, strips and masks are not.
	plainChunk  = 1 << 19
	markedChunk = 1 << 10
	// perElement is what a stream holds of one element: its digests and verdicts.
	perElement = 64
)

// RegisterFilter adds muster.gateway.v1.GraphSecurity.
func RegisterFilter(s *grpc.Server, cfg FilterConfig, d FilterDeps) {
	gatewayv1.RegisterGraphSecurityServer(s, &grpcFilter{
		cfg: cfg, d: d,
		nodes: d.Metrics.kind(element.Nodes.Key()), rels: d.Metrics.kind(element.Relationships.Key()),
	})
}

// grpcFilter answers GraphSecurity.Filter.
type grpcFilter struct {
	gatewayv1.UnimplementedGraphSecurityServer
	cfg         FilterConfig
	d           FilterDeps
	nodes, rels *elementMetrics
}

// Filter passes the elements on as they come and answers when every worker has
// ended well.
func (f *grpcFilter) Filter(ss gatewayv1.GraphSecurity_FilterServer) error {
	caller, ok := authn.CallerFrom(ss.Context())
	if !ok {
		return fault.New(fault.Unauthenticated, "invalid_token", "no token was sent")
	}
	ctx, cancel := context.WithTimeout(ss.Context(), f.timeout(ss.Context()))
	defer cancel()
	messages := listen(ss)
	defer messages.close()
	in, err := f.header(ctx, messages, caller)
	if err != nil {
		return err
	}
	ticket, err := f.d.Admission.Enter(caller.Principal.Issuer + "\x00" + caller.Principal.Subject)
	if err != nil {
		return err
	}
	defer ticket.Leave()
	stream, err := f.d.Pipeline.Stream(ctx, in)
	if err != nil {
		return f.failed(ctx, err)
	}
	defer stream.Close()
	if err := f.receive(ctx, messages, stream, ticket); err != nil {
		return f.failed(ctx, err)
	}
	d, err := stream.Decide()
	if err != nil {
		return f.failed(ctx, err)
	}
	f.nodes.count(d.Nodes)
	f.rels.count(d.Relationships)
	return f.answer(ss, d)
}

// timeout is the configured bound, or the default for a caller without a
// deadline; the caller's own deadline is in ctx already.
func (f *grpcFilter) timeout(ctx context.Context) time.Duration {
	if _, has := ctx.Deadline(); has {
		return f.cfg.MaxTimeout
	}
	return min(f.cfg.DefaultTimeout, f.cfg.MaxTimeout)
}

// header reads the first message and everything that the metadata says.
func (f *grpcFilter) header(ctx context.Context, messages *incoming, caller authn.Caller) (in pipeline.StreamInput, err error) {
	first, err := messages.next(ctx)
	if errors.Is(err, io.EOF) || err == nil && first.GetHeader() == nil {
		return in, fault.New(fault.Invalid, "invalid_request", "the first message must be the header")
	}
	if err != nil {
		return in, err
	}
	h := first.GetHeader()
	in = pipeline.StreamInput{
		Caller: caller, Explain: h.GetExplain(), MaxHeld: f.cfg.MaxBody,
		Options: element.Options{DropUnknownMembers: f.cfg.DropUnknownMembers},
	}
	if in.Explain {
		who, _ := rest.CallerFrom(ctx) // that of a context without one may nothing
		if err := who.Explain(); err != nil {
			return in, err
		}
	}
	switch h.GetBatch() {
	case gatewayv1.Batch_BATCH_NODES:
		in.Type = element.TypeNodes
	case gatewayv1.Batch_BATCH_RELATIONSHIPS:
		in.Type = element.TypeRelationships
	case gatewayv1.Batch_BATCH_GRAPH:
		in.Type = element.TypeGraph
	case gatewayv1.Batch_BATCH_UNSPECIFIED:
		fallthrough
	default:
		return in, fault.New(fault.Invalid, "invalid_request", "header.batch is %s; nodes, relationships and graph are known", h.GetBatch())
	}
	in.Hops, err = hops(http.Header{headerHops: metadata.ValueFromIncomingContext(ctx, headerHops)})
	return in, err
}

// receive takes the chunks until the caller half-closes.
func (f *grpcFilter) receive(ctx context.Context, messages *incoming, stream *pipeline.Stream, t *Ticket) error {
	held := f.holdsElements()
	for {
		m, err := messages.next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c := m.GetChunk()
		if c == nil || c.GetElements() == nil {
			return fault.New(fault.Invalid, "invalid_request", "after the header every message must be a chunk of elements")
		}
		kind, err := kindOf(c.GetKind())
		if err != nil {
			return err
		}
		e := c.GetElements()
		n := int64(len(e.GetEnds())) * perElement
		if held {
			n += int64(len(e.GetData()))
		}
		if err := t.Reserve(n); err != nil {
			return err
		}
		if err := stream.Add(kind, e.GetBase(), e.GetData(), e.GetStarts(), e.GetEnds()); err != nil {
			return err
		}
	}
}

// holdsElements tells whether elements stay in memory: replies of workers over
// REST are matched against them.
func (f *grpcFilter) holdsElements() bool {
	for _, w := range f.d.Snapshot().GraphSecurity() {
		if w.Transport == registry.TransportREST {
			return true
		}
	}
	return false
}

func kindOf(k workerv1.Kind) (element.Kind, error) {
	switch k {
	case workerv1.Kind_KIND_NODES:
		return element.Nodes, nil
	case workerv1.Kind_KIND_RELATIONSHIPS:
		return element.Relationships, nil
	case workerv1.Kind_KIND_UNSPECIFIED:
		fallthrough
	default:
		return 0, fault.New(fault.Invalid, "invalid_request", "chunk.kind is %s; nodes and relationships are known", k)
	}
}

// answer sends the summary, the verdicts and, when asked for, the explanations.
func (f *grpcFilter) answer(ss gatewayv1.GraphSecurity_FilterServer, d *pipeline.Decision) error {
	err := ss.Send(&gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Summary{Summary: &gatewayv1.FilterSummary{
		Decision: d.ID, Revision: int64(d.Revision), Complete: d.Complete,
	}}})
	if err == nil {
		err = sendVerdicts(ss, workerv1.Kind_KIND_NODES, d.Nodes)
	}
	if err == nil {
		err = sendVerdicts(ss, workerv1.Kind_KIND_RELATIONSHIPS, d.Relationships)
	}
	for i := 0; err == nil && i < len(d.Explanations); i++ {
		err = ss.Send(&gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Explanation{Explanation: explanation(&d.Explanations[i])}})
	}
	return err
}

func sendVerdicts(ss gatewayv1.GraphSecurity_FilterServer, kind workerv1.Kind, s *verdict.Set) error {
	if s == nil {
		return nil
	}
	size := plainChunk
	if s.Marked() {
		size = markedChunk
	}
	for c := range s.Chunks(size) {
		err := ss.Send(&gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Chunk{
			Chunk: &gatewayv1.VerdictChunk{Kind: kind, Verdicts: c},
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func explanation(e *verdict.Explanation) *gatewayv1.Explanation {
	out := &gatewayv1.Explanation{
		Kind: workerv1.Kind_KIND_NODES, Ordinal: uint64(e.Ordinal),
		ElementId: e.ElementID, Verdict: e.Verdict, Properties: e.Properties,
	}
	if e.Kind == element.Relationships.Key() {
		out.Kind = workerv1.Kind_KIND_RELATIONSHIPS
	}
	for _, c := range e.By {
		cause := &gatewayv1.Cause{Reason: c.Reason}
		if c.Worker != nil {
			cause.Source = &gatewayv1.Cause_Worker{Worker: &gatewayv1.WorkerRef{Uuid: c.Worker.UUID, Name: c.Worker.Name}}
		} else {
			cause.Source = &gatewayv1.Cause_Rule{Rule: c.Rule}
		}
		out.By = append(out.By, cause)
	}
	return out
}

// failed logs a refusal as the REST endpoint does and returns it.
func (f *grpcFilter) failed(ctx context.Context, err error) error {
	if fault.IsStatus(err) {
		var e *fault.Error
		if !errors.As(err, &e) {
			return err // gRPC's own, such as a cancelled stream
		}
	}
	e := fault.From(err)
	logRefusal(ctx, f.d.Logger, e)
	return e
}

// maxLoggedCode is the longest code of a worker that is logged, in bytes.
const maxLoggedCode = 32

// logRefusal writes what the caller gets and what the caller does not get: the
// cause.
func logRefusal(ctx context.Context, log *slog.Logger, e *fault.Error) {
	level := slog.LevelDebug
	if e.Worker != nil || e.Kind == fault.Internal {
		level = slog.LevelWarn
	}
	if !log.Enabled(ctx, level) {
		return
	}
	code := e.Code
	if e.Worker != nil && (len(code) > maxLoggedCode || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "") {
		code = "" // a refusing worker's own words, which may hold anything
	}
	attrs := []slog.Attr{slog.String("code", code), slog.Int("status", e.Kind.HTTPStatus())}
	if e.Worker != nil {
		attrs = append(attrs, slog.String("worker", e.Worker.UUID), slog.String("worker_name", e.Worker.Name))
	}
	if cause := e.Unwrap(); cause != nil {
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	log.LogAttrs(ctx, level, "filter refused", attrs...)
}
