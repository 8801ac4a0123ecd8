package app

import (
	"context"
	"time"
)

// Counts is what the metrics ask of the store at a scrape. Each is a moment's work beside half a million jobs, but for Planned and
// RecentRecordings, which are asked for once a minute.
type Counts interface {
	Backlog(ctx context.Context, now time.Time, classes []string) (Backlog, error)
	// Planned counts the jobs whose time has not come, by class; a class without any may be left out.
	Planned(ctx context.Context, now time.Time) (map[string]int64, error)
	// RecentRecordings counts what became of recordings; copied: copies are made, so that a file alone is not the end.
	RecentRecordings(ctx context.Context, now time.Time, copied bool) (RecordingCounts, error)
}

// Backlog is work that is not finished.
type Backlog struct {
	// Lag is the age of the oldest fact that is not in the stream; 0 when all are.
	Lag  time.Duration
	Jobs []JobCount
}

// JobCount counts the jobs of a class.
type JobCount struct {
	Class string
	// Due are those whose time has come and that are not sent yet, Out those that were sent and have no outcome, Failed those that were
	// given up and are still kept.
	Due, Out, Failed int64
	// Late is how long ago the first of the due ones fell due; 0 without any.
	Late time.Duration
}

// RecordingCounts say what became of the recordings of meetings that ended lately.
type RecordingCounts struct {
	LastDay, LastWeek CoverageCount
	// Overdue are those, of whatever age, that should be settled by now and are not: [OverdueAfter] the end of the meeting.
	Overdue int64
	// NotStarted are meetings of the last day in which people are and nothing is recorded.
	NotStarted int64
}

// OverdueAfter is how long after its end a meeting's recording is settled at the latest while all works: a file is waited for for a
// day, and then comes the copy.
const OverdueAfter = 26 * time.Hour
