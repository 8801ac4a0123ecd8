package conference

import (
	"strconv"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// The jobs that look at Google.
const (
	Class      = "observe"
	KindCheck  = "check_recording"
	KindSync   = "sync_recording"
	KindFollow = "follow_conferences"

	// giveUp is how long a check whose attempts all failed is tried again by the pauses that it was told; then once a day, for as
	// long as Google knows what was held.
	giveUp      = 72 * time.Hour
	hiddenEvery = 24 * time.Hour
	// syncTries and syncPause are of a check that somebody asked for: so many times again, the n-th after n pauses.
	syncTries = 3
	syncPause = time.Minute
)

// NewCheck is the row that looks after a meeting from a time on.
func NewCheck(id string, m meeting.ID, due, now time.Time) *task.Task {
	t := task.New(id, Class, KindCheck, due, now)
	t.Key, t.MeetingID = strconv.FormatInt(int64(m), 10), m
	t.Payload = map[string]any{"meetingId": t.Key}
	return t
}

// NewSync is the row of a check that somebody asked for.
func NewSync(id string, m meeting.ID, now time.Time) *task.Task {
	t := task.New(id, Class, KindSync, now, now)
	t.MeetingID, t.Payload = m, map[string]any{"meetingId": strconv.FormatInt(int64(m), 10)}
	return t
}

// Replan moves the check row to when something is next to be looked at, by all that is known at now; need: there is no row and there
// should be one, due then. A row that is out is left to its outcome.
func (l *Ledger) Replan(rules Rules, now time.Time) (due time.Time, need bool) {
	next := l.NextLook(rules, now)
	t := l.Check
	switch {
	case t == nil:
		return next, !next.IsZero()
	case t.State == meeting.JobOut:
	case next.IsZero():
		if t.State == meeting.JobDue {
			t.Done(now)
		}
	default:
		t.State, t.DueAt, t.EndedAt = meeting.JobDue, next, time.Time{}
	}
	return time.Time{}, false
}

// Look has the check row due at a time at the latest; while it is out, that is a wish for after its outcome. There must be a row.
func (l *Ledger) Look(at time.Time) {
	t := l.Check
	switch t.State { //nolint:exhaustive // a row that is over begins anew
	case meeting.JobOut: // a due time after the dispatch is a wish that came since
		t.DueAt = at
	case meeting.JobDue:
		t.DueAt = earliest(t.DueAt, at)
	default:
		t.Again(at)
	}
}

// Checked takes the outcome of a dispatch of the check row at now, after everything was taken in; failure is nil on success. It
// tells whether the outcome is of the newest dispatch.
func (l *Ledger) Checked(dispatch int64, failure *meeting.OutcomeFailure, rules Rules, now time.Time) bool {
	t := l.Check
	wished := time.Time{}
	if t.State == meeting.JobOut && t.DueAt.After(t.DispatchedAt) {
		wished = t.DueAt
	}
	if !t.Take(dispatch) {
		return false
	}
	if failure != nil {
		f := *failure
		f.Permanent = false // Google may be set right as long as it knows what was held
		if failure.Permanent {
			f.RetryAt = now.Add(time.Hour)
		}
		if t.Retry(&f, giveUp, now) {
			t.State, t.EndedAt, t.DueAt = meeting.JobDue, time.Time{}, now.Add(hiddenEvery)
			if l.Meeting.WantedEnd().Add(keptByGoogle).Before(now) {
				t.Fail(now)
			}
		}
		return true
	}
	t.Again(now)
	t.Result = l.Result()
	l.Replan(rules, now)
	switch {
	case t.State != meeting.JobDue:
	case !t.DueAt.After(now): // what was to be told by now was not
		t.DueAt = now.Add(filePause)
	default:
		t.DueAt = latest(t.DueAt, now.Add(breath))
	}
	if !wished.IsZero() {
		l.Look(latest(wished, now.Add(time.Second)))
	}
	return true
}

// Refused tells whether a check has failed so often, or so surely, that Google must be said to show nothing.
func Refused(failure *meeting.OutcomeFailure, t *task.Task, now time.Time) bool {
	if failure == nil || failure.Deferred {
		return false
	}
	return failure.Permanent || len(t.History) > 0 && now.Sub(t.History[0].At) >= giveUp
}

// Synced takes the outcome of a check that somebody asked for.
func (l *Ledger) Synced(t *task.Task, dispatch int64, failure *meeting.OutcomeFailure, now time.Time) {
	if !t.Take(dispatch) {
		return
	}
	if failure == nil {
		t.Result = l.Result()
		t.Done(now)
		return
	}
	f := *failure
	if !f.Deferred {
		f.RetryAt = now.Add(time.Duration(t.FailedAttempts+1) * syncPause)
	}
	f.Permanent = f.Permanent || !f.Deferred && t.FailedAttempts >= syncTries
	t.Retry(&f, giveUp, now)
}

// Result is what a check is shown to have found.
func (l *Ledger) Result() map[string]any {
	recordings := 0
	for _, c := range l.Conferences {
		recordings += len(c.Recordings)
	}
	result := map[string]any{
		"conferences": len(l.Conferences), "recordings": recordings,
		"recording_state": l.Meeting.Recording.String(), "recording_reason": l.Meeting.RecordingReason,
	}
	if l.Meeting.Google.Space != "" && l.Meeting.Google.Account == "" {
		result["not_read"] = "it is not known whose space it is"
	}
	return result
}
