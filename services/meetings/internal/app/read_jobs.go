package app

import (
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// JobRow is a row of work as it is shown.
type JobRow struct {
	meeting.Job
	Class, Kind string
	// MeetingID is 0 where it is about no meeting.
	MeetingID meeting.ID
	// Result is what came of it, a JSON object; "{}" while nothing did.
	Result string
}

// JobFilter picks jobs; zero fields do not filter.
type JobFilter struct {
	MeetingID   meeting.ID
	OrganizerID int64
	State       meeting.JobState
	Class, Kind string
	// After is the last row of the page before.
	After JobPlace
	Limit int
}

// JobPlace is a row's place in the list: what is due or out comes first, by its due time, then what ended, the last ended first.
// The zero place is before all.
type JobPlace struct {
	Ended bool
	// At is when it is due, or ended.
	At time.Time
	ID uuid.UUID
}
