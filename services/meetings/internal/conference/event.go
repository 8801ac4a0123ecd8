package conference

import (
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// StartedEvent says that people are in the meeting's space.
type StartedEvent struct {
	meeting.Fact
	Conference *Conference
}

// EndedEvent says that the last one left.
type EndedEvent struct {
	meeting.Fact
	Conference *Conference
}

// JoinedEvent says that somebody came. Attendee says who, as far as that was known then.
type JoinedEvent struct {
	meeting.Fact
	Attendee *Attendee
	JoinedAt time.Time
	// Session is Google's name; empty where sessions are not read.
	Session string
}

// LeftEvent says that somebody left.
type LeftEvent struct {
	meeting.Fact
	Attendee         *Attendee
	JoinedAt, LeftAt time.Time
	Session          string
}

// NoShowEvent says that the meeting is over and an invited person was not seen.
type NoShowEvent struct {
	meeting.Fact
	ParticipantID int64
	// Certain: nobody was there who might be this person.
	Certain bool
}

// RecordingStartedEvent says that Google records.
type RecordingStartedEvent struct {
	meeting.Fact
	Recording *Recording
}

// NotStartedEvent says that people have been in the room for ten minutes and nothing is recorded.
type NotStartedEvent struct {
	meeting.Fact
	Conference *Conference
	// Reason is what is known of why; empty when nothing is.
	Reason string
}

// FileGeneratedEvent says that the recording's file is in Drive.
type FileGeneratedEvent struct {
	meeting.Fact
	Recording *Recording
}

// MissingEvent says that a meeting that was to be recorded has no recording.
type MissingEvent struct {
	meeting.Fact
	Reason, Message string
}

// TranscriptEvent says that the transcript is there.
type TranscriptEvent struct {
	meeting.Fact
	Transcript *Transcript
}

func about(m *meeting.Meeting) meeting.Fact { return meeting.Fact{Meeting: m} }
