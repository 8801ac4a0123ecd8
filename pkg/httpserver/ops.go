package httpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/buildinfo"
)

// OpsConfig of the port that operators use; never reachable from outside.
type OpsConfig struct {
	// Addr is MEET_OPS_ADDR; each program has its own default.
	Addr string
}

// Ops is the port with /healthz (alive), /readyz (can work), /metrics, and /debug/pprof/ for callers
// on this machine.
type Ops struct{ *Server }

// NewOps makes the ops port.
func NewOps(c OpsConfig, health *Health, metrics prometheus.Gatherer, log *slog.Logger) *Ops {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveAlive)
	mux.HandleFunc("GET /readyz", health.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.Handle("GET /debug/pprof/", onThisMachine(http.HandlerFunc(pprof.Index)))
	mux.Handle("GET /debug/pprof/profile", onThisMachine(http.HandlerFunc(pprof.Profile)))
	mux.Handle("GET /debug/pprof/trace", onThisMachine(http.HandlerFunc(pprof.Trace)))
	// A CPU profile is written for as long as it was asked for.
	return &Ops{New(Config{Addr: c.Addr, WriteTimeout: 5 * time.Minute}, mux, log)}
}

// onThisMachine hides a handler from other machines: a heap profile may hold secrets.
func onThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !Loopback(r.RemoteAddr) {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// NewMetrics makes a registry that has the Go runtime's and the process's metrics, and says which build runs.
func NewMetrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "meet_build_info", Help: "Always 1; the labels say which version and commit the program was built from.",
		ConstLabels: prometheus.Labels{"version": buildinfo.Version(), "commit": buildinfo.Commit()},
	})
	build.Set(1)
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
	)
	return registry
}

// Healthcheck asks the readiness of the program whose ops port is at url (http://host:port) and
// returns the exit status for an image's health check: 0 when ready, else 1 with the reason on
// standard error.
func Healthcheck(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), CheckTimeout+time.Second)
	defer cancel()
	if err := askReady(ctx, url); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func askReady(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	// No proxy: the port is this machine's own, whatever HTTP_PROXY says.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var report Report
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&report); err != nil {
		return fmt.Errorf("health check: status %d", resp.StatusCode)
	}
	text := report.Status
	for _, c := range report.Checks {
		if c.Status != up {
			text += fmt.Sprintf("; %s: %s", c.Name, c.Error)
		}
	}
	return fmt.Errorf("health check: %s", text)
}

// checks are what the group "checks" holds.
type checks struct {
	fx.In
	All []Check `group:"checks"`
}

// Module is the ops port, up before anything is waited for: it stands first among the program's
// modules. Needs [OpsConfig], clock.Clock, *slog.Logger and the group "checks" of [Check]; provides
// *[Ops], *[Health], *prometheus.Registry as itself and as Registerer and Gatherer.
var Module = fx.Module("httpserver",
	fx.Provide(NewHealth, NewOps),
	fx.Provide(fx.Annotate(NewMetrics, fx.As(fx.Self()), fx.As(new(prometheus.Registerer)), fx.As(new(prometheus.Gatherer)))),
	// Two invocations: the first hook is the port's own, before those of whatever the checks need.
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, ops *Ops) { Register(lc, sd, log, ops.Server) }),
	fx.Invoke(func(h *Health, c checks, metrics prometheus.Registerer) error {
		h.Add(c.All...)
		return metrics.Register(&healthMetrics{h})
	}),
)

// Ready reports the program ready once all that stands before it has started, and not ready as the
// first step of its stop. It stands last among the program's options. Needs *[Health].
var Ready = fx.Invoke(func(lc fx.Lifecycle, h *Health) {
	lc.Append(fx.StartStopHook(func() { h.SetReady(true) }, func() { h.SetReady(false) }))
})

// ProvideCheck adds a constructor's [Check] to the group "checks".
func ProvideCheck(constructor any) fx.Option {
	return fx.Provide(fx.Annotate(constructor, fx.ResultTags(`group:"checks"`)))
}
