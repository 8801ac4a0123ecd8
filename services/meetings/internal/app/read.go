package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Reads is what the queries ask of the store. A thing that is not there is a [fault.NotFound].
type Reads interface {
	MeetingDetail(ctx context.Context, ref meeting.Ref) (*MeetingDetail, error)
	LookupMeeting(ctx context.Context, by Lookup) (*MeetingDetail, error)
	ListMeetings(ctx context.Context, f MeetingFilter) ([]MeetingRow, error)
	ListParticipants(ctx context.Context, meetingID meeting.ID, page Page) ([]Participant, error)
	Participant(ctx context.Context, id int64) (*Participant, error)
	Recording(ctx context.Context, id int64) (*Recording, error)
	ListEvents(ctx context.Context, meetingID meeting.ID, page Page) ([]LoggedEvent, error)
	Operation(ctx context.Context, id uuid.UUID) (*Operation, error)
	User(ctx context.Context, id account.ID, inactive bool) (*account.User, error)
	ListUsers(ctx context.Context, f UserFilter) ([]account.User, error)
	UserStats(ctx context.Context) (UserStats, error)
	// Wishes are meetings with their guests and their job's dispatch, for the scheduler.
	Wishes(ctx context.Context, ids []meeting.ID) ([]*meeting.Meeting, error)
	Ping(ctx context.Context) error
	Owners
	Records
}

// MeetingDetail is a meeting with everything a client is shown.
type MeetingDetail struct {
	Meeting      *meeting.Meeting
	Organizer    *account.User
	Participants []Participant
	// Recording is the longest; nil when there is none.
	Recording *Recording
}

// Participant is one person of a meeting.
type Participant struct {
	ID                          int64
	MeetingID                   meeting.ID
	Email                       string
	Organizer, Invited          bool
	ResponseStatus              string
	JoinedAt, LeftAt, CreatedAt time.Time
}

// Recording is one file of a meeting.
type Recording struct {
	ID                                           int64
	MeetingID                                    meeting.ID
	DriveFileID, DriveFileURL, ExportURI, SHA256 string
	State                                        meeting.RecordingState
	// DurationSeconds and SizeBytes are nil while unknown.
	DurationSeconds, SizeBytes                 *int64
	StartedAt, EndedAt, AvailableAt, CreatedAt time.Time
	RecordingCopy
}

// Lookup names a meeting by the one field that is set.
type Lookup struct {
	ExternalReference, GoogleEventID, MeetingCode string
	// Owner: only among this organizer's; 0: any.
	Owner int64
}

// Page bounds a list; After is the last number of the page before, 0 at first.
type Page struct {
	After int64
	Limit int
	// Owner: only what belongs to this organizer's meetings; 0: all.
	Owner int64
}

// MeetingFilter picks meetings; zero fields do not filter. Newest first.
type MeetingFilter struct {
	Page
	OrganizerID        int64
	Status             meeting.Status
	StartFrom, StartTo time.Time
	ExternalReference  string
	InvitedEmail       string
	Recording          meeting.RecordingState
}

// MeetingRow is a meeting in a list.
type MeetingRow struct {
	ID                      meeting.ID
	UID                     string
	GoogleEventID, MeetLink string
	OrganizerName           string
	Start                   time.Time
	Status                  meeting.Status
	CreatedAt               time.Time
}

// UserFilter picks users; zero fields do not filter. Newest first.
type UserFilter struct {
	Page
	Role                    account.Role
	EmailPart, UsernamePart string
	Inactive                bool
	// ID: only this one; 0: any.
	ID int64
}

// UserStats counts users; by role only active ones.
type UserStats struct{ Total, Active, Admins, Services, Externals int64 }

// LoggedEvent is a fact with its place in the log.
type LoggedEvent struct {
	EventRow
	Seq        int64
	OccurredAt time.Time
}

// Operation is what has become of a create or a retry.
type Operation struct {
	ID           string
	MeetingID    meeting.ID
	Status       meeting.Status
	Provisioning meeting.Provisioning
	Failure      meeting.Failure
}
