package googlefake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// store is what exists. Changes are made under mu: first the journal, then the maps.
type store struct {
	mu        sync.RWMutex
	journal   *journal // nil keeps nothing
	users     map[string]bool
	calendars map[string]*calendar
	spaces    map[string]*space // by id
	codes     map[string]*space // by meeting code
	order     []*space          // as made
	channels  map[string]*channel
	watchers  map[string][]*channel // by calendar
	ids       map[string]string     // numeric id → address

	conferences map[string]*conference
	bySpace     map[string][]*conference // by start
	byPerson    map[string][]*conference // by start; owners and whoever is there
	past        map[string][]*conference // by space; those whose records are gone
	pastCount   int
	files       map[string]*driveFile
	filesOf     map[string][]string // owner → ids, as made

	subscriptions map[string]*eventSubscription
	byTarget      map[string][]*eventSubscription
	operations    map[string]pendingOperation
	topics        map[string]*topic
	pubsubs       map[string]*pubsubSubscription
	readers       map[string][]*pubsubSubscription // by topic
	messages      int64                            // the last message id given

	steps     stepQueue
	stepOrder int64
	due       atomic.Int64 // of the first step, unix nanoseconds
	done      time.Time    // steps up to then have happened
	rev       int64        // the last etag given
	clock     atomic.Pointer[clockState]
	setup     atomic.Pointer[Setup]
	scratch   []byte // journal lines being built
}

// calendar is one calendar's events. It exists from the first event on.
type calendar struct {
	id         string
	byID       map[string]*event
	order      []*event            // as made; an event stays where it is
	log        []*event            // as written; what is no longer an event's last state counts for nothing
	waiting    int                 // events whose conference is pending
	exceptions map[string][]*event // changed instances, by the id of their series
}

// event is one event as it is answered, with what lists and rules ask of it.
type event struct {
	id        string
	raw       []byte // the Calendar resource, compact
	rev       int64  // etag; rises with every write to anything
	index     int    // in the calendar's order
	start     int64  // unix seconds
	end       int64
	updated   int64 // unix milliseconds
	cancelled bool
	recurs    bool
	free      bool   // transparent: takes up no time
	prior     *event // what the last write replaced, for stale reads
	of        string // the series that it is an instance of
	instance  int64  // unix seconds of its place in the series, while nobody has changed it
	pending   *pending
	notified  notified
}

// pending is a conference that is not there yet.
type pending struct {
	At    time.Time `json:"at"`   // when it will be, on the emulator's clock
	Base  string    `json:"base"` // for its link
	Owner string    `json:"owner"`
	Fails bool      `json:"fails,omitempty"`
}

// notified counts what guests were told of an event: rounds by kind, and messages over all rounds.
type notified struct {
	Invitations   int `json:"invitations"`
	Updates       int `json:"updates"`
	Cancellations int `json:"cancellations"`
	Messages      int `json:"messages"`
}

// Where a space came from.
const (
	originCalendar = "calendar"
	originApp      = "app"
)

// space is a Meet space as it is kept.
type space struct {
	ID     string       `json:"id"`
	Code   string       `json:"code"`
	Owner  string       `json:"owner"`
	Origin string       `json:"origin"`
	Base   string       `json:"base"`
	Config *SpaceConfig `json:"config,omitempty"` // nil: nothing was ever set

	Members []Member  `json:"members,omitempty"`
	Made    time.Time `json:"made,omitzero"`
}

// record is one line of the journal.
type record struct {
	Kind     string      `json:"k"`
	User     string      `json:"user,omitempty"`
	OffsetNS int64       `json:"offset_ns,omitempty"` // of a clock, as it was once kept
	Clock    *clockState `json:"clock,omitempty"`
	Setup    *Setup      `json:"setup,omitempty"`
	Channel  *channel    `json:"channel,omitempty"`
	ID       string      `json:"id,omitempty"` // of what an acked, a dropconf or a message is about
	IDs      []string    `json:"ids,omitempty"`
	Done     *time.Time  `json:"done,omitempty"`

	Conference   *conference         `json:"conf,omitempty"`
	File         *driveFile          `json:"file,omitempty"`
	Subscription *eventSubscription  `json:"sub,omitempty"`
	Topic        *topic              `json:"topic,omitempty"`
	Pubsub       *pubsubSubscription `json:"pubsub,omitempty"`
	Message      *pubsubMessage      `json:"message,omitempty"`
	Space        *space              `json:"space,omitempty"`
	Calendar     string              `json:"cal,omitempty"`
	Pending      *pending            `json:"pending,omitempty"`
	Notified     *notified           `json:"notified,omitempty"`
	Event        json.RawMessage     `json:"-"` // stands last, after eventMark
}

const eventMark = `,"event":`

// openStore brings back what dir holds; "" holds nothing. A new clock shows now.
func openStore(dir string, now time.Time) (*store, error) {
	st := &store{
		users: make(map[string]bool), calendars: make(map[string]*calendar),
		spaces: make(map[string]*space), codes: make(map[string]*space),
		channels: make(map[string]*channel), watchers: make(map[string][]*channel), ids: make(map[string]string),
		conferences: make(map[string]*conference), bySpace: make(map[string][]*conference), byPerson: make(map[string][]*conference),
		past:  make(map[string][]*conference),
		files: make(map[string]*driveFile), filesOf: make(map[string][]string),
		subscriptions: make(map[string]*eventSubscription), byTarget: make(map[string][]*eventSubscription),
		operations: make(map[string]pendingOperation), topics: make(map[string]*topic),
		pubsubs: make(map[string]*pubsubSubscription), readers: make(map[string][]*pubsubSubscription),
	}
	st.clock.Store(&clockState{Real: now, Emulated: now, Rate: 1})
	st.setup.Store(new(Setup))
	st.due.Store(math.MaxInt64)
	if dir == "" {
		return st, nil
	}
	lines, size, err := replay(dir, st.apply)
	if err != nil {
		return nil, err
	}
	var j *journal
	for _, cal := range st.calendars { // a compacted journal has them as they were made
		slices.SortFunc(cal.log, func(a, b *event) int { return cmp.Compare(a.rev, b.rev) })
	}
	for _, c := range st.conferences {
		st.planConference(c, st.done)
	}
	for _, sub := range st.subscriptions {
		st.planSubscription(sub, st.done)
	}
	if lines > 2*st.size() { // most of it is history
		j, err = rewrite(dir, st.dump)
	} else {
		j, err = reopen(dir, size)
	}
	if err != nil {
		return nil, err
	}
	st.journal = j
	return st, nil
}

// size counts the lines that a fresh journal would have.
func (st *store) size() int {
	n := len(st.users) + len(st.order) + len(st.channels) + 3 + len(st.conferences) + len(st.files) + len(st.subscriptions) + len(st.topics) + len(st.pubsubs) + 2*st.pastCount
	for _, sub := range st.pubsubs {
		n += len(sub.byID)
	}
	for _, cal := range st.calendars {
		n += len(cal.order)
	}
	return n
}

func (st *store) close() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.journal == nil {
		return nil
	}
	return st.journal.file.Close()
}

// apply replays one line.
func (st *store) apply(line []byte) error {
	// An event makes up most of its line, so it is cut out and read only once. No JSON string
	// holds the mark, as its quotes would be escaped there.
	var raw json.RawMessage
	if head, rest, ok := bytes.Cut(line, []byte(eventMark)); ok {
		end, whole := bytes.CutSuffix(bytes.TrimSpace(rest), []byte("}"))
		if !whole {
			return io.ErrUnexpectedEOF
		}
		line, raw = append(bytes.Clone(head), '}'), end
	}
	var rec record
	if err := json.Unmarshal(line, &rec); err != nil {
		return err
	}
	rec.Event = raw
	switch {
	case rec.Kind == "user":
		st.keepUser(rec.User)
	case rec.Kind == "clock" && rec.Clock != nil:
		st.clock.Store(rec.Clock)
	case rec.Kind == "clock":
		c := *st.clock.Load()
		c.Emulated = c.Real.Add(time.Duration(rec.OffsetNS))
		st.clock.Store(&c)
	case rec.Kind == "setup" && rec.Setup != nil:
		st.setup.Store(rec.Setup)
		st.rev = max(st.rev, rec.Setup.SyncFloor)
	case rec.Kind == "channel" && rec.Channel != nil:
		st.keepChannel(rec.Channel)
	case rec.Kind == "done" && rec.Done != nil:
		st.done = *rec.Done
	case rec.Kind == "conf" && rec.Conference != nil:
		st.keepConference(rec.Conference)
	case rec.Kind == "dropconf":
		if c := st.conferences[rec.ID]; c != nil {
			st.retire(c)
		}
	case rec.Kind == "file" && rec.File != nil:
		st.keepFile(rec.File)
	case rec.Kind == "sub" && rec.Subscription != nil:
		st.rev = max(st.rev, rec.Subscription.Rev)
		st.keepSubscription(rec.Subscription)
	case rec.Kind == "topic" && rec.Topic != nil:
		st.topics[rec.Topic.Name] = rec.Topic
	case rec.Kind == "pubsub" && rec.Pubsub != nil:
		st.keepPubsub(rec.Pubsub)
	case rec.Kind == "message" && rec.Message != nil && st.pubsubs[rec.ID] != nil:
		id, _ := strconv.ParseInt(rec.Message.ID, 10, 64)
		st.messages = max(st.messages, id)
		st.pubsubs[rec.ID].add(rec.Message)
	case rec.Kind == "acked" && st.pubsubs[rec.ID] != nil:
		st.pubsubs[rec.ID].forget(rec.IDs)
	case rec.Kind == "space" && rec.Space != nil:
		st.keepSpace(rec.Space)
	case rec.Kind == "event" && len(rec.Event) > 0:
		e, err := readEvent(rec.Event)
		if err != nil {
			return err
		}
		e.pending = rec.Pending
		if rec.Notified != nil {
			e.notified = *rec.Notified
		}
		st.rev = max(st.rev, e.rev)
		st.keepEvent(rec.Calendar, e)
	default:
		return fmt.Errorf("unknown record %q", rec.Kind)
	}
	return nil
}

// readEvent rebuilds an event from its resource.
func readEvent(raw []byte) (*event, error) {
	var head struct {
		ID      string    `json:"id"`
		Etag    string    `json:"etag"`
		Status  string    `json:"status"`
		Updated time.Time `json:"updated"`
		Start   EventTime `json:"start"`
		End     EventTime `json:"end"`
		Of      string    `json:"recurringEventId"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, err
	}
	rev, err := strconv.ParseInt(strings.Trim(head.Etag, `"`), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("event %s: etag %s", head.ID, head.Etag)
	}
	e := &event{id: head.ID, raw: raw, rev: rev, updated: head.Updated.UnixMilli(), cancelled: head.Status == statusCancelled, of: head.Of}
	start, errStart := head.Start.instant()
	end, errEnd := head.End.instant()
	if err := errors.Join(errStart, errEnd); err != nil {
		return nil, fmt.Errorf("event %s: %w", head.ID, err)
	}
	e.start, e.end = start.Unix(), end.Unix()
	return e, nil
}

// dump writes everything as a fresh journal.
func (st *store) dump(w io.Writer) error {
	var b []byte
	for _, user := range slices.Sorted(maps.Keys(st.users)) {
		b = appendRecord(b, record{Kind: "user", User: user})
	}
	b = appendRecord(b, record{Kind: "clock", Clock: st.clock.Load()})
	b = appendRecord(b, record{Kind: "setup", Setup: st.setup.Load()})
	if _, err := w.Write(b); err != nil {
		return err
	}
	for _, sp := range st.order {
		if _, err := w.Write(appendRecord(b[:0], record{Kind: "space", Space: sp})); err != nil {
			return err
		}
	}
	if err := st.dumpWorkspace(w); err != nil {
		return err
	}
	for _, ch := range st.channels {
		if _, err := w.Write(appendRecord(b[:0], record{Kind: "channel", Channel: ch})); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(st.calendars)) {
		for _, e := range st.calendars[id].order {
			if _, err := w.Write(appendEvent(b[:0], id, e)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dumpWorkspace writes what conferences leave and how the world hears of them.
func (st *store) dumpWorkspace(w io.Writer) error {
	var b []byte
	var err error
	write := func(rec record) {
		if err == nil {
			b = appendRecord(b[:0], rec)
			_, err = w.Write(b)
		}
	}
	for _, gone := range st.past {
		for _, c := range gone {
			write(record{Kind: "conf", Conference: c})
			write(record{Kind: "dropconf", ID: c.ID})
		}
	}
	for _, c := range st.conferences {
		write(record{Kind: "conf", Conference: c})
	}
	for _, ids := range st.filesOf {
		for _, id := range ids {
			write(record{Kind: "file", File: st.files[id]})
		}
	}
	for _, sub := range st.subscriptions {
		write(record{Kind: "sub", Subscription: sub})
	}
	for _, t := range st.topics {
		write(record{Kind: "topic", Topic: t})
	}
	for _, sub := range st.pubsubs {
		write(record{Kind: "pubsub", Pubsub: sub})
		for _, m := range sub.backlog {
			if !m.acked {
				write(record{Kind: "message", ID: sub.Name, Message: m})
			}
		}
	}
	write(record{Kind: "done", Done: &st.done})
	return err
}

func appendRecord(b []byte, rec record) []byte {
	return append(append(b, mustJSON(rec)...), '\n')
}

// appendEvent is appendRecord for the commonest kind, without reading the event's JSON again.
func appendEvent(b []byte, calendarID string, e *event) []byte {
	b = append(b, `{"k":"event","cal":`...)
	b = append(b, mustJSON(calendarID)...)
	if e.notified != (notified{}) {
		b = append(append(b, `,"notified":`...), mustJSON(e.notified)...)
	}
	if e.pending != nil {
		b = append(append(b, `,"pending":`...), mustJSON(e.pending)...)
	}
	b = append(append(b, eventMark...), e.raw...)
	return append(b, "}\n"...)
}

// commit makes lines durable; the caller holds mu and changes the maps only afterwards.
func (st *store) commit(lines []byte) error {
	st.scratch = lines[:0]
	if st.journal == nil {
		return nil
	}
	return st.journal.append(lines)
}

// knowUser says whether a person exists, after making her when create is set.
func (st *store) knowUser(email string, create bool) (bool, error) {
	st.mu.RLock()
	known := st.users[email]
	st.mu.RUnlock()
	if known || !create {
		return known, nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "user", User: email})); err != nil {
		return false, err
	}
	st.keepUser(email)
	return true, nil
}

func (st *store) keepUser(email string) {
	st.users[email] = true
	st.ids[userID(email)] = email
}

// nextRev gives the etag of a write at now: like Google's it grows with time, and unlike Google's
// it never repeats. The caller holds mu.
func (st *store) nextRev(now time.Time) int64 {
	st.rev = max(st.rev+2, 2*now.UnixMicro())
	return st.rev
}

func (st *store) event(calendarID, id string) *event {
	if cal := st.calendars[calendarID]; cal != nil {
		return cal.byID[id]
	}
	return nil
}

// keepEvent adds an event or puts it in the place of the one with its id.
func (st *store) keepEvent(calendarID string, e *event) {
	cal := st.calendars[calendarID]
	if cal == nil {
		cal = &calendar{id: calendarID, byID: make(map[string]*event), exceptions: make(map[string][]*event)}
		st.calendars[calendarID] = cal
	}
	e.recurs = hasRecurrence(e.raw)
	e.free = bytes.Contains(e.raw, []byte(`"transparency":"transparent"`))
	old := cal.byID[e.id]
	if old != nil {
		e.index = old.index
		cal.order[e.index] = e
		e.prior = old
		old.prior = nil
		if old.pending != nil {
			cal.waiting--
		}
	} else {
		e.index = len(cal.order)
		cal.order = append(cal.order, e)
	}
	if e.pending != nil {
		cal.waiting++
	}
	cal.byID[e.id] = e
	if e.of != "" {
		list := slices.DeleteFunc(cal.exceptions[e.of], func(have *event) bool { return have == old })
		cal.exceptions[e.of] = append(list, e)
	}
	cal.log = append(cal.log, e)
	if len(cal.log) > 2*len(cal.order)+usualPage {
		cal.log = slices.DeleteFunc(cal.log, func(have *event) bool { return cal.byID[have.id] != have })
	}
}

func (st *store) keepSpace(sp *space) {
	if old := st.spaces[sp.ID]; old != nil {
		*old = *sp
		return
	}
	st.spaces[sp.ID] = sp
	st.codes[sp.Code] = sp
	st.order = append(st.order, sp)
}

// newSpace makes up a space whose id and code are free. It is not kept yet.
func (st *store) newSpace(owner, origin, base string) *space {
	sp := &space{Owner: owner, Origin: origin, Base: base}
	for sp.ID == "" || st.spaces[sp.ID] != nil {
		sp.ID = randomText(spaceIDLetters, spaceIDLength)
	}
	for sp.Code == "" || st.codes[sp.Code] != nil {
		sp.Code = randomText(codeLetters, 3) + "-" + randomText(codeLetters, 4) + "-" + randomText(codeLetters, 3)
	}
	return sp
}

const (
	codeLetters    = "abcdefghijklmnopqrstuvwxyz"
	spaceIDLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	spaceIDLength  = 12
	eventIDLetters = "0123456789abcdefghijklmnopqrstuv"
	eventIDLength  = 26
)

func randomText(letters string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// newUUID is a random UUID, as Google's ids of subscriptions and events are.
func newUUID() string { return uuid.NewString() }
