// Package postgres keeps the truth of the meetings service: it carries out what the use cases decide in one transaction a
// batch, answers reads, and holds what the relay has to publish. No other package of the product speaks SQL.
package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/prometheus/client_golang/prometheus"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
	"github.com/meet-middleware/meet-middleware/services/meetings/migrations"
)

// Config of the database.
type Config struct {
	DatabaseURL config.Secret `env:"DATABASE_URL" help:"postgres:// URL of the server; wins over the POSTGRES_ variables"`
	Host        string        `env:"POSTGRES_HOST" help:"of the server, used without DATABASE_URL; absent: 127.0.0.1, in meet-middleware a server of its own"`
	Port        int           `env:"POSTGRES_PORT" envDefault:"5432" help:"of the server, used without DATABASE_URL"`
	Database    string        `env:"POSTGRES_DB" envDefault:"meet" help:"name of the database, used without DATABASE_URL"`
	User        string        `env:"POSTGRES_USER" envDefault:"meet" help:"who logs in, used without DATABASE_URL"`
	Password    config.Secret `env:"POSTGRES_PASSWORD" help:"of POSTGRES_USER, used without DATABASE_URL"`
	MaxConns    int32         `env:"MEET_POSTGRES_CONNS" envDefault:"8" help:"connections of one instance for commands and single reads; lists take as many again"`
	Wait        time.Duration `env:"MEET_POSTGRES_WAIT" envDefault:"30s" help:"how long a start waits for Postgres before it gives up with exit code 1"`

	// URLFrom gives the URL of a server that is started with this program; it wins over the variables. Set by standalone.
	URLFrom func() string `env:"-"`
}

// Check says what is wrong with the settings.
func (c Config) Check() error {
	var errs []error
	if c.MaxConns < 2 || c.MaxConns > 1000 {
		errs = append(errs, config.Bad("MEET_POSTGRES_CONNS", "must be from 2 to 1000", "leave it out for 8"))
	}
	if _, err := pgxpool.ParseConfig(c.URL()); err != nil {
		errs = append(errs, config.Bad("DATABASE_URL", "is not a postgres:// URL, or names a certificate that can't be read", "use postgres://user:password@host:5432/database, with ?sslmode=verify-full&sslrootcert=/path/ca.pem for TLS"))
	}
	return errors.Join(errs...)
}

// Named tells whether the settings name a server.
func (c Config) Named() bool { return c.DatabaseURL.Reveal() != "" || c.Host != "" }

// URL is where the database is, password included.
func (c Config) URL() string {
	if c.URLFrom != nil {
		return c.URLFrom()
	}
	if c.DatabaseURL.Reveal() != "" {
		return c.DatabaseURL.Reveal()
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(c.User, c.Password.Reveal()),
		Host: net.JoinHostPort(cmp.Or(c.Host, "127.0.0.1"), strconv.Itoa(c.Port)), Path: "/" + c.Database,
	}
	return u.String()
}

// Store is the database of the meetings service.
type Store struct {
	config Config
	log    *slog.Logger
	// pool runs commands and single reads. Its plans may not scan: a generic plan made while a table was small would stay
	// wrong until the next analyze.
	pool *pgxpool.Pool
	// lists runs what filters and pages, planned anew for its filters each time.
	lists *pgxpool.Pool
	masks masks
	// opened: both are there.
	opened atomic.Bool
}

// NewStore makes a store that is not connected yet.
func NewStore(c Config, log *slog.Logger) *Store { return &Store{config: c, log: log} }

// Start waits for the database with back-off, brings the schema up to date and opens the pools.
func (s *Store) Start(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	var err error
	if s.pool, err = s.open(ctx, hotSettings()); err != nil {
		return err
	}
	if s.lists, err = s.open(ctx, listSettings()); err != nil {
		s.pool.Close()
		return err
	}
	s.opened.Store(true)
	return nil
}

// hotSettings forbid the plans that look best while a table is small.
func hotSettings() map[string]string {
	return map[string]string{"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off"}
}

// listSettings make a plan for each list's own filters.
func listSettings() map[string]string {
	return map[string]string{"plan_cache_mode": "force_custom_plan", "jit": "off"}
}

// migrate waits for the database and brings its schema up to date. A database that goes away in the middle is waited for again
// for what is left of the time; a migration itself takes as long as it takes.
func (s *Store) migrate(ctx context.Context) error {
	waiting, cancel := context.WithTimeoutCause(ctx, s.config.Wait, fmt.Errorf("no answer from Postgres within %s", s.config.Wait))
	defer cancel()
	for {
		if err := s.wait(waiting); err != nil {
			return err
		}
		err := Migrate(ctx, s.config.URL())
		if err == nil || !unreached(err) || waiting.Err() != nil {
			return err
		}
		s.log.InfoContext(ctx, "Postgres went away during the migrations", "error", err)
	}
}

func (s *Store) wait(ctx context.Context) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	said := false
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		conn, err := pgx.Connect(ctx, s.config.URL())
		if err != nil {
			if !said {
				said = true
				s.log.InfoContext(ctx, "waiting for Postgres", "error", err)
			}
			return struct{}{}, err
		}
		return struct{}{}, conn.Close(ctx)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(0))
	if err != nil {
		return fmt.Errorf("wait for Postgres: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

func (s *Store) open(ctx context.Context, params map[string]string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(s.config.URL())
	if err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	c.MaxConns = s.config.MaxConns
	c.MaxConnIdleTime = time.Minute
	c.ConnConfig.ConnectTimeout = connectTimeout
	c.ConnConfig.Tracer = tracer{}
	c.ConnConfig.RuntimeParams["application_name"] = "meetings"
	c.ConnConfig.RuntimeParams["TimeZone"] = "UTC"
	c.ConnConfig.RuntimeParams["statement_timeout"] = "30s"
	c.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
	maps.Copy(c.ConnConfig.RuntimeParams, params)
	c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		types(conn)
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open the pool: %w", err)
	}
	return pool, nil
}

// connectTimeout bounds one try to connect.
const connectTimeout = 5 * time.Second

// types makes every time read on a connection UTC, and reads and writes UUIDs without reflection.
func types(conn *pgx.Conn) {
	pgxuuid.Register(conn.TypeMap())
	conn.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
}

// Stop closes the pools.
func (s *Store) Stop(context.Context) error {
	s.pool.Close()
	s.lists.Close()
	return nil
}

// Ping is a readiness check.
func (s *Store) Ping(ctx context.Context) error {
	if !s.opened.Load() {
		return errNotOpen
	}
	return s.pool.Ping(ctx)
}

// errNotOpen is what a probe gets that comes before the start has ended.
var errNotOpen = errors.New("the database is not open yet")

// migrationLock is the advisory lock under which instances that start together migrate one after the other.
const migrationLock = 0x6d656574_00000001

// Migrate brings the schema at url up to date; safe with many instances.
func Migrate(ctx context.Context, url string) error {
	conns, provider, err := migrator(url)
	if err != nil {
		return err
	}
	defer func() { _ = conns.Close() }() // nothing is pending on it
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrator is what migrates the database at url, with its connections; close them.
func migrator(url string) (*sql.DB, *goose.Provider, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, nil, fmt.Errorf("database settings: %w", err)
	}
	c.RuntimeParams["application_name"] = "meetings migrations"
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock))
	if err != nil {
		return nil, nil, fmt.Errorf("prepare migrations: %w", err)
	}
	conns := stdlib.OpenDB(*c)
	provider, err := goose.NewProvider(goose.DialectPostgres, conns, migrations.FS, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("prepare migrations: %w", err), conns.Close())
	}
	return conns, provider, nil
}

// ids turns defined ids into what the generated code takes.
func ids[T ~int64](in []T) []int64 {
	out := make([]int64, 0, len(in))
	for _, id := range in {
		out = append(out, int64(id))
	}
	return out
}

// hot runs single reads; wide what filters and pages.
func (s *Store) hot() *db.Queries  { return db.New(reading{s.pool}) }
func (s *Store) wide() *db.Queries { return db.New(reading{s.lists}) }

// Module stores everything. Needs Config, prometheus.Registerer and *slog.Logger; provides *Store as all that app asks of a store.
var Module = fx.Module("meetings/postgres",
	fx.Provide(
		fx.Annotate(func(lc fx.Lifecycle, c Config, metrics prometheus.Registerer, log *slog.Logger) (*Store, error) {
			s := NewStore(c, log)
			lc.Append(fx.Hook{OnStart: s.Start, OnStop: s.Stop})
			return s, metrics.Register(&poolMetrics{s})
		}, fx.As(new(app.Store)), fx.As(new(app.Reads)), fx.As(new(app.Counts)), fx.As(new(app.ConferenceReads)), fx.As(new(app.Outbox)),
			fx.As(new(app.Credentials)), fx.As(new(app.AuditLog))),
	),
)
