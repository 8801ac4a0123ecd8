package conference

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// Rules are the settings that decide what is looked for.
type Rules struct {
	// Export: copies of the files are made.
	Export bool
	// Sessions: each person's sessions are read, at one call a person.
	Sessions bool
	// Transcripts says whether transcripts are read.
	Transcripts TranscriptRule
}

// TranscriptRule says whether transcripts are read; the zero rule is [TranscriptsTold].
type TranscriptRule uint8

// The rules about transcripts.
const (
	// TranscriptsTold: where a notice told of one.
	TranscriptsTold TranscriptRule = iota
	TranscriptsAlways
	TranscriptsNever
)

// World is what is given to the rules by others.
type World struct {
	Now   time.Time
	Rules Rules
	// Number gives the number of a new row, by Google's name of what it is about.
	Number func(name string) (int64, error)
	// KnownEntry tells whether a transcript's entry is stored.
	KnownEntry func(name string) bool
}

// Observed is one conference as Google tells. What was not read is zero, and says nothing.
type Observed struct {
	Record, Space                 string
	StartedAt, EndedAt, ExpiresAt time.Time
	// RecordRead: without an end it was running.
	RecordRead bool
	// Gone: Google shows the account no such record. It says so of what it forgot, and in the same words of what the account may
	// not see.
	Gone bool
	// …Read: with this, they are all that there are.
	RecordingsRead  bool
	Recordings      []ObservedRecording
	AttendeesRead   bool
	Attendees       []ObservedAttendee
	TranscriptsRead bool
	Transcripts     []ObservedTranscript
}

// ObservedRecording is a recording as Google tells.
type ObservedRecording struct {
	Name               string
	State              ArtifactState
	StartedAt, EndedAt time.Time
	DriveFileID, URL   string
	// File is nil where it was not looked at.
	File *File
}

// ObservedAttendee is a person as Google tells.
type ObservedAttendee struct {
	Name                      string
	Kind                      Kind
	User, DisplayName, Email  string
	FirstJoinedAt, LastLeftAt time.Time
	SessionsRead              bool
	Sessions                  []ObservedSession
}

// ObservedSession is one join with one device, as Google tells.
type ObservedSession struct {
	Name             string
	JoinedAt, LeftAt time.Time
}

// ObservedTranscript is a transcript as Google tells.
type ObservedTranscript struct {
	Name               string
	State              ArtifactState
	StartedAt, EndedAt time.Time
	DocumentID, URL    string
	EntriesRead        bool
	Entries            []Entry
}

// How long is waited before something is said.
const (
	// notStartedAfter is how long people are in the room before it is told that nothing is recorded.
	notStartedAfter = 10 * time.Minute
	// emptyAfter is how long after the end an empty list of recordings is believed.
	emptyAfter = 15 * time.Minute
	// fileWithin is how long after the end a file is waited for, and how long after its end a meeting that nobody came to is
	// looked at.
	fileWithin = 24 * time.Hour
	// keptByGoogle is how long after its end Google knows a conference.
	keptByGoogle = 30 * 24 * time.Hour
	// longest is how long a conference lasts at most (Meet: 24 hours).
	longest = 24 * time.Hour
)

// Find is the conference of a record; nil when it is not known.
func (l *Ledger) Find(record string) *Conference {
	for _, c := range l.Conferences {
		if c.Record == record {
			return c
		}
	}
	return nil
}

// Observe takes in what Google tells of one conference. Its error is of a number that was not given.
func (l *Ledger) Observe(o *Observed, w *World) ([]meeting.Event, error) {
	var events []meeting.Event
	c := l.Find(o.Record)
	if c == nil {
		if o.StartedAt.IsZero() { // nothing to keep it by
			return nil, nil
		}
		var err error
		if c, err = l.begin(o, w); err != nil {
			return nil, err
		}
		events = append(events, StartedEvent{about(l.Meeting), c})
	}
	running := c.EndedAt.IsZero()
	c.endLearnt = false
	if o.Gone && !c.mayBeGone(w.Now) {
		l.hidden = true
		return events, nil
	}
	c.times(o, w.Now)
	told, err := l.observeRecordings(c, o, w)
	if err != nil {
		return nil, err
	}
	events = append(events, told...)
	if err := c.observeAttendees(o, w); err != nil {
		return nil, err
	}
	if told, err = l.observeTranscripts(c, o, w); err != nil {
		return nil, err
	}
	events = append(events, told...)
	if running && !c.EndedAt.IsZero() {
		c.endLearnt = true
		events = append(events, EndedEvent{about(l.Meeting), c})
	}
	if !l.calledOff() && o.RecordingsRead && c.unrecorded(w.Now) && !c.NotStartedTold {
		c.NotStartedTold, c.dirty = true, true
		events = append(events, NotStartedEvent{about(l.Meeting), c, l.Meeting.RecordingReason})
	}
	return events, nil
}

// mayBeGone: Google may have forgotten the conference by now. Before that, one that it does not show is hidden from the account.
func (c *Conference) mayBeGone(now time.Time) bool {
	switch kept := keptByGoogle - 24*time.Hour; {
	case !c.ExpiresAt.IsZero():
		return !now.Before(c.ExpiresAt.Add(-24 * time.Hour))
	case !c.EndedAt.IsZero():
		return !now.Before(c.EndedAt.Add(kept))
	default:
		return !now.Before(c.StartedAt.Add(kept))
	}
}

// unrecorded: people have been in the room for long and nothing is recorded.
func (c *Conference) unrecorded(now time.Time) bool {
	return c.EndedAt.IsZero() && len(c.Recordings) == 0 && !now.Before(c.StartedAt.Add(notStartedAfter))
}

func (l *Ledger) begin(o *Observed, w *World) (*Conference, error) {
	id, err := w.Number(o.Record)
	if err != nil {
		return nil, err
	}
	c := &Conference{
		ID: ID(id), Meeting: l.Meeting.ID, Record: o.Record, Account: l.Meeting.Google.Account, StartedAt: o.StartedAt, Source: ByReading,
		CreatedAt: w.Now, AttendeesLoaded: true, dirty: true,
	}
	if !l.Owner.NoticedAt.Before(o.StartedAt) {
		c.Source = ByNotice
	}
	l.Conferences = append(l.Conferences, c)
	slices.SortFunc(l.Conferences, func(a, b *Conference) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), strings.Compare(a.Record, b.Record))
	})
	return c, nil
}

// times takes Google's own times, which outdo a notice's. A reading that shows it running says nothing about one that is known to
// have ended: it is older.
func (c *Conference) times(o *Observed, now time.Time) {
	before := [4]time.Time{c.StartedAt, c.EndedAt, c.ExpiresAt}
	exact := c.EndExact
	if !o.StartedAt.IsZero() {
		c.StartedAt = o.StartedAt
	}
	if !o.ExpiresAt.IsZero() {
		c.ExpiresAt = o.ExpiresAt
	}
	if !o.EndedAt.IsZero() {
		c.EndedAt, c.EndExact = o.EndedAt, true
	}
	if o.Gone { // nothing more will be told
		if c.EndedAt.IsZero() {
			c.EndedAt = earliest(now, c.StartedAt.Add(longest))
			if !c.ExpiresAt.IsZero() && c.ExpiresAt.Add(-keptByGoogle).After(c.StartedAt) {
				c.EndedAt = c.ExpiresAt.Add(-keptByGoogle)
			}
		}
		c.EndExact = true
		for _, at := range []*time.Time{&c.RecordingsReadAt, &c.AttendeesReadAt, &c.SessionsReadAt, &c.TranscriptsReadAt} {
			if at.IsZero() || at == &c.RecordingsReadAt {
				*at, c.dirty = now, true
			}
		}
	}
	if before != [4]time.Time{c.StartedAt, c.EndedAt, c.ExpiresAt} || exact != c.EndExact {
		c.dirty = true
	}
}

// recording finds a recording or makes its row; fresh: it was not known.
func (c *Conference) recording(name string, w *World) (r *Recording, fresh bool, err error) {
	for _, r := range c.Recordings {
		if r.Name == name {
			return r, false, nil
		}
	}
	id, err := w.Number(name)
	if err != nil {
		return nil, false, err
	}
	r = &Recording{ID: id, Name: name, State: ArtifactStarted, Export: ExportNone, CreatedAt: w.Now, dirty: true}
	c.Recordings = append(c.Recordings, r)
	return r, true, nil
}

func (l *Ledger) observeRecordings(c *Conference, o *Observed, w *World) ([]meeting.Event, error) {
	var events []meeting.Event
	for i := range o.Recordings {
		seen := &o.Recordings[i]
		r, fresh, err := c.recording(seen.Name, w)
		if err != nil {
			return nil, err
		}
		before := *r
		generated := r.State == ArtifactGenerated
		r.State = max(r.State, seen.State)
		keep(&r.StartedAt, seen.StartedAt)
		keep(&r.EndedAt, seen.EndedAt)
		keep(&r.DriveFileID, seen.DriveFileID)
		keep(&r.URL, seen.URL)
		if seen.File != nil {
			r.File.learn(seen.File, w.Now)
		}
		if fresh {
			events = append(events, RecordingStartedEvent{about(l.Meeting), r})
		}
		if r.State == ArtifactGenerated && !generated {
			r.AvailableAt = w.Now
			events = append(events, FileGeneratedEvent{about(l.Meeting), r})
		}
		r.dirty = r.dirty || *r != before
	}
	if o.RecordingsRead && !c.EndedAt.IsZero() && c.readForGood(w.Now) {
		c.RecordingsReadAt, c.dirty = w.Now, true
	}
	return events, nil
}

// readForGood: what was read now after the end is what there will be.
func (c *Conference) readForGood(now time.Time) bool {
	if !now.Before(c.EndedAt.Add(fileWithin)) {
		return true
	}
	if len(c.Recordings) == 0 {
		return !now.Before(c.EndedAt.Add(emptyAfter))
	}
	return !slices.ContainsFunc(c.Recordings, (*Recording).unsettled)
}

// unsettled: Google has more to tell of it.
func (r *Recording) unsettled() bool {
	return r.State != ArtifactGenerated || r.File.State == "" && r.DriveFileID != ""
}

// keep takes what is told over what is known, and nothing over nothing.
func keep[T comparable](known *T, told T) {
	var nothing T
	if told != nothing {
		*known = told
	}
}

func (f *File) learn(seen *File, now time.Time) {
	f.State, f.CheckedAt = seen.State, now
	keep(&f.Name, seen.Name)
	keep(&f.MimeType, seen.MimeType)
	keep(&f.SizeBytes, seen.SizeBytes)
	keep(&f.SHA256, seen.SHA256)
	keep(&f.MD5, seen.MD5)
	keep(&f.DurationSeconds, seen.DurationSeconds)
}

// Duration is how long the recording is, in seconds; 0 while unknown.
func (r *Recording) Duration() int64 {
	switch {
	case r.File.DurationSeconds > 0:
		return r.File.DurationSeconds
	case !r.StartedAt.IsZero() && r.EndedAt.After(r.StartedAt):
		return int64(r.EndedAt.Sub(r.StartedAt) / time.Second)
	}
	return 0
}

// attendee finds a person or makes the row.
func (c *Conference) attendee(name string, w *World) (*Attendee, error) {
	for _, a := range c.Attendees {
		if a.Name == name {
			return a, nil
		}
	}
	id, err := w.Number(name)
	if err != nil {
		return nil, err
	}
	a := &Attendee{ID: id, Name: name, dirty: true}
	c.Attendees = append(c.Attendees, a)
	c.AttendeesCount = max(c.AttendeesCount+1, len(c.Attendees))
	return a, nil
}

func (a *Attendee) session(name string) *Session {
	for _, s := range a.Sessions {
		if s.Name == name {
			return s
		}
	}
	s := &Session{Name: name, dirty: true}
	a.Sessions = append(a.Sessions, s)
	return s
}

func (c *Conference) observeAttendees(o *Observed, w *World) error {
	if len(o.Attendees) > 0 && !c.AttendeesLoaded {
		return fmt.Errorf("the attendees of conference %d were not loaded", c.ID)
	}
	for i := range o.Attendees {
		seen := &o.Attendees[i]
		a, err := c.attendee(seen.Name, w)
		if err != nil {
			return err
		}
		a.learn(seen)
	}
	if !o.AttendeesRead || c.EndedAt.IsZero() {
		return nil
	}
	c.AttendeesReadAt, c.dirty = w.Now, true
	if w.Rules.Sessions && !slices.ContainsFunc(c.Attendees, func(a *Attendee) bool { return !a.exact() }) {
		c.SessionsReadAt = w.Now
	}
	return nil
}

// exact: Google told of all sessions.
func (a *Attendee) exact() bool {
	return len(a.Sessions) > 0 && !slices.ContainsFunc(a.Sessions, func(s *Session) bool { return !s.Exact })
}

func (a *Attendee) learn(seen *ObservedAttendee) {
	keep(&a.Kind, seen.Kind)
	keep(&a.User, seen.User)
	keep(&a.DisplayName, seen.DisplayName)
	keep(&a.Email, seen.Email)
	keep(&a.FirstJoinedAt, seen.FirstJoinedAt)
	keep(&a.LastLeftAt, seen.LastLeftAt)
	a.dirty = true
	for _, told := range seen.Sessions {
		s := a.session(told.Name)
		before := *s
		keep(&s.JoinedAt, told.JoinedAt)
		keep(&s.LeftAt, told.LeftAt)
		s.Exact = s.Exact || !told.LeftAt.IsZero()
		s.dirty = s.dirty || *s != before
	}
}

// transcript finds a transcript or makes its row.
func (c *Conference) transcript(name string, w *World) (*Transcript, error) {
	for _, t := range c.Transcripts {
		if t.Name == name {
			return t, nil
		}
	}
	id, err := w.Number(name)
	if err != nil {
		return nil, err
	}
	t := &Transcript{ID: id, Name: name, State: ArtifactStarted, CreatedAt: w.Now, dirty: true}
	c.Transcripts = append(c.Transcripts, t)
	return t, nil
}

func (l *Ledger) observeTranscripts(c *Conference, o *Observed, w *World) ([]meeting.Event, error) {
	var events []meeting.Event
	for i := range o.Transcripts {
		seen := &o.Transcripts[i]
		t, err := c.transcript(seen.Name, w)
		if err != nil {
			return nil, err
		}
		t.State, t.dirty = max(t.State, seen.State), true
		keep(&t.StartedAt, seen.StartedAt)
		keep(&t.EndedAt, seen.EndedAt)
		keep(&t.DocumentID, seen.DocumentID)
		keep(&t.URL, seen.URL)
		t.hear(seen.Entries, w)
		if seen.EntriesRead && t.State == ArtifactGenerated && t.EntriesReadAt.IsZero() {
			t.EntriesReadAt = w.Now
			events = append(events, TranscriptEvent{about(l.Meeting), t})
		}
	}
	if o.TranscriptsRead && !c.EndedAt.IsZero() {
		open := c.transcriptsOpen() || len(c.Transcripts) == 0 && w.Now.Before(c.EndedAt.Add(emptyAfter))
		if !open || !w.Now.Before(c.EndedAt.Add(fileWithin)) {
			c.TranscriptsReadAt, c.dirty = w.Now, true
		}
	}
	return events, nil
}

// hear adds what is not stored yet.
func (t *Transcript) hear(entries []Entry, w *World) {
	for _, e := range entries {
		if w.KnownEntry(e.Name) || slices.ContainsFunc(t.Entries, func(have Entry) bool { return have.Name == e.Name }) {
			continue
		}
		t.Entries = append(t.Entries, e)
		t.EntriesCount++
	}
}

// transcriptsOpen: a transcript is known of which not all was read.
func (c *Conference) transcriptsOpen() bool {
	return slices.ContainsFunc(c.Transcripts, func(t *Transcript) bool { return t.EntriesReadAt.IsZero() })
}
