package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/muster-fleet/muster/gateway/config"
)

// newLogger returns the process's logger on standard error.
func newLogger(cfg config.Log, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == config.FormatText {
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return slog.New(slog.NewJSONHandler(w, opts)), nil
}

// The OpenTelemetry variables that switch tracing on. Without any of them no
// span is ever recorded, so that a gateway without a collector does not try to
// reach one on its default address.
var tracingVariables = []string{
	"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
}

// traceFlush bounds the last export at the end of the process.
const traceFlush = 5 * time.Second

// newTracer returns the tracer, configured by the standard OTEL_* variables, and
// what ends it.
func newTracer(ctx context.Context, version string, log *slog.Logger) (trace.Tracer, func(context.Context), error) {
	const name = "github.com/muster-fleet/muster/gateway"
	wanted := false
	for _, v := range tracingVariables {
		wanted = wanted || os.Getenv(v) != ""
	}
	if !wanted {
		return noop.NewTracerProvider().Tracer(name), func(context.Context) {}, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("tracing (OTEL_* variables): %w", err)
	}
	res, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "muster"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("tracing (OTEL_RESOURCE_ATTRIBUTES): %w", err)
	}
	tp := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))
	return tp.Tracer(name), func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, traceFlush)
		defer cancel()
		if err := tp.Shutdown(ctx); err != nil {
			log.Warn("the last traces could not be exported", "error", err)
		}
	}, nil
}
