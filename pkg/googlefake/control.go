package googlefake

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// State is everything that exists, for tests to look at.
type State struct {
	Now           time.Time        `json:"now"` // on the emulator's clock
	Events        []StateEvent     `json:"events"`
	Spaces        []StateSpace     `json:"spaces"`
	Calls         map[string]int64 `json:"calls"` // by discovery id, and "token"; failed ones and those hit by a fault too
	Notifications []Notification   `json:"notifications"`
	Users         []string         `json:"users"`
	Faults        []Fault          `json:"faults"` // Times is the strikes to go
	Setup         Setup            `json:"setup"`
	Quotas        []QuotaUse       `json:"quotas"`
	Workspace
}

// StateEvent is an event and the calendar that it is in; cancelled ones too.
type StateEvent struct {
	CalendarID string `json:"calendarId"`
	Event
}

// StateSpace is a space as its owner sees it.
type StateSpace struct {
	Space
	Owner  string `json:"owner"`
	Origin string `json:"origin"` // "calendar": made with an event; "app": made by spaces.create
}

// Notification is what guests of an event were told. A round is one write that told at least one
// guest; Rounds is the sum of the three kinds.
type Notification struct {
	CalendarID    string `json:"calendarId"`
	EventID       string `json:"eventId"`
	Rounds        int    `json:"rounds"`
	Invitations   int    `json:"invitations"`
	Updates       int    `json:"updates"`
	Cancellations int    `json:"cancellations"`
	Messages      int    `json:"messages"` // over all rounds, one for each guest told
}

// State gives a copy of what exists.
func (s *Server) State() (State, error) {
	now, err := s.settleAll()
	if err != nil {
		return State{}, err
	}
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	out := State{Now: now, Events: []StateEvent{}, Spaces: s.stateSpaces(), Calls: s.Calls(), Notifications: s.notifications(), Users: st.userList(), Faults: s.faults.current(), Setup: s.Setup(), Quotas: s.QuotaUse(), Workspace: s.workspace(now)}
	for _, id := range slices.Sorted(maps.Keys(st.calendars)) {
		for _, e := range st.calendars[id].order {
			out.Events = append(out.Events, StateEvent{CalendarID: id, Event: *decodeEvent(e.raw)})
		}
	}
	return out, nil
}

// Calls counts requests since the start by discovery id ("calendar.events.insert"), and "token".
func (s *Server) Calls() map[string]int64 {
	out := make(map[string]int64, len(s.calls))
	for id, n := range s.calls {
		out[id] = n.Load()
	}
	return out
}

// AddFaults switches faults on, after those that are on already. It says which field of which fault
// makes no sense, and then adds none.
func (s *Server) AddFaults(faults ...Fault) error { return s.faults.add(faults) }

// ClearFaults switches all faults off.
func (s *Server) ClearFaults() { s.faults.clear() }

// SetConference says how conferences of later writes come into being: after delay on the emulator's
// clock, and whether they then fail.
func (s *Server) SetConference(delay time.Duration, fails bool) {
	s.settings.conferenceDelay.Store(int64(delay))
	s.settings.conferenceFails.Store(fails)
}

// settleAll brings every conference up to now.
func (s *Server) settleAll() (time.Time, error) {
	if err := s.progress(); err != nil {
		return time.Time{}, err
	}
	now := s.now()
	s.store.mu.RLock()
	ids := slices.Sorted(maps.Keys(s.store.calendars))
	s.store.mu.RUnlock()
	return now, s.ripenAll(now, ids...)
}

// userList, stateSpaces and notifications read under the caller's lock.
func (st *store) userList() []string {
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(st.users))))
}

func (s *Server) stateSpaces() []StateSpace {
	out := make([]StateSpace, 0, len(s.store.order))
	for _, sp := range s.store.order {
		out = append(out, StateSpace{Space: sp.resource(true), Owner: sp.Owner, Origin: sp.Origin})
	}
	return out
}

func (s *Server) notifications() []Notification {
	out := []Notification{}
	for _, id := range slices.Sorted(maps.Keys(s.store.calendars)) {
		for _, e := range s.store.calendars[id].order {
			n := e.notified
			if n == (notified{}) {
				continue
			}
			out = append(out, Notification{
				CalendarID: id, EventID: e.id, Rounds: n.Invitations + n.Updates + n.Cancellations,
				Invitations: n.Invitations, Updates: n.Updates, Cancellations: n.Cancellations, Messages: n.Messages,
			})
		}
	}
	return out
}

// controlRoutes are the emulator's own. They answer this machine only, unless told otherwise, and
// no page of another site: what is fine for curl must not be open to whatever the browser shows.
func (s *Server) controlRoutes(mux *http.ServeMux) {
	guard := http.NewCrossOriginProtection()
	serve := func(pattern string, handle func(w http.ResponseWriter, r *http.Request) error) {
		mux.Handle(pattern, guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !s.mayControl(r) {
				s.refuse(w, control, &apiError{status: http.StatusForbidden, message: "Control routes answer this machine only. MEET_EMULATOR_CONTROL=1 opens them to others."})
				return
			}
			err := s.progress() // what was due before is not touched by what is changed now
			if err == nil {
				err = handle(w, r)
			}
			if err == nil {
				return
			}
			if bad := (*fieldError)(nil); errors.As(err, &bad) {
				s.refuse(w, control, &apiError{status: http.StatusBadRequest, field: bad.field, message: bad.Error()})
				return
			}
			s.log.ErrorContext(r.Context(), "control request failed", "method", r.Method, "path", r.URL.Path, "error", err)
			s.refuse(w, control, &apiError{status: http.StatusInternalServerError, message: "The emulator's log says what went wrong."})
		})))
	}
	serve("GET "+controlPrefix+"state", s.getState)
	serve("GET "+controlPrefix+"truth", s.getTruth)
	serve("GET "+controlPrefix+"next", s.getUpcoming)
	serve("GET "+controlPrefix+"faults", s.getFaults)
	serve("POST "+controlPrefix+"faults", s.postFaults)
	serve("DELETE "+controlPrefix+"faults", s.deleteFaults)
	serve("GET "+controlPrefix+"clock", s.getClock)
	serve("POST "+controlPrefix+"clock", s.postClock)
	serve("POST "+controlPrefix+"settings", s.postSettings)
	serve("POST "+controlPrefix+"edit", s.postEdit)
	serve("POST "+controlPrefix+"conference", s.postConference)
	serve("POST "+controlPrefix+"files", s.postFile)
	serve("POST "+controlPrefix+"subscriptions", s.postSubscription)
	serve("POST "+controlPrefix+"pubsub", s.postPubsub)
	serve("DELETE "+controlPrefix+"sync-tokens", s.expireSyncTokens)
	s.setupRoutes(serve)
	// The key opens nothing but this emulator, so that knowing its address is enough to use it: the one that it was asked at, which may
	// be another than that of links.
	mux.HandleFunc("GET "+controlPrefix+"service-account.json", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, pretty(r, s.ServiceAccountKey(hostOf(r))))
	})
	mux.HandleFunc(controlPrefix, func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, control, &apiError{status: http.StatusNotFound, message: "No such control route."})
	})
}

func (s *Server) mayControl(r *http.Request) bool {
	if s.cfg.AllowRemoteControl {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (s *Server) readControl(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, &fieldError{"body", err.Error()}
	}
	return body, nil
}

// getState streams what State gives: the events go out as they are kept, which is quicker by far
// with tens of thousands of them. ?only=calls,spaces leaves out the rest.
func (s *Server) getState(w http.ResponseWriter, r *http.Request) error {
	all := []string{"now", "events", "spaces", "calls", "notifications", "users", "faults", "setup", "quotas", "conferences", "files", "subscriptions", "topics", "pubsub", "events_sent"}
	only := all
	if text := r.URL.Query().Get("only"); text != "" {
		only = strings.Split(text, ",")
		for _, name := range only {
			if !slices.Contains(all, name) {
				return &fieldError{"only", "want some of " + strings.Join(all, ",")}
			}
		}
	}
	now, err := s.settleAll()
	if err != nil {
		return err
	}
	parts := make(map[string]json.RawMessage, len(all))
	var events []stateLine
	st := s.store
	st.mu.RLock()
	for _, name := range only {
		switch name {
		case "now":
			parts[name] = mustJSON(now)
		case "events":
			for _, id := range slices.Sorted(maps.Keys(st.calendars)) {
				for _, e := range st.calendars[id].order {
					events = append(events, stateLine{id, e})
				}
			}
		case "spaces":
			parts[name] = mustJSON(s.stateSpaces())
		case "calls":
			parts[name] = mustJSON(s.Calls())
		case "notifications":
			parts[name] = mustJSON(s.notifications())
		case "users":
			parts[name] = mustJSON(st.userList())
		case "faults":
			parts[name] = mustJSON(s.faults.current())
		case "setup":
			parts[name] = mustJSON(s.setup())
		case "conferences":
			parts[name] = mustJSON(s.stateConferences(now))
		case "files":
			parts[name] = mustJSON(s.stateFiles())
		case "subscriptions":
			parts[name] = mustJSON(s.stateSubscriptions())
		case "topics":
			parts[name] = mustJSON(s.stateTopics())
		case "pubsub":
			parts[name] = mustJSON(s.statePubsub())
		case "events_sent":
			parts[name] = mustJSON(s.stateEvents())
		case "quotas":
			parts[name] = mustJSON(s.QuotaUse())
		}
	}
	st.mu.RUnlock()
	body := []byte{'{'}
	for _, name := range all {
		if !slices.Contains(only, name) {
			continue
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(append(body, mustJSON(name)...), ':')
		if name == "events" {
			body = appendStateEvents(body, events)
			continue
		}
		body = append(body, parts[name]...)
	}
	body = append(body, '}')
	writeJSON(w, http.StatusOK, body)
	return nil
}

type stateLine struct {
	calendarID string
	event      *event
}

func appendStateEvents(b []byte, events []stateLine) []byte {
	b = append(b, '[')
	for i, line := range events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, `{"calendarId":`...), mustJSON(line.calendarID)...)
		b = append(append(b, ','), line.event.raw[1:]...)
	}
	return append(b, ']')
}

func (s *Server) getFaults(w http.ResponseWriter, r *http.Request) error {
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(s.faults.current())))
	return nil
}

func (s *Server) postFaults(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	faults, err := decodeFaults(body)
	if err != nil {
		return err
	}
	if err := s.faults.add(faults); err != nil {
		return err
	}
	return s.getFaults(w, r)
}

func (s *Server) deleteFaults(w http.ResponseWriter, _ *http.Request) error {
	s.faults.clear()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func asFieldError(err error) error {
	if err == nil {
		return nil
	}
	if bad := (*fieldError)(nil); errors.As(err, &bad) {
		return bad
	}
	return &fieldError{"body", err.Error()}
}

// settingsBody is POST /_emulator/settings; what is absent stays.
type settingsBody struct {
	ConferenceDelay   *string `json:"conference_delay,omitempty"`
	ConferenceOutcome *string `json:"conference_outcome,omitempty"`
	Seed              *uint64 `json:"seed,omitempty"` // of the dice of faults
}

func (s *Server) postSettings(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var in settingsBody
	if err := decodeStrict(body, &in); err != nil {
		return asFieldError(err)
	}
	delay, fails := time.Duration(s.settings.conferenceDelay.Load()), s.settings.conferenceFails.Load()
	if in.ConferenceDelay != nil {
		if delay, err = time.ParseDuration(*in.ConferenceDelay); err != nil || delay < 0 {
			return &fieldError{"conference_delay", `want a duration such as "0s" or "30s"`}
		}
	}
	if in.ConferenceOutcome != nil {
		switch *in.ConferenceOutcome {
		case conferenceSuccess, conferenceFailure:
			fails = *in.ConferenceOutcome == conferenceFailure
		default:
			return &fieldError{"conference_outcome", `want "success" or "failure"`}
		}
	}
	if in.Seed != nil {
		s.faults.reseed(*in.Seed)
	}
	s.SetConference(delay, fails)
	outcome := conferenceSuccess
	if fails {
		outcome = conferenceFailure
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(settingsBody{ConferenceDelay: new(delay.String()), ConferenceOutcome: &outcome, Seed: in.Seed})))
	return nil
}
