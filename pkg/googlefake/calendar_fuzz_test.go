package googlefake

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// ask sends one signed request in memory.
func ask(s *Server, token, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// FuzzEvent writes whatever as an event and over an event. It must be refused or be kept in a form
// that a restart can read.
func FuzzEvent(f *testing.F) {
	f.Add(benchBody(1))
	f.Add(`{"start":{"dateTime":"2026-12-01T15:00:00"},"attendees":null,"conferenceData":{"createRequest":null}}`)
	f.Add(`{"status":"cancelled","extendedProperties":{"private":{"mm_uid":null}},"reminders":{"overrides":[]}}`)
	f.Add(`{"conferenceData":{"conferenceSolution":{"key":{"type":"hangoutsMeet"}},"entryPoints":[{"entryPointType":"video","uri":"http://x/y"}]}}`)
	s := newServer(f, Config{})
	token := benchToken(s)
	f.Fuzz(func(t *testing.T, body string) {
		fresh, err := openStore("", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s.store = fresh
		const events = "/calendar/v3/calendars/primary/events"
		const query = "?conferenceDataVersion=1&sendUpdates=all&prettyPrint=false"
		if w := ask(s, token, http.MethodPost, events+query, benchBody(0)); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for method, target := range map[string]string{http.MethodPost: events, http.MethodPatch: events + "/lesson00000000"} {
			if w := ask(s, token, method, target+query, body); w.Code >= http.StatusInternalServerError {
				t.Errorf("%s: %d %s", method, w.Code, w.Body)
			}
		}
		for id, cal := range s.store.calendars {
			for _, e := range cal.order {
				line := appendEvent(nil, id, e)
				if err := s.store.apply(line); err != nil {
					t.Errorf("%v in %s", err, line)
				}
			}
		}
		if w := ask(s, token, http.MethodGet, events+"?showDeleted=true", ""); w.Code != http.StatusOK {
			t.Errorf("list: %d %s", w.Code, w.Body)
		}
	})
}

// FuzzSpace does the same to a space.
func FuzzSpace(f *testing.F) {
	s := newServer(f, Config{})
	token := "Bearer " + s.identity.issue(&grant{Subject: "boss@example.com", Scopes: []string{scopePrefix + "meetings.space.created"}, Expires: 1 << 40})
	f.Add(`{"config":{"accessType":"OPEN","artifactConfig":{"recordingConfig":{"autoRecordingGeneration":"ON"}}}}`, "config.access_type")
	f.Add(`{"phoneAccess":[]}`, "*,")
	sp := s.store.newSpace("boss@example.com", originApp, "http://x")
	s.store.keepSpace(sp)
	f.Fuzz(func(t *testing.T, body, mask string) {
		if w := ask(s, token, http.MethodPost, "/v2/spaces", body); w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("create: %d %s", w.Code, w.Body)
		}
		r := httptest.NewRequest(http.MethodPatch, "/v2/spaces/"+sp.ID, strings.NewReader(body))
		r.Header.Set("Authorization", token)
		q := r.URL.Query()
		q.Set("updateMask", mask)
		r.URL.RawQuery = q.Encode()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("patch: %d %s", w.Code, w.Body)
		}
	})
}
