package app

import (
	"context"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Outbox is what the relay publishes from. One instance leads at a time.
type Outbox interface {
	// Lead waits until no other instance leads, and makes this one the active one until Close, or until its connection is lost:
	// then every call fails.
	Lead(ctx context.Context) (Lead, error)
	// Led tells whether some instance leads.
	Led(ctx context.Context) (bool, error)
	// LastSequence is the last number given.
	LastSequence(ctx context.Context) (int64, error)
}

// Lead is the active relay's own connection. Every write is committed when its call returns.
type Lead interface {
	// State is what the last leader left.
	State(ctx context.Context) (RelayState, error)
	// NumberEvents gives the next numbers to the oldest facts that have none, at most limit, and returns them by number.
	NumberEvents(ctx context.Context, limit int) ([]LoggedEvent, error)
	// EventsAfter reads numbered facts.
	EventsAfter(ctx context.Context, seq int64, limit int) ([]LoggedEvent, error)
	// FirstSequenceSince is the number of the first fact at or after a time, give or take the moment that a commit takes; 0 when
	// there is none.
	FirstSequenceSince(ctx context.Context, since time.Time) (int64, error)
	// MarkPublished says that every fact up to seq is in the stream, the last of them at streamSeq.
	MarkPublished(ctx context.Context, seq int64, streamSeq uint64) error
	// MarkStreams says what the streams are like now, and from where facts are to be published again.
	MarkStreams(ctx context.Context, s RelayState) error
	// SendDue marks due google jobs as sent, as many as fit under the limit of what is out, and returns their meetings in the
	// order to send them in: creates first, then round robin by organizer.
	SendDue(ctx context.Context, now time.Time, limit int) ([]*meeting.Meeting, error)
	// SendTasks marks due jobs of a class that are no meetings' as sent, oldest first, as many as fit under the limit of what is
	// out and at most window.
	SendTasks(ctx context.Context, class string, now time.Time, limit, window int) ([]Task, error)
	// NextDue is when the next waiting job of each class falls due; absent where none waits.
	NextDue(ctx context.Context, classes []string) (map[string]time.Time, error)
	// OutSince are the jobs of each class sent before a time that have no outcome.
	OutSince(ctx context.Context, before time.Time, classes []string) (map[string][]JobRef, error)
	// SendAgain makes these due at once, where nothing happened to them in between.
	SendAgain(ctx context.Context, jobs []JobRef, now time.Time) error
	// Sweep deletes what is kept no longer, and returns how many rows went.
	Sweep(ctx context.Context, now time.Time) (int64, error)
	Close(ctx context.Context) error
}

// RelayState is what the relay keeps of the streams.
type RelayState struct {
	// LastSeq is the last number given; PublishedSeq the last that the stream acknowledged with all before it.
	LastSeq, PublishedSeq int64
	// EventsCreated and JobsCreated are the streams' creation times; zero before the first run.
	EventsCreated, JobsCreated time.Time
	// EventsLastSeq is the stream sequence of the last fact published.
	EventsLastSeq uint64
}

// Task is the message of a job that is no meeting's.
type Task struct {
	JobID    string
	Kind     string
	Dispatch int64
	// Traceparent is the trace of the command that wanted it; empty: none.
	Traceparent string
	Body        []byte
}

// JobRef is one dispatch of a job.
type JobRef struct {
	ID       string
	Dispatch int64
}

// How long rows are kept.
const (
	// KeepCommands is how long an idempotency key is remembered and an operation can be followed.
	KeepCommands = 24 * time.Hour
	// KeepJobs is how long a job that is over can be looked at.
	KeepJobs = 30 * 24 * time.Hour
	// KeepNotices is how long notices of a conference that is not known wait for a listing to bring it.
	KeepNotices = 24 * time.Hour
)
