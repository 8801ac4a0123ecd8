// Package conference holds the rules about what was held in the spaces of our meetings: what an observation or a notice changes,
// which facts follow, how far a meeting's recording has come, and when to look next. Whatever the order in which readings and
// notices come, and however often, the same is known in the end. It does no I/O and asks no clock.
package conference

import (
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// ID numbers a conference.
type ID int64

// Conference is one time that people were in a meeting's space.
type Conference struct {
	ID      ID
	Meeting meeting.ID
	// Record is Google's name: conferenceRecords/….
	Record string
	// Account is in whose name it is read.
	Account   string
	StartedAt time.Time
	// EndedAt is zero while it runs; EndExact: Google itself told it, else it is a notice's time.
	EndedAt  time.Time
	EndExact bool
	// ExpiresAt is when Google forgets it; zero while unknown.
	ExpiresAt time.Time
	// Source is how it became known.
	Source Source
	// When what was read after its end, for good; zero: not yet.
	RecordingsReadAt, AttendeesReadAt, SessionsReadAt, TranscriptsReadAt time.Time
	// NotStartedTold: recording.not_started was told.
	NotStartedTold bool
	CreatedAt      time.Time

	Recordings  []*Recording
	Transcripts []*Transcript
	// Attendees are loaded where AttendeesLoaded says so; their number is always known.
	Attendees       []*Attendee
	AttendeesLoaded bool
	AttendeesCount  int

	dirty bool
	// endLearnt: its end was not known before what was just taken in.
	endLearnt bool
}

// Source is how a conference became known.
type Source string

// The sources.
const (
	ByNotice  Source = "notice"
	ByReading Source = "reading"
)

// Kind is what an attendee is to Google; empty while only a notice told of him.
type Kind string

// The kinds.
const (
	SignedIn  Kind = "signed_in"
	Anonymous Kind = "anonymous"
	Phone     Kind = "phone"
)

// Attendee is one person, or one phone, that was in a conference.
type Attendee struct {
	ID int64
	// Name is Google's: conferenceRecords/…/participants/….
	Name string
	Kind Kind
	// User is users/…; empty unless signed in.
	User        string
	DisplayName string
	// Email is where the directory told it.
	Email string
	// FirstJoinedAt is zero while only a leaving is known, LastLeftAt while in the room.
	FirstJoinedAt, LastLeftAt time.Time
	// ParticipantID numbers the invited person that this is; 0: nobody. Match says how sure that is and MatchReason why.
	ParticipantID      int64
	Match, MatchReason string
	// JoinedTold and LeftTold: the facts were told of the person as a whole, because sessions are not read.
	JoinedTold, LeftTold bool
	Sessions             []*Session

	dirty bool
}

// Session is one join with one device.
type Session struct {
	// Name is Google's: conferenceRecords/…/participants/…/participantSessions/….
	Name string
	// JoinedAt is zero where only a notice of the leaving came.
	JoinedAt, LeftAt time.Time
	// Exact: Google itself told the times, else they are notices'.
	Exact                bool
	JoinedTold, LeftTold bool

	dirty bool
}

// ArtifactState is how far Google has come with a recording or a transcript. It only rises.
type ArtifactState uint8

// The artifact states.
const (
	ArtifactStarted ArtifactState = iota + 1
	ArtifactEnded
	ArtifactGenerated
)

// FileState is what Drive has of a recording's file; empty: not looked at.
type FileState string

// The file states.
const (
	FilePresent FileState = "present"
	// FileTrashed: its owner deleted it; it can be brought back.
	FileTrashed FileState = "trashed"
	// FileGone: deleted, or not to be seen by the account.
	FileGone FileState = "gone"
)

// ExportState is how far the copy of a recording has come.
type ExportState string

// The export states.
const (
	// ExportNone: no export is set up, or there is no file yet.
	ExportNone     ExportState = "none"
	ExportPending  ExportState = "pending"
	ExportExported ExportState = "exported"
	ExportVerified ExportState = "verified"
	// ExportMismatch: Drive or the object has other bytes than were streamed.
	ExportMismatch ExportState = "mismatch"
	// ExportGone: the object is not where it was put.
	ExportGone ExportState = "gone"
	// ExportDeleted: retention deleted it.
	ExportDeleted ExportState = "deleted"
	ExportFailed  ExportState = "failed"
)

// Recording is one recording of a conference.
type Recording struct {
	ID int64
	// Name is Google's: conferenceRecords/…/recordings/….
	Name               string
	State              ArtifactState
	StartedAt, EndedAt time.Time
	// AvailableAt is when the file was first known to be there.
	AvailableAt time.Time
	DriveFileID string
	// URL is where a person plays it.
	URL  string
	File File
	// Export is how far its copy has come; package export decides about it.
	Export    ExportState
	CreatedAt time.Time

	dirty bool
}

// File is a recording's file in Drive.
type File struct {
	State           FileState
	Name, MimeType  string
	SizeBytes       int64
	SHA256, MD5     string
	DurationSeconds int64
	CheckedAt       time.Time
}

// Transcript is a transcript of a conference.
type Transcript struct {
	ID                 int64
	Name               string
	State              ArtifactState
	StartedAt, EndedAt time.Time
	DocumentID, URL    string
	// EntriesReadAt is when all that was said was read; zero: not yet.
	EntriesReadAt time.Time
	CreatedAt     time.Time
	// Entries are those of this observation, to be stored; EntriesCount are all that are known, these included.
	Entries      []Entry
	EntriesCount int

	dirty bool
}

// Entry is what one person said in one go.
type Entry struct {
	Name, Attendee, Text, Language string
	StartedAt, EndedAt             time.Time
}

// Ledger is all that is known of what was held of one meeting, with the one row that looks after it.
type Ledger struct {
	Meeting *meeting.Meeting
	// Conferences are by their start, then their record.
	Conferences []*Conference
	// Check is the check_recording row; nil: there is none.
	Check *task.Task
	// NoShows are the numbers of people of whom participant.no_show was told; PeopleLoaded: the meeting's people are known.
	NoShows      map[int64]bool
	PeopleLoaded bool
	// Owner is the account that owns the space, as far as it is known here; its job is not loaded.
	Owner Owner

	presences []Presence
	// hidden: Google does not show a conference that it can't have forgotten.
	hidden bool
}

// Hidden tells whether what was just taken in says that the account is not shown a conference which Google still knows.
func (l *Ledger) Hidden() bool { return l.hidden }

// Presence is when an invited person was there.
type Presence struct {
	ParticipantID    int64
	JoinedAt, LeftAt time.Time
	// NoShow: participant.no_show is told of now or was before.
	NoShow bool
}
