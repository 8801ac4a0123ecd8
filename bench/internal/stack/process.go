package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	startPatience = 60 * time.Second
	stopPatience  = 20 * time.Second
)

// Process is a program of the stack. It can be killed and started again.
type Process struct {
	// Name of the program and its number, such as scheduler-2.
	Name string

	path  string
	env   []string
	log   *os.File
	ready func(line string) bool

	mu  sync.Mutex // guards run
	run *run
}

// run is one life of a program.
type run struct {
	cmd     *exec.Cmd
	started chan struct{} // closed at the line that says that it serves
	exited  chan struct{} // closed at its end; err may be read then
	err     error
	last    string // its last line so far, read after exited
}

// Launch starts the program and does not wait until it serves.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && !p.run.over() {
		return fmt.Errorf("%s runs already", p.Name)
	}
	r := &run{started: make(chan struct{}), exited: make(chan struct{})}
	r.cmd = exec.Command(p.path) //nolint:noctx // ended by Stop or Kill, and by the kernel with this process
	r.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, p.env...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	r.cmd.Stdout, r.cmd.Stderr = in, in
	if err := r.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.Name, err), out.Close(), in.Close())
	}
	p.run = r
	read := make(chan struct{})
	go func() {
		defer close(read)
		p.read(r, out)
	}()
	go func() {
		r.err = errors.Join(r.cmd.Wait(), in.Close())
		<-read
		_ = out.Close() // read to its end
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
	serves := false
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.last = line
			_, _ = p.log.WriteString(line) // a log that can't be written must not end a measurement
			if !serves && p.ready(line) {
				serves = true
				close(r.started)
			}
		}
		if err != nil {
			return
		}
	}
}

// Start starts the program and returns once it serves.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.AwaitStarted(ctx)
}

// AwaitStarted returns once the program serves; its end before that is an error.
func (p *Process) AwaitStarted(ctx context.Context) error {
	r := p.current()
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("it does not serve after %s", startPatience))
	defer cancel()
	select {
	case <-r.started:
		return nil
	case <-r.exited:
		return fmt.Errorf("%s ended before it served: %w", p.Name, errors.Join(r.err, errors.New(r.last)))
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

// Running tells whether the program has not ended.
func (p *Process) Running() bool {
	r := p.current()
	return r != nil && !r.over()
}

// Kill ends the program with SIGKILL and waits for its end.
func (p *Process) Kill() error {
	r := p.current()
	if r == nil || r.over() {
		return fmt.Errorf("%s ended by itself", p.Name)
	}
	if err := r.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-r.exited
	return nil
}

// Stop asks the program to end with SIGTERM and kills it when it does not.
func (p *Process) Stop() error {
	r := p.current()
	if r == nil || r.over() {
		return nil
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	patience := time.NewTimer(stopPatience)
	defer patience.Stop()
	select {
	case <-r.exited:
		return nil
	case <-patience.C:
	}
	err := r.cmd.Process.Kill()
	<-r.exited
	return errors.Join(fmt.Errorf("%s did not stop within %s and was killed", p.Name, stopPatience), err)
}
