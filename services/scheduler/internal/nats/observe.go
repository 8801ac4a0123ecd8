package nats

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// partWait bounds the wait for the commit of one part of an outcome.
	partWait = 10 * time.Second
	// forgetWait bounds the end of a channel that was replaced.
	forgetWait = 10 * time.Second
)

// ObserveJobs consumes the jobs of class observe: what reads at Google and changes nothing there that anybody sees.
type ObserveJobs struct {
	*desk

	follow      *job.FollowCalendar
	conferences *job.ReadConferences
	now         clock.Clock
	plans       chan struct{} // the questions for plans that are out
}

// NewObserveJobs makes the consumer; Run runs it.
func NewObserveJobs(c Config, b *bus.Bus, follow *job.FollowCalendar, conferences *job.ReadConferences, now clock.Clock, m *Metrics, log *slog.Logger) *ObserveJobs {
	return &ObserveJobs{
		desk: newDesk(c, b, subject.ClassObserve, c.ObserveWorkers, m, log), follow: follow, conferences: conferences, now: now, plans: make(chan struct{}, plansAtOnce),
	}
}

// Run works until ctx ends; then jobs in hand get Config.Grace to finish and the rest is handed back.
func (o *ObserveJobs) Run(ctx context.Context) error { return o.run(ctx, o.work) }

// work runs one message to its end.
func (o *ObserveJobs) work(ctx context.Context, msg jetstream.Msg) {
	switch msg.Subject() {
	case string(subject.FollowCalendar):
		o.followCalendar(ctx, msg)
	case string(subject.CheckRecording), string(subject.SyncRecordingNow), string(subject.FollowConferences):
		o.look(ctx, msg)
	default:
		o.bury(ctx, msg, "no handler for this kind of job")
	}
}

func (o *ObserveJobs) followCalendar(ctx context.Context, msg jetstream.Msg) {
	in := new(meetv1.FollowCalendarJob)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg.Data(), in); err != nil {
		o.bury(ctx, msg, "the body is no FollowCalendarJob: "+err.Error())
		return
	}
	if _, err := uuid.Parse(in.GetJobId()); err != nil || in.GetCalendar() <= 0 || in.GetDispatch() <= 0 || in.GetAccount() == "" {
		o.bury(ctx, msg, "the job lacks its id, its dispatch or its calendar")
		return
	}
	calendar := decodeFollow(in)
	reading, ok := o.follow.Do(ctx, calendar, int(in.GetFailedAttempts()))
	if !ok {
		o.giveBack(msg, 0)
		return
	}
	failpoint.Here("scheduler.followed_calendar")
	if err := o.report(ctx, in, reading); err != nil {
		o.log.WarnContext(ctx, "reading of a calendar was not stored, it will be read again", "calendar", in.GetCalendar(), "error", err)
		o.giveBack(msg, readPause)
		return
	}
	o.ack(ctx, msg)
	forgetting, cancel := context.WithTimeout(ctx, forgetWait)
	defer cancel()
	o.follow.Forget(forgetting, calendar, reading)
}

// report stores what was read. The last part says where the reading ended, so it goes once the others are committed: what NATS
// could lose must not be skipped.
func (o *ObserveJobs) report(ctx context.Context, in *meetv1.FollowCalendarJob, r job.Reading) error {
	parts := encodeFollowed(in, r)
	for i, part := range parts {
		id, err := uuid.NewV7() // a double is harmless: each event by itself is as it was seen
		if err != nil {
			return fmt.Errorf("make a command id: %w", err)
		}
		envelope := bus.Envelope{
			CommandID: id, Principal: bus.Scheduler, Traceparent: tracing.Traceparent(ctx),
		}
		if err := o.send(ctx, part, envelope); err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
		}
	}
	return nil
}

func (o *ObserveJobs) send(ctx context.Context, part *meetv1.CalendarFollowedRequest, envelope bus.Envelope) error {
	if !part.GetPartial() {
		return bus.Post(ctx, o.bus, subject.CalendarFollowed, part, envelope)
	}
	err := committed(ctx, o.bus, subject.CalendarFollowed, part, envelope)
	if fault.KindOf(err) == fault.NotFound {
		return nil // the calendar is not there any more
	}
	return err
}

// committed sends a part of an outcome and waits until meetings keeps it.
func committed[Req, Resp proto.Message](ctx context.Context, b *bus.Bus, command subject.Command[Req, Resp], part Req, envelope bus.Envelope) error {
	ctx, cancel := context.WithTimeoutCause(ctx, partWait, fmt.Errorf("no commit within %s", partWait))
	defer cancel()
	call, err := bus.Start(b, command, part, envelope)
	if err != nil {
		return err
	}
	defer call.Close()
	_, _, err = call.Committed(ctx)
	return err
}
