package app

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// CreateMeeting stores a meeting and asks Google for its link.
type CreateMeeting struct {
	Spec meeting.Spec

	refusal error
}

// Needs a number, and the organizer's user; a wrong spec needs nothing, and the database never sees it.
func (c *CreateMeeting) Needs(n *Needs) {
	if c.refusal = c.Spec.Check(); c.refusal != nil {
		return
	}
	n.NewMeetings = append(n.NewMeetings, n.Command)
	n.Organizers = append(n.Organizers, c.Spec.OrganizerEmail)
}

// Apply refuses a wrong spec with [fault.Invalid].
func (c *CreateMeeting) Apply(u *Unit, command *Command) (Result, error) {
	if c.refusal != nil {
		return Result{}, c.refusal
	}
	before := len(u.NewUsers)
	organizer, err := u.Organizer(c.Spec.OrganizerEmail)
	if err != nil {
		return Result{}, err
	}
	id, err := u.takeMeetingID()
	if err != nil {
		return Result{}, err
	}
	uid, err := uuid.NewV7()
	if err != nil {
		return Result{}, fmt.Errorf("make a uid: %w", err)
	}
	jobID, err := uuid.NewV7()
	if err != nil {
		return Result{}, fmt.Errorf("make a job id: %w", err)
	}
	m, facts := meeting.New(&c.Spec, meeting.Origin{
		ID: id, UID: uid.String(), JobID: jobID.String(), OrganizerID: int64(organizer.ID), OrganizerUsername: organizer.Username,
		Operation: command.ID.String(), ReplyInbox: command.ReplyInbox,
	}, u.Now)
	u.Meetings[id] = m
	u.NewMeetings = append(u.NewMeetings, m)
	if m.AutoRecord {
		if err := u.watch(id, conference.FirstLook(m)); err != nil {
			return Result{}, err
		}
	}
	result := Result{Meeting: m, Operation: command.ID.String(), Facts: facts}
	if len(u.NewUsers) > before {
		result.UserFacts = []UserFact{{User: organizer, Created: true}}
	}
	return result, nil
}
