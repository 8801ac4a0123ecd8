package conference

import (
	"maps"
	"slices"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/attendance"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Why a recording may not come, or is missing.
const (
	// ReasonNotStarted: people are in the room and nothing is recorded.
	ReasonNotStarted = "NOT_STARTED"
	// ReasonNeverStarted: it was held and nothing was recorded.
	ReasonNeverStarted = "NEVER_STARTED"
	// ReasonNotHeld: nobody came.
	ReasonNotHeld = "NOT_HELD"
	// ReasonFileNotGenerated: it was recorded, and a day after the end there is no file.
	ReasonFileNotGenerated = "FILE_NOT_GENERATED"
	// ReasonFileDeleted: the file was deleted before a checked copy was made.
	ReasonFileDeleted = "FILE_DELETED"
	// ReasonExportFailed: the copy could not be made.
	ReasonExportFailed = "EXPORT_FAILED"
	// ReasonExportMismatch: the copy is not what Drive had, or is no longer there.
	ReasonExportMismatch = "EXPORT_MISMATCH"
	// ReasonNotProvisioned: no link was ever made.
	ReasonNotProvisioned = "NOT_PROVISIONED"
	// ReasonNotReadable: Google refused to show what was held.
	ReasonNotReadable = "NOT_READABLE"
)

// messages say in words what a reason means.
var messages = map[string]string{
	meeting.ReasonRecordingNotAllowed: "Google did not let the recording be switched on, and nothing was recorded",
	ReasonNeverStarted:                "the meeting was held and Google has no recording of it",
	ReasonNotHeld:                     "nobody came to the meeting within a day of its end",
	ReasonFileNotGenerated:            "the meeting was recorded, and a day after its end Google has made no file",
	ReasonFileDeleted:                 "the recording's file was deleted in Drive before a checked copy was made",
	ReasonExportFailed:                "the recording's file could not be copied to the object storage",
	ReasonExportMismatch:              "the copy of the recording in the object storage is not what Drive had",
	ReasonNotProvisioned:              "Google never made a link for the meeting",
	ReasonNotReadable:                 "Google refuses to show what was held in the meeting's space",
}

// MissingReasons are all the reasons why a recording may be missing, in their order.
func MissingReasons() []string { return slices.Sorted(maps.Keys(messages)) }

// Looked is what the reading just taken in has covered.
type Looked struct {
	// Until: all conferences that began before it are known; zero: no listing.
	Until time.Time
	// Refused: Google refuses to show them, for good.
	Refused bool
}

// Settle draws at w.Now what follows from all that is known: who was there, how far the recording has come, and which facts that
// makes. It is called once for each meeting of a command, after everything was taken in.
func (l *Ledger) Settle(looked Looked, w *World) ([]meeting.Event, error) {
	m := l.Meeting
	events := l.settlePeople(w)
	record, recorded := m.ConferenceRecordID, m.HasRecording
	for _, c := range l.Conferences {
		record = c.Record
		recorded = recorded || slices.ContainsFunc(c.Recordings, func(r *Recording) bool { return r.State == ArtifactGenerated })
	}
	shown := record != m.ConferenceRecordID || recorded != m.HasRecording
	m.ConferenceRecordID, m.HasRecording = record, recorded
	before, reasonBefore := m.Recording, m.RecordingReason
	state, reason := l.judge(looked, w.Now)
	changed, err := m.RecordingBecomes(state, reason, w.Now)
	if err != nil {
		return nil, err
	}
	if shown && !changed {
		m.Showed(w.Now)
	}
	if m.Recording == meeting.Missing && (before != meeting.Missing || reason != reasonBefore) {
		events = append(events, MissingEvent{about(m), reason, messages[reason]})
	}
	return events, nil
}

// tracked: all of the meeting's attendees and people are loaded, so that it can be said who was there.
func (l *Ledger) tracked() bool {
	return l.PeopleLoaded && !slices.ContainsFunc(l.Conferences, func(c *Conference) bool { return !c.AttendeesLoaded })
}

// settlePeople tells who of those seen is who of the invited, and who did not come.
func (l *Ledger) settlePeople(w *World) []meeting.Event {
	if !l.tracked() {
		return nil
	}
	m := l.Meeting
	invited := make([]attendance.Invited, 0, len(m.People))
	for _, p := range m.People {
		in := attendance.Invited{ID: p.ID, Email: p.Email, Organizer: meeting.SameEmail(p.Email, m.OrganizerEmail)}
		if meeting.SameEmail(p.Email, l.Owner.Account) {
			in.GoogleUser = l.Owner.GoogleUser
		}
		invited = append(invited, in)
	}
	var attendees []*Attendee
	var seen []attendance.Seen
	held := make([]attendance.Held, 0, len(l.Conferences))
	for _, c := range l.Conferences {
		held = append(held, attendance.Held{Ended: !c.EndedAt.IsZero(), PeopleRead: !c.AttendeesReadAt.IsZero()})
		for _, a := range c.Attendees {
			attendees, seen = append(attendees, a), append(seen, a.seen())
		}
	}
	matches := attendance.Matches(invited, seen)
	for i, a := range attendees {
		who := matches[i]
		if a.ParticipantID != who.Participant || a.Match != who.Sureness.String() || a.MatchReason != string(who.Reason) {
			a.ParticipantID, a.Match, a.MatchReason, a.dirty = who.Participant, who.Sureness.String(), string(who.Reason), true
		}
	}
	events := l.tellPeople(w)
	over := attendance.Over(w.Now, l.timeOver(), m.Status == meeting.Cancelled, held)
	l.presences = l.presences[:0]
	for i, p := range attendance.Presences(invited, seen, matches, over) {
		id := invited[i].ID
		missed := p.State == attendance.NoShow || p.State == attendance.Unsure
		if missed && !l.NoShows[id] {
			events = append(events, NoShowEvent{about(m), id, p.State == attendance.NoShow})
			l.NoShows[id] = true
		}
		if !p.JoinedAt.IsZero() || missed {
			l.presences = append(l.presences, Presence{ParticipantID: id, JoinedAt: p.JoinedAt, LeftAt: p.LeftAt, NoShow: l.NoShows[id]})
		}
	}
	return events
}

// timeOver is when the meeting's time has passed; zero where it has none.
func (l *Ledger) timeOver() time.Time {
	if l.Meeting.Start.IsZero() && l.Meeting.End.IsZero() {
		return time.Time{}
	}
	return l.Meeting.WantedEnd()
}

func (a *Attendee) seen() attendance.Seen {
	kind, err := attendance.ParseKind(string(a.Kind))
	if err != nil { // of a newer release: as if only a notice had told of the person
		kind = attendance.Unknown
	}
	joined, left := a.span()
	return attendance.Seen{Kind: kind, GoogleUser: a.User, DisplayName: a.DisplayName, Email: a.Email, JoinedAt: joined, LeftAt: left}
}

// span is the first join and the last leave, by Google's list or else by notices.
func (a *Attendee) span() (joined, left time.Time) {
	joined, left = a.FirstJoinedAt, a.LastLeftAt
	if !joined.IsZero() {
		return joined, left
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

// tellPeople tells of comings and goings that were not told, of the people whose list was read.
func (l *Ledger) tellPeople(w *World) []meeting.Event {
	var events []meeting.Event
	for _, c := range l.Conferences {
		if c.AttendeesReadAt.IsZero() {
			continue
		}
		for _, a := range c.Attendees {
			events = append(events, l.tellSessions(a)...)
			if w.Rules.Sessions || len(a.Sessions) > 0 {
				continue
			}
			if !a.FirstJoinedAt.IsZero() && !a.JoinedTold {
				events = append(events, JoinedEvent{about(l.Meeting), a, a.FirstJoinedAt, ""})
				a.JoinedTold, a.dirty = true, true
			}
			if !a.LastLeftAt.IsZero() && !a.LeftTold {
				events = append(events, LeftEvent{about(l.Meeting), a, a.FirstJoinedAt, a.LastLeftAt, ""})
				a.LeftTold, a.dirty = true, true
			}
		}
	}
	return events
}

// verdict is how far one recording, or one conference without any, has come.
type verdict struct {
	state  meeting.RecordingState
	reason string
}

// judge says how far the recording of the meeting has come. What is under way goes before what is missing, and that before what
// is secured, so that the meeting is as far as the last of its recordings.
func (l *Ledger) judge(looked Looked, now time.Time) (meeting.RecordingState, string) {
	m := l.Meeting
	var found []verdict
	for _, c := range l.Conferences {
		for _, r := range c.Recordings {
			found = append(found, l.unreadable(c, r.verdict(c), looked, now))
		}
	}
	if len(found) == 0 {
		return l.judgeUnrecorded(looked, now)
	}
	for _, c := range l.Conferences { // another time that people were there for long, and nothing was recorded
		if m.AutoRecord && len(c.Recordings) == 0 && c.lasted() >= notStartedAfter && c.emptyForGood() {
			found = append(found, verdict{meeting.Missing, ReasonNeverStarted})
		}
	}
	for _, state := range []meeting.RecordingState{
		meeting.Started, meeting.Ended, meeting.Missing, meeting.FileGenerated, meeting.Exported, meeting.Verified,
	} {
		for _, v := range found {
			if v.state == state && (m.AutoRecord || state != meeting.Missing) {
				return v.state, v.reason
			}
		}
	}
	return m.Recording, m.RecordingReason // recorded by hand, and gone: nobody was promised one
}

// lasted is how long people were there; 0 while they are.
func (c *Conference) lasted() time.Duration {
	if c.EndedAt.IsZero() {
		return 0
	}
	return c.EndedAt.Sub(c.StartedAt)
}

// emptyForGood: nothing was recorded, and that is certain.
func (c *Conference) emptyForGood() bool {
	return !c.RecordingsReadAt.IsZero() && len(c.Recordings) == 0
}

// unreadable is v, but for a recording that is not settled a day after its end because Google refuses to show it.
func (l *Ledger) unreadable(c *Conference, v verdict, looked Looked, now time.Time) verdict {
	if v.state != meeting.Started && v.state != meeting.Ended || now.Before(latest(c.StartedAt, c.EndedAt).Add(fileWithin)) || now.Before(l.givenUp()) {
		return v
	}
	if looked.Refused || l.Meeting.Recording == meeting.Missing && l.Meeting.RecordingReason == ReasonNotReadable {
		return verdict{meeting.Missing, ReasonNotReadable}
	}
	return v
}

func (r *Recording) verdict(c *Conference) verdict {
	switch r.Export {
	case ExportVerified, ExportDeleted: // deleted by retention, after it was checked
		return verdict{meeting.Verified, ""}
	case ExportExported:
		return verdict{meeting.Exported, ""}
	case ExportMismatch, ExportGone:
		return verdict{meeting.Missing, ReasonExportMismatch}
	case ExportFailed:
		if r.File.State == FileTrashed || r.File.State == FileGone {
			return verdict{meeting.Missing, ReasonFileDeleted}
		}
		return verdict{meeting.Missing, ReasonExportFailed}
	case ExportNone, ExportPending:
	}
	switch {
	case r.File.State == FileTrashed, r.File.State == FileGone:
		return verdict{meeting.Missing, ReasonFileDeleted}
	case r.State == ArtifactGenerated:
		return verdict{meeting.FileGenerated, ""}
	case !c.EndedAt.IsZero() && !c.RecordingsReadAt.Before(c.EndedAt.Add(fileWithin)):
		return verdict{meeting.Missing, ReasonFileNotGenerated}
	case r.State == ArtifactEnded, !c.EndedAt.IsZero():
		return verdict{meeting.Ended, ""}
	}
	return verdict{meeting.Started, ""}
}

// judgeUnrecorded says what it means that no recording is known.
func (l *Ledger) judgeUnrecorded(looked Looked, now time.Time) (meeting.RecordingState, string) {
	m := l.Meeting
	held, running, told, read := l.held(now)
	refused := looked.Refused || m.Recording == meeting.Missing && m.RecordingReason == ReasonNotReadable
	switch {
	case l.calledOff(), m.Status == meeting.Cancelled && held == 0 && m.Recording != meeting.Missing:
		return meeting.NotExpected, ""
	case running && refused && !now.Before(l.givenUp()) && !l.running(now):
		return meeting.Missing, ReasonNotReadable
	case running && told && l.knownReason() == "":
		return meeting.Expected, ReasonNotStarted
	case running:
		return meeting.Expected, l.knownReason()
	case held > 0 && read == held:
		if m.RecordingReason == meeting.ReasonRecordingNotAllowed {
			return meeting.Missing, m.RecordingReason
		}
		return meeting.Missing, ReasonNeverStarted
	case held > 0 && !now.Before(l.givenUp()) && refused:
		return meeting.Missing, ReasonNotReadable
	case held > 0: // the list of recordings is still to be read
		return meeting.Expected, l.knownReason()
	}
	over := l.givenUp()
	switch {
	case now.Before(over):
		return meeting.Expected, l.knownReason()
	case m.Recording == meeting.Missing: // said before, and nothing came
		return meeting.Missing, m.RecordingReason
	case m.Google.MeetLink == "":
		return meeting.Missing, ReasonNotProvisioned
	case m.Google.Space == "", m.Google.Account == "": // what is held at the link can't be told from what is held elsewhere, or by nobody
		return meeting.Missing, ReasonNotReadable
	case !looked.Until.Before(over), !l.listedUntil().Before(over):
		return meeting.Missing, ReasonNotHeld
	case looked.Refused:
		return meeting.Missing, ReasonNotReadable
	}
	return meeting.Expected, l.knownReason()
}

// running: a conference may truly be under way, not only one whose end was never shown.
func (l *Ledger) running(now time.Time) bool {
	return slices.ContainsFunc(l.Conferences, func(c *Conference) bool { return c.EndedAt.IsZero() && now.Before(c.StartedAt.Add(longest)) })
}

// knownReason is why the recording may not come, as far as that is known before anything was held.
func (l *Ledger) knownReason() string {
	if l.Meeting.RecordingReason == meeting.ReasonRecordingNotAllowed {
		return l.Meeting.RecordingReason
	}
	return ""
}

// held counts the conferences that were the meeting, and of how many of them the empty list of recordings is certain. What was
// over before the time of the meeting was somebody trying the link, unless nobody came after that.
func (l *Ledger) held(now time.Time) (held int, running, told bool, read int) {
	for _, c := range l.Conferences {
		if !l.counts(c, now) {
			continue
		}
		held++
		if c.EndedAt.IsZero() {
			running, told = true, told || c.NotStartedTold
		}
		if c.emptyForGood() {
			read++
		}
	}
	return held, running, told, read
}

func (l *Ledger) counts(c *Conference, now time.Time) bool {
	if c.EndedAt.IsZero() || l.timeOver().IsZero() || l.Meeting.Status != meeting.Cancelled && !now.Before(l.givenUp()) {
		return true
	}
	return c.EndedAt.After(l.Meeting.WantedStart())
}

// calledOff: nothing is to be recorded. A meeting that is cancelled after it began is to have its recording all the same.
func (l *Ledger) calledOff() bool {
	m := l.Meeting
	return !m.AutoRecord || m.Status == meeting.Cancelled && m.Recording == meeting.NotExpected
}

// givenUp is when a meeting that nobody came to is no longer waited for.
func (l *Ledger) givenUp() time.Time { return l.Meeting.WantedEnd().Add(fileWithin) }
