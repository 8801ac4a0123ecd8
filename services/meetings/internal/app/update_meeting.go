package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"

// UpdateMeeting changes a meeting.
type UpdateMeeting struct {
	Ref   meeting.Ref
	Etag  string
	Patch meeting.Patch
}

// Needs the meeting with its guests.
func (c *UpdateMeeting) Needs(n *Needs) {
	n.Meetings, n.Guests = append(n.Meetings, c.Ref), append(n.Guests, c.Ref)
	if c.Patch.Start != nil || c.Patch.End != nil || c.Patch.Status != nil { // what was held matters to when is looked next
		n.Ledgers = append(n.Ledgers, c.Ref)
	}
	if len(c.Patch.RemovePeople) > 0 {
		n.People = append(n.People, c.Ref)
	}
}

// Apply refuses with [meeting.ErrNotFound], [fault.VersionMismatch], [fault.Conflict] and [fault.Invalid].
func (c *UpdateMeeting) Apply(u *Unit, _ *Command) (Result, error) {
	m, err := u.Meeting(c.Ref)
	if err != nil {
		return Result{}, err
	}
	if err := m.CheckEtag(c.Etag); err != nil {
		return Result{}, err
	}
	before := changing(m)
	facts, err := m.Update(c.Patch, u.Now)
	if err != nil {
		return Result{}, err
	}
	u.Touch(m)
	more, err := u.moved(m, before)
	if err != nil {
		return Result{}, err
	}
	return Result{Meeting: m, Facts: append(facts, more...)}, nil
}
