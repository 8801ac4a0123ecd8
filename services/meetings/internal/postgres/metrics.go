package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// Backlog is [app.Counts].
func (s *Store) Backlog(ctx context.Context, now time.Time, classes []string) (app.Backlog, error) {
	var b app.Backlog
	if !s.opened.Load() {
		return b, errNotOpen
	}
	oldest, err := s.wide().OldestUnpublished(ctx)
	if err != nil {
		return b, fmt.Errorf("find the oldest event that is not published: %w", err)
	}
	for _, at := range oldest {
		b.Lag = max(b.Lag, now.Sub(at))
	}
	next, err := s.hot().NextDue(ctx, classes)
	if err != nil {
		return b, fmt.Errorf("find the next due jobs: %w", err)
	}
	late := make(map[string]time.Duration, len(next))
	for _, n := range next {
		late[n.Class] = max(now.Sub(n.DueAt), 0)
	}
	jobs, err := s.wide().CountJobsInHand(ctx, db.CountJobsInHandParams{Now: now, Classes: classes})
	if err != nil {
		return b, fmt.Errorf("count unfinished jobs: %w", err)
	}
	for _, j := range jobs {
		b.Jobs = append(b.Jobs, app.JobCount{Class: j.Class, Due: j.DueJobs, Out: j.OutJobs, Failed: j.FailedJobs, Late: late[j.Class]})
	}
	return b, nil
}

// Planned is [app.Counts].
func (s *Store) Planned(ctx context.Context, now time.Time) (map[string]int64, error) {
	if !s.opened.Load() {
		return nil, errNotOpen
	}
	rows, err := s.wide().CountJobsPlanned(ctx, now)
	if err != nil {
		return nil, fmt.Errorf("count planned jobs: %w", err)
	}
	out := make(map[string]int64, len(rows))
	for _, r := range rows {
		out[r.Class] = r.Jobs
	}
	return out, nil
}

const day = 24 * time.Hour

// RecentRecordings is [app.Counts].
func (s *Store) RecentRecordings(ctx context.Context, now time.Time, copied bool) (app.RecordingCounts, error) {
	var out app.RecordingCounts
	if !s.opened.Load() {
		return out, errNotOpen
	}
	rows, err := s.wide().CountRecentRecordings(ctx, db.CountRecentRecordingsParams{Since: now.Add(-7 * day), LastDay: now.Add(-day), Now: now})
	if err != nil {
		return out, fmt.Errorf("count recent recordings: %w", err)
	}
	for _, r := range rows {
		state, err := meeting.ParseRecordingState(r.RecordingState)
		if err != nil {
			return out, fmt.Errorf("count recent recordings: %w", err)
		}
		out.LastWeek.Add(state, r.Reason, r.Meetings, copied)
		out.LastDay.Add(state, r.Reason, r.OfLastDay, copied)
	}
	open, err := s.wide().CountOpenRecordings(ctx, db.CountOpenRecordingsParams{
		Late: now.Add(-app.OverdueAfter), KeptSince: now.Add(-keptByGoogle), Copied: copied, Now: now,
	})
	if err != nil {
		return out, fmt.Errorf("count recordings that are not settled: %w", err)
	}
	out.Overdue, out.NotStarted = open.Overdue, open.NotStarted
	return out, nil
}

// ledBySomebody looks for the relay's lock, whose key the catalog shows in halves.
const ledBySomebody = `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid::bigint = $1::bigint >> 32 AND l.objid::bigint = $1::bigint & 4294967295
		AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))`

// Led is [app.Outbox].
func (s *Store) Led(ctx context.Context) (led bool, err error) {
	if !s.opened.Load() {
		return false, errNotOpen
	}
	if err := s.pool.QueryRow(ctx, ledBySomebody, int64(relayLock)).Scan(&led); err != nil {
		return false, fmt.Errorf("look whether a relay is active: %w", err)
	}
	return led, nil
}

// LastSequence is [app.Outbox].
func (s *Store) LastSequence(ctx context.Context) (int64, error) {
	r, err := db.New(s.pool).GetRelay(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the last sequence: %w: %w", app.ErrUnreachable, err)
	}
	return r.LastSeq, nil
}

// poolMetrics shows the pools of a store.
type poolMetrics struct{ store *Store }

var (
	poolLabels   = []string{"pool"}
	connsDesc    = prometheus.NewDesc("meet_postgres_pool_connections", "Connections to Postgres, by pool (commands: commands and single reads; lists) and state: acquired, idle or constructing.", []string{"pool", "state"}, nil)
	maxConnsDesc = prometheus.NewDesc("meet_postgres_pool_max_connections", "The most connections that a pool opens, as MEET_POSTGRES_CONNS says.", poolLabels, nil)
	acquiresDesc = prometheus.NewDesc("meet_postgres_pool_acquires_total", "Connections that were taken from a pool.", poolLabels, nil)
	waitsDesc    = prometheus.NewDesc("meet_postgres_pool_waits_total", "Connections that were waited for because the pool had none free.", poolLabels, nil)
	waitedDesc   = prometheus.NewDesc("meet_postgres_pool_wait_seconds_total", "Time that was waited for connections because the pool had none free.", poolLabels, nil)
	canceledDesc = prometheus.NewDesc("meet_postgres_pool_canceled_acquires_total", "Waits for a connection that were given up.", poolLabels, nil)
)

// Describe is [prometheus.Collector].
func (*poolMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connsDesc, maxConnsDesc, acquiresDesc, waitsDesc, waitedDesc, canceledDesc} {
		ch <- d
	}
}

// Collect is [prometheus.Collector]. Before the start there is no pool to show.
func (m *poolMetrics) Collect(ch chan<- prometheus.Metric) {
	if !m.store.opened.Load() {
		return
	}
	for name, pool := range map[string]*pgxpool.Pool{"commands": m.store.pool, "lists": m.store.lists} {
		stat := pool.Stat()
		for state, n := range map[string]int32{"acquired": stat.AcquiredConns(), "idle": stat.IdleConns(), "constructing": stat.ConstructingConns()} {
			ch <- prometheus.MustNewConstMetric(connsDesc, prometheus.GaugeValue, float64(n), name, state)
		}
		ch <- prometheus.MustNewConstMetric(maxConnsDesc, prometheus.GaugeValue, float64(stat.MaxConns()), name)
		ch <- prometheus.MustNewConstMetric(acquiresDesc, prometheus.CounterValue, float64(stat.AcquireCount()), name)
		ch <- prometheus.MustNewConstMetric(waitsDesc, prometheus.CounterValue, float64(stat.EmptyAcquireCount()), name)
		ch <- prometheus.MustNewConstMetric(waitedDesc, prometheus.CounterValue, stat.EmptyAcquireWaitTime().Seconds(), name)
		ch <- prometheus.MustNewConstMetric(canceledDesc, prometheus.CounterValue, float64(stat.CanceledAcquireCount()), name)
	}
}
