package bus

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// scope is the instrumentation scope of the spans of messages.
const scope = "github.com/meet-middleware/meet-middleware/pkg/bus"

// Trace sets where the spans of messages go; before Start. Else there are none.
func (b *Bus) Trace(provider trace.TracerProvider) *Bus {
	if !tracing.Off(provider) {
		b.tracer = provider.Tracer(scope)
	}
	return b
}

// Tracer makes spans of what is done with messages; nil where nothing is traced.
func (b *Bus) Tracer() trace.Tracer { return b.tracer }

// Sending begins the span of publishing a message, as a child of the one that traceparent names, or of nothing. travels is the
// trace context to send along: traceparent itself where nothing is traced.
func (b *Bus) Sending(traceparent, destination string) (travels string, span trace.Span) {
	if b.tracer == nil {
		return traceparent, tracing.None
	}
	parent, _ := tracing.Parent(context.Background(), traceparent) // carries the parent and nothing else
	ctx, span := b.tracer.Start(parent, "send "+destination, trace.WithSpanKind(trace.SpanKindProducer), messaging(destination, semconv.MessagingOperationTypeSend))
	return tracing.Traceparent(ctx), span
}

// Received begins the span of what is done about a message, as a child of the one that traceparent names. Where nothing is
// traced, ctx is of that trace all the same, for the log.
func (b *Bus) Received(ctx context.Context, traceparent, destination string) (context.Context, trace.Span) {
	ctx, _ = tracing.Parent(ctx, traceparent)
	if b.tracer == nil {
		return ctx, tracing.None
	}
	return b.tracer.Start(ctx, "process "+destination, trace.WithSpanKind(trace.SpanKindConsumer), messaging(destination, semconv.MessagingOperationTypeProcess))
}

func messaging(destination string, operation attribute.KeyValue) trace.SpanStartEventOption {
	return trace.WithAttributes(semconv.MessagingSystemKey.String("nats"), semconv.MessagingDestinationName(destination),
		operation, semconv.MessagingOperationName(operation.Value.AsString()))
}

// kindOf is the word that a span says of an error; empty for none.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.KindOf(err).String()
}
