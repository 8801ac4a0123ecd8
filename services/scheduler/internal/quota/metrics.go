package quota

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

type metrics struct {
	granted, deferred, refused *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, l *Limiter) (*metrics, error) {
	m := &metrics{
		granted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_google_quota_granted_total", Help: "Calls to Google that were allowed, by quota class.",
		}, []string{"class"}),
		deferred: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_google_quota_deferred_total", Help: "Steps that were put off, by quota class and why: the project's or the user's budget, a breaker, or NATS away.",
		}, []string{"class", "reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meet_google_quota_refused_total", Help: "Calls that Google refused for its quotas, by class and whose share it was.",
		}, []string{"class", "scope"}),
	}
	for _, c := range []prometheus.Collector{m.granted, m.deferred, m.refused, &collector{l}} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of quotas: %w", err)
		}
	}
	return m, nil
}

// collector reads what is known when it is asked.
type collector struct{ limiter *Limiter }

var (
	tokensDesc = prometheus.NewDesc("meet_google_quota_tokens", "Calls that could be made at once, by quota class, of the project's budget, as this scheduler last saw it.", []string{"class"}, nil)
	stateDesc  = prometheus.NewDesc("meet_google_breaker_state", "Whether an API of Google is asked: 0 closed, it works; 1 half open, one call tries it; 2 open, it is down.", []string{"api"}, nil)
)

// Describe is [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- tokensDesc
	ch <- stateDesc
}

// Collect is [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	l := c.limiter
	for api, b := range l.breakers {
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, b.level(), string(api))
	}
	if !l.enabled {
		return
	}
	now := l.now()
	for class := range l.quotas {
		b := l.project(class)
		b.turn <- struct{}{}
		left := len(b.slots) + max(0, int(now.Sub(b.last.record.first(now))/b.interval))
		b.leave()
		ch <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(left), string(class))
	}
}

var _ job.Quotas = (*Limiter)(nil)
