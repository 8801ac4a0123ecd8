// Package task holds the rules about jobs that are not a meeting's google row: rows of their own that say what is to be done, are
// sent when they fall due, and end with an outcome. What the work is, other packages decide. It does no I/O and asks no clock.
package task

import (
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Task is one row.
type Task struct {
	meeting.Job
	Class, Kind string
	// Key makes it the only one of its kind with this key; empty: there may be many.
	Key string
	// MeetingID is 0 where it is about no meeting.
	MeetingID meeting.ID
	// Payload is what its message carries beside the ids, as protojson writes it.
	Payload map[string]any
	// Result is what came of it, shown to whoever follows the job.
	Result map[string]any
}

// New makes a row that is due at a time. Its ID is a UUIDv7.
func New(id, class, kind string, due, now time.Time) *Task {
	return &Task{
		Job:   meeting.Job{ID: id, State: meeting.JobDue, DueAt: due, CreatedAt: now},
		Class: class, Kind: kind, Payload: map[string]any{}, Result: map[string]any{},
	}
}

// Take tells whether an outcome is of the newest dispatch and the first of it. One that is not changes nothing: it is a double, or
// came after the row had been sent again. A row that was given up for lost and whose outcome is only late is taken all the same.
func (t *Task) Take(dispatch int64) bool {
	if t.Stale(dispatch) {
		return false
	}
	t.DispatchedAt = time.Time{}
	return true
}

// Stale tells whether Take would not take the outcome.
func (t *Task) Stale(dispatch int64) bool { return dispatch != t.Dispatch || t.DispatchedAt.IsZero() }

// Again makes the next step of the same row due, of which no attempt has failed.
func (t *Task) Again(due time.Time) {
	t.State, t.DueAt, t.FailedAttempts, t.History, t.EndedAt = meeting.JobDue, due, 0, nil, time.Time{}
}

// Renew makes a row that is over due once more, as if it were new. One that is due or out stays as it is.
func (t *Task) Renew(due time.Time) {
	if t.State == meeting.JobDone || t.State == meeting.JobFailed {
		t.Again(due)
	}
}

// Done ends the row.
func (t *Task) Done(now time.Time) {
	t.State, t.EndedAt, t.FailedAttempts = meeting.JobDone, now, 0
}

// Fail ends the row without success.
func (t *Task) Fail(now time.Time) { t.State, t.EndedAt = meeting.JobFailed, now }

// Retry takes a failure at now and plans the next attempt, unless the failure is for good, or attempts have failed for longer than
// giveUp: then the row has failed and Retry tells so.
func (t *Task) Retry(f *meeting.OutcomeFailure, giveUp time.Duration, now time.Time) (failed bool) {
	if !f.Deferred {
		t.Remember(f.Reason(), now)
	}
	if f.Permanent || !f.Deferred && now.Sub(t.History[0].At) >= giveUp {
		t.Fail(now)
		return true
	}
	t.TryAgain(f.RetryAt, now)
	return false
}
