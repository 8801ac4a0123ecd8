package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// journal collects what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

func (j *journal) hook(name string) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle) {
		lc.Append(fx.Hook{
			OnStart: func(context.Context) error { j.add("+" + name); return nil },
			OnStop:  func(context.Context) error { j.add("-" + name); return nil },
		})
	})
}

func loop(name string, run func(context.Context) error) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger) {
		Go(lc, sd, log, name, run)
	})
}

func quiet() fx.Option { return fx.Supply(slog.New(slog.DiscardHandler)) }

func onStart(f func(context.Context) error) fx.Option {
	return fx.Invoke(func(lc fx.Lifecycle) { lc.Append(fx.Hook{OnStart: f}) })
}

func terminate(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

const long = time.Minute // never reached by a test that passes

func TestSIGTERMEndsTheLoopsAndExitsClean(t *testing.T) {
	var j journal
	started := make(chan struct{})
	code := run("x", os.Stderr, long, long, quiet(), j.hook("db"),
		loop("relay", func(ctx context.Context) error {
			<-started
			terminate(t)
			<-ctx.Done()
			j.add("relay:" + context.Cause(ctx).Error())
			return ctx.Err()
		}),
		j.hook("http"),
		onStart(func(context.Context) error { close(started); return nil }))
	if got := j.String(); code != ExitClean || got != "+db +http -http relay:the program stops -db" {
		t.Errorf("exit %d after %s", code, got)
	}
}

func TestALoopThatEndsByItselfEndsTheProgram(t *testing.T) {
	for name, end := range map[string]func(context.Context) error{
		"error":   func(context.Context) error { return errors.New("lost") },
		"nothing": func(context.Context) error { return nil },
		"panic":   func(context.Context) error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			var j journal
			if code := run("x", os.Stderr, long, long, quiet(), j.hook("db"), loop("relay", end)); code != ExitFailed {
				t.Errorf("exit %d", code)
			}
			if got := j.String(); got != "+db -db" {
				t.Errorf("hooks ran as %s", got)
			}
		})
	}
}

func TestTheContextOfALoopOutlivesTheStart(t *testing.T) {
	alive := make(chan error, 1)
	started := make(chan struct{})
	code := run("x", os.Stderr, long, long, quiet(),
		loop("relay", func(ctx context.Context) error {
			<-started
			alive <- ctx.Err()
			terminate(t)
			<-ctx.Done()
			return nil
		}),
		onStart(func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { close(started) })
			return nil
		}))
	if err := <-alive; err != nil || code != ExitClean {
		t.Errorf("loop's context: %v, exit %d", err, code)
	}
}

func TestShutdownDecidesTheExitStatus(t *testing.T) {
	code := run("x", os.Stderr, long, long, quiet(), fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner) {
		lc.Append(fx.Hook{OnStart: func(context.Context) error { return sd.Shutdown(fx.ExitCode(3)) }})
	}))
	if code != 3 {
		t.Errorf("exit %d", code)
	}
}

func TestAStartThatTakesTooLongIsRolledBack(t *testing.T) {
	var j journal
	var stderr bytes.Buffer
	code := run("x", &stderr, 20*time.Millisecond, long, j.hook("db"), onStart(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}), j.hook("never"))
	if got := j.String(); code != ExitFailed || got != "+db -db" {
		t.Errorf("exit %d after %s", code, got)
	}
	if !strings.Contains(stderr.String(), "did not start in 20ms") {
		t.Errorf("said %s", &stderr)
	}
}

func TestHooksOfAModuleAreBoundedToo(t *testing.T) {
	code := run("x", os.Stderr, 20*time.Millisecond, long, quiet(), fx.Module("inner", onStart(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})))
	if code != ExitFailed {
		t.Errorf("exit %d", code)
	}
}

func TestSIGTERMDuringTheStartRollsBackAndExitsClean(t *testing.T) {
	var j journal
	code := run("x", os.Stderr, long, long, quiet(), j.hook("db"), onStart(func(ctx context.Context) error {
		terminate(t)
		<-ctx.Done()
		return ctx.Err()
	}), j.hook("never"))
	if got := j.String(); code != ExitClean || got != "+db -db" {
		t.Errorf("exit %d after %s", code, got)
	}
}

func TestAHookThatFailsRollsBackAndExitsOne(t *testing.T) {
	var j journal
	var stderr bytes.Buffer
	code := run("meetings", &stderr, long, long, j.hook("db"), onStart(func(context.Context) error {
		return errors.New("no route to Postgres")
	}))
	if got := j.String(); code != ExitFailed || got != "+db -db" {
		t.Errorf("exit %d after %s", code, got)
	}
	if !strings.Contains(stderr.String(), "no route to Postgres") {
		t.Errorf("said %s", &stderr)
	}
}

func TestAStopThatHangsEndsInTime(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	begin := time.Now()
	code := run("x", os.Stderr, long, 30*time.Millisecond, quiet(), loop("stuck", func(context.Context) error {
		terminate(t)
		<-release
		return nil
	}))
	if took := time.Since(begin); code != ExitFailed || took > long/2 {
		t.Errorf("exit %d after %v", code, took)
	}
}

func TestASecondSignalEndsAStopThatHangs(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	code := run("x", os.Stderr, long, long, quiet(), loop("quits", func(ctx context.Context) error {
		terminate(t)
		<-ctx.Done()
		terminate(t)
		<-release
		return nil
	}))
	if code != ExitFailed {
		t.Errorf("exit %d", code)
	}
}

type wrong struct {
	Port int `env:"LIFECYCLE_TEST_PORT,required" help:"a port"`
}

func TestWrongSettingsAreListedAndExitTwo(t *testing.T) {
	var stderr bytes.Buffer
	code := run("meetings", &stderr, long, long, config.Env[wrong]())
	if code != config.ExitCode || !strings.Contains(stderr.String(), "LIFECYCLE_TEST_PORT: is required and not set") {
		t.Errorf("exit %d, said %s", code, &stderr)
	}
}

func TestAGraphThatCantBeBuiltExitsOne(t *testing.T) {
	var stderr bytes.Buffer
	code := run("meetings", &stderr, long, long, fx.Invoke(func() error { return errors.New("bad certificate") }))
	if code != ExitFailed || !strings.Contains(stderr.String(), "bad certificate") {
		t.Errorf("exit %d, said %s", code, &stderr)
	}
}

func TestTheGraphIsDrawnWithoutAStart(t *testing.T) {
	var b bytes.Buffer
	err := Graph(&b, quiet(), loop("relay", func(context.Context) error { t.Error("ran"); return nil }),
		onStart(func(context.Context) error { t.Error("started"); return nil }))
	if err != nil || !strings.HasPrefix(b.String(), "digraph {") || !strings.Contains(b.String(), "slog.Logger") {
		t.Errorf("drew %s, %v", &b, err)
	}
	if err := Graph(&b, fx.Invoke(func(*journal) {})); err == nil {
		t.Error("a graph with a hole was drawn")
	}
}

func TestALoopThatNeverStartedIsNotWaitedFor(t *testing.T) {
	code := run("x", os.Stderr, long, long, quiet(),
		onStart(func(context.Context) error { return errors.New("no") }),
		loop("relay", func(context.Context) error { t.Error("ran"); return nil }))
	if code != ExitFailed {
		t.Errorf("exit %d", code)
	}
}
