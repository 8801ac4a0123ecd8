package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"

// CancelMeeting calls a meeting off.
type CancelMeeting struct {
	Ref  meeting.Ref
	Etag string
}

// Needs the meeting with its guests.
func (c *CancelMeeting) Needs(n *Needs) {
	n.Meetings, n.Guests, n.Ledgers = append(n.Meetings, c.Ref), append(n.Guests, c.Ref), append(n.Ledgers, c.Ref)
}

// Apply refuses with [meeting.ErrNotFound] and [fault.VersionMismatch].
func (c *CancelMeeting) Apply(u *Unit, _ *Command) (Result, error) {
	m, err := u.Meeting(c.Ref)
	if err != nil {
		return Result{}, err
	}
	if err := m.CheckEtag(c.Etag); err != nil {
		return Result{}, err
	}
	before := changing(m)
	facts := m.Cancel(u.Now)
	u.Touch(m)
	more, err := u.moved(m, before)
	if err != nil {
		return Result{}, err
	}
	return Result{Meeting: m, Facts: append(facts, more...)}, nil
}
