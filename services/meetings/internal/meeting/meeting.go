// Package meeting holds the rules about meetings: what may be asked for, what may become what, which facts follow, and what
// Google should have. It does no I/O and asks no clock; the use cases fetch, ask it, and save.
package meeting

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// ID numbers a meeting, as the old REST API shows it.
type ID int64

// Meeting is one session that a program asked for, with the one job that makes Google agree with it.
type Meeting struct {
	ID  ID
	UID string
	// OrganizerID numbers the user; OrganizerUsername is filled where an answer shows it.
	OrganizerID       int64
	OrganizerEmail    string
	OrganizerUsername string
	Summary           string
	Description       string
	TimeZone          string
	// Start and End are zero where the client gave none.
	Start, End             time.Time
	ExternalReference      string
	AutoRecord             bool
	CreateCalendarEvent    bool
	PublicAccess           bool
	GuestsCanSeeEachOther  bool
	Status                 Status
	Provisioning           Provisioning
	GoogleSync             GoogleSync
	Recording              RecordingState
	ParticipantsCount      int
	HasRecording           bool
	ConferenceRecordID     string
	Version, WantedVersion int64
	Generation             int64
	Google                 GoogleCopy
	Failure                Failure
	CreatedAt, UpdatedAt   time.Time
	// RecordingReason says why the recording that is expected may not come; empty while nothing is wrong.
	RecordingReason string
	// LegalHold keeps what belongs to it beyond any retention; LegalHoldReason says why.
	LegalHold       bool
	LegalHoldReason string
	// Guests are the addresses invited, in the order given; the organizer may be one of them.
	Guests []string
	// People are guests and organizer with their answers, where they were asked for.
	People []Person
	Job    Job
}

// GoogleCopy is what Google is known to have.
type GoogleCopy struct {
	CalendarID, EventID, EventEtag string
	MeetLink, MeetingCode, Space   string
	Simulated                      bool
	// EventVersion is the meeting version that the event was last made equal to; 0: there is none yet.
	EventVersion int64
	// SettingsVersion is the meeting version for which the space's settings were last made equal; 0: never.
	SettingsVersion int64
	// AutoRecording and AccessType are what the space answered; empty while unread.
	AutoRecording, AccessType string
	// EventDigest is of what the event was last made to say; opaque.
	EventDigest string
	// Account is in whose name the event is kept.
	Account string
	// EventUpdated is when Google last changed the event by our knowledge; EventShown is of the texts that it showed then,
	// opaque.
	EventUpdated time.Time
	EventShown   string
	// Noticed is the newest change of the event that was seen while one of ours was under way.
	Noticed time.Time
	// Deleted: the event was deleted at our wish.
	Deleted bool
}

// Failure says why Google does not have what the meeting wants; zero while nothing failed.
type Failure struct{ Code, Message string }

// Spec is what a create asks for. Defaults are resolved by whoever asks.
type Spec struct {
	OrganizerEmail        string
	Guests                []string
	Start, End            time.Time
	ExternalReference     string
	Summary, Description  string
	TimeZone              string
	AutoRecord            bool
	CreateCalendarEvent   bool
	PublicAccess          bool
	GuestsCanSeeEachOther bool
}

// Limits of what a meeting takes.
const (
	MaxGuests      = 200
	maxEmail       = 254
	maxReference   = 255
	maxSummary     = 1024
	maxDescription = 8192
)

// Reasons of the faults about meetings.
const (
	ReasonNotFound        = "MEETING_NOT_FOUND"
	ReasonCancelled       = "MEETING_CANCELLED"
	ReasonVersionMismatch = "VERSION_MISMATCH"
	ReasonEndBeforeStart  = "END_BEFORE_START"
)

// ErrNotFound is the fault for a meeting that is not there.
var ErrNotFound = fault.New(fault.NotFound, ReasonNotFound, "no such meeting")

// Check says what is wrong with a spec, all at once. The gateway checks shapes at the door; this keeps what must be true
// however a command came.
func (s *Spec) Check() error {
	var fields []fault.Field
	bad := func(path, reason, text string) {
		fields = append(fields, fault.Field{Path: path, Reason: reason, Text: text})
	}
	if !emailLike(s.OrganizerEmail) {
		bad("organizer_email", "EMAIL", "must be an email address")
	}
	if len(s.Guests) == 0 || len(s.Guests) > MaxGuests {
		bad("invited_emails", "COUNT", "must hold 1 to 200 addresses")
	}
	if hasDuplicate(s.Guests) {
		bad("invited_emails", "UNIQUE", "addresses must be unique")
	}
	if slices.ContainsFunc(s.Guests, func(g string) bool { return !emailLike(g) }) {
		bad("invited_emails", "EMAIL", "each must be an email address")
	}
	if !s.Start.IsZero() && !s.End.IsZero() && !s.End.After(s.Start) {
		bad("scheduled_end", ReasonEndBeforeStart, "must be after scheduled_start")
	}
	checkTime(bad, "scheduled_start", s.Start)
	checkTime(bad, "scheduled_end", s.End)
	checkText(bad, "external_reference", s.ExternalReference, maxReference)
	checkText(bad, "summary", s.Summary, maxSummary)
	checkText(bad, "description", s.Description, maxDescription)
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		bad("time_zone", "TIME_ZONE", "must be an IANA time zone name, such as America/Bogota")
	}
	if len(fields) > 0 {
		return fault.InvalidFields(fields...)
	}
	return nil
}

func checkText(bad func(path, reason, text string), path, text string, limit int) {
	if utf8.RuneCountInString(text) > limit {
		bad(path, "MAX_LENGTH", "is too long")
	}
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		bad(path, "CHARACTERS", "holds characters that are not allowed")
	}
}

// checkTime keeps what Google and Postgres can both hold.
func checkTime(bad func(path, reason, text string), path string, t time.Time) {
	if !t.IsZero() && (t.Year() < 1 || t.Year() > 9999) {
		bad(path, "RANGE", "must be between the years 1 and 9999")
	}
}

func emailLike(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && len(s) <= maxEmail && utf8.ValidString(s) && !strings.ContainsAny(s, "\x00\r\n \t")
}

// emailKey makes addresses comparable. Only ASCII letters lose their case, as with the database's unique indexes: what
// Unicode folds together differs between the two, and from one release to the next.
func emailKey(email string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, email)
}

// SameEmail tells whether two addresses are one person's.
func SameEmail(a, b string) bool { return a == b || len(a) == len(b) && emailKey(a) == emailKey(b) }

// Holds tells whether an address is among others.
func Holds(emails []string, email string) bool {
	return slices.ContainsFunc(emails, func(e string) bool { return SameEmail(e, email) })
}

func hasDuplicate(emails []string) bool {
	seen := make(map[string]struct{}, len(emails))
	for _, e := range emails {
		seen[emailKey(e)] = struct{}{}
	}
	return len(seen) < len(emails)
}

// Origin is what a new meeting is given by others: numbers, ids and who waits.
type Origin struct {
	ID                ID
	UID               string
	JobID             string
	OrganizerID       int64
	OrganizerUsername string
	// Operation is the command that creates it, ReplyInbox where its caller listens.
	Operation, ReplyInbox string
}

// New makes a meeting from a checked spec.
func New(s *Spec, o Origin, now time.Time) (*Meeting, []Event) {
	m := &Meeting{
		ID: o.ID, UID: o.UID, OrganizerID: o.OrganizerID, OrganizerUsername: o.OrganizerUsername, OrganizerEmail: s.OrganizerEmail,
		Summary: s.Summary, Description: s.Description, TimeZone: s.TimeZone, Start: s.Start, End: s.End,
		ExternalReference: s.ExternalReference, AutoRecord: s.AutoRecord, CreateCalendarEvent: s.CreateCalendarEvent,
		PublicAccess: s.PublicAccess, GuestsCanSeeEachOther: s.GuestsCanSeeEachOther,
		Status: Created, Provisioning: Pending, GoogleSync: SyncPending, Recording: NotExpected,
		Version: 1, WantedVersion: 1, Generation: 1, CreatedAt: now, UpdatedAt: now,
		Guests: s.Guests,
		Job:    Job{ID: o.JobID, State: JobDue, DueAt: now, Operation: o.Operation, ReplyInbox: o.ReplyInbox, CreatedAt: now},
	}
	if m.AutoRecord {
		m.Recording = Expected
	}
	m.countParticipants()
	return m, []Event{CreatedEvent{fact{m}}}
}

// countParticipants counts the guests and the organizer, who may stand among them.
func (m *Meeting) countParticipants() {
	m.ParticipantsCount = len(m.Guests)
	if !Holds(m.Guests, m.OrganizerEmail) {
		m.ParticipantsCount++
	}
}

// changed marks the meeting as changed at now; google says that Google must know.
func (m *Meeting) changed(now time.Time, google bool) {
	m.Version++
	m.UpdatedAt = now
	if google {
		if m.Google.Deleted && !m.WantedAbsent() {
			m.forget()
		}
		m.WantedVersion = m.Version
		m.GoogleSync = SyncPending
		m.Failure = Failure{}
		m.Job.want(now)
	}
}

// CheckEtag compares a client's precondition with the version under the row lock. Empty and `*` match any.
func (m *Meeting) CheckEtag(etag string) error {
	if etag == "" || etag == "*" {
		return nil
	}
	for candidate := range strings.SplitSeq(etag, ",") {
		if strings.TrimSpace(candidate) == m.Etag() { // strong comparison: W/ never matches (RFC 9110 §13.1.1)
			return nil
		}
	}
	return fault.New(fault.VersionMismatch, ReasonVersionMismatch, "the meeting was changed by somebody else; read it again").
		WithMeta("etag", m.Etag())
}
