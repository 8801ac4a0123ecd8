package meetings_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/meetings"
)

// service is a running meetings service with a client's bus beside it.
type service struct {
	bus  *bus.Bus
	nats *embeddednats.Server
	url  string
}

// patience bounds every wait of these tests; nothing waits that long when it works.
const patience = 20 * time.Second

func start(t *testing.T) *service {
	t.Helper()
	s := &service{nats: natstest.New(t), url: pgtest.New(t, meetings.Migrate)}
	s.instance(t)
	s.bus = bus.New(bus.Config{Name: "test", Replicas: 1, Wait: patience, InProcess: s.nats}, logging.New(t.Output(), logging.Config{Level: slog.LevelWarn}))
	if err := s.bus.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.bus.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// instance starts one more meetings service on the same NATS and Postgres.
func (s *service) instance(t *testing.T) *fxtest.App {
	t.Helper()
	app := s.program(t)
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	return app
}

// program is an instance that has not started.
func (s *service) program(t *testing.T) *fxtest.App {
	t.Helper()
	var c meetings.Config
	c.Postgres.DatabaseURL = config.Secret(s.url)
	c.Postgres.MaxConns, c.Postgres.Wait = 4, patience
	return fxtest.New(t, fx.NopLogger,
		fx.Supply(c, logging.Config{Level: slog.LevelWarn}, tracing.Config{}, bus.Config{Name: "meetings", Replicas: 1, Wait: patience, InProcess: s.nats}),
		logging.Module, clock.Module, tracing.Module, bus.Module, meetings.Module,
		fx.Provide(fx.Annotate(prometheus.NewRegistry, fx.As(new(prometheus.Registerer)))))
}

// call sends a command under an id and waits for its commit.
func call[Req, Resp proto.Message](t *testing.T, s *service, c subject.Command[Req, Resp], id uuid.UUID, req Req) (Resp, bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	pending, err := bus.Start(s.bus, c, req, bus.Envelope{CommandID: id, Deadline: time.Now().Add(patience), Principal: bus.Principal{Name: "test", Role: "admin"}, BodyHash: hash(t, req)})
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Close()
	return pending.Committed(ctx)
}

func hash(t *testing.T, req proto.Message) string {
	t.Helper()
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	return uuid.NewSHA1(uuid.Nil, body).String()
}

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func aMeeting() *meetv1.CreateMeetingRequest {
	return &meetv1.CreateMeetingRequest{
		OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}, TimeZone: "America/Bogota",
		AutoRecord: proto.Bool(false), PublicAccess: proto.Bool(false),
	}
}

func TestACreateIsCommittedOnceAndItsRepeatIsAnswered(t *testing.T) {
	s := start(t)
	id := newID(t)
	first, replayed, err := call(t, s, subject.CreateMeeting, id, aMeeting())
	if err != nil || replayed {
		t.Fatalf("first: replayed %v, error %v", replayed, err)
	}
	m := first.GetMeeting()
	if m.GetId() != 1 || m.GetProvisioning() != meetv1.Provisioning_PROVISIONING_PENDING || m.GetOrganizerUsername() != "doctor" || m.GetParticipantsCount() != 2 {
		t.Fatalf("unexpected meeting %v", m)
	}
	second, replayed, err := call(t, s, subject.CreateMeeting, id, aMeeting())
	if err != nil || !replayed || !proto.Equal(first, second) {
		t.Fatalf("repeat: replayed %v, error %v, %v", replayed, err, second)
	}
	other := aMeeting()
	other.Summary = "another body"
	if _, _, err := call(t, s, subject.CreateMeeting, id, other); err == nil {
		t.Fatal("another body under the same id was accepted")
	}
	list, err := bus.Ask(bus.WithPrincipal(t.Context(), bus.Principal{Name: "test", Role: "admin"}), s.bus, subject.ListMeetings, &meetv1.ListMeetingsRequest{})
	if err != nil || len(list.GetMeetings()) != 1 {
		t.Fatalf("list: %v, error %v", list, err)
	}
}

// nextJob takes the next google job, as the scheduler would.
func (s *service) nextJob(t *testing.T) *meetv1.SyncMeetingJob {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	consumer, err := s.bus.JetStream().CreateOrUpdateConsumer(ctx, subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle))
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatalf("no job: %v", err)
	}
	job := new(meetv1.SyncMeetingJob)
	if err := protojson.Unmarshal(msg.Data(), job); err != nil {
		t.Fatal(err)
	}
	if err := msg.Ack(); err != nil {
		t.Fatal(err)
	}
	return job
}

func (s *service) report(t *testing.T, job *meetv1.SyncMeetingJob, complete bool, g *meetv1.GoogleCopy, f *meetv1.SyncFailure) {
	t.Helper()
	err := bus.Post(t.Context(), s.bus, subject.MeetingSynced, &meetv1.MeetingSyncedRequest{
		JobId: job.GetJobId(), Dispatch: job.GetDispatch(), MeetingId: job.GetMeetingId(), Version: job.GetWish().GetVersion(), Google: g, Complete: complete, Failure: f,
	}, bus.Envelope{CommandID: newID(t), Principal: bus.Scheduler})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnOutcomeWakesTheCreateAndEventsComeNumbered(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	events := make(chan *nats.Msg, 16)
	sub, err := s.bus.Conn().ChanSubscribe("meet.evt.>", events)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	pending, err := bus.Start(s.bus, subject.CreateMeeting, aMeeting(), bus.Envelope{CommandID: newID(t), Principal: bus.Principal{Name: "test", Role: "admin"}})
	if err != nil {
		t.Fatal(err)
	}
	defer pending.Close()
	if _, _, err := pending.Committed(ctx); err != nil {
		t.Fatal(err)
	}
	job := s.nextJob(t)
	if job.GetWish().GetOrganizerEmail() != "doctor@clinic.example" || job.GetDispatch() != 1 {
		t.Fatalf("unexpected job %v", job)
	}
	s.report(t, job, true, &meetv1.GoogleCopy{EventId: "ev1", MeetLink: "http://127.0.0.1/meet/abc-defg-hij", MeetingCode: "abc-defg-hij", EventVersion: 1, Simulated: true}, nil)
	done := pending.Done(ctx)
	if done.GetMeetLink() != "http://127.0.0.1/meet/abc-defg-hij" || done.GetProvisioning() != meetv1.Provisioning_PROVISIONING_READY || done.GetGoogleSync() != meetv1.GoogleSync_GOOGLE_SYNC_OK {
		t.Fatalf("unexpected end %v", done)
	}
	for i, want := range []string{"user.created", "meeting.created", "meeting.ready"} {
		select {
		case e := <-events:
			if e.Header.Get("ce-type") != want || e.Header.Get("ce-sequence") != fmt.Sprintf("%020d", i+1) {
				t.Errorf("event %d is %s %s, want %s", i, e.Header.Get("ce-type"), e.Header.Get("ce-sequence"), want)
			}
		case <-ctx.Done():
			t.Fatalf("event %d, %s, did not come", i, want)
		}
	}
}

func TestNothingIsServedFromADatabaseOlderThanItsStreams(t *testing.T) {
	s := start(t)
	future := &nats.Msg{Subject: "meet.evt.meeting.created", Header: nats.Header{"ce-sequence": []string{"00000000000000000099"}}}
	if _, err := s.bus.JetStream().PublishMsg(t.Context(), future); err != nil {
		t.Fatal(err)
	}
	err := s.program(t).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "run after-restore") || !strings.Contains(err.Error(), "the stream has event 99, the database none after 0") {
		t.Errorf("it starts: %v", err)
	}
}
