package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// resolve adds the meetings of the events that are asked for. An event keeps its meeting, so this needs no lock; it is a round
// trip of its own, which only readings of calendars cost.
func (s *Store) resolve(ctx context.Context, conn *pgxpool.Conn, n *app.Needs) error {
	if len(n.Events) == 0 {
		return nil
	}
	found, err := db.New(conn).MeetingsOfEvents(ctx, n.Events)
	if err != nil {
		return err
	}
	for _, id := range found {
		ref := meeting.Ref{ID: meeting.ID(id)}
		n.Meetings, n.Guests, n.People = append(n.Meetings, ref), append(n.Guests, ref), append(n.People, ref)
	}
	n.Events = nil
	return nil
}

func loadPeople(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	ids, uids := refs(n.People)
	if len(ids)+len(uids) == 0 {
		return nil
	}
	return []read{func(q *db.Queries) error {
		rows, err := q.PeopleOf(ctx, db.PeopleOfParams{Ids: ids, Uids: uids})
		for _, r := range rows {
			if m := u.Meetings[meeting.ID(r.MeetingID)]; m != nil {
				m.People = append(m.People, meeting.Person{ID: r.ID, Email: r.Email, Response: r.ResponseStatus})
			}
		}
		return err
	}}
}

func loadCalendars(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	if len(n.Calendars)+len(n.Channels) == 0 {
		return nil
	}
	wanted := make([]int64, 0, len(n.Calendars))
	for _, id := range n.Calendars {
		wanted = append(wanted, int64(id))
	}
	return []read{func(q *db.Queries) error {
		rows, err := q.LockCalendars(ctx, db.LockCalendarsParams{Ids: wanted, Channels: append([]string{}, n.Channels...)})
		if err != nil {
			return err
		}
		for i := range rows {
			c, err := decodeCalendar(&rows[i].Calendar, &rows[i].Job)
			if err != nil {
				return err
			}
			u.Calendars[c.ID] = c
		}
		return nil
	}}
}

// saveResponses writes what guests answered; those who are new have their rows by now.
func saveResponses(ctx context.Context, q *db.Queries, u *app.Unit) error {
	var p db.UpdateResponsesParams
	for _, m := range u.Dirty {
		for _, person := range m.People {
			if person.Changed {
				p.MeetingIds = append(p.MeetingIds, int64(m.ID))
				p.Emails = append(p.Emails, person.Email)
				p.Responses = append(p.Responses, person.Response)
			}
		}
	}
	if len(p.MeetingIds) == 0 {
		return nil
	}
	return q.UpdateResponses(ctx, p)
}

// savePlaces gives calendars their rows and their jobs.
func savePlaces(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Places) == 0 {
		return nil
	}
	see := db.SeeCalendarsParams{CreatedAt: u.Now}
	follow := db.FollowCalendarsParams{Now: u.Now, Soon: u.Now.Add(u.Drift.Every)}
	for _, name := range slices.Sorted(maps.Keys(u.Places)) {
		place := u.Places[name]
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make a job id: %w", err)
		}
		see.Places = append(see.Places, name)
		see.Accounts = append(see.Accounts, place.Account)
		see.CalendarIds = append(see.CalendarIds, place.CalendarID)
		see.BusyUntils = append(see.BusyUntils, place.BusyUntil)
		follow.Ids = append(follow.Ids, id)
		follow.Places = append(follow.Places, name)
	}
	if err := q.SeeCalendars(ctx, see); err != nil {
		return err
	}
	return q.FollowCalendars(ctx, follow)
}

func saveCalendars(ctx context.Context, q *db.Queries, u *app.Unit) error {
	for _, id := range slices.Sorted(maps.Keys(u.DirtyCalendars)) {
		c := u.Calendars[id]
		if err := q.UpdateCalendar(ctx, db.UpdateCalendarParams{
			ID: int64(c.ID), SyncToken: c.SyncToken, FullPassAt: maybe(c.FullPassAt), ReadAt: maybe(c.ReadAt), ReadAgain: c.ReadAgain,
			ChannelID: c.Channel.ID, ChannelResource: c.Channel.Resource, ChannelTokenHash: c.Channel.TokenHash,
			ChannelExpiresAt: maybe(c.Channel.ExpiresAt), FailureCode: c.Failure.Code, FailureMessage: c.Failure.Message,
		}); err != nil {
			return err
		}
		if err := saveTask(ctx, q, &c.Job, followPayload(c, u.Now)); err != nil {
			return err
		}
	}
	return nil
}

// saveTask writes the row of a job that is no meeting's, and what its next message carries.
func saveTask(ctx context.Context, q *db.Queries, j *meeting.Job, payload any) error {
	id, _, err := jobIDs(j)
	if err != nil {
		return err
	}
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("payload of job %s: %w", j.ID, err)
	}
	history := []byte("[]")
	if len(j.History) > 0 {
		if history, err = json.Marshal(j.History); err != nil {
			return fmt.Errorf("history of job %s: %w", j.ID, err)
		}
	}
	return q.UpdateTask(ctx, db.UpdateTaskParams{
		ID: id, State: j.State.String(), DueAt: j.DueAt, DispatchedAt: maybe(j.DispatchedAt), FailedAttempts: int32(j.FailedAttempts), // one each minute for years fits
		History: history, Payload: body, EndedAt: maybe(j.EndedAt),
	})
}

// followPayload is a FollowCalendarJob but for the ids, as protojson writes it.
func followPayload(c *calendar.Calendar, now time.Time) map[string]any {
	payload := map[string]any{
		"calendar": strconv.FormatInt(int64(c.ID), 10), "account": c.Account, "calendarId": c.CalendarID, "syncToken": c.SyncToken, "push": c.Push(now),
	}
	if c.Channel.ID != "" {
		payload["channel"] = map[string]any{
			"id": c.Channel.ID, "resourceId": c.Channel.Resource, "tokenHash": c.Channel.TokenHash, "expiresAt": c.Channel.ExpiresAt.UTC().Format(time.RFC3339Nano),
		}
	}
	return payload
}

// maybe is null for the zero time.
func maybe(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
