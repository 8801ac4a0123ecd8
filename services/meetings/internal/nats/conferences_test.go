package nats

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// toRecord makes a meeting that is to be recorded an hour from now, with its space.
func (w *world) toRecord(t *testing.T) {
	t.Helper()
	now := w.clock.Now()
	w.act(t, command("meeting.create", &app.CreateMeeting{Spec: meeting.Spec{
		OrganizerEmail: "doctor@clinic.example", Guests: []string{"p@mail.example"}, TimeZone: "UTC", AutoRecord: true, CreateCalendarEvent: true,
		Start: now.Add(time.Hour), End: now.Add(2 * time.Hour),
	}}))
	w.act(t, outcome(1, 1, meeting.Outcome{Complete: true, Google: &meeting.GoogleCopy{
		EventID: "ev", MeetLink: "l", Space: "spaces/s", Account: "doctor@clinic.example", EventVersion: 1, SettingsVersion: 1, AutoRecording: "ON",
	}}))
}

func (w *world) plan(t *testing.T, req *meetv1.GetConferencePlanRequest) *meetv1.ConferencePlan {
	t.Helper()
	plan, err := bus.Ask(bus.WithPrincipal(t.Context(), bus.Scheduler), w.newBus(t), subject.GetConferencePlan, req)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestAPlanSaysWhatToReadAndForgetsOldMessages(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.toRecord(t)
	w.clock.Advance(70 * time.Minute)
	id := ask[uuid.UUID](t, w, `UPDATE jobs SET state = 'out', dispatch = 3, dispatched_at = $1 WHERE kind = 'check_recording' RETURNING id`, w.clock.Now())
	plan := w.plan(t, &meetv1.GetConferencePlanRequest{MeetingId: 1, JobId: id.String(), Dispatch: 3})
	if plan.GetStale() || plan.GetAccount() != "doctor@clinic.example" || plan.GetListUntil().AsTime() != w.clock.Now() || plan.GetListFrom().AsTime().After(w.clock.Now().Add(-70*time.Minute)) {
		t.Errorf("the plan is %v", plan)
	}
	if len(plan.GetSpaces()) != 1 || plan.GetSpaces()[0] != "spaces/s" || !plan.GetFresh().GetRecordings() || plan.GetSubscribe() {
		t.Errorf("the plan is %v", plan)
	}
	for name, old := range map[string]*meetv1.GetConferencePlanRequest{
		"an older dispatch": {MeetingId: 1, JobId: id.String(), Dispatch: 2},
		"another's row":     {MeetingId: 1, JobId: uuid.NewString(), Dispatch: 3},
		"no row at all":     {MeetingId: 1, JobId: "x", Dispatch: 3},
	} {
		if !w.plan(t, old).GetStale() {
			t.Errorf("%s is not stale", name)
		}
	}
	follow := ask[uuid.UUID](t, w, `UPDATE jobs SET state = 'out', dispatch = 1, dispatched_at = $1 WHERE kind = 'follow_conferences' RETURNING id`, w.clock.Now())
	owner := ask[int64](t, w, `SELECT id FROM space_owners`)
	plan = w.plan(t, &meetv1.GetConferencePlanRequest{Owner: owner, JobId: follow.String(), Dispatch: 1})
	if plan.GetOwner() != owner || !plan.GetSubscribe() || len(plan.GetSpaces()) != 0 || plan.GetListUntil() == nil || plan.GetSubscription() == nil {
		t.Errorf("the account's plan is %v", plan)
	}
}

func TestFactsAboutConferencesNameNobodyByAddressOrName(t *testing.T) {
	m := &meeting.Meeting{ID: 7, UID: "uid", OrganizerEmail: "doctor@clinic.example", ExternalReference: "ref"}
	at := time.Date(2026, time.December, 1, 15, 0, 0, 0, time.UTC)
	c := &conference.Conference{Record: "conferenceRecords/a", StartedAt: at, EndedAt: at, AttendeesCount: 2, Account: "doctor@clinic.example"}
	a := &conference.Attendee{ParticipantID: 3, Kind: conference.SignedIn, Email: "ana@mail.example", DisplayName: "Ana Pérez", Match: "certain"}
	r := &conference.Recording{ID: 5, StartedAt: at, EndedAt: at.Add(time.Minute), DriveFileID: "file"}
	fact := meeting.Fact{Meeting: m}
	for _, c := range []struct {
		event      meeting.Event
		kind, want string
	}{
		{conference.StartedEvent{Fact: fact, Conference: c}, "meeting.started", `"conferenceRecordId":"conferenceRecords/a"`},
		{conference.EndedEvent{Fact: fact, Conference: c}, "meeting.ended", `"attendeesCount":2`},
		{conference.JoinedEvent{Fact: fact, Attendee: a, JoinedAt: at, Session: "s"}, "participant.joined", `"participantId":"3"`},
		{conference.LeftEvent{Fact: fact, Attendee: a, JoinedAt: at, LeftAt: at, Session: "s"}, "participant.left", `"participantId":"3"`},
		{conference.NoShowEvent{Fact: fact, ParticipantID: 3, Certain: true}, "participant.no_show", `"certain":true`},
		{conference.RecordingStartedEvent{Fact: fact, Recording: r}, "recording.started", `"recordingId":"5"`},
		{conference.NotStartedEvent{Fact: fact, Conference: c, Reason: "X"}, "recording.not_started", `"reason":"X"`},
		{conference.FileGeneratedEvent{Fact: fact, Recording: r}, "recording.file_generated", `"durationSeconds":"60"`},
		{conference.MissingEvent{Fact: fact, Reason: "NOT_HELD", Message: "m"}, "recording.missing", `"reason":"NOT_HELD"`},
		{conference.TranscriptEvent{Fact: fact, Transcript: &conference.Transcript{DocumentID: "doc", EntriesCount: 4}}, "transcript.generated", `"entries":4`},
	} {
		row, err := Codec{}.Fact(c.event)
		if err != nil {
			t.Fatalf("%T: %v", c.event, err)
		}
		body := strings.ReplaceAll(row.Body, " ", "")
		if row.Type != c.kind || row.MeetingID != 7 || !strings.Contains(body, c.want) {
			t.Errorf("%T is %s of %d: %s", c.event, row.Type, row.MeetingID, row.Body)
		}
		if strings.Contains(row.Body, "@") || strings.Contains(row.Body, "Ana") {
			t.Errorf("%s names a person: %s", row.Type, row.Body)
		}
	}
}

func TestWhatGoogleSaysIsMadeFitForARow(t *testing.T) {
	body, err := protojson.Marshal(&meetv1.ConferenceObservedRequest{
		JobId: "no uuid", MeetingId: 7, Subscription: &meetv1.NoticeSubscription{State: "odd", User: "users/1"},
		Conferences: []*meetv1.ObservedConference{{}, {
			Record: "conferenceRecords/a", StartedAt: timestamppb.New(time.Unix(1, 1999)),
			Recordings: []*meetv1.ObservedRecording{{Name: "r", State: "NEW_STATE", File: &meetv1.ObservedFile{State: "present", DurationMillis: 1999, WebViewLink: "w"}}},
			Attendees:  []*meetv1.ObservedAttendee{{Name: "p", Kind: "robot", DisplayName: "a\x00b"}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	do, _, _, err := decodeUseCase(string(subject.ConferenceObserved), body)
	if err != nil {
		t.Fatal(err)
	}
	c := do.(*app.ConferenceObserved)
	if c.Job != uuid.Nil || c.Subscription.State != "" || c.GoogleUser != "users/1" || len(c.Conferences) != 1 {
		t.Fatalf("read as %+v", c)
	}
	o := c.Conferences[0]
	if r := o.Recordings[0]; r.State != conference.ArtifactStarted || r.File.State != conference.FilePresent || r.File.DurationSeconds != 1 || r.URL != "w" {
		t.Errorf("the recording is %+v", r)
	}
	if a := o.Attendees[0]; a.Kind != "" || a.DisplayName != "ab" {
		t.Errorf("the attendee is %+v", a)
	}
	if !o.StartedAt.Equal(time.Unix(1, 1000)) {
		t.Errorf("it started at %s", o.StartedAt)
	}
}

func TestNoticesAreReadByTheirCloudEventAttributes(t *testing.T) {
	body, err := protojson.Marshal(&meetv1.ConferenceNoticedRequest{Notices: []*meetv1.ConferenceNotice{
		{
			Source: "//workspaceevents.googleapis.com/subscriptions/sub", Id: "1", Type: "google.workspace.meet.recording.v2.fileGenerated",
			Time: timestamppb.New(time.Unix(5, 0)), Resource: "conferenceRecords/a/recordings/r", Target: "//cloudidentity.googleapis.com/users/1",
		},
		{Type: "google.workspace.meet.smartNote.v2.started"},
		{Type: "google.workspace.events.subscription.v1.suspended", Resource: "//workspaceevents.googleapis.com/subscriptions/sub", Reason: "X"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	do, kind, isOutcome, err := decodeUseCase(string(subject.ConferenceNoticed), body)
	if err != nil || kind != "conference.noticed" || !isOutcome {
		t.Fatal(kind, isOutcome, err)
	}
	notices := do.(*app.ConferenceNoticed).Notices
	if len(notices) != 2 {
		t.Fatalf("read as %+v", notices)
	}
	want := conference.Notice{Type: conference.RecordingGenerated, At: time.Unix(5, 0).UTC(), Resource: "conferenceRecords/a/recordings/r", Subscription: "subscriptions/sub", User: "users/1"}
	if notices[0] != want {
		t.Errorf("read as %+v, want %+v", notices[0], want)
	}
	if n := notices[1]; !n.Lifecycle() || n.Resource != "subscriptions/sub" || n.Reason != "X" {
		t.Errorf("read as %+v", n)
	}
}
