// Package meetings is the truth: it owns Postgres, the rules about meetings, what is due when, and the relay that publishes
// events and jobs. It calls nobody outside.
package meetings

import (
	"context"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// Config of the service.
type Config struct {
	Postgres postgres.Config
	Admin    app.AdminConfig
	Drift    app.DriftConfig
	Held     app.ConferencesConfig
	Keeping  app.KeepingConfig
}

// Module is the service. Needs Config, *bus.Bus, clock.Clock, clock.Alarm, prometheus.Registerer and *slog.Logger.
var Module = fx.Module("meetings",
	fx.Provide(func(c Config) (postgres.Config, app.AdminConfig, app.DriftConfig, app.ConferencesConfig, app.KeepingConfig) {
		return c.Postgres, c.Admin, c.Drift, c.Held, c.Keeping
	}, fx.Private),
	fx.Provide(func(c Config) (app.Counting, error) {
		keep, err := c.Keeping.Keeping()
		return app.Counting{Zone: keep.Zone, Exporting: keep.Export.On}, err
	}, fx.Private),
	postgres.Module,
	app.Module,
	httpserver.ProvideCheck(func(r app.Reads) httpserver.Check { return httpserver.Check{Name: "postgres", Probe: r.Ping} }),
	// A module of its own, because inner modules are invoked first: nothing is written to a database that gives numbers again, and
	// no command is taken before the settings' admin is there.
	fx.Module("meetings/first", fx.Invoke(func(lc fx.Lifecycle, b *bus.Bus, o app.Outbox, p *app.Processor, r app.Reads, c app.AdminConfig) {
		lc.Append(fx.StartHook(app.AtStart(func(ctx context.Context) error { return nats.NotOlder(ctx, b, o) })))
		lc.Append(fx.StartHook(app.AtStart(func(ctx context.Context) error { return p.MakeFirstAdmin(ctx, r, c) })))
		lc.Append(fx.StartHook(app.AtStart(p.PlanPeriodic)))
	})),
	nats.Module,
)

// Settings are those of the meetings service as a program of its own.
type Settings struct {
	Log         logging.Config
	Bus         bus.Config
	Clock       clock.Config
	Tracing     tracing.Config
	Service     Config
	OpsAddr     string `env:"MEET_OPS_ADDR" envDefault:"127.0.0.1:9101" help:"host:port of /healthz, /readyz and /metrics; port 0 picks a free one"`
	EmulatorURL string `env:"MEET_EMULATOR_URL" help:"where the Google emulator is, such as http://127.0.0.1:8090; read for MEET_CLOCK=emulator alone"`
}

// Check completes the settings.
func (s *Settings) Check() error {
	s.Tracing.Name = "meetings"
	s.Bus.Name = "meetings"
	if s.Clock.Mode == clock.ModeEmulator && s.EmulatorURL == "" {
		return config.Bad("MEET_EMULATOR_URL", "is not set while MEET_CLOCK is emulator", "write where the Google emulator is, such as http://127.0.0.1:8090")
	}
	return nil
}

// Program is the whole graph of the meetings service as a program of its own.
func Program(s Settings) fx.Option {
	return fx.Options(
		fx.Supply(s.Log, s.Bus, s.Tracing, s.Service, httpserver.OpsConfig{Addr: s.OpsAddr}),
		fx.Supply(clock.EmulatorURL(func() string { return s.EmulatorURL })),
		logging.Module, clock.ModuleFor(s.Clock), httpserver.Module, tracing.Module, bus.Module,
		httpserver.ProvideCheck(func(b *bus.Bus) httpserver.Check { return httpserver.Check{Name: "nats", Probe: b.Check} }),
		Module,
		httpserver.Ready,
	)
}
