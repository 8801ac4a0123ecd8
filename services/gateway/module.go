// Package gateway is the only door: every way in from outside, HTTP, Connect and gRPC, on one port. It keeps no state and calls
// nobody outside; what is asked of it becomes a command or a query for meetings.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/buildinfo"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/compat"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/edge"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/limit"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/refusals"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/rpc"
)

// Config of the service.
type Config struct {
	Edge    edge.Config
	Auth    auth.Config
	Backend backend.Config
	Compat  compat.Config
	Limits  limit.Config

	// Stdout gets the link that makes the first admin; nil: the program's own.
	Stdout io.Writer `env:"-"`
}

// Check refuses to let everybody in on an address that others reach.
func (c Config) Check() error { return c.Auth.CheckAt(c.Edge.ListenAddr()) }

// NeedsCredential tells whether calls are answered only with a credential.
func (c Config) NeedsCredential() bool { return c.Auth.ModeAt(c.Edge.ListenAddr()) != auth.Open }

// Port is the public port; its address is known once it has started.
type Port struct {
	*httpserver.Server
	// Routes are all that it serves, and who may call them.
	Routes []Route
}

// Route is one method of one path, and who may call it.
type Route struct {
	Method, Path string
	// Actions of pkg/access that a caller must be allowed, all of them; Admin: he must be one, too.
	Actions []string
	Admin   bool
	// Anyone: nothing is asked. Page: it is for people. RPC: it is a method of meet.v1.
	Anyone, Page, RPC bool
}

func routesOf(calls *rpc.Handler, rest *compat.API) ([]Route, error) {
	table, err := rest.Table()
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	routes := make([]Route, 0, len(table)+len(calls.Procedures()))
	for _, r := range table {
		routes = append(routes, Route{Method: r.Method, Path: r.Path, Actions: r.Actions, Admin: r.Admin, Anyone: r.Anyone, Page: r.Page})
	}
	actions := calls.Actions()
	for _, procedure := range calls.Procedures() {
		routes = append(routes, Route{Method: http.MethodPost, Path: procedure, Actions: []string{actions[procedure]}, RPC: true})
	}
	return routes, nil
}

// Module is the service. Needs Config, *bus.Bus, clock.Clock, trace.TracerProvider, prometheus.Registerer, *slog.Logger; provides *Port, which runs.
var Module = fx.Module("gateway",
	fx.Provide(
		func(c Config) (edge.Config, backend.Config) {
			c.Backend.Stopping = httpserver.Stopping
			return c.Edge, c.Backend
		},
		newChecker,
		newAuth,
		newBackend,
		newLimits,
		newRecorder,
		newRPC,
		newBuild,
		newREST,
		fx.Private,
	),
	fx.Provide(newPort),
	httpserver.ProvideCheck(newMeetingsCheck),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, p *Port) {
		httpserver.Register(lc, sd, log, p.Server)
	}),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, c Config, who *auth.Auth, b *backend.Backend, p *Port) {
		if c.Stdout == nil {
			c.Stdout = os.Stdout
		}
		welcome(lc, sd, log, c, who, b, p)
	}),
)

func newChecker(lc fx.Lifecycle, c Config, b *bus.Bus) (*auth.Checker, error) {
	issuers, err := auth.NewIssuers(c.Auth.OIDC, b)
	if err != nil {
		return nil, err
	}
	checker := auth.NewChecker(b, issuers)
	lc.Append(fx.StartHook(checker.Start))
	return checker, nil
}

func newAuth(c Config, checker *auth.Checker, log *slog.Logger) *auth.Auth {
	return auth.New(c.Auth.ModeAt(c.Edge.ListenAddr()), log, checker.Header, checker.Cookie)
}

func newLimits(c Config, b *bus.Bus, log *slog.Logger) *limit.Limiter {
	return limit.New(c.Limits, b, log)
}

func newRecorder(lc fx.Lifecycle, sd fx.Shutdowner, b *backend.Backend, now clock.Clock, log *slog.Logger) *refusals.Recorder {
	recorder := refusals.New(b, now, log)
	lifecycle.Go(lc, sd, log, "refusals", recorder.Run)
	return recorder
}

func newREST(c Config, build compat.Build, b *backend.Backend, limits *limit.Limiter, now clock.Clock, log *slog.Logger) (*compat.API, error) {
	return compat.New(c.Compat, build, b, compat.SignIn{Throttle: limits, Now: now, Life: c.Auth.Session.Life, Idle: c.Auth.Session.Idle}, log)
}

func newBackend(lc fx.Lifecycle, c backend.Config, b *bus.Bus) *backend.Backend {
	made := backend.New(c, b)
	lc.Append(fx.StartHook(made.Start))
	return made
}

// newMeetingsCheck asks through NATS whether meetings answers. The gateway stays ready without it: its own 503, which says when to
// come again, serves callers better than a door that is gone.
func newMeetingsCheck(nats *bus.Bus, b *backend.Backend) httpserver.Check {
	return httpserver.Check{Name: "meetings", Probe: func(ctx context.Context) error {
		if nats.Check(ctx) != nil {
			return httpserver.Degraded(errors.New("can't be asked without NATS"))
		}
		if !b.CheckHealth(ctx).Database {
			return httpserver.Degraded(errors.New("no meetings service answers, or it does not reach its database"))
		}
		return nil
	}}
}

func newBuild(who *auth.Auth) compat.Build {
	return compat.Build{Version: buildinfo.Version(), Commit: buildinfo.Commit(), AuthMode: string(who.Mode())}
}

func newRPC(b *backend.Backend, nats *bus.Bus, log *slog.Logger) (*rpc.Handler, error) {
	return rpc.New(b, nats.Check, log)
}

func newPort(c edge.Config, who *auth.Auth, limits *limit.Limiter, recorder *refusals.Recorder, calls *rpc.Handler, rest *compat.API, traces trace.TracerProvider, metrics prometheus.Registerer, log *slog.Logger) (*Port, error) {
	server, err := edge.New(c, edge.Guards{Auth: who, Limits: limits, Recorder: recorder}, edge.Surfaces{
		RPC: calls, IsRPC: rpc.Owns, Procedures: calls.Procedures(),
		REST: rest, Routes: rest.Routes(), Traces: traces,
	}, metrics, log)
	if err != nil {
		return nil, err
	}
	routes, err := routesOf(calls, rest)
	if err != nil {
		return nil, err
	}
	return &Port{Server: server, Routes: routes}, nil
}

// Settings are those of the gateway as a program of its own.
type Settings struct {
	Log     logging.Config
	Bus     bus.Config
	Tracing tracing.Config
	Service Config
	OpsAddr string `env:"MEET_OPS_ADDR" envDefault:"127.0.0.1:9100" help:"host:port of /healthz, /readyz and /metrics; port 0 picks a free one"`
}

// Check completes the settings.
func (s *Settings) Check() error {
	s.Tracing.Name = "gateway"
	s.Bus.Name, s.Bus.Guest = "gateway", true
	return nil
}

// Program is the whole graph of the gateway as a program of its own.
func Program(s Settings) fx.Option {
	return fx.Options(
		fx.Supply(s.Log, s.Bus, s.Tracing, s.Service, httpserver.OpsConfig{Addr: s.OpsAddr}),
		logging.Module, clock.Module, httpserver.Module, tracing.Module, bus.Module,
		httpserver.ProvideCheck(func(b *bus.Bus) httpserver.Check { return httpserver.Check{Name: "nats", Probe: b.Check} }),
		Module,
		httpserver.Ready,
	)
}
