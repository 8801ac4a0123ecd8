package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// logged is what the database has of one event, as "sequence id type".
func (w *world) logged(t *testing.T) []string {
	t.Helper()
	return ask[[]string](t, w, `SELECT coalesce(array_agg(seq || ' ' || id || ' ' || type ORDER BY seq), '{}') FROM events`)
}

// published reads n events from the stream, as logged shows them.
func published(t *testing.T, next func() jetstream.Msg, n int) []string {
	t.Helper()
	out := make([]string, 0, n)
	for range n {
		h := next().Headers()
		seq, err := strconv.ParseInt(h.Get("ce-sequence"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(seq, " ", h.Get("ce-id"), " ", h.Get("ce-type")))
	}
	return out
}

func wantGapless(t *testing.T, events []string) {
	t.Helper()
	for i, e := range events {
		var seq int
		if _, err := fmt.Sscan(e, &seq); err != nil || seq != i+1 {
			t.Fatalf("event %d of the log is %q", i+1, e)
		}
	}
}

func TestAnEventIsPublishedAsACloudEvent(t *testing.T) {
	w := newWorld(t)
	w.relay(t)
	c := create("doctor@clinic.example")
	c.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w.act(t, c)
	w.wake(t)
	next := w.tap(t, subject.StreamEvents)
	user, made := next(), next()
	if user.Subject() != "meet.evt.user.created" || made.Subject() != "meet.evt.meeting.created" {
		t.Fatalf("subjects %s, %s", user.Subject(), made.Subject())
	}
	for key, want := range map[string]string{
		"ce-specversion": "1.0", "ce-source": "/meet-middleware/meetings", "ce-type": "meeting.created", "ce-sequence": "00000000000000000002",
		"ce-time": "2026-11-24T12:00:00Z", "ce-traceparent": c.Traceparent, "Content-Type": "application/json",
		"ce-subject": ask[string](t, w, `SELECT uid::text FROM meetings`), "ce-id": made.Headers().Get("Nats-Msg-Id"),
	} {
		if got := made.Headers().Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	body := new(meetv1.MeetingCreated)
	if err := protojson.Unmarshal(made.Data(), body); err != nil || body.GetMeetingId() != 1 || body.GetParticipantsCount() != 2 {
		t.Errorf("body %s, %v", made.Data(), err)
	}
}

func TestNumbersAreGaplessAndGivenOnceAcrossTakeOvers(t *testing.T) {
	timetest.Rounds(t, func(r *timetest.Round) {
		w := newWorld(r.T)
		for range 3 {
			w.relay(r.T)
		}
		const batches, each = 4, 30
		next := w.tap(r.T, subject.StreamEvents)
		var seen []string
		for batch := range batches {
			commands := make([]*app.Command, 0, each)
			for n := range each {
				commands = append(commands, create(fmt.Sprintf("d%d-%d@clinic.example", batch, n)))
			}
			w.act(r.T, commands...)
			w.wake(r.T)
			if batch%2 == 0 { // in the middle of it
				w.exec(r.T, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
			}
			took := time.Now()
			for len(seen) < (batch+1)*each*2 { // a crash between publish and mark publishes again, with the same ids
				for _, e := range published(r.T, next, 1) {
					if !slices.Contains(seen, e) {
						seen = append(seen, e)
					}
				}
			}
			if d := time.Since(took); d > 2*time.Second {
				r.Latef("batch %d: the events came after %s", batch, d)
			}
		}
		logged := w.logged(r.T)
		wantGapless(r.T, logged)
		for _, e := range logged {
			if !slices.Contains(seen, e) {
				r.Errorf("%s is not in the stream", e)
			}
		}
		if len(seen) != len(logged) {
			r.Errorf("%d published, %d logged", len(seen), len(logged))
		}
		if leaders := ask[int64](r.T, w, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`); leaders != 1 {
			r.Errorf("%d relays lead", leaders)
		}
	})
}

func TestWhatNATSLostIsPublishedAgain(t *testing.T) {
	for name, lose := range map[string]func(ctx context.Context, w *world) error{
		"the stream was deleted": func(ctx context.Context, w *world) error {
			return w.bus.JetStream().DeleteStream(ctx, subject.StreamEvents)
		},
		"the stream was purged": func(ctx context.Context, w *world) error {
			s, err := w.bus.JetStream().Stream(ctx, subject.StreamEvents)
			if err != nil {
				return err
			}
			return s.Purge(ctx)
		},
		"its tail was lost": func(ctx context.Context, w *world) error { // as after a power failure: a stream that ends earlier
			if err := w.bus.JetStream().DeleteStream(ctx, subject.StreamEvents); err != nil {
				return err
			}
			if err := w.bus.EnsureStreams(ctx); err != nil {
				return err
			}
			s, err := w.bus.JetStream().Stream(ctx, subject.StreamEvents)
			if err != nil {
				return err
			}
			_, err = w.sql.Exec(ctx, `UPDATE relay SET events_created = $1`, s.CachedInfo().Created)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			stop := w.relay(t)
			w.act(t, create("a@x.example"), create("b@x.example"), create("c@x.example"))
			w.wake(t)
			published(t, w.tap(t, subject.StreamEvents), 6)
			for ask[int64](t, w, `SELECT published_seq FROM relay`) < 6 { // a moment after the acknowledgement
				if t.Context().Err() != nil {
					t.Fatal("not marked")
				}
			}
			stop()
			before := w.logged(t)
			if err := lose(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			w.relay(t)
			if again := published(t, w.tap(t, subject.StreamEvents), 6); !slices.Equal(again, before) {
				t.Errorf("again %q\nbefore %q", again, before)
			}
			// And on from there.
			w.act(t, create("d@x.example"))
			w.wake(t)
			if all := published(t, w.tap(t, subject.StreamEvents), 8); !slices.Equal(all, w.logged(t)) {
				t.Errorf("then %q", all)
			}
			wantGapless(t, w.logged(t))
		})
	}
}

// As after a restore by hand that nobody put in order: the numbers after the backup's last were given once.
func TestNoNumberIsGivenAgainByADatabaseOlderThanTheStream(t *testing.T) {
	w := newWorld(t)
	stop := w.relay(t)
	w.act(t, create("a@x.example"), create("b@x.example"))
	w.wake(t)
	next := w.tap(t, subject.StreamEvents)
	published(t, next, 4)
	stop()
	if err := NotOlder(t.Context(), w.bus, w.store); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `DELETE FROM events WHERE seq > 2`)
	w.exec(t, `UPDATE relay SET last_seq = 2, published_seq = 2`)
	if err := NotOlder(t.Context(), w.bus, w.store); !errors.Is(err, ErrOlder) || !strings.Contains(err.Error(), "event 4") || !strings.Contains(err.Error(), "after 2") {
		t.Errorf("a start finds %v", err)
	}
	w.act(t, create("c@x.example"))
	s := w.newStore(t)
	lead, err := s.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lead.Close(t.Context()) }()
	l := &leader{Relay: NewRelay(w.bus, s, Codec{}, w.clock.Now, w.clock.Alarm, metrics(t, s, w.clock.Now), quiet()), lead: lead}
	if err := l.run(t.Context(), nil, nil); !errors.Is(err, ErrOlder) {
		t.Errorf("a relay that runs finds %v", err)
	}
	if n := ask[int64](t, w, `SELECT count(*) FROM events WHERE seq > 2`); n != 0 {
		t.Errorf("%d events were numbered", n)
	}
}

func TestAStreamDeletedUnderARunningRelayComesBackWithTheNextEvent(t *testing.T) {
	w := newWorld(t)
	w.relay(t)
	w.act(t, create("a@x.example"))
	w.wake(t)
	published(t, w.tap(t, subject.StreamEvents), 2)
	if err := w.bus.JetStream().DeleteStream(t.Context(), subject.StreamEvents); err != nil {
		t.Fatal(err)
	}
	w.act(t, create("b@x.example"))
	w.wake(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if s, err := w.bus.JetStream().Stream(ctx, subject.StreamEvents); err == nil && s.CachedInfo().State.Msgs >= 4 {
			break
		} else if ctx.Err() != nil {
			t.Fatal("it did not come back")
		}
	}
	if all := published(t, w.tap(t, subject.StreamEvents), 4); !slices.Equal(all, w.logged(t)) {
		t.Errorf("got %q", all)
	}
}

func TestEventsOlderThanTheStreamKeepsAreNotPublishedAgain(t *testing.T) {
	w := newWorld(t)
	stop := w.relay(t)
	w.act(t, create("old@x.example"))
	w.wake(t)
	published(t, w.tap(t, subject.StreamEvents), 2)
	stop()
	w.clock.Advance(keepEvents + time.Hour)
	w.act(t, create("new@x.example"))
	if err := w.bus.JetStream().DeleteStream(t.Context(), subject.StreamEvents); err != nil {
		t.Fatal(err)
	}
	w.exec(t, `UPDATE relay SET published_seq = last_seq`)
	w.relay(t)
	if got := published(t, w.waitFor(t, subject.StreamEvents), 2); !slices.Equal(got, w.logged(t)[2:]) {
		t.Errorf("got %q", got)
	}
}

// waitFor is tap on a stream that is about to be made.
func (w *world) waitFor(t *testing.T, stream string) func() jetstream.Msg {
	t.Helper()
	if err := w.bus.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w.tap(t, stream)
}

func TestAPublishThatFailedIsRepeatedWithTheSameIDs(t *testing.T) {
	w := newWorld(t)
	// The stream takes nothing: whatever is published is refused.
	s, err := w.bus.JetStream().Stream(t.Context(), subject.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	config := s.CachedInfo().Config
	w.relay(t)
	w.act(t, create("a@x.example"))
	sealed := config
	sealed.MaxMsgSize = 1
	if _, err := w.bus.JetStream().UpdateStream(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	w.wake(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ask[int64](t, w, `SELECT last_seq FROM relay`) < 2 { // numbered; the relay mends the stream when it leads again
		if ctx.Err() != nil {
			t.Fatal("not numbered")
		}
	}
	if got := published(t, w.tap(t, subject.StreamEvents), 2); !slices.Equal(got, w.logged(t)) {
		t.Errorf("got %q, logged %q", got, w.logged(t))
	}
}

func jobOf(t *testing.T, msg jetstream.Msg) *meetv1.SyncMeetingJob {
	t.Helper()
	job := new(meetv1.SyncMeetingJob)
	if err := protojson.Unmarshal(msg.Data(), job); err != nil {
		t.Fatal(err)
	}
	if id := msg.Headers().Get("Nats-Msg-Id"); id != dispatchID(job.GetJobId(), job.GetDispatch()) {
		t.Errorf("message id %s of %v", id, job)
	}
	return job
}

func TestAJobWhoseMessageIsLostIsSentAgainAfterTenSecondsAndOnlyThen(t *testing.T) {
	w := newWorld(t)
	effects := w.act(t, create("a@x.example"), create("b@x.example"), create("c@x.example")) // nothing was published: a crash after the commit
	for _, job := range effects.Jobs[1:] {
		if _, err := w.bus.JetStream().PublishMsg(t.Context(), jobMessage(job)); err != nil {
			t.Fatal(err)
		}
	}
	s := w.newStore(t)
	lead, err := s.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lead.Close(t.Context()) }()
	l := &leader{Relay: NewRelay(w.bus, s, Codec{}, w.clock.Now, w.clock.Alarm, metrics(t, s, w.clock.Now), quiet()), lead: lead}
	out := func() []string {
		return ask[[]string](t, w, `SELECT array_agg(state || ' ' || dispatch ORDER BY meeting_id) FROM jobs`)
	}
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{outcomeWait, []string{"out 1", "out 1", "out 1"}},
		{time.Microsecond, []string{"due 1", "out 1", "out 1"}},
		{100 * time.Hour, []string{"due 1", "out 1", "out 1"}}, // age alone is no reason
	} {
		w.clock.Advance(step.after)
		before := out()
		if err := l.resendLost(t.Context(), outcomeWait, 2); err != nil || !slices.Equal(out(), before) {
			t.Fatalf("after %s, sent again at the first look: %q, %v", step.after, out(), err)
		}
		if err := l.resendLost(t.Context(), outcomeWait, 2); err != nil || !slices.Equal(out(), step.want) {
			t.Fatalf("after %s: %q, %v", step.after, out(), err)
		}
	}
	if n, err := l.dispatchJobs(t.Context()); err != nil || n != 1 || !slices.Equal(out(), []string{"out 2", "out 1", "out 1"}) {
		t.Errorf("%d sent, %q, %v", n, out(), err)
	}
	next := w.jobs(t)
	var got []string
	for range 3 {
		job := jobOf(t, next())
		got = append(got, fmt.Sprint(job.GetMeetingId(), ".", job.GetDispatch()))
	}
	if slices.Sort(got); !slices.Equal(got, []string{"1.2", "2.1", "3.1"}) {
		t.Errorf("messages %q", got)
	}
}

func TestAfterTheLossOfTheJobStreamWhatWasOutIsSentAgain(t *testing.T) {
	w := newWorld(t)
	stop := w.relay(t)
	w.act(t, create("a@x.example"))
	w.wake(t)
	published(t, w.tap(t, subject.StreamEvents), 2)
	stop()
	if err := w.bus.JetStream().DeleteStream(t.Context(), subject.StreamJobs); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(2 * sentBefore)
	w.relay(t)
	if job := jobOf(t, w.jobs(t)()); job.GetDispatch() != 2 || job.GetMeetingId() != 1 || job.GetWish().GetOrganizerEmail() != "a@x.example" {
		t.Errorf("got %v", job)
	}
	if got := ask[int64](t, w, `SELECT dispatch FROM jobs`); got != 2 {
		t.Errorf("%d dispatches", got)
	}
}

func TestAJobIsSentAtItsTime(t *testing.T) {
	w := newWorld(t)
	w.act(t, create("a@x.example"))
	w.act(t, outcome(1, 1, meeting.Outcome{Failure: &meeting.OutcomeFailure{Code: "QUOTA", Message: "wait", RetryAt: today.Add(time.Hour)}}))
	w.relay(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for at, waits := w.clock.Next(); !waits || !at.Equal(today.Add(time.Hour)); at, waits = w.clock.Next() {
		if ctx.Err() != nil {
			t.Fatalf("the relay waits for %s", at)
		}
	}
	w.clock.Advance(time.Hour - time.Microsecond)
	if got := ask[string](t, w, `SELECT state FROM jobs`); got != "due" {
		t.Fatalf("sent too early: %s", got)
	}
	w.clock.Advance(time.Microsecond)
	job := jobOf(t, w.jobs(t)())
	if job.GetDispatch() != 2 || job.GetFailedAttempts() != 1 || job.GetWish() != nil { // after a failure the wish is read anew
		t.Errorf("got %v", job)
	}
}

func TestCreatesGoFirstAndOrganizersTakeTurns(t *testing.T) {
	w := newWorld(t)
	// Everything waits: 40 creates and 5 changes of one organizer, then one create of another.
	for n := range 46 {
		who := "bulk@x.example"
		if n == 45 {
			who = "lone@x.example"
		}
		w.act(t, create(who))
		w.clock.Advance(time.Second)
	}
	w.exec(t, `UPDATE jobs SET state = 'due', dispatch = 0, dispatched_at = NULL, due_at = created_at`)
	w.exec(t, `UPDATE jobs SET priority = 1 WHERE meeting_id <= 5`)
	w.relay(t)
	next := w.jobs(t)
	var order []int64
	for range 46 {
		order = append(order, jobOf(t, next()).GetMeetingId())
	}
	want := []int64{6, 46}
	for id := int64(7); id <= 45; id++ {
		want = append(want, id)
	}
	want = append(want, 1, 2, 3, 4, 5)
	if !slices.Equal(order[:2], want[:2]) && !slices.Equal(order[:2], []int64{46, 6}) || !slices.Equal(order[2:], want[2:]) {
		t.Errorf("order %v", order)
	}
}

func TestNoMoreJobsAreOutThanTheLimit(t *testing.T) {
	w := newWorld(t)
	const all = app.DispatchLimit + 44
	for n := 0; n < all; n += 100 {
		batch := make([]*app.Command, 0, 100)
		for k := range 100 {
			batch = append(batch, create(fmt.Sprintf("d%d@x.example", n+k)))
		}
		w.act(t, batch...)
	}
	w.exec(t, `UPDATE jobs SET state = 'due', dispatch = 0, dispatched_at = NULL`)
	w.relay(t)
	next := w.jobs(t)
	seen := map[int64]bool{}
	for range app.DispatchLimit {
		seen[jobOf(t, next()).GetMeetingId()] = true
	}
	if out := ask[int64](t, w, `SELECT count(*) FROM jobs WHERE state = 'out'`); out != app.DispatchLimit || len(seen) != app.DispatchLimit {
		t.Fatalf("%d are out, %d came", out, len(seen))
	}
	for id := range seen { // an outcome makes room
		w.act(t, outcome(id, 1, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{EventID: "e", MeetLink: "l", EventVersion: 1, SettingsVersion: 1}}))
		break
	}
	w.wake(t)
	if job := jobOf(t, next()); seen[job.GetMeetingId()] {
		t.Errorf("meeting %d came twice", job.GetMeetingId())
	}
}

func TestAnIdleRelayAsksOnlyWhetherThereIsAnything(t *testing.T) {
	w := newWorld(t)
	w.relay(t)
	w.act(t, create("a@x.example"))
	published(t, w.tap(t, subject.StreamEvents), 2) // it leads
	state := func() time.Time {
		return ask[time.Time](t, w, `SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'meetings relay'`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for time.Since(state()) < idle/2 { // until it sleeps
		if ctx.Err() != nil {
			t.Fatal("it never sleeps")
		}
	}
	changes := map[time.Time]struct{}{}
	began := time.Now()
	for time.Since(began) < 2500*time.Millisecond {
		changes[state()] = struct{}{}
	}
	// Two statements a second, one every other second, and what is done now and then.
	if took := time.Since(began); float64(len(changes)) > 3*took.Seconds()+7 {
		t.Errorf("%d statements in %s", len(changes), took)
	}
}

func TestOldRowsGo(t *testing.T) {
	w := newWorld(t)
	w.act(t, create("a@x.example"), create("b@x.example"))
	w.act(t, outcome(1, 1, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{EventID: "e", MeetLink: "l", EventVersion: 1, SettingsVersion: 1}}))
	w.exec(t, `INSERT INTO jobs (id, class, kind, state, priority, due_at, dispatch, failed_attempts, created_at, ended_at)
		SELECT gen_random_uuid(), 'webhook', 'deliver', s, 1, $1, 1, 0, $1, $1 FROM unnest('{done,failed}'::text[]) s`, today)
	w.clock.Advance(app.KeepCommands + time.Second)
	w.act(t, create("c@x.example"))
	stop := w.relay(t)
	count := func(sql string) int64 { return ask[int64](t, w, sql) }
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The first create is over and goes; the second is still under way and can be followed; the third is young.
	for count(`SELECT count(*) FROM commands`) != 2 {
		if ctx.Err() != nil {
			t.Fatalf("%d commands", count(`SELECT count(*) FROM commands`))
		}
	}
	if left := ask[[]int64](t, w, `SELECT array_agg(meeting_id ORDER BY meeting_id) FROM commands`); !slices.Equal(left, []int64{2, 3}) {
		t.Errorf("commands of meetings %v", left)
	}
	stop()
	w.clock.Advance(app.KeepJobs)
	w.relay(t)
	for count(`SELECT count(*) FROM jobs WHERE class = 'webhook'`) != 0 {
		if ctx.Err() != nil {
			t.Fatal("old jobs stay")
		}
	}
	if got := count(`SELECT count(*) FROM jobs`); got != 3 {
		t.Errorf("%d jobs of meetings", got)
	}
}
