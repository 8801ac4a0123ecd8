package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// The faults of things that are not there.
var (
	errNoParticipant = fault.New(fault.NotFound, "PARTICIPANT_NOT_FOUND", "no such participant")
	errNoRecording   = fault.New(fault.NotFound, "RECORDING_NOT_FOUND", "no such recording")
	errNoOperation   = fault.New(fault.NotFound, "OPERATION_NOT_FOUND", "no such operation; they are kept for 24 hours")
)

// absent turns "no rows" into the fault; other errors are named by what was being done.
func absent(err error, missing *fault.Fault, doing string) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return missing
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// unheard: no row holds a text with a NUL byte, and Postgres takes none to compare with.
func unheard(texts ...string) bool {
	return slices.ContainsFunc(texts, func(s string) bool { return strings.ContainsRune(s, 0) })
}

// MeetingDetail is [app.Reads].
func (s *Store) MeetingDetail(ctx context.Context, ref meeting.Ref) (*app.MeetingDetail, error) {
	id, err := s.meetingID(ctx, ref)
	if err != nil {
		return nil, err
	}
	return s.detail(ctx, id)
}

// meetingID finds the number of a meeting; one that was named by its number need not be there.
func (s *Store) meetingID(ctx context.Context, ref meeting.Ref) (int64, error) {
	if ref.UID == "" {
		return int64(ref.ID), nil
	}
	uid, err := uuid.Parse(ref.UID)
	if err != nil {
		return 0, meeting.ErrNotFound
	}
	id, err := s.hot().MeetingIDByUID(ctx, uid)
	if err != nil {
		return 0, absent(err, meeting.ErrNotFound, "find a meeting by uid")
	}
	return id, nil
}

// detail reads all parts in one round trip.
func (s *Store) detail(ctx context.Context, id int64) (*app.MeetingDetail, error) {
	d := new(app.MeetingDetail)
	err := pipeline(ctx, s.pool, nil, []read{
		func(q *db.Queries) error {
			row, err := q.GetMeeting(ctx, id)
			if err != nil {
				return err
			}
			if d.Meeting, err = decodeMeeting(&row.Meeting); err != nil {
				return err
			}
			if d.Organizer, err = decodeUser(&row.User); err != nil {
				return err
			}
			d.Meeting.OrganizerUsername = d.Organizer.Username
			return nil
		},
		func(q *db.Queries) error {
			rows, err := q.ParticipantsOf(ctx, id)
			for i := range rows {
				d.Participants = append(d.Participants, participant(&rows[i]))
				if rows[i].Invited && d.Meeting != nil {
					d.Meeting.Guests = append(d.Meeting.Guests, rows[i].Email)
				}
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.LongestRecording(ctx, id)
			if err != nil || len(rows) == 0 {
				return err
			}
			d.Recording, err = recording(&rows[0])
			return err
		},
	})
	if err != nil {
		return nil, absent(reach(err), meeting.ErrNotFound, "read a meeting")
	}
	return d, nil
}

// LookupMeeting is [app.Reads].
func (s *Store) LookupMeeting(ctx context.Context, by app.Lookup) (*app.MeetingDetail, error) {
	if unheard(by.ExternalReference, by.GoogleEventID, by.MeetingCode) {
		return nil, meeting.ErrNotFound
	}
	var id int64
	var err error
	switch {
	case by.ExternalReference != "":
		id, err = s.hot().MeetingIDByReference(ctx, db.MeetingIDByReferenceParams{ExternalReference: by.ExternalReference, Owner: by.Owner})
	case by.GoogleEventID != "":
		id, err = s.hot().MeetingIDByEvent(ctx, db.MeetingIDByEventParams{GoogleEventID: by.GoogleEventID, Owner: by.Owner})
	default:
		id, err = s.hot().MeetingIDByCode(ctx, db.MeetingIDByCodeParams{MeetingCode: by.MeetingCode, Owner: by.Owner})
	}
	if err != nil {
		return nil, absent(err, meeting.ErrNotFound, "look a meeting up")
	}
	return s.detail(ctx, id)
}

// ListMeetings is [app.Reads].
func (s *Store) ListMeetings(ctx context.Context, f app.MeetingFilter) ([]app.MeetingRow, error) {
	if unheard(f.ExternalReference, f.InvitedEmail) {
		return nil, nil
	}
	p := db.ListMeetingsParams{
		BeforeID: f.After, OrganizerID: f.OrganizerID, StartFrom: f.StartFrom, StartTo: f.StartTo, ExternalReference: f.ExternalReference,
		InvitedKey: account.EmailKey(f.InvitedEmail), RowLimit: int64(f.Limit),
	}
	if f.Status != 0 {
		p.Status = f.Status.String()
	}
	if f.Recording != 0 {
		p.RecordingState = f.Recording.String()
	}
	rows, err := s.wide().ListMeetings(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list meetings: %w", err)
	}
	out := make([]app.MeetingRow, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		status, err := meeting.ParseStatus(r.Status)
		if err != nil {
			return nil, fmt.Errorf("meeting %d: %w", r.ID, err)
		}
		name := strings.TrimSpace(r.FirstName + " " + r.LastName)
		if name == "" {
			name = r.Username
		}
		out = append(out, app.MeetingRow{
			ID: meeting.ID(r.ID), UID: r.Uid.String(), GoogleEventID: r.GoogleEventID, MeetLink: r.MeetLink, OrganizerName: name,
			Start: value(r.ScheduledStart), Status: status, CreatedAt: r.CreatedAt.UTC(),
		})
	}
	return out, nil
}

func participant(r *db.Participant) app.Participant {
	return app.Participant{
		ID: r.ID, MeetingID: meeting.ID(r.MeetingID), Email: r.Email, Organizer: r.Role == "organizer", Invited: r.Invited,
		ResponseStatus: r.ResponseStatus, JoinedAt: value(r.JoinedAt), LeftAt: value(r.LeftAt), CreatedAt: r.CreatedAt.UTC(),
	}
}

// ListParticipants is [app.Reads].
func (s *Store) ListParticipants(ctx context.Context, meetingID meeting.ID, page app.Page) ([]app.Participant, error) {
	rows, err := s.wide().ListParticipants(ctx, db.ListParticipantsParams{MeetingID: int64(meetingID), AfterID: page.After, Owner: page.Owner, RowLimit: int64(page.Limit)})
	if err != nil {
		return nil, fmt.Errorf("list participants: %w", err)
	}
	out := make([]app.Participant, 0, len(rows))
	for i := range rows {
		out = append(out, participant(&rows[i]))
	}
	return out, nil
}

// Participant is [app.Reads].
func (s *Store) Participant(ctx context.Context, id int64) (*app.Participant, error) {
	row, err := s.hot().GetParticipant(ctx, id)
	if err != nil {
		return nil, absent(err, errNoParticipant, "read a participant")
	}
	p := participant(&row)
	return &p, nil
}

// Recording is [app.Reads].
func (s *Store) Recording(ctx context.Context, id int64) (*app.Recording, error) {
	row, err := s.hot().GetRecording(ctx, id)
	if err != nil {
		return nil, absent(err, errNoRecording, "read a recording")
	}
	return recording(&row)
}

// ListEvents is [app.Reads].
func (s *Store) ListEvents(ctx context.Context, meetingID meeting.ID, page app.Page) ([]app.LoggedEvent, error) {
	var rows []db.EventsAfterRow
	var err error
	if page.Owner != 0 {
		var of []db.EventsOfOrganizerAfterRow
		of, err = s.wide().EventsOfOrganizerAfter(ctx, db.EventsOfOrganizerAfterParams{Owner: page.Owner, MeetingID: int64(meetingID), After: page.After, RowLimit: int64(page.Limit)})
		for _, r := range of {
			rows = append(rows, db.EventsAfterRow(r))
		}
	} else if meetingID == 0 {
		rows, err = s.wide().EventsAfter(ctx, db.EventsAfterParams{After: page.After, RowLimit: int64(page.Limit)})
	} else {
		var of []db.EventsOfMeetingAfterRow
		of, err = s.wide().EventsOfMeetingAfter(ctx, db.EventsOfMeetingAfterParams{MeetingID: new(int64(meetingID)), After: page.After, RowLimit: int64(page.Limit)})
		for _, r := range of {
			rows = append(rows, db.EventsAfterRow(r))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	out := make([]app.LoggedEvent, 0, len(rows))
	for _, r := range rows {
		e := app.LoggedEvent{OccurredAt: r.OccurredAt.UTC(), EventRow: app.EventRow{ID: r.ID, Type: r.Type, Subject: r.Subject, Body: r.Body, Traceparent: r.Traceparent}}
		if r.Seq != nil {
			e.Seq = *r.Seq
		}
		if r.MeetingID != nil {
			e.MeetingID = meeting.ID(*r.MeetingID)
		}
		out = append(out, e)
	}
	return out, nil
}

// operations are the kinds of command that a client can follow.
var operations = []string{"meeting.create", "meeting.provision"}

// Operation is [app.Reads].
func (s *Store) Operation(ctx context.Context, id uuid.UUID) (*app.Operation, error) {
	row, err := s.hot().GetOperation(ctx, db.GetOperationParams{ID: id, Kinds: operations})
	if err != nil {
		return nil, absent(err, errNoOperation, "read an operation")
	}
	status, err1 := meeting.ParseStatus(row.Status)
	provisioning, err2 := meeting.ParseProvisioning(row.Provisioning)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("meeting %d: %w", row.MeetingID, err)
	}
	return &app.Operation{
		ID: row.ID.String(), MeetingID: meeting.ID(row.MeetingID), Status: status, Provisioning: provisioning,
		Failure: meeting.Failure{Code: row.FailureCode, Message: row.FailureMessage},
	}, nil
}

// User is [app.Reads].
func (s *Store) User(ctx context.Context, id account.ID, inactive bool) (*account.User, error) {
	row, err := s.hot().GetUser(ctx, db.GetUserParams{ID: int64(id), IncludeInactive: inactive})
	if err != nil {
		return nil, absent(err, account.ErrNotFound, "read a user")
	}
	return decodeUser(&row)
}

// ListUsers is [app.Reads].
func (s *Store) ListUsers(ctx context.Context, f app.UserFilter) ([]account.User, error) {
	if unheard(f.EmailPart, f.UsernamePart) {
		return nil, nil
	}
	p := db.ListUsersParams{IncludeInactive: f.Inactive, BeforeID: f.After, EmailPart: f.EmailPart, UsernamePart: f.UsernamePart, OnlyID: f.ID, RowLimit: int64(f.Limit)}
	if f.Role != 0 {
		p.Role = f.Role.String()
	}
	rows, err := s.wide().ListUsers(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	out := make([]account.User, 0, len(rows))
	for i := range rows {
		u, err := decodeUser(&rows[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *u)
	}
	return out, nil
}

// UserStats is [app.Reads].
func (s *Store) UserStats(ctx context.Context) (app.UserStats, error) {
	r, err := s.wide().UserStats(ctx)
	if err != nil {
		return app.UserStats{}, fmt.Errorf("count users: %w", err)
	}
	return app.UserStats{Total: r.Total, Active: r.Active, Admins: r.Admins, Services: r.Services, Externals: r.Externals}, nil
}

// Wishes is [app.Reads].
func (s *Store) Wishes(ctx context.Context, wanted []meeting.ID) ([]*meeting.Meeting, error) {
	rows, err := s.hot().WishesOf(ctx, ids(wanted))
	if err != nil {
		return nil, fmt.Errorf("read wishes: %w", err)
	}
	out := make([]*meeting.Meeting, 0, len(rows))
	for i := range rows {
		m, err := decodeMeeting(&rows[i].Meeting)
		if err != nil {
			return nil, err
		}
		m.Guests = rows[i].Guests
		if m.Job, err = decodeJob(&rows[i].Job); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
