package nats

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// begin begins a span for each command, as its sender's child: what a command makes, events and jobs, is of its own trace. They
// share one transaction, whose span is the child of the first that is recorded and is linked with the others (OpenTelemetry
// messaging conventions on batches). ctx is that span's; committed ends it.
func (c *Commands) begin(ctx context.Context, batch []*received) (transaction context.Context, committed func()) {
	tracer := c.bus.Tracer()
	if tracer == nil {
		if len(batch) == 1 { // the log is all that can name the trace
			ctx = batch[0].in(ctx)
		}
		return ctx, func() {}
	}
	var first context.Context
	var others []*received
	var links []trace.Link
	for _, r := range batch {
		own, span := c.bus.Received(ctx, r.Traceparent, r.msg.Subject())
		r.span, r.Traceparent = span, tracing.Traceparent(own)
		switch {
		case !span.IsRecording():
		case first == nil:
			first = own //nolint:fatcontext // one of them, not one in another
		default:
			others, links = append(others, r), append(links, trace.Link{SpanContext: span.SpanContext()})
		}
	}
	if first == nil {
		return ctx, func() {}
	}
	transaction, span := tracer.Start(first, "commit", trace.WithLinks(links...), trace.WithAttributes(semconv.MessagingBatchMessageCount(len(batch))))
	for _, r := range others {
		r.span.AddLink(trace.Link{SpanContext: span.SpanContext()})
	}
	return transaction, func() { span.End() }
}

// in makes ctx that of the command, for what the log says of it.
func (r *received) in(ctx context.Context) context.Context {
	if r.span != nil {
		return trace.ContextWithSpan(ctx, r.span)
	}
	ctx, _ = tracing.Parent(ctx, r.Traceparent)
	return ctx
}

// end ends the command's span. A refusal is what a rule answers and no error.
func (r *received) end() {
	switch {
	case r.span == nil:
	case r.Err == nil:
		r.span.End()
	default:
		kind := fault.KindOf(r.Err).String()
		if errors.Is(r.Err, app.ErrUnreachable) {
			kind = fault.Unavailable.String()
		}
		tracing.End(r.span, kind)
	}
}

// sendJob renders a job's message, and begins the span of sending it where a trace wanted it.
func sendJob(b sender, msg *nats.Msg, traceparent string) (*nats.Msg, trace.Span) {
	if traceparent == "" {
		return msg, tracing.None
	}
	travels, span := b.Sending(traceparent, msg.Subject)
	msg.Header[tracing.Header] = []string{travels}
	return msg, span
}

// sendEvent renders an event's message, and begins the span of sending it. The message names the span that the event is from, the
// same however often it is sent.
func sendEvent(b sender, e *app.LoggedEvent) (*nats.Msg, trace.Span) {
	span := tracing.None
	if e.Traceparent != "" {
		_, span = b.Sending(e.Traceparent, subject.OfEvent(e.Type))
	}
	return eventMessage(e), span
}

// sender begins spans of sending.
type sender interface {
	Sending(traceparent, destination string) (travels string, span trace.Span)
}
