// Package calendar holds the rules about following the calendars that hold events of ours: when each is read, what becomes of a
// reading, and who may say that one has changed. What the events in it mean is package meeting's. It does no I/O and asks no
// clock.
package calendar

import (
	"crypto/subtle"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// ID numbers a calendar's row.
type ID int64

// Calendar is one that holds events of ours, with the one job that reads it.
type Calendar struct {
	ID ID
	// Account is in whose name it is read; CalendarID is as the Calendar API names it.
	Account, CalendarID string
	// BusyUntil is until when meetings lie ahead in it, give or take a week.
	BusyUntil time.Time
	// SyncToken is where the last read ended; empty: the next one reads all of late and to come.
	SyncToken          string
	FullPassAt, ReadAt time.Time
	// ReadAgain: Google told of a change while it was being read.
	ReadAgain bool
	Channel   Channel
	Failure   meeting.Failure
	Job       meeting.Job
}

// Channel is where Google tells that the calendar has changed; its zero value is none.
type Channel struct {
	ID, Resource, TokenHash string
	ExpiresAt               time.Time
}

const (
	// quietEvery is how often a calendar without a meeting ahead is read.
	quietEvery = 24 * time.Hour
	// breath is the shortest time between two readings, so that a burst of notices is one.
	breath = 5 * time.Second
	// grain is how coarse BusyUntil is: it is written once for many meetings.
	grain = 7 * 24 * time.Hour
)

// Place names a calendar whoever keeps events in it.
func Place(account, calendarID string) string {
	if calendarID == "" || calendarID == "primary" {
		return strings.ToLower(account)
	}
	return calendarID
}

// BusyUntil is what to remember of a meeting that ends at end.
func BusyUntil(end time.Time) time.Time {
	if latest := time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC); !end.Before(latest) {
		return latest
	}
	return end.UTC().Truncate(grain).Add(grain)
}

// busy: a meeting lies ahead, or has ended within a day.
func (c *Calendar) busy(now time.Time) bool { return c.BusyUntil.Add(24 * time.Hour).After(now) }

// Push says whether it should have a channel.
func (c *Calendar) Push(now time.Time) bool { return c.busy(now) }

// Reading is what the scheduler reports of one dispatch.
type Reading struct {
	Dispatch  int64
	SyncToken string
	// Full: everything was read, not only what changed.
	Full    bool
	Channel Channel
	// Failure is nil on success.
	Failure *meeting.OutcomeFailure
}

// Followed takes a reading at now; every is how often it is read. A reading of an older dispatch changes nothing.
func (c *Calendar) Followed(r Reading, every time.Duration, now time.Time) {
	j := &c.Job
	if r.Dispatch != j.Dispatch || j.DispatchedAt.IsZero() {
		return
	}
	j.DispatchedAt = time.Time{}
	j.State = meeting.JobDue
	if r.Channel.ID != "" && r.Channel.ID != c.Channel.ID {
		c.ReadAgain = true // what it told before it was known here was not believed
	}
	c.Channel = r.Channel
	if r.Failure != nil {
		c.Failure = r.Failure.Reason()
		if !r.Failure.Deferred {
			j.FailedAttempts++
		}
		j.DueAt = now.Add(max(every, time.Hour)) // for good, until a person changes something: it is looked at all the same
		if !r.Failure.Permanent {
			j.DueAt = meeting.Clamp(r.Failure.RetryAt, now, now.Add(quietEvery))
		}
		return
	}
	c.SyncToken, c.ReadAt, c.Failure = r.SyncToken, now, meeting.Failure{}
	if r.Full {
		c.FullPassAt = now
	}
	j.FailedAttempts = 0
	switch {
	case c.ReadAgain:
		j.DueAt = now.Add(breath)
	case c.busy(now):
		j.DueAt = now.Add(every)
	default:
		j.DueAt = now.Add(max(every, quietEvery))
	}
	c.ReadAgain = false
}

// Noticed takes a push notice at now: whoever knows the channel's token says that something has changed. It tells whether the
// notice was believed.
func (c *Calendar) Noticed(channel, tokenHash string, now time.Time) bool {
	if c.Channel.ID == "" || c.Channel.ID != channel || subtle.ConstantTimeCompare([]byte(c.Channel.TokenHash), []byte(tokenHash)) != 1 {
		return false
	}
	if c.Job.State != meeting.JobDue {
		c.ReadAgain = true
		return true
	}
	if at := meeting.Clamp(c.ReadAt.Add(breath), now, now.Add(breath)); at.Before(c.Job.DueAt) {
		c.Job.DueAt = at
	}
	return true
}
