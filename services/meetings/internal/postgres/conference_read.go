package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

var (
	errNoJob   = fault.New(fault.NotFound, "JOB_NOT_FOUND", "no such job")
	errNoOwner = fault.New(fault.NotFound, "OWNER_NOT_FOUND", "no such account")
)

// Job is [app.ConferenceReads].
func (s *Store) Job(ctx context.Context, id uuid.UUID) (*task.Task, error) {
	r, err := db.New(s.pool).GetTask(ctx, id)
	if err != nil {
		return nil, absent(err, errNoJob, "read a job")
	}
	return decodeTask(&r)
}

// Ledger is [app.ConferenceReads].
func (s *Store) Ledger(ctx context.Context, id meeting.ID) (*conference.Ledger, error) {
	u, n := app.NewUnit(time.Time{}), new(app.Needs)
	ref := meeting.Ref{ID: id}
	n.Meetings, n.Ledgers = []meeting.Ref{ref}, []meeting.Ref{ref}
	reads := []read{func(q *db.Queries) error {
		rows, err := q.ReadMeetings(ctx, []int64{int64(id)})
		if err != nil {
			return err
		}
		for i := range rows {
			m, err := decodeMeeting(&rows[i])
			if err != nil {
				return err
			}
			u.Meetings[m.ID] = m
		}
		return nil
	}}
	held := loadLedgers(ctx, u, n)
	held[0] = func(q *db.Queries) error { // the check row, without its lock
		rows, err := q.ReadChecks(ctx, []int64{int64(id)})
		if err != nil {
			return err
		}
		return newLedgers(u, nil).begin(n, rows)
	}
	if err := pipeline(ctx, s.pool, nil, append(reads, held...)); err != nil {
		return nil, fmt.Errorf("read what was held of meeting %d: %w", id, err)
	}
	l := u.Ledgers[id]
	if l == nil {
		return nil, meeting.ErrNotFound
	}
	return l, nil
}

// Owner is [app.ConferenceReads].
func (s *Store) Owner(ctx context.Context, id conference.OwnerID, now time.Time) (*conference.Owner, error) {
	q := db.New(s.pool)
	r, err := q.GetOwner(ctx, int64(id))
	if err != nil {
		return nil, absent(err, errNoOwner, "read an account")
	}
	o := decodeOwner(&r.SpaceOwner)
	o.UserID = r.UserID
	open, err := q.OpenSince(ctx, db.OpenSinceParams{Ids: []int64{int64(id)}, Since: now.Add(-30 * 24 * time.Hour)})
	if err != nil {
		return nil, fmt.Errorf("read what is open of account %d: %w", id, err)
	}
	for _, c := range open {
		o.OpenSince = c.StartedAt.UTC()
	}
	return &o, nil
}

// SpacesNear is [app.ConferenceReads].
func (s *Store) SpacesNear(ctx context.Context, account string, from, until time.Time) ([]string, error) {
	spaces, err := db.New(s.pool).SpacesNear(ctx, db.SpacesNearParams{Account: account, Since: from, Until: until})
	if err != nil {
		return nil, fmt.Errorf("read the spaces of an account: %w", err)
	}
	return spaces, nil
}
