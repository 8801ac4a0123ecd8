package app

import (
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// ConferenceObserved takes what the scheduler read at Google: the outcome of a check of one meeting or of the reading of an account.
type ConferenceObserved struct {
	Job      uuid.UUID
	Dispatch int64
	// MeetingID or Owner is set.
	MeetingID   meeting.ID
	Owner       conference.OwnerID
	Account     string
	Conferences []conference.Observed
	// Listed: with this outcome, all conferences that began from From until Until are known.
	Listed      bool
	From, Until time.Time
	// Partial: more parts of the same outcome follow.
	Partial      bool
	Subscription *conference.Subscription
	GoogleUser   string
	Failure      *meeting.OutcomeFailure
}

// Needs the job, the meetings of all conferences that were seen, and numbers for what may be new.
func (c *ConferenceObserved) Needs(n *Needs) {
	n.Tasks = append(n.Tasks, c.Job)
	if c.Owner != 0 {
		n.Owners = append(n.Owners, c.Owner)
	}
	if c.MeetingID != 0 {
		ref := meeting.Ref{ID: c.MeetingID}
		n.Meetings, n.Ledgers, n.Attended, n.People = append(n.Meetings, ref), append(n.Ledgers, ref), append(n.Attended, ref), append(n.People, ref)
	}
	for i := range c.Conferences {
		o := &c.Conferences[i]
		n.Records = append(n.Records, o.Record)
		n.New.Conferences = append(n.New.Conferences, o.Record)
		if o.Space != "" {
			n.Spaces = append(n.Spaces, o.Space)
			if n.SpaceOf == nil {
				n.SpaceOf = map[string]string{}
			}
			n.SpaceOf[o.Record] = o.Space
		}
		if o.AttendeesRead || len(o.Attendees) > 0 {
			n.AttendedRecords = append(n.AttendedRecords, o.Record)
			if o.Space != "" {
				n.AttendedSpaces = append(n.AttendedSpaces, o.Space)
			}
		}
		for j := range o.Recordings {
			n.New.Recordings = append(n.New.Recordings, o.Recordings[j].Name)
		}
		for j := range o.Attendees {
			n.New.Attendees = append(n.New.Attendees, o.Attendees[j].Name)
		}
		for j := range o.Transcripts {
			n.New.Transcripts = append(n.New.Transcripts, o.Transcripts[j].Name)
			for k := range o.Transcripts[j].Entries {
				n.Entries = append(n.Entries, o.Transcripts[j].Entries[k].Name)
			}
		}
	}
}

// Apply keeps what was seen however old the dispatch is: it is true all the same. Only the outcome of the newest one moves its row.
func (c *ConferenceObserved) Apply(u *Unit, _ *Command) (Result, error) {
	var result Result
	seen := map[meeting.ID]*conference.Ledger{}
	var order []*conference.Ledger
	add := func(l *conference.Ledger) {
		if _, known := seen[l.Meeting.ID]; !known {
			seen[l.Meeting.ID] = l
			order = append(order, l)
		}
	}
	w := u.world()
	looks := map[meeting.ID]bool{}
	for i := range c.Conferences {
		o := &c.Conferences[i]
		l := u.held(o.Record, o.Space)
		if l == nil {
			continue // held elsewhere
		}
		add(l)
		facts, err := l.Observe(o, w)
		if err != nil {
			return Result{}, err
		}
		result.Facts = append(result.Facts, facts...)
		if l.Find(o.Record) == nil {
			continue
		}
		u.Records[o.Record] = l.Meeting.ID
		u.began(l, o.StartedAt)
		facts, look, err := u.recall(l, o.Record)
		if err != nil {
			return Result{}, err
		}
		result.Facts = append(result.Facts, facts...)
		looks[l.Meeting.ID] = looks[l.Meeting.ID] || look && !o.RecordingsRead
	}
	own := u.Ledgers[c.MeetingID]
	if own != nil {
		add(own)
		if own.Hidden() && c.Failure == nil && !c.Partial {
			c.Failure = &meeting.OutcomeFailure{Code: conference.ReasonNotReadable, Message: "Google does not show the account a conference which it knows", Permanent: true}
		}
	}
	for _, l := range order {
		facts, err := u.settleLedger(l, c.looked(u, l, own))
		if err != nil {
			return Result{}, err
		}
		result.Facts = append(result.Facts, facts...)
		if l != own {
			if err := u.replanAndLook(l, looks[l.Meeting.ID]); err != nil {
				return Result{}, err
			}
		}
	}
	if c.Partial {
		return result, nil
	}
	err := c.finish(u, own, &result) // first: it adds to the result
	return result, err
}

// began remembers that a conference of the account began then.
func (u *Unit) began(l *conference.Ledger, at time.Time) {
	account := l.Meeting.Google.Account
	if at.After(l.Owner.HeldAt) && at.After(u.Began[account]) {
		u.Began[account] = at
	}
	l.Owner.Held(at)
}

// looked says what the reading covers of a meeting's time: the one it was made for as it was listed.
func (c *ConferenceObserved) looked(u *Unit, l, own *conference.Ledger) conference.Looked {
	if l != own || c.Partial {
		return conference.Looked{}
	}
	looked := conference.Looked{}
	if t := u.Tasks[c.Job.String()]; t != nil && c.Dispatch == t.Dispatch {
		looked.Refused = conference.Refused(c.Failure, t, u.Now)
	}
	if c.Listed && c.Failure == nil {
		looked.Until = c.Until
	}
	return looked
}

// finish ends the dispatch that the outcome is of.
func (c *ConferenceObserved) finish(u *Unit, own *conference.Ledger, result *Result) error {
	if owner := u.Owners[c.Owner]; owner != nil {
		owner.Held(u.Began[owner.Account])
		result.OwnerFacts = owner.Followed(conference.Reading{
			Dispatch: c.Dispatch, Listed: c.Listed, From: c.From, Until: c.Until, Subscription: c.Subscription, GoogleUser: c.GoogleUser, Failure: c.Failure,
		}, u.Looking.Every, u.Now)
		u.dirtyOwners[owner.ID] = struct{}{}
		return nil
	}
	if own == nil {
		return nil
	}
	if own.Check != nil && own.Check.ID == c.Job.String() {
		if own.Checked(c.Dispatch, c.Failure, u.Looking.Rules, u.Now) {
			return u.keepCheck(own)
		}
		return u.replan(own)
	}
	if t := u.Task(c.Job); t != nil && t.Kind == conference.KindSync {
		own.Synced(t, c.Dispatch, c.Failure, u.Now)
	}
	return u.replan(own)
}
