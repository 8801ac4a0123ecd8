package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

var patient = backend.Config{
	CreateWait: 10 * time.Second, CommandTimeout: 5 * time.Second, QueryTimeout: 5 * time.Second, TimeZone: "America/Bogota", AutoRecordDefault: true,
}

func pending() *meetv1.Meeting {
	return &meetv1.Meeting{Id: 12, Provisioning: meetv1.Provisioning_PROVISIONING_PENDING, Version: 1, Etag: `"1"`}
}

func made() *meetv1.Meeting {
	return &meetv1.Meeting{
		Id: 12, Provisioning: meetv1.Provisioning_PROVISIONING_READY, MeetLink: "https://meet.google.com/abc-defg-hij", Version: 2, Etag: `"2"`,
		Participants: []*meetv1.Participant{{Id: 1}}, Organizer: &meetv1.User{Id: 1},
	}
}

func done() *meetv1.OperationDone {
	return &meetv1.OperationDone{Operation: "op", MeetingId: 12, Provisioning: meetv1.Provisioning_PROVISIONING_READY, MeetLink: "https://meet.google.com/abc-defg-hij", Version: 2}
}

// committing answers creates at their commit, with done as the second reply where it is not nil.
func committing(m *backendtest.Meetings, second *meetv1.OperationDone) {
	backendtest.Command(m, subject.CreateMeeting, func(bus.Envelope, *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{Response: &meetv1.CreateMeetingResponse{Meeting: pending(), Operation: "op"}, Done: second}
	})
}

func request() *meetv1.CreateMeetingRequest {
	return &meetv1.CreateMeetingRequest{OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}}
}

func TestACreateComesBackWithItsLink(t *testing.T) {
	m := backendtest.New(t)
	committing(m, done())
	got, err := backend.New(patient, m.Bus).CreateMeeting(t.Context(), backend.Caller{}, false, request())
	if err != nil || got.Pending() || got.Meeting.GetMeetLink() == "" || got.Meeting.GetEtag() != `"2"` || got.Operation != "op" || got.Replayed {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestARepeatAnswersWhatTheFirstHasBecome(t *testing.T) {
	m := backendtest.New(t)
	committing(m, done())
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return made(), nil })
	b := backend.New(patient, m.Bus)
	caller := backend.Caller{IdempotencyKey: "k", Route: "POST /api/v1/meetings/"}
	for i, replayed := range []bool{false, true} {
		got, err := b.CreateMeeting(t.Context(), caller, false, request())
		if err != nil || got.Replayed != replayed || got.Pending() || got.Meeting.GetMeetLink() == "" || got.Meeting.GetOrganizer() != nil || got.Meeting.GetParticipants() != nil {
			t.Errorf("call %d: %+v, %v", i, got, err)
		}
	}
	other := request()
	other.Summary = "another body"
	if _, err := b.CreateMeeting(t.Context(), caller, false, other); fault.KindOf(err) != fault.KeyReused {
		t.Errorf("another body: %v", err)
	}
	caller.Route = "POST /elsewhere/"
	if got, err := b.CreateMeeting(t.Context(), caller, false, request()); err != nil || got.Replayed {
		t.Errorf("another route: %+v, %v", got, err)
	}
}

func TestARepeatWaitsForWhatIsStillUnderWay(t *testing.T) {
	m := backendtest.New(t)
	committing(m, nil)
	asked := make(chan struct{}, 4)
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		asked <- struct{}{}
		return pending(), nil
	})
	caller := backend.Caller{IdempotencyKey: "k", Route: "r"}
	if got, err := backend.New(patient, m.Bus).CreateMeeting(t.Context(), caller, true, request()); err != nil || !got.Pending() {
		t.Fatalf("first: %+v, %v", got, err)
	}
	body, err := proto.Marshal(&meetv1.CommandReply{Done: done()})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked // it has subscribed before it asks
		if err := m.Bus.Conn().Publish(subject.Done("op"), body); err != nil {
			t.Error(err)
		}
	}()
	got, err := backend.New(patient, m.Bus).CreateMeeting(t.Context(), caller, false, request())
	if err != nil || !got.Replayed || got.Pending() || got.Meeting.GetMeetLink() == "" {
		t.Errorf("repeat: %+v, %v", got, err)
	}
}

func TestBeforeItGivesUpACreateAsks(t *testing.T) {
	m := backendtest.New(t)
	committing(m, nil) // its second reply is lost
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return made(), nil })
	c := patient
	c.CreateWait = 50 * time.Millisecond
	got, err := backend.New(c, m.Bus).CreateMeeting(t.Context(), backend.Caller{}, false, request())
	if err != nil || got.Pending() || got.Meeting.GetMeetLink() == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatIsCommittedIsAnsweredAlsoWhenNothingMoreCanBeAsked(t *testing.T) {
	m := backendtest.New(t)
	committing(m, nil) // and nobody answers queries
	c := patient
	c.CreateWait = 50 * time.Millisecond
	got, err := backend.New(c, m.Bus).CreateMeeting(t.Context(), backend.Caller{}, false, request())
	if err != nil || !got.Pending() || got.Operation != "op" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAStopEndsTheWaitForGoogle(t *testing.T) {
	m := backendtest.New(t)
	stopping := make(chan struct{})
	backendtest.Command(m, subject.CreateMeeting, func(bus.Envelope, *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		close(stopping)
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{Response: &meetv1.CreateMeetingResponse{Meeting: pending(), Operation: "op"}}
	})
	c := patient
	c.CreateWait = time.Hour
	c.Stopping = func(context.Context) <-chan struct{} { return stopping }
	got, err := backend.New(c, m.Bus).CreateMeeting(t.Context(), backend.Caller{}, false, request())
	if err != nil || !got.Pending() || got.Operation != "op" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestACreateSaysAllThatWasLeftToTheServer(t *testing.T) {
	m := backendtest.New(t)
	requests := make(chan *meetv1.CreateMeetingRequest, 2)
	backendtest.Command(m, subject.CreateMeeting, func(_ bus.Envelope, req *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		requests <- req
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{Response: &meetv1.CreateMeetingResponse{Meeting: pending()}, Done: done()}
	})
	b := backend.New(patient, m.Bus)
	given := request()
	no, yes := false, true
	given.AutoRecord, given.CreateCalendarEvent, given.PublicAccess, given.GuestsCanSeeEachOther, given.TimeZone = &no, &no, &no, &yes, "Europe/Madrid"
	want := []*meetv1.CreateMeetingRequest{request(), proto.CloneOf(given)}
	want[0].AutoRecord, want[0].CreateCalendarEvent, want[0].PublicAccess, want[0].GuestsCanSeeEachOther, want[0].TimeZone = &yes, &yes, &yes, &no, "America/Bogota"
	for i, req := range []*meetv1.CreateMeetingRequest{request(), given} {
		if _, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, req); err != nil {
			t.Fatal(err)
		}
		if got := <-requests; !proto.Equal(got, want[i]) {
			t.Errorf("got %v, want %v", got, want[i])
		}
	}
	for _, zone := range []string{"Mars/Olympus", "Local", "../../etc/passwd"} {
		req := request()
		req.TimeZone = zone
		_, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, req)
		if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Fields[0].Path != "time_zone" {
			t.Errorf("%s: %v", zone, err)
		}
	}
}

func TestOneKeyIsCarriedOutOnceAtATime(t *testing.T) {
	m := backendtest.New(t)
	arrived, answer := make(chan struct{}), make(chan struct{})
	backendtest.Command(m, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) backendtest.Answer[*meetv1.CancelMeetingResponse] {
		close(arrived)
		<-answer
		return backendtest.Answer[*meetv1.CancelMeetingResponse]{Response: &meetv1.CancelMeetingResponse{}}
	})
	b := backend.New(patient, m.Bus)
	caller := backend.Caller{IdempotencyKey: "k", Route: "r", Principal: bus.Principal{Name: "a"}}
	cancel := func() error {
		_, err := backend.Do(t.Context(), b, subject.CancelMeeting, caller, &meetv1.CancelMeetingRequest{Id: "12"})
		return err
	}
	first := make(chan error, 1)
	go func() { first <- cancel() }()
	<-arrived
	if err := cancel(); !errors.Is(err, &fault.Fault{Kind: fault.InFlight, Reason: backend.ReasonInFlight}) {
		t.Errorf("while in flight: %v", err)
	}
	close(answer)
	if err := <-first; err != nil {
		t.Error(err)
	}
	outcome, err := backend.Do(t.Context(), b, subject.CancelMeeting, caller, &meetv1.CancelMeetingRequest{Id: "12"})
	if err != nil || !outcome.Replayed {
		t.Errorf("afterwards: %+v, %v", outcome, err)
	}
}

func TestWithoutAnAnswerTheOutcomeIsUnknown(t *testing.T) {
	m := backendtest.New(t)
	c := patient
	c.CommandTimeout, c.QueryTimeout = 50*time.Millisecond, 50*time.Millisecond
	b := backend.New(c, m.Bus)
	if _, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, request()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("command: %v", err)
	}
	if _, err := backend.Ask(t.Context(), b, subject.GetUserStats, &meetv1.GetUserStatsRequest{}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("query: %v", err)
	}
	// The key is free again: a repeat may ask what became of it.
	caller := backend.Caller{IdempotencyKey: "k", Route: "r"}
	for range 2 {
		if _, err := backend.Do(t.Context(), b, subject.CancelMeeting, caller, &meetv1.CancelMeetingRequest{Id: "1"}); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("repeat: %v", err)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for env, want := range map[string]string{
		"MEET_CREATE_WAIT=0s": "", "MEET_CREATE_WAIT=2m": "MEET_CREATE_WAIT", "MEET_CREATE_WAIT=-1s": "MEET_CREATE_WAIT",
		"MEET_COMMAND_TIMEOUT=0s": "MEET_COMMAND_TIMEOUT", "MEET_QUERY_TIMEOUT=-5s": "MEET_QUERY_TIMEOUT",
		"MEET_TIME_ZONE=Europe/Madrid": "", "MEET_TIME_ZONE=Mars/Olympus": "MEET_TIME_ZONE",
	} {
		_, err := config.Load[backend.Config]([]string{env})
		problems := config.Problems(err)
		if want == "" && err != nil || want != "" && (len(problems) != 1 || problems[0].Variable != want) {
			t.Errorf("%s: %v", env, err)
		}
	}
}

// says publishes what a scheduler would.
func says(t *testing.T, m *backendtest.Meetings, api, state string) {
	t.Helper()
	body, err := json.Marshal(subject.GoogleAPIState{API: api, State: state})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Bus.Conn().Publish(subject.GoogleState, body); err != nil {
		t.Fatal(err)
	}
}

// known waits until the backend has heard whether Google is down.
func known(t *testing.T, b *backend.Backend, down bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for b.CheckHealth(ctx).GoogleDown != down {
		if ctx.Err() != nil {
			t.Fatal("the backend does not hear how Google is doing")
		}
	}
}

func TestACreateDoesNotWaitForAGoogleThatIsDown(t *testing.T) {
	m := backendtest.New(t)
	committing(m, nil)
	backendtest.Query(m, subject.CheckHealth, func(*meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		return &meetv1.CheckHealthResponse{Database: true}, nil
	})
	c := patient
	c.CreateWait = time.Hour
	b := backend.New(c, m.Bus)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(t, m, "calendar", "open")
	known(t, b, true)
	if got, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, request()); err != nil || !got.Pending() || got.Operation != "op" {
		t.Errorf("while it is down: got %+v, %v", got, err)
	}

	t.Log("a create that waits already answers too")
	says(t, m, "calendar", "closed")
	known(t, b, false)
	type answer struct {
		backend.Created
		error
	}
	answered := make(chan answer, 1)
	waiting := make(chan struct{})
	c.Stopping = func(context.Context) <-chan struct{} { close(waiting); return nil }
	b = backend.New(c, m.Bus)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return pending(), nil })
	go func() {
		got, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, request())
		answered <- answer{got, err}
	}()
	<-waiting
	says(t, m, "meet", "open")
	says(t, m, "calendar", "half_open")
	if got := <-answered; got.error != nil || !got.Pending() || got.Operation != "op" {
		t.Errorf("got %+v, %v", got.Created, got.error)
	}
}

func TestABareSpaceDoesNotCareAboutCalendar(t *testing.T) {
	m := backendtest.New(t)
	committing(m, done())
	backendtest.Query(m, subject.CheckHealth, func(*meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		return &meetv1.CheckHealthResponse{Database: true}, nil
	})
	b := backend.New(patient, m.Bus)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(t, m, "calendar", "open")
	known(t, b, true)
	bare := request()
	bare.CreateCalendarEvent = proto.Bool(false)
	if got, err := b.CreateMeeting(t.Context(), backend.Caller{}, false, bare); err != nil || got.Pending() {
		t.Errorf("got %+v, %v", got, err)
	}
}
