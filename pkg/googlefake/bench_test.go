package googlefake

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func benchBody(i int) string {
	return fmt.Sprintf(`{"id":"lesson%08d","summary":"Consultation","description":"With Dr. Ana","start":{"dateTime":"2026-12-01T15:00:00Z","timeZone":"Europe/Madrid"},`+
		`"end":{"dateTime":"2026-12-01T16:00:00Z","timeZone":"Europe/Madrid"},"attendees":[{"email":"a@example.com","displayName":"A"},{"email":"b@example.com"}],`+
		`"conferenceData":{"createRequest":{"requestId":"r%d","conferenceSolutionKey":{"type":"hangoutsMeet"}}},"extendedProperties":{"private":{"mm_uid":"u%d"}},`+
		`"guestsCanInviteOthers":false,"guestsCanSeeOtherGuests":false}`, i, i, i)
}

func benchToken(s *Server) string {
	return "Bearer " + s.identity.issue(&grant{
		Subject: "boss@example.com", Scopes: []string{scopePrefix + "calendar.events"}, Expires: time.Now().Add(time.Hour).Unix(),
	})
}

// BenchmarkInsert is what one events.insert costs the process that the emulator runs in, the HTTP
// server not counted.
func BenchmarkInsert(b *testing.B) {
	for _, name := range []string{"memory", "disk"} {
		b.Run(name, func(b *testing.B) {
			cfg := Config{}
			if name == "disk" {
				cfg.Dir = b.TempDir()
			}
			s := newServer(b, cfg)
			token := benchToken(s)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := httptest.NewRequest(http.MethodPost, "/calendar/v3/calendars/primary/events?alt=json&conferenceDataVersion=1&prettyPrint=false&sendUpdates=all", strings.NewReader(benchBody(i)))
				r.Header.Set("Authorization", token)
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}

// BenchmarkInsertOverTCP has the HTTP server and a bare client in it too.
func BenchmarkInsertOverTCP(b *testing.B) {
	s := newServer(b, Config{Dir: b.TempDir()})
	hs := httptest.NewServer(s)
	defer hs.Close()
	token := benchToken(s)
	client := hs.Client()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, hs.URL+"/calendar/v3/calendars/primary/events?alt=json&conferenceDataVersion=1&prettyPrint=false&sendUpdates=all", strings.NewReader(benchBody(i)))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Authorization", token)
		res, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		if err := res.Body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
