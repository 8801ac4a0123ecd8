package quota

import (
	"context"
	"fmt"
	"sync"
	"time"

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
	for _, c := range []prometheus.Collector{m.granted, m.deferred, m.refused, &collector{limiter: l}} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of quotas: %w", err)
		}
	}
	return m, nil
}

const (
	// freshFor is how long a shared record is shown before it is read again, freshWait how long a scrape waits for all of them.
	freshFor  = 5 * time.Second
	freshWait = time.Second
)

// collector reads what the schedulers share when it is asked.
type collector struct {
	limiter *Limiter

	mu   sync.Mutex
	read time.Time // real time: it spares NATS
}

var (
	leftDesc   = prometheus.NewDesc("meet_google_quota_left", "Calls of a minute's budget of the project that nobody took in the last minute, by quota class, of all schedulers together. Every instance shows the same: max, not sum.", []string{"class"}, nil)
	budgetDesc = prometheus.NewDesc("meet_google_quota_budget", "Calls a minute that all schedulers together allow themselves, by quota class: 80 % of the project's quota, half of that while Google refuses. Every instance shows the same: max, not sum.", []string{"class"}, nil)
	tokensDesc = prometheus.NewDesc("meet_google_quota_tokens", "Calls that could be made at once, by quota class, of the project's budget, as this scheduler last saw it.", []string{"class"}, nil)
	stateDesc  = prometheus.NewDesc("meet_google_breaker_state", "Whether an API of Google is asked: 0 closed, it works; 1 half open, one call tries it; 2 open, it is down.", []string{"api"}, nil)
)

// Describe is [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leftDesc, budgetDesc, tokensDesc, stateDesc} {
		ch <- d
	}
}

// Collect is [prometheus.Collector]. Without limits there are no budgets to show.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	l := c.limiter
	for api, b := range l.breakers {
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, b.level(), string(api))
	}
	if !l.enabled {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), freshWait) // the library hands none
	defer cancel()
	stale := c.stale()
	now := l.now()
	for class := range l.quotas {
		b := l.project(class)
		if b.enter(ctx) != nil {
			continue // a lease that is under way takes longer than a scrape waits
		}
		if stale {
			l.refresh(ctx, b)
		}
		at := len(b.slots) + max(0, int(now.Sub(b.last.Value.first(now))/b.interval))
		left, budget := b.left(now)
		b.leave()
		ch <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(at), string(class))
		ch <- prometheus.MustNewConstMetric(leftDesc, prometheus.GaugeValue, left, string(class))
		ch <- prometheus.MustNewConstMetric(budgetDesc, prometheus.GaugeValue, budget, string(class))
	}
}

// stale tells whether the records are to be read again, and takes it that they are.
func (c *collector) stale() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) < freshFor {
		return false
	}
	c.read = time.Now()
	return true
}

// refresh reads what others have written; call it between enter and leave. Where NATS does not answer, what is known stays.
func (l *Limiter) refresh(ctx context.Context, b *bucket) {
	bucket, err := l.store.open(ctx)
	if err == nil {
		err = b.last.Read(ctx, bucket, b.key)
	}
	if err != nil {
		l.log.DebugContext(ctx, "quota was not measured", "budget", b.key, "error", err)
	}
}

var _ job.Quotas = (*Limiter)(nil)
