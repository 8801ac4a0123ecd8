package googlefake

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Event is Calendar's Event resource: every field that the emulator takes or answers.
type Event struct {
	Kind                    string              `json:"kind,omitempty"`
	Etag                    string              `json:"etag,omitempty"`
	ID                      string              `json:"id,omitempty"`
	Status                  string              `json:"status,omitempty"`
	HTMLLink                string              `json:"htmlLink,omitempty"`
	Created                 string              `json:"created,omitempty"`
	Updated                 string              `json:"updated,omitempty"`
	Summary                 string              `json:"summary,omitempty"`
	Description             string              `json:"description,omitempty"`
	Location                string              `json:"location,omitempty"`
	ColorID                 string              `json:"colorId,omitempty"`
	Creator                 *EventPerson        `json:"creator,omitempty"`
	Organizer               *EventPerson        `json:"organizer,omitempty"`
	Start                   *EventTime          `json:"start,omitempty"`
	End                     *EventTime          `json:"end,omitempty"`
	Recurrence              []string            `json:"recurrence,omitempty"`
	RecurringEventID        string              `json:"recurringEventId,omitempty"`
	OriginalStartTime       *EventTime          `json:"originalStartTime,omitempty"`
	Transparency            string              `json:"transparency,omitempty"`
	Visibility              string              `json:"visibility,omitempty"`
	ICalUID                 string              `json:"iCalUID,omitempty"`
	Sequence                int64               `json:"sequence"`
	Attendees               []Attendee          `json:"attendees,omitempty"`
	AttendeesOmitted        bool                `json:"attendeesOmitted,omitempty"`
	ExtendedProperties      *ExtendedProperties `json:"extendedProperties,omitempty"`
	HangoutLink             string              `json:"hangoutLink,omitempty"`
	ConferenceData          *ConferenceData     `json:"conferenceData,omitempty"`
	AnyoneCanAddSelf        bool                `json:"anyoneCanAddSelf,omitempty"`
	GuestsCanInviteOthers   *bool               `json:"guestsCanInviteOthers,omitempty"`
	GuestsCanModify         bool                `json:"guestsCanModify,omitempty"`
	GuestsCanSeeOtherGuests *bool               `json:"guestsCanSeeOtherGuests,omitempty"`
	Reminders               *Reminders          `json:"reminders,omitempty"`
	Source                  *EventSource        `json:"source,omitempty"`
	EventType               string              `json:"eventType,omitempty"`
}

// EventPerson is the creator or organizer of an event.
type EventPerson struct {
	Email       string `json:"email,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
	Self        bool   `json:"self,omitempty"`
}

// EventTime is a point in time, or a day when Date is set.
type EventTime struct {
	Date     string `json:"date,omitempty"`
	DateTime string `json:"dateTime,omitempty"`
	TimeZone string `json:"timeZone,omitempty"`
}

// Attendee is a guest.
type Attendee struct {
	Email            string `json:"email,omitempty"`
	DisplayName      string `json:"displayName,omitempty"`
	Organizer        bool   `json:"organizer,omitempty"`
	Self             bool   `json:"self,omitempty"`
	Resource         bool   `json:"resource,omitempty"`
	Optional         bool   `json:"optional,omitempty"`
	ResponseStatus   string `json:"responseStatus,omitempty"`
	Comment          string `json:"comment,omitempty"`
	AdditionalGuests int64  `json:"additionalGuests,omitempty"`
}

// ExtendedProperties are a program's own notes on an event.
type ExtendedProperties struct {
	Private map[string]string `json:"private,omitempty"`
	Shared  map[string]string `json:"shared,omitempty"`
}

// Reminders of the calendar's owner.
type Reminders struct {
	UseDefault bool       `json:"useDefault"`
	Overrides  []Reminder `json:"overrides,omitempty"`
}

// Reminder is one reminder, Minutes before the start.
type Reminder struct {
	Method  string `json:"method"`
	Minutes int64  `json:"minutes"`
}

// EventSource is where an event came from.
type EventSource struct {
	Title string `json:"title,omitempty"`
	URL   string `json:"url,omitempty"`
}

// ConferenceData is an event's conference.
type ConferenceData struct {
	CreateRequest      *CreateConferenceRequest `json:"createRequest,omitempty"`
	EntryPoints        []EntryPoint             `json:"entryPoints,omitempty"`
	ConferenceSolution *ConferenceSolution      `json:"conferenceSolution,omitempty"`
	ConferenceID       string                   `json:"conferenceId,omitempty"`
	Notes              string                   `json:"notes,omitempty"`
}

// CreateConferenceRequest asks for a new conference.
type CreateConferenceRequest struct {
	RequestID             string                   `json:"requestId,omitempty"`
	ConferenceSolutionKey *ConferenceSolutionKey   `json:"conferenceSolutionKey,omitempty"`
	Status                *ConferenceRequestStatus `json:"status,omitempty"`
}

// ConferenceSolutionKey names the kind of conference.
type ConferenceSolutionKey struct {
	Type string `json:"type,omitempty"`
}

// ConferenceRequestStatus is pending, success or failure.
type ConferenceRequestStatus struct {
	StatusCode string `json:"statusCode,omitempty"`
}

// ConferenceSolution is the service that holds the conference.
type ConferenceSolution struct {
	Key     *ConferenceSolutionKey `json:"key,omitempty"`
	Name    string                 `json:"name,omitempty"`
	IconURI string                 `json:"iconUri,omitempty"`
}

// EntryPoint is a way into a conference.
type EntryPoint struct {
	EntryPointType string `json:"entryPointType,omitempty"`
	URI            string `json:"uri,omitempty"`
	Label          string `json:"label,omitempty"`
	Pin            string `json:"pin,omitempty"`
	AccessCode     string `json:"accessCode,omitempty"`
	MeetingCode    string `json:"meetingCode,omitempty"`
	Passcode       string `json:"passcode,omitempty"`
	Password       string `json:"password,omitempty"`
	RegionCode     string `json:"regionCode,omitempty"`
}

// Values of the fields above.
const (
	eventKind       = "calendar#event"
	statusConfirmed = "confirmed"
	statusTentative = "tentative"
	statusCancelled = "cancelled"
	hangoutsMeet    = "hangoutsMeet"
	video           = "video"

	conferencePending = "pending"
	conferenceSuccess = "success"
	conferenceFailure = "failure"
)

// Limits of Calendar.
const (
	minEventID          = 5
	maxEventID          = 1024
	maxReminders        = 5
	maxReminderMinutes  = 40320
	timestampResolution = "2006-01-02T15:04:05.000Z"
	secondResolution    = "2006-01-02T15:04:05Z"
)

// instant is the time as stored; days start at midnight UTC, the zone of every calendar here.
func (t *EventTime) instant() (time.Time, error) {
	if t.Date != "" {
		return time.Parse(time.DateOnly, t.Date)
	}
	return time.Parse(time.RFC3339, t.DateTime)
}

// tidyTime checks a time as sent and makes it what Google stores: whole seconds in the calendar's
// zone, with the name of the zone beside it.
func (s *Server) tidyTime(t *EventTime, name string) (time.Time, *apiError) {
	if t == nil || t.Date == "" && t.DateTime == "" {
		return time.Time{}, required("Missing " + name + " time.")
	}
	if t.Date != "" && t.DateTime != "" {
		return time.Time{}, invalid("Invalid " + name + " time.")
	}
	zone := time.UTC
	if t.TimeZone != "" {
		known, ok := s.zone(t.TimeZone)
		if !ok {
			return time.Time{}, invalid("Invalid time zone definition for " + name + " time.")
		}
		zone = known
	}
	if t.Date != "" {
		day, err := time.Parse(time.DateOnly, t.Date)
		if err != nil {
			return time.Time{}, invalid("Invalid " + name + " time.")
		}
		return day, nil
	}
	at, err := time.Parse(time.RFC3339, t.DateTime)
	if err != nil {
		at, err = time.ParseInLocation("2006-01-02T15:04:05", t.DateTime, zone)
		if err == nil && t.TimeZone == "" {
			return time.Time{}, required("Missing time zone definition for " + name + " time.")
		}
	}
	if err != nil {
		return time.Time{}, invalid("Invalid " + name + " time.")
	}
	at = at.UTC().Truncate(time.Second)
	if at.Year() < 1 || at.Year() > 9999 { // RFC 3339 has four digits, in UTC too
		return time.Time{}, invalid("Invalid " + name + " time.")
	}
	t.DateTime = at.Format(secondResolution)
	if t.TimeZone == "" {
		t.TimeZone = "UTC"
	}
	return at, nil
}

// tidyEvent checks what a client may set and fills in what Google would. It returns when the event
// starts and ends.
func (s *Server) tidyEvent(ev *Event, calendarID string) (start, end time.Time, err *apiError) {
	recurs := len(ev.Recurrence) > 0
	if recurs && ev.Start != nil && ev.Start.DateTime != "" && ev.Start.TimeZone == "" {
		return start, end, required("Missing time zone definition for start time.")
	}
	if start, err = s.tidyTime(ev.Start, "start"); err != nil {
		return start, end, err
	}
	if end, err = s.tidyTime(ev.End, "end"); err != nil {
		return start, end, err
	}
	if (ev.Start.Date == "") != (ev.End.Date == "") {
		return start, end, invalid("Start and end times must either both be date or both be dateTime.")
	}
	if !start.Before(end) {
		return start, end, &apiError{status: 400, reason: "timeRangeEmpty", message: "The specified time range is empty."}
	}
	if recurs {
		if err = checkRules(ev.Recurrence); err != nil {
			return start, end, err
		}
	}
	switch ev.Status {
	case "":
		ev.Status = statusConfirmed
	case statusConfirmed, statusTentative, statusCancelled:
	default:
		return start, end, invalid("Invalid value for: Invalid status value: " + ev.Status)
	}
	if err = tidyAttendees(ev.Attendees, calendarID); err != nil {
		return start, end, err
	}
	if err = tidyReminders(ev); err != nil {
		return start, end, err
	}
	// Google leaves out what is the default.
	if ev.GuestsCanInviteOthers != nil && *ev.GuestsCanInviteOthers {
		ev.GuestsCanInviteOthers = nil
	}
	if ev.GuestsCanSeeOtherGuests != nil && *ev.GuestsCanSeeOtherGuests {
		ev.GuestsCanSeeOtherGuests = nil
	}
	return start, end, nil
}

func recurrenceLine(line string) bool {
	for _, name := range []string{"RRULE", "EXRULE", "RDATE", "EXDATE"} {
		if len(line) > len(name) && line[:len(name)] == name && (line[len(name)] == ':' || line[len(name)] == ';') {
			return true
		}
	}
	return false
}

func tidyAttendees(attendees []Attendee, calendarID string) *apiError {
	for i := range attendees {
		a := &attendees[i]
		if !validEmail(a.Email) {
			return invalid("Invalid attendee email.")
		}
		switch a.ResponseStatus {
		case "":
			a.ResponseStatus = "needsAction"
		case "needsAction", "declined", "tentative", "accepted":
		default:
			return invalid("Invalid attendee response status.")
		}
		a.Organizer = strings.EqualFold(a.Email, calendarID)
		a.Self = a.Organizer
	}
	return nil
}

func tidyReminders(ev *Event) *apiError {
	if ev.Reminders == nil {
		ev.Reminders = &Reminders{UseDefault: true}
		return nil
	}
	if ev.Reminders.UseDefault && len(ev.Reminders.Overrides) > 0 {
		return &apiError{
			status: 400, reason: "cannotUseDefaultRemindersAndSpecifyOverride",
			message: "Cannot specify both default reminders and overrides at the same time.",
		}
	}
	if len(ev.Reminders.Overrides) > maxReminders {
		return invalid("Too many override reminders.")
	}
	for _, r := range ev.Reminders.Overrides {
		if r.Method != "email" && r.Method != "popup" {
			return invalid("Invalid reminder method.")
		}
		if r.Minutes < 0 || r.Minutes > maxReminderMinutes {
			return invalid("Invalid reminder minutes.")
		}
	}
	return nil
}

// checkEventID holds an id to the base32hex alphabet that Calendar asks for.
func checkEventID(id string) *apiError {
	ok := len(id) >= minEventID && len(id) <= maxEventID
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= '0' && c <= '9' || c >= 'a' && c <= 'v'
	}
	if !ok {
		return invalid("Invalid resource id value.")
	}
	return nil
}

// mergePatch lays patch over target: objects merge, null removes, anything else replaces.
// Both are JSON objects.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	var into, from map[string]json.RawMessage
	if err := json.Unmarshal(patch, &from); err != nil {
		return nil, err
	}
	if from == nil {
		return nil, errors.New("want an object")
	}
	if err := json.Unmarshal(target, &into); err != nil {
		return nil, err
	}
	if into == nil {
		into = make(map[string]json.RawMessage, len(from))
	}
	for key, value := range from {
		switch {
		case string(value) == "null":
			delete(into, key)
		case value[0] == '{':
			old := into[key]
			if len(old) == 0 || old[0] != '{' {
				old = json.RawMessage("{}")
			}
			merged, err := mergePatch(old, value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			into[key] = merged
		default:
			into[key] = value
		}
	}
	return json.Marshal(into)
}
