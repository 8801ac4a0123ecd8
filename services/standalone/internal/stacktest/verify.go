package stacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// drainPatience bounds the wait for everything to come to rest: a job whose scheduler was killed comes again after the 30 s of
// its lease, and may be killed again.
const drainPatience = 3 * time.Minute

// row is a meeting as Postgres has it.
type row struct {
	ID                                                  int64
	UID, Reference, Status, Provisioning, Sync, Summary string
	Start, End                                          *time.Time
	EventID, Link                                       string
	Calendar                                            bool
}

// Query runs a statement on the stack's database and collects its rows.
func Query[T any](ctx context.Context, s *Stack, to pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return nil, fmt.Errorf("connect to the stack's Postgres: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // nothing is lost with it
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return pgx.CollectRows(rows, to)
}

// GoogleEvent is an event of the emulator.
type GoogleEvent struct {
	ID, Status, Summary, HangoutLink string
	Start, End                       struct{ DateTime time.Time }
	ExtendedProperties               struct{ Private map[string]string }
}

// uidProperty is where an event says whose it is.
const uidProperty = "mm_uid"

// Google is the emulator's state.
type Google struct {
	Events []GoogleEvent
	Spaces []struct {
		Name, MeetingURI, Origin string
	}
	Calls map[string]int
}

// Google asks the emulator what exists.
func (s *Stack) Google(ctx context.Context) (Google, error) {
	var g Google
	return g, s.Control(ctx, http.MethodGet, "state", nil, &g)
}

// Faults makes the emulator go wrong in these ways; none: well.
func (s *Stack) Faults(ctx context.Context, faults ...map[string]any) error {
	if err := s.Control(ctx, http.MethodDelete, "faults", nil, nil); err != nil || len(faults) == 0 {
		return err
	}
	return s.Control(ctx, http.MethodPost, "faults", faults, nil)
}

// Control asks a control route of the emulator; into may be nil.
func (s *Stack) Control(ctx context.Context, method, path string, body, into any) error {
	c := &Client{urls: []string{s.emulator}, http: http.DefaultClient}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.urls[0]+"/_emulator/"+path, strings.NewReader(string(text)))
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the emulator: %w", err)
	}
	defer res.Body.Close() // read to its end or given up
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the emulator answers %s", res.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("decode the emulator's answer: %w", err)
	}
	return nil
}

// JetStream opens a connection to the stack's nats-server for as long as the test runs.
func (s *Stack) JetStream(tb testing.TB) (*nats.Conn, jetstream.JetStream) {
	tb.Helper()
	conn, js, err := s.connect()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return conn, js
}

// Drain returns once everything has come to rest.
func (s *Stack) Drain(tb testing.TB) {
	tb.Helper()
	begin := time.Now()
	if err := s.AwaitRest(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("at rest %s after the last request", time.Since(begin).Round(10*time.Millisecond))
}

// AwaitRest returns once no job is due or out, but for what is to be looked at some time, every event is numbered and published, and the work queues are empty. Nothing
// tells of the moment when nothing is left, so it is looked for.
func (s *Stack) AwaitRest(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainPatience, fmt.Errorf("not at rest after %s", drainPatience))
	defer cancel()
	conn, js, err := s.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		left, err := s.left(ctx, js)
		if err == nil && left == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w; left: %s", errors.Join(context.Cause(ctx), err), left)
		}
	}
}

// left says what is not done yet.
func (s *Stack) left(ctx context.Context, js jetstream.JetStream) (string, error) {
	var left []string
	counts, err := Query(ctx, s, pgx.RowTo[string], `
		SELECT state || ' jobs: ' || count(*) || ' (' || min(id::text || ' meeting ' || coalesce(meeting_id, 0) || ' dispatch ' || dispatch || ' failed ' || failed_attempts || ' due ' || due_at || ' ' || left(history::text, 300)) || ')' FROM jobs
		WHERE state = 'out' OR state = 'due' AND (class = 'google' OR due_at <= now()) GROUP BY state
		UNION ALL SELECT 'events without a number: ' || count(*) FROM events WHERE seq IS NULL HAVING count(*) > 0
		UNION ALL SELECT 'events not published: ' || last_seq - published_seq FROM relay WHERE published_seq < last_seq`)
	if err != nil {
		return "", err
	}
	left = append(left, counts...)
	for _, name := range []string{"MEET_COMMANDS", "MEET_JOBS"} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return strings.Join(left, "; "), err
		}
		if n := stream.CachedInfo().State.Msgs; n > 0 {
			left = append(left, fmt.Sprintf("%s: %d messages", name, n))
		}
	}
	return strings.Join(left, "; "), nil
}

// Numbered is one event of the log.
type Numbered struct {
	ID   string
	Seq  int64
	Type string
}

// Log is the event log as Postgres has it, by number.
func (s *Stack) Log(tb testing.TB) []Numbered {
	tb.Helper()
	log, err := Query(tb.Context(), s, pgx.RowToStructByPos[Numbered], "SELECT id::text, seq, type FROM events ORDER BY seq")
	if err != nil {
		tb.Fatal(err)
	}
	return log
}

// Verify checks, once everything has come to rest, that all that was promised is true in Postgres, at Google and in the event
// log, and that nothing else is there.
func (s *Stack) Verify(tb testing.TB, promises []*Promise) {
	tb.Helper()
	s.VerifyRestored(tb, promises, nil)
}

// VerifyRestored is Verify after a restore: Google has events of meetings that were lost with what followed the backup.
func (s *Stack) VerifyRestored(tb testing.TB, promises, lost []*Promise) {
	tb.Helper()
	rows, err := Query(tb.Context(), s, pgx.RowToStructByPos[row], `
		SELECT id, uid::text, external_reference, status, provisioning, google_sync, summary, scheduled_start, scheduled_end,
		       google_event_id, meet_link, create_calendar_event
		FROM meetings`)
	if err != nil {
		tb.Fatal(err)
	}
	google, err := s.Google(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	byReference := make(map[string][]row, len(rows))
	known := make(map[string]bool, len(rows))
	for _, r := range rows {
		byReference[r.Reference] = append(byReference[r.Reference], r)
		known[r.UID] = true
	}
	for _, p := range lost {
		if known[p.UID] {
			tb.Errorf("meeting %s was made after the backup and exists", p.Reference)
		}
		known[p.UID] = true
	}
	events := make(map[string][]GoogleEvent, len(google.Events))
	for _, e := range google.Events {
		uid := e.ExtendedProperties.Private[uidProperty]
		events[uid] = append(events[uid], e)
		if !known[uid] {
			tb.Errorf("Google has the event %s of meeting %q, which does not exist", e.ID, uid)
		}
	}
	for _, p := range promises {
		found := byReference[p.Reference]
		delete(byReference, p.Reference)
		if len(found) != 1 {
			tb.Errorf("meeting %s was promised and exists %d times: %+v", p.Reference, len(found), found)
			continue
		}
		for _, problem := range found[0].against(p) {
			tb.Errorf("meeting %s (%d): %s; row %+v", p.Reference, p.ID, problem, found[0])
		}
		for _, problem := range found[0].atGoogle(p, events[found[0].UID]) {
			tb.Errorf("meeting %s (%d): %s; row %+v, events %+v", p.Reference, p.ID, problem, found[0], events[found[0].UID])
		}
	}
	for reference := range byReference {
		tb.Errorf("meeting %s exists and was not promised", reference)
	}
	s.verifyJobs(tb)
	s.verifyLog(tb)
}

// against compares the row with what its caller was told.
func (r row) against(p *Promise) (problems []string) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	wrong(r.ID != p.ID, "its number is %d, promised was %d", r.ID, p.ID)
	wrong(p.UID != "" && r.UID != p.UID, "its uid is %s, promised was %s", r.UID, p.UID)
	wrong(p.Link != "" && r.Link != p.Link, "its link is %s, promised was %s", r.Link, p.Link)
	wrong((r.Status == "CANCELLED") != p.Cancelled, "its status is %s, cancelled was promised: %v", r.Status, p.Cancelled)
	wrong(r.Summary != p.Summary, "its summary is %q, promised was %q", r.Summary, p.Summary)
	wrong(r.Start == nil || !r.Start.Equal(p.Start), "its start is %v, promised was %v", r.Start, p.Start)
	wrong(r.End == nil || !r.End.Equal(p.End), "its end is %v, promised was %v", r.End, p.End)
	wrong(r.Sync != "ok", "its google_sync is %s", r.Sync)
	wrong(!p.Cancelled && r.Provisioning != "ready", "its provisioning is %s", r.Provisioning)
	return problems
}

// atGoogle compares the row with the meeting's events at Google.
func (r row) atGoogle(p *Promise, events []GoogleEvent) (problems []string) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	if !r.Calendar {
		wrong(len(events) != 0, "a bare space has %d events", len(events))
		return problems
	}
	if p.Cancelled {
		// A meeting that was called off before Google had it needs no event.
		wrong(len(events) > 1 || len(events) == 0 && p.Link != "", "Google has %d events of it", len(events))
		for _, e := range events {
			wrong(e.Status != "cancelled", "it was cancelled and its event is %s", e.Status)
		}
		return problems
	}
	if wrong(len(events) != 1, "Google has %d events of it", len(events)); len(events) != 1 {
		return problems
	}
	e := events[0]
	wrong(e.Status != "confirmed", "its event is %s", e.Status)
	wrong(e.ID != r.EventID, "its event is %s, the row says %s", e.ID, r.EventID)
	wrong(e.HangoutLink == "" || e.HangoutLink != r.Link, "its event's link is %s, the row says %s", e.HangoutLink, r.Link)
	wrong(e.Summary != r.Summary, "its event's summary is %q", e.Summary)
	wrong(r.Start != nil && !e.Start.DateTime.Equal(*r.Start), "its event starts %v", e.Start.DateTime)
	wrong(r.End != nil && !e.End.DateTime.Equal(*r.End), "its event ends %v", e.End.DateTime)
	return problems
}

// verifyJobs: all work is done, and none was given up.
func (s *Stack) verifyJobs(tb testing.TB) {
	tb.Helper()
	jobs, err := Query(tb.Context(), s, pgx.RowTo[string], "SELECT state || ' job ' || id || ' of meeting ' || meeting_id || ' ' || history FROM jobs WHERE state <> 'done' AND class = 'google'")
	if err != nil {
		tb.Fatal(err)
	}
	for _, job := range jobs {
		tb.Error(job)
	}
}

// verifyLog: the log has the numbers from 1 on, without a gap but for the one that ends with the news of a restore, and
// MEET_EVENTS holds every event under its number.
func (s *Stack) verifyLog(tb testing.TB) {
	tb.Helper()
	log := s.Log(tb)
	last := int64(0)
	for i, e := range log {
		if e.Seq != last+1 && (e.Type != "database.restored" || e.Seq <= last) {
			tb.Fatalf("event %d of the log has the number %d after %d: the log has a gap or a double", i+1, e.Seq, last)
		}
		last = e.Seq
	}
	_, js := s.JetStream(tb)
	stream, err := js.Stream(tb.Context(), "MEET_EVENTS")
	if err != nil {
		tb.Fatal(err)
	}
	streamed, doubles, err := read(tb.Context(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	missing := 0
	for _, e := range log {
		switch seq, ok := streamed[e.ID]; {
		case !ok:
			missing++
		case seq != e.Seq:
			tb.Errorf("event %s has the number %d and was published as %d", e.ID, e.Seq, seq)
		}
	}
	if missing > 0 || len(streamed) != len(log)-missing {
		tb.Errorf("MEET_EVENTS holds %d events of the log's %d, %d are missing", len(streamed), len(log), missing)
	}
	tb.Logf("%d events, numbered 1 to %d, all in MEET_EVENTS; %d of them twice", len(log), last, doubles)
}

// read collects the numbers of all events in a stream by id, and how many came more than once.
func read(ctx context.Context, stream jetstream.Stream) (seqs map[string]int64, doubles int, err error) {
	seqs = make(map[string]int64)
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("look at the stream: %w", err)
	}
	if info.State.Msgs == 0 {
		return seqs, 0, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return nil, 0, fmt.Errorf("read the stream: %w", err)
	}
	for count := uint64(0); count < info.State.Msgs; {
		batch, err := consumer.Fetch(int(min(1000, info.State.Msgs-count)), jetstream.FetchMaxWait(10*time.Second))
		if err != nil {
			return nil, 0, fmt.Errorf("read the stream: %w", err)
		}
		got := 0
		for msg := range batch.Messages() {
			got++
			id := msg.Headers().Get("ce-id")
			seq, err := strconv.ParseInt(strings.TrimLeft(msg.Headers().Get("ce-sequence"), "0"), 10, 64)
			if err != nil {
				return nil, 0, fmt.Errorf("number of event %s: %w", id, err)
			}
			if before, ok := seqs[id]; ok {
				doubles++
				if before != seq {
					return nil, 0, fmt.Errorf("event %s was published as %d and as %d", id, before, seq)
				}
			}
			seqs[id] = seq
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return nil, 0, fmt.Errorf("read the stream: %w", err)
		}
		if got == 0 {
			return nil, 0, fmt.Errorf("the stream gave %d of %d messages", count, info.State.Msgs)
		}
		count += uint64(got)
	}
	return seqs, doubles, nil
}

// SameLog checks that every event of before is still there under its number.
func SameLog(tb testing.TB, before, after []Numbered) {
	tb.Helper()
	if len(after) < len(before) || !slices.Equal(before, after[:len(before)]) {
		tb.Errorf("the log had %d events and does not begin with them any more", len(before))
	}
}
