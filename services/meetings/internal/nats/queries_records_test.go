package nats

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// bogota is the zone of these tests, five hours behind.
var bogota = time.FixedZone("America/Bogota", -5*60*60)

// held makes meeting 1, of doctor@clinic.example with p@mail.example, that was held an hour before today's noon.
func (w *world) held(t *testing.T) {
	t.Helper()
	w.act(t, create("doctor@clinic.example"))
	w.exec(t, `UPDATE meetings SET scheduled_start = $1::timestamptz - interval '1 hour', scheduled_end = $1::timestamptz - interval '30 minutes',
		legal_hold = true, legal_hold_reason = 'case 7', recording_state = 'missing', recording_reason = 'FILE_DELETED'`, today)
	w.exec(t, `INSERT INTO conferences (id, meeting_id, record, account, started_at, ended_at, end_exact, source, attendees_read_at, created_at)
		VALUES (5, 1, 'conferenceRecords/a', 'doctor@clinic.example', $1::timestamptz - interval '1 hour', $1::timestamptz - interval '30 minutes', true, 'notice', $1, $1)`, today)
	w.exec(t, `INSERT INTO attendees (id, conference_id, name, kind, google_user, display_name, email, first_joined_at, last_left_at, participant_id, match, match_reason) VALUES
		(1, 5, 'p/1', 'signed_in', 'users/1', 'Doctor', '', $1::timestamptz - interval '1 hour', $1::timestamptz - interval '30 minutes', 1, 'certain', 'organizer'),
		(2, 5, 'p/2', 'anonymous', '', 'iPhone', '', $1::timestamptz - interval '55 minutes', $1::timestamptz - interval '35 minutes', 2, 'possible', 'only_one_left')`, today)
	w.exec(t, `INSERT INTO attendee_sessions (name, attendee_id, joined_at, left_at) VALUES
		('s/1', 1, $1::timestamptz - interval '1 hour', $1::timestamptz - interval '50 minutes'), ('s/2', 1, $1::timestamptz - interval '40 minutes', $1::timestamptz - interval '30 minutes')`, today)
	w.exec(t, `UPDATE participants SET joined_at = $1::timestamptz - interval '1 hour', left_at = $1::timestamptz - interval '30 minutes' WHERE id = 1`, today)
	w.exec(t, `INSERT INTO recordings (id, meeting_id, conference_id, state, name, created_at, started_at, drive_file_id, file_state, export_state, exported_at, verified_at, delete_after, failure_code, failure_message, shared_with)
		VALUES (3, 1, 5, 'file_generated', 'conferenceRecords/a/recordings/r', $1, $1, 'file', 'trashed', 'mismatch', $1, $1::timestamptz + interval '1 minute', $1::timestamptz + interval '1 year', 'BYTES', 'differ', '{auditor@clinic.example}')`, today)
	w.exec(t, `INSERT INTO transcripts (id, meeting_id, conference_id, name, state, started_at, document_id, export_uri, created_at) VALUES (4, 1, 5, 't', 'file_generated', $1, 'doc', 'https://docs.example/doc', $1)`, today)
	w.exec(t, `INSERT INTO transcript_entries (transcript_id, name, attendee, text, language, started_at, ended_at) SELECT 4, 'e' || n, 'p/1', 'said ' || n, 'es-CO', $1::timestamptz + n * interval '1 second', $1::timestamptz + n * interval '2 seconds' FROM generate_series(1, 5) n`, today)
}

func before(minutes int) *timestamppb.Timestamp {
	return timestamppb.New(today.Add(-time.Duration(minutes) * time.Minute))
}

func TestAttendanceIsToldWithItsSourceAndSureness(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.held(t)
	want := &meetv1.Attendance{
		MeetingId: 1, Source: "observed",
		Conferences: []*meetv1.Conference{{
			Id: 5, ConferenceRecordId: "conferenceRecords/a", StartedAt: before(60), EndedAt: before(30), AttendeesCount: 2, RecordingsCount: 1, Source: "notice",
		}},
		Invited: []*meetv1.InvitedAttendance{
			{ParticipantId: 1, Email: "doctor@clinic.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER, Attendance: "attended", JoinedAt: before(60), LeftAt: before(30), Source: "observed"},
			{ParticipantId: 2, Email: "p@mail.example", Role: meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST, Attendance: "unsure", Source: "observed"},
		},
		Attendees: []*meetv1.Attendee{
			{
				ConferenceId: 5, Kind: "signed_in", DisplayName: "Doctor", FirstJoinedAt: before(60), LastLeftAt: before(30), ParticipantId: 1, ParticipantEmail: "doctor@clinic.example",
				Match: "certain", MatchReason: "organizer", DurationSeconds: 20 * 60, Sessions: []*meetv1.AttendeeSession{{JoinedAt: before(60), LeftAt: before(50)}, {JoinedAt: before(40), LeftAt: before(30)}},
			},
			{
				ConferenceId: 5, Kind: "anonymous", DisplayName: "iPhone", FirstJoinedAt: before(55), LastLeftAt: before(35), ParticipantId: 2, ParticipantEmail: "p@mail.example",
				Match: "possible", MatchReason: "only_one_left", DurationSeconds: 20 * 60,
			},
		},
	}
	for _, id := range []string{"1", ask[string](t, w, `SELECT uid::text FROM meetings`)} {
		got, err := bus.Ask(within(t), w.bus, subject.GetAttendance, &meetv1.GetAttendanceRequest{MeetingId: id})
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
		}
	}
	for _, id := range []string{"2", "", "x", uuid.NewString()} {
		if _, err := bus.Ask(within(t), w.bus, subject.GetAttendance, &meetv1.GetAttendanceRequest{MeetingId: id}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("meeting %q: %v", id, err)
		}
	}
	p, err := bus.Ask(within(t), w.bus, subject.GetParticipant, &meetv1.GetParticipantRequest{Id: 1})
	if err != nil || !proto.Equal(p.GetJoinedAt(), before(60)) || !proto.Equal(p.GetLeftAt(), before(30)) {
		t.Errorf("%v, %v", p, err)
	}
}

func TestARecordingShowsItsFileAndItsCopy(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.held(t)
	want := &meetv1.Recording{
		Id: 3, MeetingId: 1, ConferenceId: 5, State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, Name: "conferenceRecords/a/recordings/r", DriveFileId: "file",
		CreatedAt: before(0), StartedAt: before(0), FileState: "trashed", ExportState: "mismatch", ExportedAt: before(0), VerifiedAt: before(-1),
		DeleteAfter: timestamppb.New(today.AddDate(1, 0, 0)), ExportError: &meetv1.SyncError{Code: "BYTES", Message: "differ"}, SharedWith: []string{"auditor@clinic.example"},
	}
	got, err := bus.Ask(within(t), w.bus, subject.GetRecording, &meetv1.GetRecordingRequest{Id: 3})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
	m, err := bus.Ask(within(t), w.bus, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: "1"})
	if err != nil || !m.GetLegalHold() || m.GetLegalHoldReason() != "case 7" || m.GetRecordingReason() != "FILE_DELETED" || !proto.Equal(m.GetRecording(), want) {
		t.Errorf("%v, %v", m, err)
	}
	for name, c := range map[string]struct {
		req  *meetv1.ListRecordingsRequest
		want int
	}{
		"all":               {&meetv1.ListRecordingsRequest{}, 1},
		"a meeting":         {&meetv1.ListRecordingsRequest{MeetingId: 1}, 1},
		"another meeting":   {&meetv1.ListRecordingsRequest{MeetingId: 2}, 0},
		"an organizer":      {&meetv1.ListRecordingsRequest{OrganizerId: 1}, 1},
		"another organizer": {&meetv1.ListRecordingsRequest{OrganizerId: 2}, 0},
		"a state":           {&meetv1.ListRecordingsRequest{State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED}, 1},
		"another state":     {&meetv1.ListRecordingsRequest{State: meetv1.RecordingState_RECORDING_STATE_STARTED}, 0},
		"an export":         {&meetv1.ListRecordingsRequest{ExportState: "mismatch"}, 1},
		"another export":    {&meetv1.ListRecordingsRequest{ExportState: "none"}, 0},
		"a NUL":             {&meetv1.ListRecordingsRequest{ExportState: "\x00"}, 0},
		"from, inclusive":   {&meetv1.ListRecordingsRequest{From: before(0), To: before(0)}, 1},
		"later":             {&meetv1.ListRecordingsRequest{From: before(-1)}, 0},
		"earlier":           {&meetv1.ListRecordingsRequest{To: before(1)}, 0},
	} {
		got, err := bus.Ask(within(t), w.bus, subject.ListRecordings, c.req)
		if err != nil || len(got.GetRecordings()) != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := bus.Ask(within(t), w.bus, subject.ListRecordings, &meetv1.ListRecordingsRequest{To: &timestamppb.Timestamp{Seconds: math.MaxInt64}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a time that is none: %v", err)
	}
}

func TestATranscriptComesInPages(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.held(t)
	var said []string
	req := &meetv1.GetTranscriptRequest{MeetingId: "1", PageSize: 2}
	for pages := 1; ; pages++ {
		got, err := bus.Ask(within(t), w.bus, subject.GetTranscript, req)
		if err != nil {
			t.Fatal(err)
		}
		want := &meetv1.TranscriptDocument{ConferenceId: 5, State: meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, StartedAt: before(0), DocumentId: "doc", ExportUri: "https://docs.example/doc"}
		if len(got.GetDocuments()) != 1 || !proto.Equal(got.GetDocuments()[0], want) {
			t.Errorf("documents %v", got.GetDocuments())
		}
		for _, e := range got.GetEntries() {
			said = append(said, e.GetDisplayName()+" "+e.GetText())
		}
		if req.PageToken = got.GetNextPageToken(); req.GetPageToken() == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if want := []string{"Doctor said 1", "Doctor said 2", "Doctor said 3", "Doctor said 4", "Doctor said 5"}; !slices.Equal(said, want) {
		t.Errorf("%v", said)
	}
	for name, req := range map[string]*meetv1.GetTranscriptRequest{
		"no token": {MeetingId: "1", PageToken: "x"}, "another's token": {MeetingId: "1", PageToken: token(1)}, "a wide page": {MeetingId: "1", PageSize: 1001},
		"a job's token": {MeetingId: "1", PageToken: jobToken(&app.JobRow{Job: meeting.Job{State: meeting.JobDue, DueAt: today, ID: uuid.NewString()}})},
		"no number":     {MeetingId: "1", PageToken: place{entryPlaces, today, "x"}.token()},
	} {
		if _, err := bus.Ask(within(t), w.bus, subject.GetTranscript, req); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bus.Ask(within(t), w.bus, subject.GetTranscript, &meetv1.GetTranscriptRequest{MeetingId: "7"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no meeting: %v", err)
	}
}

func TestCoverageCountsWholeDaysUnlessTold(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.held(t)
	count := &meetv1.CoverageCount{Expected: 1, Missing: 1, MissingReasons: map[string]int64{"FILE_DELETED": 1}}
	want := &meetv1.Coverage{
		// The clock stands at noon UTC of 24 November: in Bogotá the day ends at 5 UTC of the 25th.
		From: timestamppb.New(time.Date(2026, 10, 26, 5, 0, 0, 0, time.UTC)), To: timestamppb.New(time.Date(2026, 11, 25, 5, 0, 0, 0, time.UTC)),
		TimeZone: "America/Bogota", Total: count, Days: []*meetv1.CoverageDay{{Date: "2026-11-24", Count: count}},
		Organizers: []*meetv1.CoverageOrganizer{{OrganizerId: 1, OrganizerEmail: "doctor@clinic.example", Count: count}},
	}
	got, err := bus.Ask(within(t), w.bus, subject.GetCoverage, &meetv1.GetCoverageRequest{})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
	for name, c := range map[string]struct {
		req      *meetv1.GetCoverageRequest
		expected int64
		to       time.Time
	}{
		"another organizer": {&meetv1.GetCoverageRequest{OrganizerId: 9}, 0, want.GetTo().AsTime()},
		"what lies ahead":   {&meetv1.GetCoverageRequest{From: before(-10_000)}, 0, before(-10_000).AsTime().Add(widestCoverage)},
		"up to a time":      {&meetv1.GetCoverageRequest{To: before(60)}, 0, before(60).AsTime()},
		"in another zone":   {&meetv1.GetCoverageRequest{TimeZone: "Asia/Tokyo"}, 1, time.Date(2026, 11, 24, 15, 0, 0, 0, time.UTC)},
	} {
		got, err := bus.Ask(within(t), w.bus, subject.GetCoverage, c.req)
		if err != nil || got.GetTotal().GetExpected() != c.expected || !got.GetTo().AsTime().Equal(c.to) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, req := range map[string]*meetv1.GetCoverageRequest{
		"no zone": {TimeZone: "Bogota"}, "this machine's zone": {TimeZone: "Local"}, "backwards": {From: before(0), To: before(1)}, "two years": {From: timestamppb.New(today.AddDate(-2, 0, 0)), To: before(0)},
		"a time that is none": {From: &timestamppb.Timestamp{Seconds: math.MaxInt64}},
	} {
		if _, err := bus.Ask(within(t), w.bus, subject.GetCoverage, req); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJobsAreShownAndPaged(t *testing.T) {
	w := newWorld(t)
	w.serve(t, w.store)
	w.held(t)
	ended := uuid.NewString()
	w.exec(t, `INSERT INTO jobs (id, class, kind, meeting_id, state, priority, due_at, dispatch, dispatched_at, failed_attempts, history, result, created_at, ended_at)
		VALUES ($2, 'observe', 'sync_recording', 1, 'failed', 0, $1, 3, $1, 3, '[{"at":"2026-11-24T12:00:00Z","code":"QUOTA","message":"later"}]', '{"recordings":2}', $1, $1)`, today, ended)
	w.exec(t, `INSERT INTO jobs (id, class, kind, key, state, priority, due_at, dispatch, failed_attempts, created_at) SELECT gen_random_uuid(), 'housekeeping', 'report', n::text, 'due', 1, $1::timestamptz + n * interval '1 hour', 0, 0, $1 FROM generate_series(1, 5) n`, today)
	want := &meetv1.Job{
		Id: ended, Class: "observe", Kind: "sync_recording", State: "failed", MeetingId: 1, DueAt: before(0), FailedAttempts: 3, CreatedAt: before(0), DispatchedAt: before(0), EndedAt: before(0),
		Attempts: []*meetv1.JobAttempt{{At: before(0), Code: "QUOTA", Message: "later"}}, ResultJson: `{"recordings": 2}`,
	}
	got, err := bus.Ask(within(t), w.bus, subject.GetJob, &meetv1.GetJobRequest{Id: ended})
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
	for _, id := range []string{"", "x", uuid.NewString()} {
		if _, err := bus.Ask(within(t), w.bus, subject.GetJob, &meetv1.GetJobRequest{Id: id}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("job %q: %v", id, err)
		}
	}
	for name, c := range map[string]struct {
		req         *meetv1.ListJobsRequest
		rows, pages int
	}{
		"all":             {&meetv1.ListJobsRequest{}, 7, 1},
		"all, by one":     {&meetv1.ListJobsRequest{PageSize: 1}, 7, 7},
		"a meeting's":     {&meetv1.ListJobsRequest{MeetingId: 1, PageSize: 1}, 2, 2},
		"an organizer's":  {&meetv1.ListJobsRequest{OrganizerId: 1}, 2, 1},
		"another's":       {&meetv1.ListJobsRequest{OrganizerId: 2}, 0, 1},
		"due":             {&meetv1.ListJobsRequest{State: "due", PageSize: 2}, 5, 3},
		"failed":          {&meetv1.ListJobsRequest{State: "failed"}, 1, 1},
		"a class":         {&meetv1.ListJobsRequest{Class: "housekeeping"}, 5, 1},
		"a kind":          {&meetv1.ListJobsRequest{Kind: "sync_meeting"}, 1, 1},
		"a kind and none": {&meetv1.ListJobsRequest{Kind: "report", State: "due", PageSize: 4}, 5, 2},
		"an unknown kind": {&meetv1.ListJobsRequest{Kind: "deliver"}, 0, 1},
		"a class's other": {&meetv1.ListJobsRequest{Class: "export", Kind: "sync_meeting"}, 0, 1},
	} {
		var ids []string
		pages := 0
		for {
			resp, err := bus.Ask(within(t), w.bus, subject.ListJobs, c.req)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			pages++
			for _, j := range resp.GetJobs() {
				ids = append(ids, j.GetId())
			}
			if c.req.PageToken = resp.GetNextPageToken(); c.req.GetPageToken() == "" {
				break
			}
		}
		if len(ids) != c.rows || pages != c.pages {
			t.Errorf("%s: %d rows in %d pages, want %d in %d", name, len(ids), pages, c.rows, c.pages)
		}
		if slices.Sort(ids); len(slices.Compact(ids)) != c.rows {
			t.Errorf("%s: a row twice", name)
		}
	}
	for name, req := range map[string]*meetv1.ListJobsRequest{
		"no state": {State: "late"}, "no token": {PageToken: "x"}, "another's token": {PageToken: token(1)}, "a wide page": {PageSize: 1001},
		"no id": {PageToken: place{aheadPlaces, today, "x"}.token()},
	} {
		if _, err := bus.Ask(within(t), w.bus, subject.ListJobs, req); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzPlaceToken(f *testing.F) {
	id := uuid.NewString()
	for _, s := range []string{
		"", token(1), place{entryPlaces, today, "7"}.token(), place{aheadPlaces, today, id}.token(), place{endedPlaces, time.Time{}, id}.token(),
		place{endedPlaces, time.UnixMicro(math.MaxInt64), id}.token(), "ZHVlOjE", "%%%",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := jobPlace(s)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if s == "" {
			if p != (app.JobPlace{}) {
				t.Fatalf("of no token: %+v", p)
			}
			return
		}
		row := &app.JobRow{Job: meeting.Job{ID: p.ID.String(), State: meeting.JobOut, DueAt: p.At, EndedAt: p.At}}
		if p.Ended {
			row.State = meeting.JobDone
		}
		again, err := jobPlace(jobToken(row))
		if err != nil || !again.At.Equal(p.At) || again.ID != p.ID || again.Ended != p.Ended {
			t.Fatalf("%q is %+v and comes back as %+v, %v", s, p, again, err)
		}
	})
}
