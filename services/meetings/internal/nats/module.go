package nats

import (
	"context"
	"log/slog"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// queryVersion is the version of the query surface, meet.v1, as NATS shows it.
const queryVersion = "1.0.0"

// Module answers commands and queries, and relays events and due jobs. Needs *bus.Bus, app's processor, authenticator, reads, credentials, audit log, outbox and
// app.Counts, app.Counting, clock.Clock, clock.Alarm, prometheus.Registerer and *slog.Logger; provides app.Codec, runs consumers.
var Module = fx.Module("meetings/nats",
	fx.Provide(func() Codec { return Codec{} }, func(c Codec) app.Codec { return c }),
	fx.Provide(NewMetrics, NewCommands, NewRelay, fx.Private),
	httpserver.ProvideCheck(func(r *Relay) httpserver.Check { return httpserver.Check{Name: "relay", Probe: r.Check} }),
	fx.Provide(
		func(auth *app.Authenticator, keys app.Credentials, log app.AuditLog, now clock.Clock) *AccessQueries {
			return NewAccessQueries(auth, keys, log, now)
		},
		func(log app.AuditLog, now clock.Clock, l *slog.Logger) *Refusals { return NewRefusals(log, now, l) },
		func(reads app.Reads, plans *app.Planner, counting app.Counting, now clock.Clock, metrics *Metrics, a *AccessQueries, r *Refusals) *Queries {
			return NewQueries(reads, plans, metrics).Count(counting, now).Access(a, r)
		},
		fx.Private),
	fx.Invoke(func(lc fx.Lifecycle, q *Queries, b *bus.Bus, log *slog.Logger) {
		var stop func(context.Context) error
		lc.Append(fx.Hook{
			OnStart: func(ctx context.Context) error {
				s, err := q.Serve(ctx, b, queryVersion, log)
				if s != nil {
					stop = s.Stop
				}
				return err
			},
			OnStop: func(ctx context.Context) error { return stop(ctx) },
		})
	}),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, r *Refusals) {
		lifecycle.Go(lc, sd, log, "refusals", r.Run)
	}),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, r *Relay) {
		lifecycle.Go(lc, sd, log, "relay", r.Run)
	}),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, c *Commands) {
		lifecycle.Go(lc, sd, log, "commands", c.Run)
	}),
)
