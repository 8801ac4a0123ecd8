// Package edge is the one public port: it listens, bounds every request on every side, gives it an id and a principal, counts
// and logs it, and hands it to the surface that its path belongs to. It knows no route but that split.
package edge

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// Config of the public port.
type Config struct {
	Addr           string   `env:"MEET_ADDR" help:"host:port that the public API listens on; port 0 picks a free one; absent: 127.0.0.1 with WEB_PORT"`
	WebPort        int      `env:"WEB_PORT" envDefault:"8000" help:"port on 127.0.0.1 of the public API, where MEET_ADDR is absent"`
	AllowedHosts   []string `env:"ALLOWED_HOSTS" help:"host names that requests may be addressed to; .example.com includes its subdomains, * is any; absent: any, but loopback names and IP addresses only where the port listens on loopback; loopback names always pass"`
	AllowedOrigins []string `env:"CORS_ALLOWED_ORIGINS" help:"web origins whose pages may call the API, such as https://app.example.com; absent: none, with DEBUG pages served from this machine"`
	TrustedProxies []string `env:"MEET_TRUSTED_PROXIES" help:"addresses or networks (10.0.0.0/8) of reverse proxies whose X-Forwarded-For names the caller; absent: nobody's X-Forwarded-… is believed"`
	Debug          bool     `env:"DEBUG" envDefault:"False" help:"development: also lets pages served from this machine call the API"`
}

// ListenAddr is the host:port to listen on: MEET_ADDR wins over WEB_PORT.
func (c Config) ListenAddr() string {
	if c.Addr != "" {
		return c.Addr
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.WebPort))
}

// Check refuses what could not work.
func (c Config) Check() error {
	if host, port, err := net.SplitHostPort(c.ListenAddr()); err != nil {
		return config.Bad("MEET_ADDR", fmt.Sprintf("%q is no host:port", c.Addr), "write as 127.0.0.1:8000 or :8000")
	} else if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		variable, value := "MEET_ADDR", c.Addr
		if c.Addr == "" {
			variable, value = "WEB_PORT", port
		}
		return config.Bad(variable, fmt.Sprintf("%q has no port from 0 to 65535", value), "write as "+net.JoinHostPort(host, "8000"))
	} else if c.Addr == "" && n == 0 {
		return config.Bad("WEB_PORT", "0 picks no port", "write a port, or MEET_ADDR=127.0.0.1:0 for a free one")
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		return config.Bad("MEET_TRUSTED_PROXIES", err.Error(), "write addresses or networks as 10.1.2.3 or 10.0.0.0/8")
	}
	return checkOrigins(c.AllowedOrigins)
}

// stopTimeout lets a create that waits for Google end its wait; the whole program has 10 s.
const stopTimeout = 7 * time.Second

// Surface answers one kind of path, and refuses in its own form and language what never reaches it: faults, an
// [*http.MaxBytesError], and errors whose text stays in the log, which it writes.
type Surface interface {
	http.Handler
	Refuse(w http.ResponseWriter, r *http.Request, err error)
}

// Surfaces are what the port serves.
type Surfaces struct {
	// RPC serves the paths that IsRPC owns; Procedures are those that are counted by name.
	RPC        Surface
	IsRPC      func(path string) bool
	Procedures []string
	// REST serves every other path; under /api/v1/ it is counted by the first segment where that is one of Routes.
	REST   Surface
	Routes []string
	// Traces gets a span of every request; nil: none.
	Traces trace.TracerProvider
}

func (s Surfaces) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if s.IsRPC(r.URL.Path) {
		s.RPC.Refuse(w, r, err)
		return
	}
	s.REST.Refuse(w, r, err)
}

// New makes the port; it listens once it is started.
func New(c Config, guards Guards, surfaces Surfaces, metrics prometheus.Registerer, log *slog.Logger) (*httpserver.Server, error) {
	handler, err := NewHandler(c, guards, surfaces, metrics, log)
	if err != nil {
		return nil, err
	}
	return httpserver.New(httpserver.Config{Addr: c.ListenAddr(), StopTimeout: stopTimeout}, handler, log), nil
}

// NewHandler is everything that a request passes through, without a port.
func NewHandler(c Config, guards Guards, surfaces Surfaces, metrics prometheus.Registerer, log *slog.Logger) (http.Handler, error) {
	proxies, err := parseProxies(c.TrustedProxies)
	if err != nil {
		return nil, err
	}
	count, err := newMetrics(metrics, surfaces)
	if err != nil {
		return nil, err
	}
	compress, err := newCompress()
	if err != nil {
		return nil, err
	}
	rest := compress(surfaces.REST) // Connect and gRPC compress for themselves
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if surfaces.IsRPC(r.URL.Path) {
			surfaces.RPC.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
	guards.Auth.Trust(trusted(c))
	h = newGate(guards, surfaces, h)
	h = limitBody(h, surfaces.refuse)
	h = allowOrigins(c, h)
	h = newHosts(c).middleware(h, surfaces.refuse)
	h = harden(h)
	seen := &observer{next: h, log: log, proxies: proxies, metrics: count, refuse: surfaces.refuse}
	if surfaces.Traces != nil && !tracing.Off(surfaces.Traces) {
		seen.tracer = surfaces.Traces.Tracer(scope)
	}
	return seen, nil
}
