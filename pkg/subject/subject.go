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
	CreateMeeting    Command[*meetv1.CreateMeetingRequest, *meetv1.CreateMeetingResponse]       = "meet.cmd.meeting.create"
	UpdateMeeting    Command[*meetv1.UpdateMeetingRequest, *meetv1.UpdateMeetingResponse]       = "meet.cmd.meeting.update"
	CancelMeeting    Command[*meetv1.CancelMeetingRequest, *meetv1.CancelMeetingResponse]       = "meet.cmd.meeting.cancel"
	ProvisionMeeting Command[*meetv1.ProvisionMeetingRequest, *meetv1.ProvisionMeetingResponse] = "meet.cmd.meeting.provision"
	MeetingSynced    Command[*meetv1.MeetingSyncedRequest, *meetv1.MeetingSyncedResponse]       = "meet.cmd.meeting.synced"
	CalendarFollowed Command[*meetv1.CalendarFollowedRequest, *meetv1.CalendarFollowedResponse] = "meet.cmd.calendar.followed"
	CalendarNoticed  Command[*meetv1.CalendarNoticedRequest, *meetv1.CalendarNoticedResponse]   = "meet.cmd.calendar.noticed"
	CreateUser       Command[*meetv1.CreateUserRequest, *meetv1.UserResponse]                   = "meet.cmd.user.create"
	UpdateUser       Command[*meetv1.UpdateUserRequest, *meetv1.UserResponse]                   = "meet.cmd.user.update"
)

// The queries; the last two tokens are who answers and the method's name.
const (
	GetMeeting       Query[*meetv1.GetMeetingRequest, *meetv1.Meeting]                        = "meet.query.meetings.GetMeeting"
	LookupMeeting    Query[*meetv1.LookupMeetingRequest, *meetv1.Meeting]                     = "meet.query.meetings.LookupMeeting"
	ListMeetings     Query[*meetv1.ListMeetingsRequest, *meetv1.ListMeetingsResponse]         = "meet.query.meetings.ListMeetings"
	ListParticipants Query[*meetv1.ListParticipantsRequest, *meetv1.ListParticipantsResponse] = "meet.query.meetings.ListParticipants"
	GetParticipant   Query[*meetv1.GetParticipantRequest, *meetv1.Participant]                = "meet.query.meetings.GetParticipant"
	ListRecordings   Query[*meetv1.ListRecordingsRequest, *meetv1.ListRecordingsResponse]     = "meet.query.meetings.ListRecordings"
	GetRecording     Query[*meetv1.GetRecordingRequest, *meetv1.Recording]                    = "meet.query.meetings.GetRecording"
	ListEvents       Query[*meetv1.ListEventsRequest, *meetv1.ListEventsResponse]             = "meet.query.meetings.ListEvents"
	GetOperation     Query[*meetv1.GetOperationRequest, *meetv1.Operation]                    = "meet.query.meetings.GetOperation"
	GetUser          Query[*meetv1.GetUserRequest, *meetv1.User]                              = "meet.query.meetings.GetUser"
	ListUsers        Query[*meetv1.ListUsersRequest, *meetv1.ListUsersResponse]               = "meet.query.meetings.ListUsers"
	GetUserStats     Query[*meetv1.GetUserStatsRequest, *meetv1.UserStats]                    = "meet.query.meetings.GetUserStats"
	VerifyPassword   Query[*meetv1.VerifyPasswordRequest, *meetv1.VerifyPasswordResponse]     = "meet.query.meetings.VerifyPassword"
	CheckHealth      Query[*meetv1.CheckHealthRequest, *meetv1.CheckHealthResponse]           = "meet.query.meetings.CheckHealth"
	GetMeetingWish   Query[*meetv1.GetMeetingWishRequest, *meetv1.GetMeetingWishResponse]     = "meet.query.meetings.GetMeetingWish"
	Diagnose         Query[*meetv1.DiagnoseRequest, *meetv1.DiagnoseResponse]                 = "meet.query.scheduler.Diagnose"
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
	UserCreated            Event[*meetv1.UserCreated]            = "meet.evt.user.created"
	UserUpdated            Event[*meetv1.UserUpdated]            = "meet.evt.user.updated"
)

// The jobs.
const (
	SyncMeeting    Job[*meetv1.SyncMeetingJob]    = "meet.job.google.sync_meeting"
	FollowCalendar Job[*meetv1.FollowCalendarJob] = "meet.job.observe.follow_calendar"
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
	// SchedulerAlive is published by each scheduler every few seconds, with a name of its own for this run.
	SchedulerAlive = "meet.state.scheduler"

	eventPrefix = "meet.evt."
	deadPrefix  = "meet.dead."
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
