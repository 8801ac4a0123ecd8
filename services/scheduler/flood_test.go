package scheduler_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// The size of the flood: the usual one is small enough for every run of the tests. The figures of the documentation are those
// of `go test -run Flood -v . -creates 1000 -organizers 4 -rate 5`.
var (
	floodCreates    = flag.Int("creates", 100, "how many meetings the flood creates at once")
	floodOrganizers = flag.Int("organizers", 2, "of how many organizers")
	floodSchedulers = flag.Int("schedulers", 3, "how many schedulers work")
	floodRate       = flag.Float64("rate", 10, "how many seconds of the quotas pass in a real one")
)

// floodWait bounds each third of the flood: the largest of the documentation, on a busy machine.
const floodWait = 5 * time.Minute

// floodOut is how many jobs are out at most, as the relay keeps it.
const floodOut = 256

// flood stands in for the meetings service: rows that become due, are sent, creates first and the organizers in turn, and
// learn from outcomes.
type flood struct {
	tb    testing.TB
	bus   *bus.Bus
	now   clock.Clock
	alarm clock.Alarm
	wake  chan struct{}

	mu       sync.Mutex
	rows     map[int64]*floodRow
	out      int
	left     int
	deferred int
	failed   []string
	unsent   error // why the stream did not take the last that it did not
	done     chan struct{}
	half     chan struct{}
	halfway  sync.Once
	lone     chan struct{}
	refused  chan struct{} // closed with the first job that is given up
	given    sync.Once
}

type floodRow struct {
	job       *meetv1.SyncMeetingJob
	organizer string
	due       time.Time
	sent      bool
	done      bool
	made      time.Time // when it was asked for
	linked    time.Time
}

func (f *flood) add(id int64, organizer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.rows[id] = &floodRow{organizer: organizer, due: now, made: now, job: &meetv1.SyncMeetingJob{
		JobId: uuid.NewString(), MeetingId: id,
		Wish: &meetv1.MeetingWish{
			MeetingId: id, MeetingUid: uuid.NewString(), Version: 1, OrganizerEmail: organizer, Summary: "x", Guests: []string{"p@example.net"},
			Start: timestamppb.New(now.Add(24 * time.Hour)), End: timestamppb.New(now.Add(25 * time.Hour)), CreateCalendarEvent: true,
			AutoRecord: true, PublicAccess: true, Google: &meetv1.GoogleCopy{},
		},
	}}
	f.left++
	f.poke()
}

func (f *flood) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// relay sends what is due until ctx ends.
func (f *flood) relay(ctx context.Context) {
	for {
		next := f.send()
		rung, release := f.alarm(next)
		select {
		case <-rung:
		case <-f.wake:
		case <-ctx.Done():
			release()
			return
		}
		release()
	}
}

func (f *flood) send() (next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	next = now.Add(time.Hour)
	var due []*floodRow
	turns := make(map[*floodRow]int)
	turn := make(map[string]int)
	for _, id := range slices.Sorted(func(yield func(int64) bool) {
		for id := range f.rows {
			if !yield(id) {
				return
			}
		}
	}) {
		switch row := f.rows[id]; {
		case row.sent || row.done:
		case row.due.After(now):
			if row.due.Before(next) {
				next = row.due
			}
		default:
			turn[row.organizer]++
			turns[row] = turn[row.organizer]
			due = append(due, row)
		}
	}
	slices.SortStableFunc(due, func(a, b *floodRow) int {
		return cmp.Or(cmp.Compare(min(a.job.GetWish().GetGoogle().GetEventVersion(), 1), min(b.job.GetWish().GetGoogle().GetEventVersion(), 1)), cmp.Compare(turns[a], turns[b]))
	})
	for _, row := range due[:min(len(due), max(floodOut-f.out, 0))] {
		row.job.Dispatch++
		body, err := protojson.Marshal(row.job)
		if err != nil {
			f.tb.Error(err)
			return next
		}
		sent, err := f.bus.JetStream().PublishAsync(string(subject.SyncMeeting), body)
		if err != nil {
			f.tb.Error(err)
			return next
		}
		go f.follow(row, row.job.GetDispatch(), sent)
		row.sent = true
		f.out++
	}
	return next
}

// follow makes a row due again whose job the stream did not take.
func (f *flood) follow(row *floodRow, dispatch int64, sent jetstream.PubAckFuture) {
	select {
	case <-sent.Ok():
	case err := <-sent.Err():
		f.mu.Lock()
		defer f.mu.Unlock()
		f.unsent = err
		if row.sent && row.job.GetDispatch() == dispatch {
			row.sent = false
			f.out--
			f.poke()
		}
	}
}

// wish is what a scheduler asks for that got a job a second time.
func (f *flood) wish(_ context.Context, in *meetv1.GetMeetingWishRequest) (*meetv1.GetMeetingWishResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := f.rows[in.GetMeetingId()]
	return &meetv1.GetMeetingWishResponse{Wish: proto.CloneOf(row.job.GetWish()), Dispatch: row.job.GetDispatch()}, nil
}

func (f *flood) take(msg jetstream.Msg) {
	in := new(meetv1.MeetingSyncedRequest)
	if err := protojson.Unmarshal(msg.Data(), in); err != nil {
		f.tb.Error(err)
		return
	}
	if err := msg.Ack(); err != nil {
		f.tb.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	row := f.rows[in.GetMeetingId()]
	if row.done || in.GetDispatch() != row.job.GetDispatch() || !row.sent {
		return
	}
	row.sent = false
	f.out--
	now := f.now()
	row.job.Wish.Google = proto.CloneOf(in.GetGoogle())
	if row.linked.IsZero() && in.GetGoogle().GetMeetLink() != "" {
		row.linked = now
		if row.job.GetMeetingId() == loneID {
			close(f.lone)
		}
	}
	row.due = now
	switch failure := in.GetFailure(); {
	case failure.GetDeferred():
		f.deferred++
		row.due = failure.GetRetryAt().AsTime()
	case failure != nil:
		f.failed = append(f.failed, failure.GetCode())
		row.due = failure.GetRetryAt().AsTime()
		if failure.GetPermanent() {
			row.done = true
			f.given.Do(func() { close(f.refused) })
		}
	case in.GetComplete():
		row.done = true
	}
	if row.done {
		f.left--
		if f.left == *floodCreates/2 {
			f.halfway.Do(func() { close(f.half) }) // the lone one makes it more again
		}
		if f.left == 0 {
			close(f.done)
		}
	}
	f.poke()
}

// loneID is the meeting of somebody who creates one in the middle of the flood.
const loneID = 1 << 40

func TestAFloodOfCreatesKeepsGooglesQuotasAndLetsALoneOneThrough(t *testing.T) {
	timetest.Rounds(t, flooded)
}

// flooded is one flood. Refusals of Google count as lateness: on a clock this fast a stall moves calls into another minute than
// the one that they were given. That no minute is given too many is shown without a machine's part in it by internal/quota.
func flooded(r *timetest.Round) {
	t := r.T
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	fake, url := emulator(t)
	if err := fake.Configure(func(s *googlefake.Setup) error { s.Quotas.Enabled = true; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := fake.SetClock(googlefake.ClockChange{Rate: floodRate}); err != nil {
		t.Fatal(err)
	}
	followed := clock.Follow(func() string { return url }, log)
	if err := followed.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	broker := natstest.New(t)
	connect := func() *bus.Bus {
		b := bus.New(bus.Config{Name: "flood", InProcess: broker, Replicas: 1, Wait: patience}, log)
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		return b
	}

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	run := func(what string, run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	config := quota.Config{
		Mode: quota.ModeOn, CalendarProject: 10000, CalendarUser: 600, MeetReadProject: 6000, MeetReadUser: 600,
		MeetWriteProject: 1000, MeetWriteUser: 100, MeetCreateProject: 100, MeetCreateUser: 10,
		DriveProject: 12000, DriveUser: 12000, EventsReadProject: 600, EventsReadUser: 100, EventsWriteProject: 600, EventsWriteUser: 100,
		DirectoryProject: 2400, DirectoryUser: 2400,
	}
	for range *floodSchedulers {
		b, registry := connect(), prometheus.NewRegistry()
		limiter, err := quota.New(config, true, b, followed.Now, followed.Alarm, registry, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := limiter.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		client, err := google.New(google.Config{Mode: google.ModeEmulator, EmulatorURL: url, CalendarID: "primary", Domains: []string{"example.com"}, Timeout: time.Minute}, true, limiter, registry, log)
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		work := job.NewSyncMeeting(client, client, limiter, followed.Now, job.DefaultTiming(), log)
		metrics, err := nats.NewMetrics(registry)
		if err != nil {
			t.Fatal(err)
		}
		run("quotas", limiter.Run)
		run("jobs", nats.NewGoogleJobs(nats.Config{GoogleWorkers: 64}, b, work, metrics, log).Run)
	}

	f := &flood{
		tb: t, bus: connect(), now: followed.Now, alarm: followed.Alarm, wake: make(chan struct{}, 1), rows: make(map[int64]*floodRow),
		done: make(chan struct{}), half: make(chan struct{}), lone: make(chan struct{}), refused: make(chan struct{}),
	}
	queries, err := bus.ServeQueries(f.bus, subject.ServiceMeetings, "1.0.0", 8, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queries.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if err := bus.Answer(queries, subject.GetMeetingWish, f.wish); err != nil {
		t.Fatal(err)
	}
	began := f.now()
	for i := range *floodCreates {
		f.add(int64(i+1), fmt.Sprintf("organizer%d@example.com", i%*floodOrganizers))
	}
	run("outcomes", func(ctx context.Context) error {
		return f.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 512, f.take)
	})
	run("relay", func(ctx context.Context) error { f.relay(ctx); return nil })
	for _, step := range []<-chan struct{}{f.half, f.lone, f.done} {
		select {
		case <-step:
		case <-f.refused:
			f.mu.Lock()
			defer f.mu.Unlock()
			t.Fatalf("given up: %v", f.failed)
		case <-time.After(floodWait):
			f.mu.Lock()
			defer f.mu.Unlock()
			t.Fatalf("the flood does not end: %d left, %d out, put off %d times, last not sent: %v", f.left, f.out, f.deferred, f.unsent)
		}
		if step == f.half {
			f.add(loneID, "lone@example.com")
		}
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	took := f.now().Sub(began)
	allowed := time.Duration(float64(*floodCreates) / min(800, 80*float64(*floodOrganizers)) * float64(time.Minute)) // each takes one change of a space
	lone := f.rows[loneID].linked.Sub(f.rows[loneID].made)
	slowest := time.Duration(0)
	for _, row := range f.rows {
		slowest = max(slowest, row.linked.Sub(row.made))
	}
	var calls, refused int64
	for _, use := range fake.QuotaUse() {
		calls += use.Allowed
		refused += use.RefusedProject + use.RefusedUser
		if use.Allowed > 0 {
			t.Logf("%-12s %6d calls, busiest minute %5d of %5d, of one organizer %4d of %4d, refused %d", use.Class, use.Allowed, use.PeakProject, use.Project, use.PeakUser, use.User, use.RefusedProject+use.RefusedUser)
		}
	}
	t.Logf("%d creates of %d organizers, %d schedulers, clock x%.0f: %.1f s; the budget allows %.1f s (%+.1f %%); the last link after %.1f s, the lone one after %.1f s; put off %d times; failures %v",
		*floodCreates, *floodOrganizers, *floodSchedulers, *floodRate, took.Seconds(), allowed.Seconds(), 100*(took.Seconds()/allowed.Seconds()-1), slowest.Seconds(), lone.Seconds(), f.deferred, f.failed)
	if len(f.failed) > 0 {
		t.Errorf("failures: %v", f.failed)
	}
	if refused*100 > calls {
		r.Latef("Google refused %d of %d calls, want at most one in a hundred", refused, calls)
	}
	if lone > 10*time.Second {
		r.Latef("a lone create in the middle waited %s", lone)
	}
	// A stall of a busy machine costs ten times as much on this clock, and slots that pass meanwhile are lost: this asks for the
	// order of magnitude alone. The figure above is what to read on a quiet one.
	if most := allowed * 3; took > most {
		r.Latef("took %s, want at most %s", took, most)
	}
}
