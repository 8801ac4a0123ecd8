// Package embeddednats runs a private nats-server inside this process, for standalone and for
// tests, so that both speak to the real thing and need nothing installed. It knows no stream and no
// subject, and it is no cluster: a deployment of more than one process uses a server of its own.
package embeddednats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
)

const (
	defaultMaxMemory = 64 << 20
	defaultMaxStore  = 16 << 30
	startTimeout     = 15 * time.Second // when the caller's context sets no sooner end
)

// ErrNotRunning is returned by [Server.InProcessConn] before Start and after Stop.
var ErrNotRunning = errors.New("the embedded nats-server is not running")

// Config of the embedded server.
type Config struct {
	Addr       string // host:port of the TCP listener; port 0 picks a free one, "" opens none
	StoreDir   string // folder of the JetStream files, made when absent
	ServerName string // "" is "meet"
	MaxMemory  int64  // bytes that memory streams may take; 0 is 64 MiB
	MaxStore   int64  // bytes that file streams may take or reserve; 0 is 16 GiB
	Users      []User // who is let in; none: everybody, to do everything
}

// User is one who is let in, also without a socket.
type User struct {
	Name, Password string
	// Publish and Subscribe are the subjects that it may use; what is not listed is refused.
	Publish, Subscribe []string
}

// Server is one private nats-server.
type Server struct {
	cfg  Config
	log  *slog.Logger
	host string
	port int

	mu   sync.Mutex // guards the two below
	srv  *server.Server
	lock *dirlock.Lock
}

// New checks c and starts nothing. The error says which setting is wrong.
func New(c Config, log *slog.Logger) (*Server, error) {
	if c.StoreDir == "" {
		return nil, errors.New("embedded nats-server: no store folder given")
	}
	if c.MaxMemory < 0 || c.MaxStore < 0 {
		return nil, errors.New("embedded nats-server: a negative limit")
	}
	c.MaxMemory = orDefault(c.MaxMemory, defaultMaxMemory)
	c.MaxStore = orDefault(c.MaxStore, defaultMaxStore)
	if c.ServerName == "" {
		c.ServerName = "meet"
	}
	s := &Server{cfg: c, log: log}
	if c.Addr == "" {
		return s, nil
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("embedded nats-server: address %q: %w", c.Addr, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("embedded nats-server: port of address %q: %w", c.Addr, err)
	}
	s.host, s.port = host, int(n)
	return s, nil
}

// Start returns once clients are served. A listener whose address another program has is an error
// that wraps [syscall.EADDRINUSE]; a store folder that another server uses wraps [dirlock.ErrHeld].
// A server that was stopped may be started again.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv != nil {
		return errors.New("the embedded nats-server runs already")
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("start the embedded nats-server: %w", err)
	}
	s.log.InfoContext(ctx, "embedded nats-server started", "url", s.clientURL(), "store", s.cfg.StoreDir)
	return nil
}

func (s *Server) start(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.cfg.StoreDir, 0o750); err != nil {
		return err
	}
	lock, err := dirlock.Acquire(s.cfg.StoreDir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	if err := s.probeListener(ctx); err != nil {
		return err
	}
	srv, err := server.NewServer(s.options())
	if err != nil {
		return err
	}
	fatal := make(chan string, 1)
	srv.SetLoggerV2(&logger{log: s.log, fatal: fatal}, false, false, false)

	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("not ready in time"))
	defer cancel()
	go srv.Start() // ends by itself once all is running; Stop waits for what it started
	ready := make(chan bool, 1)
	go func() { ready <- srv.ReadyForConnections(startTimeout) }()
	select {
	case why := <-fatal:
		err = errors.New(why)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case ok := <-ready:
		if !ok {
			err = errors.New("not ready in time")
		}
	}
	if err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return err
	}
	s.srv, s.lock = srv, lock
	return nil
}

// probeListener finds an address that is taken before nats-server does, which would only log it.
func (s *Server) probeListener(ctx context.Context) error {
	if s.cfg.Addr == "" || s.port == 0 {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("address %s is taken by another program: %w", s.cfg.Addr, err)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.cfg.Addr, err)
	}
	return l.Close()
}

func (s *Server) options() *server.Options {
	o := &server.Options{
		ServerName:             s.cfg.ServerName,
		DontListen:             s.cfg.Addr == "",
		Host:                   s.host,
		Port:                   s.port,
		JetStream:              true,
		StoreDir:               s.cfg.StoreDir,
		JetStreamMaxMemory:     s.cfg.MaxMemory, // unset it would take three quarters of the memory
		JetStreamMaxStore:      s.cfg.MaxStore,  // and of the free disk
		DisableJetStreamBanner: true,
		NoSigs:                 true, // signals belong to the program
	}
	if s.port == 0 {
		o.Port = server.RANDOM_PORT
	}
	for _, u := range s.cfg.Users {
		o.Users = append(o.Users, &server.User{Username: u.Name, Password: u.Password, Permissions: &server.Permissions{
			Publish: only(u.Publish), Subscribe: only(u.Subscribe),
		}})
	}
	return o
}

// only allows these subjects; nats-server takes an empty list to mean all.
func only(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}

// Stop closes all connections and the store, and waits for both. Clients are to be drained before.
// It returns ctx's error when that ends first; the server then goes on stopping. Stopping what does
// not run is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	srv, lock := s.srv, s.lock
	s.srv, s.lock = nil, nil
	s.mu.Unlock()
	if srv == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		srv.Shutdown()
		srv.WaitForShutdown()
		done <- lock.Release() // not sooner: the store is written until here
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop the embedded nats-server: %w", context.Cause(ctx))
	}
}

// ClientURL is "nats://host:port" for clients outside this process, and "" where there is no
// listener. With a fixed port it is known from [New] on, with port 0 from the end of Start to Stop.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clientURL()
}

func (s *Server) clientURL() string {
	port := s.port
	switch {
	case s.cfg.Addr == "":
		return ""
	case port != 0:
	case s.srv == nil:
		return ""
	default:
		if a, ok := s.srv.Addr().(*net.TCPAddr); ok {
			port = a.Port
		}
	}
	host := s.host
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1" // one cannot dial "all addresses" everywhere
	}
	return "nats://" + net.JoinHostPort(host, strconv.Itoa(port))
}

// InProcessConn gives one client connection that needs no socket, so that
// nats.Connect("", nats.InProcessServer(s)) works without a listener, and again after a restart.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.srv == nil {
		return nil, ErrNotRunning
	}
	return s.srv.InProcessConn()
}

func orDefault(n, def int64) int64 {
	if n == 0 {
		return def
	}
	return n
}

// logger passes the server's lines to slog. nats-server means Fatal to end the program; here it
// ends Start instead.
type logger struct {
	log   *slog.Logger
	fatal chan<- string
}

func (l *logger) Noticef(format string, v ...any) { l.write(slog.LevelDebug, format, v) } // a page at each start
func (l *logger) Warnf(format string, v ...any)   { l.write(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.write(slog.LevelError, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.write(slog.LevelDebug, format, v) }

func (l *logger) Fatalf(format string, v ...any) {
	l.write(slog.LevelError, format, v)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default: // the first one is the cause
	}
}

func (l *logger) write(level slog.Level, format string, v []any) {
	ctx := context.Background() // the server's own line: there is no caller
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats-server", "line", fmt.Sprintf(format, v...))
	}
}

// Module runs an embedded nats-server. Needs Config, *slog.Logger; provides *Server, started before
// and stopped after whatever needs it.
var Module = fx.Module("embeddednats",
	fx.Provide(func(lc fx.Lifecycle, c Config, log *slog.Logger) (*Server, error) {
		s, err := New(c, log)
		if err != nil {
			return nil, err
		}
		lc.Append(fx.StartStopHook(s.Start, s.Stop))
		return s, nil
	}),
)
