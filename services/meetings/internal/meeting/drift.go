package meeting

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// DriftPolicy is what is done when somebody changes in Google Calendar what is ours. The zero value leaves a deleted event to
// whoever looks at the failure.
type DriftPolicy uint8

// The policies.
const (
	// Adopt: the meeting takes what Google has; a deleted event cancels it.
	Adopt DriftPolicy = iota + 1
	// Restore: Google gets back what the meeting has; a deleted event is made anew, with another link.
	Restore
	// Alert: both stay as they are and the meeting says how they differ.
	Alert
)

var policyNames = map[DriftPolicy]string{Adopt: "adopt", Restore: "restore", Alert: "alert"}

func (p DriftPolicy) String() string { return name(policyNames, p) }

// ParseDriftPolicy is the inverse of String.
func ParseDriftPolicy(s string) (DriftPolicy, error) { return parse(policyNames, "drift policy", s) }

const (
	// ReasonDrifted is the code of a meeting whose event was changed in Google Calendar, under [Alert].
	ReasonDrifted = "GOOGLE_DRIFTED"
	// ReasonEventGone is the scheduler's code of a change to an event that was deleted in Google Calendar.
	ReasonEventGone = "GOOGLE_EVENT_GONE"
	// DefaultSummary is the title that Google gets of a meeting that has none, lest guests read "(No title)".
	DefaultSummary = "Google Meet"

	// The names of what drifts, beside those of fields.
	fieldDeleted  = "deleted"
	fieldRestored = "restored"

	noResponse = "needsAction" // Calendar API attendees[].responseStatus of somebody who has not answered
)

// Snapshot is an event of ours as Google showed it.
type Snapshot struct {
	EventID, MeetingUID, Etag string
	Updated                   time.Time
	// Cancelled or deleted; what follows may then be empty.
	Cancelled            bool
	Summary, Description string
	Start, End           time.Time
	Guests               []Answer
	// Shown is as GoogleCopy.EventShown.
	Shown string
}

// Answer is a guest's.
type Answer struct{ Email, Response string }

// Person is somebody of a meeting, with his answer to the invitation.
type Person struct {
	ID              int64
	Email, Response string
	// Changed: the answer is another than the store has.
	Changed bool
}

// DriftedEvent says that somebody changed or deleted the event in Google Calendar.
type DriftedEvent struct {
	fact
	Fields []string
	Policy DriftPolicy
}

// RespondedEvent says that somebody answered the invitation.
type RespondedEvent struct {
	fact
	Person Person
}

// WantedSummary is the title of Google's copy.
func (m *Meeting) WantedSummary() string {
	if strings.TrimSpace(m.Summary) == "" {
		return DefaultSummary
	}
	return m.Summary
}

// Noticed takes an event of this meeting as Google showed it at some time before now. What is older than our last change is no
// news, what we wrote ourselves no drift; while a change of ours is under way nothing is compared, and who changed the event
// after it is overruled by [Meeting.Synced].
func (m *Meeting) Noticed(s Snapshot, p DriftPolicy, now time.Time) []Event {
	g := &m.Google
	s.clean()
	if g.EventID == "" && m.GoogleSync == SyncPending {
		g.Noticed = later(g.Noticed, s.Updated)
		return nil
	}
	if s.EventID != g.EventID || g.EventID == "" || s.Updated.Before(g.EventUpdated) {
		return nil
	}
	version := m.Version
	var events []Event
	if !s.Cancelled {
		events = m.answered(s)
	}
	switch {
	case s.Etag == g.EventEtag && s.Etag != "":
	case m.GoogleSync == SyncPending:
		g.Noticed = later(g.Noticed, s.Updated)
	case m.GoogleSync == SyncFailed && m.Failure.Code != ReasonDrifted:
	default:
		events = append(events, m.compare(s, p, now)...)
	}
	if len(events) > 0 && m.Version == version {
		m.changed(now, false)
	}
	return events
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// clean takes out what no row can hold.
func (s *Snapshot) clean() {
	for _, text := range []*string{&s.Etag, &s.Summary, &s.Description, &s.Shown} {
		*text = strings.ToValidUTF8(cleanText(*text), "\uFFFD")
	}
	s.Start, s.End = storable(s.Start), storable(s.End)
}

// answered keeps what guests answered. Who has not answered yet is no news.
func (m *Meeting) answered(s Snapshot) []Event {
	var events []Event
	for _, a := range s.Guests {
		i := slices.IndexFunc(m.People, func(p Person) bool { return SameEmail(p.Email, a.Email) })
		if i < 0 || m.People[i].Response == a.Response || m.People[i].Response == "" && a.Response == noResponse || !known(a.Response) {
			continue
		}
		m.People[i].Response, m.People[i].Changed = a.Response, true
		events = append(events, RespondedEvent{fact{m}, m.People[i]})
	}
	return events
}

func known(response string) bool {
	return slices.Contains([]string{noResponse, "declined", "tentative", "accepted"}, response)
}

// compare holds the event against the meeting.
func (m *Meeting) compare(s Snapshot, p DriftPolicy, now time.Time) []Event {
	switch {
	case s.Cancelled && (m.WantedAbsent() || m.Google.Deleted):
		m.see(s)
		m.Google.Deleted = true
		return nil
	case s.Cancelled:
		m.see(s)
		return m.eventGone(p, now)
	case m.WantedAbsent(): // somebody took it out of the bin
		return m.unbinned(s, p, now)
	}
	m.Google.Deleted = false
	d := m.differences(s)
	shown := m.Google.EventShown
	m.see(s)
	if len(d.fields) == 0 {
		if m.GoogleSync != SyncFailed {
			return nil
		}
		m.agreed(now)
		m.changed(now, false)
		return []Event{SyncedEvent{fact{m}, m.WantedVersion}}
	}
	drifted := DriftedEvent{fact{m}, d.fields, p}
	switch p {
	case Adopt:
		return append([]Event{drifted}, m.adopt(s, d, now)...)
	case Restore:
		m.Google.EventShown, m.Google.EventDigest = shown, ""
		m.changed(now, true)
		return []Event{drifted}
	case Alert:
		m.Google.EventShown = shown
		return m.alert(drifted, "the event was changed in Google Calendar: "+strings.Join(d.texts, "; ")+
			"; change or provision this meeting to overwrite it, or change the event back", now)
	}
	return nil
}

// see remembers the state of the event that was looked at.
func (m *Meeting) see(s Snapshot) {
	m.Google.EventEtag, m.Google.EventUpdated, m.Google.EventShown = s.Etag, later(m.Google.EventUpdated, s.Updated), s.Shown
}

// agreed: Google equals the meeting, nothing is to be done.
func (m *Meeting) agreed(now time.Time) {
	m.GoogleSync, m.Failure = SyncOK, Failure{}
	m.Job.State, m.Job.EndedAt, m.Job.FailedAttempts, m.Job.History = JobDone, now, 0, nil
}

// differs is in what an event and its meeting differ.
type differs struct {
	fields, texts []string
	guests        []string // as the event has them, in the meeting's order
}

// differences compares what people see. A text that Google stored otherwise than it was sent is nobody's edit.
func (m *Meeting) differences(s Snapshot) differs {
	var d differs
	add := func(field, text string) { d.fields, d.texts = append(d.fields, field), append(d.texts, text) }
	timeDiffers := func(field string, theirs, ours time.Time) {
		if ours = ours.Truncate(time.Second); !theirs.Equal(ours) { // Calendar keeps whole seconds
			add(field, fmt.Sprintf("%s is %s there and %s here", field, theirs.UTC().Format(time.RFC3339), ours.UTC().Format(time.RFC3339)))
		}
	}
	timeDiffers("scheduled_start", s.Start, m.WantedStart())
	timeDiffers("scheduled_end", s.End, m.WantedEnd())
	before := strings.Split(m.Google.EventShown, ".")
	for i, shown := range strings.Split(s.Shown, ".") {
		same := len(before) > i && before[i] != "" && before[i] == shown
		switch {
		case i == 0 && !same && s.Summary != m.WantedSummary():
			add("summary", fmt.Sprintf("summary is %q there and %q here", clip(s.Summary), clip(m.WantedSummary())))
		case i == 1 && !same && s.Description != m.Description:
			add("description", "description differs")
		}
	}
	var extra int
	if d.guests, extra = m.guestsOf(s); extra > 0 || len(d.guests) != len(m.Guests) {
		add("invited_emails", fmt.Sprintf("the event has %d guests more and %d fewer", extra, extra+len(m.Guests)-len(d.guests)))
	}
	return d
}

// clip shortens a text that stands within another.
func clip(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// guestsOf are the event's guests in the meeting's order, new ones last, and how many are new. Whether the organizer and the
// account that keeps the event stand on it is Google's business: they stay as the meeting has them.
func (m *Meeting) guestsOf(s Snapshot) (guests []string, extra int) {
	there := make([]string, 0, len(s.Guests))
	for _, a := range s.Guests {
		there = append(there, a.Email)
	}
	keeper := func(email string) bool {
		return SameEmail(email, m.OrganizerEmail) || SameEmail(email, m.Google.Account)
	}
	for _, g := range m.Guests {
		if keeper(g) || Holds(there, g) {
			guests = append(guests, g)
		}
	}
	for _, email := range there {
		if !keeper(email) && !Holds(guests, email) && emailLike(email) {
			guests, extra = append(guests, email), extra+1
		}
	}
	return guests, extra
}

// adopt makes the meeting say what the event says. Google has it already.
func (m *Meeting) adopt(s Snapshot, d differs, now time.Time) []Event {
	var events []Event
	var fields []string
	previousStart, previousEnd := m.Start, m.End
	moved := false
	for _, field := range d.fields {
		switch field {
		case "scheduled_start", "scheduled_end":
			m.Start, m.End, moved = s.Start, s.End, true
		case "summary":
			m.Summary, fields = s.Summary, append(fields, field)
		case "description":
			m.Description, fields = s.Description, append(fields, field)
		case "invited_emails":
			m.Guests, fields = d.guests, append(fields, field)
			m.countParticipants()
		}
	}
	for _, a := range s.Guests { // those who are new may have answered already
		if Holds(m.Guests, a.Email) && known(a.Response) && a.Response != noResponse &&
			!slices.ContainsFunc(m.People, func(p Person) bool { return SameEmail(p.Email, a.Email) }) {
			m.People = append(m.People, Person{Email: a.Email, Response: a.Response, Changed: true})
		}
	}
	if moved {
		events = append(events, RescheduledEvent{fact{m}, previousStart, previousEnd})
	}
	if len(fields) > 0 {
		events = append(events, UpdatedEvent{fact{m}, fields})
	}
	m.Google.EventDigest = "" // of what we wrote before: the next change looks first
	m.agreed(now)
	m.changed(now, false)
	return events
}

// alert says what differs, once.
func (m *Meeting) alert(drifted DriftedEvent, text string, now time.Time) []Event {
	failure := (&OutcomeFailure{Code: ReasonDrifted, Message: text}).Reason()
	m.Google.EventDigest = "" // so that the next change overwrites what it finds
	if m.GoogleSync == SyncFailed && m.Failure == failure {
		return nil
	}
	m.GoogleSync, m.Failure = SyncFailed, failure
	m.Job.State, m.Job.EndedAt = JobFailed, now
	m.changed(now, false)
	return []Event{drifted}
}

// eventGone: the event of a meeting that goes on was deleted in Google Calendar.
func (m *Meeting) eventGone(p DriftPolicy, now time.Time) []Event {
	drifted := DriftedEvent{fact{m}, []string{fieldDeleted}, p}
	m.Google.Deleted = true
	switch p {
	case Adopt:
		events := []Event{drifted}
		if m.Status != Finished { // what has taken place was not called off
			events = append(events, m.callOff())
		}
		m.agreed(now)
		m.changed(now, false)
		return events
	case Restore:
		m.changed(now, true)
		return []Event{drifted}
	case Alert:
		return m.alert(drifted, "the event was deleted in Google Calendar; provision or change this meeting to make a new one, with another link, or cancel it", now)
	}
	return nil
}

// unbinned: the event of a cancelled meeting is back in the calendar and invites people to it.
func (m *Meeting) unbinned(s Snapshot, p DriftPolicy, now time.Time) []Event {
	m.see(s)
	m.Google.Deleted = false
	drifted := DriftedEvent{fact{m}, []string{fieldRestored}, p}
	if p == Alert {
		return m.alert(drifted, "the event of this cancelled meeting was restored in Google Calendar; cancel the meeting again to delete it", now)
	}
	m.changed(now, true) // nothing leads out of CANCELLED, so the event goes
	return []Event{drifted}
}

// forget makes the next event one of another generation: the id of a deleted one stays taken. The link stays until there is a
// new one.
func (m *Meeting) forget() {
	m.Generation++
	g := &m.Google
	*g = GoogleCopy{CalendarID: g.CalendarID, Account: g.Account, MeetLink: g.MeetLink, MeetingCode: g.MeetingCode, Simulated: g.Simulated}
}
