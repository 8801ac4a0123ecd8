// Package lifecycle owns what runs: a background loop ([Go]) and the whole program ([Run]). Every
// goroutine started here has an owner that waits for it, and a program always ends in time with an
// exit status that tells what happened. It knows no service.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// StartTimeout bounds the whole start: the waits for Postgres (30 s) and NATS (15 s), and migrations.
const StartTimeout = 2 * time.Minute

// StopTimeout bounds the whole stop, from the signal to the end of the process.
const StopTimeout = 10 * time.Second

// Exit statuses, beside [config.ExitCode].
const (
	ExitClean  = 0
	ExitFailed = 1
)

// errStopped is the cause of a loop's ended context.
var errStopped = errors.New("the program stops")

// Go makes run a part of the program. It starts in OnStart with a context of its own, which ends in
// OnStop; OnStop then waits for run to return, as long as the stop may last. run returns when its
// context ends. If it returns or panics before, that is logged and the whole program shuts down
// with [ExitFailed]: a program without one of its loops is worse than none.
func Go(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, name string, run func(context.Context) error) {
	var (
		end  context.CancelCauseFunc
		done chan struct{}
	)
	lc.Append(fx.Hook{
		OnStart: func(ctx context.Context) error {
			// The hook's context ends with the hook; the loop keeps only its values.
			var loop context.Context
			loop, end = context.WithCancelCause(context.WithoutCancel(ctx))
			done = make(chan struct{})
			go func() {
				defer close(done)
				err := guard(loop, run)
				if loop.Err() != nil {
					if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errStopped) {
						log.WarnContext(loop, "loop ended with an error while stopping", "loop", name, "error", err)
					}
					return
				}
				if err == nil {
					err = errors.New("returned before it was told to")
				}
				log.ErrorContext(loop, "loop ended, shutting down", "loop", name, "error", err)
				if err := sd.Shutdown(fx.ExitCode(ExitFailed)); err != nil {
					log.ErrorContext(loop, "shutdown failed", "loop", name, "error", err)
				}
			}()
			return nil
		},
		OnStop: func(ctx context.Context) error {
			end(errStopped)
			select {
			case <-done:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("loop %s did not end: %w", name, context.Cause(ctx))
			}
		},
	})
}

// guard turns a panic and a Goexit of run into an error.
func guard(ctx context.Context, run func(context.Context) error) (err error) {
	returned := false
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		} else if !returned {
			err = errors.New("goroutine exited")
		}
	}()
	err = run(ctx)
	returned = true
	return err
}

// Run runs a program until it is told to stop, and returns its exit status for os.Exit:
// [config.ExitCode] when settings are wrong (all problems are printed), [ExitFailed] when it can't
// start in [StartTimeout] or stop in [StopTimeout] or one of its loops ended, [ExitClean] after
// SIGTERM or SIGINT, during its start too. Whatever had started is stopped in every case. A second
// signal ends it at once.
//
// A hook's context ends with the hook, and when the time allowed for the start, or the stop, as a
// whole has run out. OnStop runs for every hook whose OnStart returned no error; one that fails has
// to undo its own part.
//
// With --graph among the process's arguments it starts nothing and prints what the program is wired
// from, in Graphviz's language.
func Run(program string, opts ...fx.Option) int {
	if slices.Contains(os.Args[1:], "--graph") {
		if err := Graph(os.Stdout, opts...); err != nil {
			config.Report(os.Stderr, program, err)
			return ExitFailed
		}
		return ExitClean
	}
	return run(program, os.Stderr, StartTimeout, StopTimeout, opts...)
}

// run is Run with its surroundings as parameters.
func run(program string, stderr io.Writer, startTimeout, stopTimeout time.Duration, opts ...fx.Option) int {
	p := &phases{stopTimeout: stopTimeout}
	var cancelStart context.CancelCauseFunc
	p.start, cancelStart = context.WithCancelCause(context.Background())
	defer cancelStart(nil)

	app := fx.New(append([]fx.Option{
		fx.NopLogger, // logging.Module replaces it
		fx.Decorate(func(lc fx.Lifecycle) fx.Lifecycle { return hooks{lc, p} }),
		fx.Invoke(func(in optionalLog) { p.log = in.Log }),
	}, opts...)...)
	if err := app.Err(); err != nil {
		config.Report(stderr, program, err)
		if len(config.Problems(err)) > 0 {
			return config.ExitCode
		}
		return ExitFailed
	}
	log := p.log
	if log == nil {
		log = slog.New(slog.NewTextHandler(stderr, nil))
	}

	ended := app.Wait() // SIGTERM, SIGINT and Shutdown, from here on
	timeout := time.AfterFunc(startTimeout, func() {
		cancelStart(fmt.Errorf("did not start in %v", startTimeout))
	})
	started := make(chan error, 1)
	// Hooks end by p.start. The app's own context must not: fx would return with a hook still
	// running and roll nothing back.
	go func() { started <- app.Start(context.Background()) }()

	select {
	case err := <-started:
		timeout.Stop()
		if err != nil { // rolled back by fx
			log.Error("start failed", "program", program, "error", err)
			return ExitFailed
		}
	case sig := <-ended:
		// Its stop is the rollback, or follows at once if the start was over in this very moment.
		cancelStart(errStopped)
		return p.stop(app, log, sig, started)
	case <-p.start.Done():
		log.Error("start timed out", "program", program, "error", context.Cause(p.start))
		p.stop(app, log, fx.ShutdownSignal{}, started)
		return ExitFailed
	}
	log.Info("started", "program", program)
	return p.stop(app, log, <-ended, nil)
}

// Subcommand runs what a program does in place of running, and returns its exit status for os.Exit. ctx ends at SIGTERM or SIGINT.
func Subcommand(run func(ctx context.Context) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx)
}

// Graph writes what a program of these options is wired from, in Graphviz's language. Constructors
// run, hooks do not.
func Graph(w io.Writer, opts ...fx.Option) error {
	var dot fx.DotGraph
	app := fx.New(append(slices.Clone(opts), fx.NopLogger, fx.Populate(&dot))...)
	if err := app.Err(); err != nil {
		return err
	}
	_, err := io.WriteString(w, string(dot))
	return err
}

// optionalLog asks for the program's logger, which a small program may not have.
type optionalLog struct {
	fx.In
	Log *slog.Logger `optional:"true"`
}

// phases bounds the start and the stop each as a whole.
type phases struct {
	log         *slog.Logger
	start       context.Context //nolint:containedctx // the start is the value here, not a call's argument
	stopTimeout time.Duration

	once    sync.Once
	stopCtx context.Context //nolint:containedctx // as start
	cancel  context.CancelFunc
}

// stopping begins the time allowed for the stop at its first call.
func (p *phases) stopping() context.Context {
	p.once.Do(func() {
		p.stopCtx, p.cancel = context.WithTimeoutCause(context.Background(), p.stopTimeout,
			fmt.Errorf("did not stop in %v", p.stopTimeout))
	})
	return p.stopCtx
}

// stop ends the app after sig. started is not nil while the start is still under way; it gives up on
// its own and is waited for first.
func (p *phases) stop(app *fx.App, log *slog.Logger, sig fx.ShutdownSignal, started <-chan error) int {
	again := make(chan os.Signal, 1)
	signal.Notify(again, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(again)

	log.Info("stopping", "exit_code", sig.ExitCode)
	ctx := p.stopping()
	defer p.cancel()
	stopped := make(chan error, 1)
	go func() {
		if started != nil {
			// Ends because it was told to; what else its rollback met is logged hook by hook.
			if err := <-started; err != nil {
				log.Debug("start given up", "error", err)
			}
		}
		stopped <- app.Stop(ctx)
	}()
	select {
	case err := <-stopped:
		if err != nil {
			log.Error("stop failed", "error", err)
			return ExitFailed
		}
		log.Info("stopped")
		return sig.ExitCode
	case <-ctx.Done():
		log.Error("stop failed", "error", context.Cause(ctx))
	case <-again:
		log.Error("stop given up", "error", "a second signal")
	}
	return ExitFailed
}

// hooks is the lifecycle that every constructor sees: it bounds each hook by its phase.
type hooks struct {
	fx.Lifecycle
	p *phases
}

func (h hooks) Append(hook fx.Hook) {
	name := hookName(hook)
	bounded := fx.Hook{}
	// A hook with nothing to start still has to be marked as started, so that it is stopped.
	bounded.OnStart = func(context.Context) error {
		if h.p.start.Err() != nil {
			return context.Cause(h.p.start)
		}
		if hook.OnStart == nil {
			return nil
		}
		begin := time.Now()
		ctx, cancel := context.WithCancel(h.p.start)
		defer cancel()
		err := hook.OnStart(ctx)
		if h.p.log != nil {
			h.p.log.Debug("start hook", "hook", name, "took", time.Since(begin))
		}
		if err != nil && h.p.start.Err() != nil {
			return fmt.Errorf("%w: %w", context.Cause(h.p.start), err)
		}
		return err
	}
	if hook.OnStop != nil {
		bounded.OnStop = func(context.Context) error {
			begin := time.Now()
			err := hook.OnStop(h.p.stopping())
			if h.p.log != nil {
				h.p.log.Debug("stop hook", "hook", name, "took", time.Since(begin))
			}
			return err
		}
	}
	h.Lifecycle.Append(bounded)
}

// hookName is the function that a hook runs.
func hookName(hook fx.Hook) string {
	fn := hook.OnStart
	if fn == nil {
		fn = hook.OnStop
	}
	if f := runtime.FuncForPC(reflect.ValueOf(fn).Pointer()); f != nil {
		return f.Name()
	}
	return "unknown"
}
