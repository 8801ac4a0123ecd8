package standalone_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// spent are the calls to Google between two counts, by method. How calendars and conferences are followed is a matter of time and
// of accounts and not of creates and changes, and is left out; so are tokens, which readings take too.
func spent(before, after counted) map[string]int {
	spent := make(map[string]int)
	for method, n := range after.Calls {
		api, _, _ := strings.Cut(method, ".")
		reads := method == "calendar.events.list" || strings.HasPrefix(method, "meet.conferenceRecords.") || api == "workspaceevents" || api == "pubsub" || api == "directory"
		if d := n - before.Calls[method]; d > 0 && !reads && method != "token" {
			spent[method] = d
		}
	}
	return spent
}

// row is how the table shows calls.
func row(calls map[string]int) string {
	total := 0
	var which []string
	for _, method := range slices.Sorted(maps.Keys(calls)) {
		total += calls[method]
		which = append(which, "`"+method+"`")
	}
	return fmt.Sprintf("%d | %s", total, strings.Join(which, ", "))
}

const (
	insertEvent = "calendar.events.insert"
	getEvent    = "calendar.events.get"
	patchEvent  = "calendar.events.patch"
	deleteEvent = "calendar.events.delete"
	createSpace = "meet.spaces.create"
	getSpace    = "meet.spaces.get"
	patchSpace  = "meet.spaces.patch"
)

// TestWhatAMeetingCostsInCallsToGoogle counts at the emulator, and compares with the table of the documentation.
func TestWhatAMeetingCostsInCallsToGoogle(t *testing.T) {
	p := run(t, "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	const (
		plain = `,"auto_record":false,"public_access":false`
		bare  = `,"create_calendar_event":false`
	)
	synced := func(id int64) { p.until(id, "in sync", func(m seen) bool { return m.Sync == "ok" }) }
	m, simple := seen{}, seen{}
	day := time.Now().Add(72 * time.Hour).UTC().Truncate(time.Second)
	guests := func(change string) {
		if r := p.send(http.MethodPatch, fmt.Sprintf("meetings/%d/", m.ID), `{"invited_emails":`+change+`}`); r.status != http.StatusOK {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	table := "| what | calls | which |\n| --- | --- | --- |\n"
	for _, step := range []struct {
		what string // as in the table; empty: not in it
		do   func()
		want map[string]int
	}{
		{
			"", func() { m = p.create("") },
			map[string]int{insertEvent: 1, getSpace: 1, patchSpace: 1},
		},
		{"create, with the defaults", func() { m = p.create("") }, map[string]int{insertEvent: 1, getSpace: 1, patchSpace: 1}},
		{"create, `auto_record` and `public_access` false", func() { simple = p.create(plain) }, map[string]int{insertEvent: 1}},
		{"", func() { p.create(bare) }, map[string]int{createSpace: 1}},
		{"create, `create_calendar_event` false", func() { p.create(bare) }, map[string]int{createSpace: 1}},
		{"reschedule", func() { p.move(m.ID, day); synced(m.ID) }, map[string]int{patchEvent: 1}},
		{"another title or description", func() {
			p.send(http.MethodPatch, fmt.Sprintf("meetings/%d/", m.ID), `{"summary":"Second visit","description":"Bring the results"}`)
			synced(m.ID)
		}, map[string]int{patchEvent: 1}},
		{"the same time once more", func() { p.move(m.ID, day); synced(m.ID) }, nil},
		{
			"guests invited or taken off; what they answered is read first", func() { guests(`{"add":["luis@mail.example"]}`); synced(m.ID) },
			map[string]int{getEvent: 1, patchEvent: 1},
		},
		{"a change, and four more while it is under way", func() {
			p.google(http.MethodPost, "faults", []any{map[string]any{"match": "PATCH /calendar/v3/", "latency": "1500ms", "times": 1}}, nil)
			before := p.counted().Calls[patchEvent]
			p.move(m.ID, day.Add(time.Hour))
			p.until(m.ID, "under way", func(seen) bool { return p.counted().Calls[patchEvent] > before })
			for n := range 4 {
				p.move(m.ID, day.Add(time.Duration(2+n)*time.Hour))
			}
			if n := p.counted().Calls[patchEvent] - before; n != 1 {
				t.Errorf("%d patches before all was said, want the first alone", n)
			}
			synced(m.ID)
			if e := p.event(m.EventID); !e.Start.At.Equal(day.Add(5 * time.Hour)) {
				t.Errorf("the event is at %s, want the last of the times", e.Start.At)
			}
		}, map[string]int{patchEvent: 2}},
		{"cancel", func() { p.callOff(m.ID); synced(m.ID) }, map[string]int{deleteEvent: 1}},
		{"cancel what is cancelled", func() { p.send(http.MethodDelete, fmt.Sprintf("meetings/%d/", m.ID), ""); synced(m.ID) }, nil},
		{"a status that Google need not know", func() {
			p.send(http.MethodPatch, fmt.Sprintf("meetings/%d/", simple.ID), `{"status":"SCHEDULED"}`)
			synced(simple.ID)
		}, nil},
		{"", func() {
			for range 20 {
				p.create("")
			}
		}, map[string]int{insertEvent: 20, getSpace: 20, patchSpace: 20}},
	} {
		before := p.counted()
		step.do()
		got := spent(before, p.counted())
		if !maps.Equal(got, step.want) {
			t.Errorf("%q: %v, want %v", step.what, got, step.want)
		}
		if step.what == "" {
			continue
		}
		table += "| " + step.what + " | " + row(got) + " |\n"
	}
	t.Logf("for the documentation:\n%s", table)
	// One of Calendar, one of the settings of spaces, one of making spaces; and once it is read what was held, one of conferences, one
	// of the directory and the service account's own for notices.
	if n := p.counted().Calls["token"]; n < 3 || n > 6 {
		t.Errorf("%d tokens were asked for, want 3 to 6: one organizer, a set of scopes each", n)
	}
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), table) {
		t.Error("docs/performance.md has another table")
	}
}
