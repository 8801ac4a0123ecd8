package googlefake

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Edit is what a person does to an event in Google Calendar: exactly one of the three.
type Edit struct {
	CalendarID string            `json:"calendarId"`
	EventID    string            `json:"eventId"`
	Patch      json.RawMessage   `json:"patch,omitempty"`     // a patch of the Event resource
	Delete     bool              `json:"delete,omitempty"`    // as the organizer
	Responses  map[string]string `json:"responses,omitempty"` // guest → needsAction, declined, tentative or accepted
}

// Edit changes an event behind the client's back. It gives the event as it then is.
func (s *Server) Edit(in Edit) (Event, error) {
	ways := 0
	for _, way := range []bool{len(in.Patch) > 0, in.Delete, len(in.Responses) > 0} {
		if way {
			ways++
		}
	}
	if ways != 1 {
		return Event{}, &fieldError{"patch", "want exactly one of patch, delete and responses"}
	}
	if err := s.progress(); err != nil {
		return Event{}, err
	}
	calendarID := strings.ToLower(in.CalendarID)
	// The person works in the web page, so that Calendar tells the guests.
	r, err := http.NewRequest(http.MethodPatch, "/", nil) //nolint:noctx // never sent
	if err != nil {
		return Event{}, err
	}
	r.SetPathValue("calendarId", calendarID)
	r.SetPathValue("eventId", in.EventID)
	c := &call{
		r: r, base: s.cfg.BaseURL, who: &grant{Subject: calendarID}, body: in.Patch,
		form: url.Values{"sendUpdates": {sendAll}, "conferenceDataVersion": {"1"}},
	}
	switch {
	case in.Delete:
		_, err = s.deleteIn(c, calendarID)
	case len(in.Patch) > 0:
		_, err = s.patchIn(c, calendarID, false)
	default:
		err = s.respond(calendarID, in)
	}
	var refusal *apiError
	if errors.As(err, &refusal) {
		field := "patch"
		if refusal.status == http.StatusNotFound || refusal.status == http.StatusGone {
			field = "eventId"
		}
		return Event{}, &fieldError{field, refusal.message}
	}
	if err != nil {
		return Event{}, err
	}
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	return *decodeEvent(s.lookup(calendarID, in.EventID).raw), nil
}

// respond writes the answers of guests. Guests' answers are no new version of the event, so
// sequence stays.
func (s *Server) respond(calendarID string, in Edit) error {
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	before := s.lookup(calendarID, in.EventID)
	if before == nil || before.cancelled {
		return notFound()
	}
	before, err := s.ripen(calendarID, before, now)
	if err != nil {
		return err
	}
	ev := decodeEvent(before.raw)
	for email, response := range in.Responses {
		i := slices.IndexFunc(ev.Attendees, func(a Attendee) bool { return strings.EqualFold(a.Email, email) })
		if i < 0 {
			return &fieldError{"responses", email + " is no guest"}
		}
		ev.Attendees[i].ResponseStatus = response
	}
	if refusal := tidyAttendees(ev.Attendees, calendarID); refusal != nil {
		return &fieldError{"responses", refusal.message}
	}
	e := &event{start: before.start, end: before.end, pending: before.pending, notified: before.notified}
	return s.save(calendarID, ev, e, nil, now)
}

func (s *Server) postEdit(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var in Edit
	if err := decodeStrict(body, &in); err != nil {
		return asFieldError(err)
	}
	ev, err := s.Edit(in)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(ev)))
	return nil
}

// expireSyncTokens makes every sync token that was given so far answer 410.
func (s *Server) expireSyncTokens(w http.ResponseWriter, _ *http.Request) error {
	err := s.Configure(func(u *Setup) error {
		s.store.rev++ // Configure holds the lock
		u.SyncFloor = s.store.rev
		return nil
	})
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

// freeBusyRequest and freeBusyAnswer are Calendar's FreeBusyRequest and FreeBusyResponse.
type freeBusyRequest struct {
	TimeMin              string         `json:"timeMin,omitempty"`
	TimeMax              string         `json:"timeMax,omitempty"`
	TimeZone             string         `json:"timeZone,omitempty"`
	GroupExpansionMax    int64          `json:"groupExpansionMax,omitempty"`
	CalendarExpansionMax int64          `json:"calendarExpansionMax,omitempty"`
	Items                []freeBusyItem `json:"items,omitempty"`
}

type freeBusyItem struct {
	ID string `json:"id"`
}

type freeBusyAnswer struct {
	Kind      string                      `json:"kind"`
	TimeMin   string                      `json:"timeMin"`
	TimeMax   string                      `json:"timeMax"`
	Calendars map[string]freeBusyCalendar `json:"calendars"`
}

type freeBusyCalendar struct {
	Errors []freeBusyError `json:"errors,omitempty"`
	Busy   []timePeriod    `json:"busy"`
}

type freeBusyError struct {
	Domain string `json:"domain"`
	Reason string `json:"reason"`
}

type timePeriod struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

const maxFreeBusy = 50 // Calendar freebusy.query: calendarExpansionMax

func (s *Server) freeBusy(c *call) (answer, error) {
	var in freeBusyRequest
	if json.Unmarshal(c.body, &in) != nil {
		return answer{}, parseError()
	}
	var p span
	var err error
	if p.from, err = time.Parse(time.RFC3339, in.TimeMin); err != nil {
		return answer{}, required("Missing timeMin parameter.")
	}
	if p.to, err = time.Parse(time.RFC3339, in.TimeMax); err != nil {
		return answer{}, required("Missing timeMax parameter.")
	}
	if !p.from.Before(p.to) {
		return answer{}, &apiError{status: http.StatusBadRequest, reason: "timeRangeEmpty", message: "The specified time range is empty."}
	}
	out := freeBusyAnswer{
		Kind: "calendar#freeBusy", TimeMin: p.from.UTC().Format(timestampResolution), TimeMax: p.to.UTC().Format(timestampResolution),
		Calendars: make(map[string]freeBusyCalendar),
	}
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	for i, item := range in.Items {
		id := strings.ToLower(item.ID)
		if id == "primary" {
			id = c.who.person()
		}
		switch {
		case i >= maxFreeBusy:
			out.Calendars[item.ID] = freeBusyCalendar{Errors: []freeBusyError{{"global", "tooManyCalendarsRequested"}}, Busy: []timePeriod{}}
		case !s.visible(id, c.who.person()):
			out.Calendars[item.ID] = freeBusyCalendar{Errors: []freeBusyError{{"global", "notFound"}}, Busy: []timePeriod{}}
		default:
			out.Calendars[item.ID] = freeBusyCalendar{Busy: s.busy(id, p)}
		}
	}
	return answer{status: http.StatusOK, body: mustJSON(out)}, nil
}

// visible says whether a person may see when a calendar is taken: within a Workspace everybody may.
func (s *Server) visible(calendarID, person string) bool {
	u := s.setup()
	if role := u.role(calendarID, person); role != "" {
		return role != roleNone
	}
	return validEmail(calendarID) && u.policy(calendarID).exists &&
		(!s.cfg.Strict || s.store.users[calendarID] || slices.Contains(s.cfg.Calendars, calendarID))
}

// busy gives the taken parts of a calendar, those that touch joined into one.
func (s *Server) busy(calendarID string, p span) []timePeriod {
	out := []timePeriod{}
	cal := s.store.calendars[calendarID]
	if cal == nil {
		return out
	}
	type part struct{ start, end int64 }
	var parts []part
	for _, e := range cal.order {
		if e.cancelled || e.free {
			continue
		}
		list := []*event{e}
		if e.recurs {
			list = s.expand(calendarID, e, p)
		}
		for _, e := range list {
			if p.overlaps(e.start, e.end) {
				parts = append(parts, part{max(e.start, p.from.Unix()), min(e.end, p.to.Unix())})
			}
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return int(a.start - b.start) })
	for i := 0; i < len(parts); {
		joined := parts[i]
		for i++; i < len(parts) && parts[i].start <= joined.end; i++ {
			joined.end = max(joined.end, parts[i].end)
		}
		stamp := func(t int64) string { return time.Unix(t, 0).UTC().Format(secondResolution) }
		out = append(out, timePeriod{stamp(joined.start), stamp(joined.end)})
	}
	return out
}
