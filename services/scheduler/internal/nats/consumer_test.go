package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const patience = 20 * time.Second

// calendar is Google as a test wants it: insert is what an insert does.
type calendar struct {
	inserts atomic.Int64
	insert  func(ctx context.Context, ref job.Ref, e job.Event) (job.EventState, error)
}

func (c *calendar) Actor(organizer string) (string, error) { return organizer, nil }

func (c *calendar) InsertEvent(ctx context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
	c.inserts.Add(1)
	if c.insert != nil {
		return c.insert(ctx, ref, e)
	}
	return made(ref, e), nil
}

func made(ref job.Ref, e job.Event) job.EventState {
	return job.EventState{
		CalendarID: "primary", EventID: ref.EventID, ETag: `"1"`, MeetingUID: e.MeetingUID, Version: e.Version, Simulated: true,
		Conference: job.Conference{State: job.ConferenceReady, Link: "http://emulator/aaa-bbbb-ccc", Code: "aaa-bbbb-ccc"},
	}
}

var errUnwanted = errors.New("not expected in this test")

func (c *calendar) GetEvent(context.Context, job.Ref) (job.EventState, error) {
	return job.EventState{}, errUnwanted
}

func (c *calendar) PatchEvent(context.Context, job.Ref, string, job.Event) (job.EventState, error) {
	return job.EventState{}, errUnwanted
}
func (c *calendar) DeleteEvent(context.Context, job.Ref) error { return errUnwanted }

// spaces is a Meet that nobody asks.
type spaces struct{}

func (spaces) CreateSpace(context.Context, string, job.Settings) (job.SpaceState, error) {
	return job.SpaceState{}, errUnwanted
}

func (spaces) GetSpace(context.Context, string, string) (job.SpaceState, error) {
	return job.SpaceState{}, errUnwanted
}

func (spaces) PatchSpace(context.Context, string, string, job.Settings) (job.SpaceState, error) {
	return job.SpaceState{}, errUnwanted
}

// outcome is a command as meetings gets it.
type outcome struct {
	*meetv1.MeetingSyncedRequest
	envelope bus.Envelope
}

// rig is NATS, a meetings service that is scripted, and what the schedulers say to NATS.
type rig struct {
	server   *embeddednats.Server
	bus      *bus.Bus
	log      *slog.Logger
	calendar *calendar
	outcomes chan outcome
	settled  chan string // "+ACK", "-NAK …", "+WPI", "+TERM …", as the schedulers send them

	mu     sync.Mutex
	asked  int
	answer func() (*meetv1.GetMeetingWishResponse, error)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		server: natstest.New(t), calendar: &calendar{}, outcomes: make(chan outcome, 64), settled: make(chan string, 1024),
		log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	r.bus = r.connect(t)
	acks, err := r.bus.Conn().Subscribe("$JS.ACK.MEET_JOBS.>", func(m *natsgo.Msg) {
		r.settled <- string(m.Data)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acks.Unsubscribe() }) // fails only once the connection is closed

	queries, err := bus.ServeQueries(r.bus, subject.ServiceMeetings, "1.0.0", 8, r.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queries.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := bus.Answer(queries, subject.GetMeetingWish, func(_ context.Context, _ *meetv1.GetMeetingWishRequest) (*meetv1.GetMeetingWishResponse, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked++
		if r.answer == nil {
			return nil, fault.New(fault.NotFound, "NO_SUCH_MEETING", "no such meeting")
		}
		return r.answer()
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- r.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 64, func(m jetstream.Msg) {
			o := outcome{MeetingSyncedRequest: new(meetv1.MeetingSyncedRequest)}
			if err := protojson.Unmarshal(m.Data(), o.MeetingSyncedRequest); err != nil {
				t.Error(err)
			}
			if o.envelope, err = bus.ParseEnvelope(m.Headers()); err != nil {
				t.Error(err)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			r.outcomes <- o
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) connect(t *testing.T) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{Name: "test", InProcess: r.server, Replicas: 1, Wait: patience}, r.log)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

// scheduler is one instance; stop ends it and waits.
func (r *rig) scheduler(t *testing.T, config nats.Config) (stop func()) {
	t.Helper()
	if config.GoogleWorkers == 0 {
		config.GoogleWorkers = 4
	}
	timing := job.DefaultTiming()
	timing.Short = []time.Duration{time.Millisecond, time.Millisecond, time.Millisecond}
	sync := job.NewSyncMeeting(r.calendar, spaces{}, quota.None{}, clock.System(), timing, r.log)
	jobs := nats.NewGoogleJobs(config, r.connect(t), sync, newMetrics(t), r.log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- jobs.Run(ctx) }()
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the scheduler did not stop")
		}
	}
	t.Cleanup(stop)
	return stop
}

func (r *rig) answers(answer func() (*meetv1.GetMeetingWishResponse, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *rig) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *rig) publish(t *testing.T, subj string, body []byte) {
	t.Helper()
	if _, err := r.bus.JetStream().PublishMsg(t.Context(), &natsgo.Msg{Subject: subj, Data: body, Header: natsgo.Header{
		"Nats-Msg-Id": {uuid.NewString()}, "traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}}); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) send(t *testing.T, in *meetv1.SyncMeetingJob) {
	t.Helper()
	body, err := protojson.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, string(subject.SyncMeeting), body)
}

func (r *rig) outcome(t *testing.T) outcome {
	t.Helper()
	select {
	case o := <-r.outcomes:
		return o
	case <-time.After(patience):
		t.Fatal("no outcome came")
		return outcome{}
	}
}

// sees waits until the schedulers have sent this acknowledgement.
func (r *rig) sees(t *testing.T, prefix string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case s := <-r.settled:
			if strings.HasPrefix(s, prefix) {
				return
			}
		case <-deadline:
			t.Fatalf("no %s was seen", prefix)
		}
	}
}

func syncJob(meeting int64) *meetv1.SyncMeetingJob {
	start := time.Date(2026, 3, 3, 15, 0, 0, 0, time.UTC)
	return &meetv1.SyncMeetingJob{
		JobId: "0193a2b4-7c11-7d10-8c33-00000000000" + fmt.Sprint(meeting), Dispatch: 1, MeetingId: meeting,
		Wish: &meetv1.MeetingWish{
			MeetingId: meeting, MeetingUid: fmt.Sprintf("uid-%d", meeting), Version: 1, OrganizerEmail: "boss@example.com", Summary: "x",
			Start: timestamppb.New(start), End: timestamppb.New(start.Add(time.Hour)), CreateCalendarEvent: true,
		},
	}
}

// asNow answers every question with this job's own wish and dispatch.
func asNow(in *meetv1.SyncMeetingJob) func() (*meetv1.GetMeetingWishResponse, error) {
	return func() (*meetv1.GetMeetingWishResponse, error) {
		wish := in.GetWish()
		if wish == nil {
			wish = syncJob(in.GetMeetingId()).GetWish()
		}
		return &meetv1.GetMeetingWishResponse{Wish: wish, Dispatch: in.GetDispatch()}, nil
	}
}

func TestAJobIsReportedOnceAndThenAcknowledged(t *testing.T) {
	r := newRig(t)
	r.scheduler(t, nats.Config{})
	r.send(t, syncJob(1))
	o := r.outcome(t)
	r.sees(t, "+ACK")
	if o.GetMeetingId() != 1 || o.GetDispatch() != 1 || o.GetVersion() != 1 || !o.GetComplete() || o.GetFailure() != nil ||
		o.GetGoogle().GetMeetLink() != "http://emulator/aaa-bbbb-ccc" || o.GetGoogle().GetEventVersion() != 1 || !o.GetGoogle().GetSimulated() {
		t.Errorf("outcome %v", o.MeetingSyncedRequest)
	}
	if !o.envelope.Deadline.IsZero() || o.envelope.Principal.Name != "scheduler" || !strings.HasPrefix(o.envelope.Traceparent, "00-4bf9") {
		t.Errorf("envelope %+v", o.envelope)
	}
	if r.questions() != 0 {
		t.Error("the meeting was read although the job carried it")
	}
}

func TestADoubleDeliveryIsReportedUnderTheSameCommandID(t *testing.T) {
	r := newRig(t)
	r.scheduler(t, nats.Config{})
	in := syncJob(1)
	r.send(t, in)
	first := r.outcome(t)
	r.sees(t, "+ACK")
	r.send(t, in) // the same dispatch in another message, before meetings has taken the outcome
	second := r.outcome(t)
	if first.envelope.CommandID != second.envelope.CommandID {
		t.Errorf("ids %s and %s", first.envelope.CommandID, second.envelope.CommandID)
	}
	in.Dispatch = 2
	r.send(t, in)
	if third := r.outcome(t); third.envelope.CommandID == first.envelope.CommandID {
		t.Error("another dispatch has the same id")
	}
}

func TestAMeetingIsReadAnewWhenTheSnapshotMayBeOld(t *testing.T) {
	for name, change := range map[string]func(*meetv1.SyncMeetingJob){
		"no snapshot":   func(in *meetv1.SyncMeetingJob) { in.Wish = nil },
		"failed before": func(in *meetv1.SyncMeetingJob) { in.FailedAttempts = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			in := syncJob(1)
			change(in)
			newer := syncJob(1)
			newer.Wish.Version = 5
			r.answers(asNow(newer))
			r.scheduler(t, nats.Config{})
			r.send(t, in)
			if o := r.outcome(t); o.GetVersion() != 5 || r.questions() != 1 {
				t.Errorf("worked on version %d after %d questions", o.GetVersion(), r.questions())
			}
		})
	}
}

func TestAShortFailureComesAgainAndIsReadAnew(t *testing.T) {
	r := newRig(t)
	in := syncJob(1)
	r.answers(asNow(in))
	r.calendar.insert = func(_ context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		if r.calendar.inserts.Load() == 1 {
			return job.EventState{}, &job.Failure{Kind: job.Transient, Code: "GOOGLE_UNAVAILABLE"}
		}
		return made(ref, e), nil
	}
	r.scheduler(t, nats.Config{})
	r.send(t, in)
	r.sees(t, "-NAK")
	if o := r.outcome(t); o.GetFailure() != nil || !o.GetComplete() || r.questions() != 1 || r.calendar.inserts.Load() != 2 {
		t.Errorf("outcome %v after %d questions and %d inserts", o.MeetingSyncedRequest, r.questions(), r.calendar.inserts.Load())
	}
	r.sees(t, "+ACK")
}

func TestALastingFailureIsReportedWithWhenToTryAgain(t *testing.T) {
	r := newRig(t)
	in := syncJob(1)
	r.answers(asNow(in))
	r.calendar.insert = func(context.Context, job.Ref, job.Event) (job.EventState, error) {
		return job.EventState{}, &job.Failure{Kind: job.Transient, Code: "GOOGLE_UNAVAILABLE", Message: "down"}
	}
	r.scheduler(t, nats.Config{})
	r.send(t, in)
	o := r.outcome(t)
	f := o.GetFailure()
	if f.GetPermanent() || f.GetCode() != "GOOGLE_UNAVAILABLE" || f.GetMessage() != "down" || time.Until(f.GetRetryAt().AsTime()) < time.Second || o.GetGoogle().GetMeetLink() != "" {
		t.Errorf("outcome %v", o.MeetingSyncedRequest)
	}
	if n := r.calendar.inserts.Load(); n != 4 {
		t.Errorf("%d tries, want the first and three short ones", n)
	}
	r.sees(t, "+ACK")
}

func TestAnOldDispatchIsAcknowledgedAndNotWorkedOn(t *testing.T) {
	r := newRig(t)
	in := syncJob(1)
	in.Wish = nil
	newer := syncJob(1)
	newer.Dispatch = 2
	r.answers(asNow(newer))
	r.scheduler(t, nats.Config{})
	r.send(t, in)
	r.sees(t, "+ACK")
	if r.calendar.inserts.Load() != 0 || len(r.outcomes) != 0 {
		t.Error("it was worked on")
	}
}

func TestAJobOfNoMeetingIsAcknowledged(t *testing.T) {
	r := newRig(t)
	in := syncJob(1)
	in.Wish = nil
	r.scheduler(t, nats.Config{})
	r.send(t, in)
	r.sees(t, "+ACK")
	if r.questions() != 1 || r.calendar.inserts.Load() != 0 {
		t.Errorf("%d questions, %d inserts", r.questions(), r.calendar.inserts.Load())
	}
}

func TestAnUnreadableMeetingIsTriedAgain(t *testing.T) {
	r := newRig(t)
	in := syncJob(1)
	in.Wish = nil
	r.answers(func() (*meetv1.GetMeetingWishResponse, error) {
		return nil, fault.New(fault.Unavailable, "X", "down")
	})
	r.scheduler(t, nats.Config{})
	r.send(t, in)
	r.sees(t, "-NAK")
	if r.calendar.inserts.Load() != 0 {
		t.Error("it was worked on blindly")
	}
}

// leases sets how long the durable waits for an acknowledgement; the scheduler runs already.
func (r *rig) leases(t *testing.T, wait time.Duration) {
	t.Helper()
	config := subject.JobConsumer(subject.ClassGoogle)
	config.AckWait = wait
	if _, err := r.bus.JetStream().UpdateConsumer(t.Context(), subject.StreamJobs, config); err != nil {
		t.Fatal(err)
	}
}

// warmUp runs one job, so that the durable is there.
func (r *rig) warmUp(t *testing.T) {
	t.Helper()
	r.send(t, syncJob(9))
	r.outcome(t)
	r.sees(t, "+ACK")
	r.calendar.inserts.Store(0)
}

func (r *rig) redelivered(t *testing.T) (redelivered int) {
	t.Helper()
	consumer, err := r.bus.JetStream().Consumer(t.Context(), subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle).Durable)
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.NumRedelivered
}

func TestTheLeaseOfASlowJobIsExtended(t *testing.T) {
	r := newRig(t)
	r.scheduler(t, nats.Config{Lease: 50 * time.Millisecond})
	r.warmUp(t)
	const lease = time.Second // a busy machine may be late with some extensions on end
	r.leases(t, lease)
	redelivered := -1
	r.calendar.insert = func(_ context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		<-time.After(2 * lease) // Google is slow
		redelivered = r.redelivered(t)
		return made(ref, e), nil
	}
	r.send(t, syncJob(1))
	r.sees(t, "+WPI")
	r.outcome(t)
	r.sees(t, "+ACK")
	if n := r.calendar.inserts.Load(); n != 1 || redelivered != 0 {
		t.Errorf("%d inserts, %d redelivered, want one and none", n, redelivered)
	}
}

func TestARedeliveryDoesNotRunBesideTheFirst(t *testing.T) {
	r := newRig(t)
	r.scheduler(t, nats.Config{Lease: time.Hour}) // as if the extensions were lost
	r.warmUp(t)
	const lease = 100 * time.Millisecond
	r.leases(t, lease)
	r.calendar.insert = func(_ context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		for r.redelivered(t) == 0 {
			<-time.After(lease / 4) // until it came a second time
		}
		r.leases(t, time.Hour) // one that comes after the end is another story: it finds the event
		<-time.After(2 * lease)
		return made(ref, e), nil
	}
	in := syncJob(1)
	r.answers(asNow(in))
	r.send(t, in)
	r.outcome(t)
	r.sees(t, "+ACK")
	if n := r.calendar.inserts.Load(); n != 1 {
		t.Errorf("%d inserts", n)
	}
}

func TestAnotherMessageOfAMeetingInHandIsPutOff(t *testing.T) {
	r := newRig(t)
	r.scheduler(t, nats.Config{})
	started, finish := make(chan struct{}), make(chan struct{})
	r.calendar.insert = func(_ context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		if r.calendar.inserts.Load() == 1 {
			close(started)
			<-finish
		}
		return made(ref, e), nil
	}
	in := syncJob(1)
	r.send(t, in)
	<-started
	in.Dispatch = 2
	r.answers(asNow(in))
	r.send(t, in)
	r.sees(t, "-NAK")
	if n := r.calendar.inserts.Load(); n != 1 {
		t.Errorf("%d inserts while the first runs", n)
	}
	close(finish)
	if o := r.outcome(t); o.GetDispatch() != 1 {
		t.Errorf("first outcome is of dispatch %d", o.GetDispatch())
	}
	if o := r.outcome(t); o.GetDispatch() != 2 {
		t.Errorf("second outcome is of dispatch %d", o.GetDispatch())
	}
}

func (r *rig) dead(t *testing.T) jetstream.Msg {
	t.Helper()
	consumer, err := r.bus.JetStream().OrderedConsumer(t.Context(), subject.StreamDead, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatalf("nothing was buried: %v", err)
	}
	return msg
}

func TestAMessageThatNobodyCanReadIsBuried(t *testing.T) {
	for name, test := range map[string]struct{ subject, body string }{
		"no JSON":             {string(subject.SyncMeeting), "{"},
		"another shape":       {string(subject.SyncMeeting), `{"meetingId":{}}`},
		"no ids":              {string(subject.SyncMeeting), `{}`},
		"a kind not known":    {subject.OfJob(subject.ClassGoogle, "levitate"), `{}`},
		"a job id of no sort": {string(subject.SyncMeeting), `{"jobId":"x","dispatch":"1","meetingId":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.scheduler(t, nats.Config{})
			r.publish(t, test.subject, []byte(test.body))
			dead := r.dead(t)
			if string(dead.Data()) != test.body || dead.Headers().Get(bus.HeaderReason) == "" || dead.Headers().Get(bus.HeaderSubject) != test.subject {
				t.Errorf("dead letter %q with %v", dead.Data(), dead.Headers())
			}
			r.sees(t, "+TERM")
			if len(r.outcomes) != 0 {
				t.Error("an outcome was made up")
			}
		})
	}
}

func TestAPanicIsBuriedAndTheRowGoesOn(t *testing.T) {
	r := newRig(t)
	r.calendar.insert = func(context.Context, job.Ref, job.Event) (job.EventState, error) { panic("boom") }
	r.scheduler(t, nats.Config{})
	r.send(t, syncJob(1))
	if o := r.outcome(t); o.GetFailure().GetCode() != job.CodeInternal || o.GetFailure().GetPermanent() || strings.Contains(o.GetFailure().GetMessage(), "boom") {
		t.Errorf("outcome %v", o.MeetingSyncedRequest)
	}
	if dead := r.dead(t); !strings.Contains(dead.Headers().Get(bus.HeaderReason), "boom") {
		t.Errorf("reason %q", dead.Headers().Get(bus.HeaderReason))
	}
	r.calendar.insert = nil
	r.send(t, syncJob(2))
	if o := r.outcome(t); !o.GetComplete() {
		t.Error("the scheduler does not work any more")
	}
}

func TestAJobInHandAtTheStopIsDoneByAnotherScheduler(t *testing.T) {
	r := newRig(t)
	started := make(chan struct{})
	r.calendar.insert = func(ctx context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		if r.calendar.inserts.Load() > 1 {
			return made(ref, e), nil
		}
		close(started)
		<-ctx.Done() // hangs until the grace has run out
		return job.EventState{}, ctx.Err()
	}
	in := syncJob(1)
	r.answers(asNow(in))
	stop := r.scheduler(t, nats.Config{Grace: time.Millisecond})
	r.send(t, in)
	<-started
	stop()
	r.sees(t, "-NAK")
	r.scheduler(t, nats.Config{})
	if o := r.outcome(t); !o.GetComplete() || r.calendar.inserts.Load() != 2 || r.questions() != 1 {
		t.Errorf("outcome %v after %d inserts", o.MeetingSyncedRequest, r.calendar.inserts.Load())
	}
	r.sees(t, "+ACK")
}

func TestAStopLetsJobsInHandFinish(t *testing.T) {
	r := newRig(t)
	started, stopping := make(chan struct{}), make(chan struct{})
	r.calendar.insert = func(_ context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		close(started)
		<-stopping
		return made(ref, e), nil
	}
	stop := r.scheduler(t, nats.Config{GoogleWorkers: 1})
	r.send(t, syncJob(1))
	<-started
	r.send(t, syncJob(2)) // waits behind it, or in NATS
	go func() {
		r.calendar.insert = nil
		close(stopping)
	}()
	stop()
	if o := r.outcome(t); o.GetMeetingId() != 1 || !o.GetComplete() {
		t.Errorf("outcome %v", o.MeetingSyncedRequest)
	}
}

func TestAJobIsNotAcknowledgedBeforeItsOutcomeIsStored(t *testing.T) {
	r := newRig(t)
	inserted := make(chan struct{})
	r.calendar.insert = func(ctx context.Context, ref job.Ref, e job.Event) (job.EventState, error) {
		if err := r.bus.JetStream().DeleteStream(ctx, subject.StreamCommands); err != nil {
			t.Error(err)
		}
		close(inserted)
		return made(ref, e), nil
	}
	r.scheduler(t, nats.Config{Lease: 20 * time.Millisecond})
	r.send(t, syncJob(1))
	<-inserted
	r.sees(t, "+WPI") // still in hand
	stream, err := r.bus.JetStream().Stream(t.Context(), subject.StreamJobs)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d jobs in the stream, want the one that is not reported yet", n)
	}
	if err := r.bus.EnsureStreams(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := r.outcome(t); !o.GetComplete() {
		t.Errorf("outcome %v", o.MeetingSyncedRequest)
	}
	r.sees(t, "+ACK")
}

func newMetrics(t testing.TB) *nats.Metrics {
	t.Helper()
	m, err := nats.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return m
}
