package meeting

import "time"

// Event is a fact about a meeting, in the past tense.
type Event interface{ about() *Meeting }

type fact struct{ Meeting *Meeting }

func (f fact) about() *Meeting { return f.Meeting }

// About is the meeting that an event is about.
func About(e Event) *Meeting { return e.about() }

// CreatedEvent: a meeting was stored and Google was asked for its link.
type CreatedEvent struct{ fact }

// ReadyEvent: Google made the link.
type ReadyEvent struct{ fact }

// ProvisionFailedEvent: Google refused the create for good, or trying was given up.
type ProvisionFailedEvent struct{ fact }

// RescheduledEvent: the times changed.
type RescheduledEvent struct {
	fact
	PreviousStart, PreviousEnd time.Time
}

// UpdatedEvent: fields changed other than the times and the status.
type UpdatedEvent struct {
	fact
	Fields []string
}

// StatusChangedEvent: a client set another status than cancelled.
type StatusChangedEvent struct {
	fact
	Previous Status
}

// CancelledEvent: the meeting was called off.
type CancelledEvent struct{ fact }

// SyncedEvent: Google's copy was made equal to the meeting after a change.
type SyncedEvent struct {
	fact
	SyncedVersion int64
}

// SyncFailedEvent: Google refused a change for good.
type SyncFailedEvent struct{ fact }
