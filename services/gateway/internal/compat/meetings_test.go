package compat

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

const (
	minimalBody = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]}`
	meetings    = "/api/v1/meetings/"
	oneMeeting  = "/api/v1/meetings/12/"
)

type (
	createAnswer = backendtest.Answer[*meetv1.CreateMeetingResponse]
	updateAnswer = backendtest.Answer[*meetv1.UpdateMeetingResponse]
	cancelAnswer = backendtest.Answer[*meetv1.CancelMeetingResponse]
)

// scriptCreate lets a create succeed with Google's answer, or without, and hands over what was asked.
func scriptCreate(s *rest, last *meetv1.OperationDone) <-chan *meetv1.CreateMeetingRequest {
	asked := make(chan *meetv1.CreateMeetingRequest, 16)
	backendtest.Command(s.meetings, subject.CreateMeeting, func(_ bus.Envelope, req *meetv1.CreateMeetingRequest) createAnswer {
		asked <- req
		return createAnswer{Response: &meetv1.CreateMeetingResponse{Meeting: pendingMeeting(), Operation: operation}, Done: last}
	})
	return asked
}

func TestACreateAnswersWithTheLink(t *testing.T) {
	s := newREST(t)
	asked := scriptCreate(s, done())
	a := s.do("POST", meetings, `{"organizer_email":" doctor@clinic.example ","invited_emails":["p@mail.example"],"scheduled_start":"2026-12-01T15:00:00.123456Z",
		"scheduled_end":"2026-12-01 11:30:00-05:00","external_reference":"HIS-4711","unknown":{"ignored":true}}`)
	a.has("Location", "/api/v1/meetings/12/", "ETag", `"2"`, "Content-Type", "application/json", "Idempotency-Replayed", "", "Preference-Applied", "")
	if a.status != http.StatusCreated {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	golden.Equal(t, "testdata/create.golden.json", []byte(a.body+"\n"))
	want := &meetv1.CreateMeetingRequest{
		OrganizerEmail: "doctor@clinic.example", InvitedEmails: []string{"p@mail.example"}, ScheduledStart: at("2026-12-01T15:00:00.123456Z"),
		ScheduledEnd: at("2026-12-01T16:30:00Z"), ExternalReference: "HIS-4711", AutoRecord: proto.Bool(true), CreateCalendarEvent: proto.Bool(true),
		PublicAccess: proto.Bool(true), GuestsCanSeeEachOther: proto.Bool(false), TimeZone: "America/Bogota",
	}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v\nwant %v", got, want)
	}
}

func TestACreateTellsItsOwnWishesFromTheDefaults(t *testing.T) {
	s := newREST(t)
	asked := scriptCreate(s, done())
	s.do("POST", meetings, `{"organizer_email":"a@b.co","invited_emails":["P@mail.example","a@b.co"],"scheduled_start":null,"auto_record":false,
		"create_calendar_event":"false","public_access":0,"guests_can_see_each_other":"True","summary":"Control","description":"línea 1\nlínea 2",
		"time_zone":"Europe/Madrid","recurrence":null,"external_reference":4711}`)
	want := &meetv1.CreateMeetingRequest{
		OrganizerEmail: "a@b.co", InvitedEmails: []string{"P@mail.example", "a@b.co"}, AutoRecord: proto.Bool(false), CreateCalendarEvent: proto.Bool(false),
		PublicAccess: proto.Bool(false), GuestsCanSeeEachOther: proto.Bool(true), Summary: "Control", Description: "línea 1\nlínea 2",
		TimeZone: "Europe/Madrid", ExternalReference: "4711",
	}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v\nwant %v", got, want)
	}
}

func TestACreateThatNeedNotWaitIsAccepted(t *testing.T) {
	s := newREST(t)
	scriptCreate(s, nil)
	s.do("POST", meetings, minimalBody, "Prefer", "return=minimal, Respond-Async; wait=10").
		is(202, `{"id":12,"status":"CREATED","provisioning":"pending","operation":"`+operation+`"}`).
		has("Location", "/api/v1/operations/"+operation+"/", "Preference-Applied", "respond-async", "ETag", `"1"`)
}

func TestACreateThatGoogleIsSlowWithIsAccepted(t *testing.T) {
	s := newRESTWith(t, backend.Config{CreateWait: 0, CommandTimeout: testTimeout, QueryTimeout: testTimeout})
	scriptCreate(s, nil)
	s.do("POST", meetings, minimalBody).
		is(202, `{"id":12,"status":"CREATED","provisioning":"pending","operation":"`+operation+`"}`).
		has("Location", "/api/v1/operations/"+operation+"/", "Preference-Applied", "")
}

func TestACreateThatGoogleRefusesInventsNoLink(t *testing.T) {
	s := newREST(t)
	refused := done()
	refused.Provisioning, refused.MeetLink, refused.GoogleEventId = meetv1.Provisioning_PROVISIONING_FAILED, "", ""
	refused.Error = &meetv1.SyncError{Code: "CALENDAR_FORBIDDEN", Message: "share the calendar \"x\" with the service account"}
	scriptCreate(s, refused)
	s.do("POST", meetings, minimalBody).
		is(502, `{"error":"share the calendar \"x\" with the service account","code":"CALENDAR_FORBIDDEN","meeting_id":12}`).
		has("Location", "/api/v1/meetings/12/")
}

func TestWhyGoogleRefusedIsSaidInTheCallersLanguage(t *testing.T) {
	s := newREST(t)
	refused := done()
	refused.Provisioning, refused.MeetLink, refused.GoogleEventId = meetv1.Provisioning_PROVISIONING_FAILED, "", ""
	backendtest.Command(s.meetings, subject.CreateMeeting, func(bus.Envelope, *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{Response: &meetv1.CreateMeetingResponse{Meeting: pendingMeeting(), Operation: operation}, Done: proto.CloneOf(refused)}
	})
	backendtest.Query(s.meetings, subject.GetOperation, func(*meetv1.GetOperationRequest) (*meetv1.Operation, error) {
		return &meetv1.Operation{Id: operation, Done: true, MeetingId: 12, Status: refused.GetStatus(), Error: refused.GetError()}, nil
	})
	for _, c := range []struct{ code, text, es string }{
		{"GOOGLE_CALENDAR_NOT_FOUND", "the account sees no such calendar", "La cuenta no ve tal calendario o evento; revise GOOGLE_CALENDAR_ID y que el calendario esté compartido con la cuenta"},
		{"GOOGLE_INVALID_REQUEST", "Google does not accept the request: no title", "Google no acepta la solicitud; revise horas, direcciones y título (Google does not accept the request: no title)"},
		{"GOOGLE_INVALID_REQUEST", "", "Google no acepta la solicitud; revise horas, direcciones y título"},
		{"SOMETHING_NEW", "do that", "do that"},
		{"SOMETHING_NEW", "", "Google rechazó la solicitud."},
	} {
		refused.Error = &meetv1.SyncError{Code: c.code, Message: c.text}
		en := c.text
		if en == "" {
			en = "Google refused the request."
		}
		s.do("POST", meetings, minimalBody).is(502, `{"error":"`+c.es+`","code":"`+c.code+`","meeting_id":12}`).has("Content-Language", "es", "Vary", "Accept-Language")
		s.do("POST", meetings, minimalBody, "Accept-Language", "en").is(502, `{"error":"`+en+`","code":"`+c.code+`","meeting_id":12}`)
		if c.text != "" {
			const rest = `","message":"`
			s.do("GET", "/api/v1/operations/"+operation+"/", "").is(200, `{"id":"`+operation+`","done":true,"meeting_id":12,"status":"CREATED","error":{"code":"`+c.code+rest+c.es+`"}}`)
			s.do("GET", "/api/v1/operations/"+operation+"/", "", "Accept-Language", "en").is(200, `{"id":"`+operation+`","done":true,"meeting_id":12,"status":"CREATED","error":{"code":"`+c.code+rest+en+`"}}`)
		}
	}
}

func TestARepeatOfWhatWasRefusedSaysThatItIsARepeat(t *testing.T) {
	s := newREST(t)
	cancelled := fault.New(fault.Conflict, "MEETING_CANCELLED", "cancelled").WithFields(fault.Field{Path: "status", Reason: "MEETING_CANCELLED", Text: "cancelled"})
	backendtest.Command(s.meetings, subject.CreateMeeting, func(bus.Envelope, *meetv1.CreateMeetingRequest) backendtest.Answer[*meetv1.CreateMeetingResponse] {
		return backendtest.Answer[*meetv1.CreateMeetingResponse]{Err: fault.InvalidField("external_reference", "MAX_LENGTH", "too long")}
	})
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(bus.Envelope, *meetv1.UpdateMeetingRequest) backendtest.Answer[*meetv1.UpdateMeetingResponse] {
		return backendtest.Answer[*meetv1.UpdateMeetingResponse]{Err: cancelled}
	})
	backendtest.Command(s.meetings, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) backendtest.Answer[*meetv1.CancelMeetingResponse] {
		return backendtest.Answer[*meetv1.CancelMeetingResponse]{Err: fault.New(fault.VersionMismatch, "VERSION_MISMATCH", "other").WithMeta("etag", `"7"`)}
	})
	backendtest.Command(s.meetings, subject.UpdateUser, func(bus.Envelope, *meetv1.UpdateUserRequest) backendtest.Answer[*meetv1.UserResponse] {
		return backendtest.Answer[*meetv1.UserResponse]{Err: fault.New(fault.NotFound, "USER_NOT_FOUND", "no such user")}
	})
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", meetings, minimalBody, 400},
		{"PATCH", oneMeeting, `{"status":"CREATED"}`, 400},
		{"DELETE", oneMeeting, "", 412},
		{"DELETE", management + "9/", "", 404},
	} {
		first := s.do(c.method, c.path, c.body, "Idempotency-Key", "k").has("Idempotency-Replayed", "")
		if first.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, first.status, first.body)
		}
		s.do(c.method, c.path, c.body, "Idempotency-Key", "k").is(c.status, first.body).has("Idempotency-Replayed", "true")
	}
}

func TestARepeatUnderTheSameKeyIsAnsweredOnceAgain(t *testing.T) {
	s := newREST(t)
	asked := scriptCreate(s, done())
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return aDetail(), nil })
	first := s.do("POST", meetings, minimalBody, "Idempotency-Key", "k1").has("Idempotency-Replayed", "")
	s.do("POST", meetings, minimalBody, "Idempotency-Key", "k1").is(201, first.body).has("Idempotency-Replayed", "true", "ETag", `"2"`, "Location", "/api/v1/meetings/12/")
	s.do("POST", meetings, strings.Replace(minimalBody, "p@", "q@", 1), "Idempotency-Key", "k1").
		is(422, `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Esta Idempotency-Key ya se usó con otra solicitud.","code":"IDEMPOTENCY_KEY_REUSED"}`).
		has("Content-Type", "application/problem+json")
	s.do("POST", meetings, minimalBody, "Idempotency-Key", "k2").has("Idempotency-Replayed", "")
	if n := len(asked); n != 2 {
		t.Errorf("%d creates were carried out, want 2", n)
	}
}

func TestADetailShowsThePeopleAndTheRecording(t *testing.T) {
	s := newREST(t)
	asked := make(chan string, 8)
	backendtest.Query(s.meetings, subject.GetMeeting, func(req *meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		asked <- req.GetId()
		return aDetail(), nil
	})
	a := s.do("GET", oneMeeting, "").has("ETag", `"2"`)
	golden.Equal(t, "testdata/detail.golden.json", []byte(a.body+"\n"))
	s.do("GET", meetings+strings.ToUpper(uid)+"/", "").is(200, a.body)
	s.do("GET", oneMeeting, "", "If-None-Match", `"1", W/"2"`).is(304, "").has("ETag", `"2"`, "Cache-Control", "private, no-cache")
	s.do("GET", oneMeeting, "", "If-None-Match", `"1"`).is(200, a.body)
	s.do("HEAD", oneMeeting, "").is(200, "").has("ETag", `"2"`, "Content-Length", a.header.Get("Content-Length"))
	if first, second := <-asked, <-asked; first != "12" || second != uid {
		t.Errorf("asked for %q and %q", first, second)
	}
}

func TestADetailOfABareMeetingHasNulls(t *testing.T) {
	s := newREST(t)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		m := pendingMeeting()
		m.ScheduledStart, m.ScheduledEnd, m.InvitedEmails, m.ExternalReference = nil, nil, nil, ""
		m.Organizer = aUser()
		return m, nil
	})
	a := s.do("GET", oneMeeting, "")
	golden.Equal(t, "testdata/detail-bare.golden.json", []byte(a.body+"\n"))
	s.do("GET", oneMeeting+"recording/", "").is(404, `{"message":"La reunión no tiene grabación.","meeting_id":12}`)
	s.do("GET", oneMeeting+"recording/", "", "Accept-Language", "en").is(404, `{"message":"The meeting has no recording.","meeting_id":12}`)
	s.do("GET", oneMeeting+"participants/", "").is(200, `[]`)
}

func TestAListStaysAnArrayAndLinksTheNextPage(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.ListMeetingsRequest, 4)
	row := &meetv1.MeetingSummary{
		Id: 12, Uid: uid, GoogleEventId: "evt1", MeetLink: "https://meet.google.com/abc-defg-hij", OrganizerName: "Ana Ruiz",
		ScheduledStart: at("2026-12-01T15:00:00Z"), Status: meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED, CreatedAt: at("2026-11-24T12:00:00Z"),
	}
	backendtest.Query(s.meetings, subject.ListMeetings, func(req *meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
		asked <- req
		if req.GetPageToken() != "" {
			return &meetv1.ListMeetingsResponse{}, nil
		}
		return &meetv1.ListMeetingsResponse{Meetings: []*meetv1.MeetingSummary{row}, NextPageToken: "t/2="}, nil
	})
	a := s.do("GET", meetings, "").has("Link", `</api/v1/meetings/?page_token=t%2F2%3D>; rel="next"`)
	golden.Equal(t, "testdata/list.golden.json", []byte(a.body+"\n"))
	if got := <-asked; !proto.Equal(got, &meetv1.ListMeetingsRequest{PageSize: 100}) {
		t.Errorf("asked for %v", got)
	}
	s.do("GET", meetings+"?organizer=1&status=CREATED&scheduled_start__gte=2026-12-01T10:00:00%2B02:00&scheduled_start__lte=2026-12-02T00:00:00+00:00"+
		"&external_reference=a%26b&invited_email=p@mail.example&recording_state=missing&limit=7&other=x&status=SCHEDULED", "").
		has("Link", `</api/v1/meetings/?external_reference=a%26b&invited_email=p%40mail.example&limit=7&organizer=1&other=x&page_token=t%2F2%3D&recording_state=missing&scheduled_start__gte=2026-12-01T10%3A00%3A00%2B02%3A00&scheduled_start__lte=2026-12-02T00%3A00%3A00+00%3A00&status=CREATED&status=SCHEDULED>; rel="next"`)
	want := &meetv1.ListMeetingsRequest{
		PageSize: 7, OrganizerId: 1, Status: meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED, ScheduledStartFrom: at("2026-12-01T08:00:00Z"),
		ScheduledStartTo: at("2026-12-02T00:00:00Z"), ExternalReference: "a&b", InvitedEmail: "p@mail.example",
		RecordingState: meetv1.RecordingState_RECORDING_STATE_MISSING,
	}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v\nwant %v", got, want)
	}
	s.do("GET", meetings+"?page_token=t%2F2%3D", "").is(200, `[]`).has("Link", "")
}

// scriptUpdate answers changes with a meeting and hands over what was asked.
func scriptUpdate(s *rest) <-chan *meetv1.UpdateMeetingRequest {
	asked := make(chan *meetv1.UpdateMeetingRequest, 16)
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(_ bus.Envelope, req *meetv1.UpdateMeetingRequest) updateAnswer {
		asked <- req
		m := aMeeting()
		m.Version, m.Etag, m.GoogleSync = 3, `"3"`, meetv1.GoogleSync_GOOGLE_SYNC_PENDING
		return updateAnswer{Response: &meetv1.UpdateMeetingResponse{Meeting: m}}
	})
	return asked
}

func TestAChangeNamesWhatItChanges(t *testing.T) {
	s := newREST(t)
	asked := scriptUpdate(s)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		m := aDetail()
		m.InvitedEmails = []string{"p@mail.example", "q@mail.example"}
		return m, nil
	})
	for _, c := range []struct {
		name, body string
		headers    []string
		paths      []string
		patch      *meetv1.MeetingPatch
		add        []string
		remove     []string
		etag       string
	}{
		{
			name: "times", body: `{"scheduled_start":"2026-12-01T15:00:00.123456Z","scheduled_end":null}`, headers: []string{"If-Match", `"2"`}, etag: `"2"`,
			paths: []string{"scheduled_start", "scheduled_end"}, patch: &meetv1.MeetingPatch{ScheduledStart: at("2026-12-01T15:00:00.123456Z")},
		},
		{
			name: "status", body: `{"status":"FINISHED","organizer_email":"ignored"}`, paths: []string{"status"},
			patch: &meetv1.MeetingPatch{Status: meetv1.MeetingStatus_MEETING_STATUS_FINISHED},
		},
		{name: "texts", body: `{"summary":"","description":"d"}`, paths: []string{"summary", "description"}, patch: &meetv1.MeetingPatch{Description: "d"}},
		{name: "nothing", body: `{}`},
		{name: "no body at all"},
		{name: "guests one by one", body: `{"invited_emails":{"add":["n@mail.example"],"remove":["p@mail.example"]}}`, add: []string{"n@mail.example"}, remove: []string{"p@mail.example"}},
		{name: "guests as a whole", body: `{"invited_emails":["P@mail.example","n@mail.example"]}`, add: []string{"n@mail.example"}, remove: []string{"q@mail.example"}},
		{name: "several tags", body: `{}`, headers: []string{"If-Match", `"1"`, "If-Match", `"2"`}, etag: `"1", "2"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := s.do("PATCH", oneMeeting, c.body, c.headers...).has("ETag", `"3"`)
			if c.name == "times" {
				golden.Equal(t, "testdata/patch.golden.json", []byte(a.body+"\n"))
			}
			want := &meetv1.UpdateMeetingRequest{Id: "12", Meeting: c.patch, Etag: c.etag, AddInvitedEmails: c.add, RemoveInvitedEmails: c.remove}
			if want.Meeting == nil {
				want.Meeting = &meetv1.MeetingPatch{}
			}
			got := <-asked
			if paths := strings.Join(got.GetUpdateMask().GetPaths(), ","); paths != strings.Join(c.paths, ",") {
				t.Errorf("mask %s, want %s", paths, c.paths)
			}
			got.UpdateMask = nil
			if !proto.Equal(got, want) {
				t.Errorf("asked for %v\nwant %v", got, want)
			}
		})
	}
}

func TestARepeatOfAChangeMayComeWithAnotherIfMatch(t *testing.T) {
	s := newREST(t)
	scriptUpdate(s)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return aDetail(), nil })
	body := `{"invited_emails":["n@mail.example"]}`
	first := s.do("PATCH", oneMeeting, body, "Idempotency-Key", "k", "If-Match", `"2"`).has("Idempotency-Replayed", "")
	s.do("PATCH", oneMeeting, body, "Idempotency-Key", "k", "If-Match", `"3"`).is(200, first.body).has("Idempotency-Replayed", "true")
}

func TestAVersionConflictCarriesTheCurrentTag(t *testing.T) {
	s := newREST(t)
	conflict := fault.New(fault.VersionMismatch, "VERSION_MISMATCH", "changed by somebody else").WithMeta("etag", `"7"`)
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(bus.Envelope, *meetv1.UpdateMeetingRequest) updateAnswer { return updateAnswer{Err: conflict} })
	backendtest.Command(s.meetings, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) cancelAnswer { return cancelAnswer{Err: conflict} })
	for _, method := range []string{"PATCH", "DELETE"} {
		s.do(method, oneMeeting, "", "If-Match", `"2"`).is(412, `{"detail":"La versión indicada en If-Match no es la actual."}`).has("ETag", `"7"`)
		s.do(method, oneMeeting, "", "If-Match", `"2"`, "Accept-Language", "en").is(412, `{"detail":"The version in If-Match is not the current one."}`)
	}
}

func TestACancelAnswersTheSameEachTime(t *testing.T) {
	s := newREST(t)
	backendtest.Command(s.meetings, subject.CancelMeeting, func(bus.Envelope, *meetv1.CancelMeetingRequest) cancelAnswer {
		m := aMeeting()
		m.Status, m.Etag = meetv1.MeetingStatus_MEETING_STATUS_CANCELLED, `"4"`
		return cancelAnswer{Response: &meetv1.CancelMeetingResponse{Meeting: m}}
	})
	for range 2 {
		s.do("DELETE", oneMeeting, "").is(200, `{"message":"La reunión fue cancelada.","meeting_id":12,"status":"CANCELLED"}`).has("ETag", `"4"`)
	}
	s.do("DELETE", oneMeeting, "", "Accept-Language", "en-GB,en;q=0.9").is(200, `{"message":"The meeting was cancelled.","meeting_id":12,"status":"CANCELLED"}`).
		has("Content-Language", "en", "Vary", "Accept-Language")
}

func TestOutOfCancelledNothingLeads(t *testing.T) {
	s := newREST(t)
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(bus.Envelope, *meetv1.UpdateMeetingRequest) updateAnswer {
		f := fault.New(fault.Conflict, "MEETING_CANCELLED", "a cancelled meeting can't become CREATED")
		return updateAnswer{Err: f.WithFields(fault.Field{Path: "status", Reason: "MEETING_CANCELLED", Text: "a cancelled meeting stays cancelled"})}
	})
	s.do("PATCH", oneMeeting, `{"status":"CREATED"}`).is(400, `{"status":["La reunión está cancelada y ya no puede cambiar."]}`)
	s.do("PATCH", oneMeeting, `{"status":"CREATED"}`, "Accept-Language", "en").is(400, `{"status":["The meeting is cancelled and can no longer change."]}`)
}

func TestRulesOfTheServiceSpeakTheCallersLanguage(t *testing.T) {
	s := newREST(t)
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(bus.Envelope, *meetv1.UpdateMeetingRequest) updateAnswer {
		return updateAnswer{Err: fault.InvalidFields(
			fault.Field{Path: "scheduled_end", Reason: "END_BEFORE_START", Text: "must be after scheduled_start"},
			fault.Field{Path: "add_invited_emails", Reason: "COUNT", Text: "a meeting holds at most 200 guests"},
			fault.Field{Path: "summary", Reason: "SOMETHING_NEWER", Text: "a rule that this gateway does not know"},
		)}
	})
	s.do("PATCH", oneMeeting, `{"scheduled_end":"2026-12-01T15:00:00Z"}`).is(400, `{"scheduled_end":["La hora de fin debe ser posterior a la hora de inicio."],`+
		`"invited_emails":["Una reunión tiene entre 1 y 200 invitados."],"summary":["a rule that this gateway does not know"]}`)
}

func TestProvisionTriesAgainAndCanBeFollowed(t *testing.T) {
	s := newREST(t)
	state := pendingMeeting()
	backendtest.Command(s.meetings, subject.ProvisionMeeting, func(bus.Envelope, *meetv1.ProvisionMeetingRequest) backendtest.Answer[*meetv1.ProvisionMeetingResponse] {
		return backendtest.Answer[*meetv1.ProvisionMeetingResponse]{Response: &meetv1.ProvisionMeetingResponse{Meeting: state, Operation: operation}}
	})
	backendtest.Query(s.meetings, subject.GetOperation, func(req *meetv1.GetOperationRequest) (*meetv1.Operation, error) {
		op := &meetv1.Operation{Id: req.GetId(), MeetingId: 12, Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED}
		if req.GetId() != operation {
			op.Done, op.Error = true, &meetv1.SyncError{Code: "CALENDAR_FORBIDDEN", Message: "share it"}
		}
		return op, nil
	})
	s.do("POST", oneMeeting+"provision/", "").
		is(202, `{"id":12,"status":"CREATED","provisioning":"pending","operation":"`+operation+`"}`).has("Location", "/api/v1/operations/"+operation+"/")
	s.do("GET", "/api/v1/operations/"+operation+"/", "").is(200, `{"id":"`+operation+`","done":false,"meeting_id":12,"status":"CREATED","error":null}`).has("Retry-After", "1")
	s.do("GET", "/api/v1/operations/"+uid+"/", "").
		is(200, `{"id":"`+uid+`","done":true,"meeting_id":12,"status":"CREATED","error":{"code":"CALENDAR_FORBIDDEN","message":"share it"}}`).has("Retry-After", "")
	s.do("GET", "/api/v1/operations/x/", "").is(404, `{"detail":"No encontrado."}`)
	state = aMeeting()
	if a := s.do("POST", oneMeeting+"provision/", "{}"); a.status != http.StatusOK || !strings.Contains(a.body, `"provisioning":"ready"`) {
		t.Errorf("of a meeting with a link: %d %s", a.status, a.body)
	}
}

func TestAHistoryIsReadInPages(t *testing.T) {
	s := newREST(t)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return aDetail(), nil })
	backendtest.Query(s.meetings, subject.ListEvents, func(req *meetv1.ListEventsRequest) (*meetv1.ListEventsResponse, error) {
		if req.GetMeetingId() != 12 || req.GetPageSize() != 100 {
			return nil, fault.InvalidField("meeting_id", "X", req.String())
		}
		if req.GetAfterSequence() == 9 {
			return &meetv1.ListEventsResponse{}, nil
		}
		return &meetv1.ListEventsResponse{NextAfterSequence: 9, Events: []*meetv1.LoggedEvent{
			{Id: operation, Sequence: 9, Type: "meeting.created", Subject: uid, Time: at("2026-11-24T12:00:00.5Z"), DataJson: `{"meeting_id":"12"}`, MeetingId: 12},
		}}, nil
	})
	s.do("GET", oneMeeting+"events/", "").is(200, `[{"id":"`+operation+`","sequence":9,"type":"meeting.created","subject":"`+uid+`","time":"2026-11-24T12:00:00.500000Z","data":{"meeting_id":"12"}}]`).
		has("Link", `</api/v1/meetings/12/events/?page_token=9>; rel="next"`)
	s.do("GET", oneMeeting+"events/?page_token=9", "").is(200, `[]`).has("Link", "")
	s.do("GET", oneMeeting+"events/?page_token=x", "").is(400, `{"page_token":["Este valor no es de una página anterior de la misma lista."]}`)
}

func TestTheLongestRecordingAndTheParticipantsOfAMeeting(t *testing.T) {
	s := newREST(t)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return aDetail(), nil })
	golden.Equal(t, "testdata/recording.golden.json", []byte(s.do("GET", oneMeeting+"recording/", "").body+"\n"))
	golden.Equal(t, "testdata/participants.golden.json", []byte(s.do("GET", oneMeeting+"participants/", "").body+"\n"))
}

func TestCommandsCarryWhoAskedAndWhichRequest(t *testing.T) {
	s := newREST(t)
	scriptUpdate(s)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	s.do("PATCH", oneMeeting, `{}`, "Traceparent", trace, "Nats-Msg-Id", "x", "Meet-Role", "admin")
	if e := s.meetings.Envelopes()[0]; e.Principal != s.who || e.Traceparent != trace || e.RemoteAddr == "" || e.BodyHash == "" {
		t.Errorf("envelope %+v", e)
	}
}
