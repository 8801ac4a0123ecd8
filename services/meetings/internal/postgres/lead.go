package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// relayLock is the advisory lock of the active relay.
const relayLock = 0x6d656574_00000002

// lead is a connection of its own that holds the relay's lock: when it is lost, the lock is gone and so are its writes.
type lead struct {
	store *Store
	conn  *pgx.Conn
	q     *db.Queries
}

// takeOver is how often a standby tries for the lock. It does not wait in the database: a statement that waits there for
// hours keeps dead rows from being cleaned away.
const takeOver = 500 * time.Millisecond

// Lead is [app.Outbox].
func (s *Store) Lead(ctx context.Context) (app.Lead, error) {
	l, err := s.relayConn(ctx, "meetings relay")
	if err != nil {
		return nil, err
	}
	if err := l.standBy(ctx); err != nil {
		return nil, errors.Join(err, l.Close(ctx))
	}
	return l, nil
}

// relayConn is a connection for whoever wants the relay's lock, as the name that Postgres shows.
func (s *Store) relayConn(ctx context.Context, name string) (*lead, error) {
	c, err := pgx.ParseConfig(s.config.URL())
	if err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	maps.Copy(c.RuntimeParams, hotSettings())
	for param, v := range map[string]string{
		"application_name": name, "TimeZone": "UTC",
		// A leader whose machine is gone must not hold the lock for hours.
		"tcp_keepalives_idle": "2", "tcp_keepalives_interval": "1", "tcp_keepalives_count": "2", "statement_timeout": "30s",
	} {
		c.RuntimeParams[param] = v
	}
	c.ConnectTimeout = connectTimeout
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect the relay: %w", err)
	}
	types(conn)
	return &lead{store: s, conn: conn, q: db.New(conn)}, nil
}

// standBy returns once the lock is held.
func (l *lead) standBy(ctx context.Context) error {
	again := time.NewTicker(takeOver) // leases stay on real time
	defer again.Stop()
	for {
		leads, err := l.q.TryLead(ctx, relayLock)
		if leads {
			return nil
		}
		if err != nil {
			return fmt.Errorf("try for the relay's lock: %w", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *lead) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // the lock must go also when ctx has ended
	defer cancel()
	return l.conn.Close(ctx)
}

func (l *lead) State(ctx context.Context) (app.RelayState, error) {
	r, err := l.q.GetRelay(ctx)
	if err != nil {
		return app.RelayState{}, fmt.Errorf("read the relay's state: %w", err)
	}
	return app.RelayState{
		LastSeq: r.LastSeq, PublishedSeq: r.PublishedSeq, EventsCreated: value(r.EventsCreated), JobsCreated: value(r.JobsCreated),
		EventsLastSeq: uint64(r.EventsLastSeq),
	}, nil
}

func (l *lead) NumberEvents(ctx context.Context, limit int) ([]app.LoggedEvent, error) {
	rows, err := l.q.NumberEvents(ctx, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("number events: %w", err)
	}
	out := make([]app.LoggedEvent, 0, len(rows))
	for _, r := range rows {
		out = append(out, loggedEvent(r.ID, r.Seq, r.Type, r.Subject, r.OccurredAt, r.Body, r.Traceparent))
	}
	slices.SortFunc(out, func(a, b app.LoggedEvent) int { return cmp.Compare(a.Seq, b.Seq) }) // RETURNING has no order
	return out, nil
}

func loggedEvent(id uuid.UUID, seq *int64, kind, subject string, at time.Time, body, traceparent string) app.LoggedEvent {
	e := app.LoggedEvent{OccurredAt: at.UTC(), EventRow: app.EventRow{ID: id, Type: kind, Subject: subject, Body: body, Traceparent: traceparent}}
	if seq != nil {
		e.Seq = *seq
	}
	return e
}

func (l *lead) EventsAfter(ctx context.Context, seq int64, limit int) ([]app.LoggedEvent, error) {
	rows, err := l.q.EventsAfter(ctx, db.EventsAfterParams{After: seq, RowLimit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("read numbered events: %w", err)
	}
	out := make([]app.LoggedEvent, 0, len(rows))
	for _, r := range rows {
		out = append(out, loggedEvent(r.ID, r.Seq, r.Type, r.Subject, r.OccurredAt, r.Body, r.Traceparent))
	}
	return out, nil
}

// FirstSequenceSince halves the log until it is found: there is no index on the times, which rise with the sequence but for
// the moment that commits take.
func (l *lead) FirstSequenceSince(ctx context.Context, since time.Time) (int64, error) {
	r, err := l.q.GetRelay(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the relay's state: %w", err)
	}
	first, end := int64(1), r.LastSeq+1
	for first < end {
		middle := first + (end-first)/2
		at, err := l.q.EventTime(ctx, middle)
		if err != nil {
			return 0, fmt.Errorf("find the first event since %s: %w", since, err)
		}
		if len(at) > 0 && at[0].Before(since) {
			first = middle + 1
		} else {
			end = middle
		}
	}
	if first > r.LastSeq {
		return 0, nil
	}
	return first, nil
}

func (l *lead) MarkPublished(ctx context.Context, seq int64, streamSeq uint64) error {
	err := l.q.MarkPublished(ctx, db.MarkPublishedParams{PublishedSeq: seq, EventsLastSeq: int64(streamSeq)})
	if err != nil {
		return fmt.Errorf("mark events as published: %w", err)
	}
	return nil
}

func (l *lead) MarkStreams(ctx context.Context, s app.RelayState) error {
	err := l.q.MarkStreams(ctx, db.MarkStreamsParams{
		PublishedSeq: s.PublishedSeq, EventsCreated: &s.EventsCreated, JobsCreated: &s.JobsCreated, EventsLastSeq: int64(s.EventsLastSeq),
	})
	if err != nil {
		return fmt.Errorf("mark the streams: %w", err)
	}
	return nil
}

func (l *lead) SendDue(ctx context.Context, now time.Time, limit int) ([]*meeting.Meeting, error) {
	out, err := l.q.CountOut(ctx, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("count jobs that are out: %w", err)
	}
	room := int64(limit) - out
	if room <= 0 {
		return nil, nil
	}
	rows, err := l.q.SendDueJobs(ctx, db.SendDueJobsParams{Now: now, RowLimit: room})
	if err != nil {
		return nil, fmt.Errorf("send due jobs: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	slices.SortFunc(rows, func(a, b db.SendDueJobsRow) int { // RETURNING has no order
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Turn, b.Turn), a.DueAt.Compare(b.DueAt))
	})
	place := make(map[meeting.ID]int, len(rows))
	wanted := make([]meeting.ID, 0, len(rows))
	for i := range rows {
		id := meeting.ID(*rows[i].MeetingID)
		place[id], wanted = i, append(wanted, id)
	}
	meetings, err := l.store.Wishes(ctx, wanted)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(meetings, func(a, b *meeting.Meeting) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	return meetings, nil
}

func (l *lead) NextDue(ctx context.Context, classes []string) (map[string]time.Time, error) {
	rows, err := l.q.NextDue(ctx, classes)
	if err != nil {
		return nil, fmt.Errorf("find the next due jobs: %w", err)
	}
	next := make(map[string]time.Time, len(rows))
	for _, r := range rows {
		next[r.Class] = r.DueAt.UTC()
	}
	return next, nil
}

func (l *lead) OutSince(ctx context.Context, before time.Time, classes []string) (map[string][]app.JobRef, error) {
	rows, err := l.q.OutSince(ctx, db.OutSinceParams{Classes: classes, Before: before})
	if err != nil {
		return nil, fmt.Errorf("find jobs without an outcome: %w", err)
	}
	out := make(map[string][]app.JobRef, len(classes))
	for _, r := range rows {
		out[r.Class] = append(out[r.Class], app.JobRef{ID: r.ID.String(), Dispatch: r.Dispatch})
	}
	return out, nil
}

func (l *lead) SendAgain(ctx context.Context, jobs []app.JobRef, now time.Time) error {
	p := db.SendAgainParams{Now: now}
	for _, j := range jobs {
		id, err := uuid.Parse(j.ID)
		if err != nil {
			return fmt.Errorf("job id: %w", err)
		}
		p.Ids = append(p.Ids, id)
		p.Dispatches = append(p.Dispatches, j.Dispatch)
	}
	if err := l.q.SendAgain(ctx, p); err != nil {
		return fmt.Errorf("make lost jobs due: %w", err)
	}
	return nil
}

func (l *lead) Sweep(ctx context.Context, now time.Time) (int64, error) {
	commands, err1 := l.q.DeleteOldCommands(ctx, now.Add(-app.KeepCommands))
	jobs, err2 := l.q.DeleteDoneJobs(ctx, now.Add(-app.KeepJobs))
	sessions, err3 := l.q.DeleteEndedSessions(ctx, now)
	notices, err4 := l.q.DeleteOldNotices(ctx, now.Add(-app.KeepNotices))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return 0, fmt.Errorf("delete old rows: %w", err)
	}
	return commands + jobs + sessions + notices, nil
}
