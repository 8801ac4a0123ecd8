package nats_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
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
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/notice"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// shown is Google as a test wants it: what it does not set is empty.
type shown struct {
	list      func(ctx context.Context) ([]job.Held, error)
	attendees []job.Attendee
	entries   []job.Entry
}

func (g *shown) ListConferences(ctx context.Context, _, _ string, _, _ time.Time, _ string) ([]job.Held, string, error) {
	held, err := g.list(ctx)
	return held, "", err
}

func (g *shown) GetConference(context.Context, string, string) (job.Held, error) {
	return job.Held{}, errUnwanted
}

func (g *shown) ListRecordings(context.Context, string, string, string) ([]job.Recording, string, error) {
	return []job.Recording{{Name: "conferenceRecords/r/recordings/x", State: "ENDED"}}, "", nil
}

func (g *shown) ListAttendees(context.Context, string, string, string) ([]job.Attendee, string, error) {
	return slices.Clone(g.attendees), "", nil
}

func (g *shown) ListStays(_ context.Context, _, attendee, _ string) ([]job.Stay, string, error) {
	return []job.Stay{{Name: attendee + "/participantSessions/1", Joined: time.Unix(1e9, 0)}}, "", nil
}

func (g *shown) ListTranscripts(context.Context, string, string, string) ([]job.Transcript, string, error) {
	return []job.Transcript{{Name: "conferenceRecords/r/transcripts/t", State: job.StateFileGenerated}}, "", nil
}

func (g *shown) ListEntries(context.Context, string, string, string) ([]job.Entry, string, error) {
	return g.entries, "", nil
}

func (g *shown) GetFile(context.Context, string, string) (job.File, error) {
	return job.File{}, errUnwanted
}
func (g *shown) KnownEmail(string, string) (string, bool) { return "", true }
func (g *shown) EmailOf(context.Context, string, string) (string, error) {
	return "", errUnwanted
}
func (g *shown) UserOf(context.Context, string) (string, error) { return "", errUnwanted }
func (g *shown) Subscribes() bool                               { return false }
func (g *shown) Subscribe(context.Context, string, string) (job.Subscription, error) {
	return job.Subscription{}, errUnwanted
}

func (g *shown) FindSubscription(context.Context, string, string) (job.Subscription, error) {
	return job.Subscription{}, errUnwanted
}

func (g *shown) GetSubscription(context.Context, string, string) (job.Subscription, error) {
	return job.Subscription{}, errUnwanted
}

func (g *shown) RenewSubscription(context.Context, string, string) (job.Subscription, error) {
	return job.Subscription{}, errUnwanted
}

func (g *shown) ReactivateSubscription(context.Context, string, string) (job.Subscription, error) {
	return job.Subscription{}, errUnwanted
}
func (g *shown) Unsubscribe(context.Context, string, string) error { return errUnwanted }

// part is a command as meetings gets it.
type part struct {
	*meetv1.ConferenceObservedRequest
	id    uuid.UUID
	bytes int
}

// watch is NATS, a scheduler that observes, and a meetings service that is scripted.
type watch struct {
	testing.TB
	server *embeddednats.Server
	bus    *bus.Bus
	google *shown
	parts  chan part

	mu    sync.Mutex
	plan  func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error)
	asked []*meetv1.GetConferencePlanRequest
	// answer is what the commit of a part that is awaited comes to; nil: it is kept.
	answer func(*meetv1.ConferenceObservedRequest) *fault.Fault
}

func (w *watch) connect() *bus.Bus {
	w.Helper()
	b := bus.New(bus.Config{Name: "test", InProcess: w.server, Replicas: 1, Wait: patience}, slog.New(slog.DiscardHandler))
	if err := b.Start(w.Context()); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			w.Error(err)
		}
	})
	return b
}

// run runs f until the test ends.
func (w *watch) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Error(err)
		}
	})
}

func newWatch(t testing.TB) *watch {
	t.Helper()
	w := &watch{
		TB: t, server: natstest.New(t), parts: make(chan part, 4096),
		google: &shown{list: func(context.Context) ([]job.Held, error) {
			return []job.Held{{Record: "conferenceRecords/r", Space: "spaces/s", Started: time.Unix(1e9, 0), Read: true}}, nil
		}},
		plan: func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
			return &meetv1.ConferencePlan{
				Account: "boss@example.com", ListFrom: timestamppb.New(time.Unix(1e9-100, 0)), ListUntil: timestamppb.New(time.Unix(1e9+100, 0)),
				Spaces: []string{"spaces/s"}, Fresh: &meetv1.ConferenceReading{Recordings: true}, FreshSpace: "spaces/s",
			}, nil
		},
	}
	w.bus = w.connect()
	queries, err := bus.ServeQueries(w.bus, subject.ServiceMeetings, "1.0.0", 32, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queries.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := bus.Answer(queries, subject.GetConferencePlan, func(_ context.Context, in *meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.asked = append(w.asked, in)
		return w.plan(in)
	}); err != nil {
		t.Fatal(err)
	}
	w.run(func(ctx context.Context) error {
		return w.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 256, func(m jetstream.Msg) { w.receive(m) })
	})
	return w
}

func (w *watch) receive(m jetstream.Msg) {
	envelope, err := bus.ParseEnvelope(m.Headers())
	if err != nil {
		w.Error(err)
	}
	p := part{new(meetv1.ConferenceObservedRequest), envelope.CommandID, len(m.Data())}
	if m.Subject() != string(subject.ConferenceObserved) {
		return
	}
	if err := protojson.Unmarshal(m.Data(), p.ConferenceObservedRequest); err != nil {
		w.Error(err)
	}
	if envelope.Reply != "" {
		w.mu.Lock()
		reply := &meetv1.CommandReply{}
		var refused *fault.Fault
		if w.answer != nil {
			refused = w.answer(p.ConferenceObservedRequest)
		}
		w.mu.Unlock()
		if refused != nil {
			reply.Fault = bus.EncodeFault(refused)
		}
		body, err := proto.Marshal(reply)
		if err != nil {
			w.Error(err)
		}
		if err := w.bus.Conn().Publish(envelope.Reply, body); err != nil {
			w.Error(err)
		}
	}
	w.parts <- p
	if err := m.Ack(); err != nil {
		w.Error(err)
	}
}

func (w *watch) scheduler(workers int) {
	w.Helper()
	log := slog.New(slog.DiscardHandler)
	timing := job.DefaultTiming()
	conferences := job.NewReadConferences(w.google, w.google, w.google, w.google, quota.None{}, clock.System(), timing, log)
	calendars := job.NewFollowCalendar(nil, quota.None{}, clock.System(), timing, log)
	jobs := nats.NewObserveJobs(nats.Config{ObserveWorkers: workers}, w.connect(), calendars, conferences, clock.System(), newMetrics(w.TB), log)
	w.run(jobs.Run)
}

const rowID = "0193a2b4-7c11-7d10-8c33-000000000001"

func (w *watch) send(subj string, in proto.Message) {
	w.Helper()
	body, err := protojson.Marshal(in)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.bus.JetStream().Publish(w.Context(), subj, body); err != nil {
		w.Fatal(err)
	}
}

func (w *watch) part() part {
	w.Helper()
	select {
	case p := <-w.parts:
		return p
	case <-time.After(patience):
		w.Fatal("no outcome came")
		return part{}
	}
}

// settled waits until no message of the class is left.
func (w *watch) settled() {
	w.Helper()
	acks, err := w.bus.Conn().SubscribeSync("$JS.ACK.MEET_JOBS.>")
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = acks.Unsubscribe() }() // fails only once the connection is closed
	if err := w.bus.Conn().Flush(); err != nil {
		w.Fatal(err)
	}
	for limit := time.Now().Add(patience); ; {
		stream, err := w.bus.JetStream().Stream(w.Context(), subject.StreamJobs)
		if err != nil {
			w.Fatal(err)
		}
		if stream.CachedInfo().State.Msgs == 0 {
			return
		}
		if time.Now().After(limit) {
			w.Fatalf("%d messages are not acknowledged", stream.CachedInfo().State.Msgs)
		}
		// The server takes a message out a moment after its acknowledgement is seen here.
		if _, err := acks.NextMsg(100 * time.Millisecond); err != nil && !errors.Is(err, natsgo.ErrTimeout) {
			w.Fatal(err)
		}
	}
}

func TestEachKindOfLookIsPlannedReadAndReported(t *testing.T) {
	w := newWatch(t)
	w.scheduler(4)
	check := &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 3, FailedAttempts: 1, MeetingId: 7}
	w.send(string(subject.CheckRecording), check)
	first := w.part()
	if first.GetJobId() != rowID || first.GetDispatch() != 3 || first.GetMeetingId() != 7 || first.GetOwner() != 0 || first.GetAccount() != "boss@example.com" || !first.GetListed() ||
		first.GetListFrom().GetSeconds() != 1e9-100 || first.GetPartial() || first.GetFailure() != nil || first.GetSubscription() != nil ||
		len(first.GetConferences()) != 1 || !first.GetConferences()[0].GetRecordingsRead() || first.GetConferences()[0].GetRecordings()[0].GetState() != "ENDED" {
		t.Errorf("%v", first)
	}
	w.settled()
	w.send(string(subject.CheckRecording), check) // the same dispatch in another message
	if second := w.part(); second.id != first.id {
		t.Error("a double has another command id")
	}
	w.send(string(subject.SyncRecordingNow), check)
	w.part()
	w.send(string(subject.FollowConferences), &meetv1.FollowConferencesJob{JobId: rowID, Dispatch: 4, Owner: 9})
	if of := w.part(); of.GetOwner() != 9 || of.GetMeetingId() != 0 || of.id == first.id {
		t.Errorf("%v", of)
	}
	w.settled()
	w.mu.Lock()
	defer w.mu.Unlock()
	if last := w.asked[len(w.asked)-1]; last.GetOwner() != 9 || last.GetJobId() != rowID || last.GetDispatch() != 4 || len(w.asked) != 4 {
		t.Errorf("asked %v", w.asked)
	}
}

func TestALongConferenceComesInPartsThatAreCommittedOneAfterTheOther(t *testing.T) {
	w := newWatch(t)
	text := strings.Repeat("a doctor said <this> & \"that\" ", 40)
	for i := range 900 {
		w.google.attendees = append(w.google.attendees, job.Attendee{Name: fmt.Sprintf("conferenceRecords/r/participants/%04d", i), Kind: job.AttendeeAnonymous, DisplayName: "somebody", Joined: time.Unix(1e9, 0)})
		w.google.entries = append(w.google.entries, job.Entry{Name: fmt.Sprintf("conferenceRecords/r/transcripts/t/entries/%04d", i), Attendee: "conferenceRecords/r/participants/0001", Text: text, Started: time.Unix(1e9, 0), Ended: time.Unix(1e9, 0)})
	}
	w.plan = func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
		return &meetv1.ConferencePlan{Account: "boss@example.com", Readings: []*meetv1.ConferenceReading{{
			Record: "conferenceRecords/r", Recordings: true, Attendees: true, Sessions: true, Transcripts: true, Entries: true,
		}}}, nil
	}
	w.scheduler(2)
	w.send(string(subject.CheckRecording), &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 7})
	people, said, ids := make(map[string]bool), make(map[string]bool), make(map[uuid.UUID]bool)
	var parts, whole, entriesWhole int
	for last := false; !last; {
		p := w.part()
		parts++
		if p.bytes > 150_000 {
			t.Errorf("a part of %d bytes", p.bytes)
		}
		ids[p.id] = true
		for _, c := range p.GetConferences() {
			if c.GetRecord() != "conferenceRecords/r" {
				t.Errorf("of %q", c.GetRecord())
			}
			for _, a := range c.GetAttendees() {
				for range a.GetSessions() {
					people[a.GetName()] = true
				}
			}
			for _, tr := range c.GetTranscripts() {
				for _, e := range tr.GetEntries() {
					said[e.GetName()] = e.GetText() == text
				}
				if tr.GetEntriesRead() {
					entriesWhole++
				}
			}
			if c.GetAttendeesRead() {
				whole++
			}
		}
		last = !p.GetPartial()
	}
	if parts < 5 || len(ids) != parts || len(people) != 900 || len(said) != 900 || whole != 1 || entriesWhole != 1 {
		t.Errorf("%d parts, %d ids, %d people, %d entries; complete %d and %d times", parts, len(ids), len(people), len(said), whole, entriesWhole)
	}
	w.settled()
}

func TestAPartThatIsNotKeptIsNotSkipped(t *testing.T) {
	w := newWatch(t)
	for i := range 900 {
		w.google.attendees = append(w.google.attendees, job.Attendee{Name: fmt.Sprintf("conferenceRecords/r/participants/%04d", i), DisplayName: strings.Repeat("x", 200)})
	}
	w.plan = func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
		return &meetv1.ConferencePlan{Account: "boss@example.com", Readings: []*meetv1.ConferenceReading{{Record: "conferenceRecords/r", Attendees: true}}}, nil
	}
	w.answer = func(*meetv1.ConferenceObservedRequest) *fault.Fault {
		return fault.New(fault.Conflict, "STALE", "the row was sent again")
	}
	w.scheduler(2)
	w.send(string(subject.CheckRecording), &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 7})
	if p := w.part(); !p.GetPartial() {
		t.Errorf("%v", p)
	}
	w.settled()
	if len(w.parts) != 0 {
		t.Error("the last part was sent although the one before was refused")
	}
}

func TestWhatNobodyWantsAnyMoreIsNotRead(t *testing.T) {
	for name, plan := range map[string]func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error){
		"an old dispatch": func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
			return &meetv1.ConferencePlan{Stale: true}, nil
		},
		"of no meeting": func(*meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
			return nil, fault.New(fault.NotFound, "NO_SUCH_MEETING", "no such meeting")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t)
			w.plan = plan
			w.google.list = func(context.Context) ([]job.Held, error) {
				t.Error("Google was asked")
				return nil, errUnwanted
			}
			w.scheduler(1)
			w.send(string(subject.CheckRecording), &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 7})
			w.settled()
		})
	}
}

func TestAFailureIsReportedWithWhatWasReadAndWhenToTryAgain(t *testing.T) {
	w := newWatch(t)
	w.google.list = func(context.Context) ([]job.Held, error) {
		return nil, &job.Failure{Kind: job.Deferred, Code: "GOOGLE_TURN", Message: "later", After: time.Hour}
	}
	w.scheduler(1)
	w.send(string(subject.FollowConferences), &meetv1.FollowConferencesJob{JobId: rowID, Dispatch: 1, Owner: 2})
	p := w.part()
	if f := p.GetFailure(); !f.GetDeferred() || f.GetPermanent() || f.GetCode() != "GOOGLE_TURN" || time.Until(f.GetRetryAt().AsTime()) < 50*time.Minute || p.GetListed() {
		t.Errorf("%v", p)
	}
	w.settled()
}

func TestALookThatPanicsIsBuriedAndTheRowGoesOn(t *testing.T) {
	w := newWatch(t)
	w.google.list = func(context.Context) ([]job.Held, error) { panic("on purpose") }
	w.scheduler(1)
	w.send(string(subject.CheckRecording), &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 7})
	if f := w.part().GetFailure(); f.GetCode() != job.CodeInternal || f.GetPermanent() || time.Until(f.GetRetryAt().AsTime()) < time.Minute {
		t.Errorf("%v", f)
	}
	w.settled()
	for _, broken := range []*meetv1.CheckRecordingJob{{JobId: "x", Dispatch: 1, MeetingId: 7}, {JobId: rowID, MeetingId: 7}, {JobId: rowID, Dispatch: 1}, {JobId: rowID, Dispatch: 1, MeetingId: -7}} {
		w.send(string(subject.CheckRecording), broken)
	}
	w.settled()
	dead, err := w.bus.JetStream().Stream(t.Context(), subject.StreamDead)
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 5 {
		t.Errorf("%d messages were buried, want 5", n)
	}
}

func TestNoticesArePostedOnceUnderAnIDOfTheirOwn(t *testing.T) {
	w := newWatch(t)
	got, err := w.bus.Conn().SubscribeSync(string(subject.ConferenceNoticed))
	if err != nil {
		t.Fatal(err)
	}
	b := w.connect()
	n := notice.Notice{Source: "s", ID: "1", Type: "t", Time: time.Unix(1e9, 0), Resource: "subscriptions/x", Target: "y", Reason: "OTHER"}
	other := n
	other.ID = "2"
	var ids []string
	for _, list := range [][]notice.Notice{{n, other}, {n, other}, {n}} {
		if err := nats.NewNotices(b).PostNotices(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		m, err := got.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		envelope, err := bus.ParseEnvelope(m.Header)
		in := new(meetv1.ConferenceNoticedRequest)
		if err := errors.Join(err, protojson.Unmarshal(m.Data, in)); err != nil || len(in.GetNotices()) != len(list) {
			t.Fatalf("%v %v", in, err)
		}
		if f := in.GetNotices()[0]; f.GetSource() != "s" || f.GetId() != "1" || f.GetType() != "t" || f.GetResource() != "subscriptions/x" || f.GetTarget() != "y" || f.GetReason() != "OTHER" || f.GetTime().GetSeconds() != 1e9 {
			t.Errorf("%v", f)
		}
		ids = append(ids, envelope.CommandID.String())
	}
	if ids[0] != ids[1] || ids[0] == ids[2] {
		t.Errorf("ids %v", ids)
	}
}

// BenchmarkAThousandDueAtOnce is what a full hour does: a thousand checks at one moment, each of which asks Google twice, and Google
// takes 50 ms to answer. start is from a job's being sent to the question what it is to read.
func BenchmarkAThousandDueAtOnce(b *testing.B) {
	const jobs = 1000
	for _, workers := range []int{8, 64, 256, 512, 1024} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			w := newWatch(b)
			plan := w.plan
			var starts []time.Duration
			var sent time.Time
			w.plan = func(in *meetv1.GetConferencePlanRequest) (*meetv1.ConferencePlan, error) {
				if !sent.IsZero() {
					starts = append(starts, time.Since(sent))
				}
				return plan(in)
			}
			held := w.google.list
			w.google.list = func(ctx context.Context) ([]job.Held, error) {
				select {
				case <-time.After(50 * time.Millisecond): // Google's answer
				case <-ctx.Done():
				}
				return held(ctx)
			}
			w.scheduler(workers)
			w.send(string(subject.CheckRecording), &meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 1})
			w.part() // it runs
			body, err := protojson.Marshal(&meetv1.CheckRecordingJob{JobId: rowID, Dispatch: 1, MeetingId: 1})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				w.mu.Lock()
				sent = time.Now()
				w.mu.Unlock()
				for range jobs {
					if _, err := w.bus.JetStream().PublishAsync(string(subject.CheckRecording), body); err != nil {
						b.Fatal(err)
					}
				}
				for range jobs {
					w.part()
				}
			}
			slices.Sort(starts)
			b.ReportMetric(float64(starts[len(starts)/2].Microseconds())/1000, "start_p50_ms")
			b.ReportMetric(float64(starts[len(starts)*99/100].Microseconds())/1000, "start_p99_ms")
		})
	}
}
