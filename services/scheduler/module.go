// Package scheduler is the doing: it takes due jobs, asks Google for what they wish, and reports what came of it. It keeps no
// state and knows no rule about what is allowed; any number of instances share the work.
package scheduler

import (
	"errors"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/doctor"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/export"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// Config of the service.
type Config struct {
	Google google.Config
	Quotas quota.Config
	Jobs   nats.Config
	Export export.Config

	// Development decides what missing Google credentials mean: the emulator, or a refusal to start. Set by the program.
	Development bool `env:"-"`
}

// Emulated tells whether the service will call the emulator and not Google.
func (c Config) Emulated() bool { return c.Google.Emulated(c.Development) }

// CheckTarget names the settings that are missing to reach Google or an emulator. A program that starts an emulator of its own
// says so, and sets Google.EmulatorURL before the service starts.
func (c Config) CheckTarget(ownEmulator bool) error {
	return c.Google.CheckTarget(c.Development, ownEmulator)
}

// Module is the service. Needs Config, *bus.Bus, clock.Clock, clock.Alarm, prometheus.Registerer, *slog.Logger.
var Module = fx.Module("scheduler",
	fx.Provide(
		func(c Config) (google.Config, google.Development, nats.Config, quota.Config, quota.Emulated) {
			return c.Google.Completed(c.Development), google.Development(c.Development), c.Jobs, c.Quotas, quota.Emulated(c.Emulated())
		},
		func(c Config) export.Config { return c.Export },
		job.DefaultTiming,
		job.DefaultExportTiming,
		job.NewSyncMeeting,
		job.NewFollowCalendar,
		job.NewExports,
		job.NewReadConferences,
		fx.Private,
	),
	quota.Module,
	google.Module,
	export.Module,
	nats.Module,
	notice.Module,
	doctor.Module,
	httpserver.ProvideCheck(func(l *quota.Limiter) httpserver.Check { return httpserver.Check{Name: "google", Probe: l.Check} }),
	httpserver.ProvideCheck(func(s *export.Storage) httpserver.Check { return httpserver.Check{Name: "export", Probe: s.Check} }),
)

// Settings are those of the scheduler as a program of its own.
type Settings struct {
	Log     logging.Config
	Bus     bus.Config
	Clock   clock.Config
	Tracing tracing.Config
	Service Config
	OpsAddr string `env:"MEET_OPS_ADDR" envDefault:"127.0.0.1:9102" help:"host:port of /healthz, /readyz and /metrics; port 0 picks a free one"`
	Addr    string `env:"MEET_ADDR" help:"the gateway's address, read only to tell development from production where Google credentials are absent: loopback or absent is development, as DEBUG=True is"`
}

// Check completes the settings and names those that are missing together.
func (s *Settings) Check() error {
	s.Tracing.Name = "scheduler"
	s.Bus.Name, s.Bus.Guest = "scheduler", true
	s.Service.Development = s.Log.Debug || s.Addr == "" || httpserver.Loopback(s.Addr)
	return errors.Join(s.Service.CheckTarget(false), s.Clock.CheckAgainst(s.Service.Emulated()))
}

// Program is the whole graph of the scheduler as a program of its own.
func Program(s Settings) fx.Option {
	return fx.Options(
		fx.Supply(s.Log, s.Bus, s.Tracing, s.Service, httpserver.OpsConfig{Addr: s.OpsAddr}),
		fx.Supply(clock.EmulatorURL(func() string { return s.Service.Google.EmulatorURL })),
		logging.Module, clock.ModuleFor(s.Clock), httpserver.Module, tracing.Module, bus.Module,
		httpserver.ProvideCheck(func(b *bus.Bus) httpserver.Check { return httpserver.Check{Name: "nats", Probe: b.Check} }),
		Module,
		httpserver.Ready,
	)
}
