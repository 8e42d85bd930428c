package edge

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

// FilterConfig bounds the filter endpoint.
type FilterConfig struct {
	// MaxBody is the largest body taken, in bytes.
	MaxBody int64
	// DefaultTimeout holds for callers that name none, MaxTimeout for all.
	DefaultTimeout time.Duration
	MaxTimeout     time.Duration
	// DropUnknownMembers drops members of elements that the contract does not
	// name, instead of refusing the request.
	DropUnknownMembers bool
}

// FilterDeps are what the filter endpoint stands on.
type FilterDeps struct {
	Gate      *Gate
	Pipeline  *pipeline.Filter
	Snapshot  func() *registry.Snapshot
	Admission *Admission
	Drain     *Drain
	Metrics   *Metrics
	Tracer    trace.Tracer
	Logger    *slog.Logger
}

const filterPath = "/api/graph-security/filter"

// filterHandler answers POST /api/graph-security/filter.
type filterHandler struct {
	cfg     FilterConfig
	d       FilterDeps
	need    *authz.Endpoint
	other   rest.Guard // of other methods
	bodies  bodyReader
	metrics *endpointMetrics
	nodes   *elementMetrics
	rels    *elementMetrics
	trace   propagation.TraceContext
}

func newFilterHandler(cfg FilterConfig, d FilterDeps) *filterHandler {
	return &filterHandler{
		cfg: cfg, d: d, need: d.Gate.must(http.MethodPost + " " + filterPath), other: d.Gate.guard(filterPath),
		bodies:  bodyReader{pool: &bodyPool{}, limit: cfg.MaxBody},
		metrics: d.Metrics.endpoint("filter"),
		nodes:   d.Metrics.kind(element.Nodes.Key()),
		rels:    d.Metrics.kind(element.Relationships.Key()),
	}
}

// ServeHTTP takes a request through authentication, admission, reading, the
// pipeline and the answer, and counts and logs how it went.
func (f *filterHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	ctx, span := f.d.Tracer.Start(f.trace.Extract(r.Context(), propagation.HeaderCarrier(r.Header)),
		"filter", trace.WithSpanKind(trace.SpanKindServer))
	defer span.End()
	status, err := f.serve(ctx, w, r, start)
	if err != nil {
		e := fault.From(err)
		status = e.Kind.HTTPStatus()
		f.refuse(ctx, w, e)
		linger(w, r)
		span.SetStatus(codes.Error, e.Code)
	}
	f.metrics.done(status, start)
}

func (f *filterHandler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, start time.Time) (int, error) {
	if err := f.d.Drain.Begin(); err != nil {
		return 0, err
	}
	defer f.d.Drain.End()
	caller, err := f.d.Gate.authn.FromRequest(r)
	if err != nil {
		return 0, err
	}
	who, _, err := f.d.Gate.decide(caller, f.need, r.PathValue)
	if err != nil {
		return 0, err
	}
	in, timeout, err := f.head(r, caller, &who)
	if err != nil {
		return 0, err
	}
	ticket, err := f.d.Admission.Enter(caller.Principal.Issuer + "\x00" + caller.Principal.Subject)
	if err != nil {
		return 0, err
	}
	defer ticket.Leave()
	deadline := start.Add(timeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	body, err := f.bodies.read(w, r, ticket, deadline)
	if err != nil {
		return 0, err
	}
	defer body.Release()
	if err := ticket.Reserve(f.replyBytes(int64(len(body.buf)))); err != nil {
		return 0, err
	}
	return f.decide(ctx, w, body, in)
}

// head reads what the request's head says beside the token.
func (f *filterHandler) head(r *http.Request, caller authn.Caller, who *authz.Who) (in pipeline.Input, timeout time.Duration, err error) {
	in = pipeline.Input{Caller: caller}
	if in.Explain, err = explainAsked(r); err != nil {
		return in, 0, err
	}
	if in.Explain {
		if err := who.Explain(); err != nil {
			return in, 0, err
		}
	}
	if err := checkMedia(r.Header); err != nil {
		return in, 0, err
	}
	if in.Hops, err = hops(r.Header); err != nil {
		return in, 0, err
	}
	timeout, err = requestTimeout(r.Header, f.cfg.DefaultTimeout, f.cfg.MaxTimeout)
	return in, timeout, err
}

// Sizes for what a request holds beside its body, for admission: replies are
// matched while they are read, through one window per worker; the index of
// elements and properties is about half of the body, and as much again is held
// where the body is read in parts.
const (
	replyWindow = 256 << 10
	indexShare  = 2
)

func (f *filterHandler) replyBytes(body int64) int64 {
	workers := int64(len(f.d.Snapshot().GraphSecurity()))
	held := body / indexShare
	if body >= element.PartsFrom {
		held += body / indexShare
	}
	if f.d.Pipeline.RulesOn() {
		held += body + body/indexShare // what rules leave is a body of its own
	}
	return held + workers*min(replyWindow, body+(4<<10))
}

func (f *filterHandler) decide(ctx context.Context, w http.ResponseWriter, body *body, in pipeline.Input) (int, error) {
	req, err := element.ParseRequest(body.buf, element.Options{DropUnknownMembers: f.cfg.DropUnknownMembers})
	if err != nil {
		return 0, err
	}
	defer req.Release()
	in.Request, in.Body = req, body
	d, err := f.d.Pipeline.Decide(ctx, in)
	if err != nil {
		return 0, err
	}
	defer d.Release()
	trace.SpanFromContext(ctx).SetAttributes(attribute.String("muster.decision", d.ID), attribute.Bool("muster.complete", d.Complete))
	f.nodes.count(d.Nodes)
	f.rels.count(d.Relationships)
	opts := verdict.AnswerOptions{}
	if in.Explain {
		if opts.Explain, err = verdict.ExplainJSON(d.Explanations); err != nil {
			return 0, err
		}
	}
	f.answer(ctx, w, d.Answer(opts), d)
	return http.StatusOK, nil
}

func (f *filterHandler) answer(ctx context.Context, w http.ResponseWriter, a *verdict.Answer, d *pipeline.Decision) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.FormatInt(a.Size(), 10))
	h.Set(headerDecision, d.ID)
	h.Set(headerRevision, strconv.FormatInt(int64(d.Revision), 10))
	h.Set(headerComplete, strconv.FormatBool(d.Complete))
	w.WriteHeader(http.StatusOK)
	_, err := a.WriteTo(w)
	if err != nil {
		// The head is out: the caller sees a body shorter than announced.
		f.d.Logger.LogAttrs(ctx, slog.LevelInfo, "the caller left before its answer ended", slog.String("decision", d.ID))
	}
}

// refuseMethod answers what is not a POST.
func (f *filterHandler) refuseMethod(w http.ResponseWriter, r *http.Request) {
	if _, err := f.other(r); err != nil {
		f.refuse(r.Context(), w, fault.From(err))
		return
	}
	w.Header().Set("Allow", http.MethodPost)
	writeJSON(w, http.StatusMethodNotAllowed, fault.Contract{
		Description: "the filter takes POST, not " + r.Method, Error: "method_not_allowed",
	})
}

// refuse answers with an error of the worker contract and logs it.
func (f *filterHandler) refuse(ctx context.Context, w http.ResponseWriter, e *fault.Error) {
	logRefusal(ctx, f.d.Logger, e)
	// Also when the caller seems gone: one that has closed only its sending side
	// still reads, and net/http answers 200 for a handler that writes nothing.
	authn.Challenge(w.Header(), e)
	boundUnread(w)
	e.WriteContract(w)
}

func (m *elementMetrics) count(s *verdict.Set) {
	if s == nil {
		return
	}
	visible, stripped, masked := s.Counts()
	m.visible.Add(float64(visible))
	m.hidden.Add(float64(s.Len() - visible))
	m.stripped.Add(float64(stripped))
	m.masked.Add(float64(masked))
}
