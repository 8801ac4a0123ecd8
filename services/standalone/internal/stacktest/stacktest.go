// Package stacktest runs the whole product as a deployment would, every service a process of its own beside a real nats-server,
// a real Postgres and the Google emulator, so that tests can kill any of them at any time and then ask whether all that was
// answered is true. It knows the product by its programs, its public API and its tables; only tests may import it.
package stacktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const module = "github.com/meet-middleware/meet-middleware/"

// Main runs the tests of a package that uses this kit and returns the exit code: its test binary is the nats-server and the
// owner of Postgres too.
func Main(m *testing.M) int {
	if role := os.Getenv(roleVariable); role != "" {
		return play(role)
	}
	code := m.Run()
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir) // a temporary folder
	}
	return code
}

// programs are built once for a test process.
var programs build

type build struct {
	once sync.Once
	dir  string
	err  error
}

// Program gives the path of one of the programs, built with the places at which it can be made to crash.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	programs.once.Do(func() { programs.dir, programs.err = compile(context.WithoutCancel(tb.Context())) })
	if programs.err != nil {
		tb.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

func compile(ctx context.Context) (string, error) {
	removeLeftovers()
	dir, err := tempFolder()
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run them too
		return dir, err
	}
	args := []string{"build", "-buildvcs=false", "-tags", "failpoint", "-o", dir + "/"}
	if raced {
		args = append(args, "-race")
	}
	for _, program := range []string{
		"services/gateway/cmd/gateway", "services/meetings/cmd/meetings", "services/scheduler/cmd/scheduler",
		"services/standalone/cmd/meet-middleware", "pkg/googlefake/cmd/google-emulator",
	} {
		args = append(args, module+program)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build the programs: %w: %s", err, out)
	}
	return dir, nil
}

// folderPrefix and the id of this process begin the names of all folders of the kit.
const folderPrefix = "meet-stacktest-"

func tempFolder() (string, error) {
	return os.MkdirTemp("", folderPrefix+strconv.Itoa(os.Getpid())+"-")
}

// removeLeftovers removes the folders of test processes that were killed and could not do it themselves. What they had started
// has ended with them.
func removeLeftovers() {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return // of a bad pattern only
	}
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		if pid, err := strconv.Atoi(owner); err == nil && !alive(pid) {
			_ = os.RemoveAll(dir) // another user's stays
		}
	}
}

// Options of a stack; zero instances are one.
type Options struct {
	Gateways, Meetings, Schedulers int
	// Env is given to every service, after the kit's own settings.
	Env []string
	// Throwaway spares Postgres its fsync, where nothing is said about what a crash of it leaves.
	Throwaway bool
	// NATSPassword begins the passwords of NATS's users, each service as its own; empty: NATS lets everybody in.
	NATSPassword string
	// Postgres is another stack whose server to use, with a database of its own.
	Postgres *Stack
	// Programs is a folder with gateway, meetings and scheduler of another build; empty: the present one.
	Programs string
}

// Stack is the product, running.
type Stack struct {
	Gateways, Meetings, Schedulers []*Process
	Postgres, NATS, Emulator       *Process

	dir      string
	options  Options
	urls     []string // of the gateways
	ops      map[*Process]string
	emulator string
	nats     string
	database string
	pgData   string
	self     string
	bin      string     // folder of the programs
	all      []*Process // in the order of their start
	ended    bool
}

// Start runs a stack until the test ends. Every program's log is shown when the test has failed.
func Start(tb testing.TB, o Options) *Stack {
	tb.Helper()
	began := time.Now()
	s := Prepare(tb, o)
	built := time.Now()
	if err := s.Run(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("stack prepared in %s, started in %s", built.Sub(began).Round(10*time.Millisecond), time.Since(built).Round(10*time.Millisecond))
	return s
}

// Prepare makes a stack that [Stack.Run] starts; it ends with the test.
func Prepare(tb testing.TB, o Options) *Stack {
	tb.Helper()
	o.Gateways, o.Meetings, o.Schedulers = max(o.Gateways, 1), max(o.Meetings, 1), max(o.Schedulers, 1)
	dir, err := tempFolder()
	if err != nil {
		tb.Fatal(err)
	}
	s := &Stack{dir: dir, options: o, ops: make(map[*Process]string)}
	tb.Cleanup(func() { s.End(tb) })
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres has a user of its own when root tests
		tb.Fatal(err)
	}
	if s.self, err = os.Executable(); err != nil {
		tb.Fatal(err)
	}
	s.bin = Program(tb, "")
	return s
}

// Run starts the servers and then the services, and returns when all serve.
func (s *Stack) Run(ctx context.Context) error {
	if err := s.infrastructure(ctx); err != nil {
		return err
	}
	return s.services(ctx)
}

func (s *Stack) infrastructure(ctx context.Context) error {
	var errs [3]error
	var all sync.WaitGroup
	all.Go(func() { errs[0] = s.startPostgres(ctx) })
	all.Go(func() { errs[1] = s.startNATS(ctx) })
	all.Go(func() { errs[2] = s.startEmulator(ctx) })
	all.Wait()
	for _, p := range []*Process{s.Postgres, s.NATS, s.Emulator} {
		if p != nil {
			s.all = append(s.all, p)
		}
	}
	return errors.Join(errs[:]...)
}

func (s *Stack) startNATS(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.nats = "nats://127.0.0.1:" + strconv.Itoa(port)
	s.NATS = &Process{
		Name: "nats", path: s.self, ready: serverServes,
		env: []string{roleVariable + "=" + roleNATS, portVariable + "=" + strconv.Itoa(port), dirVariable + "=" + s.JetStreamDir(), usersVariable + "=" + s.options.NATSPassword},
	}
	return s.NATS.Start(ctx)
}

func (s *Stack) startEmulator(ctx context.Context) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	s.emulator = "http://127.0.0.1:" + strconv.Itoa(port)
	s.Emulator = &Process{
		Name: "emulator", path: filepath.Join(s.bin, "google-emulator"),
		ready: func(line string) bool { return strings.Contains(line, "emulator listening") },
		env:   []string{"MEET_EMULATOR_ADDR=127.0.0.1:" + strconv.Itoa(port), "MEET_DATA_DIR=" + s.dir},
	}
	return s.Emulator.Start(ctx)
}

func (s *Stack) startPostgres(ctx context.Context) error {
	if other := s.options.Postgres; other != nil {
		name := "stack_" + strings.ToLower(strings.TrimPrefix(filepath.Base(s.dir), folderPrefix))
		conn, err := pgx.Connect(ctx, other.database)
		if err != nil {
			return fmt.Errorf("connect to the other stack's Postgres: %w", err)
		}
		defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
		if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
			return fmt.Errorf("make a database: %w", err)
		}
		s.database = strings.Replace(other.database, "/meet?", "/"+name+"?", 1)
		return nil
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	env := []string{
		roleVariable + "=" + rolePostgres, portVariable + "=" + strconv.Itoa(port), dirVariable + "=" + filepath.Join(s.dir, "postgres"),
		"MEET_POSTGRES_BIN=" + os.Getenv("MEET_POSTGRES_BIN"),
	}
	if s.options.Throwaway {
		env = append(env, fastVariable+"=1")
	}
	s.Postgres = &Process{Name: "postgres", path: s.self, ready: serverServes, env: env}
	if err := s.Postgres.Start(ctx); err != nil {
		return err
	}
	for _, line := range s.Postgres.Lines() {
		if rest, ok := strings.CutPrefix(line, servesLine); ok {
			s.database, s.pgData, _ = strings.Cut(rest, " ")
		}
	}
	s.Postgres.killed = func() { killPostmaster(s.pgData) }
	return nil
}

func (s *Stack) services(ctx context.Context) error {
	bin := s.options.Programs
	if bin == "" {
		bin = s.bin
	}
	for range s.options.Meetings {
		if _, err := s.AddMeetings(ctx, bin); err != nil {
			return err
		}
	}
	for range s.options.Schedulers {
		if _, err := s.AddScheduler(ctx, bin); err != nil {
			return err
		}
	}
	for range s.options.Gateways {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		addr := "127.0.0.1:" + strconv.Itoa(port)
		p, err := s.service(ctx, bin, "gateway", len(s.Gateways), "MEET_ADDR="+addr)
		if err != nil {
			return err
		}
		s.Gateways, s.urls = append(s.Gateways, p), append(s.urls, "http://"+addr)
	}
	return s.StartServices(ctx)
}

// AddMeetings and AddScheduler make one more instance, of the programs in a folder; it is not started.
func (s *Stack) AddMeetings(ctx context.Context, bin string) (*Process, error) {
	p, err := s.service(ctx, bin, "meetings", len(s.Meetings), "DATABASE_URL="+s.database, "MEET_EMULATOR_URL="+s.emulator)
	if err == nil {
		s.Meetings = append(s.Meetings, p)
	}
	return p, err
}

// AddScheduler is told of at [Stack.AddMeetings].
func (s *Stack) AddScheduler(ctx context.Context, bin string) (*Process, error) {
	p, err := s.service(ctx, bin, "scheduler", len(s.Schedulers), "MEET_EMULATOR_URL="+s.emulator)
	if err == nil {
		s.Schedulers = append(s.Schedulers, p)
	}
	return p, err
}

// service makes the n-th instance of a program, with settings of its own.
func (s *Stack) service(ctx context.Context, bin, program string, n int, env ...string) (*Process, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	ops := "127.0.0.1:" + strconv.Itoa(port)
	p := &Process{
		Name: program + "-" + strconv.Itoa(n+1), path: filepath.Join(bin, program), ready: serviceStarted,
		// Nobody starts a program again that gives up because NATS or Postgres was killed while it started, or the machine is busy.
		env: append(append([]string{"NATS_URL=" + s.nats, "MEET_OPS_ADDR=" + ops, "MEET_NATS_WAIT=2m", "MEET_POSTGRES_WAIT=2m"}, env...), s.options.Env...),
	}
	if s.options.NATSPassword != "" {
		p.env = append(p.env, "NATS_USER="+program, "NATS_PASSWORD="+s.options.NATSPassword+program)
	}
	s.ops[p] = "http://" + ops
	s.all = append(s.all, p)
	return p, nil
}

// Ops is where a service shows its health and metrics.
func (s *Stack) Ops(p *Process) string { return s.ops[p] }

// Programs is the folder of the present build's programs.
func (s *Stack) Programs() string { return s.bin }

// Services are all processes but the servers that they use.
func (s *Stack) Services() []*Process {
	return append(append(append([]*Process(nil), s.Gateways...), s.Meetings...), s.Schedulers...)
}

// StartServices starts every service, all at once, and returns when all serve.
func (s *Stack) StartServices(ctx context.Context) error {
	services := s.Services()
	for _, p := range services {
		if err := p.Launch(); err != nil {
			return err
		}
	}
	for _, p := range services {
		if err := p.AwaitStarted(ctx); err != nil {
			return err
		}
	}
	return nil
}

// JetStreamDir is where nats-server keeps its streams.
func (s *Stack) JetStreamDir() string { return filepath.Join(s.dir, "nats") }

// LoseJetStream removes everything that nats-server, which must not run, has kept.
func (s *Stack) LoseJetStream() error {
	if err := os.RemoveAll(s.JetStreamDir()); err != nil {
		return fmt.Errorf("remove what NATS keeps: %w", err)
	}
	return nil
}

// LoseJob removes the one message that MEET_JOBS holds, once it is there; nothing tells of that, so it is looked for.
func (s *Stack) LoseJob(ctx context.Context) error {
	conn, js, err := s.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		stream, err := js.Stream(ctx, "MEET_JOBS")
		if err != nil {
			return fmt.Errorf("look at MEET_JOBS: %w", err)
		}
		if stream.CachedInfo().State.Msgs > 0 {
			return stream.Purge(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for a job: %w", context.Cause(ctx))
		}
	}
}

// Publish sends a message as any client of NATS could.
func (s *Stack) Publish(subject, body string) error {
	conn, _, err := s.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	return errors.Join(conn.Publish(subject, []byte(body)), conn.Flush())
}

// connect is a client of the stack's NATS; close it.
func (s *Stack) connect() (*nats.Conn, jetstream.JetStream, error) {
	opts := []nats.Option{nats.Name(tester)}
	if s.options.NATSPassword != "" {
		opts = append(opts, nats.UserInfo(tester, s.options.NATSPassword+tester))
	}
	conn, err := nats.Connect(s.nats, opts...)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the stack's NATS: %w", err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("open JetStream: %w", err)
	}
	return conn, js, nil
}

// End ends everything at once and removes all of it; it does so at the end of the test anyway.
func (s *Stack) End(tb testing.TB) {
	tb.Helper()
	if s.ended {
		return
	}
	s.ended = true
	data := 0
	if s.pgData != "" {
		data = postmaster(s.pgData)
	}
	for i := len(s.all) - 1; i >= 0; i-- {
		s.all[i].end()
	}
	if data != 0 {
		if err := awaitNoProcess(data, stopPatience); err != nil {
			tb.Errorf("Postgres: %v", err)
		}
	}
	for _, p := range s.all {
		p.findRaces(tb)
	}
	if tb.Failed() {
		for _, p := range s.all {
			p.show(tb)
		}
	}
	// Children of a killed Postgres may be writing their last.
	var err error
	for range 20 {
		if err = os.RemoveAll(s.dir); err == nil {
			return
		}
	}
	tb.Errorf("remove the stack's folder: %v", err)
}

// The ports that programs get are below those that the kernel gives to outgoing connections, because a program that is killed
// has to get the same one again.
const firstPort, lastPort = 15000, 30000

// portsGiven counts through them from a place of this process's own: many stacks are prepared before the first one listens, so
// that a port is free says nothing about its being given away.
var portsGiven = sync.OnceValue(func() *atomic.Int64 {
	from := new(atomic.Int64)
	from.Store(rand.Int64N(lastPort - firstPort))
	return from
})

// freePort is one that nobody listens at and that no other stack of this process gets.
func freePort(ctx context.Context) (int, error) {
	for range 1000 {
		port := firstPort + int(portsGiven().Add(1)%(lastPort-firstPort))
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		return port, l.Close()
	}
	return 0, errors.New("no free port")
}
