package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

func recording(r *db.Recording) (*app.Recording, error) {
	state, err := meeting.ParseRecordingState(r.State)
	if err != nil {
		return nil, fmt.Errorf("recording %d: %w", r.ID, err)
	}
	out := &app.Recording{
		ID: r.ID, MeetingID: meeting.ID(r.MeetingID), DriveFileID: r.DriveFileID, DriveFileURL: r.DriveFileUrl, ExportURI: r.ExportUri, SHA256: r.Sha256,
		State: state, DurationSeconds: r.DurationSeconds, SizeBytes: r.SizeBytes, StartedAt: value(r.StartedAt), EndedAt: value(r.EndedAt),
		AvailableAt: value(r.AvailableAt), CreatedAt: r.CreatedAt.UTC(),
		RecordingCopy: app.RecordingCopy{
			Name: r.Name, FileState: r.FileState, ExportState: r.ExportState, ExportedAt: value(r.ExportedAt), VerifiedAt: value(r.VerifiedAt),
			DeleteAfter: value(r.DeleteAfter), Failure: meeting.Failure{Code: r.FailureCode, Message: r.FailureMessage}, SharedWith: r.SharedWith,
		},
	}
	if r.ConferenceID != nil {
		out.ConferenceID = *r.ConferenceID
	}
	return out, nil
}

// FindRecordings is [app.Records].
func (s *Store) FindRecordings(ctx context.Context, f app.RecordingFilter) ([]app.Recording, error) {
	if unheard(f.ExportState) {
		return nil, nil
	}
	p := db.ListRecordingsParams{
		MeetingID: int64(f.MeetingID), BeforeID: f.After, OrganizerID: f.OrganizerID, ExportState: f.ExportState,
		StartedFrom: f.StartedFrom, StartedTo: f.StartedTo, RowLimit: int64(f.Limit),
	}
	if f.State != 0 {
		p.State = f.State.String()
	}
	rows, err := s.wide().ListRecordings(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	out := make([]app.Recording, 0, len(rows))
	for i := range rows {
		r, err := recording(&rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, nil
}

// invalidParameter is Postgres's error for a time zone that it does not know.
const invalidParameter = "22023"

// Coverage is [app.Records].
func (s *Store) Coverage(ctx context.Context, f app.CoverageFilter) ([]app.CoverageRow, error) {
	rows, err := s.wide().CountCoverage(ctx, db.CountCoverageParams{Zone: f.Zone, FromTime: f.From, ToTime: f.To, OrganizerID: f.OrganizerID})
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == invalidParameter {
		return nil, fault.InvalidField("time_zone", "TIME_ZONE", "is not a time zone that the database knows; use an IANA name such as America/Bogota")
	}
	if err != nil {
		return nil, fmt.Errorf("count coverage: %w", err)
	}
	out := make([]app.CoverageRow, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		state, err := meeting.ParseRecordingState(r.RecordingState)
		if err != nil {
			return nil, fmt.Errorf("count coverage: %w", err)
		}
		out = append(out, app.CoverageRow{
			Day: r.Day, OrganizerID: r.OrganizerID, OrganizerEmail: r.OrganizerEmail, Recording: state, Reason: r.Reason, Meetings: r.Meetings,
		})
	}
	return out, nil
}
