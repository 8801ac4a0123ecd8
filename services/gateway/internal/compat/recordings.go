package compat

import (
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Recording is one recording file.
type Recording struct {
	ID                 int64    `json:"id"`
	Meeting            int64    `json:"meeting"`
	MeetingID          int64    `json:"meeting_id"`
	DriveFileID        string   `json:"drive_file_id"`
	DriveFileURL       string   `json:"drive_file_url"`
	DurationSeconds    *int64   `json:"duration_seconds"`
	DurationFormatted  string   `json:"duration_formatted" example:"01:05:09" doc:"N/A while unknown."`
	RecordingState     string   `json:"recording_state" enum:"STARTED,ENDED,FILE_GENERATED"`
	RecordingStartTime *string  `json:"recording_start_time" format:"date-time"`
	RecordingEndTime   *string  `json:"recording_end_time" format:"date-time"`
	AvailableAt        *string  `json:"available_at" format:"date-time"`
	CreatedAt          string   `json:"created_at" format:"date-time"`
	ExportURI          *string  `json:"export_uri" doc:"Where the copy is; null while there is none."`
	SHA256             *string  `json:"sha256" doc:"Hex; null until computed."`
	SizeBytes          *int64   `json:"size_bytes"`
	Name               *string  `json:"name" example:"conferenceRecords/a/recordings/b" doc:"Google's name of it."`
	Conference         *int64   `json:"conference" doc:"Of which of the meeting's conferences; attendance/ lists them."`
	FileState          *string  `json:"file_state" doc:"What Drive has: present, trashed or gone; null while nobody looked."`
	ExportState        string   `json:"export_state" enum:"none,pending,exported,verified,mismatch,gone,deleted,failed" doc:"none: no export is set up, or there is no file yet."`
	ExportedAt         *string  `json:"exported_at" format:"date-time"`
	VerifiedAt         *string  `json:"verified_at" format:"date-time" doc:"When the copy was last read back and found to be what was exported."`
	DeleteAfter        *string  `json:"delete_after" format:"date-time" doc:"When retention deletes the copy; null: it is kept."`
	ExportError        *Failure `json:"export_error" doc:"Null while nothing is wrong."`
	SharedWith         []string `json:"shared_with" nullable:"false" doc:"Who was given leave to read the file in Drive."`
}

// Coverage says of the recordings that were expected how many there are.
type Coverage struct {
	From       string              `json:"from" format:"date-time"`
	To         string              `json:"to" format:"date-time"`
	TimeZone   string              `json:"time_zone" doc:"The days are of this zone."`
	Total      CoverageCount       `json:"total"`
	Days       []CoverageDay       `json:"days" nullable:"false"`
	Organizers []CoverageOrganizer `json:"organizers" nullable:"false"`
}

// CoverageCount counts meetings that were to be recorded: expected = secured + missing + under_way.
type CoverageCount struct {
	Expected       int64            `json:"expected"`
	Secured        int64            `json:"secured" doc:"Verified, or with a file where no export is set up."`
	Verified       int64            `json:"verified"`
	Missing        int64            `json:"missing"`
	UnderWay       int64            `json:"under_way" doc:"Still to be held, being held, or waiting for the file or its check."`
	MissingReasons map[string]int64 `json:"missing_reasons" nullable:"false"`
}

// CoverageDay is the count of one day.
type CoverageDay struct {
	Date string `json:"date" format:"date"`
	CoverageCount
}

// CoverageOrganizer is the count of one organizer.
type CoverageOrganizer struct {
	Organizer      int64  `json:"organizer" doc:"The user's id."`
	OrganizerEmail string `json:"organizer_email" format:"email"`
	CoverageCount
}

// StartedSync answers a synchronization of one meeting.
type StartedSync struct {
	Message   string `json:"message"`
	MeetingID int64  `json:"meeting_id"`
	StartedTask
}

// StartedSyncAll answers a synchronization of all.
type StartedSyncAll struct {
	Message string `json:"message"`
	StartedTask
}

// StartedRecordingTask answers what was begun with one recording.
type StartedRecordingTask struct {
	Message     string `json:"message"`
	RecordingID int64  `json:"recording_id"`
	StartedTask
}

// StartedTask is what a client follows.
type StartedTask struct {
	TaskID string `json:"task_id" doc:"To follow under jobs/{id}/."`
	Status string `json:"status" enum:"pending"`
}

// started answers that a job was begun; Location says where to follow it.
func (x *exchange) started(id string) StartedTask {
	x.w.Header().Set("Location", base+"jobs/"+id+"/")
	return StartedTask{TaskID: id, Status: "pending"}
}

// fileStates are what one recording file can be in.
var fileStates = map[string]meetv1.RecordingState{
	"STARTED":        meetv1.RecordingState_RECORDING_STATE_STARTED,
	"ENDED":          meetv1.RecordingState_RECORDING_STATE_ENDED,
	"FILE_GENERATED": meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED,
}

// fileState is the state of one recording file, which knows three.
func fileState(s meetv1.RecordingState) string {
	switch s {
	case meetv1.RecordingState_RECORDING_STATE_ENDED:
		return "ENDED"
	case meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED, meetv1.RecordingState_RECORDING_STATE_EXPORTED, meetv1.RecordingState_RECORDING_STATE_VERIFIED:
		return "FILE_GENERATED"
	case meetv1.RecordingState_RECORDING_STATE_STARTED, meetv1.RecordingState_RECORDING_STATE_NOT_EXPECTED,
		meetv1.RecordingState_RECORDING_STATE_EXPECTED, meetv1.RecordingState_RECORDING_STATE_MISSING, meetv1.RecordingState_RECORDING_STATE_UNSPECIFIED:
	}
	return "STARTED"
}

// exportNone is the state of a file that nobody wants to copy.
const exportNone = "none"

// exportStates are how far the copy of a file has come.
var exportStates = setOf(exportNone, "pending", "exported", "verified", "mismatch", "gone", "deleted", "failed")

// setOf is each name by itself, for filters whose values travel as they are.
func setOf(names ...string) map[string]string {
	set := make(map[string]string, len(names))
	for _, name := range names {
		set[name] = name
	}
	return set
}

func (a *API) recordingRoutes() {
	const recordings, one = base + "recordings/", base + "recordings/{id}/"
	number := queryParam("organizer", "Of this organizer alone; the user's id.", idSchema())
	task := []string{"Location", "Idempotency-Replayed"}
	a.add(route{
		id: "listRecordings", method: http.MethodGet, path: recordings, tag: tagRecordings, summary: "List recordings, newest first",
		params: append([]*huma.Param{
			queryParam("meeting", "Of this meeting alone; its number.", idSchema()),
			number,
			queryParam("state", "", namesSchema(fileStates)),
			queryParam("export_state", "", namesSchema(exportStates)),
			queryParam("from", "Began at or after.", stringSchema("date-time")),
			queryParam("to", "Began at or before.", stringSchema("date-time")),
		}, pageParams(wholePage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[Recording](a), headers: []string{"Link"}}},
		serve:   a.listRecordings,
	})
	a.add(route{
		id: "getRecordingCoverage", method: http.MethodGet, path: recordings + "coverage/", tag: tagRecordings, summary: "Count the recordings that were expected, and what became of them",
		description: "Of the meetings that are to be recorded and begin in the time named, by day and organizer.",
		params: []*huma.Param{
			queryParam("from", "Scheduled start at or after. Absent: 30 days before `to`, where a day of the zone begins.", stringSchema("date-time")),
			queryParam("to", "Scheduled start before; at most 366 days after `from`. Absent: the end of today.", stringSchema("date-time")),
			number,
			queryParam("time_zone", "IANA name; the days are of this zone. Absent: MEET_TIME_ZONE.", stringSchema("")),
		},
		answers: []answer{{status: http.StatusOK, doc: "The counts.", schema: schemaOf[Coverage](a)}},
		serve:   a.recordingCoverage,
	})
	a.add(route{
		id: "syncAllRecordings", method: http.MethodPost, path: recordings + "sync_all/", tag: tagRecordings, summary: "Look at Google for all recordings that are still expected",
		description: "As is done every day at MEET_SYNC_CRON.",
		body:        bodySchema(a, "SyncAllRecordings", syncAllFields()), optionalBody: true,
		answers: []answer{{status: http.StatusAccepted, doc: "Begun.", schema: schemaOf[StartedSyncAll](a), headers: task}},
		serve:   a.syncAll,
	})
	a.add(route{
		id: "getRecording", method: http.MethodGet, path: one, tag: tagRecordings, summary: "Read one recording",
		answers: []answer{{status: http.StatusOK, doc: "The recording.", schema: schemaOf[Recording](a)}},
		serve:   a.getRecording,
	})
	a.add(route{
		id: "verifyRecording", method: http.MethodPost, path: one + "verify/", tag: tagRecordings, summary: "Read the copy of a recording again and compare it with what was exported",
		answers: []answer{{status: http.StatusAccepted, doc: "Begun.", schema: schemaOf[StartedRecordingTask](a), headers: task}},
		serve:   a.verifyRecording,
	})
	a.add(route{
		id: "shareRecording", method: http.MethodPost, path: one + "share/", tag: tagRecordings, summary: "Let people read a recording in Drive",
		body:    bodySchema(a, "ShareRecording", a.shares.fields),
		answers: []answer{{status: http.StatusAccepted, doc: "Begun.", schema: schemaOf[StartedRecordingTask](a), headers: task}},
		serve:   a.shareRecording,
	})
	a.add(route{
		id: "syncMeetingRecording", method: http.MethodPost, path: base + "meetings/{id}/sync_recording/", tag: tagRecordings, summary: "Look at Google now for what a meeting left",
		description: "400 when the meeting has no scheduled start.",
		answers:     []answer{{status: http.StatusAccepted, doc: "Begun.", schema: schemaOf[StartedSync](a), headers: task}},
		serve:       a.syncRecording,
	})
}

func (a *API) listRecordings(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListRecordingsRequest{
		MeetingId: f.number("meeting", maxID), OrganizerId: f.number("organizer", maxID), State: oneOf(f, "state", fileStates),
		ExportState: oneOf(f, "export_state", exportStates), From: f.when("from"), To: f.when("to"), PageSize: f.page(wholePage), PageToken: f.token(),
	}
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListRecordings, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetRecordings(), x.recording))
	return nil
}

func (a *API) getRecording(x *exchange) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	r, err := backend.Ask(x.r.Context(), a.backend, subject.GetRecording, &meetv1.GetRecordingRequest{Id: id})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, x.recording(r))
	return nil
}

func (a *API) meetingRecording(x *exchange) error {
	m, err := a.meeting(x)
	if err != nil {
		return err
	}
	if m.GetRecording() == nil {
		x.write(http.StatusNotFound, MeetingMessage{Message: x.say(noRecording), MeetingID: m.GetId()})
		return nil
	}
	x.write(http.StatusOK, x.recording(m.GetRecording()))
	return nil
}

func (a *API) recordingCoverage(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.GetCoverageRequest{From: f.when("from"), To: f.when("to"), OrganizerId: f.number("organizer", maxID), TimeZone: f.text("time_zone", maxFilter)}
	if req.GetTimeZone() != "" && !a.zone(req.GetTimeZone()) {
		f.fail("time_zone", unknownTimeZone)
	}
	if req.From != nil && req.To != nil && !req.GetTo().AsTime().After(req.GetFrom().AsTime()) {
		f.fail("to", endNotAfterStart)
	}
	if err := f.err(); err != nil {
		return err
	}
	c, err := backend.Ask(x.r.Context(), a.backend, subject.GetCoverage, req)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, Coverage{
		From: timeText(c.GetFrom()), To: timeText(c.GetTo()), TimeZone: c.GetTimeZone(), Total: coverageCount(c.GetTotal()),
		Days: each(c.GetDays(), func(d *meetv1.CoverageDay) CoverageDay { return CoverageDay{d.GetDate(), coverageCount(d.GetCount())} }),
		Organizers: each(c.GetOrganizers(), func(o *meetv1.CoverageOrganizer) CoverageOrganizer {
			return CoverageOrganizer{o.GetOrganizerId(), o.GetOrganizerEmail(), coverageCount(o.GetCount())}
		}),
	})
	return nil
}

func coverageCount(c *meetv1.CoverageCount) CoverageCount {
	reasons := c.GetMissingReasons()
	if reasons == nil {
		reasons = map[string]int64{}
	}
	return CoverageCount{c.GetExpected(), c.GetSecured(), c.GetVerified(), c.GetMissing(), c.GetUnderWay(), reasons}
}

func syncAllFields() []field[*meetv1.SyncAllRecordingsRequest] {
	return []field[*meetv1.SyncAllRecordingsRequest]{
		whole("limit", "At most so many meetings, the oldest first. Absent, null or 0: all.", func(r *meetv1.SyncAllRecordingsRequest, n int32) { r.Limit = n }),
	}
}

func (a *API) syncAll(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	req := new(meetv1.SyncAllRecordingsRequest)
	if faults := read(o, syncAllFields(), req); len(faults) > 0 {
		return fault.InvalidFields(faults...)
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.SyncAllRecordings, caller, req)
	if err != nil {
		return err
	}
	x.write(http.StatusAccepted, StartedSyncAll{Message: x.say(saidSyncAll), StartedTask: x.started(outcome.Response.GetJobId())})
	return nil
}

func (a *API) syncRecording(x *exchange) error {
	id, _, err := x.meetingAndBody()
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.SyncRecording, caller, &meetv1.SyncRecordingRequest{MeetingId: id})
	if err != nil {
		return renamed(err, func(string) string { return "" }) // the body has no field
	}
	x.write(http.StatusAccepted, StartedSync{
		Message: x.say(saidSync), MeetingID: outcome.Response.GetMeetingId(), StartedTask: x.started(outcome.Response.GetJobId()),
	})
	return nil
}

func (a *API) verifyRecording(x *exchange) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	if _, err := x.body(); err != nil {
		return err
	}
	return recordingTask(x, id, subject.VerifyRecording, &meetv1.VerifyRecordingRequest{Id: id}, saidVerify)
}

func shareFields() []field[*meetv1.ShareRecordingRequest] {
	return []field[*meetv1.ShareRecordingRequest]{
		emails("emails", "emails", "Who may read the file, as readers.", func(r *meetv1.ShareRecordingRequest) *[]string { return &r.Emails }),
	}
}

func (a *API) shareRecording(x *exchange) error {
	id, err := x.number()
	if err != nil {
		return err
	}
	o, err := x.body()
	if err != nil {
		return err
	}
	req := &meetv1.ShareRecordingRequest{Id: id}
	if err := a.shares.fill(o, req); err != nil {
		return err
	}
	return recordingTask(x, id, subject.ShareRecording, req, saidShare)
}

// recordingTask begins a job about one recording.
func recordingTask[Req proto.Message](x *exchange, id int64, c subject.Command[Req, *meetv1.RecordingJobResponse], req Req, said reason) error {
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, c, caller, req)
	if err != nil {
		return err
	}
	x.write(http.StatusAccepted, StartedRecordingTask{Message: x.say(said), RecordingID: id, StartedTask: x.started(outcome.Response.GetJobId())})
	return nil
}

// recording is one as the caller reads it.
func (x *exchange) recording(r *meetv1.Recording) Recording {
	formatted := "N/A"
	if r.DurationSeconds != nil {
		s := r.GetDurationSeconds()
		formatted = fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	exported := r.GetExportState()
	if exported == "" {
		exported = exportNone
	}
	return Recording{
		ID: r.GetId(), Meeting: r.GetMeetingId(), MeetingID: r.GetMeetingId(), DriveFileID: r.GetDriveFileId(), DriveFileURL: r.GetDriveFileUrl(),
		DurationSeconds: r.DurationSeconds, DurationFormatted: formatted, RecordingState: fileState(r.GetState()),
		RecordingStartTime: optionalTime(r.GetStartedAt()), RecordingEndTime: optionalTime(r.GetEndedAt()),
		AvailableAt: optionalTime(r.GetAvailableAt()), CreatedAt: timeText(r.GetCreatedAt()),
		ExportURI: optional(r.GetExportUri()), SHA256: optional(r.GetSha256()), SizeBytes: r.SizeBytes,
		Name: optional(r.GetName()), Conference: optionalID(r.GetConferenceId()), FileState: optional(r.GetFileState()), ExportState: exported,
		ExportedAt: optionalTime(r.GetExportedAt()), VerifiedAt: optionalTime(r.GetVerifiedAt()), DeleteAfter: optionalTime(r.GetDeleteAfter()),
		ExportError: x.failure(r.GetExportError()), SharedWith: list(r.GetSharedWith()),
	}
}

// failure says why something failed; nil when nothing did.
func (x *exchange) failure(e *meetv1.SyncError) *Failure {
	if e == nil {
		return nil
	}
	return &Failure{Code: e.GetCode(), Message: x.refusalText(e.GetCode(), e.GetMessage())}
}
