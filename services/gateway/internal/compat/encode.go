package compat

import (
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

// The answers. The order of the fields is the order on the wire: first those that clients have always known.

// Meeting is what a create and a change answer.
type Meeting struct {
	ID                 int64    `json:"id"`
	GoogleEventID      string   `json:"google_event_id" doc:"Empty until Google gave it; a bare space has none."`
	MeetLink           string   `json:"meet_link" doc:"Empty until Google gave it. Opaque."`
	Organizer          int64    `json:"organizer" doc:"The user's id."`
	OrganizerUsername  string   `json:"organizer_username"`
	OrganizerEmail     string   `json:"organizer_email" format:"email"`
	InvitedEmails      []string `json:"invited_emails" nullable:"false"`
	ScheduledStart     *string  `json:"scheduled_start" format:"date-time"`
	ScheduledEnd       *string  `json:"scheduled_end" format:"date-time"`
	Status             string   `json:"status" enum:"CREATED,SCHEDULED,FINISHED,CANCELLED"`
	StatusDisplay      string   `json:"status_display" enum:"Created,Scheduled,Finished,Cancelled"`
	ConferenceRecordID *string  `json:"conference_record_id" doc:"Google's name of the last conference; null until one was held."`
	ParticipantsCount  int32    `json:"participants_count" doc:"Counts the organizer."`
	HasRecording       bool     `json:"has_recording"`
	CreatedAt          string   `json:"created_at" format:"date-time"`
	UpdatedAt          string   `json:"updated_at" format:"date-time"`
	MeetingMore
}

// MeetingDetail is one meeting with the people and the recording.
type MeetingDetail struct {
	ID                 int64         `json:"id"`
	GoogleEventID      string        `json:"google_event_id" doc:"Empty until Google gave it; a bare space has none."`
	MeetLink           string        `json:"meet_link" doc:"Empty until Google gave it. Opaque."`
	Organizer          User          `json:"organizer"`
	OrganizerUsername  string        `json:"organizer_username"`
	OrganizerEmail     string        `json:"organizer_email" format:"email"`
	InvitedEmails      []string      `json:"invited_emails" nullable:"false"`
	ScheduledStart     *string       `json:"scheduled_start" format:"date-time"`
	ScheduledEnd       *string       `json:"scheduled_end" format:"date-time"`
	Status             string        `json:"status" enum:"CREATED,SCHEDULED,FINISHED,CANCELLED"`
	StatusDisplay      string        `json:"status_display" enum:"Created,Scheduled,Finished,Cancelled"`
	ConferenceRecordID *string       `json:"conference_record_id" doc:"Google's name of the last conference; null until one was held."`
	ParticipantsCount  int32         `json:"participants_count" doc:"Counts the organizer."`
	HasRecording       bool          `json:"has_recording"`
	CreatedAt          string        `json:"created_at" format:"date-time"`
	UpdatedAt          string        `json:"updated_at" format:"date-time"`
	Participants       []Participant `json:"participants" nullable:"false"`
	Recording          *Recording    `json:"recording" doc:"The longest one; null while there is none."`
	MeetingMore
}

// MeetingMore is what newer clients know of a meeting.
type MeetingMore struct {
	UID               string `json:"uid" format:"uuid"`
	ExternalReference string `json:"external_reference"`
	AutoRecord        bool   `json:"auto_record"`
	ETag              string `json:"etag" doc:"The entity tag, quotes included; for If-Match."`
	Provisioning      string `json:"provisioning" enum:"pending,ready,failed" doc:"Whether Google has made the link."`
	GoogleSync        string `json:"google_sync" enum:"pending,ok,failed" doc:"Whether Google's copy equals the meeting."`
	RecordingState    string `json:"recording_state" enum:"not_expected,expected,started,ended,file_generated,exported,verified,missing"`
	RecordingReason   string `json:"recording_reason" example:"FILE_DELETED" doc:"Why the recording that is expected may not come, or is missing; empty while nothing is wrong. The reasons are in docs/recordings.md, and more may come."`
	Simulated         bool   `json:"simulated" doc:"True only when the link was made by the Google emulator."`
	LegalHold         bool   `json:"legal_hold" doc:"What belongs to it is kept beyond any retention."`
	LegalHoldReason   string `json:"legal_hold_reason"`
}

// MeetingSummary is a row of the list.
type MeetingSummary struct {
	ID             int64   `json:"id"`
	GoogleEventID  string  `json:"google_event_id"`
	MeetLink       string  `json:"meet_link"`
	OrganizerName  string  `json:"organizer_name" doc:"Full name, or the username where none is set."`
	ScheduledStart *string `json:"scheduled_start" format:"date-time"`
	Status         string  `json:"status" enum:"CREATED,SCHEDULED,FINISHED,CANCELLED"`
	StatusDisplay  string  `json:"status_display" enum:"Created,Scheduled,Finished,Cancelled"`
	CreatedAt      string  `json:"created_at" format:"date-time"`
}

// PendingMeeting is the answer while Google has not made the link.
type PendingMeeting struct {
	ID           int64  `json:"id"`
	Status       string `json:"status" enum:"CREATED,SCHEDULED,FINISHED,CANCELLED"`
	Provisioning string `json:"provisioning" enum:"pending,ready,failed"`
	Operation    string `json:"operation" doc:"To follow under operations/{id}/."`
}

// MeetingMessage says something about a meeting.
type MeetingMessage struct {
	Message   string `json:"message"`
	MeetingID int64  `json:"meeting_id"`
}

// CancelledMeeting answers a cancel.
type CancelledMeeting struct {
	Message   string `json:"message"`
	MeetingID int64  `json:"meeting_id"`
	Status    string `json:"status" enum:"CANCELLED"`
}

// Operation is a create under way.
type Operation struct {
	ID        string   `json:"id"`
	Done      bool     `json:"done"`
	MeetingID int64    `json:"meeting_id"`
	Status    string   `json:"status" enum:"CREATED,SCHEDULED,FINISHED,CANCELLED" doc:"The meeting's status."`
	Error     *Failure `json:"error" doc:"Null while under way or when it succeeded."`
}

// Failure says why something failed.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Event is one fact of a meeting's history, in the attributes of a CloudEvent.
type Event struct {
	ID       string      `json:"id" format:"uuid"`
	Sequence int64       `json:"sequence" doc:"Place in the event log of all meetings; without a gap but for the one before database.restored."`
	Type     string      `json:"type" example:"meeting.created"`
	Subject  string      `json:"subject" doc:"The meeting's uid."`
	Time     string      `json:"time" format:"date-time"`
	Data     rawDocument `json:"data"`
}

// rawDocument is a JSON object that is passed on as it is kept.
type rawDocument string

// MarshalJSON is the document; an event without one shows an empty object.
func (d rawDocument) MarshalJSON() ([]byte, error) {
	if d == "" {
		return []byte("{}"), nil
	}
	return []byte(d), nil
}

// Schema is that of any object.
func (rawDocument) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// Participant is one invited person.
type Participant struct {
	ID             int64   `json:"id"`
	Meeting        int64   `json:"meeting"`
	Email          string  `json:"email" format:"email"`
	Role           string  `json:"role" enum:"organizer,guest"`
	RoleDisplay    string  `json:"role_display" enum:"Organizer,Guest"`
	CreatedAt      string  `json:"created_at" format:"date-time"`
	ResponseStatus *string `json:"response_status" doc:"Google's word: needsAction, declined, tentative or accepted; null until known."`
	JoinedAt       *string `json:"joined_at" format:"date-time"`
	LeftAt         *string `json:"left_at" format:"date-time"`
}

// User is somebody who organizes meetings or uses the service.
type User struct {
	ID          int64  `json:"id"`
	Username    string `json:"username"`
	Email       string `json:"email"`
	FirstName   string `json:"first_name"`
	LastName    string `json:"last_name"`
	FullName    string `json:"full_name"`
	Role        string `json:"role" enum:"admin,service,external"`
	RoleDisplay string `json:"role_display" enum:"Administrator,Service User,External User"`
	IsActive    bool   `json:"is_active"`
	DateJoined  string `json:"date_joined" format:"date-time"`
}

// UserStats counts users.
type UserStats struct {
	TotalUsers    int64       `json:"total_users"`
	ActiveUsers   int64       `json:"active_users"`
	InactiveUsers int64       `json:"inactive_users"`
	ByRole        UsersByRole `json:"by_role"`
}

// UsersByRole counts active users.
type UsersByRole struct {
	Admin    int64 `json:"admin"`
	Service  int64 `json:"service"`
	External int64 `json:"external"`
}

// UserMessage says what was done to a user.
type UserMessage struct {
	Message  string `json:"message"`
	UserID   int64  `json:"user_id"`
	Username string `json:"username"`
}

// Message says something to a person.
type Message struct {
	Message string `json:"message"`
}

type detailBody struct {
	Detail string `json:"detail"`
}

type refusedBody struct {
	Error     string `json:"error" doc:"What Google refused and what to do about it."`
	Code      string `json:"code" doc:"Stable, for programs."`
	MeetingID *int64 `json:"meeting_id"`
}

type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code" doc:"Stable, for programs."`
}

// The names of the states as clients know them; each set is written once, as a switch that a linter keeps complete, and read
// the other way through byName.

// byName is every value of an enum by the name that clients have for it.
func byName[E ~int32](values map[int32]string, name func(E) string) map[string]E {
	named := make(map[string]E, len(values))
	for n := range values {
		if shown := name(E(n)); shown != "" {
			named[shown] = E(n)
		}
	}
	return named
}

func statusName(s meetv1.MeetingStatus) (name, display string) {
	switch s {
	case meetv1.MeetingStatus_MEETING_STATUS_CREATED:
		return "CREATED", "Created"
	case meetv1.MeetingStatus_MEETING_STATUS_SCHEDULED:
		return "SCHEDULED", "Scheduled"
	case meetv1.MeetingStatus_MEETING_STATUS_FINISHED:
		return "FINISHED", "Finished"
	case meetv1.MeetingStatus_MEETING_STATUS_CANCELLED:
		return "CANCELLED", "Cancelled"
	case meetv1.MeetingStatus_MEETING_STATUS_UNSPECIFIED:
	}
	return "", ""
}

var statusesByName = byName[meetv1.MeetingStatus](meetv1.MeetingStatus_name, func(v meetv1.MeetingStatus) string { name, _ := statusName(v); return name })

func roleName(r meetv1.UserRole) (name, display string) {
	switch r {
	case meetv1.UserRole_USER_ROLE_ADMIN:
		return "admin", "Administrator"
	case meetv1.UserRole_USER_ROLE_SERVICE:
		return "service", "Service User"
	case meetv1.UserRole_USER_ROLE_EXTERNAL:
		return "external", "External User"
	case meetv1.UserRole_USER_ROLE_UNSPECIFIED:
	}
	return "", ""
}

var rolesByName = byName[meetv1.UserRole](meetv1.UserRole_name, func(v meetv1.UserRole) string { name, _ := roleName(v); return name })

func participantRoleName(r meetv1.ParticipantRole) (name, display string) {
	switch r {
	case meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER:
		return "organizer", "Organizer"
	case meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST:
		return "guest", "Guest"
	case meetv1.ParticipantRole_PARTICIPANT_ROLE_UNSPECIFIED:
	}
	return "", ""
}

func provisioningName(p meetv1.Provisioning) string {
	switch p {
	case meetv1.Provisioning_PROVISIONING_PENDING:
		return "pending"
	case meetv1.Provisioning_PROVISIONING_READY:
		return "ready"
	case meetv1.Provisioning_PROVISIONING_FAILED:
		return "failed"
	case meetv1.Provisioning_PROVISIONING_UNSPECIFIED:
	}
	return ""
}

func syncName(s meetv1.GoogleSync) string {
	switch s {
	case meetv1.GoogleSync_GOOGLE_SYNC_PENDING:
		return "pending"
	case meetv1.GoogleSync_GOOGLE_SYNC_OK:
		return "ok"
	case meetv1.GoogleSync_GOOGLE_SYNC_FAILED:
		return "failed"
	case meetv1.GoogleSync_GOOGLE_SYNC_UNSPECIFIED:
	}
	return ""
}

func recordingStateName(s meetv1.RecordingState) string {
	switch s {
	case meetv1.RecordingState_RECORDING_STATE_NOT_EXPECTED:
		return "not_expected"
	case meetv1.RecordingState_RECORDING_STATE_EXPECTED:
		return "expected"
	case meetv1.RecordingState_RECORDING_STATE_STARTED:
		return "started"
	case meetv1.RecordingState_RECORDING_STATE_ENDED:
		return "ended"
	case meetv1.RecordingState_RECORDING_STATE_FILE_GENERATED:
		return "file_generated"
	case meetv1.RecordingState_RECORDING_STATE_EXPORTED:
		return "exported"
	case meetv1.RecordingState_RECORDING_STATE_VERIFIED:
		return "verified"
	case meetv1.RecordingState_RECORDING_STATE_MISSING:
		return "missing"
	case meetv1.RecordingState_RECORDING_STATE_UNSPECIFIED:
	}
	return ""
}

var recordingStates = byName[meetv1.RecordingState](meetv1.RecordingState_name, recordingStateName)

// timeText is a time as clients read it: UTC with Z, microseconds only when there are any.
func timeText(t *timestamppb.Timestamp) string {
	at := t.AsTime()
	if at.Nanosecond() < int(time.Microsecond) {
		return at.Format("2006-01-02T15:04:05Z")
	}
	return at.Format("2006-01-02T15:04:05.000000Z")
}

func optionalTime(t *timestamppb.Timestamp) *string {
	if t == nil {
		return nil
	}
	s := timeText(t)
	return &s
}

// optional is null for what is not known.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optionalID is null for no thing.
func optionalID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func moreOf(m *meetv1.Meeting) MeetingMore {
	return MeetingMore{
		UID: m.GetUid(), ExternalReference: m.GetExternalReference(), AutoRecord: m.GetAutoRecord(), ETag: m.GetEtag(),
		Provisioning: provisioningName(m.GetProvisioning()), GoogleSync: syncName(m.GetGoogleSync()),
		RecordingState: recordingStateName(m.GetRecordingState()), RecordingReason: m.GetRecordingReason(), Simulated: m.GetSimulated(),
		LegalHold: m.GetLegalHold(), LegalHoldReason: m.GetLegalHoldReason(),
	}
}

func meetingOfProto(m *meetv1.Meeting) *Meeting {
	status, display := statusName(m.GetStatus())
	return &Meeting{
		ID: m.GetId(), GoogleEventID: m.GetGoogleEventId(), MeetLink: m.GetMeetLink(), Organizer: m.GetOrganizerId(),
		OrganizerUsername: m.GetOrganizerUsername(), OrganizerEmail: m.GetOrganizerEmail(), InvitedEmails: list(m.GetInvitedEmails()),
		ScheduledStart: optionalTime(m.GetScheduledStart()), ScheduledEnd: optionalTime(m.GetScheduledEnd()),
		Status: status, StatusDisplay: display, ConferenceRecordID: optional(m.GetConferenceRecordId()),
		ParticipantsCount: m.GetParticipantsCount(), HasRecording: m.GetHasRecording(),
		CreatedAt: timeText(m.GetCreatedAt()), UpdatedAt: timeText(m.GetUpdatedAt()), MeetingMore: moreOf(m),
	}
}

// meetingDetail is one meeting with all that belongs to it, as the caller reads it.
func (x *exchange) meetingDetail(m *meetv1.Meeting) *MeetingDetail {
	status, display := statusName(m.GetStatus())
	var recording *Recording
	if m.GetRecording() != nil {
		longest := x.recording(m.GetRecording())
		recording = &longest
	}
	return &MeetingDetail{
		ID: m.GetId(), GoogleEventID: m.GetGoogleEventId(), MeetLink: m.GetMeetLink(), Organizer: userOfProto(m.GetOrganizer()),
		OrganizerUsername: m.GetOrganizerUsername(), OrganizerEmail: m.GetOrganizerEmail(), InvitedEmails: list(m.GetInvitedEmails()),
		ScheduledStart: optionalTime(m.GetScheduledStart()), ScheduledEnd: optionalTime(m.GetScheduledEnd()),
		Status: status, StatusDisplay: display, ConferenceRecordID: optional(m.GetConferenceRecordId()),
		ParticipantsCount: m.GetParticipantsCount(), HasRecording: m.GetHasRecording(),
		CreatedAt: timeText(m.GetCreatedAt()), UpdatedAt: timeText(m.GetUpdatedAt()),
		Participants: each(m.GetParticipants(), participantOfProto), Recording: recording, MeetingMore: moreOf(m),
	}
}

func summaryOfProto(m *meetv1.MeetingSummary) MeetingSummary {
	status, display := statusName(m.GetStatus())
	return MeetingSummary{
		ID: m.GetId(), GoogleEventID: m.GetGoogleEventId(), MeetLink: m.GetMeetLink(), OrganizerName: m.GetOrganizerName(),
		ScheduledStart: optionalTime(m.GetScheduledStart()), Status: status, StatusDisplay: display, CreatedAt: timeText(m.GetCreatedAt()),
	}
}

func participantOfProto(p *meetv1.Participant) Participant {
	role, display := participantRoleName(p.GetRole())
	return Participant{
		ID: p.GetId(), Meeting: p.GetMeetingId(), Email: p.GetEmail(), Role: role, RoleDisplay: display, CreatedAt: timeText(p.GetCreatedAt()),
		ResponseStatus: optional(p.GetResponseStatus()), JoinedAt: optionalTime(p.GetJoinedAt()), LeftAt: optionalTime(p.GetLeftAt()),
	}
}

func userOfProto(u *meetv1.User) User {
	role, display := roleName(u.GetRole())
	return User{
		ID: u.GetId(), Username: u.GetUsername(), Email: u.GetEmail(), FirstName: u.GetFirstName(), LastName: u.GetLastName(),
		FullName: strings.TrimSpace(u.GetFirstName() + " " + u.GetLastName()), Role: role, RoleDisplay: display,
		IsActive: u.GetIsActive(), DateJoined: timeText(u.GetDateJoined()),
	}
}

// each encodes a list; never null.
func each[In, Out any](in []In, encode func(In) Out) []Out {
	out := make([]Out, 0, len(in))
	for _, v := range in {
		out = append(out, encode(v))
	}
	return out
}
