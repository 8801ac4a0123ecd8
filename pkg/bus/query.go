package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// ReasonUnreachable is the reason when nobody answers a command, or a query to meetings, in time;
// ReasonSchedulerUnreachable when it is a query to the scheduler.
const (
	ReasonUnreachable          = "MEETINGS_UNREACHABLE"
	ReasonSchedulerUnreachable = "SCHEDULER_UNREACHABLE"
)

// Ask sends a query, and with it who asks and where from by ctx, and waits for its answer until ctx ends. Nobody there, NATS away or no answer in time is
// [fault.Unavailable]; other faults are the answerer's.
func Ask[Req, Resp proto.Message](ctx context.Context, b *Bus, q subject.Query[Req, Resp], req Req) (Resp, error) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ask(ctx, b, q, req)
	}
	ctx, span := tracing.Start(ctx, string(q), trace.WithSpanKind(trace.SpanKindClient), call(q.Service(), q.Method()))
	resp, err := ask(ctx, b, q, req)
	tracing.End(span, kindOf(err))
	return resp, err
}

func ask[Req, Resp proto.Message](ctx context.Context, b *Bus, q subject.Query[Req, Resp], req Req) (Resp, error) {
	var none Resp
	body, err := proto.Marshal(req)
	if err != nil {
		return none, fmt.Errorf("encode query %s: %w", q.Method(), err)
	}
	if !b.conn.IsConnected() { // a request would wait in the reconnect buffer for the whole of ctx
		return none, unanswered(q.Service(), nats.ErrDisconnected)
	}
	header := make(nats.Header, 8)
	PrincipalOf(ctx).header(header)
	origin := OriginOf(ctx)
	set(header, headerRequestID, origin.RequestID)
	set(header, headerRemote, origin.RemoteAddr)
	set(header, tracing.Header, tracing.Traceparent(ctx))
	msg, err := b.conn.RequestMsgWithContext(ctx, &nats.Msg{Subject: string(q), Data: body, Header: header})
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return none, ctx.Err()
		}
		return none, unanswered(q.Service(), err)
	}
	if msg.Header.Get(micro.ErrorCodeHeader) != "" {
		var f meetv1.Fault
		if err := proto.Unmarshal(msg.Data, &f); err != nil {
			return none, fmt.Errorf("decode the fault of query %s: %w", q.Method(), err)
		}
		return none, DecodeFault(&f)
	}
	resp := none.ProtoReflect().New().Interface().(Resp)
	if err := proto.Unmarshal(msg.Data, resp); err != nil {
		return none, fmt.Errorf("decode the answer of query %s: %w", q.Method(), err)
	}
	return resp, nil
}

// unanswered is that of the service which a query is for.
func unanswered(service string, cause error) *fault.Fault {
	if service == subject.ServiceScheduler {
		return fault.New(fault.Unavailable, ReasonSchedulerUnreachable, "the scheduler cannot be reached; try again").WithCause(cause)
	}
	return unreachable(cause)
}

func unreachable(cause error) *fault.Fault {
	return fault.New(fault.Unavailable, ReasonUnreachable, "the meetings service cannot be reached; try again").WithCause(cause)
}

// Queries answers queries as one NATS micro service. Handlers run side by side, at most limit at once.
type Queries struct {
	bus     *Bus
	log     *slog.Logger
	service micro.Service
	slots   chan struct{}
	running sync.WaitGroup
	ctx     context.Context //nolint:containedctx // micro hands its callbacks no ctx; this one ends with Stop
	cancel  context.CancelFunc
}

// ServeQueries registers the service, one of subject.Service…; version is the build's, as NATS shows it. Queries waiting beyond
// limit wait in NATS.
func ServeQueries(b *Bus, name, version string, limit int, log *slog.Logger) (*Queries, error) {
	service, err := micro.AddService(b.conn, micro.Config{
		Name: name, Version: version, Description: "queries to " + name,
	})
	if err != nil {
		return nil, fmt.Errorf("register the query service: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // ends with Stop
	return &Queries{bus: b, log: log, service: service, slots: make(chan struct{}, limit), ctx: ctx, cancel: cancel}, nil
}

// Stop takes no more queries and waits until those that the server has sent are answered, or ctx ends.
func (s *Queries) Stop(ctx context.Context) error {
	defer s.cancel()
	err := s.service.Stop() // what is in hand is answered all the same
	// The service's subscriptions drain without telling when they have. Behind a round trip the server sends them nothing more, and
	// behind a barrier all that it sent has been handed to a goroutine. A server that can't be reached sends nothing either.
	flushing, done := context.WithTimeout(ctx, flushWait)
	defer done()
	_ = s.bus.conn.FlushWithContext(flushing)
	answered := make(chan struct{})
	if s.bus.conn.Barrier(func() {
		go func() { s.running.Wait(); close(answered) }()
	}) != nil {
		return err // the connection is closed: nobody can be answered
	}
	select {
	case <-answered:
	case <-ctx.Done():
	}
	return err
}

// asked is the ctx of one query: who sent it, and where that came from.
func (s *Queries) asked(h micro.Headers) (context.Context, error) {
	get := func(key string) string { return nats.Header(h).Get(key) }
	p, err := parsePrincipal(get)
	if err != nil {
		return nil, err
	}
	origin := Origin{RequestID: get(headerRequestID), RemoteAddr: get(headerRemote)}
	if !sound(origin.RequestID, origin.RemoteAddr) {
		return nil, errUnsound
	}
	ctx, _ := tracing.Parent(s.ctx, get(tracing.Header))
	return WithOrigin(WithPrincipal(ctx, p), origin), nil
}

// answering begins the span of a query's answer. One that is of no trace begins none: those are probes and clocks, too often to
// be looked at.
func (s *Queries) answering(ctx context.Context, q string, about trace.SpanStartEventOption) (context.Context, trace.Span) {
	if s.bus.tracer == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, tracing.None
	}
	return s.bus.tracer.Start(ctx, q, trace.WithSpanKind(trace.SpanKindServer), about)
}

// call says in a span which query it is.
func call(service, method string) trace.SpanStartEventOption {
	return trace.WithAttributes(semconv.RPCSystemNameKey.String("nats"), semconv.RPCMethod(service+"/"+method))
}

// Answer registers the handler of one query; its ctx has [PrincipalOf] and [OriginOf] of who sent it.
func Answer[Req, Resp proto.Message](s *Queries, q subject.Query[Req, Resp], handle func(ctx context.Context, req Req) (Resp, error)) error {
	var zero Req
	kind, about := zero.ProtoReflect(), call(q.Service(), q.Method())
	err := s.service.AddEndpoint(q.Method(), micro.HandlerFunc(func(r micro.Request) {
		s.slots <- struct{}{} // micro calls one at a time: waiting here leaves the rest in NATS's buffer
		s.running.Go(func() {
			defer func() { <-s.slots }()
			ctx := s.ctx
			defer func() {
				if p := recover(); p != nil {
					s.log.ErrorContext(ctx, "query handler panicked", "method", q.Method(), "panic", p, "stack", string(debug.Stack()))
					s.refuse(r, fault.Of(fmt.Errorf("panic: %v", p)))
				}
			}()
			req := kind.New().Interface().(Req)
			if err := proto.Unmarshal(r.Data(), req); err != nil {
				s.refuse(r, fault.New(fault.Invalid, fault.ReasonInvalid, "the query's body is not a %s", kind.Descriptor().FullName()))
				return
			}
			asked, err := s.asked(r.Headers())
			if err != nil {
				s.refuse(r, fault.New(fault.Invalid, fault.ReasonInvalid, "the query's headers can't be read"))
				return
			}
			ctx, span := s.answering(asked, string(q), about)
			defer span.End() // after a panic
			resp, err := handle(ctx, req)
			tracing.End(span, kindOf(err))
			if err != nil {
				f := fault.Of(err)
				if f.Kind == fault.Internal {
					s.log.ErrorContext(ctx, "query failed", "method", q.Method(), "error", err)
				}
				s.refuse(r, f)
				return
			}
			body, err := proto.Marshal(resp)
			if err != nil {
				s.log.ErrorContext(ctx, "query answer does not encode", "method", q.Method(), "error", err)
				s.refuse(r, fault.Of(err))
				return
			}
			if err := r.Respond(body); err != nil {
				s.log.WarnContext(ctx, "query answer was not sent", "method", q.Method(), "error", err)
			}
		})
	}), micro.WithEndpointSubject(string(q)))
	if err != nil {
		return fmt.Errorf("answer %s: %w", q.Method(), err)
	}
	return nil
}

func (s *Queries) refuse(r micro.Request, f *fault.Fault) {
	body, err := proto.Marshal(EncodeFault(f))
	if err == nil {
		// Not r.Error: it writes to the request what micro reads as soon as the callback has returned, and this runs beside it.
		err = r.Respond(body, micro.WithHeaders(micro.Headers{
			micro.ErrorCodeHeader: {Code(f.Kind).String()}, micro.ErrorHeader: {f.Reason},
		}))
	}
	if err != nil {
		s.log.Warn("query refusal was not sent", "error", err)
	}
}
