package app

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// ConferenceReads is what planning asks of the store. A thing that is not there is a [fault.NotFound].
type ConferenceReads interface {
	// Job is the row of a job that is no meeting's google row.
	Job(ctx context.Context, id uuid.UUID) (*task.Task, error)
	// Ledger is what was held of a meeting, without people.
	Ledger(ctx context.Context, id meeting.ID) (*conference.Ledger, error)
	// Owner is an account that owns spaces, with since when a conference of it is open.
	Owner(ctx context.Context, id conference.OwnerID, now time.Time) (*conference.Owner, error)
	// SpacesNear are the spaces of an account's meetings that start in a window, at most some hundred.
	SpacesNear(ctx context.Context, account string, from, until time.Time) ([]string, error)
}

// Planner says what a job is to read at Google.
type Planner struct {
	reads ConferenceReads
	rules conference.Rules
	clock clock.Clock
}

// NewPlanner makes a planner.
func NewPlanner(reads ConferenceReads, looking Looking, now clock.Clock) *Planner {
	return &Planner{reads: reads, rules: looking.Rules, clock: now}
}

// ConferencePlan is what to read, and in whose name.
type ConferencePlan struct {
	// Stale: the message is an old one, and is to be forgotten.
	Stale   bool
	Account string
	conference.Plan
	// Spaces are ours; complete in a meeting's plan, empty in an account's.
	Spaces []string
	// Owner is set in an account's plan; Subscribe: it is to have a subscription.
	Owner     *conference.Owner
	Subscribe bool
}

// Plan says what the dispatch of a job is to read: a meeting's, or an account's.
func (p *Planner) Plan(ctx context.Context, job uuid.UUID, dispatch int64, id meeting.ID, owner conference.OwnerID) (*ConferencePlan, error) {
	t, err := p.reads.Job(ctx, job)
	if err != nil && fault.Of(err).Kind == fault.NotFound || err == nil && (t.Dispatch != dispatch || t.DispatchedAt.IsZero()) {
		return &ConferencePlan{Stale: true}, nil
	}
	if err != nil {
		return nil, err
	}
	now := p.clock()
	if owner != 0 {
		return p.ofOwner(ctx, owner, now)
	}
	l, err := p.reads.Ledger(ctx, id)
	if err != nil {
		return nil, err
	}
	plan := &ConferencePlan{Account: l.Meeting.Google.Account, Plan: l.Plan(p.rules, t.Kind == conference.KindSync, now)}
	if plan.ListUntil.IsZero() {
		return plan, nil
	}
	// One listing shows what was held of the account's other meetings, too.
	if plan.Spaces, err = p.reads.SpacesNear(ctx, plan.Account, plan.ListFrom, plan.ListUntil); err != nil {
		return nil, err
	}
	plan.Spaces = addOnce(plan.Spaces, l.Meeting.Google.Space)
	return plan, nil
}

func addOnce(spaces []string, space string) []string {
	for _, s := range spaces {
		if s == space {
			return spaces
		}
	}
	return append(spaces, space)
}

func (p *Planner) ofOwner(ctx context.Context, id conference.OwnerID, now time.Time) (*ConferencePlan, error) {
	o, err := p.reads.Owner(ctx, id, now)
	if err != nil {
		return nil, err
	}
	plan := &ConferencePlan{Account: o.Account, Owner: o, Subscribe: o.Busy(now)}
	plan.ListFrom, plan.ListUntil = o.Plan(now)
	return plan, nil
}
