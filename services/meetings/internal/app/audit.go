package app

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Change is what a command did to something that is neither a meeting nor a user, for the audit log.
type Change struct {
	Kind, ID      string
	Before, After audit.Fields
}

// trail remembers how things were before a command, so that the log can say what it changed.
type trail struct {
	meetings map[meeting.ID]audit.Fields
	users    map[account.ID]audit.Fields
	// about is what the command names, should it be refused.
	kind, id string
}

// follow looks at what the command named, before it is carried out.
func follow(u *Unit, c *Command) trail {
	var t trail
	for _, ref := range c.refs {
		t.kind, t.id = audit.Meeting, refText(ref)
		m, err := u.Meeting(ref)
		if err != nil {
			continue
		}
		if t.meetings == nil {
			t.meetings = make(map[meeting.ID]audit.Fields, len(c.refs))
		}
		t.id = strconv.FormatInt(int64(m.ID), 10)
		t.meetings[m.ID] = meetingFields(u.Mask, m)
	}
	for _, id := range c.users {
		t.kind, t.id = audit.User, strconv.FormatInt(int64(id), 10)
		if user, loaded := u.Users[id]; loaded {
			if t.users == nil {
				t.users = make(map[account.ID]audit.Fields, len(c.users))
			}
			t.users[id] = userFields(u.Mask, user)
		}
	}
	return t
}

func refText(ref meeting.Ref) string {
	if ref.UID != "" {
		return ref.UID
	}
	return strconv.FormatInt(int64(ref.ID), 10)
}

// audited writes what became of a command into the log. Outcomes are the system's own and have their events; a denied one is
// an attempt like any other.
func (t *trail) audited(u *Unit, c *Command, r Result) error {
	if c.Outcome && (c.Refusal == nil || !denied(c.Refusal)) {
		return nil
	}
	e := audit.Entry{
		At: u.Now, Principal: c.Principal, Role: string(c.Actor.Role), Credential: c.Actor.Credential, Action: c.Kind, SubjectKind: t.kind, SubjectID: t.id,
		RequestID: c.RequestID, RemoteAddr: c.RemoteAddr, Outcome: audit.OK,
	}
	switch {
	case c.Refusal != nil && denied(c.Refusal):
		e.Outcome, e.Reason = audit.Denied, c.Refusal.Reason
	case c.Refusal != nil:
		e.Outcome, e.Reason = audit.Refused, c.Refusal.Reason
	case r.Change != nil:
		e.SubjectKind, e.SubjectID, e.Before, e.After = r.Change.Kind, r.Change.ID, r.Change.Before, r.Change.After
	case r.Meeting != nil:
		e.SubjectKind, e.SubjectID = audit.Meeting, strconv.FormatInt(int64(r.Meeting.ID), 10)
		e.Before, e.After = audit.Diff(t.meetings[r.Meeting.ID], meetingFields(u.Mask, r.Meeting))
		for _, fact := range r.UserFacts {
			if fact.Created {
				e.After["organizer_is_new"] = true
			}
		}
	case r.User != nil:
		e.SubjectKind, e.SubjectID = audit.User, strconv.FormatInt(int64(r.User.ID), 10)
		e.Before, e.After = audit.Diff(t.users[r.User.ID], userFields(u.Mask, r.User))
		if passwordChanged(r) {
			e.After["password"] = "changed"
		}
	}
	return u.audit(&e)
}

func passwordChanged(r Result) bool {
	for _, f := range r.UserFacts {
		for _, name := range f.Fields {
			if name == "password" {
				return true
			}
		}
	}
	return false
}

// audit appends an entry; the store chains it.
func (u *Unit) audit(e *audit.Entry) error {
	line, err := e.Line()
	if err != nil {
		return fmt.Errorf("audit %s: %w", e.Action, err)
	}
	u.Audit = append(u.Audit, AuditRow{
		At: e.At, Principal: e.Principal, Action: e.Action, SubjectKind: e.SubjectKind, SubjectID: e.SubjectID, Outcome: string(e.Outcome), Line: line,
	})
	return nil
}

// AuditRow is an entry to append.
type AuditRow struct {
	At                                                 time.Time
	Principal, Action, SubjectKind, SubjectID, Outcome string
	Line                                               string
}

// meetingFields are what a client can change of a meeting; what Google and conferences make of it is told by events.
func meetingFields(mask audit.Mask, m *meeting.Meeting) audit.Fields {
	f := audit.Fields{
		"auto_record": m.AutoRecord, "create_calendar_event": m.CreateCalendarEvent, "description": mask.Text(m.Description),
		"external_reference": mask.Text(m.ExternalReference), "guests_can_see_each_other": m.GuestsCanSeeEachOther,
		"legal_hold": m.LegalHold, "legal_hold_reason": mask.Text(m.LegalHoldReason),
		"organizer": mask.Person(account.EmailKey(m.OrganizerEmail)), "organizer_id": m.OrganizerID,
		"participants_count": m.ParticipantsCount, "public_access": m.PublicAccess,
		"status": m.Status.String(), "summary": mask.Text(m.Summary), "time_zone": m.TimeZone, "uid": m.UID,
		"scheduled_start": moment(m.Start), "scheduled_end": moment(m.End),
	}
	if m.Guests != nil { // else they were not loaded, and are as they were
		keys := make([]string, 0, len(m.Guests))
		for _, g := range m.Guests {
			keys = append(keys, account.EmailKey(g))
		}
		f["invited"] = mask.People(keys)
	}
	return f
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func userFields(mask audit.Mask, user *account.User) audit.Fields {
	return audit.Fields{
		"email": mask.Person(account.EmailKey(user.Email)), "username": mask.Text(user.Username), "first_name": mask.Text(user.FirstName),
		"last_name": mask.Text(user.LastName), "role": user.Role.String(), "is_active": user.Active,
	}
}

// RecordAudit writes down attempts that the gateway turned away.
type RecordAudit struct {
	Entries []audit.Entry
}

// maxAttempts bounds one command of them.
const maxAttempts = 500

// Needs nothing.
func (c *RecordAudit) Needs(*Needs) {}

// Apply refuses more than 500 at once with [fault.Invalid].
func (c *RecordAudit) Apply(u *Unit, _ *Command) (Result, error) {
	if len(c.Entries) == 0 || len(c.Entries) > maxAttempts {
		return Result{}, fault.InvalidField("attempts", "RANGE", "must be from 1 to 500")
	}
	var errs []error
	for i := range c.Entries {
		e := &c.Entries[i]
		e.Outcome, e.SubjectKind = audit.Denied, audit.Request
		if e.At.IsZero() || e.At.After(u.Now) {
			e.At = u.Now
		}
		errs = append(errs, u.audit(e))
	}
	return Result{Silent: true}, errors.Join(errs...)
}
