// Package notice takes what Workspace Events tells of conferences out of its queue and hands it on as commands. A notice leaves
// the queue only once it is stored, so that it may come twice and is never lost between the two. It believes nothing: what a
// notice means is decided where the truth is kept, and where no notice comes conferences are read.
package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/httpserver"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
)

// Queue is where the notices are.
type Queue interface {
	// Noticed tells whether there is one to pull from.
	Noticed() bool
	// Pull waits a while for messages and gives up to most of them, none where none came.
	Pull(ctx context.Context, most int) ([]Message, error)
	// Acknowledge takes messages out.
	Acknowledge(ctx context.Context, ackIDs []string) error
	// Return lets others have messages at once.
	Return(ctx context.Context, ackIDs []string) error
}

// Post stores the notices of one pull; they act once.
type Post interface {
	PostNotices(ctx context.Context, notices []Notice) error
}

const (
	// pulls is how many requests wait for messages side by side, so that a burst is not bounded by one answer at a time.
	pulls = 2
	// pullMost is the most messages of one pull, and so of one command: far below the size that a command may have.
	pullMost = 100
	// backOffMost is the longest pause while the queue fails.
	backOffMost = time.Minute
	// storePatience is how long notices are tried to be stored before they are left to come again.
	storePatience = 30 * time.Second
	// settleWait bounds an acknowledgement.
	settleWait = 10 * time.Second
)

// Puller empties the queue.
type Puller struct {
	queue   Queue
	post    Post
	now     clock.Clock
	log     *slog.Logger
	metrics *metrics

	mu    sync.Mutex
	since time.Time // the queue fails since then; zero: it works
	cause error
}

type metrics struct {
	notices *prometheus.CounterVec
	lag     prometheus.Histogram
	up      prometheus.GaugeFunc
}

// New makes a puller; Run runs it.
func New(queue Queue, post Post, now clock.Clock, registry prometheus.Registerer, log *slog.Logger) (*Puller, error) {
	p := &Puller{queue: queue, post: post, now: now, log: log}
	p.metrics = &metrics{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_notices_total", Help: "Messages pulled from Pub/Sub, by what became of them: stored, unknown (of a type that nothing needs), undecodable or returned (not stored in time, they come again).",
		}, []string{"outcome"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meet_notice_lag_seconds", Help: "From what a notice tells of until it was stored.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 86400},
		}),
		up: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "meet_notices_up", Help: "Whether Pub/Sub answers: 1 yes, 0 no, or no subscription is set.",
		}, func() float64 {
			if !queue.Noticed() || p.Check(context.Background()) != nil {
				return 0
			}
			return 1
		}),
	}
	for _, c := range []prometheus.Collector{p.metrics.notices, p.metrics.lag, p.metrics.up} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of notices: %w", err)
		}
	}
	return p, nil
}

// Check is nil while the queue answers, or where there is none. Without notices conferences are read, later and more often.
func (p *Puller) Check(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return nil
	}
	return httpserver.Degraded(fmt.Errorf("no notices of conferences since %s, they are read instead: %w", p.since.Format(time.RFC3339), p.cause))
}

// Run pulls until ctx ends.
func (p *Puller) Run(ctx context.Context) error {
	if !p.queue.Noticed() {
		<-ctx.Done()
		return nil
	}
	var running sync.WaitGroup
	for range pulls {
		running.Go(func() { p.pull(ctx) })
	}
	running.Wait()
	return nil
}

func (p *Puller) pull(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = time.Second, backOffMost
	for ctx.Err() == nil {
		messages, err := p.queue.Pull(ctx, pullMost)
		if err == nil && len(messages) > 0 {
			err = p.take(ctx, messages)
		}
		if ctx.Err() != nil {
			return
		}
		p.judge(ctx, err)
		if err == nil {
			pause.Reset()
			continue
		}
		select {
		case <-time.After(pause.NextBackOff()): // the network's clock
		case <-ctx.Done():
		}
	}
}

// judge keeps whether notices come, and says so when that changes.
func (p *Puller) judge(ctx context.Context, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && p.since.IsZero():
		p.since, p.cause = p.now(), err
		p.log.WarnContext(ctx, "notices of conferences do not come, conferences are read instead", "error", err)
	case err != nil:
		p.cause = err
	case !p.since.IsZero():
		p.log.InfoContext(ctx, "notices of conferences come again", "away_since", p.since)
		p.since, p.cause = time.Time{}, nil
	}
}

// take stores what was pulled and takes it out of the queue. What can't be read would come again for ever: it is counted and
// taken out too.
func (p *Puller) take(ctx context.Context, messages []Message) error {
	notices := make([]Notice, 0, len(messages))
	ackIDs := make([]string, 0, len(messages))
	for _, m := range messages {
		ackIDs = append(ackIDs, m.AckID)
		switch n, err := Decode(m); {
		case err == nil:
			notices = append(notices, n)
		case errors.Is(err, ErrUnknownType):
			p.metrics.notices.WithLabelValues("unknown").Inc()
		default:
			p.metrics.notices.WithLabelValues("undecodable").Inc()
			p.log.WarnContext(ctx, "a notice could not be read", "error", err)
		}
	}
	if err := p.store(ctx, notices); err != nil {
		p.metrics.notices.WithLabelValues("returned").Add(float64(len(notices)))
		p.settle(ctx, ackIDs, p.queue.Return)
		return err
	}
	failpoint.Here("scheduler.noticed")
	now := p.now()
	for _, n := range notices {
		p.metrics.lag.Observe(max(now.Sub(n.Time), 0).Seconds())
	}
	p.metrics.notices.WithLabelValues("stored").Add(float64(len(notices)))
	p.settle(ctx, ackIDs, p.queue.Acknowledge)
	failpoint.Here("scheduler.acked_notices")
	return nil
}

func (p *Puller) store(ctx context.Context, notices []Notice) error {
	if len(notices) == 0 {
		return nil
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, p.post.PostNotices(ctx, notices)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(storePatience))
	if err != nil {
		return fmt.Errorf("store notices: %w", err)
	}
	return nil
}

// settle tells the queue what became of messages, also while stopping. Where it is not told they come again.
func (p *Puller) settle(ctx context.Context, ackIDs []string, tell func(context.Context, []string) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	if err := tell(ctx, ackIDs); err != nil {
		p.log.WarnContext(ctx, "the queue of notices was not told what became of some, they come again", "messages", len(ackIDs), "error", err)
	}
}

// Module pulls notices. Needs Queue, Post, clock.Clock, prometheus.Registerer, *slog.Logger; provides *Puller, and runs it.
var Module = fx.Module("scheduler/notice",
	fx.Provide(New),
	httpserver.ProvideCheck(func(p *Puller) httpserver.Check { return httpserver.Check{Name: "notices", Probe: p.Check} }),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, p *Puller) {
		lifecycle.Go(lc, sd, log, "notices", p.Run)
	}),
)
