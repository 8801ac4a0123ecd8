package googlefake

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

// conference gives ev, whose ConferenceData is what it has so far, the conference that the caller
// wishes. It returns the space that came into being, if any. The caller holds the store's lock.
func (s *Server) conference(c *call, ev *Event, e *event, wish *ConferenceData, now time.Time) (*space, *apiError) {
	old := ev.ConferenceData
	request := wish.CreateRequest
	if request == nil {
		if len(wish.EntryPoints) == 0 {
			return nil, nil
		}
		return nil, attach(ev, e, wish)
	}
	if request.RequestID == "" {
		return nil, required("Missing conference request id.")
	}
	if old != nil && old.CreateRequest != nil && old.CreateRequest.RequestID == request.RequestID {
		return nil, nil // a repeat is ignored
	}
	kind := hangoutsMeet
	if request.ConferenceSolutionKey != nil {
		kind = request.ConferenceSolutionKey.Type
	}
	if kind != hangoutsMeet || c.who.Subject == "" || !s.setup().policy(c.who.Subject).hasMeet {
		return nil, invalid(msgConferenceType)
	}
	ev.HangoutLink = ""
	ev.ConferenceData = &ConferenceData{CreateRequest: &CreateConferenceRequest{
		RequestID: request.RequestID, ConferenceSolutionKey: &ConferenceSolutionKey{Type: hangoutsMeet},
		Status: &ConferenceRequestStatus{StatusCode: conferencePending},
	}}
	delay := time.Duration(s.settings.conferenceDelay.Load())
	e.pending = &pending{At: now.Add(delay), Base: c.base, Owner: c.who.person(), Fails: s.settings.conferenceFails.Load()}
	return s.settle(ev, e, now), nil
}

// settle ends the wait for a conference whose time has come. It returns the space that came into
// being, if any. The caller holds the store's lock.
func (s *Server) settle(ev *Event, e *event, now time.Time) *space {
	p := e.pending
	if p == nil || now.Before(p.At) {
		return nil
	}
	e.pending = nil
	cd := ev.ConferenceData
	if p.Fails {
		cd.CreateRequest.Status.StatusCode = conferenceFailure
		return nil
	}
	sp := s.store.newSpace(p.Owner, originCalendar, p.Base)
	sp.Made = now
	link := sp.link()
	_, label, _ := strings.Cut(link, "://")
	cd.CreateRequest.Status.StatusCode = conferenceSuccess
	cd.ConferenceID = sp.Code
	cd.ConferenceSolution = &ConferenceSolution{Key: &ConferenceSolutionKey{Type: hangoutsMeet}, Name: "Google Meet (simulated)"}
	cd.EntryPoints = []EntryPoint{{EntryPointType: video, URI: link, Label: label}}
	ev.HangoutLink = link
	return sp
}

// attach puts an existing conference on ev. Google then leaves the conference's id out.
func attach(ev *Event, e *event, wish *ConferenceData) *apiError {
	if wish.ConferenceSolution == nil || wish.ConferenceSolution.Key == nil || wish.ConferenceSolution.Key.Type == "" {
		return invalid(msgConferenceType)
	}
	link := ""
	for _, p := range wish.EntryPoints {
		switch p.EntryPointType {
		case video:
			if link != "" {
				return invalid("Invalid conference data.")
			}
			link = p.URI
		case "phone", "sip", "more":
		default:
			return invalid("Invalid conference data.")
		}
		if u, err := url.Parse(p.URI); err != nil || u.Scheme == "" {
			return invalid("Invalid conference data.")
		}
	}
	e.pending = nil
	ev.ConferenceData = &ConferenceData{ConferenceSolution: wish.ConferenceSolution, EntryPoints: wish.EntryPoints, Notes: wish.Notes}
	ev.HangoutLink = ""
	if wish.ConferenceSolution.Key.Type == hangoutsMeet {
		ev.HangoutLink = link
	}
	return nil
}

// ripe is an event whose conference should be there by now, but nobody looked. The caller holds the
// store's lock, for reading at least.
func (e *event) ripe(now time.Time) bool { return e.pending != nil && !now.Before(e.pending.At) }

// ripen settles the event and saves it. The caller holds the store's lock.
func (s *Server) ripen(calendarID string, e *event, now time.Time) (*event, error) {
	if !e.ripe(now) {
		return e, nil
	}
	next := *e
	ev := decodeEvent(e.raw)
	sp := s.settle(ev, &next, now)
	if err := s.save(calendarID, ev, &next, sp, now); err != nil {
		return nil, err
	}
	return &next, nil
}

// ripenAll settles what is ripe in the calendars, so that readers see it. It takes the lock.
func (s *Server) ripenAll(now time.Time, calendarIDs ...string) error {
	type place struct {
		calendarID string
		index      int
	}
	var found []place
	st := s.store
	st.mu.RLock()
	for _, id := range calendarIDs {
		if cal := st.calendars[id]; cal != nil && cal.waiting > 0 {
			for i, e := range cal.order {
				if e.ripe(now) {
					found = append(found, place{id, i})
				}
			}
		}
	}
	st.mu.RUnlock()
	if len(found) == 0 {
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, p := range found {
		if _, err := s.ripen(p.calendarID, st.calendars[p.calendarID].order[p.index], now); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) patchConference(c *call, ev *Event, e *event, wish json.RawMessage, now time.Time) (*space, *apiError) {
	if string(wish) == "null" {
		ev.ConferenceData, ev.HangoutLink, e.pending = nil, "", nil
		return nil, nil
	}
	cd := new(ConferenceData)
	if json.Unmarshal(wish, cd) != nil {
		return nil, parseError()
	}
	return s.conference(c, ev, e, cd, now)
}

// ConferenceProperties says which conferences a calendar may hold.
type ConferenceProperties struct {
	AllowedConferenceSolutionTypes []string `json:"allowedConferenceSolutionTypes"`
}
