package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

func jobRow(r *db.Job) (app.JobRow, error) {
	job, err := decodeJob(r)
	if err != nil {
		return app.JobRow{}, err
	}
	out := app.JobRow{Job: job, Class: r.Class, Kind: r.Kind, Result: string(r.Result)}
	if r.MeetingID != nil {
		out.MeetingID = meeting.ID(*r.MeetingID)
	}
	return out, nil
}

// FindJob is [app.Records].
func (s *Store) FindJob(ctx context.Context, id uuid.UUID) (*app.JobRow, error) {
	r, err := s.hot().GetJob(ctx, id)
	if err != nil {
		return nil, absent(err, errNoJob, "read a job")
	}
	job, err := jobRow(&r)
	return &job, err
}

// lastTime is after every row: the newest comes first.
var lastTime = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// ListJobs is [app.Records].
func (s *Store) ListJobs(ctx context.Context, f app.JobFilter) ([]app.JobRow, error) {
	if unheard(f.Class, f.Kind) {
		return nil, nil
	}
	var rows []db.Job
	var err error
	if ahead := f.State == 0 || f.State == meeting.JobDue || f.State == meeting.JobOut; ahead && !f.After.Ended {
		if rows, err = s.jobsAhead(ctx, f); err != nil {
			return nil, fmt.Errorf("list jobs that are due: %w", err)
		}
	}
	if behind := f.State == 0 || f.State == meeting.JobDone || f.State == meeting.JobFailed; behind && len(rows) < f.Limit {
		before := app.JobPlace{At: lastTime, ID: uuid.Max}
		if f.After.Ended {
			before = f.After
		}
		ended, err := s.jobsBehind(ctx, f, before, f.Limit-len(rows))
		if err != nil {
			return nil, fmt.Errorf("list jobs that ended: %w", err)
		}
		rows = append(rows, ended...)
	}
	out := make([]app.JobRow, 0, len(rows))
	for i := range rows {
		job, err := jobRow(&rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, job)
	}
	return out, nil
}

func (s *Store) jobsAhead(ctx context.Context, f app.JobFilter) ([]db.Job, error) {
	if f.MeetingID != 0 || f.OrganizerID != 0 {
		return s.wide().JobsAheadOfMeetings(ctx, db.JobsAheadOfMeetingsParams{
			MeetingID: int64(f.MeetingID), OrganizerID: f.OrganizerID, State: stateOf(f), Class: f.Class, Kind: f.Kind,
			AfterTime: f.After.At, AfterID: f.After.ID, RowLimit: int64(f.Limit),
		})
	}
	return s.wide().JobsAhead(ctx, db.JobsAheadParams{
		State: stateOf(f), Class: f.Class, Kind: f.Kind, AfterTime: f.After.At, AfterID: f.After.ID, RowLimit: int64(f.Limit),
	})
}

func (s *Store) jobsBehind(ctx context.Context, f app.JobFilter, before app.JobPlace, limit int) ([]db.Job, error) {
	if f.MeetingID != 0 || f.OrganizerID != 0 {
		return s.wide().JobsBehindOfMeetings(ctx, db.JobsBehindOfMeetingsParams{
			MeetingID: int64(f.MeetingID), OrganizerID: f.OrganizerID, State: stateOf(f), Class: f.Class, Kind: f.Kind,
			BeforeTime: before.At, BeforeID: before.ID, RowLimit: int64(limit),
		})
	}
	return s.wide().JobsBehind(ctx, db.JobsBehindParams{
		State: stateOf(f), Class: f.Class, Kind: f.Kind, BeforeTime: before.At, BeforeID: before.ID, RowLimit: int64(limit),
	})
}

func stateOf(f app.JobFilter) string {
	if f.State == 0 {
		return ""
	}
	return f.State.String()
}
