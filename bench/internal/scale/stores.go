package scale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/subject"

	"github.com/meet-middleware/meet-middleware/bench/internal/limit"
	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

// commandSize is about that of a create's message.
const commandSize = 700

// Stored is how quickly NATS stores messages with so many copies.
type Stored struct {
	Servers, Copies int
	// OneByOne and Pipelined are messages a second.
	OneByOne, Pipelined float64
}

// nats measures single streams, with one copy and with three, in turn.
func (b *bench) nats(ctx context.Context, r *Result) error {
	cases := []Stored{{Servers: 1, Copies: 1}, {Servers: 3, Copies: 1}, {Servers: 3, Copies: 3}}
	rounds := make([][]Stored, len(cases))
	for range b.o.Rounds {
		for i, c := range cases {
			if err := b.with(ctx, Layout{1, 1, 1, c.Servers}, func(s *stack.Stack) error {
				err := store(ctx, s.NATSURL(), &c, b.o.Each/2)
				rounds[i] = append(rounds[i], c)
				return err
			}); err != nil {
				return fmt.Errorf("%d copies on %d servers: %w", c.Copies, c.Servers, err)
			}
			b.say("%d copies on %d servers: %.0f/s one by one, %.0f/s pipelined", c.Copies, c.Servers, c.OneByOne, c.Pipelined)
		}
	}
	for _, of := range rounds {
		r.NATS = append(r.NATS, median(of, func(s Stored) float64 { return s.OneByOne }))
	}
	return nil
}

func store(ctx context.Context, url string, into *Stored, d time.Duration) (err error) {
	js, err := limit.NewJetStream(ctx, url, commandSize, into.Copies)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, js.Close(ctx)) }()
	if _, err := js.OneByOne(ctx, d/10); err != nil { // warm
		return err
	}
	if into.OneByOne, err = js.OneByOne(ctx, d); err != nil {
		return err
	}
	into.Pipelined, err = js.Pipelined(ctx, d)
	return err
}

// Events is what a log of so many events costs.
type Events struct {
	Rows int
	// TableMB is with its indexes.
	TableMB float64
	// Relayed are events numbered, published and acknowledged a second, of those that waited.
	Relayed float64
	// Creates of meetings a second, PageMS the time of the newest page of events, GapMS of the 1,000 events after one in the middle.
	Creates, PageMS, GapMS float64
}

const (
	// burst is how many events wait for the relay at once.
	burst = 100_000
	// insertAtOnce is how many rows one statement makes.
	insertAtOnce = 500_000
)

// events measures the relay with a log that is nearly empty and with one that is full.
func (b *bench) events(ctx context.Context, r *Result) error {
	return b.with(ctx, layouts[0], func(s *stack.Stack) error {
		for _, rows := range []int{0, b.o.Events} {
			if rows > 0 {
				if err := b.fill(ctx, s, rows); err != nil {
					return err
				}
			} else if b.o.Events == 0 && len(r.Events) > 0 {
				return nil
			}
			e, err := b.relay(ctx, s)
			if err != nil {
				return err
			}
			b.say("%d events, %.0f MB: %.0f relayed/s, %.0f creates/s, page %.1f ms, gap %.1f ms", e.Rows, e.TableMB, e.Relayed, e.Creates, e.PageMS, e.GapMS)
			r.Events = append(r.Events, e)
		}
		return nil
	})
}

// more inserts rows like the newest event's; numbered ones count as published long ago.
const (
	unnumbered = `INSERT INTO events (id, type, subject, meeting_id, occurred_at, body, traceparent)
		SELECT gen_random_uuid(), e.type, e.subject, e.meeting_id, e.occurred_at, e.body, e.traceparent
		FROM (SELECT * FROM events ORDER BY pos LIMIT 1) e, generate_series(1, $1::bigint)`
	numbered = `INSERT INTO events (id, seq, type, subject, meeting_id, occurred_at, body, traceparent)
		SELECT gen_random_uuid(), (SELECT last_seq FROM relay) + n, e.type, e.subject, m.id, e.occurred_at, e.body, e.traceparent
		FROM (SELECT * FROM events ORDER BY pos LIMIT 1) e, generate_series(1, $1::bigint) n
		JOIN (SELECT id, row_number() OVER () - 1 AS at, count(*) OVER () AS of FROM meetings) m ON m.at = n % m.of`
)

// fill makes the log as long as is wanted while no relay looks.
func (b *bench) fill(ctx context.Context, s *stack.Stack, rows int) error {
	if err := s.Meetings.Stop(); err != nil {
		return err
	}
	began := time.Now()
	var have int
	if err := s.DB.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&have); err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	for ; have < rows; have += insertAtOnce {
		n := min(insertAtOnce, rows-have)
		if _, err := s.DB.Exec(ctx, numbered, n); err != nil {
			return fmt.Errorf("fill the log: %w", err)
		}
		if _, err := s.DB.Exec(ctx, "UPDATE relay SET last_seq = last_seq + $1, published_seq = last_seq + $1", n); err != nil {
			return fmt.Errorf("fill the log: %w", err)
		}
	}
	if _, err := s.DB.Exec(ctx, "VACUUM (ANALYZE) events"); err != nil { // autovacuum would do it by and by
		return fmt.Errorf("vacuum: %w", err)
	}
	b.say("filled up to %d events in %s", rows, time.Since(began).Round(time.Second))
	return s.Meetings.Start(ctx)
}

func (b *bench) relay(ctx context.Context, s *stack.Stack) (e Events, err error) {
	c, err := b.creates(ctx, s, layouts[0])
	if err != nil {
		return e, err
	}
	e.Creates = c.PerSecond
	if _, err := s.DB.Exec(ctx, unnumbered, burst); err != nil {
		return e, fmt.Errorf("make events: %w", err)
	}
	began := time.Now()
	if err := s.Conn.Publish(subject.RelayWake, nil); err != nil {
		return e, fmt.Errorf("wake the relay: %w", err)
	}
	if err := await(ctx, s, "SELECT published_seq = last_seq AND NOT EXISTS (SELECT FROM events WHERE seq IS NULL) FROM relay"); err != nil {
		return e, err
	}
	e.Relayed = burst / time.Since(began).Seconds()
	if err := s.DB.QueryRow(ctx, "SELECT count(*), pg_total_relation_size('events') / 1048576.0 FROM events").Scan(&e.Rows, &e.TableMB); err != nil {
		return e, fmt.Errorf("measure the log: %w", err)
	}
	const after = "SELECT id, seq, type, subject, meeting_id, occurred_at, body, traceparent FROM events WHERE seq > $1 ORDER BY seq LIMIT $2"
	if e.PageMS, err = b.query(ctx, s, after, e.Rows-100, 100); err != nil {
		return e, err
	}
	e.GapMS, err = b.query(ctx, s, after, e.Rows/2, 1000)
	return e, err
}

// query is the median time of a question to the database.
func (b *bench) query(ctx context.Context, s *stack.Stack, sql string, args ...any) (float64, error) {
	var took []time.Duration
	for range 21 {
		began := time.Now()
		rows, err := s.DB.Query(ctx, sql, args...)
		if err == nil {
			for rows.Next() { // as a reader would
			}
			err = rows.Err()
		}
		if err != nil {
			return 0, fmt.Errorf("read events: %w", err)
		}
		took = append(took, time.Since(began))
	}
	return ms(median(took, func(d time.Duration) time.Duration { return d })), nil
}
