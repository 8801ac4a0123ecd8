package nats

import (
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

func TestAJobIsOfTheTraceOfTheCommandThatWantedItLast(t *testing.T) {
	const (
		first  = "00-11111111111111111111111111111111-b7ad6b7169203331-01"
		second = "00-22222222222222222222222222222222-b7ad6b7169203331-01"
		third  = "00-33333333333333333333333333333333-b7ad6b7169203331-01"
	)
	w := newWorld(t)
	s := w.newStore(t)
	lead, err := s.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lead.Close(t.Context()) }()
	l := &leader{Relay: NewRelay(w.bus, s, Codec{}, w.clock.Now, w.clock.Alarm, metrics(t, s, w.clock.Now), quiet()), lead: lead}
	traced := func(c *app.Command, traceparent string) *app.Command {
		c.Traceparent = traceparent
		return c
	}

	effects := w.act(t, traced(create("a@x.example"), first))
	if len(effects.Jobs) != 1 || effects.Jobs[0].Traceparent != first {
		t.Fatalf("the create sends %+v", effects.Jobs)
	}
	w.clock.Advance(outcomeWait + time.Second) // nothing was published: a crash after the commit
	if err := l.resendLost(t.Context(), outcomeWait, 1); err != nil {
		t.Fatal(err)
	}
	if n, err := l.dispatchJobs(t.Context()); err != nil || n != 1 {
		t.Fatalf("%d sent again, %v", n, err)
	}
	stream, err := w.bus.JetStream().Stream(t.Context(), subject.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := stream.GetLastMsgForSubject(t.Context(), string(subject.SyncMeeting)); err != nil || sent.Header.Get(tracing.Header) != first {
		t.Errorf("sent again it is %+v, %v", sent, err)
	}

	summary := "Later"
	w.act(t, traced(command("meeting.update", &app.UpdateMeeting{Ref: meeting.Ref{ID: 1}, Patch: meeting.Patch{Summary: &summary}}), second))
	effects = w.act(t, traced(outcome(1, 2, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{EventID: "e", MeetLink: "https://meet.example/a", EventVersion: 1}}), third))
	if len(effects.Jobs) != 1 || effects.Jobs[0].Traceparent != second {
		t.Errorf("after the change %+v", effects.Jobs)
	}
}
