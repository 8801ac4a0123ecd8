package meeting

import "time"

// Event is a fact about a meeting, in the past tense.
type Event interface{ about() *Meeting }

type fact struct{ Meeting *Meeting }

func (f fact) about() *Meeting { return f.Meeting }

// Fact is what every fact about a meeting embeds, also those that other packages of rules declare.
type Fact = fact

// About is the meeting that an event is about.
func About(e Event) *Meeting { return e.about() }

// CreatedEvent says that a meeting was stored and Google was asked for its link.
type CreatedEvent struct{ fact }

// ReadyEvent says that Google made the link.
type ReadyEvent struct{ fact }

// ProvisionFailedEvent says that Google refused the create for good, or trying was given up.
type ProvisionFailedEvent struct{ fact }

// RescheduledEvent says that the times changed.
type RescheduledEvent struct {
	fact
	PreviousStart, PreviousEnd time.Time
}

// UpdatedEvent says that fields changed other than the times and the status.
type UpdatedEvent struct {
	fact
	Fields []string
}

// StatusChangedEvent says that a client set another status than cancelled.
type StatusChangedEvent struct {
	fact
	Previous Status
}

// CancelledEvent says that the meeting was called off.
type CancelledEvent struct{ fact }

// SyncedEvent says that Google's copy was made equal to the meeting after a change.
type SyncedEvent struct {
	fact
	SyncedVersion int64
}

// SyncFailedEvent says that Google refused a change for good.
type SyncFailedEvent struct{ fact }
