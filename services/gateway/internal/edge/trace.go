package edge

import (
	"context"
	"net/http"
	"strconv"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// scope is the instrumentation scope of the spans of requests.
const scope = "github.com/meet-middleware/meet-middleware/services/gateway/internal/edge"

// trace makes ctx part of the trace that the caller names, and begins the request's span where something is traced. The header of
// r then names that span: whoever asks others on behalf of the request passes it on. A header that names no trace is removed.
func (o *observer) trace(ctx context.Context, r *http.Request, path string) context.Context {
	if parent := r.Header.Get(tracing.Header); parent != "" {
		var ok bool
		if ctx, ok = tracing.Parent(ctx, parent); !ok {
			r.Header.Del(tracing.Header)
		}
	}
	if o.tracer == nil {
		return ctx
	}
	method, route := r.Method, o.metrics.route(path)
	name := method + " " + route
	if !known[method] { // a caller can write what he likes there
		method, name = "_OTHER", "HTTP "+route
	}
	ctx, _ = o.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.HTTPRoute(route)))
	r.Header.Set(tracing.Header, tracing.Traceparent(ctx))
	return ctx
}

// traced ends the span that trace began. A refusal is the caller's mistake and no error of ours (HTTP semantic conventions).
func (o *observer) traced(r *http.Request, status int) {
	if o.tracer == nil {
		return
	}
	span, kind := trace.SpanFromContext(r.Context()), ""
	if status >= http.StatusInternalServerError || status == statusAborted {
		kind = strconv.Itoa(status)
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	tracing.End(span, kind)
}

// known methods (RFC 9110 §9, RFC 5789).
var known = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true,
	http.MethodDelete: true, http.MethodConnect: true, http.MethodOptions: true, http.MethodTrace: true,
}
