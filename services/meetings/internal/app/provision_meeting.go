package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"

// ProvisionMeeting tries Google again after a failure.
type ProvisionMeeting struct{ Ref meeting.Ref }

// Needs the meeting with its guests.
func (c *ProvisionMeeting) Needs(n *Needs) {
	n.Meetings, n.Guests = append(n.Meetings, c.Ref), append(n.Guests, c.Ref)
}

// Apply refuses with [meeting.ErrNotFound] and [fault.Conflict].
func (c *ProvisionMeeting) Apply(u *Unit, command *Command) (Result, error) {
	m, err := u.Meeting(c.Ref)
	if err != nil {
		return Result{}, err
	}
	operation, err := m.Provision(command.ID.String(), command.ReplyInbox, u.Now)
	if err != nil {
		return Result{}, err
	}
	u.Touch(m)
	return Result{Meeting: m, Operation: operation}, nil
}
