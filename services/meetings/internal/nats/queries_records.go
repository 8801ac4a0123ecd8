package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

const (
	// jobPage and entryPage are how many rows a page has when the caller did not say.
	jobPage   = 100
	entryPage = 200
	// coverageDays is how far back coverage counts when the caller did not say, and widestCoverage the most it counts at once.
	coverageDays   = 30
	widestCoverage = 366 * 24 * time.Hour
)

// serveRecords answers about recordings, conferences and jobs.
func (q *Queries) serveRecords(s *bus.Queries) error {
	return errors.Join(
		answer(q, s, subject.ListRecordings, q.listRecordings),
		answer(q, s, subject.GetRecording, q.getRecording),
		answer(q, s, subject.GetCoverage, q.getCoverage),
		answer(q, s, subject.GetAttendance, q.getAttendance),
		answer(q, s, subject.GetTranscript, q.getTranscript),
		answer(q, s, subject.GetJob, q.getJob),
		answer(q, s, subject.ListJobs, q.listJobs),
	)
}

// inRange refuses a time that no message can hold.
func inRange(path string, t *timestamppb.Timestamp) error {
	if t != nil && !t.IsValid() {
		return fault.InvalidField(path, "RANGE", "must be between the years 1 and 9999")
	}
	return nil
}

func (q *Queries) listRecordings(ctx context.Context, req *meetv1.ListRecordingsRequest) (*meetv1.ListRecordingsResponse, error) {
	p, err := page(req.GetPageSize(), maxPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(inRange("from", req.GetFrom()), inRange("to", req.GetTo())); err != nil {
		return nil, err
	}
	rows, err := q.reads.FindRecordings(ctx, app.RecordingFilter{
		Page: app.Page{After: p.After, Limit: p.Limit + 1}, MeetingID: meeting.ID(req.GetMeetingId()), OrganizerID: req.GetOrganizerId(),
		State: in(recordingOut, req.GetState()), ExportState: req.GetExportState(), StartedFrom: moment(req.GetFrom()), StartedTo: moment(req.GetTo()),
	})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListRecordingsResponse)
	rows, resp.NextPageToken = cut(rows, p.Limit, func(r *app.Recording) int64 { return r.ID })
	for i := range rows {
		resp.Recordings = append(resp.Recordings, encodeRecording(&rows[i]))
	}
	return resp, nil
}

func (q *Queries) getRecording(ctx context.Context, req *meetv1.GetRecordingRequest) (*meetv1.Recording, error) {
	r, err := q.reads.Recording(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return encodeRecording(r), nil
}

func encodeRecording(r *app.Recording) *meetv1.Recording {
	return &meetv1.Recording{
		Id: r.ID, MeetingId: int64(r.MeetingID), DriveFileId: r.DriveFileID, DriveFileUrl: r.DriveFileURL, DurationSeconds: r.DurationSeconds,
		State: recordingOut[r.State], StartedAt: stamp(r.StartedAt), EndedAt: stamp(r.EndedAt), AvailableAt: stamp(r.AvailableAt),
		CreatedAt: stamp(r.CreatedAt), ExportUri: r.ExportURI, Sha256: r.SHA256, SizeBytes: r.SizeBytes,
		Name: r.Name, FileState: r.FileState, ExportState: r.ExportState, ExportedAt: stamp(r.ExportedAt), VerifiedAt: stamp(r.VerifiedAt),
		DeleteAfter: stamp(r.DeleteAfter), ExportError: encodeFailure(r.Failure), SharedWith: r.SharedWith, ConferenceId: r.ConferenceID,
	}
}

func (q *Queries) getCoverage(ctx context.Context, req *meetv1.GetCoverageRequest) (*meetv1.Coverage, error) {
	f, err := q.coverageFilter(req)
	if err != nil {
		return nil, err
	}
	rows, err := q.reads.Coverage(ctx, f)
	if err != nil {
		return nil, err
	}
	c := app.Cover(rows, q.counting.Exporting)
	resp := &meetv1.Coverage{From: stamp(f.From), To: stamp(f.To), TimeZone: f.Zone, Total: encodeCount(&c.Total)}
	for i := range c.Days {
		d := &c.Days[i]
		resp.Days = append(resp.Days, &meetv1.CoverageDay{Date: d.Date, Count: encodeCount(&d.CoverageCount)})
	}
	for i := range c.Organizers {
		o := &c.Organizers[i]
		resp.Organizers = append(resp.Organizers, &meetv1.CoverageOrganizer{OrganizerId: o.ID, OrganizerEmail: o.Email, Count: encodeCount(&o.CoverageCount)})
	}
	return resp, nil
}

// coverageFilter completes what was asked for: up to the end of today, and 30 days before the end, each a whole day of the zone.
func (q *Queries) coverageFilter(req *meetv1.GetCoverageRequest) (app.CoverageFilter, error) {
	if err := errors.Join(inRange("from", req.GetFrom()), inRange("to", req.GetTo())); err != nil {
		return app.CoverageFilter{}, err
	}
	zone := q.counting.Zone
	if name := req.GetTimeZone(); name != "" {
		known, err := time.LoadLocation(name)
		if err != nil || name == "Local" {
			return app.CoverageFilter{}, fault.InvalidField("time_zone", "TIME_ZONE", "is no known time zone; use an IANA name such as America/Bogota")
		}
		zone = known
	}
	f := app.CoverageFilter{From: moment(req.GetFrom()), To: moment(req.GetTo()), OrganizerID: req.GetOrganizerId(), Zone: zone.String()}
	if f.To.IsZero() {
		y, m, d := q.now().In(zone).Date()
		f.To = time.Date(y, m, d+1, 0, 0, 0, 0, zone).UTC()
		if f.To.Before(f.From) { // all that lies ahead of it
			f.To = f.From.Add(widestCoverage)
		}
	}
	if f.From.IsZero() {
		y, m, d := f.To.In(zone).Date()
		f.From = time.Date(y, m, d-coverageDays, 0, 0, 0, 0, zone).UTC()
	}
	switch width := f.To.Sub(f.From); {
	case width < 0:
		return app.CoverageFilter{}, fault.InvalidField("to", "ORDER", "must not be before from")
	case width > widestCoverage:
		return app.CoverageFilter{}, fault.InvalidField("to", "RANGE", "must be at most 366 days after from; ask for a year at a time")
	}
	return f, nil
}

func encodeCount(c *app.CoverageCount) *meetv1.CoverageCount {
	return &meetv1.CoverageCount{
		Expected: c.Expected, Secured: c.Secured, Verified: c.Verified, Missing: c.Missing, UnderWay: c.UnderWay, MissingReasons: c.Reasons,
	}
}

func (q *Queries) getAttendance(ctx context.Context, req *meetv1.GetAttendanceRequest) (*meetv1.Attendance, error) {
	ref, err := meeting.ParseRef(req.GetMeetingId())
	if err != nil {
		return nil, err
	}
	a, err := q.reads.Attendance(ctx, ref)
	if err != nil {
		return nil, err
	}
	return encodeAttendance(a, q.now()), nil
}

func encodeAttendance(a *app.Attendance, now time.Time) *meetv1.Attendance {
	resp := &meetv1.Attendance{MeetingId: int64(a.Meeting.ID)}
	for i := range a.Conferences {
		c := &a.Conferences[i]
		resp.Conferences = append(resp.Conferences, &meetv1.Conference{
			Id: c.ID, ConferenceRecordId: c.Record, StartedAt: stamp(c.StartedAt), EndedAt: stamp(c.EndedAt),
			AttendeesCount: int32(c.Attendees), RecordingsCount: int32(c.Recordings), Source: c.Source,
		})
	}
	presences, source := a.Presences(now)
	resp.Source = source
	emails := make(map[int64]string, len(a.Participants))
	for i := range a.Participants {
		p, of := encodeParticipant(&a.Participants[i]), &presences[i]
		emails[p.GetId()] = p.GetEmail()
		resp.Invited = append(resp.Invited, &meetv1.InvitedAttendance{
			ParticipantId: p.GetId(), Email: p.GetEmail(), Role: p.GetRole(), ResponseStatus: p.GetResponseStatus(), Attendance: of.State.String(),
			JoinedAt: stamp(of.JoinedAt), LeftAt: stamp(of.LeftAt), Source: of.Source,
		})
	}
	for i := range a.Attendees {
		at := &a.Attendees[i]
		joined, left := at.Span()
		out := &meetv1.Attendee{
			ConferenceId: at.ConferenceID, Kind: at.Kind.String(), DisplayName: at.DisplayName, FirstJoinedAt: stamp(joined), LastLeftAt: stamp(left),
			ParticipantId: at.Match.Participant, ParticipantEmail: emails[at.Match.Participant], Match: at.Match.Sureness.String(), MatchReason: string(at.Match.Reason),
			DurationSeconds: int64(at.Duration(a.EndOf(at.ConferenceID, now)) / time.Second),
		}
		for _, s := range at.Sessions {
			out.Sessions = append(out.Sessions, &meetv1.AttendeeSession{JoinedAt: stamp(s.JoinedAt), LeftAt: stamp(s.LeftAt)})
		}
		resp.Attendees = append(resp.Attendees, out)
	}
	return resp
}

func (q *Queries) getTranscript(ctx context.Context, req *meetv1.GetTranscriptRequest) (*meetv1.Transcript, error) {
	ref, err := meeting.ParseRef(req.GetMeetingId())
	if err != nil {
		return nil, err
	}
	p, err := page(req.GetPageSize(), entryPage, "")
	if err != nil {
		return nil, err
	}
	from, err := readPlace(entryPlaces, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	after := app.EntryPage{After: from.at, Limit: p.Limit + 1}
	if from.id != "" {
		if after.AfterID, err = strconv.ParseInt(from.id, 10, 64); err != nil {
			return nil, errNotOurToken()
		}
	}
	t, err := q.reads.Transcript(ctx, ref, after)
	if err != nil {
		return nil, err
	}
	resp := &meetv1.Transcript{MeetingId: int64(t.MeetingID)}
	for _, d := range t.Documents {
		resp.Documents = append(resp.Documents, &meetv1.TranscriptDocument{
			ConferenceId: d.ConferenceID, State: recordingOut[d.State], StartedAt: stamp(d.StartedAt), EndedAt: stamp(d.EndedAt), DocumentId: d.DocumentID, ExportUri: d.URL,
		})
	}
	entries := t.Entries
	if len(entries) > p.Limit {
		entries = entries[:p.Limit]
		last := &entries[p.Limit-1]
		resp.NextPageToken = place{list: entryPlaces, at: last.StartedAt, id: strconv.FormatInt(last.ID, 10)}.token()
	}
	for i := range entries {
		e := &entries[i]
		resp.Entries = append(resp.Entries, &meetv1.TranscriptEntry{
			ConferenceId: e.ConferenceID, DisplayName: e.DisplayName, ParticipantId: e.ParticipantID, Text: e.Text, Language: e.Language,
			StartedAt: stamp(e.StartedAt), EndedAt: stamp(e.EndedAt),
		})
	}
	return resp, nil
}

func (q *Queries) getJob(ctx context.Context, req *meetv1.GetJobRequest) (*meetv1.Job, error) {
	id, err := uuid.Parse(req.GetId())
	if err != nil {
		return nil, errNoJob
	}
	job, err := q.reads.FindJob(ctx, id)
	if err != nil {
		return nil, err
	}
	return encodeJob(job), nil
}

func encodeJob(j *app.JobRow) *meetv1.Job {
	out := &meetv1.Job{
		Id: j.ID, Class: j.Class, Kind: j.Kind, State: j.State.String(), MeetingId: int64(j.MeetingID), DueAt: stamp(j.DueAt),
		FailedAttempts: int32(j.FailedAttempts), CreatedAt: stamp(j.CreatedAt), DispatchedAt: stamp(j.DispatchedAt), EndedAt: stamp(j.EndedAt),
	}
	for _, a := range j.History {
		out.Attempts = append(out.Attempts, &meetv1.JobAttempt{At: stamp(a.At), Code: a.Code, Message: a.Message})
	}
	if j.Result != "{}" {
		out.ResultJson = j.Result
	}
	return out
}

func (q *Queries) listJobs(ctx context.Context, req *meetv1.ListJobsRequest) (*meetv1.ListJobsResponse, error) {
	p, err := page(req.GetPageSize(), jobPage, "")
	if err != nil {
		return nil, err
	}
	f := app.JobFilter{
		MeetingID: meeting.ID(req.GetMeetingId()), OrganizerID: req.GetOrganizerId(), Class: req.GetClass(), Kind: req.GetKind(), Limit: p.Limit + 1,
	}
	if state := req.GetState(); state != "" {
		if f.State, err = meeting.ParseJobState(state); err != nil {
			return nil, fault.InvalidField("state", "VALUE", "must be one of due, out, done and failed")
		}
	}
	if f.Class == "" {
		f.Class = classOf(f.Kind)
	}
	if f.After, err = jobPlace(req.GetPageToken()); err != nil {
		return nil, err
	}
	rows, err := q.reads.ListJobs(ctx, f)
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListJobsResponse)
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		resp.NextPageToken = jobToken(&rows[p.Limit-1])
	}
	for i := range rows {
		resp.Jobs = append(resp.Jobs, encodeJob(&rows[i]))
	}
	return resp, nil
}

// classOf is the class of a kind of job, so that only its part of the rows is read; empty where it is not known.
func classOf(kind string) string {
	switch kind {
	case subject.SyncMeeting.Kind():
		return subject.SyncMeeting.Class()
	case subject.FollowCalendar.Kind(), subject.CheckRecording.Kind(), subject.SyncRecordingNow.Kind(), subject.FollowConferences.Kind():
		return subject.CheckRecording.Class()
	case subject.ExportRecording.Kind(), subject.VerifyExport.Kind(), subject.DeleteExport.Kind(), subject.ShareRecordingJob.Kind():
		return subject.ExportRecording.Class()
	case subject.SyncAll.Kind(), subject.Report.Kind(), subject.Retention.Kind():
		return subject.SyncAll.Class()
	}
	return ""
}

// The lists whose pages begin after a time and an id.
const (
	entryPlaces = "said"
	aheadPlaces = "due"
	endedPlaces = "ended"
)

// place is where a page of a list begins; its token is opaque to clients.
type place struct {
	list string
	at   time.Time
	id   string
}

func (p place) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join([]string{p.list, strconv.FormatInt(p.at.UnixMicro(), 10), p.id}, ":")))
}

func errNotOurToken() error {
	return fault.InvalidField("page_token", "TOKEN", "is not a token of this list; begin without one")
}

// readPlace reads a token of the list; of none the place is zero.
func readPlace(list, token string) (place, error) {
	if token == "" {
		return place{}, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return place{}, errNotOurToken()
	}
	parts := strings.SplitN(string(text), ":", 3)
	if len(parts) != 3 || parts[0] != list {
		return place{}, errNotOurToken()
	}
	micros, err := strconv.ParseInt(parts[1], 10, 64)
	at := time.UnixMicro(micros).UTC()
	if err != nil || at.Year() < 1 || at.Year() > 9999 {
		return place{}, errNotOurToken()
	}
	return place{list: list, at: at, id: parts[2]}, nil
}

func jobToken(last *app.JobRow) string {
	p := place{list: aheadPlaces, at: last.DueAt, id: last.ID}
	if last.State == meeting.JobDone || last.State == meeting.JobFailed {
		p.list, p.at = endedPlaces, last.EndedAt
	}
	return p.token()
}

func jobPlace(token string) (app.JobPlace, error) {
	p, err := readPlace(aheadPlaces, token)
	if err != nil {
		p, err = readPlace(endedPlaces, token)
	}
	if err != nil || token == "" {
		return app.JobPlace{}, err
	}
	id, err := uuid.Parse(p.id)
	if err != nil {
		return app.JobPlace{}, errNotOurToken()
	}
	return app.JobPlace{Ended: p.list == endedPlaces, At: p.at, ID: id}, nil
}
