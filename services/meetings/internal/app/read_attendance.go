package app

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/attendance"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Records is what the queries about recordings, conferences and jobs ask of the store. A thing that is not there is a
// [fault.NotFound].
type Records interface {
	FindRecordings(ctx context.Context, f RecordingFilter) ([]Recording, error)
	// Coverage counts in the order of days, then of organizers.
	Coverage(ctx context.Context, f CoverageFilter) ([]CoverageRow, error)
	FindJob(ctx context.Context, id uuid.UUID) (*JobRow, error)
	ListJobs(ctx context.Context, f JobFilter) ([]JobRow, error)
	Attendance(ctx context.Context, ref meeting.Ref) (*Attendance, error)
	Transcript(ctx context.Context, ref meeting.Ref, page EntryPage) (*Transcript, error)
}

// Attendance is what is known of who was invited to a meeting and who was there.
type Attendance struct {
	Meeting      *meeting.Meeting
	Participants []Participant
	Conferences  []Conference
	Attendees    []Attendee
}

// Conference is one time that people were in the meeting's space.
type Conference struct {
	ID     int64
	Record string
	// EndedAt is zero while it runs.
	StartedAt, EndedAt time.Time
	// Source is how it became known: notice or reading.
	Source     string
	PeopleRead bool
	// Attendees and Recordings are how many.
	Attendees, Recordings int64
}

// Attendee is one person, or one phone, seen in a conference.
type Attendee struct {
	ID, ConferenceID               int64
	Kind                           attendance.Kind
	GoogleUser, DisplayName, Email string
	FirstJoinedAt, LastLeftAt      time.Time
	Sessions                       []AttendeeSession
	Match                          attendance.Match
}

// AttendeeSession is one join with one device; either time is zero while unknown.
type AttendeeSession struct{ JoinedAt, LeftAt time.Time }

// Span is the first join and the last leave, by Google's list of people or else by the sessions; the leave is zero while in the
// room.
func (a *Attendee) Span() (joined, left time.Time) {
	if !a.FirstJoinedAt.IsZero() {
		return a.FirstJoinedAt, a.LastLeftAt
	}
	inside := false
	for _, s := range a.Sessions {
		if !s.JoinedAt.IsZero() && (joined.IsZero() || s.JoinedAt.Before(joined)) {
			joined = s.JoinedAt
		}
		if s.LeftAt.After(left) {
			left = s.LeftAt
		}
		inside = inside || s.LeftAt.IsZero()
	}
	if inside {
		left = time.Time{}
	}
	return joined, left
}

// Duration is how long the person was in the room, counted once where several devices were. Who has not been seen leaving counts
// until the end: the conference's, or now while that goes on. A leaving without a join counts for nothing.
func (a *Attendee) Duration(end time.Time) time.Duration {
	sessions := a.Sessions
	if len(sessions) == 0 {
		joined, left := a.Span()
		sessions = []AttendeeSession{{joined, left}}
	}
	sessions = slices.SortedFunc(slices.Values(sessions), func(a, b AttendeeSession) int { return a.JoinedAt.Compare(b.JoinedAt) })
	var total time.Duration
	var until time.Time // what is counted so far ends there
	for _, s := range sessions {
		if s.JoinedAt.IsZero() {
			continue
		}
		if s.LeftAt.IsZero() {
			s.LeftAt = end
		}
		if s.JoinedAt.Before(until) {
			s.JoinedAt = until
		}
		if s.LeftAt.After(s.JoinedAt) {
			total += s.LeftAt.Sub(s.JoinedAt)
			until = s.LeftAt
		}
	}
	return total
}

// What somebody's attendance is known from, the best last.
const (
	SourceInvited  = "invited"
	SourceAnswered = "answered"
	SourceObserved = "observed"
)

// InvitedPresence is what is known of one of the invited, and from where.
type InvitedPresence struct {
	attendance.Presence
	Source string
}

// Presences tells of each participant at now; source is what the whole is known from. Where the people of a conference are known no
// more, because what was kept of them has been deleted, it is not said of anybody that he did not come.
func (a *Attendance) Presences(now time.Time) (of []InvitedPresence, source string) {
	invited := make([]attendance.Invited, len(a.Participants))
	for i, p := range a.Participants {
		invited[i] = attendance.Invited{ID: p.ID, Email: p.Email, Organizer: p.Organizer}
	}
	seen, matches := make([]attendance.Seen, len(a.Attendees)), make([]attendance.Match, len(a.Attendees))
	for i := range a.Attendees {
		at := &a.Attendees[i]
		joined, left := at.Span()
		seen[i] = attendance.Seen{Kind: at.Kind, GoogleUser: at.GoogleUser, DisplayName: at.DisplayName, Email: at.Email, JoinedAt: joined, LeftAt: left}
		matches[i] = at.Match
	}
	held, forgotten := make([]attendance.Held, len(a.Conferences)), false
	for i, c := range a.Conferences {
		forgotten = forgotten || c.PeopleRead && c.Attendees == 0 // nobody makes no conference
		held[i] = attendance.Held{Ended: !c.EndedAt.IsZero(), PeopleRead: c.PeopleRead}
	}
	var end time.Time
	if !a.Meeting.Start.IsZero() || !a.Meeting.End.IsZero() {
		end = a.Meeting.WantedEnd()
	}
	over := attendance.Over(now, end, a.Meeting.Status == meeting.Cancelled, held)
	source = SourceInvited
	if len(held) > 0 || over {
		source = SourceObserved
	}
	for i, p := range attendance.Presences(invited, seen, matches, over) {
		if forgotten && p.State != attendance.Attended {
			p.State = attendance.Unsure
			if kept := a.Participants[i]; !kept.JoinedAt.IsZero() {
				p = attendance.Presence{State: attendance.Attended, JoinedAt: kept.JoinedAt, LeftAt: kept.LeftAt}
			}
		}
		of = append(of, InvitedPresence{Presence: p, Source: SourceInvited})
		switch answer := a.Participants[i].ResponseStatus; {
		case p.State != attendance.Pending:
			of[i].Source = SourceObserved
		case answer != "" && answer != "needsAction":
			of[i].Source = SourceAnswered
			if source == SourceInvited {
				source = SourceAnswered
			}
		}
	}
	return of, source
}

// EndOf is the end of a conference, or now while it runs.
func (a *Attendance) EndOf(conference int64, now time.Time) time.Time {
	i := slices.IndexFunc(a.Conferences, func(c Conference) bool { return c.ID == conference })
	if i < 0 || a.Conferences[i].EndedAt.IsZero() {
		return now
	}
	return a.Conferences[i].EndedAt
}

// EntryPage bounds a page of what was said; After and AfterID are those of the last entry before, zero at first.
type EntryPage struct {
	After   time.Time
	AfterID int64
	Limit   int
}

// Transcript is what was said in a meeting.
type Transcript struct {
	MeetingID meeting.ID
	Documents []TranscriptDocument
	Entries   []TranscriptEntry
}

// TranscriptDocument is one transcript of a conference.
type TranscriptDocument struct {
	ConferenceID       int64
	State              meeting.RecordingState
	StartedAt, EndedAt time.Time
	DocumentID, URL    string
}

// TranscriptEntry is what one person said in one go.
type TranscriptEntry struct {
	ID, ConferenceID   int64
	DisplayName        string
	ParticipantID      int64
	Text, Language     string
	StartedAt, EndedAt time.Time
}
