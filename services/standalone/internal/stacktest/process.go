package stacktest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startPatience bounds the wait for a program's first readiness; on a machine that does much else it may take a while.
	startPatience = 90 * time.Second
	// stopPatience is the time that every program has for its stop, and some for a slow machine.
	stopPatience = 20 * time.Second
	// tail is how many lines of a program's log are shown when a test has failed.
	tail = 60
)

// Process is a program that can be started, killed and started again.
type Process struct {
	Name string
	path string
	args []string
	env  []string
	// ready tells the line of the log that says that the program serves.
	ready func(line string) bool
	// killed runs just before the program itself is killed.
	killed func()
	// credential is who it runs as; nil: as the test.
	credential *syscall.Credential

	mu   sync.Mutex // guards what follows
	log  []string   // of all its runs
	runs int
	run  *run
}

// run is one life of a program.
type run struct {
	cmd     *exec.Cmd
	started chan struct{} // closed at the line that says that it serves
	exited  chan struct{} // closed at its end; err may be read then
	err     error
	asked   bool // its end was asked for
	once    sync.Once
}

// serviceStarted is the line that lifecycle.Run logs once every hook has run.
func serviceStarted(line string) bool { return strings.Contains(line, `"msg":"started"`) }

// Launch starts the program and does not wait until it serves; extra settings win over its own.
func (p *Process) Launch(extra ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && !p.run.over() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	r := &run{started: make(chan struct{}), exited: make(chan struct{})}
	// Not bound to a context: it ends by the test's own hand, or with the test.
	r.cmd = exec.Command(p.path, p.args...) //nolint:noctx // see above
	r.cmd.Env = append(append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, p.env...), extra...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.credential}
	r.cmd.WaitDelay = 2 * time.Second // what the program leaves behind may hold its log open
	read, write := io.Pipe()
	r.cmd.Stdout, r.cmd.Stderr = write, write
	if err := r.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.run, p.runs = r, p.runs+1
	p.log = append(p.log, fmt.Sprintf("--- run %d, process %d, %s", p.runs, r.cmd.Process.Pid, time.Now().Format("15:04:05.000")))
	go p.read(r, read)
	go func() {
		r.err = r.cmd.Wait()
		_ = write.Close() // a pipe in memory
		p.mu.Lock()
		p.log = append(p.log, fmt.Sprintf("--- ended: %v", r.err))
		p.mu.Unlock()
		close(r.exited)
	}()
	return nil
}

func (r *run) over() bool {
	select {
	case <-r.exited:
		return true
	default:
		return false
	}
}

// read keeps the log, and finds the line that says that the program serves.
func (p *Process) read(r *run, from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			p.mu.Lock()
			p.log = append(p.log, line)
			p.mu.Unlock()
			if p.ready(line) {
				r.once.Do(func() { close(r.started) })
			}
		}
		if err != nil {
			return
		}
	}
}

// Start starts the program and returns once it serves.
func (p *Process) Start(ctx context.Context, extra ...string) error {
	if err := p.Launch(extra...); err != nil {
		return err
	}
	return p.AwaitStarted(ctx)
}

// AwaitStarted returns once the program serves; its end before that is an error.
func (p *Process) AwaitStarted(ctx context.Context) error {
	r := p.current()
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-r.started:
		return nil
	case <-r.exited:
		return fmt.Errorf("%s ended before it served: %w", p.Name, errors.Join(r.err, errors.New(p.lastLine())))
	case <-patience.C:
		return fmt.Errorf("%s does not serve after %s", p.Name, startPatience)
	case <-ctx.Done():
		return fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
	}
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// PID of the running program.
func (p *Process) PID() int { return p.current().cmd.Process.Pid }

// Exited is closed when the program that runs now has ended.
func (p *Process) Exited() <-chan struct{} { return p.current().exited }

// AwaitExit waits for the program's end by itself and returns how it ended.
func (p *Process) AwaitExit(ctx context.Context) error {
	r := p.current()
	select {
	case <-r.exited:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.Name, context.Cause(ctx))
	}
}

// Kill ends the program with SIGKILL and waits for its end.
func (p *Process) Kill() error {
	r := p.current()
	if r == nil {
		return nil
	}
	if r.over() {
		return p.endedItself(r)
	}
	p.mu.Lock()
	r.asked = true
	p.mu.Unlock()
	if p.killed != nil {
		p.killed()
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-r.exited
	if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		return p.endedItself(r)
	}
	return nil
}

// Crashed is nil where the program that has ended was killed, by itself.
func (p *Process) Crashed() error {
	r := p.current()
	if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s did not crash, it ended: %w", p.Name, errors.Join(r.err, errors.New(p.lastLine())))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.asked = true
	return nil
}

// Replace makes the next start run the program in another folder.
func (p *Process) Replace(bin string) { p.path = filepath.Join(bin, filepath.Base(p.path)) }

// endedItself is nil where the end had been asked for.
func (p *Process) endedItself(r *run) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.asked && r.over() && r.cmd.ProcessState.ExitCode() <= 0 {
		return nil
	}
	return fmt.Errorf("%s ended by itself: %w", p.Name, errors.Join(r.err, errors.New("its end was not asked for")))
}

// Stop asks the program to end with SIGTERM; anything but a clean end in time is an error.
func (p *Process) Stop() (took time.Duration, err error) {
	r := p.current()
	if r == nil {
		return 0, nil
	}
	if r.over() {
		return 0, p.endedItself(r)
	}
	p.mu.Lock()
	r.asked = true
	p.mu.Unlock()
	begin := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, fmt.Errorf("end %s: %w", p.Name, err)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-r.exited:
	case <-patience.C:
		_ = r.cmd.Process.Kill() // it is over by now or will be
		<-r.exited
		return 0, fmt.Errorf("%s did not end %s after SIGTERM", p.Name, stopPatience)
	}
	if r.err != nil {
		return 0, fmt.Errorf("%s did not end well after SIGTERM: %w", p.Name, r.err)
	}
	return time.Since(begin), nil
}

// end is for the end of a test: whatever it takes.
func (p *Process) end() {
	if r := p.current(); r != nil && !r.over() {
		p.mu.Lock()
		r.asked = true
		p.mu.Unlock()
		if p.killed != nil {
			p.killed()
		}
		_ = r.cmd.Process.Kill() // it is over by now or will be
		<-r.exited
	}
}

func (p *Process) lastLine() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.log) < 2 {
		return "it said nothing"
	}
	return p.log[len(p.log)-2] // the last one says that it ended
}

// Lines are the log of all its runs, one line each, the newest last.
func (p *Process) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// findRaces fails the test when the race detector has found something in the program.
func (p *Process) findRaces(tb testing.TB) {
	tb.Helper()
	const report = 40 // lines
	lines := p.Lines()
	for i, line := range lines {
		if strings.Contains(line, "WARNING: DATA RACE") {
			tb.Errorf("%s: %s", p.Name, strings.Join(lines[i:min(len(lines), i+report)], "\n"))
			return
		}
	}
}

// show writes the end of the log to the test's output.
func (p *Process) show(tb testing.TB) {
	tb.Helper()
	lines := p.Lines()
	var text bytes.Buffer
	for _, line := range lines[max(0, len(lines)-tail):] {
		text.WriteString("  " + line + "\n")
	}
	tb.Logf("log of %s, %d lines, the last ones:\n%s", p.Name, len(lines), text.String())
}

// Says tells whether a line of the present run's log contains text.
func (p *Process) Says(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.log) - 1; i >= 0 && !strings.HasPrefix(p.log[i], "--- run "); i-- {
		if strings.Contains(p.log[i], text) {
			return true
		}
	}
	return false
}
