// Package instance starts the all-in-one program for a measurement, or finds one that runs, so that what is measured is the
// shipped binary as a process of its own.
package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/bench/internal/proc"
)

const (
	startPatience = 60 * time.Second // initdb on a slow disk included
	stopPatience  = 20 * time.Second
	logName       = "bench.log"
)

// Addresses are where an instance answers, as its addresses.json has them.
type Addresses struct {
	HTTP     string `json:"http"`
	Ops      string `json:"ops"`
	NATS     string `json:"nats"`
	Emulator string `json:"emulator"`
	Postgres string `json:"postgres"`
}

// Instance is a running program.
type Instance struct {
	Addresses
	// PID of the program; its Postgres is below it.
	PID int
	// Dir is its data folder.
	Dir string

	process *exec.Cmd
	log     *os.File
	exited  chan struct{} // closed when it has ended
	exit    error         // how; read after exited
}

// Start runs binary on the data folder dir with free ports and the given settings (NAME=value) on top of this process's
// environment, and returns when it is ready. Its log goes to a file in dir.
func Start(ctx context.Context, binary, dir string, settings ...string) (*Instance, error) {
	i := &Instance{Dir: dir, exited: make(chan struct{})}
	var err error
	if i.log, err = os.Create(filepath.Join(dir, logName)); err != nil {
		return nil, fmt.Errorf("make the instance's log: %w", err)
	}
	// Ended by Stop with a signal that lets it finish, not by a context that kills it.
	i.process = exec.Command(binary) //nolint:noctx // see above
	i.process.Stdout, i.process.Stderr = i.log, i.log
	i.process.Env = append(os.Environ(),
		"MEET_DATA_DIR="+dir, "MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "MEET_NATS_ADDR=127.0.0.1:0",
		"MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_GOOGLE_QUOTAS=off", "MEET_AUTH=open")
	i.process.Env = append(i.process.Env, settings...)
	if err := i.process.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", binary, err), i.log.Close())
	}
	i.PID = i.process.Process.Pid
	go func() {
		i.exit = errors.Join(i.process.Wait(), i.log.Close())
		close(i.exited)
	}()
	if err := i.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the instance: %w; it said: %s", err, i.lastWords()), i.Stop())
	}
	return i, nil
}

func (i *Instance) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("not ready within %s", startPatience))
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-i.exited:
			return errors.Join(errors.New("it ended"), i.exit)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-look.C:
		}
		err := i.readAddresses()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
}

func (i *Instance) readAddresses() error {
	text, err := os.ReadFile(filepath.Join(i.Dir, "addresses.json"))
	if err != nil {
		return fmt.Errorf("read the instance's addresses: %w", err)
	}
	if err := json.Unmarshal(text, &i.Addresses); err != nil {
		return fmt.Errorf("read the instance's addresses: %w", err)
	}
	return nil
}

// lastWords are the log's last lines.
func (i *Instance) lastWords() string {
	text, err := os.ReadFile(filepath.Join(i.Dir, logName))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Attach finds the instance that runs on the data folder dir.
func Attach(ctx context.Context, dir string) (*Instance, error) {
	i := &Instance{Dir: dir}
	if err := i.readAddresses(); err != nil {
		return nil, fmt.Errorf("no instance runs on this folder: %w", err)
	}
	// Its Postgres is its child: the way up leads to it.
	conn, err := pgx.Connect(ctx, i.Postgres)
	if err != nil {
		return nil, fmt.Errorf("connect to the instance's database: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	var backend int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return nil, fmt.Errorf("find the instance's database: %w", err)
	}
	postmaster, err := proc.Parent(backend)
	if err != nil {
		return nil, fmt.Errorf("find the instance's database: %w", err)
	}
	if i.PID, err = proc.Parent(postmaster); err != nil {
		return nil, fmt.Errorf("find the instance: %w", err)
	}
	return i, nil
}

// Stop ends what Start started and waits for its end; what was only attached to goes on.
func (i *Instance) Stop() error {
	if i.process == nil {
		return nil
	}
	select {
	case <-i.exited:
		return i.exit
	default:
	}
	if err := i.process.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the instance: %w", err)
	}
	select {
	case <-i.exited:
		return i.exit
	case <-time.After(stopPatience):
	}
	err := i.process.Process.Kill()
	<-i.exited
	return errors.Join(fmt.Errorf("the instance did not stop within %s and was killed", stopPatience), err)
}
