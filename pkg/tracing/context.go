package tracing

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Header is the name of the header of a request or a message that carries a traceparent (Trace Context §3.2).
const Header = "traceparent"

// maxParent bounds a traceparent: longer ones are of no version that there is (Trace Context §3.2).
const maxParent = 256

// header is a carrier of one traceparent. What vendors add in tracestate is not passed on.
type header string

func (h *header) Get(key string) string {
	if key == Header {
		return string(*h)
	}
	return ""
}

func (h *header) Set(key, value string) {
	if key == Header {
		*h = header(value)
	}
}

func (h *header) Keys() []string { return []string{Header} }

// Traceparent is the W3C trace context of ctx's span, as a header or a row carries it; empty where there is none.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	var h header
	propagation.TraceContext{}.Inject(ctx, &h)
	return string(h)
}

// Parent makes the span that a traceparent names the one of ctx. ok is false, and ctx as it was, where it names none.
func Parent(ctx context.Context, traceparent string) (joined context.Context, ok bool) {
	if traceparent == "" || len(traceparent) > maxParent {
		return ctx, false
	}
	h := header(traceparent)
	joined = propagation.TraceContext{}.Extract(ctx, &h)
	return joined, joined != ctx
}

// scope is the instrumentation scope of spans that are made here.
const scope = "github.com/meet-middleware/meet-middleware/pkg/tracing"

// None is a span of nothing.
var None trace.Span = noop.Span{} //nolint:gochecknoglobals // made anew it would cost an allocation each time

// Start begins a child of ctx's span, by the same provider. Where that one is not recorded, neither is a child: ctx stays as it is.
func Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, None
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name, options...)
}

// End ends a span; kind says what went wrong, in a word from a closed set: never an error's text, which may quote what was asked.
// Empty: nothing did.
func End(span trace.Span, kind string) {
	if kind != "" && span.IsRecording() {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	}
	span.End()
}
