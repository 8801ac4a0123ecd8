// Package nats takes due jobs from MEET_JOBS, one durable for each class so that a slow class blocks no other, runs them and
// reports what came of them as commands. A message is acknowledged only after the report is stored; one that no handler can
// read goes to MEET_DEAD. It decides nothing about a job.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/fx"
	"google.golang.org/protobuf/encoding/protojson"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
)

// Config of the consumers.
type Config struct {
	GoogleWorkers  int `env:"MEET_GOOGLE_WORKERS" envDefault:"64" help:"how many calls to Google one scheduler makes side by side for creates and changes"`
	ObserveWorkers int `env:"MEET_OBSERVE_WORKERS" envDefault:"512" help:"how many calendars, conferences and recordings one scheduler looks at side by side; Google's quotas decide how many calls that is"`
	ExportWorkers  int `env:"MEET_EXPORT_WORKERS" envDefault:"4" help:"how many recordings one scheduler copies, checks or deletes side by side; each takes about 20 MB of memory"`

	// Lease is how often the lease of a message in hand is extended; well below the consumer's AckWait. Set by tests.
	Lease time.Duration `env:"-"`
	// Grace is how long jobs in hand may go on after the stop. Set by tests.
	Grace time.Duration `env:"-"`
}

// Check names the settings that make no sense.
func (c Config) Check() error {
	var problems []error
	for _, v := range []struct {
		name         string
		value, usual int
	}{{"MEET_GOOGLE_WORKERS", c.GoogleWorkers, 64}, {"MEET_OBSERVE_WORKERS", c.ObserveWorkers, 512}, {"MEET_EXPORT_WORKERS", c.ExportWorkers, 4}} {
		if v.value < 1 || v.value > maxWorkers {
			problems = append(problems, config.Bad(v.name, fmt.Sprintf("%d is not possible", v.value), fmt.Sprintf("use 1 to %d, or leave it out for %d", maxWorkers, v.usual)))
		}
	}
	return errors.Join(problems...)
}

const (
	// maxWorkers is what the durable hands out to all schedulers together before it waits for acknowledgements.
	maxWorkers   = 1024
	defaultLease = 3 * time.Second
	// defaultGrace leaves time within the whole stop for handing back and flushing.
	defaultGrace = 6 * time.Second
	// queryTimeout bounds reading a wish anew.
	queryTimeout = 5 * time.Second
	// busyWait is how long a second message of a meeting in hand waits for the first to be settled, busyPause how long it is
	// put off then.
	busyWait  = 100 * time.Millisecond
	busyPause = time.Second
	// readPause is the most that a message is put off when its wish can't be read.
	readPause = 5 * time.Second
	// postPatience is how long the report of a job that is done is tried to be stored before the message is left to come again.
	postPatience = time.Minute
	// oddPause is when a row is due again whose handler panicked.
	oddPause = 10 * time.Minute
)

// outcomeIDs is the UUIDv5 name space of the command ids of outcomes.
var outcomeIDs = uuid.MustParse("0f9d6a5e-2c0b-5c63-9c54-6f3f7c1f7a52")

// GoogleJobs consumes the jobs of class google.
type GoogleJobs struct {
	*desk

	sync *job.SyncMeeting

	mu     sync.Mutex
	inHand map[int64]hand // by meeting
}

// hand is a message that is being worked on.
type hand struct {
	sequence uint64        // in the stream
	free     chan struct{} // closed once it is settled
}

// NewGoogleJobs makes the consumer; Run runs it.
func NewGoogleJobs(c Config, b *bus.Bus, sync *job.SyncMeeting, m *Metrics, log *slog.Logger) *GoogleJobs {
	return &GoogleJobs{desk: newDesk(c, b, subject.ClassGoogle, c.GoogleWorkers, m, log), sync: sync, inHand: make(map[int64]hand)}
}

// Run works until ctx ends; then jobs in hand get Config.Grace to finish and the rest is handed back.
func (g *GoogleJobs) Run(ctx context.Context) error { return g.run(ctx, g.work) }

// work runs one message to its end: settled, handed back, or left to come again.
func (g *GoogleJobs) work(ctx context.Context, msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		g.bury(ctx, msg, err.Error())
		return
	}
	in := new(meetv1.SyncMeetingJob)
	if msg.Subject() != string(subject.SyncMeeting) {
		g.bury(ctx, msg, "no handler for this kind of job")
		return
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(msg.Data(), in); err != nil {
		g.bury(ctx, msg, "the body is no SyncMeetingJob: "+err.Error())
		return
	}
	if _, err := uuid.Parse(in.GetJobId()); err != nil || in.GetMeetingId() <= 0 || in.GetDispatch() <= 0 {
		g.bury(ctx, msg, "the job lacks its id, its dispatch or its meeting")
		return
	}
	if !g.take(in.GetMeetingId(), meta.Sequence.Stream, msg) {
		return
	}
	defer g.leave(in.GetMeetingId())
	failpoint.Here("scheduler.took_job")

	wish, act := g.wish(ctx, msg, meta, in)
	if !act {
		return
	}
	verdict, err := g.do(ctx, in, wish, job.Attempt{
		Dispatch: in.GetDispatch(), Failed: int(in.GetFailedAttempts()), Delivered: int(min(meta.NumDelivered, 1<<30)),
	})
	if err != nil {
		if g.report(ctx, in, &verdict) == nil {
			g.bury(ctx, msg, err.Error())
		}
		return
	}
	if verdict.Outcome == nil {
		g.giveBack(msg, verdict.Again)
		return
	}
	failpoint.Here("scheduler.google_done")
	if err := g.report(ctx, in, &verdict); err != nil {
		g.log.WarnContext(ctx, "outcome was not stored, the job will come again", "meeting_id", in.GetMeetingId(), "job_id", in.GetJobId(), "error", err)
		return
	}
	failpoint.Here("scheduler.posted_outcome")
	g.ack(ctx, msg)
	failpoint.Here("scheduler.acked_job")
}

// take makes the meeting this message's alone. A redelivery of the message that is being worked on is left alone: its first
// delivery settles it. Another message of the meeting is most often the next step, which overtook the end of this one; it
// waits a moment, or comes again later.
func (g *GoogleJobs) take(meeting int64, sequence uint64, msg jetstream.Msg) bool {
	var patience <-chan time.Time
	for {
		g.mu.Lock()
		at, busy := g.inHand[meeting]
		if !busy {
			g.inHand[meeting] = hand{sequence, make(chan struct{})}
		}
		g.mu.Unlock()
		switch {
		case !busy:
			return true
		case at.sequence == sequence:
			return false
		case patience == nil:
			patience = time.After(busyWait)
		}
		select {
		case <-at.free:
		case <-patience:
			g.giveBack(msg, busyPause)
			return false
		}
	}
}

func (g *GoogleJobs) leave(meeting int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.inHand[meeting].free)
	delete(g.inHand, meeting)
}

// wish is the meeting as wanted: the snapshot that the job carries, or, when it may be old, as meetings has it now. act is
// false when the message is settled.
func (g *GoogleJobs) wish(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, in *meetv1.SyncMeetingJob) (wish job.Wish, act bool) {
	if in.GetWish() != nil && meta.NumDelivered <= 1 && in.GetFailedAttempts() == 0 {
		return decodeWish(in.GetWish()), true
	}
	asking, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	answer, err := bus.Ask(bus.WithPrincipal(asking, bus.Scheduler), g.bus, subject.GetMeetingWish, &meetv1.GetMeetingWishRequest{MeetingId: in.GetMeetingId()})
	switch {
	case fault.KindOf(err) == fault.NotFound:
		g.log.WarnContext(ctx, "job of a meeting that is not there", "meeting_id", in.GetMeetingId(), "job_id", in.GetJobId())
		g.ack(ctx, msg)
		return job.Wish{}, false
	case err != nil:
		if ctx.Err() == nil {
			g.log.WarnContext(ctx, "meeting could not be read anew", "meeting_id", in.GetMeetingId(), "error", err)
		}
		g.giveBack(msg, readPause)
		return job.Wish{}, false
	case answer.GetDispatch() > in.GetDispatch():
		g.ack(ctx, msg) // the row was sent again: that message acts
		return job.Wish{}, false
	}
	return decodeWish(answer.GetWish()), true
}

// do runs the job. A panic is an error with an outcome that lets the row go on, lest the relay sends the same for ever.
func (g *GoogleJobs) do(ctx context.Context, in *meetv1.SyncMeetingJob, w job.Wish, a job.Attempt) (v job.Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			g.log.ErrorContext(ctx, "job handler panicked", "meeting_id", in.GetMeetingId(), "job_id", in.GetJobId(), "panic", p, "stack", string(debug.Stack()))
			v = job.Verdict{Outcome: &job.Outcome{
				Version: w.Version, Step: job.StepNone, Google: w.Google, RetryAt: g.sync.Later(oddPause),
				Failure: &job.Failure{Kind: job.Transient, Code: job.CodeInternal, Message: "the scheduler failed; its log and MEET_DEAD say more"},
			}}
		}
	}()
	return g.sync.Do(ctx, w, a), nil
}

// report posts the outcome under an id that is the same for every run of this dispatch that took this step, so that a double
// acts once. It has no deadline: what Google did stays true.
func (g *GoogleJobs) report(ctx context.Context, in *meetv1.SyncMeetingJob, v *job.Verdict) error {
	step := string(v.Outcome.Step)
	if v.Outcome.Failure != nil {
		step += "-failed"
	}
	envelope := bus.Envelope{
		CommandID:   uuid.NewSHA1(outcomeIDs, fmt.Appendf(nil, "%s.%d.%s", in.GetJobId(), in.GetDispatch(), step)),
		Principal:   bus.Scheduler,
		Traceparent: tracing.Traceparent(ctx),
	}
	request := encodeOutcome(in, v.Outcome)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 2*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, bus.Post(ctx, g.bus, subject.MeetingSynced, request, envelope)
	}, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(postPatience))
	return err
}

// Module consumes jobs. Needs Config, *bus.Bus, *job.SyncMeeting, *job.FollowCalendar, *job.ReadConferences, clock.Clock,
// prometheus.Registerer, *slog.Logger; provides *Notices as notice.Post, runs the consumers.
var Module = fx.Module("scheduler/nats",
	fx.Provide(fx.Annotate(NewNotices, fx.As(new(notice.Post)))),
	fx.Provide(NewMetrics, NewGoogleJobs, NewObserveJobs, fx.Private),
	exportModule,
	housekeepingModule,
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, o *ObserveJobs) {
		lifecycle.Go(lc, sd, log, "observe jobs", o.Run)
	}),
	fx.Invoke(func(lc fx.Lifecycle, sd fx.Shutdowner, log *slog.Logger, g *GoogleJobs) {
		lifecycle.Go(lc, sd, log, "google jobs", g.Run)
	}),
)
