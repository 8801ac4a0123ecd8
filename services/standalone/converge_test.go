package standalone_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	convergeFor  = flag.Duration("converge.for", 4*time.Second, "how long each policy is tried with random changes")
	convergeSeed = flag.Uint64("converge.seed", 0, "of the random changes; 0: a new one")
)

// wanderer makes random changes on both sides.
type wanderer struct {
	product
	random   *rand.Rand
	meetings []int64
	log      []string
}

const keeper = "doctor@clinic.example"

func (w *wanderer) say(format string, args ...any) {
	w.log = append(w.log, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// alive is how many meetings are changed at a time: the youngest.
const alive = 6

// one picks a meeting.
func (w *wanderer) one() int64 {
	young := w.meetings[max(0, len(w.meetings)-alive):]
	return young[w.random.IntN(len(young))]
}

// another makes a meeting, which may be changed before Google has it.
func (w *wanderer) another() {
	at := w.later()
	r := w.send(http.MethodPost, "meetings/", fmt.Sprintf(`{"organizer_email":%q,"invited_emails":[%q],"summary":"ours","scheduled_start":%q,"scheduled_end":%q}`,
		keeper, w.guest(), at.Format(time.RFC3339), at.Add(time.Hour).Format(time.RFC3339)), "Prefer", "respond-async")
	var m struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal([]byte(r.body), &m); err != nil || m.ID == 0 {
		w.t.Fatalf("%d %s %v", r.status, r.body, err)
	}
	w.say("ours %d: create: %d", m.ID, r.status)
	w.meetings = append(w.meetings, m.ID)
}

func (w *wanderer) guest() string { return string(rune('a'+w.random.IntN(6))) + "@mail.example" }

// later is a time that is not lost in Calendar's whole seconds.
func (w *wanderer) later() time.Time {
	return time.Now().Add(time.Duration(24+w.random.IntN(500)) * time.Hour).UTC().Truncate(time.Second)
}

// ours changes a meeting through the API.
func (w *wanderer) ours() {
	id := w.one()
	path := fmt.Sprintf("meetings/%d/", id)
	var r reply
	switch n := w.random.IntN(40); {
	case n < 16:
		at := w.later()
		body := fmt.Sprintf(`{"scheduled_start":%q,"scheduled_end":%q}`, at.Format(time.RFC3339), at.Add(time.Hour).Format(time.RFC3339))
		r = w.send(http.MethodPatch, path, body)
		w.say("ours %d: %s: %d", id, body, r.status)
	case n < 24:
		body := fmt.Sprintf(`{"summary":"ours %d"}`, w.random.IntN(1000))
		r = w.send(http.MethodPatch, path, body)
		w.say("ours %d: %s: %d", id, body, r.status)
	case n < 36:
		body := fmt.Sprintf(`{"invited_emails":{"add":[%q],"remove":[%q]}}`, w.guest(), w.guest())
		r = w.send(http.MethodPatch, path, body)
		w.say("ours %d: %s: %d", id, body, r.status)
	case n < 39:
		r = w.send(http.MethodPost, path+"provision/", "")
		w.say("ours %d: provision: %d", id, r.status)
	default:
		r = w.send(http.MethodDelete, path, "")
		w.say("ours %d: cancel: %d", id, r.status)
		w.another()
	}
	if r.status >= http.StatusInternalServerError {
		w.t.Errorf("%d %s", r.status, r.body)
	}
}

// theirs changes an event as a person in Calendar does.
func (w *wanderer) theirs() {
	m := w.read(w.one())
	if m.EventID == "" {
		return
	}
	edit := map[string]any{"calendarId": keeper, "eventId": m.EventID}
	switch n := w.random.IntN(40); {
	case n < 14:
		at := w.later()
		edit["patch"] = map[string]any{"start": map[string]any{"dateTime": at.Format(time.RFC3339)}, "end": map[string]any{"dateTime": at.Add(time.Hour).Format(time.RFC3339)}}
	case n < 22:
		edit["patch"] = map[string]any{"summary": fmt.Sprintf("theirs %d", w.random.IntN(1000)), "description": fmt.Sprint(w.random.IntN(1000))}
	case n < 30:
		edit["patch"] = map[string]any{"attendees": []any{map[string]any{"email": w.guest()}, map[string]any{"email": "z" + w.guest()}}}
	case n < 39:
		edit["responses"] = map[string]any{w.guest(): "accepted"}
	default:
		edit["delete"] = true
		w.another()
	}
	text, err := json.Marshal(edit)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := http.Post(w.Emulator+"/_emulator/edit", "application/json", strings.NewReader(string(text)))
	if err != nil {
		w.t.Fatal(err)
	}
	_ = r.Body.Close()
	w.say("theirs %d: %s: %d", m.ID, text, r.StatusCode) // an event may be gone, and a guest not there
}

// fault makes Google fail once or twice, the work done or not.
func (w *wanderer) fault() {
	f := map[string]any{"match": []string{"PATCH", "POST", "GET", "DELETE", "*"}[w.random.IntN(5)] + " /calendar/v3/", "times": 1 + w.random.IntN(2)}
	switch w.random.IntN(5) {
	case 0:
		f["status"] = 503
	case 1:
		f["status"], f["when"] = 500, "after"
	case 2:
		f["status"], f["when"] = 0, "after"
	case 3:
		f["status"] = 0
	default:
		f["latency"] = "300ms"
	}
	w.google(http.MethodPost, "faults", []any{f}, nil)
	w.say("fault %v", f)
}

// disagreement is how a meeting and its events differ; empty where they agree, or where the meeting says that they do not.
func (w *wanderer) disagreement(id int64, alert bool) string {
	var m struct {
		UID     string    `json:"uid"`
		EventID string    `json:"googleEventId"`
		Status  string    `json:"status"`
		Sync    string    `json:"googleSync"`
		Summary string    `json:"summary"`
		Start   time.Time `json:"scheduledStart"`
		End     time.Time `json:"scheduledEnd"`
		Invited []string  `json:"invitedEmails"`
		Error   struct {
			Code, Message string
		} `json:"error"`
	}
	text := w.connect(id)
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		w.t.Fatal(err)
	}
	var live []googleEvent
	for _, e := range w.state().Events {
		if e.Status != "cancelled" && e.Properties.Private["mm_uid"] == m.UID {
			live = append(live, e)
		}
	}
	differs := func() string {
		switch {
		case m.Status == "MEETING_STATUS_CANCELLED" && len(live) == 0:
			return ""
		case m.Status == "MEETING_STATUS_CANCELLED":
			return "an event of a cancelled meeting is alive"
		case len(live) != 1 || live[0].ID != m.EventID:
			return fmt.Sprintf("%d events are alive", len(live))
		}
		e, invited := live[0], slices.DeleteFunc(slices.Clone(m.Invited), func(g string) bool { return g == keeper })
		slices.Sort(invited)
		switch guests := slices.DeleteFunc(e.guests(), func(g string) bool { return g == keeper }); {
		case e.Summary != m.Summary, !e.Start.At.Equal(m.Start), !e.End.At.Equal(m.End):
			return fmt.Sprintf("google has %q from %s to %s", e.Summary, e.Start.At, e.End.At)
		case !slices.Equal(guests, invited):
			return fmt.Sprintf("google has the guests %v", guests)
		}
		return ""
	}()
	switch {
	case m.Sync == "GOOGLE_SYNC_FAILED" && alert && m.Error.Code == "GOOGLE_DRIFTED" && m.Error.Message != "" && differs != "":
		return ""
	case m.Sync != "GOOGLE_SYNC_OK" || differs != "":
		return differs + ": " + text
	}
	return ""
}

func TestWhateverHappensOnBothSidesTheyAgreeInTheEnd(t *testing.T) {
	for _, policy := range []string{"adopt", "restore", "alert"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			seed := *convergeSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("seed %d", seed)
			dir := t.TempDir()
			environ := []string{"MEET_DRIFT_EVERY=1s", "MEET_DRIFT_POLICY=" + policy, "GOOGLE_WORKSPACE_DOMAINS=clinic.example"}
			p, stop := start(t, dir, environ...)
			defer func() { stop() }()
			w := &wanderer{product: p, random: rand.New(rand.NewPCG(seed, 0))}
			for range alive {
				w.another()
			}
			const restarts = 2
			begun := time.Now()
			for done := 0; time.Since(begun) < *convergeFor; {
				w.pause()
				switch n := w.random.IntN(20); {
				case n < 9:
					w.ours()
				case n < 18:
					w.theirs()
				default:
					w.fault()
				}
				if time.Since(begun) > time.Duration(done+1)**convergeFor/(restarts+1) {
					done++
					stop()
					w.say("restart")
					w.product, stop = start(t, dir, environ...)
				}
			}
			w.google(http.MethodDelete, "faults", nil, nil)
			w.settle(policy == "alert")
		})
	}
}

// pause is the time that people take: now none, now long enough for a calendar to be read.
func (w *wanderer) pause() {
	if w.random.IntN(3) == 0 {
		<-time.After(time.Duration(w.random.IntN(300)) * time.Millisecond)
	}
}

// settle waits until all agree, and sees that they still do once the calendar was read again.
func (w *wanderer) settle(alert bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	agreedAt := 0 // calls of events.list by then; 0: they do not agree
	for {
		var found []string
		for _, id := range w.meetings {
			if d := w.disagreement(id, alert); d != "" {
				found = append(found, d)
			}
		}
		lists := w.state().Calls["calendar.events.list"]
		switch {
		case len(found) > 0:
			agreedAt = 0
		case agreedAt == 0:
			agreedAt = lists + 1
		case lists >= agreedAt+2:
			w.t.Logf("agreed after %d steps and %s; their history: %v", len(w.log), time.Since(begun).Round(time.Millisecond), w.counts())
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if len(found) > 0 {
				w.t.Fatalf("they still disagree:\n%s\nafter:\n%s", strings.Join(found, "\n"), strings.Join(w.log, "\n"))
			}
			w.t.Fatalf("the calendar is not read any more: %d readings", lists)
		}
	}
}

// counts are how often each kind of event came.
func (w *wanderer) counts() map[string]int {
	w.t.Helper()
	counts := make(map[string]int)
	for _, id := range w.meetings {
		for _, kind := range w.history(id) {
			counts[kind]++
		}
	}
	return counts
}
