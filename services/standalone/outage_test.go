package standalone_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// atOnce is what a create may take while Google is down, on a machine that does much else: far less than the 8 s that it waits
// for a link otherwise.
const atOnce = 3 * time.Second

// late is a meeting that was asked for while Google was down.
type late struct {
	ID        int64  `json:"id"`
	Operation string `json:"operation"`
	bare      bool
}

// accepted makes a meeting that must be answered with 202, and at once.
func (p product) accepted(organizer string, bare bool) late {
	start := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	begun := time.Now()
	r := p.send(http.MethodPost, "meetings/", fmt.Sprintf(
		`{"organizer_email":%q,"invited_emails":["ana@mail.example"],"summary":"Visit","scheduled_start":%q,"scheduled_end":%q,"create_calendar_event":%v}`,
		organizer, start.Format(time.RFC3339), start.Add(time.Hour).Format(time.RFC3339), !bare))
	took := time.Since(begun)
	m := late{bare: bare}
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || r.status != http.StatusAccepted || m.ID == 0 || m.Operation == "" {
		p.t.Errorf("create while google is down: %d %s %v", r.status, r.body, err)
	}
	if took > atOnce {
		p.t.Errorf("create while google is down: answered after %s", took)
	}
	return m
}

// move gives a meeting a new time.
func (p product) move(id int64, to time.Time) {
	p.t.Helper()
	r := p.send(http.MethodPatch, fmt.Sprintf("meetings/%d/", id), fmt.Sprintf(
		`{"scheduled_start":%q,"scheduled_end":%q}`, to.Format(time.RFC3339), to.Add(time.Hour).Format(time.RFC3339)))
	if r.status != http.StatusOK {
		p.t.Errorf("move meeting %d: %d %s", id, r.status, r.body)
	}
}

// callOff cancels a meeting.
func (p product) callOff(id int64) {
	p.t.Helper()
	if r := p.send(http.MethodDelete, fmt.Sprintf("meetings/%d/", id), ""); r.status != http.StatusOK {
		p.t.Errorf("cancel meeting %d: %d %s", id, r.status, r.body)
	}
}

// clock sets the emulator's clock.
func (p product) clock(change map[string]any) {
	p.t.Helper()
	p.google(http.MethodPost, "clock", change, nil)
}

// googleNow is the time on the emulator's clock.
func (p product) googleNow() time.Time {
	p.t.Helper()
	var c struct {
		Now time.Time `json:"now"`
	}
	p.google(http.MethodGet, "clock", nil, &c)
	return c.Now
}

// counted is what the emulator has counted.
type counted struct {
	Calls         map[string]int `json:"calls"`
	Notifications []struct {
		Event  string `json:"eventId"`
		Rounds int    `json:"rounds"`
	} `json:"notifications"`
	Spaces []struct {
		Origin string `json:"origin"`
	} `json:"spaces"`
	Quotas []struct {
		Class          string `json:"class"`
		Allowed        int    `json:"allowed"`
		RefusedProject int    `json:"refused_project"`
		RefusedUser    int    `json:"refused_user"`
		PeakUser       int    `json:"peak_user"`
	} `json:"quotas"`
}

func (p product) counted() counted {
	p.t.Helper()
	var c counted
	p.google(http.MethodGet, "state", nil, &c)
	return c
}

// rounds is how often the guests of an event were told something.
func (c counted) rounds(event string) int {
	for _, n := range c.Notifications {
		if n.Event == event {
			return n.Rounds
		}
	}
	return 0
}

// api counts the calls to Google's APIs, tokens apart.
func (c counted) api() (n int) {
	for method, calls := range c.Calls {
		if strings.HasPrefix(method, "calendar.") || strings.HasPrefix(method, "meet.") {
			n += calls
		}
	}
	return n
}

// TestAnHourOfGoogleAnswering503LosesNothing lets Google be down for an hour of the emulator's clock, a quarter of it to the second.
func TestAnHourOfGoogleAnswering503LosesNothing(t *testing.T) {
	p := run(t, "MEET_CLOCK=emulator", "MEET_GOOGLE_QUOTAS=on", "GOOGLE_WORKSPACE_DOMAINS=clinic.example")
	p.google(http.MethodPost, "quotas", map[string]any{"enabled": true}, nil)
	moved, cancelled, changed, left := p.create(""), p.create(""), p.create(""), p.create("")

	before := p.counted()
	p.google(http.MethodPost, "faults", []any{
		map[string]any{"match": "/calendar/v3/", "status": 503}, map[string]any{"match": "/v2/", "status": 503},
	}, nil)
	p.clock(map[string]any{"rate": 900})
	down := p.googleNow()
	// The first ones find out. They need not wait for a link that does not come, either.
	const finders = 10
	first := make([]late, 2*finders)
	var all sync.WaitGroup
	for n := range first {
		all.Go(func() { first[n] = p.accepted(fmt.Sprintf("first%d@clinic.example", n), n%2 == 1) })
	}
	all.Wait()
	asked := slices.Clone(first)
	if health := p.field(p.send(http.MethodGet, "health/", ""), "google"); health != "degraded" {
		t.Errorf("health says google is %s", health)
	}
	if status, body := p.ops("readyz"); status != http.StatusOK || !strings.Contains(body, "degraded") {
		t.Errorf("readyz: %d %s", status, body)
	}

	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	day := time.Now().Add(72 * time.Hour).UTC().Truncate(time.Second)
	const lastStep = 7
	for step := 0; step <= lastStep || p.googleNow().Sub(down) < time.Hour; step++ {
		asked = append(asked, p.accepted("doctor@clinic.example", false))
		if step%3 == 0 {
			asked = append(asked, p.accepted("bare@clinic.example", true)) // eight a minute are within the quota
		}
		switch step {
		case 1:
			p.move(moved.ID, day)
		case 2:
			p.callOff(cancelled.ID)
		case 3, 4, 5: // for three, and back again to another day
			p.move(changed.ID, day.Add(time.Duration(step)*time.Hour))
		case 6:
			p.move(asked[0].ID, day)
		case lastStep:
			p.callOff(asked[2].ID)
		}
		<-tick.C
	}
	during := p.counted()
	hour := p.googleNow().Sub(down)
	if tries := during.api() - before.api(); tries > 250 {
		t.Errorf("google was asked %d times while it was down", tries)
	} else {
		t.Logf("%s down: %d creates answered 202, google was asked %d times", hour.Round(time.Minute), len(asked), tries)
	}

	p.clock(map[string]any{"rate": 60})
	back, really := p.googleNow(), time.Now()
	p.google(http.MethodDelete, "faults", nil, nil)
	from := p.counted()
	for _, m := range []seen{moved, cancelled, changed, left} {
		p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" })
	}
	events, spaces := 0, 0
	for i, m := range asked {
		if i == 2 {
			p.until(m.ID, "called off", func(m seen) bool { return m.Status == "CANCELLED" && m.Sync == "ok" })
			continue
		}
		p.until(m.ID, "in sync", func(m seen) bool { return m.Sync == "ok" && m.Link != "" })
		if m.bare {
			spaces++
		} else {
			events++
		}
	}
	t.Logf("all is applied %s after google came back, %s on this machine's clock, which is the one of short retries", p.googleNow().Sub(back).Round(time.Second), time.Since(really).Round(100*time.Millisecond))

	after := p.counted()
	p.agree(after, moved.ID, day, 2)
	p.agree(after, changed.ID, day.Add(5*time.Hour), 2)
	p.agree(after, left.ID, left.Start, 1)
	for i, m := range asked {
		got := p.read(m.ID)
		if i == 2 {
			if slices.Contains(p.history(m.ID), "meeting.ready") || got.EventID != "" {
				t.Errorf("meeting %d was called off before google had it, and got %+v", m.ID, got)
			}
			continue
		}
		if done := p.send(http.MethodGet, "operations/"+m.Operation+"/", ""); p.field(done, "done") != "true" || p.field(done, "error") != "<nil>" {
			t.Errorf("operation of meeting %d: %s", m.ID, done.body)
		}
		if types := p.history(m.ID); slices.Index(types, "meeting.created") != 0 || strings.Count(strings.Join(types, " "), "meeting.ready") != 1 {
			t.Errorf("history of meeting %d: %v", m.ID, types)
		}
		if !m.bare {
			p.agree(after, m.ID, got.Start, 1)
		}
	}
	if got := p.read(asked[0].ID); !got.Start.Equal(day) {
		t.Errorf("meeting %d was moved to %s and is at %s", got.ID, day, got.Start)
	}
	if e := p.event(cancelled.EventID); e.Status != "cancelled" || after.rounds(e.ID) != 2 {
		t.Errorf("the cancelled one's event is %s, guests were told %d times", e.Status, after.rounds(e.ID))
	}
	alive := 0
	for _, e := range p.state().Events {
		if e.Status != "cancelled" {
			alive++
		}
	}
	if want := events + 3; alive != want {
		t.Errorf("google has %d events, want %d", alive, want)
	}
	made := 0
	for _, s := range after.Spaces {
		if s.Origin != "calendar" {
			made++
		}
	}
	if made != spaces {
		t.Errorf("google has %d bare spaces, want %d", made, spaces)
	}
	// The event of the one that was called off before it was there is deleted to be sure, and once more in case an insert was
	// still under way: an answer of 503 does not say that nothing was done.
	for method, most := range map[string]int{"calendar.events.insert": events, "calendar.events.patch": 2, "calendar.events.delete": 1 + 2, "meet.spaces.create": spaces} {
		if n := after.Calls[method] - from.Calls[method]; n > most {
			t.Errorf("%s was called %d times once google was back, want %d", method, n, most)
		}
	}
	for _, use := range after.Quotas {
		if refused := use.RefusedProject + use.RefusedUser; refused > 0 {
			t.Errorf("google refused %d of %d calls of %s for their quota", refused, use.Allowed+refused, use.Class)
		}
		if use.Class == "meet_create" && use.PeakUser > 10 {
			t.Errorf("%d bare spaces of one organizer in a minute", use.PeakUser)
		}
	}
}

// agree checks that a meeting has one event, at the right time, of which the guests were told so often.
func (p product) agree(c counted, id int64, start time.Time, rounds int) {
	p.t.Helper()
	m := p.read(id)
	e := p.event(m.EventID)
	if e.Status == "cancelled" || !e.Start.At.Equal(start) || !m.Start.Equal(start) || e.Link != m.Link {
		p.t.Errorf("meeting %d is to be at %s: %+v; its event %+v", id, start, m, e)
	}
	same := 0
	for _, other := range p.state().Events {
		if other.Properties.Private["mm_uid"] == e.Properties.Private["mm_uid"] {
			same++
		}
	}
	if same != 1 {
		p.t.Errorf("meeting %d has %d events", id, same)
	}
	if n := c.rounds(m.EventID); n != rounds {
		p.t.Errorf("the guests of meeting %d were told %d times, want %d", id, n, rounds)
	}
}

// ops reads a page beside the API.
func (p product) ops(path string) (status int, body string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.Ops+"/"+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
