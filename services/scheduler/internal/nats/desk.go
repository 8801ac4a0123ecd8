package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// desk takes the messages of one class of jobs, works on so many at once, and tells NATS of all that are here that they are
// being seen to: one keeper for the whole desk, however many lie on it.
type desk struct {
	settler

	class   string
	workers int
	// ahead is how many messages are taken that no worker has a hand free for: as many as there are workers, unless set.
	ahead int
	// lease is how often the lease of a message here is extended; grace is how long work may go on after the stop.
	lease, grace time.Duration
	waits        prometheus.Observer

	mu   sync.Mutex
	held map[jetstream.Msg]struct{} // in hand or waiting here
}

// newDesk makes a desk of so many workers; zero times of c are the usual ones.
func newDesk(c Config, b *bus.Bus, class string, workers int, m *Metrics, log *slog.Logger) *desk {
	d := &desk{
		settler: settler{bus: b, log: log}, class: class, workers: workers, ahead: workers, lease: c.Lease, grace: c.Grace,
		waits: m.waits.WithLabelValues(class), held: make(map[jetstream.Msg]struct{}),
	}
	if d.lease <= 0 {
		d.lease = defaultLease
	}
	if d.grace <= 0 {
		d.grace = defaultGrace
	}
	return d
}

// run hands each message to work until ctx ends; then what is in hand gets the grace to finish and the rest is handed back.
// work settles the message; its own ctx ends with the grace. A message that kills its handler would kill every scheduler in
// turn: it is buried.
func (d *desk) run(ctx context.Context, work func(context.Context, jetstream.Msg)) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	queue := make(chan jetstream.Msg, d.ahead)
	var workers, keeper sync.WaitGroup
	for range d.workers {
		workers.Go(func() {
			for msg := range queue {
				if ctx.Err() != nil {
					d.giveBack(msg, 0)
				} else {
					d.begin(working, msg, work)
				}
				d.release(msg)
			}
		})
	}
	keeper.Go(func() { d.keepLeases(working) })

	err := d.bus.Consume(ctx, subject.StreamJobs, subject.JobConsumer(d.class), max(d.ahead, 1), func(msg jetstream.Msg) {
		d.hold(msg)
		select {
		case queue <- msg:
		case <-ctx.Done():
			d.giveBack(msg, 0)
			d.release(msg)
		}
	})
	close(queue)
	grace := time.AfterFunc(d.grace, stopWork)
	workers.Wait()
	grace.Stop()
	stopWork()
	keeper.Wait()
	return err
}

func (d *desk) begin(ctx context.Context, msg jetstream.Msg, work func(context.Context, jetstream.Msg)) {
	ctx, span := d.bus.Received(ctx, msg.Headers().Get(tracing.Header), msg.Subject())
	defer span.End()
	defer func() {
		if p := recover(); p != nil {
			d.log.ErrorContext(ctx, "message handler panicked", "subject", msg.Subject(), "panic", p, "stack", string(debug.Stack()))
			d.bury(ctx, msg, fmt.Sprintf("panic: %v", p))
		}
	}()
	if meta, err := msg.Metadata(); err == nil && meta.NumDelivered <= 1 {
		d.waits.Observe(max(time.Since(meta.Timestamp), 0).Seconds()) // NATS's clock and ours: real time both
	}
	work(ctx, msg)
}

func (d *desk) hold(msg jetstream.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[msg] = struct{}{}
}

func (d *desk) release(msg jetstream.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, msg)
}

// keepLeases tells NATS that the messages here are being seen to. A message that is settled meanwhile answers with an error
// that means nothing.
func (d *desk) keepLeases(ctx context.Context) {
	tick := time.NewTicker(d.lease)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		d.mu.Lock()
		msgs := make([]jetstream.Msg, 0, len(d.held))
		for msg := range d.held {
			msgs = append(msgs, msg)
		}
		d.mu.Unlock()
		for _, msg := range msgs {
			if err := msg.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
				d.log.WarnContext(ctx, "lease was not extended", "subject", msg.Subject(), "error", err)
			}
		}
	}
}

// Metrics of the consumers.
type Metrics struct {
	waits *prometheus.HistogramVec
}

// NewMetrics registers the consumers' metrics.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meet_job_start_seconds", Help: "From a job's being sent to its being worked on, by class; redeliveries are not counted.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .15, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"class"})}
	if err := registry.Register(m.waits); err != nil {
		return nil, fmt.Errorf("register the metric of waiting jobs: %w", err)
	}
	return m, nil
}
