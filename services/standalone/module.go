// Package standalone runs the whole product in one process: the three services over an embedded nats-server, a private Postgres
// and the Google emulator. It is what `make run` and the all-in-one image start, and what most tests run against. It has no
// code of its own beyond the wiring.
package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/embeddedpg"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/meetings"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

// Settings of the program.
type Settings struct {
	Log       logging.Config
	Tracing   tracing.Config
	Clock     clock.Config
	Gateway   gateway.Config
	Meetings  meetings.Config
	Scheduler scheduler.Config

	OpsAddr         string `env:"MEET_OPS_ADDR" envDefault:"127.0.0.1:9100" help:"host:port of /healthz, /readyz and /metrics; port 0 picks a free one"`
	NATSAddr        string `env:"MEET_NATS_ADDR" envDefault:"127.0.0.1:4222" help:"host:port where the embedded NATS lets the nats command in; port 0 picks a free one"`
	EmulatorAddr    string `env:"MEET_EMULATOR_ADDR" envDefault:"127.0.0.1:8090" help:"host:port of the Google emulator in this process; port 0 picks a free one"`
	EmulatorControl bool   `env:"MEET_EMULATOR_CONTROL" envDefault:"False" help:"let other machines use the emulator's control routes"`
	DataDir         string `env:"MEET_DATA_DIR" envDefault:".data" help:"folder of Postgres, JetStream and the emulator's state"`
	PostgresBin     string `env:"MEET_POSTGRES_BIN" help:"folder with postgres and initdb; absent: the machine's own, else a download"`

	// Stdout gets the first call to paste; the program's own unless a test sets it.
	Stdout io.Writer `env:"-"`
}

// Check completes the settings and names those that are missing together.
func (s *Settings) Check() error {
	s.Tracing.Name = "meet-middleware"
	addr := s.Gateway.Edge.ListenAddr()
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return config.Bad("MEET_ADDR", "is no host:port", "write as 127.0.0.1:8000")
	}
	if !httpserver.Loopback(s.NATSAddr) && !s.Log.Debug {
		return config.Bad("MEET_NATS_ADDR", "is reached from elsewhere, and the NATS in this program lets in whoever comes", "use 127.0.0.1:4222; or run the three services and a nats-server with users")
	}
	s.Scheduler.Development = s.Log.Debug || httpserver.Loopback(addr)
	return errors.Join(s.Scheduler.CheckTarget(true), s.Clock.CheckAgainst(s.Scheduler.Emulated()))
}

// ownsDatabase, ownsEmulator: this program starts them.
func (s *Settings) ownsDatabase() bool { return !s.Meetings.Postgres.Named() }

func (s *Settings) ownsEmulator() bool {
	return s.Scheduler.Emulated() && s.Scheduler.Google.EmulatorURL == ""
}

// gateway is the gateway's settings; it prints where this program does.
func (s *Settings) gateway() gateway.Config {
	c := s.Gateway
	c.Stdout = s.Stdout
	return c
}

// Program is the whole graph.
func Program(s Settings) fx.Option {
	if s.Stdout == nil {
		s.Stdout = os.Stdout
	}
	options := []fx.Option{
		fx.Supply(s, s.Log, s.Tracing, s.gateway(), httpserver.OpsConfig{Addr: s.OpsAddr}),
		logging.Module, clock.ModuleFor(s.Clock),
		fx.Provide(func(url emulatorURL) clock.EmulatorURL { return clock.EmulatorURL(url) }),
		folderModule, // first of all: nothing may touch the data of a program that runs
		httpserver.Module,
		servers(s),
	}
	if s.ownsEmulator() {
		options = append(options,
			fx.Provide(newEmulator),
			fx.Provide(func(e *emulator) scheduler.Config {
				c := s.Scheduler
				c.Google.EmulatorFrom = e.URL
				return c
			}),
			fx.Provide(func(e *emulator) emulatorURL { return e.URL }),
		)
	} else {
		options = append(options, fx.Supply(s.Scheduler), fx.Supply(emulatorURL(func() string { return s.Scheduler.Google.EmulatorURL })))
	}
	return fx.Options(append(options,
		tracing.Module, bus.Module,
		httpserver.ProvideCheck(func(b *bus.Bus) httpserver.Check { return httpserver.Check{Name: "nats", Probe: b.Check} }),
		meetings.Module, scheduler.Module, gateway.Module,
		fx.Invoke(announce),
		httpserver.Ready,
	)...)
}

// servers are the nats-server and the Postgres of this program, with the settings that lead to them. They need the data folder,
// Settings and *slog.Logger.
func servers(s Settings) fx.Option {
	broker := fx.Options(
		fx.Provide(func(*folder) embeddednats.Config {
			return embeddednats.Config{Addr: s.NATSAddr, StoreDir: filepath.Join(s.DataDir, "nats"), ServerName: "meet-middleware"}
		}),
		embeddednats.Module,
		fx.Provide(func(n *embeddednats.Server) bus.Config {
			return bus.Config{Name: "standalone", Replicas: 1, Wait: busWait, InProcess: n}
		}),
	)
	if !s.ownsDatabase() {
		return fx.Options(broker, fx.Supply(s.Meetings), fx.Supply(databaseURL(s.Meetings.Postgres.URL)))
	}
	return fx.Options(broker,
		fx.Provide(func(*folder) embeddedpg.Config {
			return embeddedpg.Config{Dir: filepath.Join(s.DataDir, "postgres"), BinDir: s.PostgresBin}
		}),
		embeddedpg.Module,
		fx.Provide(func(pg *embeddedpg.Server) meetings.Config {
			c := s.Meetings
			c.Postgres.URLFrom = pg.URL
			return c
		}),
		fx.Provide(func(pg *embeddedpg.Server) databaseURL { return pg.URL }),
	)
}

// busWait is far above what a server in the same process takes.
const busWait = 15 * time.Second

// Where the parts answer, known once they have started.
type (
	databaseURL func() string
	emulatorURL func() string
)

// announce writes the addresses and tells the person at the terminal what to try.
func announce(lc fx.Lifecycle, s Settings, f *folder, port *gateway.Port, ops *httpserver.Ops, n *embeddednats.Server, db databaseURL, google emulatorURL, log *slog.Logger) {
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			a := Addresses{HTTP: port.URL(), Ops: ops.URL(), NATS: n.ClientURL(), Emulator: google(), Postgres: db()}
			if err := f.publish(a); err != nil {
				return err
			}
			log.InfoContext(ctx, "ready", "http", a.HTTP, "ops", a.Ops, "nats", a.NATS, "emulator", a.Emulator, "data", f.path)
			header := ""
			if s.Gateway.NeedsCredential() {
				header = ` -H "Authorization: Bearer $MEET_API_KEY"`
			}
			_, err := fmt.Fprintf(s.Stdout, firstCall, a.HTTP, header)
			return err
		},
		OnStop: func(context.Context) error { return f.forget() },
	})
}

const firstCall = `
Meet Middleware answers at %[1]s (documentation: %[1]s/api/v1/docs/). A first meeting:

  curl -s %[1]s/api/v1/meetings/%[2]s -H 'Content-Type: application/json' \
    -d '{"organizer_email":"doctor@clinic.example","invited_emails":["patient@mail.example"]}'

Stop with Ctrl-C.
`
