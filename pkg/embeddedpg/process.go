package embeddedpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	fastPatience      = 8 * time.Second
	immediatePatience = 2 * time.Second
	pollInterval      = 10 * time.Millisecond
	longLife          = 10 * time.Second // a server that lived this long restarts with no delay before
	maxRestartDelay   = 5 * time.Second
)

// Reasons for an exit before readiness that go away by themselves.
var (
	errPortTaken  = errors.New("the port was taken meanwhile")
	errStillInUse = errors.New("the data are still in use")
)

// postmaster owns the server process. The process is in a group of its own, so that a terminal's
// Ctrl-C reaches this program alone and the program stops the server in its order. Where the
// kernel can it ends the server when this program is killed.
type postmaster struct {
	log  *slog.Logger
	bin  string
	data string
	args []string
	user account

	settled chan struct{} // closed once it was ready: from then on an exit means a new start
	quit    chan struct{} // closed by the first stop
	done    chan struct{} // closed when run has returned
	err     error         // why run returned; read after done

	mu      sync.Mutex // guards what follows
	process *os.Process
	stopped bool
	last    []string // lines the current process wrote last
}

func newPostmaster(log *slog.Logger, bin, data string, args []string, user account) *postmaster {
	return &postmaster{
		log: log, bin: bin, data: data, args: args, user: user,
		settled: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// run starts the process, and again when it ends unasked after it was ready.
func (p *postmaster) run() {
	// The kernel's "parent is dead" signal is bound to the thread that started the child. This
	// goroutine keeps its thread, blocked in wait, for as long as the child lives, and takes the
	// thread with it at the end, when there is no child any more.
	runtime.LockOSThread()
	defer close(p.done)
	for delay := time.Duration(0); ; delay = min(max(2*delay, 100*time.Millisecond), maxRestartDelay) {
		select {
		case <-p.quit:
			return
		case <-time.After(delay):
		}
		began := time.Now()
		err := p.runOnce()
		select {
		case <-p.quit: // asked first: of two that are ready, one select takes either
			return
		default:
		}
		select {
		case <-p.settled:
		default:
			p.err = err
			return
		}
		p.log.Error("embedded PostgreSQL ended unasked; starting it again", "error", err)
		if time.Since(began) > longLife {
			delay = 0
		}
	}
}

func (p *postmaster) runOnce() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	// Deliberately not bound to a context: the end is a sequence of signals, see stop.
	cmd := exec.Command(p.bin, p.args...) //nolint:noctx // see above
	cmd.Dir, cmd.Env = p.data, environment()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user.cred, Setpgid: true}
	endWithParent(cmd.SysProcAttr)

	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		return w.Close()
	}
	err = cmd.Start()
	p.process, p.last = cmd.Process, nil
	p.mu.Unlock()
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	read := make(chan struct{})
	go func() { defer close(read); p.readLog(r) }()
	err = cmd.Wait()
	p.mu.Lock()
	p.process = nil
	p.mu.Unlock()
	// Children of a postmaster that was killed may hold the pipe a little longer.
	if err := r.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	<-read
	return p.explain(err)
}

// explain adds what the server said last.
func (p *postmaster) explain(err error) error {
	p.mu.Lock()
	said := strings.Join(p.last, "; ")
	p.mu.Unlock()
	if err == nil {
		err = errors.New("exit status 0")
	}
	switch {
	case strings.Contains(said, "could not create any TCP/IP sockets"):
		err = errors.Join(errPortTaken, err)
	case strings.Contains(said, "pre-existing shared memory block"), strings.Contains(said, "lock file"):
		err = errors.Join(errStillInUse, err)
	}
	return fmt.Errorf("postgres ended: %w: %s", err, said)
}

// readLog passes the server's lines to slog until the pipe ends.
func (p *postmaster) readLog(r io.Reader) {
	const keep = 5
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		level := slog.LevelDebug
		switch kind, _, _ := strings.Cut(line, ":"); kind {
		case "WARNING":
			level = slog.LevelWarn
		case "PANIC":
			level = slog.LevelError
		}
		p.log.Log(context.Background(), level, "postgres", "line", line) // its own line: there is no caller
		p.mu.Lock()
		p.last = append(p.last, line)
		p.last = p.last[max(0, len(p.last)-keep):]
		p.mu.Unlock()
	}
	// A line too long for the scanner must not block the server: drop the rest.
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		_, _ = io.Copy(io.Discard, r)
	}
}

// awaitReady returns when the server accepts connections, which it notes in its pid file.
func (p *postmaster) awaitReady(ctx context.Context) error {
	const statusLine = 7
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			if p.err == nil {
				return errors.New("stopped while it started")
			}
			return p.err
		case <-tick.C:
		}
		pid, lines, err := readPidFile(p.data)
		if err != nil || len(lines) <= statusLine || strings.TrimSpace(lines[statusLine]) != "ready" {
			continue
		}
		p.mu.Lock()
		own := p.process != nil && p.process.Pid == pid
		p.mu.Unlock()
		if own {
			close(p.settled)
			return nil
		}
	}
}

// endStep is a signal and how long it may take before the next, harder one.
type endStep struct {
	signal   syscall.Signal
	patience time.Duration
}

func endSteps() [3]endStep {
	return [...]endStep{
		{syscall.SIGINT, fastPatience},       // fast shutdown
		{syscall.SIGQUIT, immediatePatience}, // immediate shutdown: the next start recovers
		{syscall.SIGKILL, immediatePatience},
	}
}

// stop ends the server and waits for it. ctx's end skips the patience.
func (p *postmaster) stop(ctx context.Context) error {
	p.mu.Lock()
	if !p.stopped {
		p.stopped = true
		close(p.quit)
	}
	p.mu.Unlock()
	for _, step := range endSteps() {
		p.signal(step.signal)
		enough := ctx.Done()
		if step.signal != syscall.SIGINT {
			enough = nil // what is left is short, and needed
		}
		patience := time.NewTimer(step.patience)
		select {
		case <-p.done:
			patience.Stop()
			return nil
		case <-enough:
		case <-patience.C:
		}
		patience.Stop()
	}
	return errSurvived
}

func (p *postmaster) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		_ = p.process.Signal(sig) // it may have ended by itself, which is what is wanted
	}
}

// stopOrphan ends the server that a killed process left on data. Taking it over as it runs is not
// enough: it may be on its way out already, it would outlive this process, and it has the settings
// of its own start.
func stopOrphan(ctx context.Context, log *slog.Logger, data string) error {
	pid, _, err := readPidFile(data)
	if errors.Is(err, errDamaged) {
		// Being written this moment, or cut short by a power failure; PostgreSQL starts on neither.
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if pid, _, err = readPidFile(data); errors.Is(err, errDamaged) {
			return os.Remove(filepath.Join(data, pidFile))
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an orphan: %w", err)
	}
	if !isPostmaster(pid, data) {
		// The file is stale. PostgreSQL copes with it, unless a process of the same user has the
		// number by now.
		if syscall.Kill(pid, 0) == nil {
			if err := os.Remove(filepath.Join(data, pidFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	log.InfoContext(ctx, "stopping the PostgreSQL that an earlier run left", "pid", pid, "data", data)
	if err := endOrphan(ctx, pid, data); err != nil {
		return fmt.Errorf("stop the PostgreSQL that an earlier run left (process %d): %w", pid, err)
	}
	return nil
}

func endOrphan(ctx context.Context, pid int, data string) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for _, step := range endSteps() {
		if err := syscall.Kill(pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		for end := time.Now().Add(step.patience); time.Now().Before(end); {
			if !isPostmaster(pid, data) {
				return nil
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return errSurvived
}

const pidFile = "postmaster.pid"

var (
	errDamaged  = errors.New("names no process")
	errSurvived = errors.New("postgres did not end on SIGKILL")
)

// readPidFile gives the lines of data's pid file and the first as a number, which is above 1; else
// the error wraps errDamaged, also for a file that is just being written.
func readPidFile(data string) (int, []string, error) {
	b, err := os.ReadFile(filepath.Join(data, pidFile))
	if err != nil {
		return 0, nil, err
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 1 {
		return 0, nil, fmt.Errorf("%s %w", filepath.Join(data, pidFile), errDamaged)
	}
	return pid, lines, nil
}
