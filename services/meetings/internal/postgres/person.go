package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// loadPerson looks for an address everywhere.
func loadPerson(ctx context.Context, u *app.Unit, key string) []read {
	p := &app.Person{}
	u.Persons[key] = p
	return []read{
		func(q *db.Queries) error {
			rows, err := q.PersonUser(ctx, key)
			for _, id := range rows {
				p.UserID = account.ID(id)
			}
			return err
		},
		func(q *db.Queries) error {
			r, err := q.PersonRows(ctx, key)
			p.Number = r.Number
			p.Rows = map[string]int64{
				"user": r.Users, "organized_meeting": r.OrganizedMeetings, "participant": r.Participants, "attendee": r.Attendees,
				"key": r.Keys, "session": r.Sessions,
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.PersonMeetings(ctx, db.PersonMeetingsParams{EmailKey: key, Now: u.Now})
			for _, r := range rows {
				if r.Held {
					p.Held = append(p.Held, r.ID)
				}
				if r.Ahead {
					p.Ahead = append(p.Ahead, r.ID)
				}
				if r.UnderWay {
					p.UnderWay = append(p.UnderWay, r.ID)
				}
			}
			return err
		},
	}
}

// saveErasures replaces persons, who an attendee is before the participant that tells it.
func saveErasures(ctx context.Context, q *db.Queries, u *app.Unit) error {
	for _, e := range u.Erasures {
		steps := []func() error{
			func() error {
				return q.EraseAttendees(ctx, db.EraseAttendeesParams{EmailKey: e.Key, Pseudonym: e.Pseudonym})
			},
			func() error { return q.EraseReplies(ctx, e.Key) },
			func() error { return q.EraseCalendarJobs(ctx, e.Key) },
			func() error { return q.EraseCalendars(ctx, e.Key) },
			func() error { return q.EraseSpaceOwner(ctx, e.Key) },
			func() error {
				return q.EraseConferenceAccounts(ctx, db.EraseConferenceAccountsParams{EmailKey: e.Key, Pseudonym: e.Pseudonym})
			},
			func() error { return q.EraseShares(ctx, db.EraseSharesParams{EmailKey: e.Key, Pseudonym: e.Pseudonym}) },
			func() error { return q.EraseJobPayloads(ctx, e.Key) },
			func() error {
				return q.EraseOrganizer(ctx, db.EraseOrganizerParams{EmailKey: e.Key, Pseudonym: e.Pseudonym, Now: u.Now})
			},
			func() error {
				return q.EraseParticipants(ctx, db.EraseParticipantsParams{EmailKey: e.Key, Pseudonym: e.Pseudonym})
			},
		}
		if e.UserID != 0 {
			steps = append(steps, func() error {
				return q.EraseUser(ctx, db.EraseUserParams{ID: int64(e.UserID), Username: "erased-" + strconv.FormatInt(e.Number, 10), Pseudonym: e.Pseudonym})
			}, func() error {
				return q.EraseUserKeys(ctx, db.EraseUserKeysParams{Now: u.Now, UserID: new(int64(e.UserID))})
			})
		}
		steps = append(steps, func() error {
			return q.InsertErasure(ctx, db.InsertErasureParams{N: e.Number, Person: e.Token, Pseudonym: e.Pseudonym, Principal: e.Principal, At: u.Now})
		})
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

// ExportPerson is [app.AuditLog].
func (s *Store) ExportPerson(ctx context.Context, email string, from app.ExportPlace, limit int) ([]app.PersonRecord, app.ExportPlace, error) {
	if unheard(email) {
		return nil, app.ExportPlace{}, nil
	}
	key, q, rows := account.EmailKey(email), s.wide(), int64(limit)
	after := func() (int64, error) {
		if from.After == "" {
			return 0, nil
		}
		return strconv.ParseInt(from.After, 10, 64)
	}
	n, err := after()
	var last uuid.UUID
	if app.PersonKinds[from.Kind] == "command" {
		err = nil
		if from.After != "" {
			last, err = uuid.Parse(from.After)
		}
	}
	if err != nil {
		return nil, app.ExportPlace{}, fmt.Errorf("place in the export: %w", err)
	}
	var out []app.PersonRecord
	kind := app.PersonKinds[from.Kind]
	add := func(id, body string) {
		out = append(out, app.PersonRecord{Kind: kind, JSON: body})
		from.After = id
	}
	number := func(id int64, body string) { add(strconv.FormatInt(id, 10), body) }
	switch kind {
	case "user":
		var found []db.ExportUsersRow
		found, err = q.ExportUsers(ctx, db.ExportUsersParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "organized_meeting":
		var found []db.ExportOrganizedRow
		found, err = q.ExportOrganized(ctx, db.ExportOrganizedParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "participant":
		var found []db.ExportParticipantsRow
		found, err = q.ExportParticipants(ctx, db.ExportParticipantsParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "attendee":
		var found []db.ExportAttendeesRow
		found, err = q.ExportAttendees(ctx, db.ExportAttendeesParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "transcript_entry":
		var found []db.ExportSpokenRow
		found, err = q.ExportSpoken(ctx, db.ExportSpokenParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "key":
		var found []db.ExportKeysRow
		found, err = q.ExportKeys(ctx, db.ExportKeysParams{EmailKey: key, After: n, RowLimit: rows})
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "session":
		var found []db.ExportSessionsRow
		if n == 0 { // one page of them is all that is shown
			found, err = q.ExportSessions(ctx, db.ExportSessionsParams{EmailKey: key, RowLimit: rows})
		}
		for _, r := range found {
			number(r.ID, r.Body)
		}
	case "command":
		var found []db.ExportCommandsRow
		found, err = q.ExportCommands(ctx, db.ExportCommandsParams{EmailKey: key, After: last, RowLimit: rows})
		for _, r := range found {
			add(r.ID.String(), r.Body)
		}
	case "audit":
		out, from, err = s.exportAudit(ctx, q, key, from, n, rows)
	}
	if err != nil {
		return nil, app.ExportPlace{}, fmt.Errorf("export the %s rows of a person: %w", kind, err)
	}
	if len(out) < limit {
		from = app.ExportPlace{Kind: from.Kind + 1}
	}
	return out, from, nil
}

func (s *Store) exportAudit(ctx context.Context, q *db.Queries, key string, from app.ExportPlace, after, rows int64) ([]app.PersonRecord, app.ExportPlace, error) {
	mask, err := s.masks.get(ctx, s.hot())
	if err != nil {
		return nil, from, err
	}
	principal := "-" // nobody's
	user, err := s.hot().OrganizersByEmail(ctx, []string{key})
	if err != nil {
		return nil, from, err
	}
	for _, u := range user {
		principal = app.UserPrincipal(account.ID(u.ID))
	}
	found, err := q.ExportAudit(ctx, db.ExportAuditParams{Person: mask.Person(key), Principal: principal, After: after, RowLimit: rows})
	var out []app.PersonRecord
	for _, r := range found {
		out = append(out, app.PersonRecord{Kind: "audit", JSON: r.Line})
		from.After = strconv.FormatInt(r.ID, 10)
	}
	return out, from, err
}
