package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
)

// Restorable is a store that a backup may have been brought back into.
type Restorable interface {
	// Restored takes the relay's place and keeps it until it is closed. [ErrNotAlone]: another instance has it or is connected.
	Restored(ctx context.Context) (Restored, error)
}

// Restored is a database that was restored, while nobody else is at work in it.
type Restored interface {
	State(ctx context.Context) (RestoredState, error)
	// Renew writes the plan in one transaction and returns how many rows were concerned.
	Renew(ctx context.Context, p RestorePlan) (Renewed, error)
	Close(ctx context.Context) error
}

// RestoredState is what a restored database says of itself.
type RestoredState struct {
	// Identity is another for each restore.
	Identity string
	// Schema is the number of its newest migration.
	Schema int64
	// Events are how many it has, LastSeq is the highest number that it knows to have been given.
	Events, LastSeq int64
	// Newest is when the newest event happened; zero: there is none.
	Newest time.Time
	// Done: it was put in order before, and nothing has happened since. Sequence is then that of the event that says so.
	Done     bool
	Sequence int64
}

// RestorePlan is what is written into a restored database.
type RestorePlan struct {
	Now time.Time
	// Before is the last number that the database knows of; the event gets Sequence, and those after it the next ones.
	Before, Sequence int64
	Event            EventRow
	Audit            AuditRow
	// SkippedIDs is how many numbers each table leaves out.
	SkippedIDs int64
}

// Renewed counts what was written.
type Renewed struct {
	Sessions, Links                     int64
	FollowedCalendars, FollowedAccounts int64
}

// RestoredStreams are the streams beside a restored database.
type RestoredStreams interface {
	// Readers are the programs that take messages from the work queues just now.
	Readers(ctx context.Context) ([]string, error)
	// Held is how many messages each stream has; absent where there is no such stream.
	Held(ctx context.Context) (map[string]uint64, error)
	// Lost gives the events that have a number above after, in the order of MEET_EVENTS.
	Lost(ctx context.Context, after int64, each func(LostEvent) error) error
	// Empty takes everything out of the streams that the relay fills, and makes those that are missing.
	Empty(ctx context.Context) error
}

// LostEvent is one that MEET_EVENTS has and a restored database has not, or not under this number.
type LostEvent struct {
	Sequence int64           `json:"sequence"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Subject  string          `json:"subject"`
	Time     string          `json:"time"`
	Body     json.RawMessage `json:"data"`
}

// ErrNotAlone says that other programs are at work.
var ErrNotAlone = errors.New("other programs are at work on this database or these streams")

// RestoreFact says that everything was brought back from a backup.
type RestoreFact struct {
	// TakenAt is when the backup was taken; zero: nobody said.
	TakenAt time.Time
	LastSeq int64
}

// RestoreCodec renders the event.
type RestoreCodec interface {
	RestoreFact(f RestoreFact) (EventRow, error)
}

// AfterRestore puts a database that was restored from a backup in order, and the streams beside it.
type AfterRestore struct {
	store   Restorable
	streams RestoredStreams
	codec   RestoreCodec
	now     clock.Clock
}

// NewAfterRestore makes it.
func NewAfterRestore(store Restorable, streams RestoredStreams, codec RestoreCodec, now clock.Clock) *AfterRestore {
	return &AfterRestore{store: store, streams: streams, codec: codec, now: now}
}

// RestoreOptions are what a person can say of the restore.
type RestoreOptions struct {
	// Backup names it in the audit log; TakenAt is when it was taken, zero where that is not known.
	Backup  string
	TakenAt time.Time
	// AtLeast is a number that no new event may be below.
	AtLeast int64
	// DryRun writes nothing; Again does all of it in a database that says it was done.
	DryRun, Again bool
}

// RestoreReport is what was found, and done unless it was a dry run.
type RestoreReport struct {
	State RestoredState
	// Held is how many messages each stream had.
	Held map[string]uint64
	// Lost counts the events that only MEET_EVENTS had, by type; LastLost is the highest of their numbers.
	Lost     map[string]int
	LastLost int64
	// Skipped: the database had been put in order before, so only the streams were emptied.
	Skipped bool
	// Sequence is the number of the event that tells of the restore.
	Sequence   int64
	SkippedIDs int64
	Renewed    Renewed
}

const (
	// skipAtLeast is how many ids are left out in any case.
	skipAtLeast      = 1000
	restorePrincipal = "system"
	restoreAction    = "database.restore"
)

// Run puts everything in order; each gets every lost event. It may be run again after a crash at any place: what was written is
// known, and what was emptied is emptied once more.
func (a *AfterRestore) Run(ctx context.Context, o RestoreOptions, each func(LostEvent) error) (r RestoreReport, err error) {
	db, err := a.store.Restored(ctx)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close(ctx)) }()
	readers, err := a.streams.Readers(ctx)
	if err != nil {
		return r, err
	}
	if len(readers) > 0 {
		return r, fmt.Errorf("%w: %s", ErrNotAlone, strings.Join(readers, ", "))
	}
	if r.State, err = db.State(ctx); err != nil {
		return r, err
	}
	if r.Held, err = a.streams.Held(ctx); err != nil {
		return r, err
	}
	r.Lost = make(map[string]int)
	if err := a.streams.Lost(ctx, r.State.LastSeq, func(e LostEvent) error {
		r.Lost[e.Type]++
		r.LastLost = max(r.LastLost, e.Sequence)
		return each(e)
	}); err != nil {
		return r, err
	}
	r.Sequence, r.Skipped = r.State.Sequence, r.State.Done && !o.Again && o.AtLeast <= r.State.Sequence && r.LastLost < r.State.Sequence
	if !r.Skipped {
		if err := a.renew(ctx, db, o, &r); err != nil {
			return r, err
		}
	}
	if o.DryRun {
		return r, nil
	}
	return r, a.streams.Empty(ctx)
}

func (a *AfterRestore) renew(ctx context.Context, db Restored, o RestoreOptions, r *RestoreReport) error {
	now := a.now()
	r.Sequence = max(Resume(now), r.State.LastSeq+1, r.LastLost+1, o.AtLeast)
	r.SkippedIDs = skipped(r.State.Newest, now)
	if o.DryRun {
		return nil
	}
	event, err := a.codec.RestoreFact(RestoreFact{TakenAt: o.TakenAt, LastSeq: r.State.LastSeq})
	if err != nil {
		return err
	}
	if event.ID, err = uuid.NewV7(); err != nil {
		return fmt.Errorf("make an event id: %w", err)
	}
	e := audit.Entry{
		At: now, Principal: restorePrincipal, Role: string(access.Internal), Action: restoreAction, SubjectKind: audit.Database, SubjectID: r.State.Identity, Outcome: audit.OK,
		Before: audit.Fields{"sequence": r.State.LastSeq},
		After:  audit.Fields{"sequence": r.Sequence, "backup": o.Backup, "taken_at": moment(o.TakenAt), "lost_events": r.LostEvents()},
	}
	line, err := e.Line()
	if err != nil {
		return fmt.Errorf("audit the restore: %w", err)
	}
	r.Renewed, err = db.Renew(ctx, RestorePlan{
		Now: now, Before: r.State.LastSeq, Sequence: r.Sequence, Event: event, SkippedIDs: r.SkippedIDs,
		Audit: AuditRow{At: e.At, Principal: e.Principal, Action: e.Action, SubjectKind: e.SubjectKind, SubjectID: e.SubjectID, Outcome: string(e.Outcome), Line: line},
	})
	return err
}

// LostEvents is how many events only MEET_EVENTS had.
func (r *RestoreReport) LostEvents() (n int) {
	for _, of := range r.Lost {
		n += of
	}
	return n
}

// Types are the types of the lost events, in the order of their names.
func (r *RestoreReport) Types() []string {
	types := make([]string, 0, len(r.Lost))
	for t := range r.Lost {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// Resume is the number that events go on with after a restore at now: the microseconds since 1970. Numbers are given more slowly
// than one a microsecond and began at 1, or at a restore's; so whatever was given before, also by what no backup and no stream
// knows, is below it.
func Resume(now time.Time) int64 { return now.UnixMicro() }

// skipped is how many ids are left out: one for each millisecond since the newest event of the backup, since no table gets that
// many rows.
func skipped(newest, now time.Time) int64 {
	if newest.IsZero() {
		return skipAtLeast
	}
	return max(now.Sub(newest).Milliseconds(), skipAtLeast)
}
