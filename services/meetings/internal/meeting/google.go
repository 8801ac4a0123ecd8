package meeting

import (
	"slices"
	"strings"
	"time"
)

// JobState is where the row that makes Google agree stands. The zero value is invalid.
type JobState uint8

// The job states.
const (
	// JobDue: to be sent at its due time.
	JobDue JobState = iota + 1
	// JobOut: sent, no outcome yet.
	JobOut
	// JobDone: Google agrees.
	JobDone
	// JobFailed: Google refused for good; a change or a person makes it due again.
	JobFailed
)

var jobNames = map[JobState]string{JobDue: "due", JobOut: "out", JobDone: "done", JobFailed: "failed"}

func (s JobState) String() string { return name(jobNames, s) }

// ParseJobState is the inverse of String.
func ParseJobState(s string) (JobState, error) { return parse(jobNames, "job state", s) }

// Job is the one row that makes Google agree with a meeting: a wish, never run twice at once.
type Job struct {
	ID    string
	State JobState
	DueAt time.Time
	// Dispatch counts how often it was sent.
	Dispatch       int64
	DispatchedAt   time.Time
	FailedAttempts int
	// Operation is the create or the retry that waits for it, ReplyInbox where its caller listens; empty when nobody does.
	Operation, ReplyInbox string
	// Traceparent is the W3C trace context of the command that wanted it last; empty while that is not known.
	Traceparent        string
	History            []Attempt
	CreatedAt, EndedAt time.Time
}

// Attempt is one that failed.
type Attempt struct {
	At      time.Time `json:"at"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
}

const (
	// maxPause is the longest pause before another attempt, whatever Google asks for.
	maxPause = 24 * time.Hour
	// maxReason bounds the kept text of a failure, in bytes.
	maxReason = 2048
	// keptAttempts bounds the history of a row.
	keptAttempts = 20
	// giveUpAfter is how long a row whose attempts all failed is tried again.
	giveUpAfter = 72 * time.Hour
	// ReasonGaveUp is the code of a failure after giveUpAfter.
	ReasonGaveUp = "GAVE_UP"
	// ReasonCancelledBeforeLink is the code of a meeting that was cancelled before Google had made its link.
	ReasonCancelledBeforeLink = "CANCELLED_BEFORE_LINK"
)

// want makes the row due at now. A row that is out stays out: its outcome finds that more is wanted. Whose trace the work belongs
// to from here on, the caller says.
func (j *Job) want(now time.Time) {
	if j.State != JobOut {
		j.State, j.DueAt, j.EndedAt = JobDue, now, time.Time{}
	}
	j.FailedAttempts, j.Traceparent = 0, ""
	if len(j.History) > 0 { // the 72 hours begin anew
		j.History = nil
	}
}

// Send marks the row as sent at now and returns the number of this dispatch.
func (j *Job) Send(now time.Time) int64 {
	j.State, j.DispatchedAt = JobOut, now
	j.Dispatch++
	return j.Dispatch
}

// WantedStart is when Google's copy starts: where the client gave no time, an hour after the create, as the original did.
func (m *Meeting) WantedStart() time.Time {
	switch anHourOn := m.CreatedAt.Add(time.Hour); {
	case !m.Start.IsZero():
		return m.Start
	case !m.End.IsZero() && !m.End.After(anHourOn):
		return storable(m.End.Add(-time.Hour))
	default:
		return anHourOn
	}
}

// storable keeps a time that was reckoned within what a message can hold, the years 1 to 9999, and away from the zero time.
func storable(t time.Time) time.Time {
	return Clamp(t, time.Time{}.Add(time.Microsecond), time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC))
}

// Clamp is t, or the nearer of the two ends where t lies outside of them.
func Clamp(t, first, last time.Time) time.Time {
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// WantedEnd is when Google's copy ends: where the client gave none, an hour after the start.
func (m *Meeting) WantedEnd() time.Time {
	if m.End.IsZero() {
		return storable(m.WantedStart().Add(time.Hour))
	}
	return m.End
}

// WantedGuests are the guests without the organizer.
func (m *Meeting) WantedGuests() []string {
	return slices.DeleteFunc(slices.Clone(m.Guests), func(g string) bool { return SameEmail(g, m.OrganizerEmail) })
}

// WantedAbsent says that Google should have no event.
func (m *Meeting) WantedAbsent() bool { return m.Status == Cancelled }

// Outcome is what the scheduler reports of one dispatch.
type Outcome struct {
	Dispatch int64
	// Version is the wish's version that was worked on.
	Version int64
	// Google is all that was learnt; nil when nothing was.
	Google     *GoogleCopy
	Generation int64
	Complete   bool
	// Failure is nil on success.
	Failure *OutcomeFailure
	// Policy is what to do about an event that was found deleted.
	Policy DriftPolicy
}

// OutcomeFailure says why a step failed.
type OutcomeFailure struct {
	Permanent     bool
	Code, Message string
	RetryAt       time.Time
	// Deferred: Google was not asked, so it is no attempt and nothing to give up for.
	Deferred bool
}

// Synced takes an outcome at now. What Google returned is kept whatever the meeting has become; an outcome of an older
// dispatch, or one that came before, changes nothing else. done tells that the operation that waited is over.
func (m *Meeting) Synced(o Outcome, now time.Time) (events []Event, done bool) {
	before := *m
	m.learn(o, now)
	// The dispatch time goes with the outcome. A row that is due and has one was given up for lost: its outcome is late, and
	// saves the next dispatch.
	if o.Dispatch != m.Job.Dispatch || m.Job.DispatchedAt.IsZero() {
		return m.settle(&before, nil, now)
	}
	m.Job.DispatchedAt = time.Time{}
	switch {
	case o.Failure != nil && o.Failure.Permanent, o.Failure != nil && !o.Failure.Deferred && m.triedTooLong(now):
		events = m.fail(o, now)
	case o.Failure != nil:
		if !o.Failure.Deferred {
			m.Job.Remember(o.Failure.Reason(), now)
		}
		m.Job.TryAgain(o.Failure.RetryAt, now)
	case o.Complete && m.WantedVersion <= o.Version && m.overtaken():
		// Somebody changed the event after us and before we had told: what is wanted wins. The next step looks at the event.
		m.Google.Noticed, m.Google.EventDigest, m.Google.EventEtag = time.Time{}, "", ""
		m.Job.State = JobDone
		m.changed(now, true)
	case o.Complete && m.WantedVersion <= o.Version && !m.strayEvent():
		m.Job.State, m.Job.EndedAt = JobDone, now
		m.Job.FailedAttempts, m.Job.History = 0, nil
		m.GoogleSync, m.Failure = SyncOK, Failure{}
		if before.Google.EventVersion > 0 && o.Version > 1 && before.Provisioning == Ready {
			events = append(events, SyncedEvent{fact{m}, o.Version})
		}
	default: // the next step of the same row, or more is wanted by now
		m.Job.State, m.Job.DueAt, m.Job.FailedAttempts = JobDue, now, 0
	}
	return m.settle(&before, events, now)
}

// strayEvent: Google is known to have an event that should be absent. Whoever found nothing to delete looked too early.
func (m *Meeting) strayEvent() bool {
	return m.WantedAbsent() && m.Google.EventID != "" && !m.Google.Deleted
}

// overtaken: the event was seen to change after what is known of it.
func (m *Meeting) overtaken() bool {
	return m.Google.EventID != "" && !m.WantedAbsent() && !m.Google.EventUpdated.IsZero() && m.Google.Noticed.After(m.Google.EventUpdated)
}

// learn keeps what Google returned, unless a later dispatch has told more.
func (m *Meeting) learn(o Outcome, now time.Time) {
	if o.Generation > m.Generation {
		m.Generation = o.Generation
	}
	if o.Google == nil {
		return
	}
	g := *o.Google
	g.clean()
	switch {
	case m.Google.Deleted && !g.Deleted:
		// An insert that was still under way when nothing was found to delete, or the double of an old outcome. Looking again
		// costs one call that changes nothing; an event of a cancelled meeting would invite people to it.
		if !m.WantedAbsent() || g.EventID == "" {
			return
		}
		m.GoogleSync = SyncPending
		m.Job.want(now)
	case g.EventVersion < m.Google.EventVersion:
		return
	}
	if g.SettingsVersion < m.Google.SettingsVersion {
		g.SettingsVersion, g.AutoRecording, g.AccessType = m.Google.SettingsVersion, m.Google.AutoRecording, m.Google.AccessType
	}
	if g.MeetLink == "" { // a link, once there, stays
		g.MeetLink, g.MeetingCode, g.Simulated = m.Google.MeetLink, m.Google.MeetingCode, m.Google.Simulated
	}
	if g.Space == "" && g.MeetLink == m.Google.MeetLink {
		g.Space = m.Google.Space
	}
	if g.Account == "" {
		g.Account = m.Google.Account
	}
	if known := &m.Google; g.EventID == known.EventID && g.EventUpdated.Before(known.EventUpdated) {
		// The event was seen since: a double of an old outcome must not say that it is as it was.
		g.EventEtag, g.EventUpdated, g.EventShown, g.EventDigest = known.EventEtag, known.EventUpdated, known.EventShown, known.EventDigest
	}
	g.Noticed = m.Google.Noticed
	m.Google = g
}

// clean takes out of Google's texts what no row can hold.
func (g *GoogleCopy) clean() {
	for _, text := range []*string{
		&g.CalendarID, &g.EventID, &g.EventEtag, &g.MeetLink, &g.MeetingCode, &g.Space, &g.AutoRecording, &g.AccessType, &g.EventDigest,
		&g.Account, &g.EventShown,
	} {
		*text = cleanText(*text)
	}
}

func cleanText(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// fail ends the row, unless more is wanted by now than what was refused.
func (m *Meeting) fail(o Outcome, now time.Time) []Event {
	reason := o.Failure.Reason()
	m.Job.Remember(reason, now)
	if m.WantedVersion > o.Version && o.Failure.Permanent {
		m.Job.State, m.Job.DueAt = JobDue, now
		return nil
	}
	if reason.Code == ReasonEventGone && o.Policy != 0 && !m.WantedAbsent() && m.Provisioning == Ready {
		m.Job.State = JobDone // whatever follows begins anew
		return m.eventGone(o.Policy, now)
	}
	m.Job.State, m.Job.EndedAt = JobFailed, now
	m.GoogleSync = SyncFailed
	m.Failure = reason
	if !o.Failure.Permanent {
		m.Failure.Code = ReasonGaveUp
	}
	if m.Provisioning == Pending && m.Google.MeetLink == "" {
		m.Provisioning = Failed
		return []Event{ProvisionFailedEvent{fact{m}}}
	}
	return []Event{SyncFailedEvent{fact{m}}}
}

func (m *Meeting) triedTooLong(now time.Time) bool {
	return len(m.Job.History) > 0 && now.Sub(m.Job.History[0].At) > giveUpAfter
}

// Reason is what is kept of a failure.
func (f *OutcomeFailure) Reason() Failure {
	cut := func(s string) string {
		if s = cleanText(s); len(s) > maxReason {
			s = strings.ToValidUTF8(s[:maxReason], "")
		}
		return s
	}
	return Failure{Code: cut(f.Code), Message: cut(f.Message)}
}

// Remember adds an attempt that failed at now to the history of the row.
func (j *Job) Remember(f Failure, now time.Time) {
	j.FailedAttempts++
	j.History = append(j.History, Attempt{At: now, Code: f.Code, Message: f.Message})
	if over := len(j.History) - keptAttempts; over > 0 { // the first is kept: giving up counts from it
		j.History = slices.Delete(j.History, 1, 1+over)
	}
}

// TryAgain makes the row due at a time that is not before now, and within [maxPause] of it.
func (j *Job) TryAgain(at, now time.Time) {
	j.State, j.DueAt = JobDue, at
	if last := now.Add(maxPause); at.After(last) {
		j.DueAt = last
	}
	if at.Before(now) {
		j.DueAt = now
	}
}

// settle turns what was learnt into the meeting's own states, and raises the version when a client would see a difference.
func (m *Meeting) settle(before *Meeting, events []Event, now time.Time) ([]Event, bool) {
	m.judgeRecording(before)
	if before.Google.MeetLink != "" && m.Google.MeetLink != before.Google.MeetLink {
		events = append(events, UpdatedEvent{fact{m}, []string{"meet_link"}})
	}
	switch {
	case m.Provisioning != Ready && m.Google.MeetLink != "":
		m.Provisioning = Ready
		events = append([]Event{ReadyEvent{fact{m}}}, events...)
	case m.Provisioning == Pending && m.Status == Cancelled && m.Job.State == JobDone:
		m.Provisioning = Failed
		m.Failure = Failure{Code: ReasonCancelledBeforeLink, Message: "the meeting was cancelled before Google had made its link"}
	}
	if m.Provisioning != before.Provisioning || m.GoogleSync != before.GoogleSync || m.Google.MeetLink != before.Google.MeetLink ||
		m.Google.EventID != before.Google.EventID || m.Google.Space != before.Google.Space || m.Failure != before.Failure ||
		m.RecordingReason != before.RecordingReason {
		m.Version++
		m.UpdatedAt = now
	}
	return events, before.Provisioning == Pending && m.Provisioning != Pending
}

// ReasonRecordingNotAllowed is why a recording may not come whose setting Google refused, or took and does not show.
const ReasonRecordingNotAllowed = "RECORDING_NOT_ALLOWED"

// judgeRecording says on the meeting what Google made of the wish to record it.
func (m *Meeting) judgeRecording(before *Meeting) {
	switch {
	case m.Recording != Expected: // what was held tells more
	case m.Google.AutoRecording == "ON", m.GoogleSync == SyncOK:
		if m.RecordingReason == ReasonRecordingNotAllowed {
			m.RecordingReason = ""
		}
	case m.GoogleSync == SyncFailed && m.Failure != before.Failure && m.Failure.Code != ReasonDrifted &&
		m.Google.MeetLink != "" && m.Google.EventVersion >= m.WantedVersion:
		m.RecordingReason = ReasonRecordingNotAllowed // the event is as wanted, so it is the settings that were refused
	}
}
