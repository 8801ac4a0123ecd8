package nats

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// follows consumes the jobs of class observe as a scheduler does.
func (w *world) follows(t *testing.T) (next func() *meetv1.FollowCalendarJob) {
	t.Helper()
	out := make(chan jetstream.Msg, 64)
	b := w.newBus(t)
	run(t, func(ctx context.Context) error {
		return b.Consume(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassObserve), 64, func(m jetstream.Msg) { out <- m })
	})
	return func() *meetv1.FollowCalendarJob {
		t.Helper()
		select {
		case m := <-out:
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			job := new(meetv1.FollowCalendarJob)
			if err := protojson.Unmarshal(m.Data(), job); err != nil {
				t.Fatalf("%s: %v", m.Data(), err)
			}
			return job
		case <-time.After(patience):
			t.Fatal("no job came")
			return nil
		}
	}
}

// inCalendar makes a meeting whose event is in a calendar.
func (w *world) inCalendar(t *testing.T) {
	t.Helper()
	w.act(t, create("a@x.example"))
	w.act(t, outcome(1, 1, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{
		Account: "a@x.example", CalendarID: "primary", EventID: "e", MeetLink: "l", EventVersion: 1, SettingsVersion: 1,
	}}))
}

func TestACalendarIsReadAtItsTimeByAMessageThatSaysAll(t *testing.T) {
	w := newWorld(t)
	w.inCalendar(t)
	w.relay(t)
	next := w.follows(t)
	first := next()
	if first.GetJobId() == "" || first.GetDispatch() != 1 || first.GetCalendar() <= 0 || first.GetAccount() != "a@x.example" || first.GetCalendarId() != "primary" ||
		first.GetSyncToken() != "" || !first.GetPush() {
		t.Errorf("got %v", first)
	}
	done := calendarFollowed(&meetv1.CalendarFollowedRequest{
		JobId: first.GetJobId(), Dispatch: 1, Calendar: first.GetCalendar(), SyncToken: "s1",
		Channel: &meetv1.CalendarChannel{Id: "c", ResourceId: "r", TokenHash: "h", ExpiresAt: stamp(today.AddDate(0, 0, 7))},
	})
	c := command("calendar.followed", done)
	c.Outcome = true
	w.act(t, c)
	w.clock.Advance(time.Hour)
	w.wake(t)
	second := next()
	if second.GetDispatch() != 2 || second.GetSyncToken() != "s1" || second.GetChannel().GetResourceId() != "r" || !second.GetChannel().GetExpiresAt().AsTime().Equal(today.AddDate(0, 0, 7)) {
		t.Errorf("got %v", second)
	}
}

func TestAReadingWhoseMessageOrStreamIsLostIsSentAgain(t *testing.T) {
	for name, lose := range map[string]func(context.Context, *world) error{
		"message": func(ctx context.Context, w *world) error {
			s, err := w.bus.JetStream().Stream(ctx, subject.StreamJobs)
			if err != nil {
				return err
			}
			return s.Purge(ctx)
		},
		"stream": func(ctx context.Context, w *world) error {
			return w.bus.JetStream().DeleteStream(ctx, subject.StreamJobs)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.inCalendar(t)
			stop := w.relay(t)
			published(t, w.tap(t, subject.StreamEvents), 3)
			for ask[string](t, w, `SELECT state FROM jobs WHERE kind = 'follow_calendar'`) != "out" { // a moment later
				if t.Context().Err() != nil {
					t.Fatal("not sent")
				}
			}
			stop()
			if err := lose(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(outcomeWait + time.Second)
			w.relay(t)
			if job := w.follows(t)(); job.GetDispatch() != 2 {
				t.Errorf("got %v", job)
			}
		})
	}
}
