package job

import "time"

// ConferencePlan is what is to be read of conferences, and in whose name.
type ConferencePlan struct {
	// Account owns the spaces.
	Account string
	// ListFrom and ListUntil: the conferences that began in between are to be listed; both zero: no listing.
	ListFrom, ListUntil time.Time
	// Spaces are those whose conferences are wanted; empty: all.
	Spaces []string
	// Looks are at conferences that are known, Fresh is at those in FreshSpace that the listing shows beside them.
	Looks      []Look
	Fresh      Look
	FreshSpace string
	// Upkeep: the subscription is to be seen to as well.
	Upkeep bool
	// Subscription is the one that is kept; Subscribe tells whether one is needed.
	Subscription Subscription
	Subscribe    bool
}

// Listing tells whether there is one to make.
func (p *ConferencePlan) Listing() bool { return !p.ListFrom.IsZero() || !p.ListUntil.IsZero() }

// Look is what to read of one conference.
type Look struct {
	// Record is conferenceRecords/…
	Record string
	// Itself is the record, for its times.
	Itself                                                              bool
	Recordings, Files, Attendees, Stays, Transcripts, TranscriptEntries bool
}

// Held is one time that people were in a space, as Google tells. What was not read is absent.
type Held struct {
	// Record is conferenceRecords/…, Space spaces/….
	Record, Space string
	Started       time.Time
	// Ended is zero while it runs, or where Read is false.
	Ended, Expires time.Time
	// Read: the record itself was.
	Read bool
	// Gone: Google does not show the record, or does not any more.
	Gone bool
	// Each of these tells that what follows it is all that there is.
	RecordingsRead  bool
	Recordings      []Recording
	AttendeesRead   bool
	Attendees       []Attendee
	TranscriptsRead bool
	Transcripts     []Transcript
}

// Recording of a conference.
type Recording struct {
	// Name is conferenceRecords/…/recordings/…
	Name string
	// State is STARTED, ENDED or FILE_GENERATED (Meet API, Recording.state).
	State          string
	Started, Ended time.Time
	// FileID is of Drive; empty while there is none. ExportURI is where a person plays it.
	FileID, ExportURI string
	// File is nil where it was not looked at.
	File *File
}

// FileState tells whether a file is there.
type FileState string

// The states.
const (
	FilePresent FileState = "present"
	// FileTrashed: its owner deleted it, and can bring it back.
	FileTrashed FileState = "trashed"
	// FileGone: deleted for good, or hidden from the account.
	FileGone FileState = "gone"
)

// File is a file in Drive.
type File struct {
	State          FileState
	Name, MIMEType string
	Size           int64
	// SHA256 and MD5 are hex; empty while Drive has not computed them.
	SHA256, MD5 string
	// Duration is 0 while unknown.
	Duration time.Duration
	Link     string
}

// AttendeeKind is how somebody came.
type AttendeeKind string

// The kinds.
const (
	AttendeeSignedIn  AttendeeKind = "signed_in"
	AttendeeAnonymous AttendeeKind = "anonymous"
	AttendeePhone     AttendeeKind = "phone"
)

// Attendee is one person, or one phone, that was in a conference.
type Attendee struct {
	// Name is conferenceRecords/…/participants/…
	Name string
	Kind AttendeeKind
	// User is users/…, of whoever signed in; Email is what the directory says of it.
	User, DisplayName, Email string
	// Left is zero while in the room.
	Joined, Left time.Time
	StaysRead    bool
	Stays        []Stay
}

// Stay is one join with one device.
type Stay struct {
	// Name is conferenceRecords/…/participants/…/participantSessions/…
	Name         string
	Joined, Left time.Time
}

// Transcript of a conference.
type Transcript struct {
	// Name is conferenceRecords/…/transcripts/…
	Name string
	// State is as that of a recording.
	State                 string
	Started, Ended        time.Time
	DocumentID, ExportURI string
	EntriesRead           bool
	Entries               []Entry
}

// Entry is what one person said in one go.
type Entry struct {
	// Name is conferenceRecords/…/transcripts/…/entries/…, Attendee conferenceRecords/…/participants/….
	Name, Attendee string
	Text, Language string
	Started, Ended time.Time
}
