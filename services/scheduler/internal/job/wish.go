// Package job decides what to ask of Google so that it agrees with a meeting, in which order, what to do about each answer and
// when to try again. It knows no NATS, no HTTP and no Google client: adapters bring the wish and the answers.
package job

import (
	"time"
)

// Wish is a meeting as Google should have it, and what is known of Google's copy.
type Wish struct {
	MeetingID  int64
	MeetingUID string
	// Version is the one wanted.
	Version int64
	// Absent: the meeting was cancelled, there should be no event.
	Absent                       bool
	Organizer                    string
	Summary, Description         string
	TimeZone                     string
	Start, End                   time.Time
	Guests                       []string // without the organizer
	AutoRecord, PublicAccess     bool
	GuestsSeeEachOther, Calendar bool
	// Generation is part of the event's id.
	Generation int64
	Google     Copy
}

// Copy is what Google is known to have.
type Copy struct {
	// Account is in whose name the event is kept.
	Account                        string
	CalendarID, EventID, EventETag string
	// EventUpdated is when Google last changed the event by our knowledge; zero while unknown.
	EventUpdated time.Time
	// EventShown is of the texts that Google showed then, which need not be those that were sent; opaque.
	EventShown string
	Link, Code string
	// Space is Google's name of it, spaces/….
	Space string
	// Simulated: the emulator made it.
	Simulated bool
	// EventVersion is the meeting version that the event was last made equal to; 0: there is no event or space yet.
	EventVersion int64
	// SettingsVersion is the meeting version for which the space's settings were last made equal; 0: never.
	SettingsVersion int64
	// Deleted: at our wish.
	Deleted bool
	// AutoRecording and Access are what the space last answered; empty while unread.
	AutoRecording Switch
	Access        Access
	// EventDigest is of what the event was last made to say; empty while unknown.
	EventDigest string
}

// take keeps what an event is like that now says what version wants; digest is of that.
func (c *Copy) take(actor string, state EventState, version int64, digest string) {
	c.Account, c.EventETag, c.EventUpdated, c.EventShown = actor, state.ETag, state.Updated, state.Shown()
	c.EventVersion, c.EventDigest = version, digest
}

// Switch is a setting of a space; the zero value is unknown, or to be left alone.
type Switch string

// The positions, as Meet v2 names them.
const (
	On  Switch = "ON"
	Off Switch = "OFF"
)

// Access is who may join without asking; the zero value is unknown, or to be left alone.
type Access string

// The access types, as Meet v2 names them.
const (
	Open    Access = "OPEN"
	Trusted Access = "TRUSTED"
)

// Attempt is what is known of how often this was tried.
type Attempt struct {
	// Dispatch counts how often the row was sent, this time included.
	Dispatch int64
	// Failed attempts before this dispatch.
	Failed int
	// Delivered counts deliveries of this message, this one included.
	Delivered int
}

// first: nothing can have been done for this meeting by an attempt that never told.
func (a Attempt) first() bool { return a.Dispatch <= 1 && a.Failed == 0 && a.Delivered <= 1 }

// Outcome is what one attempt came to.
type Outcome struct {
	// Version is the wish's that was worked on.
	Version int64
	// Step names what was done last.
	Step Step
	// Google is all that is known by now, also after a failure half way.
	Google Copy
	// Generation of the event's id where it had to be raised; else 0.
	Generation int64
	// Complete: Google equals the wish. False without a failure: the row's next step is due.
	Complete bool
	// Failure is nil on success.
	Failure *Failure
	// RetryAt is when to try again after a failure that is not for good.
	RetryAt time.Time
}

// Step is one thing that is asked of Google.
type Step string

// The steps.
const (
	StepNone     Step = "none"
	StepCreate   Step = "create"
	StepChange   Step = "change"
	StepSettings Step = "settings"
	StepDelete   Step = "delete"
)
