package googlefake

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	usualPage   = 250  // Calendar events.list: default of maxResults
	largestPage = 2500 // and its cap

	orderByStart   = "startTime"
	orderByUpdated = "updated"
)

// eventPage is Calendar's Events resource.
type eventPage struct {
	Kind             string            `json:"kind"`
	Etag             string            `json:"etag"`
	Summary          string            `json:"summary"`
	Updated          string            `json:"updated"`
	TimeZone         string            `json:"timeZone"`
	AccessRole       string            `json:"accessRole"`
	DefaultReminders []Reminder        `json:"defaultReminders"`
	NextPageToken    string            `json:"nextPageToken,omitempty"`
	NextSyncToken    string            `json:"nextSyncToken,omitempty"`
	Items            []json.RawMessage `json:"items"`
}

// listFilter is what a list asks for.
type listFilter struct {
	timeMin, timeMax time.Time
	updatedMin       int64 // unix milliseconds, 0 for all
	since            int64 // the etag that a sync token stands for, -1 without one
	deleted          bool
	single           bool
	order            string
	size             int
	guests           int
	private, shared  []string // k=v
	iCalUID, text    string
	after            *listKey // the page token
	until            int64    // etag of the newest write when the first page was made
	plain            bool     // nothing asked that forbids a sync token in the answer
	whole            bool     // nothing asked that forbids one in the request: bounds of time may only begin a sync
}

// listKey is an event's place in a list's order.
type listKey struct {
	Main  int64 `json:"m"`
	Index int   `json:"i"`
	Sub   int64 `json:"s,omitempty"` // of an instance within its series
	Until int64 `json:"u"`           // in tokens only
}

func (k listKey) compare(o listKey) int {
	return cmp.Or(cmp.Compare(k.Main, o.Main), cmp.Compare(k.Index, o.Index), cmp.Compare(k.Sub, o.Sub))
}

func (c *call) listFilter() (listFilter, *apiError) {
	f := listFilter{since: -1, private: c.form["privateExtendedProperty"], shared: c.form["sharedExtendedProperty"]}
	var err *apiError
	if f.timeMin, err = c.timeParameter("timeMin"); err != nil {
		return f, err
	}
	if f.timeMax, err = c.timeParameter("timeMax"); err != nil {
		return f, err
	}
	if !f.timeMin.IsZero() && !f.timeMax.IsZero() && !f.timeMin.Before(f.timeMax) {
		return f, &apiError{status: http.StatusBadRequest, reason: "timeRangeEmpty", message: "The specified time range is empty."}
	}
	updatedMin, err := c.timeParameter("updatedMin")
	if err != nil {
		return f, err
	}
	if !updatedMin.IsZero() {
		f.updatedMin = updatedMin.UnixMilli()
	}
	f.deleted = c.form.Get("showDeleted") == "true"
	f.single = c.form.Get("singleEvents") == "true"
	f.iCalUID, f.text = c.form.Get("iCalUID"), strings.ToLower(c.form.Get("q"))
	if f.size, err = c.positive("maxResults", usualPage); err != nil {
		return f, err
	}
	f.size = min(f.size, largestPage)
	if f.guests, err = c.positive("maxAttendees", 0); err != nil {
		return f, err
	}
	for _, list := range [][]string{f.private, f.shared} {
		for _, pair := range list {
			if !strings.Contains(pair, "=") {
				return f, invalidParameter("privateExtendedProperty", pair)
			}
		}
	}
	switch f.order = c.form.Get("orderBy"); {
	case f.order == "" || f.order == orderByUpdated:
	case f.order == orderByStart && f.single:
	case f.order == orderByStart:
		return f, &apiError{status: http.StatusBadRequest, reason: "badRequest", message: "The requested ordering is not available for the particular query."}
	default:
		return f, invalidParameter("orderBy", f.order)
	}
	f.plain = f.order == "" && f.iCalUID == "" && f.text == "" && len(f.private)+len(f.shared) == 0 && f.updatedMin == 0
	f.whole = f.plain && f.timeMin.IsZero() && f.timeMax.IsZero()
	return f, c.listTokens(&f)
}

// listTokens reads where a list goes on.
func (c *call) listTokens(f *listFilter) *apiError {
	if text := c.form.Get("syncToken"); text != "" {
		if !f.whole {
			return &apiError{status: http.StatusBadRequest, reason: "badRequest", message: "Sync token cannot be used together with other search restrictions."}
		}
		since, err := strconv.ParseInt(decodeToken(text), 10, 64)
		if err != nil || since < 0 {
			return &apiError{status: http.StatusGone, reason: "fullSyncRequired", message: msgFullSync, location: "syncToken", locationType: "parameter"}
		}
		f.since, f.deleted = since, true
	}
	if text := c.form.Get("pageToken"); text != "" {
		f.after = new(listKey)
		if json.Unmarshal([]byte(decodeToken(text)), f.after) != nil {
			return invalidParameter("pageToken", text)
		}
		f.until = f.after.Until
	}
	return nil
}

func encodeToken(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
func decodeToken(text string) (out string) {
	b, _ := base64.RawURLEncoding.DecodeString(text)
	return string(b)
}

func (c *call) timeParameter(name string) (time.Time, *apiError) {
	text := c.form.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &apiError{status: http.StatusBadRequest, reason: "badRequest", message: "Bad Request", location: name, locationType: "parameter"}
	}
	return t, nil
}

// key places e in the list's order.
func (f *listFilter) key(e *event) listKey {
	switch {
	case f.since >= 0 || f.order == orderByUpdated:
		return listKey{Main: e.rev, Index: e.index, Sub: e.instance}
	case f.order == orderByStart:
		return listKey{Main: e.start, Index: e.index, Sub: e.instance}
	}
	return listKey{Index: e.index, Sub: e.instance}
}

// wants says whether e belongs in the list.
func (f *listFilter) wants(e *event) bool {
	if f.since >= 0 {
		return e.rev > f.since
	}
	if f.updatedMin > 0 && e.updated < f.updatedMin {
		return false
	}
	// Deleted events are always in an answer to updatedMin.
	if e.cancelled && !f.deleted && f.updatedMin == 0 {
		return false
	}
	if !e.recurs && !(span{f.timeMin, f.timeMax}).overlaps(e.start, e.end) {
		return false
	}
	if len(f.private)+len(f.shared) == 0 && f.iCalUID == "" && f.text == "" {
		return true
	}
	for _, pair := range f.private { // cheap look before the costly one
		_, value, _ := strings.Cut(pair, "=")
		if !bytes.Contains(e.raw, mustJSON(value)) {
			return false
		}
	}
	return f.wantsContent(decodeEvent(e.raw))
}

func (f *listFilter) wantsContent(ev *Event) bool {
	if f.iCalUID != "" && ev.ICalUID != f.iCalUID {
		return false
	}
	var private, shared map[string]string
	if p := ev.ExtendedProperties; p != nil {
		private, shared = p.Private, p.Shared
	}
	if !hasPairs(private, f.private) || !hasPairs(shared, f.shared) {
		return false
	}
	if f.text == "" {
		return true
	}
	text := []string{ev.Summary, ev.Description, ev.Location}
	for _, a := range ev.Attendees {
		text = append(text, a.Email, a.DisplayName)
	}
	return strings.Contains(strings.ToLower(strings.Join(text, "\n")), f.text)
}

func hasPairs(have map[string]string, want []string) bool {
	for _, pair := range want {
		key, value, _ := strings.Cut(pair, "=")
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}

func (s *Server) listEvents(c *call) (answer, error) {
	calendarID, refusal := s.calendarID(c)
	if refusal != nil {
		return answer{}, refusal
	}
	f, refusal := c.listFilter()
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	if err := s.ripenAll(now, calendarID); err != nil {
		return answer{}, err
	}
	found, until := s.search(calendarID, &f)
	if f.since > until || f.since >= 0 && f.since < s.setup().SyncFloor {
		return answer{}, &apiError{status: http.StatusGone, reason: "fullSyncRequired", message: msgFullSync, location: "syncToken", locationType: "parameter"}
	}
	if f.until == 0 {
		f.until = until
	}
	page := newEventPage(calendarID, until, now)
	for i, e := range found {
		if i == f.size {
			last := f.key(found[i-1])
			last.Until = f.until
			page.NextPageToken = encodeToken(string(mustJSON(last)))
			break
		}
		page.Items = append(page.Items, limitGuests(e.raw, f.guests))
	}
	if page.NextPageToken == "" && f.plain {
		page.NextSyncToken = encodeToken(strconv.FormatInt(f.until, 10))
	}
	return answer{status: http.StatusOK, body: mustJSON(page), etag: page.Etag}, nil
}

func newEventPage(calendarID string, rev int64, now time.Time) eventPage {
	return eventPage{
		Kind: "calendar#events", Summary: calendarID, TimeZone: "UTC", AccessRole: "owner",
		Etag: `"` + strconv.FormatInt(rev, 10) + `"`, Updated: now.Format(timestampResolution),
		DefaultReminders: []Reminder{{Method: "popup", Minutes: 10}}, Items: []json.RawMessage{},
	}
}

// search gives the events of a list, sorted, from its page on, and the newest etag of all.
func (s *Server) search(calendarID string, f *listFilter) ([]*event, int64) {
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	cal := st.calendars[calendarID]
	if cal == nil {
		return nil, st.rev
	}
	from := listKey{Main: math.MinInt64}
	if f.after != nil {
		from = *f.after
	}
	var found []*event
	for _, e := range cal.candidates(f) {
		if !f.wants(e) {
			continue
		}
		list := []*event{e}
		if p := (span{f.timeMin, f.timeMax}); e.recurs && !e.cancelled && (f.single || p != span{}) {
			instances := s.expand(calendarID, e, p)
			if f.single {
				list = instances
			} else if len(instances) == 0 {
				continue
			}
		}
		for _, e := range list {
			if f.key(e).compare(from) > 0 {
				found = append(found, e)
			}
		}
	}
	slices.SortFunc(found, func(a, b *event) int { return f.key(a).compare(f.key(b)) })
	return found, st.rev
}

// candidates are the events among which a list looks: all, or those written since a sync token.
func (cal *calendar) candidates(f *listFilter) []*event {
	if f.since < 0 {
		return cal.order
	}
	i, _ := slices.BinarySearchFunc(cal.log, f.since+1, func(e *event, rev int64) int { return cmp.Compare(e.rev, rev) })
	var live []*event
	for _, e := range cal.log[i:] {
		if cal.byID[e.id] == e {
			live = append(live, e)
		}
	}
	return live
}
