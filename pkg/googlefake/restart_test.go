package googlefake_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

// inDir starts an emulator that the test ends itself.
func inDir(t *testing.T, dir string) (*fake, func()) {
	t.Helper()
	s, err := googlefake.New(googlefake.Config{Dir: dir, BaseURL: "http://emulator.test", Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	hs := newHTTP(t, s)
	return &fake{Server: s, url: hs.URL}, func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func asJSON(t *testing.T, st googlefake.State) string {
	t.Helper()
	st.Calls, st.Quotas, st.EventsSent = nil, nil, googlefake.StateEvents{} // those of the process
	b, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestARestartFindsEverything(t *testing.T) {
	dir := t.TempDir()
	f, stop := inDir(t, dir)
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	insert(t, svc, lesson("lesson00002"))
	f.SetConference(2*time.Hour, false)
	insert(t, svc, lesson("lesson00003"))
	if _, err := svc.Events.Patch("primary", "lesson00001", &calendar.Event{Summary: "New"}).SendUpdates("all").Do(); err != nil {
		t.Fatal(err)
	}
	if err := svc.Events.Delete("primary", "lesson00002").SendUpdates("all").Do(); err != nil {
		t.Fatal(err)
	}
	meets := f.meet(t, boss)
	sp := createSpace(t, meets, nil)
	if _, err := meets.Spaces.Patch(sp.Name, &meet.Space{Config: recording("ON")}).Do(); err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(time.Hour); err != nil {
		t.Fatal(err)
	}
	want := asJSON(t, f.state(t))
	token := f.bearer(t, boss, calendar.CalendarEventsScope)
	key := string(f.ServiceAccountKey("http://x"))
	page, err := svc.Events.List("primary").Do()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := googlefake.New(googlefake.Config{Dir: dir}); err == nil {
		t.Error("two emulators share one folder")
	}
	stop()

	for _, round := range []string{"from the log", "from the compacted log"} {
		g, stop := inDir(t, dir)
		if got := asJSON(t, g.state(t)); got != want {
			t.Errorf("%s: got %s\nwant %s", round, got, want)
		}
		if string(g.ServiceAccountKey("http://x")) != key {
			t.Errorf("%s: another key", round)
		}
		if code, _, body := send(t, http.MethodGet, g.url+"/calendar/v3/calendars/primary/events/lesson00001", "", "Authorization", token); code != 200 {
			t.Errorf("%s: a token given before: %d %s", round, code, body)
		}
		again, err := g.calendar(t, boss).Events.List("primary").SyncToken(page.NextSyncToken).Do()
		if err != nil || len(again.Items) != 0 {
			t.Errorf("%s: a sync token given before: %v, %v", round, again, err)
		}
		stop()
	}

	h, stop := inDir(t, dir)
	defer stop()
	if err := h.Advance(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	ev, err := h.calendar(t, boss).Events.Get("primary", "lesson00003").Do()
	if err != nil || ev.HangoutLink == "" {
		t.Errorf("a conference pending over a restart: %+v, %v", ev.ConferenceData, err)
	}
	_, err = h.calendar(t, boss).Events.Insert("primary", lesson("lesson00002")).Do()
	refused(t, err, 409, "duplicate", "")
}

func TestATornLastLineIsLeftOutAndADamagedOneIsSaid(t *testing.T) {
	dir := t.TempDir()
	f, stop := inDir(t, dir)
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	insert(t, svc, lesson("lesson00002"))
	stop()
	path := filepath.Join(dir, "state.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(whole), "\n"), "\n")
	for cut, wantEvents := range map[int]int{len(whole) - 1: 1, len(whole) - 40: 1, len(whole) - len(lines[len(lines)-1]) - 1: 1, len(whole): 2} {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		g, stop := inDir(t, dir)
		if n := len(g.state(t).Events); n != wantEvents {
			t.Errorf("cut at %d of %d: %d events, want %d", cut, len(whole), n, wantEvents)
		}
		insert(t, g.calendar(t, boss), lesson("lesson00003"))
		stop()
		h, stop := inDir(t, dir)
		if n := len(h.state(t).Events); n != wantEvents+1 {
			t.Errorf("cut at %d, after one more insert: %d events", cut, n)
		}
		stop()
	}
	if err := os.WriteFile(path, []byte("{\"k\":\n"+string(whole)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := googlefake.New(googlefake.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "line 1 of") {
		t.Errorf("a damaged first line: %v", err)
	}
}

func TestALogThatIsMostlyHistoryIsCompacted(t *testing.T) {
	dir := t.TempDir()
	f, stop := inDir(t, dir)
	svc := f.calendar(t, boss)
	insert(t, svc, lesson("lesson00001"))
	for range 20 {
		if _, err := svc.Events.Patch("primary", "lesson00001", &calendar.Event{Summary: "Again"}).Do(); err != nil {
			t.Fatal(err)
		}
	}
	want := asJSON(t, f.state(t))
	stop()
	before := lineCount(t, dir)
	g, stop := inDir(t, dir)
	defer stop()
	if got := asJSON(t, g.state(t)); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	// A person, a space and an event are left, and the clock, the configuration and how far it is.
	if after := lineCount(t, dir); before < 20 || after != 6 {
		t.Errorf("%d lines became %d", before, after)
	}
}

func lineCount(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "state.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}
