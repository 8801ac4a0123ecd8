package job

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"time"
)

// Ref finds an event: whose it is, in which calendar, under which id. An empty calendar is the configured one.
type Ref struct {
	Organizer, CalendarID, EventID string
}

// Event is a calendar event as it should be.
type Event struct {
	MeetingUID           string
	Version              int64
	Summary, Description string
	TimeZone             string
	Start, End           time.Time
	// Guests is nil where the guests are to be left as they are.
	Guests             []Guest
	GuestsSeeEachOther bool
	// GuestsMayModify: the event is kept in another's name than the organizer's, who is a guest on it.
	GuestsMayModify bool
}

// Guest is somebody invited, with what he has answered.
type Guest struct {
	Email, DisplayName string
	// Response is needsAction, declined, tentative or accepted.
	Response, Comment string
	Extra             int64
	Optional, Self    bool
	// Room: no person.
	Room bool
}

// noResponse is the answer of a guest who has not given one.
const noResponse = "needsAction"

// EventState is a calendar event as Google has it.
type EventState struct {
	CalendarID, EventID, ETag string
	Updated                   time.Time
	// Cancelled: deleted, though it can be read.
	Cancelled            bool
	Summary, Description string
	Start, End           time.Time
	GuestsSeeEachOther   bool
	// MeetingUID and Version are what this product wrote on it; empty on an event of somebody else.
	MeetingUID string
	Version    int64
	Guests     []Guest
	Conference Conference
	Simulated  bool
}

// Conference is the Meet of an event.
type Conference struct {
	State      ConferenceState
	Link, Code string
}

// ConferenceState is how far Google is with making it. The zero value is invalid.
type ConferenceState uint8

// The states.
const (
	// ConferenceAbsent: the event has none.
	ConferenceAbsent ConferenceState = iota + 1
	ConferencePending
	ConferenceReady
	ConferenceFailed
)

// EventID is the id of a meeting's event: the same for every try, so that a retry finds what the first one made. An id stays
// taken after its event was deleted, which is what generations are for.
func EventID(meetingUID string, generation int64) string {
	sum := sha256.Sum256([]byte("meeting " + meetingUID + " generation " + strconv.FormatInt(generation, 10)))
	// Calendar API events.insert: 5 to 1024 characters of base32hex, lower case.
	return "mm" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// digest is of what the event says: first all but the guests, then the guests.
func (e Event) digest() string {
	basics, guests := sha256.New(), sha256.New()
	for _, part := range []string{
		e.Summary, e.Description, e.TimeZone, e.Start.UTC().Format(time.RFC3339Nano), e.End.UTC().Format(time.RFC3339Nano),
		strconv.FormatBool(e.GuestsSeeEachOther),
	} {
		_, _ = io.WriteString(basics, strconv.Quote(part)) // a hash has no error to give
	}
	for _, g := range e.Guests {
		_, _ = io.WriteString(guests, strconv.Quote(strings.ToLower(g.Email)))
	}
	return hex.EncodeToString(basics.Sum(nil)[:8]) + "." + hex.EncodeToString(guests.Sum(nil)[:8])
}

func sameGuests(digest, other string) bool {
	_, a, ok := strings.Cut(digest, ".")
	_, b, okOther := strings.Cut(other, ".")
	return ok && okOther && a == b
}

// event is the event that w wants, guests that nobody has asked yet included. actor is in whose name it is made: an organizer
// who can't be impersonated is invited to his own meeting.
func (w Wish) event(actor string) Event {
	outside := !strings.EqualFold(actor, w.Organizer)
	e := Event{
		GuestsMayModify: outside,
		MeetingUID:      w.MeetingUID, Version: w.Version, Summary: w.Summary, Description: w.Description, TimeZone: w.TimeZone,
		Start: w.Start, End: w.End, GuestsSeeEachOther: w.GuestsSeeEachOther, Guests: make([]Guest, 0, len(w.Guests)+1),
	}
	if outside {
		e.Guests = append(e.Guests, Guest{Email: w.Organizer, Response: noResponse})
	}
	for _, email := range w.Guests {
		e.Guests = append(e.Guests, Guest{Email: email, Response: noResponse})
	}
	return e
}

// Shown is of the texts as Google has them, each part for itself.
func (s EventState) Shown() string {
	part := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:8])
	}
	return part(s.Summary) + "." + part(s.Description)
}

// says tells whether the event is of this meeting and shows what e does, whatever the guests answered.
func (s EventState) says(e Event) bool {
	second := func(t time.Time) time.Time { return t.Truncate(time.Second) } // Calendar keeps no parts of one
	return s.MeetingUID == e.MeetingUID && s.Summary == e.Summary && s.Description == e.Description &&
		second(s.Start).Equal(second(e.Start)) && second(s.End).Equal(second(e.End)) &&
		s.GuestsSeeEachOther == e.GuestsSeeEachOther && s.invites(e.Guests)
}

// invites tells whether these people, and nobody else, are on the event. Its keeper stands on it as Google pleases.
func (s EventState) invites(guests []Guest) bool {
	wanted := make(map[string]bool, len(guests))
	for _, g := range guests {
		wanted[strings.ToLower(g.Email)] = true
	}
	for _, g := range s.Guests {
		email := strings.ToLower(g.Email)
		if !wanted[email] && !g.Self && !g.Room {
			return false
		}
		delete(wanted, email)
	}
	return len(wanted) == 0
}

// withAnswers are the wanted guests with what those who were there before have answered: Calendar replaces the list whole. The
// calendar's owner stays on it where Google has put him there, and so do rooms that somebody booked.
func withAnswers(wanted, present []Guest) []Guest {
	before := make(map[string]Guest, len(present))
	for _, g := range present {
		before[strings.ToLower(g.Email)] = g
	}
	merged := make([]Guest, 0, len(wanted)+1)
	for _, g := range wanted {
		email := strings.ToLower(g.Email)
		if known, ok := before[email]; ok {
			g = known
			delete(before, email)
		}
		merged = append(merged, g)
	}
	for _, g := range present {
		if _, left := before[strings.ToLower(g.Email)]; left && (g.Self || g.Room) {
			merged = append(merged, g)
		}
	}
	return merged
}
