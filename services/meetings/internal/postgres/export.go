package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// resolveExports adds the meetings of the recordings that are asked for. A recording keeps its meeting, so this needs no lock; it is
// a round trip of its own, which only commands about copies cost.
func (s *Store) resolveExports(ctx context.Context, conn *pgxpool.Conn, n *app.Needs) error {
	if len(n.Exports) == 0 {
		return nil
	}
	found, err := db.New(conn).MeetingsOfRecordings(ctx, n.Exports)
	for _, id := range found {
		ref := meeting.Ref{ID: meeting.ID(id)}
		n.Meetings, n.Ledgers = append(n.Meetings, ref), append(n.Ledgers, ref)
	}
	return err
}

func loadExports(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	if len(n.Exports) == 0 {
		return nil
	}
	return []read{func(q *db.Queries) error {
		rows, err := q.LockExports(ctx, n.Exports)
		for i := range rows {
			r := decodeExport(&rows[i].Recording)
			r.Account = rows[i].Account
			u.Exports[r.ID] = r
		}
		return err
	}}
}

func decodeExport(r *db.Recording) *export.Recording {
	out := &export.Recording{
		ID: r.ID, MeetingID: meeting.ID(r.MeetingID), DriveFileID: r.DriveFileID, State: conference.ExportState(r.ExportState),
		SourceGone: r.FileState == string(conference.FileGone), Key: r.ObjectKey, URI: r.ExportUri, SHA256: r.Sha256, ComparedWith: r.ComparedWith,
		ExportedAt: value(r.ExportedAt), VerifiedAt: value(r.VerifiedAt), DeleteAfter: value(r.DeleteAfter), DeletedAt: value(r.DeletedAt),
		Failure: meeting.Failure{Code: r.FailureCode, Message: r.FailureMessage}, SharedWith: r.SharedWith,
	}
	if r.SizeBytes != nil {
		out.SizeBytes = *r.SizeBytes
	}
	return out
}

// saveExports writes how far copies have come, after the recordings themselves, and what legal holds changed.
func saveExports(ctx context.Context, q *db.Queries, u *app.Unit) error {
	var errs []error
	if len(u.NewExports) > 0 {
		var p db.WantExportsParams
		for _, r := range u.NewExports {
			p.Ids, p.Keys = append(p.Ids, r.ID), append(p.Keys, r.Key)
		}
		errs = append(errs, q.WantExports(ctx, p))
	}
	for _, r := range u.DirtyExports() {
		shared := r.SharedWith
		if shared == nil {
			shared = []string{}
		}
		p := db.UpdateExportParams{
			ID: r.ID, ExportState: string(r.State), ExportUri: r.URI, Hash: r.SHA256, ComparedWith: r.ComparedWith, ExportedAt: maybe(r.ExportedAt),
			VerifiedAt: maybe(r.VerifiedAt), DeleteAfter: maybe(r.DeleteAfter), DeletedAt: maybe(r.DeletedAt), FailureCode: r.Failure.Code,
			FailureMessage: r.Failure.Message, SharedWith: shared,
		}
		if r.SizeBytes > 0 {
			p.SizeBytes = &r.SizeBytes
		}
		errs = append(errs, q.UpdateExport(ctx, p))
	}
	for _, m := range u.Holds {
		errs = append(errs, q.SetLegalHold(ctx, db.SetLegalHoldParams{ID: int64(m.ID), LegalHold: m.LegalHold, LegalHoldReason: m.LegalHoldReason}))
		if m.LegalHold {
			errs = append(errs, q.WithdrawDeletions(ctx, db.WithdrawDeletionsParams{MeetingID: int64(m.ID), Now: u.Now}))
		}
	}
	return errors.Join(errs...)
}

// chores is [app.Chores] on the connection of a batch, between its two round trips.
type chores struct {
	ctx context.Context // of the one call of Batch that it lives for
	q   *db.Queries
}

func (c chores) Periodic() ([]*task.Task, error) {
	rows, err := c.q.LockPeriodicTasks(c.ctx, []string{app.KindSyncAll, app.KindReport, app.KindRetention})
	if err != nil {
		return nil, fmt.Errorf("lock the periodic jobs: %w", classify(err))
	}
	out := make([]*task.Task, 0, len(rows))
	for i := range rows {
		t, err := decodeTask(&rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

const (
	// keptByGoogle is how long a file without a copy is looked at again, and one whose copy failed is copied again.
	keptByGoogle = 30 * 24 * time.Hour
	// lateFile is how long a file may come late.
	lateFile = 8 * 24 * time.Hour
	// unscheduledAfter is how long after it was made a meeting without a time was to be held.
	unscheduledAfter = time.Hour
)

func (c chores) ToCheck(after meeting.ID, copied bool, now time.Time, limit int) ([]meeting.ID, error) {
	rows, err := c.q.MeetingsToCheck(c.ctx, db.MeetingsToCheckParams{
		After: int64(after), Now: now, LateSince: now.Add(-lateFile), KeptSince: now.Add(-keptByGoogle), Copied: copied, RowLimit: int64(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("find meetings to check: %w", classify(err))
	}
	return numbers(rows), nil
}

func numbers(rows []int64) []meeting.ID {
	out := make([]meeting.ID, 0, len(rows))
	for _, id := range rows {
		out = append(out, meeting.ID(id))
	}
	return out
}

func (c chores) RenewExports(now time.Time) (int64, error) {
	n, err := c.q.RenewExports(c.ctx, db.RenewExportsParams{Now: now, Since: now.Add(-keptByGoogle)})
	if err != nil {
		return 0, fmt.Errorf("renew copies that failed: %w", classify(err))
	}
	return n, nil
}

func (c chores) Expired(now time.Time, limit int) ([]*export.Recording, error) {
	rows, err := c.q.ExpiredExports(c.ctx, db.ExpiredExportsParams{Now: now, RowLimit: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("find copies to delete: %w", classify(err))
	}
	out := make([]*export.Recording, 0, len(rows))
	for i := range rows {
		out = append(out, decodeExport(&rows[i].Recording))
	}
	return out, nil
}

func (c chores) ForgetAttendance(ended time.Time, limit int) (people, conferences int64, err error) {
	r, err := c.q.ForgetAttendance(c.ctx, db.ForgetAttendanceParams{Ended: ended, RowLimit: int64(limit)})
	if err != nil {
		return 0, 0, fmt.Errorf("forget who was there: %w", classify(err))
	}
	return r.People, r.Conferences, nil
}

func (c chores) ForgetTranscripts(before time.Time, limit int) (int64, error) {
	n, err := c.q.ForgetTranscripts(c.ctx, db.ForgetTranscriptsParams{Before: before, RowLimit: int64(limit)})
	if err != nil {
		return 0, fmt.Errorf("forget what was said: %w", classify(err))
	}
	return n, nil
}

func (c chores) Count(from, to time.Time, named int) (app.Count, error) {
	out := app.Count{ByState: make(map[meeting.RecordingState]int64), MissingReasons: make(map[string]int64)}
	madeFrom, madeTo := from.Add(-unscheduledAfter), to.Add(-unscheduledAfter)
	rows, err := c.q.CountRecordings(c.ctx, db.CountRecordingsParams{FromTime: from, ToTime: to, MadeFrom: madeFrom, MadeTo: madeTo})
	if err != nil {
		return out, fmt.Errorf("count recordings: %w", classify(err))
	}
	for _, r := range rows {
		state, err := meeting.ParseRecordingState(r.RecordingState)
		if err != nil {
			return out, err
		}
		out.ByState[state] += r.Meetings
		if state == meeting.Missing {
			out.MissingReasons[r.RecordingReason] += r.Meetings
		}
	}
	if len(out.MissingReasons) == 0 {
		return out, nil
	}
	missing, err := c.q.MissingRecordings(c.ctx, db.MissingRecordingsParams{FromTime: from, ToTime: to, MadeFrom: madeFrom, MadeTo: madeTo, RowLimit: int64(named)})
	if err != nil {
		return out, fmt.Errorf("name missing recordings: %w", classify(err))
	}
	out.Missing = numbers(missing)
	return out, nil
}
