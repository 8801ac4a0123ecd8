// Package subject holds every NATS subject, stream and durable name of the product, each typed by its protobuf message, so
// that a message of the wrong shape does not compile and a subject is written in one place only.
package subject

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

// Command is a request to change something, carried by MEET_COMMANDS; it has one answerer.
type Command[Req, Resp proto.Message] string

// Query is a read, carried by core NATS request-reply.
type Query[Req, Resp proto.Message] string

// Event is a fact in the past tense, carried by MEET_EVENTS.
type Event[Body proto.Message] string

// Job is due work, carried by MEET_JOBS.
type Job[Body proto.Message] string

// The commands.
const (
	CreateMeeting      Command[*meetv1.CreateMeetingRequest, *meetv1.CreateMeetingResponse]           = "meet.cmd.meeting.create"
	UpdateMeeting      Command[*meetv1.UpdateMeetingRequest, *meetv1.UpdateMeetingResponse]           = "meet.cmd.meeting.update"
	CancelMeeting      Command[*meetv1.CancelMeetingRequest, *meetv1.CancelMeetingResponse]           = "meet.cmd.meeting.cancel"
	ProvisionMeeting   Command[*meetv1.ProvisionMeetingRequest, *meetv1.ProvisionMeetingResponse]     = "meet.cmd.meeting.provision"
	MeetingSynced      Command[*meetv1.MeetingSyncedRequest, *meetv1.MeetingSyncedResponse]           = "meet.cmd.meeting.synced"
	CalendarFollowed   Command[*meetv1.CalendarFollowedRequest, *meetv1.CalendarFollowedResponse]     = "meet.cmd.calendar.followed"
	CalendarNoticed    Command[*meetv1.CalendarNoticedRequest, *meetv1.CalendarNoticedResponse]       = "meet.cmd.calendar.noticed"
	ConferenceObserved Command[*meetv1.ConferenceObservedRequest, *meetv1.ConferenceObservedResponse] = "meet.cmd.conference.observed"
	ConferenceNoticed  Command[*meetv1.ConferenceNoticedRequest, *meetv1.ConferenceNoticedResponse]   = "meet.cmd.conference.noticed"
	SyncRecording      Command[*meetv1.SyncRecordingRequest, *meetv1.SyncRecordingResponse]           = "meet.cmd.recording.sync"
	SyncAllRecordings  Command[*meetv1.SyncAllRecordingsRequest, *meetv1.SyncAllRecordingsResponse]   = "meet.cmd.recording.sync_all"
	VerifyRecording    Command[*meetv1.VerifyRecordingRequest, *meetv1.RecordingJobResponse]          = "meet.cmd.recording.verify"
	ShareRecording     Command[*meetv1.ShareRecordingRequest, *meetv1.RecordingJobResponse]           = "meet.cmd.recording.share"
	RecordingExported  Command[*meetv1.RecordingExportedRequest, *meetv1.RecordingExportedResponse]   = "meet.cmd.recording.exported"
	ExportVerified     Command[*meetv1.ExportVerifiedRequest, *meetv1.ExportVerifiedResponse]         = "meet.cmd.recording.verified"
	ExportDeleted      Command[*meetv1.ExportDeletedRequest, *meetv1.ExportDeletedResponse]           = "meet.cmd.recording.export_deleted"
	RecordingShared    Command[*meetv1.RecordingSharedRequest, *meetv1.RecordingSharedResponse]       = "meet.cmd.recording.shared"
	SetLegalHold       Command[*meetv1.SetLegalHoldRequest, *meetv1.SetLegalHoldResponse]             = "meet.cmd.meeting.hold"
	RunHousekeeping    Command[*meetv1.RunHousekeepingRequest, *meetv1.RunHousekeepingResponse]       = "meet.cmd.housekeeping.run"
	CreateUser         Command[*meetv1.CreateUserRequest, *meetv1.UserResponse]                       = "meet.cmd.user.create"
	UpdateUser         Command[*meetv1.UpdateUserRequest, *meetv1.UserResponse]                       = "meet.cmd.user.update"

	CreateKey    Command[*meetv1.StoreKeyRequest, *meetv1.StoreKeyResponse]         = "meet.cmd.access.create_key"
	RotateKey    Command[*meetv1.StoreRotatedKeyRequest, *meetv1.StoreKeyResponse]  = "meet.cmd.access.rotate_key"
	RevokeKey    Command[*meetv1.RevokeKeyRequest, *meetv1.StoreKeyResponse]        = "meet.cmd.access.revoke_key"
	OpenSession  Command[*meetv1.OpenSessionRequest, *meetv1.OpenSessionResponse]   = "meet.cmd.access.open_session"
	CloseSession Command[*meetv1.CloseSessionRequest, *meetv1.CloseSessionResponse] = "meet.cmd.access.close_session"
	OfferAdmin   Command[*meetv1.OfferAdminRequest, *meetv1.OfferAdminResponse]     = "meet.cmd.access.offer_admin"
	ClaimAdmin   Command[*meetv1.ClaimAdminRequest, *meetv1.UserResponse]           = "meet.cmd.access.claim_admin"
	RecordAudit  Command[*meetv1.RecordAuditRequest, *meetv1.RecordAuditResponse]   = "meet.cmd.audit.record"
	ErasePerson  Command[*meetv1.ErasePersonRequest, *meetv1.ErasePersonResponse]   = "meet.cmd.privacy.erase"
)

// The queries; the last two tokens are who answers and the method's name.
const (
	GetMeeting        Query[*meetv1.GetMeetingRequest, *meetv1.Meeting]                        = "meet.query.meetings.GetMeeting"
	LookupMeeting     Query[*meetv1.LookupMeetingRequest, *meetv1.Meeting]                     = "meet.query.meetings.LookupMeeting"
	ListMeetings      Query[*meetv1.ListMeetingsRequest, *meetv1.ListMeetingsResponse]         = "meet.query.meetings.ListMeetings"
	ListParticipants  Query[*meetv1.ListParticipantsRequest, *meetv1.ListParticipantsResponse] = "meet.query.meetings.ListParticipants"
	GetParticipant    Query[*meetv1.GetParticipantRequest, *meetv1.Participant]                = "meet.query.meetings.GetParticipant"
	ListRecordings    Query[*meetv1.ListRecordingsRequest, *meetv1.ListRecordingsResponse]     = "meet.query.meetings.ListRecordings"
	GetRecording      Query[*meetv1.GetRecordingRequest, *meetv1.Recording]                    = "meet.query.meetings.GetRecording"
	ListEvents        Query[*meetv1.ListEventsRequest, *meetv1.ListEventsResponse]             = "meet.query.meetings.ListEvents"
	GetOperation      Query[*meetv1.GetOperationRequest, *meetv1.Operation]                    = "meet.query.meetings.GetOperation"
	GetUser           Query[*meetv1.GetUserRequest, *meetv1.User]                              = "meet.query.meetings.GetUser"
	ListUsers         Query[*meetv1.ListUsersRequest, *meetv1.ListUsersResponse]               = "meet.query.meetings.ListUsers"
	GetUserStats      Query[*meetv1.GetUserStatsRequest, *meetv1.UserStats]                    = "meet.query.meetings.GetUserStats"
	VerifyPassword    Query[*meetv1.VerifyPasswordRequest, *meetv1.VerifyPasswordResponse]     = "meet.query.meetings.VerifyPassword"
	CheckHealth       Query[*meetv1.CheckHealthRequest, *meetv1.CheckHealthResponse]           = "meet.query.meetings.CheckHealth"
	GetMeetingWish    Query[*meetv1.GetMeetingWishRequest, *meetv1.GetMeetingWishResponse]     = "meet.query.meetings.GetMeetingWish"
	GetConferencePlan Query[*meetv1.GetConferencePlanRequest, *meetv1.ConferencePlan]          = "meet.query.meetings.GetConferencePlan"
	GetCoverage       Query[*meetv1.GetCoverageRequest, *meetv1.Coverage]                      = "meet.query.meetings.GetCoverage"
	GetAttendance     Query[*meetv1.GetAttendanceRequest, *meetv1.Attendance]                  = "meet.query.meetings.GetAttendance"
	GetTranscript     Query[*meetv1.GetTranscriptRequest, *meetv1.Transcript]                  = "meet.query.meetings.GetTranscript"
	GetJob            Query[*meetv1.GetJobRequest, *meetv1.Job]                                = "meet.query.meetings.GetJob"
	ListJobs          Query[*meetv1.ListJobsRequest, *meetv1.ListJobsResponse]                 = "meet.query.meetings.ListJobs"
	Diagnose          Query[*meetv1.DiagnoseRequest, *meetv1.DiagnoseResponse]                 = "meet.query.scheduler.Diagnose"

	Authenticate Query[*meetv1.AuthenticateRequest, *meetv1.AuthenticateResponse] = "meet.query.meetings.Authenticate"
	CheckLogin   Query[*meetv1.CheckLoginRequest, *meetv1.CheckLoginResponse]     = "meet.query.meetings.CheckLogin"
	GetKey       Query[*meetv1.GetKeyRequest, *meetv1.ApiKey]                     = "meet.query.meetings.GetKey"
	ListKeys     Query[*meetv1.ListKeysRequest, *meetv1.ListKeysResponse]         = "meet.query.meetings.ListKeys"
	ListAudit    Query[*meetv1.ListAuditRequest, *meetv1.ListAuditResponse]       = "meet.query.meetings.ListAudit"
	VerifyAudit  Query[*meetv1.VerifyAuditRequest, *meetv1.VerifyAuditResponse]   = "meet.query.meetings.VerifyAudit"
	ExportPerson Query[*meetv1.ExportPersonRequest, *meetv1.ExportPersonResponse] = "meet.query.meetings.ExportPerson"
)

// The events.
const (
	MeetingCreated         Event[*meetv1.MeetingCreated]         = "meet.evt.meeting.created"
	MeetingReady           Event[*meetv1.MeetingReady]           = "meet.evt.meeting.ready"
	MeetingProvisionFailed Event[*meetv1.MeetingProvisionFailed] = "meet.evt.meeting.provision_failed"
	MeetingUpdated         Event[*meetv1.MeetingUpdated]         = "meet.evt.meeting.updated"
	MeetingRescheduled     Event[*meetv1.MeetingRescheduled]     = "meet.evt.meeting.rescheduled"
	MeetingStatusChanged   Event[*meetv1.MeetingStatusChanged]   = "meet.evt.meeting.status_changed"
	MeetingCancelled       Event[*meetv1.MeetingCancelled]       = "meet.evt.meeting.cancelled"
	MeetingSyncedEvent     Event[*meetv1.MeetingSynced]          = "meet.evt.meeting.synced"
	MeetingSyncFailed      Event[*meetv1.MeetingSyncFailed]      = "meet.evt.meeting.sync_failed"
	MeetingDrifted         Event[*meetv1.MeetingDrifted]         = "meet.evt.meeting.drifted"
	ParticipantResponded   Event[*meetv1.ParticipantResponded]   = "meet.evt.participant.responded"
	MeetingStarted         Event[*meetv1.MeetingStarted]         = "meet.evt.meeting.started"
	MeetingEnded           Event[*meetv1.MeetingEnded]           = "meet.evt.meeting.ended"
	LegalHoldChanged       Event[*meetv1.LegalHoldChanged]       = "meet.evt.meeting.legal_hold_changed"
	ParticipantJoined      Event[*meetv1.ParticipantJoined]      = "meet.evt.participant.joined"
	ParticipantLeft        Event[*meetv1.ParticipantLeft]        = "meet.evt.participant.left"
	ParticipantNoShow      Event[*meetv1.ParticipantNoShow]      = "meet.evt.participant.no_show"
	RecordingStarted       Event[*meetv1.RecordingStarted]       = "meet.evt.recording.started"
	RecordingNotStarted    Event[*meetv1.RecordingNotStarted]    = "meet.evt.recording.not_started"
	RecordingFileGenerated Event[*meetv1.RecordingFileGenerated] = "meet.evt.recording.file_generated"
	RecordingExportedEvent Event[*meetv1.RecordingExported]      = "meet.evt.recording.exported"
	RecordingVerified      Event[*meetv1.RecordingVerified]      = "meet.evt.recording.verified"
	RecordingMismatch      Event[*meetv1.RecordingMismatch]      = "meet.evt.recording.mismatch"
	RecordingMissing       Event[*meetv1.RecordingMissing]       = "meet.evt.recording.missing"
	RecordingDeleted       Event[*meetv1.RecordingDeleted]       = "meet.evt.recording.deleted"
	RecordingSharedEvent   Event[*meetv1.RecordingShared]        = "meet.evt.recording.shared"
	RecordingReport        Event[*meetv1.RecordingReport]        = "meet.evt.recording.report"
	RetentionApplied       Event[*meetv1.RetentionApplied]       = "meet.evt.retention.applied"
	DatabaseRestored       Event[*meetv1.DatabaseRestored]       = "meet.evt.database.restored"
	TranscriptGenerated    Event[*meetv1.TranscriptGenerated]    = "meet.evt.transcript.generated"
	NoticesStateChanged    Event[*meetv1.NoticesStateChanged]    = "meet.evt.notices.state_changed"
	UserCreated            Event[*meetv1.UserCreated]            = "meet.evt.user.created"
	UserUpdated            Event[*meetv1.UserUpdated]            = "meet.evt.user.updated"
)

// The jobs.
const (
	SyncMeeting    Job[*meetv1.SyncMeetingJob]    = "meet.job.google.sync_meeting"
	FollowCalendar Job[*meetv1.FollowCalendarJob] = "meet.job.observe.follow_calendar"
	CheckRecording Job[*meetv1.CheckRecordingJob] = "meet.job.observe.check_recording"
	// SyncRecordingNow is a check that somebody asked for, as a row of its own.
	SyncRecordingNow  Job[*meetv1.CheckRecordingJob]    = "meet.job.observe.sync_recording"
	FollowConferences Job[*meetv1.FollowConferencesJob] = "meet.job.observe.follow_conferences"
	ExportRecording   Job[*meetv1.ExportRecordingJob]   = "meet.job.export.export_recording"
	VerifyExport      Job[*meetv1.VerifyExportJob]      = "meet.job.export.verify_export"
	DeleteExport      Job[*meetv1.DeleteExportJob]      = "meet.job.export.delete_export"
	ShareRecordingJob Job[*meetv1.ShareRecordingJob]    = "meet.job.export.share_recording"
	SyncAll           Job[*meetv1.HousekeepingJob]      = "meet.job.housekeeping.sync_all"
	Report            Job[*meetv1.HousekeepingJob]      = "meet.job.housekeeping.report"
	Retention         Job[*meetv1.HousekeepingJob]      = "meet.job.housekeeping.retention"
)

// Core NATS subjects.
const (
	// ServiceMeetings and ServiceScheduler are the NATS micro services that answer queries; a query's subject names its own.
	ServiceMeetings  = "meetings"
	ServiceScheduler = "scheduler"
	// RelayWake is published after a commit, so that the active relay need not poll.
	RelayWake = "meet.wake.relay"
	// DonePrefix plus an operation's id wakes whoever waits for it.
	DonePrefix = "meet.done."
	// GoogleState is published by a scheduler when one of Google's APIs goes down or comes back, and every few seconds while it
	// is down: a GoogleAPIState as JSON.
	GoogleState = "meet.state.google"
	// AccessChanged is published after a commit that ends or changes what a credential may: a key, a session, a user. Its body
	// names the principal, such as key:mm_live_7Kq2mXa9 or user:12; empty: drop all that is remembered.
	AccessChanged = "meet.access.changed"
	// SchedulerAlive is published by each scheduler every few seconds, with a name of its own for this run.
	SchedulerAlive = "meet.state.scheduler"

	commandPrefix = "meet.cmd."
	queryPrefix   = "meet.query."
	eventPrefix   = "meet.evt."
	deadPrefix    = "meet.dead."
)

// GoogleAPIState says how an API of Google is doing.
type GoogleAPIState struct {
	API string `json:"api"` // "calendar", "meet", "drive", "events"
	// State is "closed" (it works), "open" (it is not asked) or "half_open" (one call tries it).
	State string `json:"state"`
	// Failures in a row, of all schedulers together.
	Failures int `json:"failures,omitempty"`
	// Since is when it went down.
	Since time.Time `json:"since,omitzero"`
	// Until is when it is tried again.
	Until time.Time `json:"until,omitzero"`
}

// Type is the CloudEvents type of an event, such as "meeting.created".
func (e Event[Body]) Type() string { return strings.TrimPrefix(string(e), eventPrefix) }

// OfEvent is the subject that an event of this CloudEvents type is published on.
func OfEvent(ceType string) string { return eventPrefix + ceType }

// OfCommand is the subject of a command's aggregate and verb, such as "meeting.create".
func OfCommand(action string) string { return commandPrefix + action }

// OfQuery is the subject of a method that a service answers.
func OfQuery(service, method string) string { return queryPrefix + service + "." + method }

// Method is the last token of a query's subject.
func (q Query[Req, Resp]) Method() string { return string(q)[strings.LastIndexByte(string(q), '.')+1:] }

// Service is the NATS micro service that answers the query: the token before the method.
func (q Query[Req, Resp]) Service() string { return strings.Split(string(q), ".")[2] }

// OfJob is the subject of a job row's class and kind.
func OfJob(class, kind string) string { return "meet.job." + class + "." + kind }

// Class is the job's class, such as "google"; each class has a consumer of its own.
func (j Job[Body]) Class() string { return strings.Split(string(j), ".")[2] }

// Kind is the job's kind within its class, such as "sync_meeting".
func (j Job[Body]) Kind() string { return strings.Split(string(j), ".")[3] }

// Done is the core NATS subject that wakes whoever waits for the operation.
func Done(operation string) string { return DonePrefix + operation }

// Dead is where a message of the stream goes that nobody could decode or that made its handler panic; was is its subject.
func Dead(stream, was string) string { return deadPrefix + stream + "." + was }
