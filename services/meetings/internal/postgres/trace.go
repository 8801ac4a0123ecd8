package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// tracer makes a span of each round trip to the database that is part of a trace, and of each wait for a connection. A statement is
// named as its query is; what it is called with, and what the server says of it beside the code, no span holds.
type tracer struct{}

var (
	_ pgx.QueryTracer       = tracer{}
	_ pgx.BatchTracer       = tracer{}
	_ pgxpool.AcquireTracer = tracer{}
)

func begin(ctx context.Context, name string, attributes ...attribute.KeyValue) context.Context {
	ctx, _ = tracing.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...),
		trace.WithAttributes(semconv.DBSystemNamePostgreSQL))
	return ctx
}

// end ends the span that ctx is of, if one was begun: by is the ctx that begin returned.
func end(ctx context.Context, err error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	kind := ""
	var refused *pgconn.PgError
	switch {
	case err == nil, errors.Is(err, pgx.ErrNoRows):
	case errors.As(err, &refused):
		kind = refused.Code
	case errors.Is(err, context.Canceled):
		kind = "canceled"
	default:
		kind = "unreachable"
	}
	tracing.End(span, kind)
}

func traced(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// TraceQueryStart is [pgx.QueryTracer].
func (tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !traced(ctx) {
		return ctx
	}
	name := statement(data.SQL)
	return begin(ctx, name, semconv.DBOperationName(name))
}

// TraceQueryEnd is [pgx.QueryTracer].
func (tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	end(ctx, data.Err)
}

// TraceBatchStart is [pgx.BatchTracer]: a pipeline is one round trip.
func (tracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if !traced(ctx) {
		return ctx
	}
	names := make([]string, 0, data.Batch.Len())
	for _, q := range data.Batch.QueuedQueries {
		names = append(names, statement(q.SQL))
	}
	return begin(ctx, "pipeline", semconv.DBOperationBatchSize(len(names)), attribute.StringSlice("meet.postgres.statements", names))
}

// TraceBatchQuery is [pgx.BatchTracer]. The statements of a pipeline are not told apart in time.
func (tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is [pgx.BatchTracer].
func (tracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	end(ctx, data.Err)
}

// TraceAcquireStart is [pgxpool.AcquireTracer].
func (tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	if !traced(ctx) {
		return ctx
	}
	return begin(ctx, "acquire")
}

// TraceAcquireEnd is [pgxpool.AcquireTracer].
func (tracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, data pgxpool.TraceAcquireEndData) {
	end(ctx, data.Err)
}

// statement is the name that sqlc writes into a query, or the first word.
func statement(sql string) string {
	sql = strings.TrimPrefix(sql, "-- name: ")
	if at := strings.IndexAny(sql, " \n"); at >= 0 {
		return sql[:at]
	}
	return sql
}
