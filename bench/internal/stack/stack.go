// Package stack runs the product for a measurement as a deployment would: every service a process of its own beside a
// nats-server that can be killed, a Postgres and the Google emulator. It measures nothing.
package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/embeddedpg"
)

// Programs are the binaries that a stack needs.
func Programs() []string { return []string{"gateway", "meetings", "scheduler", "google-emulator"} }

const (
	module = "github.com/meet-middleware/meet-middleware/"

	natsVariable    = "BENCH_NATS_ADDR" // set in the process that is to be the nats-server
	dirVariable     = "BENCH_NATS_DIR"
	serversVariable = "BENCH_NATS_SERVERS" // more than 1: so many in that process, a cluster
	servesLine      = "serves: "
)

// Serve makes this process the nats-server of a stack where it was started for that, until SIGTERM, and tells so; the program then
// ends. Every program that starts a stack calls it first.
func Serve() (served bool, err error) {
	addr := os.Getenv(natsVariable)
	if addr == "" {
		return false, nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	serve := serveNATS
	if os.Getenv(serversVariable) != "" {
		serve = serveCluster
	}
	if err := serve(ctx, addr, os.Getenv(dirVariable)); err != nil {
		return true, fmt.Errorf("nats-server: %w", err)
	}
	return true, nil
}

func serveNATS(ctx context.Context, addr, dir string) error {
	s, err := embeddednats.New(embeddednats.Config{Addr: addr, StoreDir: dir}, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	fmt.Println(servesLine + s.ClientURL())
	<-ctx.Done()
	return s.Stop(context.WithoutCancel(ctx))
}

// Build compiles the programs into dir.
func Build(ctx context.Context, dir string) error {
	args := []string{"build", "-buildvcs=false", "-o", dir + "/"}
	for _, source := range []string{
		"services/gateway/cmd/gateway", "services/meetings/cmd/meetings", "services/scheduler/cmd/scheduler", "pkg/googlefake/cmd/google-emulator",
	} {
		args = append(args, module+source)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w: %s", err, out)
	}
	return nil
}

// Options of a stack.
type Options struct {
	// Programs is the folder of the binaries.
	Programs string
	// Dir is where everything is kept, logs too.
	Dir string
	// Schedulers is how many, and Gateways and Meetings what is more than one of each; NATSServers above 1 is a cluster of so many,
	// all in one process, whose streams have as many copies.
	Schedulers, Gateways, Meetings, NATSServers int
	// Env is given to every service.
	Env []string
	// Before runs when the emulator serves and no service does yet.
	Before func(ctx context.Context, s *Stack) error
	// Fsync makes Postgres safe against a loss of power, and so as slow as it is in earnest.
	Fsync bool
}

// Stack is the product, running.
type Stack struct {
	Gateway, Meetings *Process
	Schedulers        []*Process
	NATS, Emulator    *Process
	// More are the gateways and meetings beyond the first.
	More []*Process
	// DB is a pool of the measurement's own.
	DB *pgxpool.Pool
	// Conn is a client of the nats-server.
	Conn *nats.Conn
	// GatewayURL and EmulatorURL are where they answer, GatewayURLs all gateways.
	GatewayURL, EmulatorURL string
	GatewayURLs             []string

	options  Options
	postgres *embeddedpg.Server
	nats     string
	control  *http.Client

	mu   sync.Mutex // guards logs
	logs []*os.File
}

// Start runs a stack and returns once every part serves. Stop it, also after an error.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{options: o, control: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: time.Minute}}
	if err := s.start(ctx); err != nil {
		return s, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	for _, name := range Programs() {
		if _, err := os.Stat(filepath.Join(s.options.Programs, name)); err != nil {
			return fmt.Errorf("find the programs (make build): %w", err)
		}
	}
	if err := s.servers(ctx); err != nil {
		return err
	}
	if s.options.Before != nil {
		if err := s.options.Before(ctx, s); err != nil {
			return err
		}
	}
	return s.services(ctx)
}

// servers starts what the services use.
func (s *Stack) servers(ctx context.Context) error {
	var err error
	quiet := slog.New(slog.DiscardHandler)
	s.postgres, err = embeddedpg.New(embeddedpg.Config{Dir: filepath.Join(s.options.Dir, "postgres"), BinDir: os.Getenv("MEET_POSTGRES_BIN"), Throwaway: !s.options.Fsync}, quiet)
	if err != nil {
		return err
	}
	var errs [3]error
	var all sync.WaitGroup
	all.Go(func() { errs[0] = s.postgres.Start(ctx) })
	all.Go(func() { errs[1] = s.startNATS(ctx) })
	all.Go(func() { errs[2] = s.startEmulator(ctx) })
	all.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	config, err := pgxpool.ParseConfig(s.postgres.URL())
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	config.MaxConns = 4
	// What the measurement asks must not be planned for the empty tables of the start.
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	config.ConnConfig.RuntimeParams["jit"] = "off"
	if s.DB, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	s.Conn, err = nats.Connect(s.nats, nats.Name("bench"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	return nil
}

func (s *Stack) startNATS(ctx context.Context) error {
	addr, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	env := []string{natsVariable + "=" + addr, dirVariable + "=" + s.JetStreamDir()}
	if s.options.NATSServers > 1 {
		env = append(env, serversVariable+"="+strconv.Itoa(s.options.NATSServers))
	}
	s.NATS, err = s.process("nats", self, func(line string) bool {
		urls, serves := strings.CutPrefix(line, servesLine)
		if serves {
			s.nats = strings.TrimSpace(urls)
		}
		return serves
	}, env...)
	if err != nil {
		return err
	}
	return s.NATS.Start(ctx)
}

// JetStreamDir is where the nats-server keeps its streams.
func (s *Stack) JetStreamDir() string { return filepath.Join(s.options.Dir, "nats") }

func (s *Stack) startEmulator(ctx context.Context) error {
	addr, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	s.EmulatorURL = "http://" + addr
	s.Emulator, err = s.process("emulator", filepath.Join(s.options.Programs, "google-emulator"),
		func(line string) bool { return strings.Contains(line, "emulator listening") }, "MEET_EMULATOR_ADDR="+addr)
	if err != nil {
		return err
	}
	return s.Emulator.Start(ctx)
}

// services starts all services at once.
func (s *Stack) services(ctx context.Context) error {
	service := func(program, name string, env ...string) (*Process, error) {
		if s.options.NATSServers > 1 {
			env = append(env, "MEET_NATS_REPLICAS="+strconv.Itoa(s.options.NATSServers))
		}
		ops, err := freeAddress(ctx)
		if err != nil {
			return nil, err
		}
		env = append(append(env, "NATS_URL="+s.nats, "MEET_OPS_ADDR="+ops, "MEET_EMULATOR_URL="+s.EmulatorURL), s.options.Env...)
		return s.process(name, filepath.Join(s.options.Programs, program), func(line string) bool { return strings.Contains(line, `"msg":"started"`) }, env...)
	}
	var meetings, gateways []*Process
	for i := range max(1, s.options.Meetings) {
		p, err := service("meetings", numbered("meetings", i), "DATABASE_URL="+s.postgres.URL())
		if err != nil {
			return err
		}
		meetings = append(meetings, p)
	}
	for i := range max(1, s.options.Gateways) {
		addr, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		p, err := service("gateway", numbered("gateway", i), "MEET_ADDR="+addr, "MEET_AUTH=open")
		if err != nil {
			return err
		}
		gateways, s.GatewayURLs = append(gateways, p), append(s.GatewayURLs, "http://"+addr)
	}
	s.Meetings, s.Gateway, s.GatewayURL = meetings[0], gateways[0], s.GatewayURLs[0]
	s.More = append(meetings[1:], gateways[1:]...)
	all := append([]*Process{s.Meetings, s.Gateway}, s.More...)
	for i := range s.options.Schedulers {
		p, err := service("scheduler", "scheduler-"+strconv.Itoa(i+1))
		if err != nil {
			return err
		}
		s.Schedulers, all = append(s.Schedulers, p), append(all, p)
	}
	for _, p := range all {
		if err := p.Launch(); err != nil {
			return err
		}
	}
	for _, p := range all {
		if err := p.AwaitStarted(ctx); err != nil {
			return err
		}
	}
	return nil
}

// numbered is the name of the i-th process of a program; the first has the program's.
func numbered(program string, i int) string {
	if i == 0 {
		return program
	}
	return program + "-" + strconv.Itoa(i+1)
}

func (s *Stack) process(name, path string, ready func(string) bool, env ...string) (*Process, error) {
	log, err := os.OpenFile(s.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the log of %s: %w", name, err)
	}
	s.mu.Lock()
	s.logs = append(s.logs, log)
	s.mu.Unlock()
	return &Process{Name: name, path: path, env: env, log: log, ready: ready}, nil
}

// LogFile is where a process's log is.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.options.Dir, name+".log") }

// PostgresPID is the process of the database server, below which all its others are.
func (s *Stack) PostgresPID() (int, error) {
	text, err := os.ReadFile(filepath.Join(s.postgres.DataDir(), "postmaster.pid"))
	if err != nil {
		return 0, fmt.Errorf("find Postgres: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// NATSURL is where the nats-servers are.
func (s *Stack) NATSURL() string { return s.nats }

// Stop ends everything that has started.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	for _, p := range slices.Concat(s.More, []*Process{s.Gateway, s.Meetings}, s.Schedulers, []*Process{s.Emulator}) {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	if s.Conn != nil {
		s.Conn.Close()
	}
	if s.NATS != nil {
		errs = append(errs, s.NATS.Stop())
	}
	if s.DB != nil {
		s.DB.Close()
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop(ctx))
	}
	for _, log := range s.logs {
		errs = append(errs, log.Close())
	}
	return errors.Join(errs...)
}

// Google asks a control route of the emulator; body and into may be nil.
func (s *Stack) Google(ctx context.Context, method, path string, body, into any) error {
	return s.call(ctx, method, s.EmulatorURL+"/_emulator/"+path, nil, body, into)
}

// Ask sends a request to the public API.
func (s *Stack) Ask(ctx context.Context, method, path string, header http.Header, body, into any) error {
	return s.call(ctx, method, s.GatewayURL+"/api/v1/"+path, header, body, into)
}

// Refused is an answer of 400 and above.
type Refused struct {
	Status int
	Body   string
}

func (r *Refused) Error() string { return fmt.Sprintf("answered %d: %.300s", r.Status, r.Body) }

func (s *Stack) call(ctx context.Context, method, url string, header http.Header, body, into any) error {
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, url, err)
		}
		sent = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, sent)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.control.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	defer res.Body.Close() // read to its end, or given up
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %w", method, url, &Refused{Status: res.StatusCode, Body: string(text)})
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	return nil
}

// freeAddress is below those that the kernel gives to outgoing connections, because a program that is killed has to get the
// same one again.
func freeAddress(ctx context.Context) (string, error) {
	const first, last = 15000, 30000
	for range 100 {
		addr := "127.0.0.1:" + strconv.Itoa(first+rand.IntN(last-first)) //nolint:gosec // picks a port
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", errors.New("no free port")
}
