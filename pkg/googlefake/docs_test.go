package googlefake_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

// controlRoutes are those that the documentation must name.
var controlRoutes = []string{
	"accounts", "apis", "calendars", "clock", "conference", "data", "delegation", "edit", "events", "faults", "files", "meet", "next", "pubsub", "quotas",
	"service-account", "service-account.json", "settings", "state", "subscriptions", "sync-tokens", "truth",
}

func TestTheDocumentationNamesEveryControlRouteAndNoOther(t *testing.T) {
	page, err := os.ReadFile("../../docs/emulator.md")
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, googlefake.Config{})
	var named []string
	for _, m := range regexp.MustCompile(`/_emulator/([a-z.-]+)`).FindAllSubmatch(page, -1) {
		named = append(named, string(m[1]))
	}
	slices.Sort(named)
	if named = slices.Compact(named); !slices.Equal(named, controlRoutes) {
		t.Errorf("the page names %q, want %q", named, controlRoutes)
	}
	for _, name := range controlRoutes {
		found := false
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			code, _, _ := send(t, method, f.url+"/_emulator/"+name, "nothing sensible")
			found = found || code == 200 || code == 204 || code == 400
		}
		if !found {
			t.Errorf("%s: no such route", name)
		}
	}
}

// verdict is a program under test: it looks for the recording of a conference.
func verdict(t *testing.T, svc *meet.Service, record string) string {
	t.Helper()
	got, err := svc.ConferenceRecords.Recordings.List(record).Do()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Recordings) == 0 {
		return "missing"
	}
	return got.Recordings[0].State
}

func TestTheRecordingNeverCameAsTheDocumentationShowsIt(t *testing.T) {
	r := newRoom(t, googlefake.Config{})
	g, code := r.Server, r.space.MeetingCode
	if err := g.SetClock(googlefake.ClockChange{Set: start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	names, err := g.Conferences(googlefake.Script{Code: code, Recording: "never", People: []googlefake.ScriptPerson{{Email: boss}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r.meet, names[0]); got != "missing" {
		t.Errorf("the recording never came, and we say %q", got)
	}
	names, err = g.Conferences(googlefake.Script{Code: code, People: []googlefake.ScriptPerson{{Email: boss}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Advance(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, r.meet, names[0]); got != "FILE_GENERATED" {
		t.Errorf("it came, and we say %q", got)
	}
}
