package nats

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
)

const (
	// scrapeWait bounds the reads of one scrape.
	scrapeWait = 3 * time.Second
	// countFor is how long a count is shown that takes more than a moment.
	countFor = time.Minute
)

// kept is a count that is taken anew only when it is old.
type kept[T any] struct {
	mu sync.Mutex
	at time.Time // real time: it spares the database
	v  T
}

// get asks where what is kept is older than a minute. An error is not kept.
func (k *kept[T]) get(ask func() (T, error)) (T, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.at.IsZero() && time.Since(k.at) < countFor {
		return k.v, nil
	}
	v, err := ask()
	if err == nil {
		k.v, k.at = v, time.Now()
	}
	return v, err
}

// everywhere ends the help of a gauge that all instances read from the one database.
const everywhere = " Every instance shows the same: max, not sum."

// backlog is what the database has left to do.
type backlog struct {
	counts           app.Counts
	now              clock.Clock
	lag, jobs, since *prometheus.Desc
	planned          kept[map[string]int64]
}

func newBacklog(counts app.Counts, now clock.Clock) *backlog {
	return &backlog{
		counts: counts, now: now,
		lag:   prometheus.NewDesc("meet_relay_lag_seconds", "Age of the oldest event that is not in the stream; 0 when all are."+everywhere, nil, nil),
		jobs:  prometheus.NewDesc("meet_jobs", "Job rows by class and state: planned for later (counted once a minute), due and not sent yet, out without an outcome, failed for good and still kept."+everywhere, []string{"class", "state"}, nil),
		since: prometheus.NewDesc("meet_job_oldest_due_seconds", "How long ago the first of a class's jobs fell due that is not sent yet; 0 without any."+everywhere, []string{"class"}, nil),
	}
}

// Describe is [prometheus.Collector].
func (b *backlog) Describe(ch chan<- *prometheus.Desc) { ch <- b.lag; ch <- b.jobs; ch <- b.since }

// Collect is [prometheus.Collector]. While the database is away they are invalid, which a scrape reports.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait) // the library hands none
	defer cancel()
	now := b.now()
	left, err := b.counts.Backlog(ctx, now, subject.Classes())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(b.lag, err)
		return
	}
	planned, err := b.planned.get(func() (map[string]int64, error) { return b.counts.Planned(ctx, now) })
	if err != nil {
		ch <- prometheus.NewInvalidMetric(b.jobs, err)
	}
	ch <- prometheus.MustNewConstMetric(b.lag, prometheus.GaugeValue, left.Lag.Seconds())
	for _, j := range left.Jobs {
		ch <- prometheus.MustNewConstMetric(b.since, prometheus.GaugeValue, j.Late.Seconds(), j.Class)
		for state, n := range map[string]int64{"planned": planned[j.Class], "due": j.Due, "out": j.Out, "failed": j.Failed} {
			ch <- prometheus.MustNewConstMetric(b.jobs, prometheus.GaugeValue, float64(n), j.Class, state)
		}
	}
}

// coverage is what became of the recordings of meetings that ended lately.
type coverage struct {
	counts                                   app.Counts
	copied                                   bool
	now                                      clock.Clock
	recordings, missing, overdue, notStarted *prometheus.Desc
	recent                                   kept[app.RecordingCounts]
}

func newCoverage(counts app.Counts, copied bool, now clock.Clock) *coverage {
	return &coverage{
		counts: counts, copied: copied, now: now,
		recordings: prometheus.NewDesc("meet_recordings", "Meetings that were to be recorded and to end within the window (24h, 7d), by what became of it: secured, missing or still under_way. Counted once a minute."+everywhere, []string{"window", "outcome"}, nil),
		missing:    prometheus.NewDesc("meet_recordings_missing", "Those of them whose recording is missing, by reason. Counted once a minute."+everywhere, []string{"window", "reason"}, nil),
		overdue:    prometheus.NewDesc("meet_recordings_overdue", "Meetings whose recording should be secured or known to be missing by now, 26 hours after their end, and is not. Counted once a minute."+everywhere, nil, nil),
		notStarted: prometheus.NewDesc("meet_recordings_not_started", "Meetings in which people have been for ten minutes and nothing is recorded: somebody in the room can still start it. Counted once a minute."+everywhere, nil, nil),
	}
}

// Describe is [prometheus.Collector].
func (c *coverage) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.recordings, c.missing, c.overdue, c.notStarted} {
		ch <- d
	}
}

// Collect is [prometheus.Collector]. While the database is away it shows what it counted last for a minute; then it is invalid.
func (c *coverage) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWait) // the library hands none
	defer cancel()
	recent, err := c.recent.get(func() (app.RecordingCounts, error) { return c.counts.RecentRecordings(ctx, c.now(), c.copied) })
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.recordings, err)
		return
	}
	for window, n := range map[string]app.CoverageCount{"24h": recent.LastDay, "7d": recent.LastWeek} {
		for outcome, n := range map[string]int64{"secured": n.Secured, "missing": n.Missing, "under_way": n.UnderWay} {
			ch <- prometheus.MustNewConstMetric(c.recordings, prometheus.GaugeValue, float64(n), window, outcome)
		}
		for _, reason := range conference.MissingReasons() {
			ch <- prometheus.MustNewConstMetric(c.missing, prometheus.GaugeValue, float64(n.Reasons[reason]), window, reason)
		}
	}
	ch <- prometheus.MustNewConstMetric(c.overdue, prometheus.GaugeValue, float64(recent.Overdue))
	ch <- prometheus.MustNewConstMetric(c.notStarted, prometheus.GaugeValue, float64(recent.NotStarted))
}
