package fanout

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/muster-fleet/muster/registry"
)

func (f *Fleet) observe(w *registry.Worker, r Result, reason string) {
	if f.deps.Observer != nil {
		f.deps.Observer.Observe(w.ID, r, reason)
	}
}

// report counts and tells a failure: metric, standing, log, trace.
func (f *Fleet) report(ctx context.Context, l *leg, w *registry.Worker, span trace.Span, fail *failure) {
	if fail.row == rowCancelled {
		span.SetStatus(codes.Unset, "cancelled")
		return
	}
	if n := l.failures[fail.reason]; n != nil { // a test holds that there is one
		n.Inc()
	}
	r := rows[fail.row]
	if r.observe && !fail.early {
		f.observe(w, r.result, fail.reason)
	}
	code := loggable(fail.fault(w).Code)
	span.SetStatus(codes.Error, code)
	span.SetAttributes(attribute.String("muster.reason", fail.reason))
	f.deps.Logger.LogAttrs(ctx, slog.LevelWarn, "worker failed",
		slog.String("worker", string(w.ID)), slog.String("worker_name", clean(w.Name)),
		slog.String("code", code), slog.String("reason", fail.reason),
		slog.String("detail", fail.detail), slog.Any("cause", logged{fail.cause}))
}

// logged is a cause as it may stand in a log: cleaned like a worker's text.
type logged struct{ err error }

// LogValue implements slog.LogValuer.
func (l logged) LogValue() slog.Value {
	if l.err == nil {
		return slog.StringValue("")
	}
	return slog.StringValue(clean(l.err.Error()))
}

// startSpan starts a span when the request is being traced; otherwise it costs
// nothing, and what comes with the request is still passed on.
func (f *Fleet) startSpan(ctx context.Context, w *registry.Worker) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if f.deps.Tracer == nil || !parent.IsRecording() {
		return ctx, noSpan
	}
	//nolint:spancheck // the leg that asks for the span ends it
	return f.deps.Tracer.Start(ctx, "worker", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("muster.worker", string(w.ID)),
		attribute.String("muster.worker_name", clean(w.Name)),
		attribute.String("muster.transport", string(w.Transport)),
	))
}

// noSpan takes everything and keeps nothing.
var noSpan trace.Span = noop.Span{}
