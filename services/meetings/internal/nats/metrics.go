package nats

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// Metrics of the service. What is still to be done is read from the database at each scrape.
type Metrics struct {
	commands     *prometheus.CounterVec
	batchSize    prometheus.Histogram
	batchSeconds prometheus.Histogram
	published    prometheus.Counter
	queries      *prometheus.HistogramVec
}

// What a command came to, as the label of a metric.
const (
	outcomeDone     = "done"
	outcomeRefused  = "refused"
	outcomeReplayed = "replayed"
	outcomeFailed   = "failed"
)

// NewMetrics registers them.
func NewMetrics(registry prometheus.Registerer, reads app.Reads, now clock.Clock) (*Metrics, error) {
	m := &Metrics{
		commands: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_commands_total", Help: "Commands by kind and outcome: done, refused by a rule, replayed, failed for now.",
		}, []string{"kind", "outcome"}),
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meet_command_batch_size", Help: "Commands that shared one transaction.", Buckets: prometheus.ExponentialBuckets(1, 2, 8),
		}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "meet_command_batch_seconds", Help: "Time from the take of a batch to its commit.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12),
		}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meet_events_published_total", Help: "Events that this instance's relay published and the stream acknowledged, repeats included.",
		}),
		queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meet_query_seconds", Help: "Time of a query's handler by method and fault kind, ok where none.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"method", "outcome"}),
	}
	for _, c := range []prometheus.Collector{m.commands, m.batchSize, m.batchSeconds, m.published, m.queries, newBacklog(reads, now)} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *Metrics) batch(batch []*received, took time.Duration) {
	m.batchSize.Observe(float64(len(batch)))
	m.batchSeconds.Observe(took.Seconds())
	for _, r := range batch {
		outcome := outcomeDone
		switch {
		case r.Err != nil:
			outcome = outcomeFailed
		case r.Replayed:
			outcome = outcomeReplayed
		case r.Refusal != nil:
			outcome = outcomeRefused
		}
		m.commands.WithLabelValues(r.Kind, outcome).Inc()
	}
}

func (m *Metrics) query(method string, err error, took time.Duration) {
	outcome := "ok"
	if err != nil {
		outcome = fault.KindOf(err).String()
	}
	m.queries.WithLabelValues(method, outcome).Observe(took.Seconds())
}

// backlog is what the database has left to do, asked for at each scrape.
type backlog struct {
	reads     app.Reads
	now       clock.Clock
	lag, jobs *prometheus.Desc
}

func newBacklog(reads app.Reads, now clock.Clock) *backlog {
	return &backlog{
		reads: reads, now: now,
		lag:  prometheus.NewDesc("meet_relay_lag_seconds", "Age of the oldest event that is not in the stream; 0 when all are.", nil, nil),
		jobs: prometheus.NewDesc("meet_jobs", "Job rows that are due, out or failed, by class.", []string{"class", "state"}, nil),
	}
}

// scrapeWait bounds the reads of one scrape.
const scrapeWait = 3 * time.Second

// Describe is [prometheus.Collector].
func (b *backlog) Describe(ch chan<- *prometheus.Desc) { ch <- b.lag; ch <- b.jobs }

// Collect is [prometheus.Collector]. While the database is away both are invalid, which a scrape reports.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait) // the library hands none
	defer cancel()
	left, err := b.reads.Backlog(ctx, b.now())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(b.lag, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(b.lag, prometheus.GaugeValue, left.Lag.Seconds())
	for _, j := range left.Jobs {
		ch <- prometheus.MustNewConstMetric(b.jobs, prometheus.GaugeValue, float64(j.Jobs), j.Class, j.State)
	}
}
