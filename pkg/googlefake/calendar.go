package googlefake

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	calendarService = "calendar-json.googleapis.com"
	groupCalendar   = "@group.calendar.google.com"
	eventsPattern   = "/calendar/v3/calendars/{calendarId}/events"
	eventPattern    = eventsPattern + "/{eventId}"
)

func calendarRoutes() []*route {
	writers := calendarScopes("calendar", "calendar.app.created", "calendar.events", "calendar.events.owned")
	readers := calendarScopes("calendar", "calendar.app.created", "calendar.events", "calendar.events.freebusy",
		"calendar.events.owned", "calendar.events.owned.readonly", "calendar.events.public.readonly",
		"calendar.events.readonly", "calendar.readonly")
	routes := []*route{
		{
			id: "calendar.events.insert", method: http.MethodPost, pattern: eventsPattern, scopes: writers,
			rpc: "calendar.v3.Events.Insert", handle: (*Server).insertEvent,
			params: []string{"conferenceDataVersion", "sendUpdates", "sendNotifications", "maxAttendees"},
		},
		{
			id: "calendar.events.get", method: http.MethodGet, pattern: eventPattern, scopes: readers,
			rpc: "calendar.v3.Events.Get", handle: (*Server).getEvent,
			params: []string{"maxAttendees"},
		},
		{
			id: "calendar.events.patch", method: http.MethodPatch, pattern: eventPattern, scopes: writers,
			rpc: "calendar.v3.Events.Patch", handle: (*Server).patchEvent,
			params: []string{"conferenceDataVersion", "sendUpdates", "sendNotifications", "maxAttendees"},
		},
		{
			id: "calendar.events.delete", method: http.MethodDelete, pattern: eventPattern, scopes: writers,
			rpc: "calendar.v3.Events.Delete", handle: (*Server).deleteEvent,
			params: []string{"sendUpdates", "sendNotifications"},
		},
		{
			id: "calendar.events.list", method: http.MethodGet, pattern: eventsPattern, scopes: readers,
			rpc: "calendar.v3.Events.List", handle: (*Server).listEvents,
			params: []string{
				"iCalUID", "maxAttendees", "maxResults", "orderBy", "pageToken", "privateExtendedProperty", "q",
				"sharedExtendedProperty", "showDeleted", "singleEvents", "syncToken", "timeMax", "timeMin", "updatedMin",
			},
		},
		{
			id: "calendar.events.update", method: http.MethodPut, pattern: eventPattern, scopes: writers,
			rpc: "calendar.v3.Events.Update", handle: (*Server).updateEvent,
			params: []string{"conferenceDataVersion", "sendUpdates", "sendNotifications", "maxAttendees"},
		},
		{
			id: "calendar.events.instances", method: http.MethodGet, pattern: eventPattern + "/instances", scopes: readers,
			rpc: "calendar.v3.Events.Instances", handle: (*Server).listInstances,
			params: []string{"maxResults", "originalStart", "pageToken", "showDeleted", "timeMax", "timeMin"},
		},
		{
			id: "calendar.events.watch", method: http.MethodPost, pattern: eventsPattern + "/watch", scopes: readers,
			rpc: "calendar.v3.Events.Watch", handle: (*Server).watchEvents,
		},
		{
			id: "calendar.channels.stop", method: http.MethodPost, pattern: "/calendar/v3/channels/stop",
			rpc: "calendar.v3.Channels.Stop", handle: (*Server).stopChannel,
			scopes: calendarScopes("calendar", "calendar.acls", "calendar.acls.readonly", "calendar.app.created", "calendar.calendarlist",
				"calendar.calendarlist.readonly", "calendar.events", "calendar.events.freebusy", "calendar.events.owned",
				"calendar.events.owned.readonly", "calendar.events.public.readonly", "calendar.events.readonly", "calendar.readonly",
				"calendar.settings", "calendar.settings.readonly"),
		},
		{
			id: "calendar.freebusy.query", method: http.MethodPost, pattern: "/calendar/v3/freeBusy",
			rpc: "calendar.v3.FreeBusy.Query", handle: (*Server).freeBusy,
			scopes: calendarScopes("calendar", "calendar.events.freebusy", "calendar.freebusy", "calendar.readonly"),
		},
		{
			id: "calendar.calendars.get", method: http.MethodGet, pattern: "/calendar/v3/calendars/{calendarId}",
			scopes: calendarScopes("calendar", "calendar.app.created", "calendar.calendars", "calendar.calendars.readonly", "calendar.readonly"),
			rpc:    "calendar.v3.Calendars.Get", handle: (*Server).getCalendar,
		},
	}
	for _, rt := range routes {
		rt.dialect, rt.service, rt.quota = classic, calendarService, quotaCalendar
	}
	return routes
}

// calendarScopes gives the full names.
func calendarScopes(names ...string) []string {
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = scopePrefix + name
	}
	return full
}

// calendarID is the calendar that a call means, in lower case, if its caller may use it. A person
// reaches her own calendar and the ones that everybody shares; for any other Google says notFound.
func (s *Server) calendarID(c *call) (string, *apiError) {
	return s.calendarFor(c, c.r.Method != http.MethodGet)
}

// calendarFor is calendarID of a call that may change the calendar, or only reads.
func (s *Server) calendarFor(c *call, write bool) (string, *apiError) {
	id := strings.ToLower(c.r.PathValue("calendarId"))
	own := c.who.person()
	if id == "primary" {
		id = own
	}
	switch s.setup().role(id, own) {
	case roleNone:
		return "", notFound()
	case roleReader:
		if write {
			return "", &apiError{
				status: http.StatusForbidden, reason: "requiredAccessLevel", domain: "calendar",
				message: "You need to have writer access to this calendar.",
			}
		}
		return id, nil
	case roleWriter, roleOwner:
		return id, nil
	}
	switch {
	case id == own:
		return own, nil
	case slices.ContainsFunc(s.cfg.Calendars, func(shared string) bool { return strings.EqualFold(shared, id) }):
		return id, nil
	case !s.cfg.Strict && strings.HasSuffix(id, groupCalendar) && len(id) > len(groupCalendar):
		return id, nil
	}
	return "", notFound()
}

// writeOptions are the query parameters of calls that change an event.
type writeOptions struct {
	conference bool   // conferenceDataVersion=1
	send       string // whom to tell
	guests     int    // maxAttendees, 0 for all
}

// Values of sendUpdates.
const (
	sendAll      = "all"
	sendExternal = "externalOnly"
	sendNone     = "none"
)

func (c *call) writeOptions() (writeOptions, *apiError) {
	o := writeOptions{send: sendNone}
	switch v := c.form.Get("conferenceDataVersion"); v {
	case "", "0":
	case "1":
		o.conference = true
	default:
		return o, invalidParameter("conferenceDataVersion", v)
	}
	switch v := c.form.Get("sendUpdates"); v {
	case sendAll, sendExternal, sendNone:
		o.send = v
	case "":
		if c.form.Get("sendNotifications") == "true" {
			o.send = sendAll
		}
	default:
		return o, invalidParameter("sendUpdates", v)
	}
	var err *apiError
	o.guests, err = c.positive("maxAttendees", 0)
	return o, err
}

// positive reads a query parameter that counts something.
func (c *call) positive(name string, usual int) (int, *apiError) {
	text := c.form.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalidParameter(name, text)
	}
	return n, nil
}

// audience counts the guests that a change is told to.
func (o writeOptions) audience(organizer string, lists ...[]Attendee) int {
	if o.send == sendNone {
		return 0
	}
	_, home, _ := strings.Cut(organizer, "@")
	told := make(map[string]bool)
	for _, list := range lists {
		for _, a := range list {
			email := strings.ToLower(a.Email)
			_, domain, _ := strings.Cut(email, "@")
			if email != organizer && (o.send == sendAll || domain != home) {
				told[email] = true
			}
		}
	}
	return len(told)
}

func parseError() *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "parseError", message: "Parse Error"}
}

func (s *Server) insertEvent(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	o, refusal := c.writeOptions()
	if refusal != nil {
		return answer{}, refusal
	}
	ev := new(Event)
	if json.Unmarshal(c.body, ev) != nil {
		return answer{}, parseError()
	}
	if ev.ID != "" {
		if refusal := checkEventID(ev.ID); refusal != nil {
			return answer{}, refusal
		}
	}
	start, end, refusal := s.tidyEvent(ev, calendarID)
	if refusal != nil {
		return answer{}, refusal
	}
	if ev.Status == statusCancelled {
		return answer{}, invalid("Invalid value for: Invalid status value: " + ev.Status)
	}
	if c.who.Subject == "" && len(ev.Attendees) > 0 {
		return answer{}, serviceAccountGuests()
	}
	now := s.now()
	ev.Kind, ev.EventType, ev.Sequence, ev.AttendeesOmitted = eventKind, "default", 0, false
	ev.Created = now.Format(timestampResolution)
	ev.Creator = &EventPerson{Email: c.who.person(), Self: c.who.person() == calendarID}
	ev.Organizer = &EventPerson{Email: calendarID, Self: true}
	e := &event{start: start.Unix(), end: end.Unix()}
	if n := o.audience(calendarID, ev.Attendees); n > 0 {
		e.notified.Invitations, e.notified.Messages = 1, n
	}
	wish := ev.ConferenceData
	ev.ConferenceData, ev.HangoutLink = nil, ""

	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	for ev.ID == "" {
		if id := randomText(eventIDLetters, eventIDLength); st.event(calendarID, id) == nil {
			ev.ID = id
		}
	}
	if st.event(calendarID, ev.ID) != nil { // a cancelled one keeps its id
		return answer{}, &apiError{status: http.StatusConflict, reason: "duplicate", message: msgDuplicate}
	}
	ev.ICalUID = ev.ID + "@google.com"
	ev.HTMLLink = c.base + eventPagePath + "?eid=" + base64.RawURLEncoding.EncodeToString([]byte(ev.ID+" "+calendarID))
	var sp *space
	if o.conference && wish != nil {
		if sp, refusal = s.conference(c, ev, e, wish, now); refusal != nil {
			return answer{}, refusal
		}
	}
	if err := s.save(calendarID, ev, e, sp, now); err != nil {
		return answer{}, err
	}
	return eventAnswer(s.veiled(e, ev), o.guests), nil
}

// veiled is a new event as an answer shows it that lacks some of the conference.
func (s *Server) veiled(e *event, ev *Event) *event {
	faults := &s.setup().Data
	out, shown := *e, *ev
	switch {
	case ev.ConferenceData == nil:
		return e
	case s.faults.chance(faults.NoConferenceData):
		shown.ConferenceData, shown.HangoutLink = nil, ""
	case s.faults.chance(faults.NoEntryPoints):
		data := *ev.ConferenceData
		data.EntryPoints = nil
		shown.ConferenceData = &data
	default:
		return e
	}
	out.raw = mustJSON(&shown)
	return &out
}

func serviceAccountGuests() *apiError {
	return &apiError{status: http.StatusForbidden, reason: "forbiddenForServiceAccounts", domain: "calendar", message: msgServiceAccountGuests}
}

// save stamps ev, makes it and the space that came with it durable, and keeps them. The caller
// holds the store's lock.
func (s *Server) save(calendarID string, ev *Event, e *event, sp *space, now time.Time) error {
	st := s.store
	e.id, e.rev = ev.ID, st.nextRev(now)
	e.updated = now.UnixMilli()
	e.cancelled, e.of = ev.Status == statusCancelled, ev.RecurringEventID
	ev.Etag = `"` + strconv.FormatInt(e.rev, 10) + `"`
	ev.Updated = now.Format(timestampResolution)
	e.raw = mustJSON(ev)
	lines := st.scratch[:0]
	if st.journal != nil {
		if sp != nil {
			lines = appendRecord(lines, record{Kind: "space", Space: sp}) // first: no event without its space
		}
		lines = appendEvent(lines, calendarID, e)
	}
	if err := st.commit(lines); err != nil {
		return err
	}
	if sp != nil {
		st.keepSpace(sp)
	}
	st.keepEvent(calendarID, e)
	s.changedCalendar(calendarID, now)
	return nil
}

// eventAnswer is e as a client sees it, with at most that many guests (0: all).
func eventAnswer(e *event, guests int) answer {
	return answer{status: http.StatusOK, body: limitGuests(e.raw, guests), etag: `"` + strconv.FormatInt(e.rev, 10) + `"`}
}

// limitGuests leaves out guests over the limit, other than the calendar's owner.
func limitGuests(raw []byte, guests int) []byte {
	if guests == 0 {
		return raw
	}
	ev := decodeEvent(raw)
	if len(ev.Attendees) <= guests {
		return raw
	}
	ev.Attendees = slices.DeleteFunc(ev.Attendees, func(a Attendee) bool { return !a.Self })
	ev.AttendeesOmitted = true
	return mustJSON(ev)
}

// decodeEvent reads back what this package wrote.
func decodeEvent(raw []byte) *Event {
	ev := new(Event)
	if err := json.Unmarshal(raw, ev); err != nil {
		panic("googlefake: decode own event: " + err.Error())
	}
	return ev
}

func (s *Server) getEvent(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	guests, refusal := c.positive("maxAttendees", 0)
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	st := s.store
	id := c.r.PathValue("eventId")
	st.mu.RLock()
	e := s.lookup(calendarID, id)
	waiting := e != nil && e.ripe(now)
	if stale := duration(s.setup().Data.StaleReads); e != nil && stale > 0 && now.Sub(time.UnixMilli(e.updated)) < stale {
		e, waiting = e.prior, false
	}
	st.mu.RUnlock()
	if waiting {
		st.mu.Lock()
		ripened, err := s.ripen(calendarID, st.event(calendarID, id), now)
		st.mu.Unlock()
		if err != nil {
			return answer{}, err
		}
		e = ripened
	}
	if e == nil {
		return answer{}, notFound()
	}
	a := eventAnswer(e, guests)
	if match := c.r.Header.Get("If-None-Match"); match != "" && (match == "*" || match == a.etag) {
		return answer{status: http.StatusNotModified, etag: a.etag}, nil
	}
	return a, nil
}

// stored finds the event that a call wants to change, settled, and holds it to If-Match. The caller
// holds the store's lock.
func (s *Server) stored(c *call, calendarID string, now time.Time) (*event, error) {
	e := s.lookup(calendarID, c.r.PathValue("eventId"))
	if e == nil {
		return nil, notFound()
	}
	e, err := s.ripen(calendarID, e, now)
	if err != nil {
		return nil, err
	}
	if match := c.r.Header.Get("If-Match"); match != "" && match != "*" && match != `"`+strconv.FormatInt(e.rev, 10)+`"` {
		return nil, &apiError{
			status: http.StatusPreconditionFailed, reason: "conditionNotMet", message: msgCondition,
			location: "If-Match", locationType: "header",
		}
	}
	return e, nil
}

func gone() *apiError {
	return &apiError{status: http.StatusGone, reason: "deleted", message: msgDeleted}
}

func (s *Server) patchEvent(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	return s.patchIn(c, calendarID, false)
}

// updateEvent is a PUT: what is missing is reset.
func (s *Server) updateEvent(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	return s.patchIn(c, calendarID, true)
}

// patchIn lays the call's body over an event, or puts it in the event's place.
func (s *Server) patchIn(c *call, calendarID string, replace bool) (answer, error) {
	o, refusal := c.writeOptions()
	if refusal != nil {
		return answer{}, refusal
	}
	var patch struct {
		Status         string          `json:"status"`
		ConferenceData json.RawMessage `json:"conferenceData"`
		Attendees      []Attendee      `json:"attendees"`
	}
	if json.Unmarshal(c.body, &patch) != nil {
		return answer{}, parseError()
	}
	if c.who.Subject == "" && len(patch.Attendees) > 0 {
		return answer{}, serviceAccountGuests()
	}
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	before, err := s.stored(c, calendarID, now)
	if err != nil {
		return answer{}, err
	}
	if before.cancelled && patch.Status != statusConfirmed && patch.Status != statusTentative {
		return answer{}, gone()
	}
	old := decodeEvent(before.raw)
	merged := c.body
	if !replace {
		if merged, err = mergePatch(before.raw, c.body); err != nil {
			return answer{}, parseError()
		}
	} else if len(patch.ConferenceData) == 0 {
		patch.ConferenceData = json.RawMessage("null")
	}
	ev := new(Event)
	if json.Unmarshal(merged, ev) != nil {
		return answer{}, parseError()
	}
	start, end, refusal := s.tidyEvent(ev, calendarID)
	if refusal != nil {
		return answer{}, refusal
	}
	ev.keepServerFields(old)
	e := &event{start: start.Unix(), end: end.Unix(), pending: before.pending, notified: before.notified}
	var sp *space
	if o.conference && len(patch.ConferenceData) > 0 {
		if sp, refusal = s.patchConference(c, ev, e, patch.ConferenceData, now); refusal != nil {
			return answer{}, refusal
		}
	}
	if !reflect.DeepEqual(old.Start, ev.Start) || !reflect.DeepEqual(old.End, ev.End) || !slices.Equal(old.Recurrence, ev.Recurrence) {
		ev.Sequence++
	}
	switch {
	case ev.Status == statusCancelled:
		e.pending = nil
		e.tell(&e.notified.Cancellations, o.audience(calendarID, old.Attendees))
	case old.Status == statusCancelled:
		e.tell(&e.notified.Invitations, o.audience(calendarID, ev.Attendees))
	case guestsWouldNotice(old, ev):
		e.tell(&e.notified.Updates, o.audience(calendarID, old.Attendees, ev.Attendees))
	}
	if err := s.save(calendarID, ev, e, sp, now); err != nil {
		return answer{}, err
	}
	return eventAnswer(e, o.guests), nil
}

// tell counts a round of messages to guests, if there was anybody to tell.
func (e *event) tell(round *int, messages int) {
	if messages > 0 {
		*round++
		e.notified.Messages += messages
	}
}

// keepServerFields undoes what a client may not write.
func (ev *Event) keepServerFields(old *Event) {
	ev.Kind, ev.ID, ev.HTMLLink, ev.Created, ev.ICalUID = old.Kind, old.ID, old.HTMLLink, old.Created, old.ICalUID
	ev.RecurringEventID, ev.OriginalStartTime = old.RecurringEventID, old.OriginalStartTime
	ev.Creator, ev.Organizer, ev.Sequence, ev.EventType = old.Creator, old.Organizer, old.Sequence, old.EventType
	ev.HangoutLink, ev.ConferenceData, ev.AttendeesOmitted = old.HangoutLink, old.ConferenceData, false
}

// guestsWouldNotice says whether Calendar would have something to tell guests.
func guestsWouldNotice(a, b *Event) bool {
	return a.Summary != b.Summary || a.Description != b.Description || a.Location != b.Location ||
		a.HangoutLink != b.HangoutLink || a.Status != b.Status ||
		!reflect.DeepEqual(a.Start, b.Start) || !reflect.DeepEqual(a.End, b.End) ||
		!slices.Equal(a.Recurrence, b.Recurrence) ||
		!slices.EqualFunc(a.Attendees, b.Attendees, func(x, y Attendee) bool { return x.Email == y.Email && x.Optional == y.Optional })
}

func (s *Server) deleteEvent(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	return s.deleteIn(c, calendarID)
}

func (s *Server) deleteIn(c *call, calendarID string) (answer, error) {
	o, refusal := c.writeOptions()
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	if e := st.event(calendarID, c.r.PathValue("eventId")); e != nil && e.cancelled {
		return answer{}, gone()
	}
	before, err := s.stored(c, calendarID, now)
	if err != nil {
		return answer{}, err
	}
	ev := decodeEvent(before.raw)
	ev.Status = statusCancelled
	e := &event{start: before.start, end: before.end, notified: before.notified}
	e.tell(&e.notified.Cancellations, o.audience(calendarID, ev.Attendees))
	if err := s.save(calendarID, ev, e, nil, now); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// Calendar is Calendar's Calendar resource.
type Calendar struct {
	Kind                 string                `json:"kind"`
	Etag                 string                `json:"etag"`
	ID                   string                `json:"id"`
	Summary              string                `json:"summary"`
	TimeZone             string                `json:"timeZone"`
	ConferenceProperties *ConferenceProperties `json:"conferenceProperties"`
}

func (s *Server) getCalendar(c *call) (answer, error) {
	id, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	cal := Calendar{
		Kind: "calendar#calendar", Etag: `"` + base64.RawURLEncoding.EncodeToString([]byte(id)) + `"`,
		ID: id, Summary: id, TimeZone: "UTC",
		ConferenceProperties: &ConferenceProperties{AllowedConferenceSolutionTypes: []string{hangoutsMeet}},
	}
	if c.who.Subject == "" {
		cal.ConferenceProperties.AllowedConferenceSolutionTypes = []string{"eventHangout"}
	}
	return answer{status: http.StatusOK, body: mustJSON(cal), etag: cal.Etag}, nil
}
