package command_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
)

// archive is a server of recordings and jobs: it answers with what it holds, jobs in turn, and keeps what it was asked.
type archive struct {
	meetv1connect.UnimplementedRecordingServiceHandler
	meetv1connect.UnimplementedJobServiceHandler
	err  error
	jobs []*meetv1.Job

	asked []proto.Message
	keys  []string
}

func heard[Req, Resp any](a *archive, req *connect.Request[Req], resp *Resp) (*connect.Response[Resp], error) {
	a.asked = append(a.asked, any(req.Msg).(proto.Message))
	a.keys = append(a.keys, req.Header().Get("Idempotency-Key"))
	return answer(resp, a.err)
}

func (a *archive) ListRecordings(_ context.Context, req *connect.Request[meetv1.ListRecordingsRequest]) (*connect.Response[meetv1.ListRecordingsResponse], error) {
	begun := &meetv1.Recording{Id: 7, MeetingId: 14, State: meetv1.RecordingState_RECORDING_STATE_STARTED, StartedAt: at("2026-12-02T20:00:10Z"), ExportState: "none"}
	list := &meetv1.ListRecordingsResponse{Recordings: []*meetv1.Recording{begun, recording()}}
	if req.Msg.GetPageToken() == "" {
		list.NextPageToken = "next"
	}
	return heard(a, req, list)
}

func (a *archive) GetRecording(_ context.Context, req *connect.Request[meetv1.GetRecordingRequest]) (*connect.Response[meetv1.Recording], error) {
	return heard(a, req, recording())
}

func (a *archive) GetCoverage(_ context.Context, req *connect.Request[meetv1.GetCoverageRequest]) (*connect.Response[meetv1.Coverage], error) {
	day := &meetv1.CoverageCount{Expected: 9, Secured: 5, Verified: 4, Missing: 3, UnderWay: 1, MissingReasons: map[string]int64{"NOT_HELD": 2, "FILE_DELETED": 1}}
	return heard(a, req, &meetv1.Coverage{
		From: at("2026-12-01T05:00:00Z"), To: at("2026-12-03T05:00:00Z"), TimeZone: "America/Bogota", Total: day,
		Days:       []*meetv1.CoverageDay{{Date: "2026-12-01", Count: day}, {Date: "2026-12-02"}},
		Organizers: []*meetv1.CoverageOrganizer{{OrganizerId: 1, OrganizerEmail: "doctor@clinic.example", Count: day}},
	})
}

func (a *archive) SyncRecording(_ context.Context, req *connect.Request[meetv1.SyncRecordingRequest]) (*connect.Response[meetv1.SyncRecordingResponse], error) {
	return heard(a, req, &meetv1.SyncRecordingResponse{MeetingId: 12, JobId: "j-1"})
}

func (a *archive) SyncAllRecordings(_ context.Context, req *connect.Request[meetv1.SyncAllRecordingsRequest]) (*connect.Response[meetv1.SyncAllRecordingsResponse], error) {
	return heard(a, req, &meetv1.SyncAllRecordingsResponse{JobId: "j-1"})
}

func (a *archive) VerifyRecording(_ context.Context, req *connect.Request[meetv1.VerifyRecordingRequest]) (*connect.Response[meetv1.RecordingJobResponse], error) {
	return heard(a, req, &meetv1.RecordingJobResponse{JobId: "j-1"})
}

func (a *archive) ShareRecording(_ context.Context, req *connect.Request[meetv1.ShareRecordingRequest]) (*connect.Response[meetv1.RecordingJobResponse], error) {
	return heard(a, req, &meetv1.RecordingJobResponse{JobId: "j-1"})
}

func (a *archive) SetLegalHold(_ context.Context, req *connect.Request[meetv1.SetLegalHoldRequest]) (*connect.Response[meetv1.SetLegalHoldResponse], error) {
	m := meeting()
	m.LegalHold, m.LegalHoldReason = req.Msg.GetHold(), req.Msg.GetReason()
	m.RecordingState, m.RecordingReason = meetv1.RecordingState_RECORDING_STATE_MISSING, "FILE_DELETED"
	return heard(a, req, &meetv1.SetLegalHoldResponse{Meeting: m})
}

func (a *archive) GetAttendance(_ context.Context, req *connect.Request[meetv1.GetAttendanceRequest]) (*connect.Response[meetv1.Attendance], error) {
	if req.Msg.GetMeetingId() == "13" {
		return heard(a, req, &meetv1.Attendance{Source: "invited", Invited: []*meetv1.InvitedAttendance{{Email: "p@mail.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST, Attendance: "pending", Source: "invited"}}})
	}
	return heard(a, req, &meetv1.Attendance{
		MeetingId: 12, Source: "observed",
		Conferences: []*meetv1.Conference{{Id: 3, ConferenceRecordId: "conferenceRecords/a", StartedAt: at("2026-12-01T19:59:58Z"), EndedAt: at("2026-12-01T20:31:00Z"), AttendeesCount: 2, RecordingsCount: 1, Source: "notice"}},
		Invited: []*meetv1.InvitedAttendance{
			{Email: "doctor@clinic.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER, ResponseStatus: "accepted", Attendance: "attended", JoinedAt: at("2026-12-01T19:59:58Z"), LeftAt: at("2026-12-01T20:31:00Z"), Source: "observed"},
			{Email: "p@mail.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST, Attendance: "unsure", Source: "invited"},
		},
		Attendees: []*meetv1.Attendee{
			{ConferenceId: 3, Kind: "signed_in", DisplayName: "Ana\x1b[2J Ruiz", FirstJoinedAt: at("2026-12-01T19:59:58Z"), LastLeftAt: at("2026-12-01T20:31:00Z"), DurationSeconds: 1862, ParticipantEmail: "doctor@clinic.example", Match: "certain", MatchReason: "directory"},
			{ConferenceId: 3, Kind: "phone", DisplayName: "+57 *** 12", FirstJoinedAt: at("2026-12-01T20:02:00Z")},
		},
	})
}

func (a *archive) GetTranscript(_ context.Context, req *connect.Request[meetv1.GetTranscriptRequest]) (*connect.Response[meetv1.Transcript], error) {
	said := &meetv1.Transcript{
		MeetingId: 12, Documents: []*meetv1.TranscriptDocument{{ConferenceId: 3, DocumentId: "doc1"}},
		Entries: []*meetv1.TranscriptEntry{{DisplayName: "Ana Ruiz", Text: "¿Cómo\nestá?", StartedAt: at("2026-12-01T20:00:12Z")}}, NextPageToken: "next",
	}
	if req.Msg.GetPageToken() != "" {
		said.Entries, said.NextPageToken = []*meetv1.TranscriptEntry{{Text: "Bien"}}, ""
	}
	return heard(a, req, said)
}

func (a *archive) GetJob(_ context.Context, req *connect.Request[meetv1.GetJobRequest]) (*connect.Response[meetv1.Job], error) {
	job := a.jobs[0]
	if len(a.jobs) > 1 {
		a.jobs = a.jobs[1:]
	}
	return heard(a, req, job)
}

func (a *archive) ListJobs(_ context.Context, req *connect.Request[meetv1.ListJobsRequest]) (*connect.Response[meetv1.ListJobsResponse], error) {
	return heard(a, req, &meetv1.ListJobsResponse{Jobs: []*meetv1.Job{job("due"), job("done")}, NextPageToken: "next"})
}

func recording() *meetv1.Recording {
	return &meetv1.Recording{
		Id: 6, MeetingId: 12, DriveFileId: "file1", DriveFileUrl: "https://drive.google.com/file/d/file1/view", DurationSeconds: proto.Int64(3909),
		State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, StartedAt: at("2026-12-01T20:00:10Z"), EndedAt: at("2026-12-01T21:05:19Z"), AvailableAt: at("2026-12-01T21:20:00Z"),
		ExportUri: "s3://bucket/2026/12/r.mp4", Sha256: "9f86d081", SizeBytes: proto.Int64(734003200), Name: "conferenceRecords/a/recordings/b", FileState: "present",
		ExportState: "mismatch", ExportedAt: at("2026-12-01T21:31:00Z"), DeleteAfter: at("2031-12-01T21:20:00Z"), SharedWith: []string{"auditor@clinic.example"},
		ExportError: &meetv1.SyncError{Code: "EXPORT_MISMATCH", Message: "other bytes"},
	}
}

func job(state string) *meetv1.Job {
	j := &meetv1.Job{
		Id: "j-1", Class: "observe", Kind: "sync_recording", State: state, MeetingId: 12, DueAt: at("2026-12-01T20:41:00Z"), CreatedAt: at("2026-12-01T20:40:00Z"), FailedAttempts: 1,
		Attempts: []*meetv1.JobAttempt{{At: at("2026-12-01T20:40:01Z"), Code: "GOOGLE_UNAVAILABLE", Message: "Google does not answer"}},
	}
	if state == "done" || state == "failed" {
		j.EndedAt, j.ResultJson = at("2026-12-01T20:41:01Z"), `{"recordings":1}`
	}
	return j
}

func askArchive(t *testing.T, a *archive, args ...string) result {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(meetv1connect.NewRecordingServiceHandler(a))
	mux.Handle(meetv1connect.NewJobServiceHandler(a))
	web := httptest.NewServer(mux)
	defer web.Close()
	return against(t, web.URL, args...)
}

func TestRecordingsAndWhatBelongsToThemAreShownAsApproved(t *testing.T) {
	for name, args := range map[string][]string{
		"recordings":         {"recordings", "list", "--time-zone", "America/Bogota"},
		"recordings-all":     {"recordings", "list", "--all", "-o", "json"},
		"recording":          {"recordings", "get", "6"},
		"recording-json":     {"recordings", "get", "6", "-o", "json"},
		"sync":               {"recordings", "sync", "12"},
		"sync-json":          {"recordings", "sync", "12", "-o", "json"},
		"sync-wait":          {"recordings", "sync", "12", "--wait"},
		"sync-wait-json":     {"recordings", "sync", "12", "--wait", "-o", "json"},
		"sync-all":           {"recordings", "sync-all"},
		"coverage":           {"recordings", "coverage"},
		"coverage-organizer": {"recordings", "coverage", "--by", "organizer"},
		"coverage-json":      {"recordings", "coverage", "-o", "json"},
		"jobs":               {"jobs", "list"},
		"job":                {"jobs", "get", "j-1"},
		"watch":              {"jobs", "watch", "j-1"},
		"watch-json":         {"jobs", "watch", "j-1", "-o", "json"},
		"attendance":         {"meetings", "attendance", "12", "--time-zone", "America/Bogota"},
		"attendance-none":    {"meetings", "attendance", "13"},
		"transcript":         {"meetings", "transcript", "12"},
		"transcript-all":     {"meetings", "transcript", "12", "--all"},
		"hold":               {"meetings", "hold", "12", "--reason", "claim 77"},
		"release":            {"meetings", "release", "12"},
		"help-recordings":    {"recordings"},
		"help-jobs":          {"jobs"},
	} {
		t.Run(name, func(t *testing.T) {
			first := job("due")
			first.FailedAttempts, first.Attempts = 0, nil
			if !strings.Contains(name, "watch") && !strings.Contains(name, "wait") {
				first = job("done")
			}
			got := askArchive(t, &archive{jobs: []*meetv1.Job{first, first, job("due"), job("out"), job("done")}}, args...)
			if got.code != 0 {
				t.Errorf("exit %d", got.code)
			}
			golden.Equal(t, "testdata/"+name+".golden.txt", got.text())
		})
	}
}

func TestWhatIsAskedOfRecordingsIsWhatTheFlagsSay(t *testing.T) {
	for _, c := range []struct {
		args []string
		want proto.Message
	}{
		{[]string{
			"recordings", "list", "--meeting", "12", "--organizer-id", "4", "--state", "ended", "--export-state", "failed", "--from", "2026-12-01 00:00", "--to", "2026-12-31T23:59:59Z",
			"--limit", "5", "--page-token", "p",
		}, &meetv1.ListRecordingsRequest{
			MeetingId: 12, OrganizerId: 4, State: meetv1.RecordingState_RECORDING_STATE_ENDED, ExportState: "failed", From: at("2026-12-01T00:00:00Z"), To: at("2026-12-31T23:59:59Z"), PageSize: 5, PageToken: "p",
		}},
		{[]string{"recordings", "get", "6"}, &meetv1.GetRecordingRequest{Id: 6}},
		{[]string{"recordings", "sync", "12"}, &meetv1.SyncRecordingRequest{MeetingId: "12"}},
		{[]string{"recordings", "sync-all", "--limit", "50"}, &meetv1.SyncAllRecordingsRequest{Limit: 50}},
		{[]string{"recordings", "verify", "6"}, &meetv1.VerifyRecordingRequest{Id: 6}},
		{[]string{"recordings", "share", "6", "--email", "a@b.example,c@d.example", "--email", "e@f.example"}, &meetv1.ShareRecordingRequest{Id: 6, Emails: []string{"a@b.example", "c@d.example", "e@f.example"}}},
		{
			[]string{"recordings", "coverage", "--from", "2026-12-01 00:00", "--to", "2026-12-03 00:00", "--organizer-id", "4", "--time-zone", "America/Bogota"},
			&meetv1.GetCoverageRequest{From: at("2026-12-01T05:00:00Z"), To: at("2026-12-03T05:00:00Z"), OrganizerId: 4, TimeZone: "America/Bogota"},
		},
		{
			[]string{"jobs", "list", "--meeting", "12", "--state", "due", "--class", "observe", "--kind", "check_recording", "--limit", "5", "--page-token", "p"},
			&meetv1.ListJobsRequest{MeetingId: 12, State: "due", Class: "observe", Kind: "check_recording", PageSize: 5, PageToken: "p"},
		},
		{[]string{"jobs", "get", "j-1"}, &meetv1.GetJobRequest{Id: "j-1"}},
		{[]string{"meetings", "attendance", "12"}, &meetv1.GetAttendanceRequest{MeetingId: "12"}},
		{[]string{"meetings", "transcript", "12", "--limit", "5", "--page-token", "p"}, &meetv1.GetTranscriptRequest{MeetingId: "12", PageSize: 5, PageToken: "p"}},
		{[]string{"meetings", "hold", "12", "--reason", "claim 77"}, &meetv1.SetLegalHoldRequest{MeetingId: "12", Hold: true, Reason: "claim 77"}},
		{[]string{"meetings", "release", "12"}, &meetv1.SetLegalHoldRequest{MeetingId: "12"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			a := &archive{jobs: []*meetv1.Job{job("done")}}
			if got := askArchive(t, a, c.args...); got.code != 0 {
				t.Fatalf("exit %d: %s", got.code, got.err)
			}
			if len(a.asked) != 1 || !proto.Equal(a.asked[0], c.want) {
				t.Errorf("asked %s\nwant  %s", protojson.Format(a.asked[0]), protojson.Format(c.want))
			}
		})
	}
}

func TestEveryChangeOfRecordingsHasAnIdempotencyKey(t *testing.T) {
	for _, args := range [][]string{
		{"recordings", "sync", "12"},
		{"recordings", "sync-all"},
		{"recordings", "verify", "6"},
		{"recordings", "share", "6", "--email", "a@b.example"},
		{"meetings", "hold", "12", "--reason", "r"},
		{"meetings", "release", "12"},
	} {
		a := &archive{}
		askArchive(t, a, args...)
		askArchive(t, a, args...)
		askArchive(t, a, append(args, "--idempotency-key", "mine")...)
		if len(a.keys) != 3 || a.keys[0] == "" || a.keys[0] == a.keys[1] || a.keys[2] != "mine" {
			t.Errorf("%q: keys %q", args, a.keys)
		}
	}
}

func TestAJobThatFailsOrTakesTooLongIsSaid(t *testing.T) {
	const failed = "meetctl: failed: {\"recordings\":1}; failed attempts: 1, the last with GOOGLE_UNAVAILABLE: Google does not answer\n"
	for _, args := range [][]string{{"jobs", "watch", "j-1"}, {"recordings", "verify", "6", "--wait"}, {"recordings", "sync", "12", "--wait", "-o", "json"}} {
		got := askArchive(t, &archive{jobs: []*meetv1.Job{job("out"), job("failed")}}, args...)
		if got.code != 1 || got.err != failed || got.out == "" {
			t.Errorf("%q: exit %d: %s%s", args, got.code, got.out, got.err)
		}
	}
	got := askArchive(t, &archive{jobs: []*meetv1.Job{job("due")}}, "jobs", "watch", "j-1", "--wait-timeout", "2s") // a busy machine needs some of it for the first look
	if got.code != 6 || got.err != "meetctl: job j-1 has not ended yet; it goes on, and --wait-timeout waits longer\n" || strings.Count(got.out, "\n") != 1 {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.err)
	}
}

func TestACopyThatIsNotWhatWasExportedIsNoSuccess(t *testing.T) {
	for result, code := range map[string]int{`{"result": "ok"}`: 0, `{"result": "mismatch"}`: 1, `{"result": "gone"}`: 1, ``: 0, `[]`: 0} {
		checked := job("done")
		checked.Kind, checked.ResultJson, checked.Attempts = "verify_export", result, nil
		got := askArchive(t, &archive{jobs: []*meetv1.Job{checked}}, "recordings", "verify", "6", "--wait")
		want := ""
		if code != 0 {
			want = "meetctl: done: " + result + "\n"
		}
		if got.code != code || got.err != want {
			t.Errorf("%s: exit %d: %s", result, got.code, got.err)
		}
	}
}

func TestWrongUseAboutRecordingsAsksNobody(t *testing.T) {
	for name, args := range map[string][]string{
		"usage-recording-id":           {"recordings", "get", "latest"},
		"usage-recording-state":        {"recordings", "list", "--state", "missing"},
		"usage-recording-export-state": {"recordings", "list", "--export-state", "lost"},
		"usage-recording-from":         {"recordings", "list", "--from", "tomorrow"},
		"usage-share-with-nobody":      {"recordings", "share", "6"},
		"usage-coverage-by":            {"recordings", "coverage", "--by", "week"},
		"usage-job-state":              {"jobs", "list", "--state", "waiting"},
		"usage-hold-without-reason":    {"meetings", "hold", "12"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &archive{}
			got := askArchive(t, a, args...)
			if got.code != 2 || got.out != "" || len(a.asked) != 0 {
				t.Errorf("exit %d after %d calls; printed %q", got.code, len(a.asked), got.out)
			}
			golden.Equal(t, "testdata/error-"+name+".golden.txt", []byte(got.err))
		})
	}
}

func TestARefusalAboutRecordingsIsToldWithItsReason(t *testing.T) {
	a := &archive{err: refuse(connect.CodeFailedPrecondition, "MEETING_HAS_NO_START", "the meeting has no scheduled start", nil)}
	got := askArchive(t, a, "recordings", "sync", "12")
	if got.code != 5 || got.out != "" {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	golden.Equal(t, "testdata/error-no-start.golden.txt", []byte(got.err))
}
