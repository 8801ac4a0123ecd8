// Package logging writes what happened, one line each, as JSON for machines or as text for a person
// at a terminal. Ids of the request, command and trace come from the context, so that no call site
// passes them, and e-mail addresses are masked in every line, whoever logged them. There is no global logger: one is made at
// start and injected.
package logging

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"
	"go.uber.org/fx/fxevent"
)

// Config of the log.
type Config struct {
	Level slog.Level `env:"LOG_LEVEL" envDefault:"info" help:"least severe line that is logged: debug, info, warn or error"`
	Debug bool       `env:"DEBUG" envDefault:"False" help:"development: readable text in the log instead of JSON, and settings that are safe on a developer's machine only"`
}

// Keys of the ids that travel in a context.
const (
	RequestID = "request_id"
	CommandID = "command_id"
	TraceID   = "trace_id"
	SpanID    = "span_id"
)

// New makes a logger that writes to w: text when Debug is set or w is a terminal, else JSON.
func New(w io.Writer, c Config) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: readable}
	if c.Debug || terminal(w) {
		return slog.New(handler{slog.NewTextHandler(w, opts)})
	}
	return slog.New(handler{slog.NewJSONHandler(w, opts)})
}

// readable writes durations as 1.5s, where JSON would show nanoseconds, and nobody's address.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	} else {
		a.Value = masked(a.Value)
	}
	return a
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

type attrsKey struct{}

// With returns a context whose lines carry these attributes too; one of the same key takes the
// place of an earlier one.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	old := attrsOf(ctx)
	all := make([]slog.Attr, 0, len(old)+len(attrs))
	for _, a := range old {
		if !slices.ContainsFunc(attrs, func(b slog.Attr) bool { return b.Key == a.Key }) {
			all = append(all, a)
		}
	}
	return context.WithValue(ctx, attrsKey{}, append(all, attrs...))
}

// ID is the id that ctx carries under key ([RequestID], [CommandID] or [TraceID]); empty when none.
func ID(ctx context.Context, key string) string {
	if key == TraceID {
		if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
			return span.TraceID().String()
		}
		return ""
	}
	for _, a := range attrsOf(ctx) {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

func attrsOf(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	return attrs
}

// handler adds the context's attributes, and the trace that the context is of: a caller's, too, where nothing is traced here.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(attrsOf(ctx)...)
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String(TraceID, span.TraceID().String()))
		if !span.IsRemote() {
			r.AddAttrs(slog.String(SpanID, span.SpanID().String()))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// fxLog passes what fx does into the log: errors while stopping, which nobody else sees, as errors;
// all else, the order of start included, for debugging. A failed start is reported by whoever runs
// the program.
type fxLog struct{ log *slog.Logger }

func (l fxLog) LogEvent(event fxevent.Event) {
	switch e := event.(type) {
	case *fxevent.OnStopExecuted:
		if e.Err != nil {
			l.log.Error("stop hook failed", "hook", e.FunctionName, "caller", e.CallerName, "error", e.Err)
		}
	case *fxevent.RolledBack:
		if e.Err != nil {
			l.log.Error("rollback failed", "error", e.Err)
		}
	case *fxevent.OnStartExecuting:
		l.log.Debug("starting", "hook", e.FunctionName, "caller", e.CallerName)
	case *fxevent.OnStartExecuted:
		l.log.Debug("start hook ran", "hook", e.FunctionName, "caller", e.CallerName, "took", e.Runtime, "error", e.Err)
	case *fxevent.Provided:
		l.log.Debug("provided", "constructor", e.ConstructorName, "module", e.ModuleName, "types", e.OutputTypeNames)
	case *fxevent.Invoked:
		l.log.Debug("invoked", "function", e.FunctionName, "module", e.ModuleName)
	}
}

// Module is the program's log, on standard error. Needs [Config]; provides *slog.Logger, and gives
// it to fx itself: it must stand among the program's own options, not inside another module.
var Module = fx.Options(
	fx.Provide(func(c Config) *slog.Logger { return New(os.Stderr, c) }),
	fx.WithLogger(func(log *slog.Logger) fxevent.Logger { return fxLog{log} }),
)
