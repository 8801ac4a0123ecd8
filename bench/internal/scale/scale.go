// Package scale measures what more of each part brings: the whole product as processes, with one and with several of each
// program and of NATS, and with a log of events that has grown. All layouts take turns on the same machine, so that what is
// compared was measured under the same conditions; the ratios between them are what the result is for.
package scale

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/client"
	"github.com/meet-middleware/meet-middleware/bench/internal/load"
	"github.com/meet-middleware/meet-middleware/bench/internal/plan"
	"github.com/meet-middleware/meet-middleware/bench/internal/proc"
	"github.com/meet-middleware/meet-middleware/bench/internal/report"
	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

// Options of a measurement.
type Options struct {
	// Programs is the folder of the binaries.
	Programs string
	// Rounds is how often each layout has its turn; Each is how long creates are made in one.
	Rounds int
	Each   time.Duration
	// Events is how many rows the log of events is filled up to; 0: not.
	Events int
	// Only measures the parts whose name matches: layouts, google, nats, events; nil: all.
	Only     *regexp.Regexp
	Progress io.Writer
}

const (
	callers       = 32
	drainPatience = 2 * time.Minute
	// slowGoogle is how long each call to Google takes where schedulers are what is measured: so long that no core is.
	slowGoogle = 2 * time.Second
	// backlog is how many meetings wait for that Google.
	backlog = 640
)

// Layout is how many of each there are.
type Layout struct{ Gateways, Meetings, Schedulers, NATS int }

func (l Layout) String() string {
	return fmt.Sprintf("%d / %d / %d / %d", l.Gateways, l.Meetings, l.Schedulers, l.NATS)
}

// layouts has the one that all others are compared with first.
var layouts = []Layout{{1, 1, 1, 1}, {2, 1, 1, 1}, {1, 2, 1, 1}, {1, 3, 1, 1}, {1, 1, 2, 1}, {1, 1, 5, 1}, {2, 3, 5, 1}, {1, 1, 1, 3}}

// Result of a measurement.
type Result struct {
	Options Options
	Taken   time.Time
	Machine report.Machine
	Creates []Creates
	Google  []Google
	NATS    []Stored
	Events  []Events
}

// Creates is what one layout did with so many in flight; medians of its rounds.
type Creates struct {
	Layout
	PerSecond, P50MS, P99MS float64
	// CPU of one create in ms, by program; all of a kind together.
	CPU map[string]float64
	// IdleMB and BusyMB are the memory of one process of a kind after the start and under load.
	IdleMB, BusyMB map[string]float64
	Failed         int
}

// Google is how quickly a backlog drains at a Google that is slow.
type Google struct {
	Schedulers int
	// PerSecond are calls.
	PerSecond float64
}

// bench is a measurement under way.
type bench struct {
	o   Options
	dir string
	n   int // operations begun: each has a guest and an organizer of its own
}

// Run carries it all out; the stacks have ended by then.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	dir, err := os.MkdirTemp("", "meet-bench-scale-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the database's own user passes through
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	b := &bench{o: o, dir: dir}
	r := &Result{Options: o, Taken: time.Now().UTC(), Machine: plan.Machine(dir)}
	for _, part := range []struct {
		name string
		run  func(context.Context, *Result) error
	}{{"layouts", b.layouts}, {"google", b.google}, {"nats", b.nats}, {"events", b.events}} {
		if o.Only != nil && !o.Only.MatchString(part.name) {
			continue
		}
		if err := part.run(ctx, r); err != nil {
			return nil, fmt.Errorf("measure %s: %w", part.name, err)
		}
	}
	return r, nil
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.o.Progress, format+"\n", args...)
}

// with runs a stack of its own for do.
func (b *bench) with(ctx context.Context, l Layout, do func(*stack.Stack) error) (err error) {
	dir, err := os.MkdirTemp(b.dir, "stack-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // as above
		return fmt.Errorf("make a folder: %w", err)
	}
	s, err := stack.Start(ctx, stack.Options{
		Programs: b.o.Programs, Dir: dir, Gateways: l.Gateways, Meetings: l.Meetings, Schedulers: l.Schedulers, NATSServers: l.NATS, Fsync: true,
		// Creates make one call to Google each, and none a token of its own.
		Env: []string{"GOOGLE_WORKSPACE_ADMIN_EMAIL=calendar@clinic.example", "MEET_RATE_LIMIT=off"},
	})
	defer func() { err = errors.Join(err, s.Stop(context.WithoutCancel(ctx))) }()
	if err != nil {
		return err
	}
	return do(s)
}

// layouts measures creates in each layout, in turn.
func (b *bench) layouts(ctx context.Context, r *Result) error {
	rounds := make([][]Creates, len(layouts))
	for range b.o.Rounds {
		for i, l := range layouts {
			if err := b.with(ctx, l, func(s *stack.Stack) error {
				c, err := b.creates(ctx, s, l)
				if err == nil {
					rounds[i] = append(rounds[i], c)
					b.say("%s: %.0f creates/s, p50 %.1f ms, p99 %.1f ms, CPU %.2f", l, c.PerSecond, c.P50MS, c.P99MS, c.CPU)
				}
				return err
			}); err != nil {
				return fmt.Errorf("%s: %w", l, err)
			}
		}
	}
	for _, of := range rounds {
		r.Creates = append(r.Creates, median(of, func(c Creates) float64 { return c.PerSecond }))
	}
	return nil
}

// median is the middle one by what is compared.
func median[T any, K cmp.Ordered](of []T, by func(T) K) T {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b T) int { return cmp.Compare(by(a), by(b)) })
	return sorted[len(sorted)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// creates makes meetings through all gateways and waits until nothing of them is left to do.
func (b *bench) creates(ctx context.Context, s *stack.Stack, l Layout) (c Creates, err error) {
	c = Creates{Layout: l}
	do, done := b.creator(s, false)
	defer done()
	if warm := load.Run(ctx, 8, b.o.Each/4, do); warm.FirstError != nil {
		return c, fmt.Errorf("warm up: %w", warm.FirstError)
	}
	if err := drain(ctx, s); err != nil {
		return c, err
	}
	if c.IdleMB, err = memory(s); err != nil {
		return c, err
	}
	before, err := cost(s)
	if err != nil {
		return c, err
	}
	began := time.Now()
	result := load.Run(ctx, callers, b.o.Each, do)
	if c.BusyMB, err = memory(s); err != nil {
		return c, err
	}
	if err := errors.Join(context.Cause(ctx), drain(ctx, s)); err != nil {
		return c, err
	}
	took := time.Since(began)
	after, err := cost(s)
	if err != nil {
		return c, err
	}
	if result.Done == 0 {
		return c, fmt.Errorf("none of %d creates went well: %w", result.Failed, result.FirstError)
	}
	c.PerSecond, c.P50MS, c.P99MS, c.Failed = float64(result.Done)/took.Seconds(), ms(result.P50), ms(result.P99), result.Failed
	c.CPU = map[string]float64{}
	for kind, used := range after {
		c.CPU[kind] = ms(used-before[kind]) / float64(result.Done)
	}
	return c, nil
}

// creator is an operation that creates a meeting at the gateways in turn; done closes their connections.
func (b *bench) creator(s *stack.Stack, async bool) (do load.Op, done func()) {
	var clients []*client.Client
	for _, url := range s.GatewayURLs {
		clients = append(clients, client.New(url, s.EmulatorURL))
	}
	first := b.n
	b.n += 1_000_000
	return func(ctx context.Context, n int) error {
			who := client.Meeting{Organizer: fmt.Sprintf("doctor%d@clinic.example", first+n), Plain: true, Async: async}
			_, err := clients[n%len(clients)].Create(ctx, who, first+n)
			return err
		}, func() {
			for _, c := range clients {
				c.Close()
			}
		}
}

// drain waits until no meeting's job is due or out and every event is numbered.
func drain(ctx context.Context, s *stack.Stack) error {
	return await(ctx, s, `SELECT NOT EXISTS (SELECT FROM jobs WHERE state IN ('due', 'out') AND key = '') AND NOT EXISTS (SELECT FROM events WHERE seq IS NULL)`)
}

// await waits until a question to the database is answered with true. Nothing tells of that, so it is looked for.
func await(ctx context.Context, s *stack.Stack, question string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainPatience, fmt.Errorf("work has not drained within %s", drainPatience))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var drained bool
		if err := s.DB.QueryRow(ctx, question).Scan(&drained); err != nil {
			return errors.Join(fmt.Errorf("look for work: %w", err), context.Cause(ctx))
		}
		if drained {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// The kinds of processes, in the order of a request's way.
var kinds = []string{"gateway", "nats", "meetings", "postgres", "scheduler", "emulator"}

// processes of each kind.
func processes(s *stack.Stack) (map[string][]int, error) {
	postgres, err := s.PostgresPID()
	if err != nil {
		return nil, err
	}
	of := map[string][]int{
		"gateway": {s.Gateway.PID()}, "meetings": {s.Meetings.PID()}, "nats": {s.NATS.PID()}, "emulator": {s.Emulator.PID()}, "postgres": {postgres},
	}
	for _, p := range s.Schedulers {
		of["scheduler"] = append(of["scheduler"], p.PID())
	}
	for _, p := range s.More {
		kind := regexp.MustCompile(`^[a-z]+`).FindString(p.Name)
		of[kind] = append(of[kind], p.PID())
	}
	return of, nil
}

// cost is the CPU time of each kind so far.
func cost(s *stack.Stack) (map[string]time.Duration, error) {
	of, err := processes(s)
	if err != nil {
		return nil, err
	}
	used := map[string]time.Duration{}
	for kind, pids := range of {
		for _, pid := range pids {
			cpu, err := proc.CPUOf(pid)
			if err != nil {
				return nil, err
			}
			used[kind] += cpu.Total()
		}
	}
	return used, nil
}

// memory is that of the largest process of each kind, with all below it.
func memory(s *stack.Stack) (map[string]float64, error) {
	of, err := processes(s)
	if err != nil {
		return nil, err
	}
	mb := map[string]float64{}
	for kind, pids := range of {
		for _, pid := range pids {
			own, below, err := proc.PSS(pid)
			if err != nil {
				return nil, err
			}
			mb[kind] = max(mb[kind], float64(own+below)/(1<<20))
		}
	}
	return mb, nil
}

// google measures how quickly more schedulers work off what waits for a slow Google.
func (b *bench) google(ctx context.Context, r *Result) error {
	counts := []int{1, 2, 3, 4, 5}
	rounds := make([][]Google, len(counts))
	for range b.o.Rounds {
		for i, schedulers := range counts {
			if err := b.with(ctx, Layout{1, 1, schedulers, 1}, func(s *stack.Stack) error {
				g, err := b.slow(ctx, s, schedulers)
				if err == nil {
					rounds[i] = append(rounds[i], g)
					b.say("%d schedulers: %.0f calls/s", schedulers, g.PerSecond)
				}
				return err
			}); err != nil {
				return fmt.Errorf("%d schedulers: %w", schedulers, err)
			}
		}
	}
	for _, of := range rounds {
		r.Google = append(r.Google, median(of, func(g Google) float64 { return g.PerSecond }))
	}
	return nil
}

func (b *bench) slow(ctx context.Context, s *stack.Stack, schedulers int) (Google, error) {
	fault := []map[string]any{{"match": "POST /calendar/v3/", "latency": slowGoogle.String()}}
	if err := s.Google(ctx, http.MethodPost, "faults", fault, nil); err != nil {
		return Google{}, err
	}
	do, done := b.creator(s, true)
	defer done()
	began := time.Now()
	// The first answers come while the last are still sent: what is measured is the whole.
	for sent := 0; sent < backlog; {
		result := load.Run(ctx, callers, 100*time.Millisecond, do)
		if result.FirstError != nil {
			return Google{}, result.FirstError
		}
		sent += result.Done
	}
	if err := drain(ctx, s); err != nil {
		return Google{}, err
	}
	var made int
	if err := s.DB.QueryRow(ctx, "SELECT count(*) FROM meetings WHERE provisioning = 'ready'").Scan(&made); err != nil {
		return Google{}, fmt.Errorf("count meetings: %w", err)
	}
	return Google{Schedulers: schedulers, PerSecond: float64(made) / time.Since(began).Seconds()}, nil
}
