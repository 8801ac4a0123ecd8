package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// observers is how many calendars one scheduler reads side by side.
	observers = 8
	// partWait bounds the wait for the commit of one part of an outcome.
	partWait = 10 * time.Second
	// forgetWait bounds the end of a channel that was replaced.
	forgetWait = 10 * time.Second
)

// ObserveJobs consumes the jobs of class observe: what reads at Google and changes nothing there.
type ObserveJobs struct {
	settler

	config Config
	follow *job.FollowCalendar
}

// NewObserveJobs makes the consumer; Run runs it.
func NewObserveJobs(c Config, b *bus.Bus, follow *job.FollowCalendar, log *slog.Logger) *ObserveJobs {
	if c.Lease <= 0 {
		c.Lease = defaultLease
	}
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	return &ObserveJobs{settler: settler{bus: b, log: log}, config: c, follow: follow}
}

// Run works until ctx ends; then jobs in hand get Config.Grace to finish and the rest is handed back.
func (o *ObserveJobs) Run(ctx context.Context) error {
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	places := make(chan struct{}, observers)
	var workers sync.WaitGroup
	err := o.bus.Consume(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassObserve), observers, func(msg jetstream.Msg) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			o.giveBack(msg, 0)
			return
		}
		workers.Go(func() {
			defer func() { <-places }()
			o.work(working, msg)
		})
	})
	grace := time.AfterFunc(o.config.Grace, stopWork)
	workers.Wait()
	grace.Stop()
	return err
}

// work runs one message to its end. A message that kills its handler would kill every scheduler in turn: it is buried.
func (o *ObserveJobs) work(ctx context.Context, msg jetstream.Msg) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	go o.keepLease(ctx, msg)
	defer func() {
		if p := recover(); p != nil {
			o.log.ErrorContext(ctx, "message handler panicked", "subject", msg.Subject(), "panic", p, "stack", string(debug.Stack()))
			o.bury(ctx, msg, fmt.Sprintf("panic: %v", p))
		}
	}()
	if msg.Subject() != string(subject.FollowCalendar) {
		o.bury(ctx, msg, "no handler for this kind of job")
		return
	}
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
	if err := o.report(ctx, msg, in, reading); err != nil {
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
func (o *ObserveJobs) report(ctx context.Context, msg jetstream.Msg, in *meetv1.FollowCalendarJob, r job.Reading) error {
	parts := encodeFollowed(in, r)
	for i, part := range parts {
		id, err := uuid.NewV7() // a double is harmless: each event by itself is as it was seen
		if err != nil {
			return fmt.Errorf("make a command id: %w", err)
		}
		envelope := bus.Envelope{
			CommandID: id, Principal: bus.Principal{Name: "scheduler", Role: "service"}, Traceparent: msg.Headers().Get("traceparent"),
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
	ctx, cancel := context.WithTimeoutCause(ctx, partWait, fmt.Errorf("no commit within %s", partWait))
	defer cancel()
	call, err := bus.Start(o.bus, subject.CalendarFollowed, part, envelope)
	if err != nil {
		return err
	}
	defer call.Close()
	if _, _, err = call.Committed(ctx); fault.KindOf(err) == fault.NotFound {
		return nil // the calendar is not there any more
	}
	return err
}

// keepLease tells NATS that the message is being seen to.
func (o *ObserveJobs) keepLease(ctx context.Context, msg jetstream.Msg) {
	tick := time.NewTicker(o.config.Lease)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := msg.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
				o.log.WarnContext(ctx, "lease was not extended", "subject", msg.Subject(), "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
