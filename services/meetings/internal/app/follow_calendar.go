package app

import (
	"errors"
	"sync"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// DriftConfig says what becomes of changes that others make in Google Calendar.
type DriftConfig struct {
	Policy string        `env:"MEET_DRIFT_POLICY" envDefault:"adopt" oneof:"adopt restore alert" help:"what happens when somebody changes or deletes a meeting's event in Google Calendar; adopt: the meeting takes it over, a deletion cancels it; restore: Google gets back what the meeting says; alert: both stay and the meeting says how they differ"`
	Every  time.Duration `env:"MEET_DRIFT_EVERY" envDefault:"5m" help:"how often a calendar with meetings ahead is read for changes; with MEET_PUBLIC_URL Google also tells of them at once"`
}

// Check refuses a pause that would use up the quota.
func (c DriftConfig) Check() error {
	var problems []error
	if c.Every < time.Second {
		problems = append(problems, config.Bad("MEET_DRIFT_EVERY", c.Every.String()+" is too often", "write 1s or more, or leave it out for 5m"))
	}
	if _, err := meeting.ParseDriftPolicy(c.Policy); err != nil {
		problems = append(problems, config.Bad("MEET_DRIFT_POLICY", "is none of adopt, restore and alert", "leave it out for adopt"))
	}
	return errors.Join(problems...)
}

// Drift is what the use cases need of it.
type Drift struct {
	Policy meeting.DriftPolicy
	Every  time.Duration
}

// drift is a checked config; the zero one is the default.
func (c DriftConfig) drift() Drift {
	policy, err := meeting.ParseDriftPolicy(c.Policy)
	if err != nil {
		policy = meeting.Adopt
	}
	if c.Every <= 0 {
		c.Every = 5 * time.Minute
	}
	return Drift{Policy: policy, Every: c.Every}
}

// ErrNoCalendar is the fault for a calendar that is not followed.
var ErrNoCalendar = fault.New(fault.NotFound, "CALENDAR_NOT_FOUND", "no such calendar")

// CalendarFollowed takes what the scheduler read in a calendar.
type CalendarFollowed struct {
	Calendar  calendar.ID
	Snapshots []meeting.Snapshot
	// Partial: more parts of the same reading follow.
	Partial bool
	Reading calendar.Reading
}

// Needs the calendar, and the meetings whose events were seen, with everybody's answers.
func (c *CalendarFollowed) Needs(n *Needs) {
	n.Calendars = append(n.Calendars, c.Calendar)
	for i := range c.Snapshots {
		n.Events = append(n.Events, c.Snapshots[i].EventID)
		if ref, err := meeting.ParseRef(c.Snapshots[i].MeetingUID); err == nil && ref.UID != "" { // its insert may not be known yet
			n.Meetings, n.Guests, n.People = append(n.Meetings, ref), append(n.Guests, ref), append(n.People, ref)
		}
	}
}

// Apply refuses with [ErrNoCalendar].
func (c *CalendarFollowed) Apply(u *Unit, _ *Command) (Result, error) {
	followed, ok := u.Calendars[c.Calendar]
	if !ok {
		return Result{}, ErrNoCalendar
	}
	events := make(map[string]*meeting.Meeting, len(u.Meetings))
	for _, m := range u.Meetings {
		if m.Google.EventID != "" {
			events[m.Google.EventID] = m
		}
	}
	var result Result
	for _, s := range c.Snapshots {
		m := events[s.EventID]
		if m == nil {
			if m = u.Meetings[u.UIDs[s.MeetingUID]]; m == nil {
				continue
			}
		}
		google, version, before := m.Google, m.Version, changing(m)
		result.Facts = append(result.Facts, m.Noticed(s, u.Drift.Policy, u.Now)...)
		u.nudge(m, before)
		if m.Google != google || m.Version != version {
			u.Touch(m)
		}
	}
	if !c.Partial {
		followed.Followed(c.Reading, u.Drift.Every, u.Now)
		u.DirtyCalendars[followed.ID] = struct{}{}
	}
	return result, nil
}

// CalendarNoticed takes a push notice.
type CalendarNoticed struct{ Channel, TokenHash string }

// Needs the calendar of the channel.
func (c *CalendarNoticed) Needs(n *Needs) {
	if c.Channel != "" {
		n.Channels = append(n.Channels, c.Channel)
	}
}

// Apply refuses with [ErrNoCalendar], a wrong token included.
func (c *CalendarNoticed) Apply(u *Unit, _ *Command) (Result, error) {
	for _, followed := range u.Calendars {
		if followed.Channel.ID == c.Channel && followed.Noticed(c.Channel, c.TokenHash, u.Now) {
			u.DirtyCalendars[followed.ID] = struct{}{}
			return Result{}, nil
		}
	}
	return Result{}, ErrNoCalendar
}

// Place is a calendar in which an event of ours was seen.
type Place struct {
	Name, Account, CalendarID string
	BusyUntil                 time.Time
}

// see remembers where a meeting's event is kept.
func (u *Unit) see(m *meeting.Meeting) {
	if m.Google.Account == "" || m.Google.EventID == "" || m.WantedAbsent() {
		return
	}
	p := Place{
		Name: calendar.Place(m.Google.Account, m.Google.CalendarID), Account: m.Google.Account, CalendarID: m.Google.CalendarID,
		BusyUntil: calendar.BusyUntil(m.WantedEnd()),
	}
	if p.BusyUntil.After(u.Places[p.Name].BusyUntil) {
		u.Places[p.Name] = p
	}
}

// places are the calendars that this process knows to have rows, so that a create costs no statement for its calendar.
type places struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// maxPlaces bounds what is remembered; beyond it all is forgotten, at the price of one statement each.
const maxPlaces = 50_000

// unknown takes out of the unit what needs no writing.
func (p *places) unknown(u *Unit) {
	if len(u.Places) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, place := range u.Places {
		if until, ok := p.known[name]; ok && !place.BusyUntil.After(until) {
			delete(u.Places, name)
		}
	}
}

// written remembers what was committed.
func (p *places) written(seen map[string]Place) {
	if len(seen) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known)+len(seen) > maxPlaces {
		p.known = make(map[string]time.Time)
	}
	for name, place := range seen {
		if place.BusyUntil.After(p.known[name]) {
			p.known[name] = place.BusyUntil
		}
	}
}
