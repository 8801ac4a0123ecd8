package job

import "context"

// Class is a kind of call to Google that has a quota of its own.
type Class string

// The classes, as Google's quota pages divide them.
const (
	ClassCalendar    Class = "calendar"
	ClassMeetRead    Class = "meet_read"
	ClassMeetWrite   Class = "meet_write"
	ClassMeetCreate  Class = "meet_create"
	ClassDrive       Class = "drive"
	ClassEventsRead  Class = "events_read"
	ClassEventsWrite Class = "events_write"
	ClassDirectory   Class = "directory"
)

// Demand is the calls that a step is about to make.
type Demand struct {
	// Organizer is whose share of the quotas they use.
	Organizer string
	// Urgent calls go before the others: somebody waits for what they make.
	Urgent bool
	Calls  []Class
}

// Quotas keeps what is asked of Google within its quotas, and asks nothing while Google is down.
type Quotas interface {
	// Reserve waits a moment for the calls of d. The context that it returns carries them to the Google client; release gives
	// back those that were not made. Calls that can't be made soon are a [Deferred] failure with the time to come again.
	Reserve(ctx context.Context, d Demand) (with context.Context, release func(), err error)
}

// demand is what the next step towards w asks of Google, as [SyncMeeting.step] goes about it where nothing unusual happens.
func (s *SyncMeeting) demand(w Wish) Demand {
	d := Demand{Organizer: w.Organizer}
	urgent := func(calls ...Class) { d.Urgent, d.Calls = true, calls }
	switch {
	case w.Absent && (w.Google.Deleted || w.Google.EventID == "" && (!w.Calendar || w.Google.EventVersion > 0)):
		return d // nothing to delete
	case w.Absent, w.Google.EventVersion == 0 && w.Calendar:
		urgent(ClassCalendar)
		return d
	case w.Google.EventVersion == 0:
		urgent(ClassMeetCreate)
		return d
	case w.Google.EventVersion < w.Version && w.Google.EventID != "":
		actor, err := s.calendar.Actor(w.Organizer)
		if err != nil {
			return d
		}
		switch digest := w.event(actor).digest(); {
		case digest == w.Google.EventDigest:
		case sameGuests(w.Google.EventDigest, digest) && w.Google.EventETag != "":
			urgent(ClassCalendar)
			return d
		default:
			urgent(ClassCalendar, ClassCalendar) // their answers are read first
			return d
		}
	}
	if w.settingsDue(w.Google) {
		if w.Google.Space == "" {
			d.Calls = append(d.Calls, ClassMeetRead)
		}
		d.Calls = append(d.Calls, ClassMeetWrite)
	}
	return d
}
