// Package pgtest gives each test a migrated PostgreSQL database of its own, so that stores are tested
// against the real thing, in parallel, and no test sees another's rows. Only tests may import it.
//
// A test process starts one private server at its first [New]. It needs no TestMain and leaves
// nothing behind, however the process ends: the server and its data are the business of a reaper
// process that outlives it by a moment. MEET_TEST_DATABASE_URL names a server to use instead.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/pkg/embeddedpg"
)

const (
	urlEnv = "MEET_TEST_DATABASE_URL" // of a server to use, with a user who may create databases
	binEnv = "MEET_POSTGRES_BIN"      // see embeddedpg.Config
)

// Migrate brings the empty database at url to the schema under test. It must have closed its
// connections when it returns.
type Migrate func(ctx context.Context, url string) error

// New gives the URL of a database that migrate has been applied to; nil applies nothing. The
// database is dropped when the test and its subtests end, whoever is still connected.
//
// Migrate runs once in a test process and its result is copied, so pass the same function each time:
// a closure made anew, or a method value, is another one. On a server that is given by
// MEET_TEST_DATABASE_URL it runs for each database, because a template would be left there.
func New(tb testing.TB, migrate Migrate) string {
	tb.Helper()
	made, err := create(tb.Context(), migrate)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := made.drop(context.WithoutCancel(tb.Context())); err != nil { // the test's own has ended
			tb.Error(err)
		}
	})
	return made.url
}

// database is one test's own.
type database struct{ admin, name, url string }

func create(ctx context.Context, migrate Migrate) (database, error) {
	name := "test_" + strings.ToLower(rand.Text())
	if given := os.Getenv(urlEnv); given != "" {
		return createOn(ctx, given, name, migrate)
	}
	r, err := process.start()
	if err != nil {
		return database{}, fmt.Errorf("a PostgreSQL for this test process: %w", err)
	}
	s := r.server
	d := database{admin: s.DatabaseURL("postgres"), name: name, url: s.DatabaseURL(name)}
	create := "CREATE DATABASE " + name
	if migrate != nil {
		template, err := process.template(ctx, s, migrate)
		if err != nil {
			return database{}, err
		}
		create += " TEMPLATE " + template
	}
	return d, execute(ctx, d.admin, create)
}

func createOn(ctx context.Context, server, name string, migrate Migrate) (database, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return database{}, errors.New(urlEnv + " is no URL such as postgres://user:password@host:5432/postgres") // it holds a password
	}
	u.Path = "/" + name
	d := database{admin: server, name: name, url: u.String()}
	if err := execute(ctx, server, "CREATE DATABASE "+name); err != nil {
		return database{}, err
	}
	if migrate == nil {
		return d, nil
	}
	if err := migrate(ctx, d.url); err != nil {
		return database{}, errors.Join(fmt.Errorf("migrate a test database: %w", err), d.drop(context.WithoutCancel(ctx)))
	}
	return d, nil
}

func (d database) drop(ctx context.Context) error {
	return execute(ctx, d.admin, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}

// execute runs statements one by one on a connection of their own.
func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// process is what the tests of one process share. It is the one thing that must outlive a test and
// that no test can own.
var process = shared{start: sync.OnceValues(startServer), templates: map[unsafe.Pointer]func() (string, error){}}

type shared struct {
	start     func() (running, error)
	mu        sync.Mutex // guards templates
	templates map[unsafe.Pointer]func() (string, error)
}

// running is the process's server and its reaper's pipe. An open file that nobody refers to is
// closed, and the reaper would take that for the end of the process.
type running struct {
	server *embeddedpg.Server
	reaper *os.File
}

// template gives the name of the database that migrate was applied to, which the first caller does
// while others wait.
func (p *shared) template(ctx context.Context, s *embeddedpg.Server, migrate Migrate) (string, error) {
	// Function values cannot be compared, and what reflect gives is the address of the code, which
	// closures share that captured different things. What a value points to tells them apart.
	id := *(*unsafe.Pointer)(unsafe.Pointer(&migrate))
	p.mu.Lock()
	once, ok := p.templates[id]
	if !ok {
		name := fmt.Sprintf("template_%d", len(p.templates))
		once = sync.OnceValues(func() (string, error) {
			return name, makeTemplate(ctx, s, name, migrate) // holds migrate, so id is not used again
		})
		p.templates[id] = once
	}
	p.mu.Unlock()
	return once()
}

func makeTemplate(ctx context.Context, s *embeddedpg.Server, name string, migrate Migrate) error {
	if err := s.CreateDatabase(ctx, name); err != nil {
		return err
	}
	if err := migrate(ctx, s.DatabaseURL(name)); err != nil {
		return fmt.Errorf("migrate the template of the test databases: %w", err)
	}
	// A database that somebody is connected to cannot be copied.
	return execute(ctx, s.DatabaseURL("postgres"),
		"ALTER DATABASE "+name+" ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
}

// startServer starts the process's server, and before it the reaper, so that no kill falls between.
func startServer() (running, error) {
	dir, err := os.MkdirTemp("", "meet-pgtest-")
	if err != nil {
		return running{}, err
	}
	tell, err := startReaper(dir)
	if err != nil {
		return running{}, errors.Join(err, os.RemoveAll(dir))
	}
	if err := os.Chmod(dir, 0o755); err != nil { // root's server runs as another user
		return running{}, err
	}
	cache, err := cacheDir()
	if err != nil {
		return running{}, err
	}
	s, err := embeddedpg.New(embeddedpg.Config{
		Dir: dir, Throwaway: true, BinDir: os.Getenv(binEnv), CacheDir: cache,
	}, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		return running{}, err
	}
	err = s.Start(context.Background()) // it lives as long as the process
	if used := s.Dir(); used != "" && used != dir {
		_, tellErr := tell.WriteString(used + "\n")
		err = errors.Join(err, tellErr)
	}
	return running{server: s, reaper: tell}, err
}

// cacheDir is where downloaded binaries stay from run to run, within reach of root's other user.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/meet-middleware", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("a folder for downloaded PostgreSQL binaries: %w", err)
	}
	return filepath.Join(dir, "meet-middleware"), nil
}

// reaper reads names of data folders until this process, which has the pipe's only other end, is no
// more; then it ends their servers at once and removes them.
const reaper = `
while IFS= read -r dir; do set -- "$@" "$dir"; done
for dir in "$@"; do
	pid= n=0
	read -r pid <"$dir/data/postmaster.pid" && kill -QUIT "$pid"
	while [ -e "$dir/data/postmaster.pid" ] && kill -0 "$pid" && [ $n -lt 100 ]; do
		n=$((n + 1))
		sleep 0.1
	done
	rm -rf "$dir"
done`

// startReaper gives the pipe that holds the reaper back and tells it of further folders.
func startReaper(dir string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// Its output goes nowhere, or go test would wait for it; its session is its own, so that neither
	// Ctrl-C nor a signal to the group of this process ends it.
	cmd := exec.Command("/bin/sh", "-c", reaper, "pgtest-reaper", dir) //nolint:noctx // it outlives all contexts
	cmd.Dir, cmd.Stdin = "/", r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the reaper: %w", err), w.Close())
	}
	return w, cmd.Process.Release()
}
