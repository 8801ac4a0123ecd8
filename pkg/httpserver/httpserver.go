// Package httpserver is the outside of every HTTP port this system opens: listeners that are known
// before they are announced, limits on every side, a stop that lets answers finish, the ops port
// (health, readiness, metrics) and RFC 9457 problem documents. It knows no route of any service.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/fx"
)

// Config of one server. The zero value of a limit is its default.
type Config struct {
	// Addr is host:port; port 0 picks a free one.
	Addr string
	// ReadHeaderTimeout bounds reading a request's header; default 5 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds reading a whole request; default 30 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds answering, from the end of the header; default 60 s. A stream lifts it for
	// itself with [http.ResponseController.SetWriteDeadline].
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection waits for its next request; default 120 s.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds a request's header; default 64 KiB.
	MaxHeaderBytes int
	// StopTimeout is how long requests under way may go on after Stop; default 5 s, half of what the
	// whole program has.
	StopTimeout time.Duration
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	or(&c.ReadHeaderTimeout, 5*time.Second)
	or(&c.ReadTimeout, 30*time.Second)
	or(&c.WriteTimeout, 60*time.Second)
	or(&c.IdleTimeout, 120*time.Second)
	or(&c.StopTimeout, 5*time.Second)
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = 64 << 10
	}
	return c
}

// Server is one port. It speaks HTTP/1.1 and, with prior knowledge, unencrypted HTTP/2 (what gRPC
// clients use).
type Server struct {
	config Config
	server *http.Server
	log    *slog.Logger

	stopping chan struct{} // closed when Stop begins
	stopOnce sync.Once
	abort    context.CancelFunc

	mu     sync.Mutex
	addr   net.Addr
	failed chan error
}

// New makes a server of handler. It listens from [Server.Start] on.
func New(c Config, handler http.Handler, log *slog.Logger) *Server {
	c = c.withDefaults()
	s := &Server{config: c, log: log, stopping: make(chan struct{}), failed: make(chan error, 1)}
	base, abort := context.WithCancel(context.WithValue(context.Background(), stoppingKey{}, (<-chan struct{})(s.stopping)))
	s.abort = abort
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		WriteTimeout:      c.WriteTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.MaxHeaderBytes,
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	return s
}

// Start listens and serves; the address is known when it returns. ctx bounds the listening alone.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.config.Addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.mu.Lock()
	s.addr = listener.Addr()
	s.mu.Unlock()
	go func() {
		if err := s.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
		close(s.failed)
	}()
	return nil
}

// Addr is where the server listens; nil before [Server.Start].
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is http:// and the address to reach it from this machine; empty before [Server.Start].
func (s *Server) URL() string {
	addr := s.Addr()
	if addr == nil {
		return ""
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		// A listener at 0.0.0.0 calls itself [::], as one at every address of both families does.
		if host, _, err := net.SplitHostPort(s.config.Addr); err == nil {
			return LocalURL(net.JoinHostPort(host, strconv.Itoa(tcp.Port)))
		}
	}
	return LocalURL(addr.String())
}

// Handler is what the server serves.
func (s *Server) Handler() http.Handler { return s.server.Handler }

// Failed gives the error that ended the server, and is closed when it ended.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop takes no new connections, tells streams to end ([Stopping]), lets requests under way finish,
// and cuts off what is left when StopTimeout or ctx runs out.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() { close(s.stopping) })
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.StopTimeout, errors.New("requests under way did not finish"))
	defer cancel()
	defer s.abort()
	if err := s.server.Shutdown(ctx); err != nil {
		s.abort()
		s.log.WarnContext(ctx, "requests cut off", "addr", s.config.Addr, "error", context.Cause(ctx))
		if err := s.server.Close(); err != nil {
			return fmt.Errorf("close %s: %w", s.config.Addr, err)
		}
	}
	return nil
}

type stoppingKey struct{}

// Stopping is closed when the server that ctx's request came through begins to stop: a stream ends
// then, so that its client goes elsewhere. Nil, which blocks for ever, outside such a request.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return stopping
}

// LocalURL is the URL that reaches addr (host:port) from this machine: an unspecified host becomes
// the loopback's.
func LocalURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Loopback tells whether addr, a host with or without a port, is reached from this machine only: localhost in any case, or a
// loopback address, also one of IPv4 written as IPv6. An empty host is every address of the machine, so it is not.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// Register makes s a part of the program: it starts and stops with it, and the program shuts down
// when s fails.
func Register(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, s *Server) {
	watch := make(chan struct{})
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			if err := s.Start(ctx); err != nil {
				return err
			}
			go func(ctx context.Context) {
				defer close(watch)
				if err, ok := <-s.Failed(); ok {
					log.ErrorContext(ctx, "http server failed, shutting down", "error", err)
					if err := sd.Shutdown(fx.ExitCode(1)); err != nil {
						log.ErrorContext(ctx, "shutdown failed", "error", err)
					}
				}
			}(context.WithoutCancel(ctx))
			return nil
		},
		OnStop: func(ctx context.Context) error {
			if err := s.Stop(ctx); err != nil {
				return err
			}
			<-watch
			return nil
		},
	})
}
