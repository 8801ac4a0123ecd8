package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/attendance"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// Attendance is [app.Records].
func (s *Store) Attendance(ctx context.Context, ref meeting.Ref) (*app.Attendance, error) {
	id, err := s.meetingID(ctx, ref)
	if err != nil {
		return nil, err
	}
	a := new(app.Attendance)
	var sessions map[int64][]app.AttendeeSession
	err = pipeline(ctx, s.pool, nil, []read{
		func(q *db.Queries) error {
			row, err := q.GetMeeting(ctx, id)
			if err != nil {
				return err
			}
			a.Meeting, err = decodeMeeting(&row.Meeting)
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.ParticipantsOf(ctx, id)
			for i := range rows {
				a.Participants = append(a.Participants, participant(&rows[i]))
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.HeldOf(ctx, id)
			for i := range rows {
				r := &rows[i]
				a.Conferences = append(a.Conferences, app.Conference{
					ID: r.ID, Record: r.Record, StartedAt: r.StartedAt.UTC(), EndedAt: value(r.EndedAt), Source: r.Source,
					PeopleRead: r.AttendeesReadAt != nil, Attendees: r.Attendees, Recordings: r.Recordings,
				})
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.SeenIn(ctx, id)
			for i := range rows {
				seen, wrong := attendee(&rows[i])
				err = errors.Join(err, wrong)
				a.Attendees = append(a.Attendees, seen)
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.SeenSessionsIn(ctx, id)
			sessions = make(map[int64][]app.AttendeeSession, len(rows))
			for i := range rows {
				r := &rows[i]
				sessions[r.AttendeeID] = append(sessions[r.AttendeeID], app.AttendeeSession{JoinedAt: value(r.JoinedAt), LeftAt: value(r.LeftAt)})
			}
			return err
		},
	})
	if err != nil {
		return nil, absent(reach(err), meeting.ErrNotFound, "read who was there")
	}
	for i := range a.Attendees {
		a.Attendees[i].Sessions = sessions[a.Attendees[i].ID]
	}
	return a, nil
}

func attendee(r *db.Attendee) (app.Attendee, error) {
	kind, err1 := attendance.ParseKind(r.Kind)
	sureness, err2 := attendance.ParseSureness(r.Match)
	if err := errors.Join(err1, err2); err != nil {
		return app.Attendee{}, fmt.Errorf("attendee %d: %w", r.ID, err)
	}
	out := app.Attendee{
		ID: r.ID, ConferenceID: r.ConferenceID, Kind: kind, GoogleUser: r.GoogleUser, DisplayName: r.DisplayName, Email: r.Email,
		FirstJoinedAt: value(r.FirstJoinedAt), LastLeftAt: value(r.LastLeftAt),
	}
	if r.ParticipantID != nil { // null with a match: that participant was taken off the meeting
		out.Match = attendance.Match{Participant: *r.ParticipantID, Sureness: sureness, Reason: attendance.Reason(r.MatchReason)}
	}
	return out, nil
}

// Transcript is [app.Records].
func (s *Store) Transcript(ctx context.Context, ref meeting.Ref, page app.EntryPage) (*app.Transcript, error) {
	id, err := s.meetingID(ctx, ref)
	if err != nil {
		return nil, err
	}
	t := &app.Transcript{MeetingID: meeting.ID(id)}
	err = pipeline(ctx, s.lists, nil, []read{
		func(q *db.Queries) error {
			_, err := q.MeetingExists(ctx, id)
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.SaidIn(ctx, id)
			for i := range rows {
				r := &rows[i]
				state, wrong := meeting.ParseRecordingState(r.State)
				err = errors.Join(err, wrong)
				t.Documents = append(t.Documents, app.TranscriptDocument{
					ConferenceID: r.ConferenceID, State: state, StartedAt: value(r.StartedAt), EndedAt: value(r.EndedAt), DocumentID: r.DocumentID, URL: r.ExportUri,
				})
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.EntriesOf(ctx, db.EntriesOfParams{MeetingID: id, AfterTime: page.After, AfterID: page.AfterID, RowLimit: int64(page.Limit)})
			for i := range rows {
				r := &rows[i]
				t.Entries = append(t.Entries, app.TranscriptEntry{
					ID: r.ID, ConferenceID: r.ConferenceID, DisplayName: r.DisplayName, ParticipantID: r.ParticipantID, Text: r.Text, Language: r.Language,
					StartedAt: r.StartedAt.UTC(), EndedAt: r.EndedAt.UTC(),
				})
			}
			return err
		},
	})
	if err != nil {
		return nil, absent(reach(err), meeting.ErrNotFound, "read what was said")
	}
	return t, nil
}
