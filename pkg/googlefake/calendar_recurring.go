package googlefake

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/teambition/rrule-go"
)

const (
	instanceTime = "20060102T150405Z" // ends an instance's id
	instanceDay  = "20060102"
	endless      = 2 * 365 * 24 * time.Hour // how far a series without an end is followed when nobody says
	manySteps    = 100_000                  // of a rule, before the emulator gives up
)

// series gives the starts of a recurring event that lie before a moment, at most limit of those for
// which wanted holds. Starts keep their wall clock in the event's zone.
func (s *Server) series(master *Event, before time.Time, limit int, wanted func(time.Time) bool) []time.Time {
	first, err := master.Start.instant()
	if err != nil {
		return nil
	}
	loc := time.UTC
	if master.Start.Date == "" {
		if zone, ok := s.zone(master.Start.TimeZone); ok {
			loc = zone
		}
	}
	set, err := rrule.StrSliceToRRuleSetInLoc(rules(master.Recurrence), loc)
	if err != nil {
		return nil
	}
	set.DTStart(first.In(loc))
	if set.GetRRule() == nil { // RDATEs alone add to the first
		set.RDate(first.In(loc))
	}
	var out []time.Time
	next := set.Iterator()
	for range manySteps {
		at, ok := next()
		if !ok || !at.Before(before) || len(out) == limit {
			break
		}
		if wanted(at) {
			out = append(out, at)
		}
	}
	return out
}

// rules leaves out what RFC 5545 dropped and the library with it.
func rules(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "EXRULE") })
}

// checkRules says whether the lines of a recurrence can be followed. Calendar repeats by days at the
// shortest; rules by the hour could also name hours that they never reach, without an end.
func checkRules(lines []string) *apiError {
	for _, line := range lines {
		upper := strings.ToUpper(line)
		for _, freq := range []string{"SECONDLY", "MINUTELY", "HOURLY"} {
			if !recurrenceLine(line) || strings.Contains(upper, freq) {
				return invalid("Invalid recurrence rule.")
			}
		}
	}
	if _, err := rrule.StrSliceToRRuleSetInLoc(rules(lines), time.UTC); err != nil {
		return invalid("Invalid recurrence rule.")
	}
	return nil
}

// instanceID names the instance of a series that begins at start.
func instanceID(master *Event, start time.Time) string {
	if master.Start.Date != "" {
		return master.ID + "_" + start.UTC().Format(instanceDay)
	}
	return master.ID + "_" + start.UTC().Format(instanceTime)
}

// instance builds the event that a series has at start.
func instance(of *event, master *Event, start time.Time) *event {
	ev := *master
	ev.ID, ev.RecurringEventID, ev.Recurrence = instanceID(master, start), master.ID, nil
	end := start.Add(time.Duration(of.end-of.start) * time.Second)
	ev.Start, ev.End = moved(master.Start, start), moved(master.End, end)
	ev.OriginalStartTime = ev.Start
	return &event{
		id: ev.ID, raw: mustJSON(&ev), rev: of.rev, index: of.index, start: start.Unix(), end: end.Unix(), updated: of.updated,
		cancelled: of.cancelled, instance: start.Unix(), of: master.ID,
	}
}

func moved(t *EventTime, to time.Time) *EventTime {
	out := *t
	if t.Date != "" {
		out.Date = to.UTC().Format(time.DateOnly)
	} else {
		out.DateTime = to.UTC().Format(secondResolution)
	}
	return &out
}

// lookup finds an event by id, and an instance that nobody has changed yet. The caller holds the
// store's lock, for reading at least.
func (s *Server) lookup(calendarID, id string) *event {
	if e := s.store.event(calendarID, id); e != nil {
		return e
	}
	master, stamp, ok := strings.Cut(id, "_")
	if !ok {
		return nil
	}
	of := s.store.event(calendarID, master)
	if of == nil || !of.recurs {
		return nil
	}
	at, err := time.Parse(instanceTime, stamp)
	if err != nil {
		if at, err = time.Parse(instanceDay, stamp); err != nil {
			return nil
		}
	}
	ev := decodeEvent(of.raw)
	if len(s.series(ev, at.Add(time.Second), 1, func(t time.Time) bool { return t.Equal(at) })) == 0 || instanceID(ev, at) != id {
		return nil
	}
	return instance(of, ev, at)
}

// span is the part of time that a list is about.
type span struct{ from, to time.Time }

func (p span) overlaps(start, end int64) bool {
	return (p.from.IsZero() || end > p.from.Unix()) && (p.to.IsZero() || start < p.to.Unix())
}

// expand gives a series' instances in a span, except those that were changed one by one: these are
// events of their own. The caller holds the store's lock.
func (s *Server) expand(calendarID string, of *event, p span) []*event {
	master := decodeEvent(of.raw)
	to := p.to
	if to.IsZero() {
		to = s.now().Add(endless)
	}
	length := of.end - of.start
	var out []*event
	for _, at := range s.series(master, to, largestPage, func(t time.Time) bool { return p.overlaps(t.Unix(), t.Unix()+length) }) {
		if s.store.event(calendarID, instanceID(master, at)) == nil {
			out = append(out, instance(of, master, at))
		}
	}
	return out
}

func hasRecurrence(raw []byte) bool { return bytes.Contains(raw, []byte(`"recurrence":[`)) }

// listInstances is events.instances: the series as it is, changed and deleted ones in their places.
func (s *Server) listInstances(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	var p span
	if p.from, refusal = c.timeParameter("timeMin"); refusal != nil {
		return answer{}, refusal
	}
	if p.to, refusal = c.timeParameter("timeMax"); refusal != nil {
		return answer{}, refusal
	}
	size, refusal := c.positive("maxResults", usualPage)
	if refusal != nil {
		return answer{}, refusal
	}
	after, refusal := c.offset("pageToken")
	if refusal != nil {
		return answer{}, refusal
	}
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	of := st.event(calendarID, c.r.PathValue("eventId"))
	if of == nil {
		return answer{}, notFound()
	}
	if !of.recurs {
		return answer{}, invalid("Not a recurring event.")
	}
	found := s.expand(calendarID, of, p)
	for _, e := range st.calendars[calendarID].exceptions[of.id] {
		if p.overlaps(e.start, e.end) && (!e.cancelled || c.form.Get("showDeleted") == "true") {
			found = append(found, e)
		}
	}
	if text := c.form.Get("originalStart"); text != "" {
		found = slices.DeleteFunc(found, func(e *event) bool {
			o := decodeEvent(e.raw).OriginalStartTime
			return o.DateTime != text && o.Date != text
		})
	}
	slices.SortFunc(found, func(a, b *event) int { return int(a.start - b.start) })
	items, next := pageOf(found, after, min(size, largestPage))
	page := newEventPage(calendarID, st.rev, s.now())
	page.NextPageToken = next
	for _, e := range items {
		page.Items = append(page.Items, e.raw)
	}
	return answer{status: http.StatusOK, body: mustJSON(page), etag: page.Etag}, nil
}
