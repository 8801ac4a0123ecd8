package app

import (
	"slices"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// ConferenceNoticed takes notices of Workspace Events.
type ConferenceNoticed struct{ Notices []conference.Notice }

// Needs the meetings of the conferences that are known, and the accounts whose subscriptions told.
func (c *ConferenceNoticed) Needs(n *Needs) {
	for i := range c.Notices {
		notice := &c.Notices[i]
		if notice.Subscription != "" {
			n.Subscriptions = append(n.Subscriptions, notice.Subscription)
		}
		if notice.Lifecycle() {
			n.Subscriptions = append(n.Subscriptions, notice.Resource)
		}
		if notice.User != "" {
			n.GoogleUsers = append(n.GoogleUsers, notice.User)
		}
		record := notice.Record()
		if record == "" {
			continue
		}
		n.Records = append(n.Records, record)
		switch notice.Type { //nolint:exhaustive // the others make no row
		case conference.ParticipantJoined, conference.ParticipantLeft:
			n.AttendedRecords = append(n.AttendedRecords, record)
			n.New.Attendees = append(n.New.Attendees, notice.Rows()...)
		case conference.RecordingStarted, conference.RecordingEnded:
			n.New.Recordings = append(n.New.Recordings, notice.Rows()...)
		case conference.TranscriptStarted, conference.TranscriptEnded, conference.TranscriptGenerated:
			n.New.Transcripts = append(n.New.Transcripts, notice.Rows()...)
		default: // nothing that may need a row
		}
	}
}

// Apply refuses nothing: a notice that says nothing to us is forgotten.
func (c *ConferenceNoticed) Apply(u *Unit, _ *Command) (Result, error) {
	var result Result
	var order []*conference.Ledger
	looks := map[meeting.ID]bool{}
	w := u.world()
	for i := range c.Notices {
		notice := &c.Notices[i]
		l := u.held(notice.Record(), "")
		if l != nil {
			if !slices.Contains(order, l) {
				order = append(order, l)
			}
			before, soon, err := u.recall(l, notice.Record())
			if err != nil {
				return Result{}, err
			}
			facts, look, err := l.Noticed(notice, w)
			if err != nil {
				return Result{}, err
			}
			result.Facts = append(append(result.Facts, before...), facts...)
			looks[l.Meeting.ID] = looks[l.Meeting.ID] || look || soon
		}
		unknown := l == nil && notice.Record() != "" && !notice.At.IsZero()
		if unknown {
			u.NewKept = append(u.NewKept, *notice)
			u.Kept[notice.Record()] = append(u.Kept[notice.Record()], conference.Kept{Notice: *notice, CameAt: u.Now})
		}
		if owner := u.noticedOwner(notice); owner != nil {
			look := unknown && !owner.Listed(u.Kept[notice.Record()])
			result.OwnerFacts = append(result.OwnerFacts, owner.Noticed(notice, look, u.Now)...)
			u.dirtyOwners[owner.ID] = struct{}{}
			if l != nil && owner.NoticedAt.After(l.Owner.NoticedAt) {
				l.Owner.NoticedAt = owner.NoticedAt
			}
		}
	}
	for _, l := range order {
		facts, err := u.settleLedger(l, conference.Looked{})
		if err != nil {
			return Result{}, err
		}
		result.Facts = append(result.Facts, facts...)
		if err := u.replanAndLook(l, looks[l.Meeting.ID]); err != nil {
			return Result{}, err
		}
	}
	return result, nil
}

// noticedOwner is the account that a notice is of: the one whose subscription it came through, or whose spaces are subscribed to.
func (u *Unit) noticedOwner(n *conference.Notice) *conference.Owner {
	for _, o := range u.Owners {
		if o.Subscription.Name != "" && (o.Subscription.Name == n.Subscription || n.Lifecycle() && o.Subscription.Name == n.Resource) {
			return o
		}
	}
	for _, o := range u.Owners {
		if o.GoogleUser != "" && o.GoogleUser == n.User {
			return o
		}
	}
	return nil
}
