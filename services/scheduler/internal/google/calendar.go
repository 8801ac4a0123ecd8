package google

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// The private properties that make an event ours.
const (
	propertyUID     = "mm_uid"
	propertyVersion = "mm_version"
)

const (
	// solutionMeet is the Calendar API's name of Google Meet.
	solutionMeet = "hangoutsMeet"
	// everyone: guests are told of each change (events.insert, sendUpdates).
	everyone = "all"
)

// InsertEvent makes the event with a Meet conference and tells the guests.
func (c *Client) InsertEvent(ctx context.Context, ref job.Ref, e job.Event) (state job.EventState, err error) {
	body := eventBody(e)
	body.Id = ref.EventID
	body.ConferenceData = &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{
		RequestId: ref.EventID, ConferenceSolutionKey: &calendar.ConferenceSolutionKey{Type: solutionMeet},
	}}
	err = c.onCalendar(ctx, ref, "calendar.events.insert", func(ctx context.Context, id string, who caller) error {
		call := c.calendar.Events.Insert(id, body).ConferenceDataVersion(1).SendUpdates(everyone).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		event, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.eventState(id, event)
		}
		return err
	})
	return state, err
}

// GetEvent reads the event; a deleted one too.
func (c *Client) GetEvent(ctx context.Context, ref job.Ref) (state job.EventState, err error) {
	err = c.onCalendar(ctx, ref, "calendar.events.get", func(ctx context.Context, id string, who caller) error {
		call := c.calendar.Events.Get(id, ref.EventID).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		event, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.eventState(id, event)
		}
		return err
	})
	return state, err
}

// PatchEvent changes what e says and leaves the conference and, where e.Guests is nil, the guests.
func (c *Client) PatchEvent(ctx context.Context, ref job.Ref, etag string, e job.Event) (state job.EventState, err error) {
	body := eventBody(e)
	// What is empty is left out of the JSON, and a patch keeps what is left out.
	body.ForceSendFields = append(body.ForceSendFields, "Summary", "Description")
	if e.Guests != nil {
		body.ForceSendFields = append(body.ForceSendFields, "Attendees")
	}
	err = c.onCalendar(ctx, ref, "calendar.events.patch", func(ctx context.Context, id string, who caller) error {
		call := c.calendar.Events.Patch(id, ref.EventID, body).ConferenceDataVersion(1).SendUpdates(everyone).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		if etag != "" {
			call.Header().Set("If-Match", etag)
		}
		event, err := call.Do(who.quotaUser)
		if err == nil {
			state = c.eventState(id, event)
		}
		return err
	})
	return state, err
}

// DeleteEvent deletes the event and tells the guests.
func (c *Client) DeleteEvent(ctx context.Context, ref job.Ref) error {
	return c.onCalendar(ctx, ref, "calendar.events.delete", func(ctx context.Context, id string, who caller) error {
		call := c.calendar.Events.Delete(id, ref.EventID).SendUpdates(everyone).Context(ctx)
		call.Header().Set("Authorization", who.authorization)
		return call.Do(who.quotaUser)
	})
}

func (c *Client) onCalendar(ctx context.Context, ref job.Ref, method string, call func(ctx context.Context, calendarID string, who caller) error) error {
	actor, err := c.Actor(ref.Organizer)
	if err != nil {
		return err
	}
	id := ref.CalendarID
	if id == "" {
		id = c.config.CalendarID
	}
	return c.as(ctx, actor, ref.Organizer, scopesCalendar, method, func(ctx context.Context, who caller) error { return call(ctx, id, who) })
}

func eventBody(e job.Event) *calendar.Event {
	sees := e.GuestsSeeEachOther
	body := &calendar.Event{
		Summary: e.Summary, Description: e.Description,
		Start: eventTime(e.Start, e.TimeZone), End: eventTime(e.End, e.TimeZone),
		GuestsCanSeeOtherGuests: &sees, GuestsCanModify: e.GuestsMayModify,
		ExtendedProperties: &calendar.EventExtendedProperties{Private: map[string]string{
			propertyUID: e.MeetingUID, propertyVersion: strconv.FormatInt(e.Version, 10),
		}},
	}
	for _, g := range e.Guests {
		body.Attendees = append(body.Attendees, &calendar.EventAttendee{
			Email: g.Email, DisplayName: g.DisplayName, ResponseStatus: g.Response, Comment: g.Comment,
			AdditionalGuests: g.Extra, Optional: g.Optional,
		})
	}
	return body
}

// eventTime leaves out parts of a second, which Calendar does not keep.
func eventTime(t time.Time, zone string) *calendar.EventDateTime {
	return &calendar.EventDateTime{DateTime: t.UTC().Format(time.RFC3339), TimeZone: zone}
}

// moment is the inverse of eventTime. A whole day begins at midnight of its zone; an unreadable time is zero.
func moment(t *calendar.EventDateTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	if t.Date == "" {
		at, _ := time.Parse(time.RFC3339, t.DateTime)
		return at.UTC()
	}
	zone, err := time.LoadLocation(t.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	at, _ := time.ParseInLocation(time.DateOnly, t.Date, zone)
	return at.UTC()
}

func (c *Client) eventState(calendarID string, e *calendar.Event) job.EventState {
	state := job.EventState{
		CalendarID: calendarID, EventID: e.Id, ETag: e.Etag, Cancelled: e.Status == "cancelled",
		Summary: e.Summary, Description: e.Description, Start: moment(e.Start), End: moment(e.End),
		GuestsSeeEachOther: e.GuestsCanSeeOtherGuests == nil || *e.GuestsCanSeeOtherGuests,
		Conference:         conference(e), Simulated: c.simulated(e.ServerResponse.Header),
	}
	state.Updated, _ = time.Parse(time.RFC3339, e.Updated) // zero: older than any
	if e.ExtendedProperties != nil {
		state.MeetingUID = e.ExtendedProperties.Private[propertyUID]
		// An unreadable version is 0: older than any, so the event is made to say what is wanted.
		state.Version, _ = strconv.ParseInt(e.ExtendedProperties.Private[propertyVersion], 10, 64)
	}
	for _, a := range e.Attendees {
		state.Guests = append(state.Guests, job.Guest{
			Email: a.Email, DisplayName: a.DisplayName, Response: a.ResponseStatus, Comment: a.Comment,
			Extra: a.AdditionalGuests, Optional: a.Optional, Self: a.Self, Room: a.Resource,
		})
	}
	return state
}

// conference reads the Meet of an event. A link that Google did not give is never made up.
func conference(e *calendar.Event) job.Conference {
	found := job.Conference{State: job.ConferenceAbsent, Link: e.HangoutLink}
	if data := e.ConferenceData; data != nil {
		for _, entry := range data.EntryPoints {
			if entry.EntryPointType == "video" && entry.Uri != "" {
				found.Link = entry.Uri
			}
		}
		found.Code = data.ConferenceId
		if data.CreateRequest != nil && data.CreateRequest.Status != nil {
			switch data.CreateRequest.Status.StatusCode {
			case "pending":
				found.State = job.ConferencePending
			case "failure":
				found.State = job.ConferenceFailed
			}
		}
	}
	if found.State != job.ConferenceAbsent || found.Link == "" {
		return found
	}
	if found.Code == "" { // the link of an attached space carries it
		found.Code = found.Link[strings.LastIndexByte(found.Link, '/')+1:]
	}
	found.State = job.ConferenceReady
	return found
}
