package nats

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// Metrics of the service. What is counted here is this instance's own; what is read from the database is in counts.go.
type Metrics struct {
	commands     *prometheus.CounterVec
	batchSize    prometheus.Histogram
	batchSeconds prometheus.Histogram
	published    prometheus.Counter
	queries      *prometheus.HistogramVec
	active       prometheus.Gauge
}

// What a command came to, as the label of a metric.
const (
	outcomeDone     = "done"
	outcomeRefused  = "refused"
	outcomeReplayed = "replayed"
	outcomeFailed   = "failed"
)

// NewMetrics registers them, and what is counted in the database.
func NewMetrics(registry prometheus.Registerer, counts app.Counts, counting app.Counting, now clock.Clock) (*Metrics, error) {
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
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meet_relay_active", Help: "1 at the one instance whose relay publishes events and due jobs, 0 at those that stand by. The sum over all is 1.",
		}),
	}
	for _, c := range []prometheus.Collector{
		m.commands, m.batchSize, m.batchSeconds, m.published, m.queries, m.active, newBacklog(counts, now), newCoverage(counts, counting.Exporting, now),
	} {
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

func (m *Metrics) leading(yes bool) {
	m.active.Set(0)
	if yes {
		m.active.Set(1)
	}
}

func (m *Metrics) query(method string, err error, took time.Duration) {
	outcome := "ok"
	if err != nil {
		outcome = fault.KindOf(err).String()
	}
	m.queries.WithLabelValues(method, outcome).Observe(took.Seconds())
}
