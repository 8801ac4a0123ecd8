package meeting

import (
	"slices"
	"strconv"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// Etag is the version as an HTTP entity tag, quotes included.
func (m *Meeting) Etag() string { return strconv.Quote(strconv.FormatInt(m.Version, 10)) }

// Patch changes the fields that are set; a pointer to the zero time clears a time.
type Patch struct {
	Status               *Status
	Start, End           *time.Time
	Summary, Description *string
	AddGuests            []string
	RemoveGuests         []string
	// RemovePeople are numbers of people to remove; the organizer can't be.
	RemovePeople []int64
}

// Update applies a patch at now and returns the facts to publish. A change out of CANCELLED is [fault.Conflict]; a wrong value
// is [fault.Invalid]; then nothing is changed. A patch that changes nothing raises no version and states nothing, but makes
// Google try again where it had failed.
func (m *Meeting) Update(p Patch, now time.Time) ([]Event, error) {
	if err := m.resolve(&p); err != nil {
		return nil, err
	}
	guests := m.guestsAfter(p)
	if err := m.checkPatch(p, len(guests)); err != nil {
		return nil, err
	}
	var events []Event
	google := m.GoogleSync == SyncFailed
	previousStart, previousEnd := m.Start, m.End
	if p.Start != nil {
		m.Start = *p.Start
	}
	if p.End != nil {
		m.End = *p.End
	}
	if !m.Start.Equal(previousStart) || !m.End.Equal(previousEnd) {
		google = true
		events = append(events, RescheduledEvent{fact{m}, previousStart, previousEnd})
	}
	if fields := m.setTexts(p, guests); len(fields) > 0 {
		google = true
		events = append(events, UpdatedEvent{fact{m}, fields})
	}
	switch {
	case p.Status == nil || *p.Status == m.Status:
	case *p.Status == Cancelled:
		google = true
		events = append(events, m.callOff())
	default:
		events = append(events, StatusChangedEvent{fact{m}, m.Status})
		m.Status = *p.Status
	}
	if google || len(events) > 0 {
		m.changed(now, google)
	}
	m.retryProvisioning()
	return events, nil
}

func (m *Meeting) setTexts(p Patch, guests []string) []string {
	var fields []string
	if p.Summary != nil && *p.Summary != m.Summary {
		m.Summary = *p.Summary
		fields = append(fields, "summary")
	}
	if p.Description != nil && *p.Description != m.Description {
		m.Description = *p.Description
		fields = append(fields, "description")
	}
	if !slices.Equal(guests, m.Guests) {
		m.Guests = guests
		m.countParticipants()
		fields = append(fields, "invited_emails")
	}
	return fields
}

// ReasonOrganizerStays is the reason when the organizer is to be removed from his own meeting.
const ReasonOrganizerStays = "ORGANIZER_STAYS"

// resolve turns the numbers of people to remove into their addresses. Who is not there is no error.
func (m *Meeting) resolve(p *Patch) error {
	remove := slices.Clone(p.RemoveGuests)
	for _, person := range m.People {
		if !slices.Contains(p.RemovePeople, person.ID) {
			continue
		}
		if SameEmail(person.Email, m.OrganizerEmail) {
			return fault.New(fault.Conflict, ReasonOrganizerStays, "the organizer can't be removed from the meeting")
		}
		remove = append(remove, person.Email)
	}
	p.RemoveGuests = remove
	return nil
}

// guestsAfter are the guests that a patch leaves, those who stay first.
func (m *Meeting) guestsAfter(p Patch) []string {
	guests := slices.DeleteFunc(slices.Clone(m.Guests), func(g string) bool { return Holds(p.RemoveGuests, g) })
	for _, g := range p.AddGuests {
		if !Holds(guests, g) {
			guests = append(guests, g)
		}
	}
	return guests
}

func (m *Meeting) checkPatch(p Patch, guests int) error {
	var fields []fault.Field
	bad := func(path, reason, text string) {
		fields = append(fields, fault.Field{Path: path, Reason: reason, Text: text})
	}
	if m.Status == Cancelled && p.Status != nil && !slices.Contains(nextStatus[m.Status], *p.Status) {
		return fault.New(fault.Conflict, ReasonCancelled, "a cancelled meeting can't become %s", *p.Status).
			WithFields(fault.Field{Path: "status", Reason: ReasonCancelled, Text: "a cancelled meeting stays cancelled"}).
			WithMeta("from", m.Status.String()).WithMeta("to", p.Status.String())
	}
	start, end := m.Start, m.End
	if p.Start != nil {
		start = *p.Start
	}
	if p.End != nil {
		end = *p.End
	}
	if (p.Start != nil || p.End != nil) && !start.IsZero() && !end.IsZero() && !end.After(start) {
		bad("scheduled_end", ReasonEndBeforeStart, "must be after scheduled_start")
	}
	checkTime(bad, "scheduled_start", start)
	checkTime(bad, "scheduled_end", end)
	if p.Summary != nil {
		checkText(bad, "summary", *p.Summary, maxSummary)
	}
	if p.Description != nil {
		checkText(bad, "description", *p.Description, maxDescription)
	}
	if slices.ContainsFunc(p.AddGuests, func(g string) bool { return !emailLike(g) }) {
		bad("add_invited_emails", "EMAIL", "each must be an email address")
	}
	if guests > MaxGuests {
		bad("add_invited_emails", "COUNT", "a meeting holds at most 200 guests")
	}
	if len(fields) > 0 {
		return fault.InvalidFields(fields...)
	}
	if m.Status == Cancelled && (p.Start != nil || p.End != nil || p.Summary != nil || p.Description != nil || len(p.AddGuests)+len(p.RemoveGuests) > 0) {
		return fault.New(fault.Conflict, ReasonCancelled, "a cancelled meeting can't be changed").
			WithFields(fault.Field{Path: "status", Reason: ReasonCancelled, Text: "a cancelled meeting stays cancelled"})
	}
	return nil
}

// Cancel calls the meeting off at now. Cancelling twice states nothing new, but makes Google try again where it had failed.
func (m *Meeting) Cancel(now time.Time) []Event {
	if m.Status == Cancelled {
		if m.GoogleSync == SyncFailed {
			m.changed(now, true)
		}
		return nil
	}
	called := m.callOff()
	m.changed(now, true)
	return []Event{called}
}

// callOff makes the meeting cancelled; nothing will be recorded that has not begun. What has begun is still to be.
func (m *Meeting) callOff() Event {
	m.Status = Cancelled
	if m.Recording == Expected && m.ConferenceRecordID == "" {
		m.Recording, m.RecordingReason = NotExpected, ""
	}
	return CancelledEvent{fact{m}}
}

// Provision tries Google again after a failure, at once where it is waiting for another attempt, and returns the operation to
// follow: the one that is under way already, else the caller's. Nothing failed: nothing changes.
func (m *Meeting) Provision(operation, replyInbox string, now time.Time) (string, error) {
	if m.Status == Cancelled {
		return "", fault.New(fault.Conflict, ReasonCancelled, "a cancelled meeting has no link to make")
	}
	if m.GoogleSync == SyncFailed || m.Provisioning == Failed {
		m.changed(now, true)
		m.retryProvisioning()
	}
	if m.Job.State == JobDue && m.Job.DueAt.After(now) {
		m.Job.DueAt = now
	}
	if m.Provisioning != Pending {
		return operation, nil
	}
	if m.Job.Operation == "" {
		m.Job.Operation, m.Job.ReplyInbox = operation, replyInbox
	}
	return m.Job.Operation, nil
}

// retryProvisioning turns a failed provisioning that is wanted again into a pending one.
func (m *Meeting) retryProvisioning() {
	if m.Provisioning == Failed && m.GoogleSync == SyncPending && m.Status != Cancelled {
		m.Provisioning = Pending
	}
}
