package task_test

import (
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

var noon = time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)

const giveUp = 72 * time.Hour

// sent is a row that the relay has sent at a time.
func sent(t *task.Task, at time.Time) *task.Task {
	t.Dispatch++
	t.State, t.DispatchedAt = meeting.JobOut, at
	return t
}

func row() *task.Task {
	return task.New("0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f", "export", "export_recording", noon, noon)
}

func TestAnOutcomeIsTakenOnceAndOnlyOfTheNewestDispatch(t *testing.T) {
	r := sent(row(), noon)
	r.State = meeting.JobDue // given up for lost: the outcome is only late
	if r.Take(0) || r.Take(2) {
		t.Error("the outcome of another dispatch is taken")
	}
	if r.Stale(1) || !r.Take(1) {
		t.Error("the outcome of the newest dispatch is not taken")
	}
	if !r.Stale(1) || r.Take(1) {
		t.Error("a double is taken")
	}
	if sent(r, noon); r.Take(1) || !r.Take(2) {
		t.Error("sent again, the older outcome is taken, or the newer is not")
	}
}

func TestAFailureIsTriedAgainWithinBounds(t *testing.T) {
	for name, c := range map[string]struct {
		failure  meeting.OutcomeFailure
		due      time.Time // zero: it has failed
		attempts int
	}{
		"soon":               {meeting.OutcomeFailure{RetryAt: noon.Add(time.Minute)}, noon.Add(time.Minute), 1},
		"in the past":        {meeting.OutcomeFailure{}, noon, 1},
		"next year":          {meeting.OutcomeFailure{RetryAt: noon.AddDate(1, 0, 0)}, noon.Add(24 * time.Hour), 1},
		"nobody was asked":   {meeting.OutcomeFailure{Deferred: true, RetryAt: noon.Add(time.Second)}, noon.Add(time.Second), 0},
		"it can't be healed": {meeting.OutcomeFailure{Permanent: true, RetryAt: noon.Add(time.Second)}, time.Time{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := sent(row(), noon)
			failed := r.Retry(&c.failure, giveUp, noon)
			if failed != c.due.IsZero() || r.FailedAttempts != c.attempts || len(r.History) != c.attempts {
				t.Fatalf("failed: %v, %d attempts, history %v", failed, r.FailedAttempts, r.History)
			}
			if failed {
				if r.State != meeting.JobFailed || !r.EndedAt.Equal(noon) {
					t.Errorf("the row is %s, ended at %s", r.State, r.EndedAt)
				}
			} else if r.State != meeting.JobDue || !r.DueAt.Equal(c.due) {
				t.Errorf("the row is %s at %s, want %s", r.State, r.DueAt, c.due)
			}
		})
	}
}

func TestARowIsGivenUpWhenOneStepHasFailedForSoLong(t *testing.T) {
	r, hours := row(), 0
	for ; !r.Retry(&meeting.OutcomeFailure{Code: "STORAGE_FULL"}, giveUp, noon.Add(time.Duration(hours)*time.Hour)); hours++ {
		// What was never asked is nothing to give up for.
		if r.Retry(&meeting.OutcomeFailure{Deferred: true}, 0, noon.Add(time.Duration(hours)*time.Hour)) {
			t.Fatal("given up for what was deferred")
		}
	}
	if hours != 72 || r.FailedAttempts != 73 {
		t.Errorf("given up after %d hours and %d attempts", hours, r.FailedAttempts)
	}
	if len(r.History) > 20 || !r.History[0].At.Equal(noon) {
		t.Errorf("%d attempts are kept, the first of %s", len(r.History), r.History[0].At)
	}
	late := noon.Add(71 * time.Hour)
	r = row()
	r.Retry(&meeting.OutcomeFailure{Code: "STORAGE_FULL"}, giveUp, noon)
	r.Again(late) // the step was taken, and the next one fails for the first time
	if r.Retry(&meeting.OutcomeFailure{Code: "STORAGE_FULL"}, giveUp, noon.Add(73*time.Hour)) || r.FailedAttempts != 1 {
		t.Errorf("the next step is given up for what the last one took: %d attempts", r.FailedAttempts)
	}
}

func TestOnlyARowThatIsOverIsRenewed(t *testing.T) {
	later := noon.Add(time.Hour)
	for state, want := range map[meeting.JobState]meeting.JobState{
		meeting.JobDue: meeting.JobDue, meeting.JobOut: meeting.JobOut, meeting.JobDone: meeting.JobDue, meeting.JobFailed: meeting.JobDue,
	} {
		r := row()
		r.Remember(meeting.Failure{Code: "X"}, noon)
		switch state {
		case meeting.JobDue:
		case meeting.JobOut:
			sent(r, noon)
		case meeting.JobDone:
			r.Done(noon)
		case meeting.JobFailed:
			r.Fail(noon)
		}
		r.Renew(later)
		if r.State != want || r.DueAt.Equal(later) != (state != want) || (len(r.History) == 0) != (state != want) || state != want && !r.EndedAt.IsZero() {
			t.Errorf("%s becomes %s, due %s, history %v", state, r.State, r.DueAt, r.History)
		}
	}
}
