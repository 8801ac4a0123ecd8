package scheduler_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
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
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const patience = 30 * time.Second

// system is everything but the scheduler, which runs as a process that can be killed.
type system struct {
	nats     *embeddednats.Server
	bus      *bus.Bus
	fake     *googlefake.Server
	url      string
	outcomes chan outcome

	mu  sync.Mutex
	row *meetv1.SyncMeetingJob // as meetings has it
}

type outcome struct {
	*meetv1.MeetingSyncedRequest
	id uuid.UUID
}

func newSystem(t *testing.T) *system {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	fake, url := emulator(t)
	s := &system{nats: natstest.New(t), fake: fake, url: url, outcomes: make(chan outcome, 16)}
	s.bus = bus.New(bus.Config{Name: "meetings", InProcess: s.nats, Replicas: 1, Wait: patience}, log)
	if err := s.bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	queries, err := bus.ServeQueries(s.bus, subject.ServiceMeetings, "1.0.0", 4, log)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Answer(queries, subject.GetMeetingWish, func(context.Context, *meetv1.GetMeetingWishRequest) (*meetv1.GetMeetingWishResponse, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &meetv1.GetMeetingWishResponse{Wish: proto.CloneOf(s.row.GetWish()), Dispatch: s.row.GetDispatch()}, nil
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 16, func(m jetstream.Msg) {
			o := outcome{MeetingSyncedRequest: new(meetv1.MeetingSyncedRequest)}
			envelope, err := bus.ParseEnvelope(m.Headers())
			if err != nil {
				t.Error(err)
			}
			if err := protojson.Unmarshal(m.Data(), o.MeetingSyncedRequest); err != nil {
				t.Error(err)
			}
			o.id = envelope.CommandID
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			s.outcomes <- o
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stop, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := queries.Stop(stop); err != nil {
			t.Error(err)
		}
		if err := s.bus.Stop(stop); err != nil {
			t.Error(err)
		}
	})
	return s
}

// process starts a scheduler that dies at the failpoint, "" for never.
func (s *system) process(t *testing.T, bin, place string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin)
	cmd.Env = append(os.Environ(), "NATS_URL="+s.nats.ClientURL(), "MEET_EMULATOR_URL="+s.url, "MEET_GOOGLE=emulator",
		"MEET_OPS_ADDR=127.0.0.1:0", failpoint.Variable+"="+place)
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead already, as it should
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("scheduler %q:\n%s", place, log)
		}
	})
	return cmd
}

// send is the next dispatch of the row.
func (s *system) send(t *testing.T, change func(*meetv1.MeetingWish)) {
	t.Helper()
	s.mu.Lock()
	s.row.Dispatch++
	change(s.row.GetWish())
	body, err := protojson.Marshal(s.row)
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.bus.JetStream().PublishMsg(t.Context(), &natsgo.Msg{Subject: string(subject.SyncMeeting), Data: body}); err != nil {
		t.Fatal(err)
	}
}

func (s *system) outcome(t *testing.T) outcome {
	t.Helper()
	select {
	case o := <-s.outcomes:
		return o
	case <-time.After(patience):
		t.Fatal("no outcome came")
		return outcome{}
	}
}

// learn is what meetings does with an outcome.
func (s *system) learn(o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.row.Wish.Google = o.GetGoogle()
}

// returnJob ends the dead scheduler's lease at once instead of after the half minute of the real durable.
func (s *system) returnJob(t *testing.T) {
	t.Helper()
	config := subject.JobConsumer(subject.ClassGoogle)
	config.AckWait = 50 * time.Millisecond
	consumer, err := s.bus.JetStream().UpdateConsumer(t.Context(), subject.StreamJobs, config)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatalf("the job did not come back: %v", err)
	}
	if err := msg.Nak(); err != nil {
		t.Fatal(err)
	}
}

func TestASchedulerKilledAnywhereDoesNothingTwiceAndLosesNothing(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "scheduler")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoint", "-o", bin, "./cmd/scheduler").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	reschedule := func(w *meetv1.MeetingWish) {
		w.Version++
		w.Start = timestamppb.New(w.GetStart().AsTime().Add(10 * time.Minute))
	}
	record := func(w *meetv1.MeetingWish) { w.Version, w.AutoRecord = w.GetVersion()+1, true }
	cancel := func(w *meetv1.MeetingWish) { w.Version, w.Absent = w.GetVersion()+1, true }

	for name, test := range map[string]struct {
		change func(*meetv1.MeetingWish) // after the create; nil: the create itself is what is killed
		place  string
		rounds int // of mail to the guests, all in all
		live   int // events afterwards
	}{
		"create, before":           {nil, "scheduler.took_job", 1, 1},
		"create, inserted":         {nil, "scheduler.inserted_event", 1, 1},
		"create, decided":          {nil, "scheduler.google_done", 1, 1},
		"create, reported":         {nil, "scheduler.posted_outcome", 1, 1},
		"create, acknowledged":     {nil, "scheduler.acked_job", 1, 1},
		"reschedule, patched":      {reschedule, "scheduler.patched_event", 2, 1},
		"reschedule, decided":      {reschedule, "scheduler.google_done:2", 2, 1},
		"reschedule, reported":     {reschedule, "scheduler.posted_outcome:2", 2, 1},
		"reschedule, acknowledged": {reschedule, "scheduler.acked_job:2", 2, 1},
		"recording, patched":       {record, "scheduler.patched_space", 1, 1},
		"recording, reported":      {record, "scheduler.posted_outcome:2", 1, 1},
		"cancel, deleted":          {cancel, "scheduler.deleted_event", 2, 0},
		"cancel, reported":         {cancel, "scheduler.posted_outcome:2", 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			start := time.Now().Add(time.Hour)
			s.row = &meetv1.SyncMeetingJob{JobId: uuid.NewString(), MeetingId: 1, Wish: &meetv1.MeetingWish{
				MeetingId: 1, MeetingUid: uuid.NewString(), Version: 1, OrganizerEmail: "boss@example.com", Guests: []string{"ana@example.net"},
				Summary: "x", Start: timestamppb.New(start), End: timestamppb.New(start.Add(time.Hour)), CreateCalendarEvent: true,
			}}
			first := s.process(t, bin, test.place)
			s.send(t, func(*meetv1.MeetingWish) {})
			if test.change != nil {
				s.learn(s.outcome(t))
				s.send(t, test.change)
			}
			var exit *os.ProcessState
			dead := make(chan struct{})
			go func() {
				_ = first.Wait() // a kill is an error too; the state says which
				exit = first.ProcessState
				close(dead)
			}()
			select {
			case <-dead:
			case <-time.After(patience):
				t.Fatal("the failpoint was not reached")
			}
			if status := exit.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the scheduler ended with %v", status)
			}
			reported := map[uuid.UUID]*meetv1.MeetingSyncedRequest{}
			acknowledged := strings.HasPrefix(test.place, "scheduler.acked_job")
			if !acknowledged {
				s.returnJob(t)
				s.process(t, bin, "")
				o := s.outcome(t)
				reported[o.id] = o.MeetingSyncedRequest
			}
			if acknowledged || strings.HasPrefix(test.place, "scheduler.posted_outcome") {
				o := s.outcome(t)
				reported[o.id] = o.MeetingSyncedRequest
			}
			if len(reported) != 1 {
				t.Errorf("%d outcomes would act: %v", len(reported), reported)
			}
			for _, o := range reported {
				if !o.GetComplete() || o.GetFailure() != nil || o.GetVersion() != s.row.GetWish().GetVersion() || o.GetGoogle().GetMeetLink() == "" && test.live > 0 {
					t.Errorf("outcome %v", o)
				}
			}
			state, err := s.fake.State()
			if err != nil {
				t.Fatal(err)
			}
			live := 0
			for _, e := range state.Events {
				if e.Status != "cancelled" {
					live++
				}
			}
			if live != test.live || len(state.Events) != 1 || len(state.Notifications) != 1 || state.Notifications[0].Rounds != test.rounds {
				t.Errorf("%d of %d events live, guests told %+v; want %d of 1, told %d times", live, len(state.Events), state.Notifications, test.live, test.rounds)
			}
		})
	}
}
