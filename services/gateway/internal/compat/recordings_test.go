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
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

const (
	recordings = "/api/v1/recordings/"
	jobs       = "/api/v1/jobs/"
	job        = "01936f5e-7c00-7000-8000-0000000000bb"
)

func TestRecordingsAreListedAsEver(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.ListRecordingsRequest, 8)
	backendtest.Query(s.meetings, subject.ListRecordings, func(req *meetv1.ListRecordingsRequest) (*meetv1.ListRecordingsResponse, error) {
		asked <- req
		if req.GetMeetingId() == 13 {
			return &meetv1.ListRecordingsResponse{}, nil
		}
		begun := &meetv1.Recording{Id: 7, MeetingId: 14, State: meetv1.RecordingState_RECORDING_STATE_STARTED, CreatedAt: at("2026-12-01T15:00:11Z")}
		return &meetv1.ListRecordingsResponse{Recordings: []*meetv1.Recording{begun, exportedRecording(), aRecording()}, NextPageToken: "t"}, nil
	})
	a := s.do("GET", recordings, "").has("Link", `</api/v1/recordings/?page_token=t>; rel="next"`, "Content-Type", "application/json")
	golden.Equal(t, "testdata/recordings.golden.json", []byte(a.body+"\n"))
	s.do("GET", recordings+"?meeting=13", "").is(200, `[]`).has("Link", "")
	s.do("GET", recordings+"?meeting=12&organizer=4&state=FILE_GENERATED&export_state=verified&from=2026-12-01&to=2026-12-31T23:59:59-05:00&limit=7&page_token=u", "").
		has("Link", `</api/v1/recordings/?export_state=verified&from=2026-12-01&limit=7&meeting=12&organizer=4&page_token=t&state=FILE_GENERATED&to=2026-12-31T23%3A59%3A59-05%3A00>; rel="next"`)
	s.do("HEAD", recordings, "").is(200, "").has("Content-Length", a.header.Get("Content-Length"))
	for _, want := range []*meetv1.ListRecordingsRequest{
		{PageSize: 1000},
		{PageSize: 1000, MeetingId: 13},
		{
			PageSize: 7, PageToken: "u", MeetingId: 12, OrganizerId: 4, State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, ExportState: "verified",
			From: at("2026-12-01T00:00:00Z"), To: at("2027-01-01T04:59:59Z"),
		},
		{PageSize: 1000},
	} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
}

func TestAFilterOfRecordingsThatMeansNothingIsNamed(t *testing.T) {
	s := newREST(t)
	s.do("GET", recordings+"?meeting=x&organizer=0&state=verified&export_state=VERIFIED&from=tomorrow&to=2026-02-30&limit=1001", "").
		is(400, `{"meeting":["Introduzca un número."],"organizer":["Introduzca un número entre 1 y 9223372036854775807."],`+
			`"state":["Escoja una opción válida. verified no es una de las opciones disponibles."],"export_state":["Escoja una opción válida. VERIFIED no es una de las opciones disponibles."],`+
			`"from":["Introduzca una fecha/hora válida."],"to":["Introduzca una fecha/hora válida."],"limit":["Introduzca un número entre 1 y 1000."]}`)
	s.do("GET", recordings+"?state=MISSING", "", "Accept-Language", "en").
		is(400, `{"state":["Select a valid choice. MISSING is not one of the available choices."]}`)
}

func TestOneRecordingIsReadAsEver(t *testing.T) {
	s := newREST(t)
	backendtest.Query(s.meetings, subject.GetRecording, func(req *meetv1.GetRecordingRequest) (*meetv1.Recording, error) {
		if req.GetId() != 6 {
			return nil, fault.New(fault.NotFound, "RECORDING_NOT_FOUND", "no such recording")
		}
		return exportedRecording(), nil
	})
	golden.Equal(t, "testdata/recording-exported.golden.json", []byte(s.do("GET", recordings+"6/", "").body+"\n"))
	s.do("GET", recordings+"7/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("GET", recordings+"7/", "", "Accept-Language", "en").is(404, `{"detail":"Not found."}`)
	s.do("GET", recordings+"x/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("POST", recordings, `{}`).is(405, `{"detail":"Método \"POST\" no permitido."}`).has("Allow", "GET, HEAD, OPTIONS")
	s.do("GET", recordings+"sync_all/", "").is(405, `{"detail":"Método \"GET\" no permitido."}`).has("Allow", "POST, OPTIONS")
	s.do("GET", recordings+"6", "").is(308, "").has("Location", recordings+"6/")
}

type (
	syncAnswer    = backendtest.Answer[*meetv1.SyncRecordingResponse]
	syncAllAnswer = backendtest.Answer[*meetv1.SyncAllRecordingsResponse]
	taskAnswer    = backendtest.Answer[*meetv1.RecordingJobResponse]
	holdAnswer    = backendtest.Answer[*meetv1.SetLegalHoldResponse]
)

func TestASyncOfOneMeetingIsBegunAndCanBeFollowed(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.SyncRecordingRequest, 8)
	backendtest.Command(s.meetings, subject.SyncRecording, func(_ bus.Envelope, req *meetv1.SyncRecordingRequest) syncAnswer {
		asked <- req
		switch req.GetMeetingId() {
		case "13":
			return syncAnswer{Err: fault.New(fault.Conflict, string(noScheduledStart), "no start").WithFields(fault.Field{Path: "scheduled_start", Reason: string(noScheduledStart), Text: "no start"})}
		case "14":
			return syncAnswer{Err: fault.New(fault.NotFound, "MEETING_NOT_FOUND", "no such meeting")}
		}
		return syncAnswer{Response: &meetv1.SyncRecordingResponse{MeetingId: 12, JobId: job}}
	})
	const begun = `,"meeting_id":12,"task_id":"` + job + `","status":"pending"}`
	s.do("POST", oneMeeting+"sync_recording/", "").
		is(202, `{"message":"La sincronización de la grabación fue iniciada."`+begun).has("Location", jobs+job+"/", "Idempotency-Replayed", "")
	s.do("POST", oneMeeting+"sync_recording/", `{"ignored":1}`, "Accept-Language", "en").
		is(202, `{"message":"The synchronization of the recording was started."`+begun)
	s.do("POST", meetings+strings.ToUpper(uid)+"/sync_recording/", "", "Idempotency-Key", "k").has("Idempotency-Replayed", "")
	s.do("POST", meetings+strings.ToUpper(uid)+"/sync_recording/", "", "Idempotency-Key", "k").
		is(202, `{"message":"La sincronización de la grabación fue iniciada."`+begun).has("Idempotency-Replayed", "true")
	s.do("POST", meetings+"13/sync_recording/", "").is(400, `{"non_field_errors":["La reunión no tiene hora de inicio programada."]}`)
	s.do("POST", meetings+"13/sync_recording/", "", "Accept-Language", "en").is(400, `{"non_field_errors":["The meeting has no scheduled start."]}`)
	s.do("POST", meetings+"14/sync_recording/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("POST", meetings+"x/sync_recording/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("GET", oneMeeting+"sync_recording/", "").has("Allow", "POST, OPTIONS")
	for _, want := range []string{"12", "12", uid, "13", "13", "14"} {
		if got := <-asked; got.GetMeetingId() != want {
			t.Errorf("asked for meeting %q, want %q", got.GetMeetingId(), want)
		}
	}
	if len(asked) != 0 {
		t.Error("a repeat was carried out once more")
	}
}

func TestASyncOfAllIsBegunAndCanBeFollowed(t *testing.T) {
	s := newREST(t)
	asked := make(chan int32, 8)
	backendtest.Command(s.meetings, subject.SyncAllRecordings, func(_ bus.Envelope, req *meetv1.SyncAllRecordingsRequest) syncAllAnswer {
		asked <- req.GetLimit()
		return syncAllAnswer{Response: &meetv1.SyncAllRecordingsResponse{JobId: job}}
	})
	const begun = `,"task_id":"` + job + `","status":"pending"}`
	const es, en = `{"message":"La sincronización de las grabaciones fue iniciada."`, `{"message":"The synchronization of the recordings was started."`
	for _, c := range []struct {
		body string
		want int32
	}{{`{"limit":50}`, 50}, {``, 0}, {`{}`, 0}, {`{"limit":null}`, 0}, {`{"limit":"7"}`, 7}, {`{"limit":0}`, 0}} {
		s.do("POST", recordings+"sync_all/", c.body).is(202, es+begun).has("Location", jobs+job+"/")
		if got := <-asked; got != c.want {
			t.Errorf("%s: limit %d, want %d", c.body, got, c.want)
		}
	}
	s.do("POST", recordings+"sync_all/", `{"limit":5}`, "Idempotency-Key", "k", "Accept-Language", "en").is(202, en+begun)
	s.do("POST", recordings+"sync_all/", `{"limit":5}`, "Idempotency-Key", "k", "Accept-Language", "en").is(202, en+begun).has("Idempotency-Replayed", "true")
	s.do("POST", recordings+"sync_all/", `{"limit":6}`, "Idempotency-Key", "k").
		is(422, `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Esta Idempotency-Key ya se usó con otra solicitud.","code":"IDEMPOTENCY_KEY_REUSED"}`)
	for body, want := range map[string][2]string{
		`{"limit":-1}`:                   {"Asegúrese de que este valor es mayor o igual a 0.", "Ensure this value is greater than or equal to 0."},
		`{"limit":2147483648}`:           {"Asegúrese de que este valor es menor o igual a 2147483647.", "Ensure this value is less than or equal to 2147483647."},
		`{"limit":99999999999999999999}`: {"Asegúrese de que este valor es menor o igual a 2147483647.", "Ensure this value is less than or equal to 2147483647."},
		`{"limit":"many"}`:               {"Introduzca un número entero válido.", "A valid integer is required."},
		`{"limit":1.5}`:                  {"Introduzca un número entero válido.", "A valid integer is required."},
		`{"limit":true}`:                 {"Introduzca un número entero válido.", "A valid integer is required."},
		`{"limit":""}`:                   {"Introduzca un número entero válido.", "A valid integer is required."},
		`{"limit":[5]}`:                  {"Introduzca un número entero válido.", "A valid integer is required."},
	} {
		s.do("POST", recordings+"sync_all/", body).is(400, `{"limit":["`+want[0]+`"]}`)
		s.do("POST", recordings+"sync_all/", body, "Accept-Language", "en").is(400, `{"limit":["`+want[1]+`"]}`)
	}
	if len(asked) != 1 {
		t.Errorf("%d more syncs were begun, want the one under the key", len(asked))
	}
}

func TestACopyIsReadAgainAndAFileSharedOnRequest(t *testing.T) {
	s := newREST(t)
	verified, shared := make(chan int64, 4), make(chan *meetv1.ShareRecordingRequest, 4)
	backendtest.Command(s.meetings, subject.VerifyRecording, func(_ bus.Envelope, req *meetv1.VerifyRecordingRequest) taskAnswer {
		verified <- req.GetId()
		if req.GetId() == 7 {
			return taskAnswer{Err: fault.New(fault.Conflict, string(notExported), "nothing was exported")}
		}
		return taskAnswer{Response: &meetv1.RecordingJobResponse{JobId: job}}
	})
	backendtest.Command(s.meetings, subject.ShareRecording, func(_ bus.Envelope, req *meetv1.ShareRecordingRequest) taskAnswer {
		shared <- req
		return taskAnswer{Response: &meetv1.RecordingJobResponse{JobId: job}}
	})
	const begun = `,"recording_id":6,"task_id":"` + job + `","status":"pending"}`
	s.do("POST", recordings+"6/verify/", "", "Idempotency-Key", "k").is(202, `{"message":"La verificación de la grabación fue iniciada."`+begun).has("Location", jobs+job+"/")
	s.do("POST", recordings+"6/verify/", "", "Idempotency-Key", "k", "Accept-Language", "en").
		is(202, `{"message":"The verification of the recording was started."`+begun).has("Idempotency-Replayed", "true")
	s.do("POST", recordings+"7/verify/", "").is(400, `{"non_field_errors":["La grabación no tiene una copia exportada."]}`)
	if a, b := <-verified, <-verified; a != 6 || b != 7 || len(verified) != 0 {
		t.Errorf("verified %d and %d", a, b)
	}

	const emails = `{"emails":["auditor@clinic.example","law@clinic.example"]}`
	s.do("POST", recordings+"6/share/", emails, "Idempotency-Key", "k").is(202, `{"message":"Se empezó a compartir la grabación."`+begun).has("Location", jobs+job+"/")
	s.do("POST", recordings+"6/share/", emails, "Idempotency-Key", "k", "Accept-Language", "en").
		is(202, `{"message":"The sharing of the recording was started."`+begun).has("Idempotency-Replayed", "true")
	want := &meetv1.ShareRecordingRequest{Id: 6, Emails: []string{"auditor@clinic.example", "law@clinic.example"}}
	if got := <-shared; !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	for body, refusal := range map[string]string{
		`{}`:                             `{"emails":["This field is required."]}`,
		`{"emails":[]}`:                  `{"emails":["This list may not be empty."]}`,
		`{"emails":["a@b.co","nobody"]}`: `{"emails":{"1":["Enter a valid email address."]}}`,
		`{"emails":[` + strings.Repeat(`"a@b.co",`, 50) + `"a@b.co"]}`: `{"emails":["Ensure this field has no more than 50 elements."]}`,
	} {
		s.do("POST", recordings+"6/share/", body, "Accept-Language", "en").is(400, refusal)
	}
	if len(shared) != 0 {
		t.Error("something was shared that should not have been")
	}
}

func TestCoverageCountsByDayAndOrganizer(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.GetCoverageRequest, 4)
	backendtest.Query(s.meetings, subject.GetCoverage, func(req *meetv1.GetCoverageRequest) (*meetv1.Coverage, error) {
		asked <- req
		count := &meetv1.CoverageCount{Expected: 9, Secured: 5, Verified: 4, Missing: 3, UnderWay: 1, MissingReasons: map[string]int64{"NOT_HELD": 2, "FILE_DELETED": 1}}
		return &meetv1.Coverage{
			From: at("2026-12-01T05:00:00Z"), To: at("2026-12-03T05:00:00Z"), TimeZone: "America/Bogota", Total: count,
			Days:       []*meetv1.CoverageDay{{Date: "2026-12-01", Count: count}, {Date: "2026-12-02", Count: &meetv1.CoverageCount{}}},
			Organizers: []*meetv1.CoverageOrganizer{{OrganizerId: 1, OrganizerEmail: "doctor@clinic.example", Count: count}},
		}, nil
	})
	golden.Equal(t, "testdata/coverage.golden.json", []byte(s.do("GET", recordings+"coverage/", "").body+"\n"))
	s.do("GET", recordings+"coverage/?from=2026-12-01T00:00-05:00&to=2026-12-03T00:00-05:00&organizer=1&time_zone=Europe/Madrid", "")
	for _, want := range []*meetv1.GetCoverageRequest{
		{}, {From: at("2026-12-01T05:00:00Z"), To: at("2026-12-03T05:00:00Z"), OrganizerId: 1, TimeZone: "Europe/Madrid"},
	} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
	s.do("GET", recordings+"coverage/?from=2026-12-03&to=2026-12-03&time_zone=Bogota&organizer=x", "", "Accept-Language", "en").
		is(400, `{"organizer":["Enter a number."],"time_zone":["Not a known time zone; use an IANA name such as America/Bogota."],"to":["The end must be after the start."]}`)
	if len(asked) != 0 {
		t.Error("it was asked all the same")
	}
}

func aJob() *meetv1.Job {
	return &meetv1.Job{
		Id: job, Class: "observe", Kind: "sync_recording", State: "due", MeetingId: 12, DueAt: at("2026-12-01T15:41:00Z"), FailedAttempts: 1,
		Attempts:  []*meetv1.JobAttempt{{At: at("2026-12-01T15:40:00.5Z"), Code: "GOOGLE_CALENDAR_NOT_FOUND", Message: "the account sees no such calendar"}},
		CreatedAt: at("2026-12-01T15:39:58Z"), DispatchedAt: at("2026-12-01T15:39:59Z"),
	}
}

func TestAJobIsFollowed(t *testing.T) {
	s := newREST(t)
	ended := &meetv1.Job{
		Id: strings.Replace(job, "bb", "cc", 1), Class: "housekeeping", Kind: "sync_all", State: "done", DueAt: at("2026-12-01T07:00:00Z"), CreatedAt: at("2026-11-30T07:00:00Z"),
		EndedAt: at("2026-12-01T07:00:01Z"), ResultJson: `{"meetings":3}`,
	}
	backendtest.Query(s.meetings, subject.GetJob, func(req *meetv1.GetJobRequest) (*meetv1.Job, error) {
		if req.GetId() != job {
			return nil, fault.New(fault.NotFound, "JOB_NOT_FOUND", "no such job")
		}
		return aJob(), nil
	})
	asked := make(chan *meetv1.ListJobsRequest, 4)
	backendtest.Query(s.meetings, subject.ListJobs, func(req *meetv1.ListJobsRequest) (*meetv1.ListJobsResponse, error) {
		asked <- req
		return &meetv1.ListJobsResponse{Jobs: []*meetv1.Job{aJob(), ended}, NextPageToken: "t"}, nil
	})
	one := s.do("GET", jobs+strings.ToUpper(job)+"/", "")
	golden.Equal(t, "testdata/job.golden.json", []byte(one.body+"\n"))
	if a := s.do("GET", jobs+job+"/", "", "Accept-Language", "en"); !strings.Contains(a.body, `"message":"the account sees no such calendar"`) {
		t.Errorf("in English: %s", a.body)
	}
	s.do("GET", jobs+uid+"/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("GET", jobs+"7/", "").is(404, `{"detail":"No encontrado."}`)
	golden.Equal(t, "testdata/jobs.golden.json", []byte(s.do("GET", jobs, "").has("Link", `</api/v1/jobs/?page_token=t>; rel="next"`).body+"\n"))
	s.do("GET", jobs+"?meeting=12&state=due&class=observe&kind=check_recording&limit=5&page_token=u", "")
	for _, want := range []*meetv1.ListJobsRequest{
		{PageSize: 100}, {PageSize: 5, PageToken: "u", MeetingId: 12, State: "due", Class: "observe", Kind: "check_recording"},
	} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
	s.do("GET", jobs+"?state=waiting&meeting=0&class="+strings.Repeat("x", 65), "", "Accept-Language", "en").
		is(400, `{"meeting":["Enter a number between 1 and 9223372036854775807."],"state":["Select a valid choice. waiting is not one of the available choices."],"class":["Ensure this field has no more than 64 characters."]}`)
}

func TestAttendanceSaysWhatItIsKnownFrom(t *testing.T) {
	s := newREST(t)
	asked := make(chan string, 4)
	backendtest.Query(s.meetings, subject.GetAttendance, func(req *meetv1.GetAttendanceRequest) (*meetv1.Attendance, error) {
		asked <- req.GetMeetingId()
		if req.GetMeetingId() == "13" {
			return &meetv1.Attendance{MeetingId: 13, Source: "invited"}, nil
		}
		return &meetv1.Attendance{
			MeetingId: 12, Source: "observed",
			Conferences: []*meetv1.Conference{{Id: 3, ConferenceRecordId: "conferenceRecords/a", StartedAt: at("2026-12-01T14:59:58Z"), EndedAt: at("2026-12-01T15:31:00Z"), AttendeesCount: 2, RecordingsCount: 1, Source: "notice"}},
			Invited: []*meetv1.InvitedAttendance{
				{ParticipantId: 1, Email: "doctor@clinic.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER, ResponseStatus: "accepted", Attendance: "attended", JoinedAt: at("2026-12-01T14:59:58Z"), LeftAt: at("2026-12-01T15:31:00Z"), Source: "observed"},
				{ParticipantId: 2, Email: "p@mail.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST, Attendance: "unsure", Source: "invited"},
			},
			Attendees: []*meetv1.Attendee{
				{
					ConferenceId: 3, Kind: "signed_in", DisplayName: "Ana Ruiz", FirstJoinedAt: at("2026-12-01T14:59:58Z"), LastLeftAt: at("2026-12-01T15:31:00Z"), DurationSeconds: 1862,
					Sessions:      []*meetv1.AttendeeSession{{JoinedAt: at("2026-12-01T14:59:58Z"), LeftAt: at("2026-12-01T15:31:00Z")}},
					ParticipantId: 1, ParticipantEmail: "doctor@clinic.example", Match: "certain", MatchReason: "directory",
				},
				{ConferenceId: 3, Kind: "phone", DisplayName: "+57 *** 12", FirstJoinedAt: at("2026-12-01T15:02:00Z")},
			},
		}, nil
	})
	golden.Equal(t, "testdata/attendance.golden.json", []byte(s.do("GET", oneMeeting+"attendance/", "").body+"\n"))
	s.do("GET", meetings+"13/attendance/", "").is(200, `{"meeting_id":13,"source":"invited","conferences":[],"invited":[],"attendees":[]}`)
	s.do("GET", meetings+"x/attendance/", "").is(404, `{"detail":"No encontrado."}`)
	if a, b := <-asked, <-asked; a != "12" || b != "13" {
		t.Errorf("asked for %q and %q", a, b)
	}
}

func TestATranscriptComesInPages(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.GetTranscriptRequest, 4)
	backendtest.Query(s.meetings, subject.GetTranscript, func(req *meetv1.GetTranscriptRequest) (*meetv1.Transcript, error) {
		asked <- req
		return &meetv1.Transcript{
			MeetingId: 12, NextPageToken: "t",
			Documents: []*meetv1.TranscriptDocument{{ConferenceId: 3, State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, StartedAt: at("2026-12-01T15:00:10Z"), EndedAt: at("2026-12-01T15:30:50Z"), DocumentId: "doc1", ExportUri: "https://docs.google.com/document/d/doc1/view"}},
			Entries: []*meetv1.TranscriptEntry{
				{ConferenceId: 3, DisplayName: "Ana Ruiz", ParticipantId: 1, Text: "¿Cómo está <hoy>?", Language: "es-CO", StartedAt: at("2026-12-01T15:00:12Z"), EndedAt: at("2026-12-01T15:00:14.5Z")},
				{ConferenceId: 3, DisplayName: "+57 *** 12", Text: "Bien"},
			},
		}, nil
	})
	a := s.do("GET", oneMeeting+"transcript/", "").has("Link", `</api/v1/meetings/12/transcript/?page_token=t>; rel="next"`)
	golden.Equal(t, "testdata/transcript.golden.json", []byte(a.body+"\n"))
	s.do("GET", oneMeeting+"transcript/?limit=5&page_token=u", "")
	for _, want := range []*meetv1.GetTranscriptRequest{{MeetingId: "12", PageSize: 100}, {MeetingId: "12", PageSize: 5, PageToken: "u"}} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
	s.do("GET", oneMeeting+"transcript/?limit=x", "").is(400, `{"limit":["Introduzca un número."]}`)
}

func TestALegalHoldIsSetWithItsReasonAndEnded(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.SetLegalHoldRequest, 8)
	backendtest.Command(s.meetings, subject.SetLegalHold, func(_ bus.Envelope, req *meetv1.SetLegalHoldRequest) holdAnswer {
		asked <- req
		m := aMeeting()
		m.Version, m.Etag, m.LegalHold, m.LegalHoldReason = 3, `"3"`, req.GetHold(), req.GetReason()
		return holdAnswer{Response: &meetv1.SetLegalHoldResponse{Meeting: m}}
	})
	const path = oneMeeting + "legal_hold/"
	held := s.do("POST", path, `{"reason":" claim 77 "}`, "Idempotency-Key", "k").has("ETag", `"3"`)
	if held.status != http.StatusOK || !strings.HasSuffix(held.body, `"legal_hold":true,"legal_hold_reason":"claim 77"}`) {
		t.Errorf("%d %s", held.status, held.body)
	}
	s.do("POST", path, `{"reason":"claim 77"}`, "Idempotency-Key", "k").is(200, held.body).has("Idempotency-Replayed", "true")
	if a := s.do("DELETE", path, "", "Idempotency-Key", "k"); a.status != http.StatusOK || !strings.HasSuffix(a.body, `"legal_hold":false,"legal_hold_reason":""}`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, want := range []*meetv1.SetLegalHoldRequest{{MeetingId: "12", Hold: true, Reason: "claim 77"}, {MeetingId: "12"}} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
	for body, want := range map[string]string{
		`{}`:                 `{"reason":["Este campo es requerido."]}`,
		`{"reason":" "}`:     `{"reason":["Este campo no puede estar en blanco."]}`,
		`{"reason":null}`:    `{"reason":["Este campo no puede ser nulo."]}`,
		`{"reason":["yes"]}`: `{"reason":["No es una cadena válida."]}`,
		`{"reason":"` + strings.Repeat("x", 1025) + `"}`: `{"reason":["Asegúrese de que este campo no tenga más de 1024 caracteres."]}`,
	} {
		s.do("POST", path, body).is(400, want)
	}
	if len(asked) != 0 {
		t.Error("it was asked all the same")
	}
}
