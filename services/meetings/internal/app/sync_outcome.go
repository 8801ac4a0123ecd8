package app

import "github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"

// SyncOutcome stores what Google returned to a job.
type SyncOutcome struct {
	MeetingID meeting.ID
	Outcome   meeting.Outcome
}

// Needs the meeting; its guests only matter to the next message, which is then read anew.
func (c *SyncOutcome) Needs(n *Needs) {
	n.Meetings = append(n.Meetings, meeting.Ref{ID: c.MeetingID})
}

// Apply refuses with [meeting.ErrNotFound].
func (c *SyncOutcome) Apply(u *Unit, _ *Command) (Result, error) {
	m, err := u.Meeting(meeting.Ref{ID: c.MeetingID})
	if err != nil {
		return Result{}, err
	}
	outcome := c.Outcome
	outcome.Policy = u.Drift.Policy
	before := changing(m)
	facts, done := m.Synced(outcome, u.Now)
	u.Touch(m)
	u.nudge(m, before)
	u.see(m)
	u.own(m)
	return Result{Meeting: m, Facts: facts, Done: done}, nil
}
