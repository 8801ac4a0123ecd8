package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// ConferencesConfig says what is read of what was held.
type ConferencesConfig struct {
	Every       time.Duration `env:"MEET_CONFERENCES_EVERY" envDefault:"2m" help:"how often an account's conferences are listed while one of its meetings may be going on and no notices of Google arrive"`
	Attendance  string        `env:"MEET_ATTENDANCE" envDefault:"sessions" oneof:"sessions people" help:"what is read of who was there, after the end; sessions: each join and leave, at one call a person; people: the first join and the last leave of each, at one call in all"`
	Transcripts string        `env:"MEET_TRANSCRIPTS" envDefault:"auto" oneof:"auto on off" help:"whether transcripts are read; auto: where a notice of Google told of one; on: of every conference; off: never"`
}

var transcriptRules = map[string]conference.TranscriptRule{
	"": conference.TranscriptsTold, "auto": conference.TranscriptsTold, "on": conference.TranscriptsAlways, "off": conference.TranscriptsNever,
}

// Check refuses a pause that would use up the quota.
func (c ConferencesConfig) Check() error {
	var problems []error
	if c.Every < 10*time.Second {
		problems = append(problems, config.Bad("MEET_CONFERENCES_EVERY", c.Every.String()+" is too often", "write 10s or more, or leave it out for 2m"))
	}
	if c.Attendance != "" && c.Attendance != "sessions" && c.Attendance != "people" {
		problems = append(problems, config.Bad("MEET_ATTENDANCE", "is neither sessions nor people", "leave it out for sessions"))
	}
	if _, ok := transcriptRules[c.Transcripts]; !ok {
		problems = append(problems, config.Bad("MEET_TRANSCRIPTS", "is none of auto, on and off", "leave it out for auto"))
	}
	return errors.Join(problems...)
}

// Looking is what the use cases need of the settings.
type Looking struct {
	Every time.Duration
	Rules conference.Rules
}

// Looking is a checked config; the zero one is the default.
func (c ConferencesConfig) Looking() Looking {
	if c.Every <= 0 {
		c.Every = 2 * time.Minute
	}
	return Looking{Every: c.Every, Rules: conference.Rules{Sessions: c.Attendance != "people", Transcripts: transcriptRules[c.Transcripts]}}
}

// HeldNeeds is what commands want loaded of what was held.
type HeldNeeds struct {
	// Ledgers are meetings, among Meetings, whose conferences and check rows are loaded; of those in Attended with everybody who
	// was there.
	Ledgers, Attended []meeting.Ref
	// Records and Spaces are Google's names: their meetings are loaded as if they stood in Meetings and Ledgers, those of
	// AttendedRecords and AttendedSpaces also in Attended and People.
	Records, Spaces                 []string
	AttendedRecords, AttendedSpaces []string
	// SpaceOf tells of a record the space, where that is known.
	SpaceOf map[string]string
	// New are Google's names of what may need a row; each that has none takes a number.
	New NewNames
	// Entries are names of transcript entries, of which is told which are stored.
	Entries []string
	// Owners are locked and loaded with their jobs, and so are those with these subscriptions and users at Google.
	Owners                     []conference.OwnerID
	Subscriptions, GoogleUsers []string
}

// NewNames are names at Google by what they are of.
type NewNames struct{ Conferences, Attendees, Recordings, Transcripts []string }

// Held is the part of a working set that is about what was held.
type Held struct {
	Looking Looking
	// Ledgers are what is known of the meetings that were asked for; the dirty ones are written.
	Ledgers      map[meeting.ID]*conference.Ledger
	dirtyLedgers map[meeting.ID]struct{}
	// Records and Spaces find a meeting by Google's names.
	Records, Spaces map[string]meeting.ID
	// Kept are notices of the records asked for that came before their conferences were known. NewKept are to be kept, those of
	// DoneKept to be forgotten.
	Kept     map[string][]conference.Kept
	NewKept  []conference.Notice
	DoneKept map[string]struct{}
	// Numbers are for new rows, by Google's names; KnownEntries are stored.
	Numbers      map[string]int64
	KnownEntries map[string]struct{}
	// Owners are those locked with their jobs; the dirty ones are written. Began is when the newest conference of an account began,
	// to be remembered of those that are not.
	Owners      map[conference.OwnerID]*conference.Owner
	dirtyOwners map[conference.OwnerID]struct{}
	Began       map[string]time.Time
	// SpaceOwners are accounts that need a row, with until when meetings lie ahead.
	SpaceOwners map[string]time.Time
	// Nudged are meetings whose check rows were not loaded and are due at once, because their times changed.
	Nudged map[meeting.ID]struct{}
}

func newHeld() Held {
	return Held{
		Ledgers: map[meeting.ID]*conference.Ledger{}, dirtyLedgers: map[meeting.ID]struct{}{}, Records: map[string]meeting.ID{},
		Spaces: map[string]meeting.ID{}, Numbers: map[string]int64{}, KnownEntries: map[string]struct{}{},
		Owners: map[conference.OwnerID]*conference.Owner{}, dirtyOwners: map[conference.OwnerID]struct{}{}, Began: map[string]time.Time{},
		Kept: map[string][]conference.Kept{}, DoneKept: map[string]struct{}{}, SpaceOwners: map[string]time.Time{}, Nudged: map[meeting.ID]struct{}{},
	}
}

// world is what the rules about conferences are given.
func (u *Unit) world() *conference.World {
	return &conference.World{
		Now: u.Now, Rules: u.Looking.Rules,
		Number: func(name string) (int64, error) {
			id, ok := u.Numbers[name]
			if !ok {
				return 0, errNumbers
			}
			return id, nil
		},
		KnownEntry: func(name string) bool { _, ok := u.KnownEntries[name]; return ok },
	}
}

// TouchLedger has what was held of a meeting written.
func (u *Unit) TouchLedger(l *conference.Ledger) { u.dirtyLedgers[l.Meeting.ID] = struct{}{} }

// DirtyLedgers are those to write, in one order for all batches.
func (u *Unit) DirtyLedgers() []*conference.Ledger {
	out := make([]*conference.Ledger, 0, len(u.dirtyLedgers))
	for _, id := range slices.Sorted(maps.Keys(u.dirtyLedgers)) {
		out = append(out, u.Ledgers[id])
	}
	return out
}

// DirtyOwners are those to write, in one order for all batches.
func (u *Unit) DirtyOwners() []*conference.Owner {
	out := make([]*conference.Owner, 0, len(u.dirtyOwners))
	for _, id := range slices.Sorted(maps.Keys(u.dirtyOwners)) {
		out = append(out, u.Owners[id])
	}
	return out
}

// held is the ledger of a meeting that a record or a space belongs to; nil when it is none of ours.
func (u *Unit) held(record, space string) *conference.Ledger {
	if id, ok := u.Records[record]; ok {
		return u.Ledgers[id]
	}
	if id, ok := u.Spaces[space]; ok && space != "" {
		return u.Ledgers[id]
	}
	return nil
}

// recall takes in what notices told of a conference before it was known.
func (u *Unit) recall(l *conference.Ledger, record string) (facts []meeting.Event, look bool, err error) {
	kept := u.Kept[record]
	if len(kept) == 0 {
		return nil, false, nil
	}
	facts, look, done, err := l.Recall(kept, u.world())
	if err == nil && done {
		delete(u.Kept, record)
		u.DoneKept[record] = struct{}{}
	}
	return facts, look, err
}

// settleLedger draws what follows for a meeting from what was taken in, and moves its check row unless that is another's to do.
func (u *Unit) settleLedger(l *conference.Ledger, looked conference.Looked) ([]meeting.Event, error) {
	m, version, google := l.Meeting, l.Meeting.Version, l.Meeting.Google
	events, err := l.Settle(looked, u.world())
	if err != nil {
		return nil, err
	}
	for _, c := range l.Conferences {
		for _, r := range c.Recordings {
			if err := u.WantExport(m, c.Account, r); err != nil {
				return nil, err
			}
		}
	}
	if m.Version != version || m.Google != google {
		u.Touch(m)
	}
	u.TouchLedger(l)
	return events, nil
}

// replan moves the check row of a meeting, or makes one.
func (u *Unit) replan(l *conference.Ledger) error {
	due, need := l.Replan(u.Looking.Rules, u.Now)
	if need {
		return u.watch(l.Meeting.ID, due)
	}
	return u.keepCheck(l)
}

// keepCheck has the check row written.
func (u *Unit) keepCheck(l *conference.Ledger) error {
	if l.Check == nil {
		return nil
	}
	id, err := uuid.Parse(l.Check.ID)
	if err != nil {
		return fmt.Errorf("id of the check of meeting %d: %w", l.Meeting.ID, err)
	}
	u.Task(id)
	return nil
}

// watch makes the row that looks after a meeting.
func (u *Unit) watch(m meeting.ID, due time.Time) error {
	id, err := newID()
	if err != nil {
		return err
	}
	u.Plan(conference.NewCheck(id, m, due, u.Now))
	return nil
}

// look has a meeting's check row due at once, or makes one.
func (u *Unit) look(l *conference.Ledger) error {
	at := u.Now.Add(lookSoon)
	if l.Check == nil {
		return u.watch(l.Meeting.ID, at)
	}
	l.Look(at)
	return u.keepCheck(l)
}

// replanAndLook moves the check row of a meeting, and soon has it due at once.
func (u *Unit) replanAndLook(l *conference.Ledger, soon bool) error {
	if err := u.replan(l); err != nil || !soon {
		return err
	}
	return u.look(l)
}

// lookSoon is how long after a notice is looked, so that several of them are one look.
const lookSoon = 5 * time.Second

// own remembers in whose name the space of a meeting is read.
func (u *Unit) own(m *meeting.Meeting) {
	if m.Google.Account == "" || m.Google.Space == "" || m.WantedAbsent() {
		return
	}
	if until := conference.BusyUntil(m.WantedEnd()); until.After(u.SpaceOwners[m.Google.Account]) {
		u.SpaceOwners[m.Google.Account] = until
	}
}

// change is a meeting as it was, as far as what is looked at depends on it.
type change struct {
	start, end time.Time
	status     meeting.Status
}

func changing(m *meeting.Meeting) change { return change{m.Start, m.End, m.Status} }

// moves: other times, or it was called off.
func (c change) moves(m *meeting.Meeting) bool {
	return !c.start.Equal(m.Start) || !c.end.Equal(m.End) || c.status != m.Status
}

// nudge has a check row that was not loaded due at once where the times or the status of its meeting were changed.
func (u *Unit) nudge(m *meeting.Meeting, before change) {
	if m.AutoRecord && before.moves(m) {
		u.Nudged[m.ID] = struct{}{}
	}
}

// moved draws from a change of a meeting what it means for its recording, and moves its check row.
func (u *Unit) moved(m *meeting.Meeting, before change) ([]meeting.Event, error) {
	l := u.Ledgers[m.ID]
	if l == nil || !before.moves(m) {
		return nil, nil
	}
	events, err := u.settleLedger(l, conference.Looked{})
	if err != nil {
		return nil, err
	}
	return events, u.replan(l)
}

// owners are the accounts that this process knows to have rows, so that a create costs no statement for its account.
type owners struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// unknown takes out of the unit what needs no writing.
func (o *owners) unknown(u *Unit) {
	if len(u.SpaceOwners) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(u.SpaceOwners, func(account string, until time.Time) bool {
		known, ok := o.known[account]
		return ok && !until.After(known)
	})
}

// written remembers what was committed.
func (o *owners) written(seen map[string]time.Time) {
	if len(seen) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil || len(o.known)+len(seen) > maxPlaces {
		o.known = make(map[string]time.Time)
	}
	for account, until := range seen {
		if until.After(o.known[account]) {
			o.known[account] = until
		}
	}
}
