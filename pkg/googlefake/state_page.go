package googlefake

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

//go:embed templates/state.html
var stateHTML string

const shownRows = 50 // of each table

// statePage is everything in short, for people.
type statePage struct {
	Now    time.Time
	Speed  string
	Tiles  []count
	Wrong  []string
	Setup  *Setup
	Quotas []QuotaUse
	Calls  []count

	Conferences      []StateConference
	AllConferences   int
	Events           []StateEvent
	AllEvents        int
	Subscriptions    []StateSubscription
	AllSubscriptions int
	Pubsub           []StatePubsub
	EventsSent       StateEvents
}

type count struct {
	Name  string
	Count int64
}

// Shown says how much of a table is shown.
func (statePage) Shown(rows any, all int) string {
	n := 0
	switch rows := rows.(type) {
	case []StateConference:
		n = len(rows)
	case []StateEvent:
		n = len(rows)
	case []StateSubscription:
		n = len(rows)
	}
	if n < all {
		return fmt.Sprintf("the last %d of %d", n, all)
	}
	return fmt.Sprint(all)
}

func stateTemplate() *template.Template {
	return template.Must(template.New("state").Funcs(template.FuncMap{
		"add": func(a, b int64) int64 { return a + b },
		"kind": func(name string) string {
			parts := strings.Split(name, "/")
			return strings.TrimSuffix(parts[len(parts)-2], "s")
		},
	}).Parse(stateHTML))
}

// showState is GET /. It tells what control routes tell, and so only whom they would.
func (s *Server) showState(page *template.Template) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.mayControl(r) {
			s.refuse(w, control, &apiError{status: http.StatusForbidden, message: "This page answers this machine only. MEET_EMULATOR_CONTROL=1 opens it to others."})
			return
		}
		data, err := s.statePage()
		if err != nil {
			s.log.ErrorContext(r.Context(), "state page failed", "error", err)
			http.Error(w, "The emulator's log says what went wrong.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		if err := page.Execute(w, data); err != nil {
			s.log.WarnContext(r.Context(), "state page not sent", "error", err)
		}
	}
}

func (s *Server) statePage() (statePage, error) {
	now, err := s.settleAll()
	if err != nil {
		return statePage{}, err
	}
	u := s.setup()
	out := statePage{Now: now, Speed: s.Clock().speed(), Setup: u, Quotas: s.QuotaUse(), Wrong: s.wrong(u)}
	for name, n := range s.Calls() {
		if n > 0 {
			out.Calls = append(out.Calls, count{name, n})
		}
	}
	slices.SortFunc(out.Calls, func(a, b count) int { return strings.Compare(a.Name, b.Name) })
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	out.Conferences = s.stateConferences(now)
	states := make(map[string]int64)
	for _, c := range out.Conferences {
		states[c.Status]++
	}
	out.AllConferences, out.Conferences = len(out.Conferences), lastRows(out.Conferences)
	out.Subscriptions = s.stateSubscriptions()
	out.AllSubscriptions, out.Subscriptions = len(out.Subscriptions), lastRows(out.Subscriptions)
	out.Pubsub, out.EventsSent = s.statePubsub(), s.stateEvents()
	var newest []stateLine
	for id, cal := range st.calendars {
		out.AllEvents += len(cal.order)
		for _, e := range lastRows(cal.order) {
			newest = append(newest, stateLine{id, e})
		}
	}
	slices.SortFunc(newest, func(a, b stateLine) int { return int(b.event.rev - a.event.rev) })
	for _, line := range newest[:min(shownRows, len(newest))] {
		out.Events = append(out.Events, StateEvent{CalendarID: line.calendarID, Event: *decodeEvent(line.event.raw)})
	}
	waiting := int64(0)
	for _, p := range out.Pubsub {
		waiting += int64(p.Waiting)
	}
	out.Tiles = []count{
		{"accounts", int64(len(st.users))},
		{"events", int64(out.AllEvents)},
		{"Meet spaces", int64(len(st.order))},
		{"meetings to come", states["planned"]},
		{"running", states["running"]},
		{"over", states["ended"]},
		{"Drive files", int64(len(st.files))},
		{"notices waiting", waiting},
	}
	return out, nil
}

func lastRows[T any](all []T) []T { return all[max(0, len(all)-shownRows):] }

func (c Clock) speed() string {
	switch c.Rate {
	case 0:
		return "and time stands still"
	case 1:
		return "at the usual speed"
	}
	return fmt.Sprintf("at %g times the usual speed", c.Rate)
}

// wrong lists in words what differs from a Google where everything works.
func (s *Server) wrong(u *Setup) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(u.DisabledAPIs) > 0 {
		say("APIs not enabled: %s", strings.Join(u.DisabledAPIs, ", "))
	}
	if d := u.Delegation; d != nil {
		say("delegated to this service account: %d scopes only", len(d.Grants[serviceAccountID]))
	}
	if sa := u.ServiceAccount; sa != (ServiceAccount{}) {
		say("service account: %s", strings.Trim(string(mustJSON(sa)), "{}"))
	}
	for _, group := range []map[string]Policy{u.Domains, u.Accounts} {
		for name, p := range group {
			if p.Name = ""; p.Exists != nil && *p.Exists {
				p.Exists = nil
			}
			if p != (Policy{}) {
				say("%s: %s", name, strings.Trim(string(mustJSON(p)), "{}"))
			}
		}
	}
	for id, roles := range u.Calendars {
		say("calendar %s: %s", id, strings.Trim(string(mustJSON(roles)), "{}"))
	}
	if u.Meet != (MeetSetup{}) {
		say("Meet: %s", strings.Trim(string(mustJSON(u.Meet)), "{}"))
	}
	if u.Events != (EventsSetup{}) {
		say("events: %s", strings.Trim(string(mustJSON(u.Events)), "{}"))
	}
	if u.Data != (DataSetup{}) {
		say("data: %s", strings.Trim(string(mustJSON(u.Data)), "{}"))
	}
	slices.Sort(out)
	for _, f := range s.faults.current() {
		say("fault: %s", mustJSON(f))
	}
	return out
}
