package conference_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

var start = time.Date(2026, time.December, 1, 15, 0, 0, 0, time.UTC)

const minute = time.Minute

// book is a ledger of one meeting from 15:00 to 15:30 with its doctor and two patients, and a clock.
type book struct {
	*conference.Ledger

	tb      testing.TB
	now     time.Time
	rules   conference.Rules
	numbers map[string]int64
	stored  map[string]bool
	facts   []meeting.Event
}

func newBook(tb testing.TB) *book {
	tb.Helper()
	m, _ := meeting.New(&meeting.Spec{
		OrganizerEmail: "doctor@clinic.example", Guests: []string{"ana@mail.example", "luis@mail.example"}, Start: start, End: start.Add(30 * minute),
		TimeZone: "UTC", AutoRecord: true, CreateCalendarEvent: true,
	}, meeting.Origin{ID: 7, UID: "uid", JobID: "job"}, start.Add(-24*time.Hour))
	m.Google = meeting.GoogleCopy{Account: "doctor@clinic.example", Space: "spaces/s", MeetLink: "https://meet.example/s", AutoRecording: "ON"}
	m.People = []meeting.Person{{ID: 1, Email: "doctor@clinic.example"}, {ID: 2, Email: "ana@mail.example"}, {ID: 3, Email: "luis@mail.example"}}
	return &book{
		Ledger: &conference.Ledger{Meeting: m, NoShows: map[int64]bool{}, PeopleLoaded: true, Owner: conference.Owner{Account: "doctor@clinic.example", GoogleUser: "users/1"}},
		tb:     tb, now: start, rules: conference.Rules{Sessions: true}, numbers: map[string]int64{}, stored: map[string]bool{},
	}
}

func (b *book) world() *conference.World {
	return &conference.World{
		Now: b.now, Rules: b.rules,
		Number: func(name string) (int64, error) {
			if b.numbers[name] == 0 {
				b.numbers[name] = int64(len(b.numbers) + 1)
			}
			return b.numbers[name], nil
		},
		KnownEntry: func(name string) bool { return b.stored[name] },
	}
}

// at moves the clock.
func (b *book) at(after time.Duration) *book {
	b.now = start.Add(after)
	return b
}

// observe takes in what was read, as the use case does; listed: the listing went until now.
func (b *book) observe(listed bool, seen ...conference.Observed) []meeting.Event {
	b.tb.Helper()
	var events []meeting.Event
	for i := range seen {
		told, err := b.Observe(&seen[i], b.world())
		if err != nil {
			b.tb.Fatal(err)
		}
		events = append(events, told...)
	}
	looked := conference.Looked{}
	if listed {
		looked.Until = b.now
	}
	return b.settle(looked, events)
}

func (b *book) settle(looked conference.Looked, events []meeting.Event) []meeting.Event {
	b.tb.Helper()
	told, err := b.Settle(looked, b.world())
	if err != nil {
		b.tb.Fatal(err)
	}
	events = append(events, told...)
	b.facts = append(b.facts, events...)
	return events
}

func (b *book) notice(n conference.Notice) (look bool) {
	b.tb.Helper()
	events, look, err := b.Noticed(&n, b.world())
	if err != nil {
		b.tb.Fatal(err)
	}
	b.settle(conference.Looked{}, events)
	return look
}

func (b *book) state() string {
	if b.Meeting.RecordingReason == "" {
		return b.Meeting.Recording.String()
	}
	return b.Meeting.Recording.String() + " " + b.Meeting.RecordingReason
}

func (b *book) want(state string) {
	b.tb.Helper()
	if got := b.state(); got != state {
		b.tb.Errorf("at %s the recording is %q, want %q", b.now.Sub(start), got, state)
	}
}

// told names the facts.
func told(events []meeting.Event) []string {
	out := make([]string, 0, len(events))
	for _, e := range events {
		out = append(out, reflect.TypeOf(e).Name())
	}
	return out
}

func count[E meeting.Event](events []meeting.Event) int {
	n := 0
	for _, e := range events {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// running is a conference that began after a time and runs.
func running(record string, began time.Duration) conference.Observed {
	return conference.Observed{Record: "conferenceRecords/" + record, Space: "spaces/s", StartedAt: start.Add(began), RecordRead: true}
}

// over is one that has ended.
func over(record string, began, ended time.Duration) conference.Observed {
	o := running(record, began)
	o.EndedAt, o.ExpiresAt = start.Add(ended), start.Add(ended+30*24*time.Hour)
	return o
}

func recording(record string, state conference.ArtifactState, file conference.FileState) conference.ObservedRecording {
	r := conference.ObservedRecording{Name: "conferenceRecords/" + record + "/recordings/r", State: state, StartedAt: start.Add(minute)}
	if state >= conference.ArtifactEnded {
		r.EndedAt = start.Add(29 * minute)
	}
	if state == conference.ArtifactGenerated {
		r.DriveFileID = "file-" + record
	}
	if file != "" {
		r.File = &conference.File{State: file, Name: "x.mp4", DurationSeconds: 1680}
	}
	return r
}

func with(o conference.Observed, rs ...conference.ObservedRecording) conference.Observed {
	o.RecordingsRead, o.Recordings = true, rs
	return o
}

func attended(o conference.Observed, people ...string) conference.Observed {
	o.AttendeesRead = true
	for _, p := range people {
		name := o.Record + "/participants/" + p
		o.Attendees = append(o.Attendees, conference.ObservedAttendee{
			Name: name, Kind: conference.SignedIn, User: "users/" + p, DisplayName: p, Email: p, FirstJoinedAt: o.StartedAt, LastLeftAt: o.EndedAt, SessionsRead: true,
			Sessions: []conference.ObservedSession{{Name: name + "/participantSessions/1", JoinedAt: o.StartedAt, LeftAt: o.EndedAt}},
		})
	}
	return o
}

func TestWhatBecomesOfARecording(t *testing.T) {
	const started, ended, generated = conference.ArtifactStarted, conference.ArtifactEnded, conference.ArtifactGenerated
	for _, c := range []struct {
		name string
		run  func(b *book)
	}{
		{"recorded as it should be", func(b *book) {
			b.at(10*minute).observe(true, with(running("a", 0), recording("a", started, "")))
			b.want("started")
			b.at(32*minute).observe(true, with(over("a", 0, 30*minute), recording("a", ended, "")))
			b.want("ended")
			b.at(35*minute).observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"seen only when all was over", func(b *book) {
			b.at(40*minute).observe(true, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"nobody recorded", func(b *book) {
			b.at(10*minute).observe(true, with(running("a", 0)))
			b.want("expected NOT_STARTED")
			b.at(32*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("expected") // the list may be late
			b.at(50*minute).observe(false, with(over("a", 0, 30*minute)))
			b.want("missing NEVER_STARTED")
		}},
		{"Google refused the setting", func(b *book) {
			b.Meeting.RecordingReason = meeting.ReasonRecordingNotAllowed
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("missing RECORDING_NOT_ALLOWED")
		}},
		{"nobody came", func(b *book) {
			b.at(32 * minute).observe(true)
			b.want("expected")
			b.at(30*minute + 24*time.Hour).observe(false)
			b.want("expected") // nothing was listed
			b.observe(true)
			b.want("missing NOT_HELD")
		}},
		{"there never was a link", func(b *book) {
			b.Meeting.Google = meeting.GoogleCopy{}
			b.at(30*minute + 24*time.Hour).observe(false)
			b.want("missing NOT_PROVISIONED")
		}},
		{"Google shows nothing", func(b *book) {
			b.at(30*minute+24*time.Hour).settle(conference.Looked{Refused: true}, nil)
			b.want("missing NOT_READABLE")
		}},
		{"recorded and no file within a day", func(b *book) {
			b.at(29*time.Hour).observe(true, with(over("a", 0, 30*minute), recording("a", ended, "")))
			b.want("missing FILE_NOT_GENERATED")
		}},
		{"a late file heals", func(b *book) {
			b.at(29*time.Hour).observe(true, with(over("a", 0, 30*minute), recording("a", ended, "")))
			b.observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"a recording found after it was given up heals", func(b *book) {
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("missing NEVER_STARTED")
			b.at(55*minute).observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"the file was trashed, and brought back", func(b *book) {
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute), recording("a", generated, conference.FileTrashed)))
			b.want("missing FILE_DELETED")
			b.at(60*minute).observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"the file is gone after a checked copy was made", func(b *book) {
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.Conferences[0].Recordings[0].Export = conference.ExportVerified
			b.observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FileGone)))
			b.want("verified")
		}},
		{"a second conference reopens", func(b *book) {
			b.at(35*minute).observe(true, with(over("a", 0, 20*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
			b.observe(true, with(running("b", 34*minute), recording("b", started, "")))
			b.want("started")
			b.at(60*minute).observe(true, with(over("b", 34*minute, 55*minute), recording("b", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"a long second conference that nobody recorded", func(b *book) {
			b.at(35*minute).observe(true, with(over("a", 0, 20*minute), recording("a", generated, conference.FilePresent)))
			b.at(100*minute).observe(true, with(over("b", 34*minute, 55*minute)))
			b.want("missing NEVER_STARTED")
		}},
		{"a short look into the room afterwards", func(b *book) {
			b.at(35*minute).observe(true, with(over("a", 0, 20*minute), recording("a", generated, conference.FilePresent)))
			b.at(100*minute).observe(true, with(over("b", 34*minute, 36*minute)))
			b.want("file_generated")
		}},
		{"somebody tried the link the day before", func(b *book) {
			b.at(-20*time.Hour).observe(true, with(over("a", -21*time.Hour, -21*time.Hour+2*minute)))
			b.want("expected")
			b.at(31*minute).observe(true, with(over("b", 0, 30*minute), recording("b", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"held the day before, and not at its time", func(b *book) {
			b.at(-20*time.Hour).observe(true, with(over("a", -21*time.Hour, -21*time.Hour+20*minute)))
			b.at(30*minute + 24*time.Hour).observe(true)
			b.want("missing NEVER_STARTED")
		}},
		{"it starts early and overruns across midnight", func(b *book) {
			b.Meeting.Start, b.Meeting.End = start.Add(8*time.Hour), start.Add(8*time.Hour+50*minute) // 23:00 to 23:50
			b.at(9*time.Hour+20*minute).observe(true, with(running("a", 7*time.Hour+45*minute), recording("a", started, "")))
			b.want("started")
			b.at(10*time.Hour).observe(true, with(over("a", 7*time.Hour+45*minute, 9*time.Hour+50*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"stopped and started again", func(b *book) {
			second := recording("a", ended, "")
			second.Name += "2"
			b.at(40*minute).observe(true, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent), second))
			b.want("ended")
			second = recording("a", generated, conference.FilePresent)
			second.Name += "2"
			b.at(45*minute).observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent), second))
			b.want("file_generated")
		}},
		{"cancelled before anybody came", func(b *book) {
			b.Meeting.Cancel(b.now)
			b.observe(true, with(over("a", 0, 30*minute)))
			b.at(2*time.Hour).observe(true, with(over("a", 0, 30*minute)))
			b.want("not_expected")
		}},
		{"cancelled while it was held", func(b *book) {
			b.at(10*minute).observe(true, with(running("a", 0)))
			b.Meeting.Cancel(b.now)
			b.settle(conference.Looked{}, nil)
			b.want("expected NOT_STARTED")
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("missing NEVER_STARTED")
		}},
		{"cancelled after somebody tried the link", func(b *book) {
			b.at(-20*time.Hour).observe(true, with(over("a", -21*time.Hour, -21*time.Hour+20*minute)))
			b.Meeting.Cancel(b.now)
			b.settle(conference.Looked{}, nil)
			b.want("not_expected")
			b.at(48*time.Hour).observe(true, with(over("a", -21*time.Hour, -21*time.Hour+20*minute)))
			b.want("not_expected")
		}},
		{"cancelled once it was over", func(b *book) {
			b.at(32*minute).observe(true, with(over("a", 0, 30*minute)))
			b.Meeting.Cancel(b.now)
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("missing NEVER_STARTED")
		}},
		{"recorded by hand", func(b *book) {
			b.Meeting.AutoRecord, b.Meeting.Recording = false, meeting.NotExpected
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
			b.observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FileGone)))
			b.want("file_generated") // nobody was promised one
		}},
		{"not to be recorded, and not", func(b *book) {
			b.Meeting.AutoRecord, b.Meeting.Recording = false, meeting.NotExpected
			b.at(50*minute).observe(true, with(over("a", 0, 30*minute)))
			b.want("not_expected")
		}},
		{"without a time", func(b *book) {
			b.Meeting.Start, b.Meeting.End = time.Time{}, time.Time{}
			b.at(-20*time.Hour).observe(true, with(over("a", -21*time.Hour, -20*time.Hour-30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"moved after nobody came", func(b *book) {
			b.at(30*minute + 24*time.Hour).observe(true)
			b.want("missing NOT_HELD")
			b.Meeting.Start, b.Meeting.End = start.Add(48*time.Hour), start.Add(49*time.Hour)
			b.settle(conference.Looked{}, nil)
			b.want("expected")
		}},
		{"Google forgot the record", func(b *book) {
			b.at(10*minute).observe(true, with(running("a", 0), recording("a", started, "")))
			gone := conference.Observed{Record: "conferenceRecords/a", Gone: true}
			b.at(40*24*time.Hour).observe(false, gone)
			b.want("missing FILE_NOT_GENERATED")
		}},
		{"Google did not let it be recorded, and that was told while people were there", func(b *book) {
			b.Meeting.RecordingReason = meeting.ReasonRecordingNotAllowed
			seen := running("a", 0)
			seen.RecordingsRead = true
			told := b.at(10*minute).observe(true, seen)
			b.want("expected RECORDING_NOT_ALLOWED")
			if n := count[conference.NotStartedEvent](told); n != 1 {
				b.tb.Errorf("told %d times", n)
			}
			seen = over("a", 0, 30*minute)
			seen.RecordingsRead = true
			b.at(50*minute).observe(true, seen)
			b.want("missing RECORDING_NOT_ALLOWED")
		}},
		{"Google hides a record while people are there", func(b *book) {
			b.at(5*minute).observe(true, running("a", 0))
			told := b.at(10*minute).observe(false, conference.Observed{Record: "conferenceRecords/a", Gone: true})
			b.want("expected")
			if len(told) != 0 || !b.Conferences[0].EndedAt.IsZero() || !b.Hidden() {
				b.tb.Errorf("told %v, ended %s", told, b.Conferences[0].EndedAt)
			}
			b.at(30*minute+25*time.Hour).settle(conference.Looked{Refused: true}, nil)
			b.want("missing NOT_READABLE")
			b.observe(false, with(over("a", 0, 30*minute), recording("a", generated, conference.FilePresent)))
			b.want("file_generated")
		}},
		{"Google hides a record that was being recorded", func(b *book) {
			b.at(5*minute).observe(true, with(running("a", 0), recording("a", started, "")))
			b.at(40*minute).observe(false, conference.Observed{Record: "conferenceRecords/a", Gone: true})
			b.want("started")
			b.at(30*minute+25*time.Hour).settle(conference.Looked{Refused: true}, nil)
			b.want("missing NOT_READABLE")
		}},
		{"nobody knows whose space it is", func(b *book) {
			b.Meeting.Google.Account = ""
			for _, after := range []time.Duration{10 * minute, 32 * minute, 25 * time.Hour} {
				if p := b.at(after).Plan(b.rules, true, b.now); !p.ListUntil.IsZero() || len(p.Readings) != 0 {
					b.tb.Errorf("%s after the start nobody is to read %+v", after, p)
				}
			}
			if why, _ := b.Result()["not_read"].(string); why == "" {
				b.tb.Error("it is not said that nothing is read")
			}
			b.settle(conference.Looked{}, nil)
			b.want("missing NOT_READABLE")
			if next := b.NextLook(b.rules, b.now); !next.IsZero() {
				b.tb.Errorf("it is looked for ever, next at %s", next)
			}
		}},
		{"the account's listing shows that nobody came", func(b *book) {
			b.Owner.CreatedAt, b.Owner.ListedUntil = start.Add(-48*time.Hour), start.Add(30*minute+24*time.Hour)
			b.at(30*minute + 24*time.Hour)
			if p := b.Plan(b.rules, false, b.now); !p.ListUntil.IsZero() {
				b.tb.Error("it is listed once more")
			}
			b.settle(conference.Looked{}, nil)
			b.want("missing NOT_HELD")
		}},
		{"the account was known too late for its listing to say so", func(b *book) {
			b.Owner.CreatedAt, b.Owner.ListedUntil = start.Add(minute), start.Add(30*minute+24*time.Hour)
			b.at(30*minute+24*time.Hour).settle(conference.Looked{}, nil)
			b.want("expected")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			c.run(b)
		})
	}
}

func TestFactsAreToldOnce(t *testing.T) {
	b := newBook(t)
	whole := attended(with(over("a", 0, 30*minute), recording("a", conference.ArtifactGenerated, conference.FilePresent)), "doctor@clinic.example", "ana@mail.example")
	whole.TranscriptsRead = true
	whole.Transcripts = []conference.ObservedTranscript{{
		Name: "conferenceRecords/a/transcripts/t", State: conference.ArtifactGenerated, EntriesRead: true,
		Entries: []conference.Entry{{Name: "e1", Text: "hola"}, {Name: "e2", Text: "buenas"}},
	}}
	first := told(b.at(60*minute).observe(true, whole))
	slices.Sort(first)
	want := []string{
		"EndedEvent", "FileGeneratedEvent", "JoinedEvent", "JoinedEvent", "LeftEvent", "LeftEvent", "NoShowEvent", "RecordingStartedEvent", "StartedEvent", "TranscriptEvent",
	}
	if !slices.Equal(first, want) {
		t.Errorf("told %v, want %v", first, want)
	}
	if again := told(b.observe(true, whole)); len(again) > 0 {
		t.Errorf("told again: %v", again)
	}
	for _, e := range b.facts {
		switch e := e.(type) {
		case conference.NoShowEvent:
			if e.ParticipantID != 3 || !e.Certain {
				t.Errorf("no show of %d, certain %v; want luis, certain", e.ParticipantID, e.Certain)
			}
		case conference.EndedEvent:
			if e.Conference.AttendeesCount != 2 {
				t.Errorf("%d were there, want 2", e.Conference.AttendeesCount)
			}
		case conference.TranscriptEvent:
			if e.Transcript.EntriesCount != 2 {
				t.Errorf("%d entries, want 2", e.Transcript.EntriesCount)
			}
		}
	}
}

func TestThatNothingIsRecordedIsToldOnceForEachConferenceWhilePeopleAreThere(t *testing.T) {
	b := newBook(t)
	if events := b.at(9*minute+59*time.Second).observe(true, with(running("a", 0))); count[conference.NotStartedEvent](events) != 0 {
		t.Error("told before ten minutes were over")
	}
	if next := b.NextLook(b.rules, b.now); !next.Equal(start.Add(10 * minute)) {
		t.Errorf("the next look is %s after the start, want 10m", next.Sub(start))
	}
	if events := b.at(10*minute).observe(true, with(running("a", 0))); count[conference.NotStartedEvent](events) != 1 {
		t.Error("not told after ten minutes")
	}
	if events := b.at(12*minute).observe(true, with(running("a", 0))); count[conference.NotStartedEvent](events) != 0 {
		t.Error("told twice")
	}
	b.at(15*minute).observe(true, with(over("a", 0, 14*minute)))
	if events := b.at(28*minute).observe(true, with(running("b", 16*minute))); count[conference.NotStartedEvent](events) != 1 {
		t.Error("not told of the second conference")
	}
}

// Whatever comes, doubled, late, in any order or not at all: once everything was read after the end, the same is known.
func TestAnyNoticesFollowedByOneFullReadingEndInTheSame(t *testing.T) {
	people := []string{"doctor@clinic.example", "ana@mail.example", "who"}
	full := func() []conference.Observed {
		a := attended(with(over("a", -2*minute, 20*minute), recording("a", conference.ArtifactGenerated, conference.FilePresent)), people...)
		b := attended(with(over("b", 22*minute, 40*minute), recording("b", conference.ArtifactGenerated, conference.FilePresent)), people[:2]...)
		return []conference.Observed{a, b}
	}
	steps := func(b *book) []func() {
		var out []func()
		notice := func(kind conference.NoticeType, at time.Duration, resource string) {
			out = append(out, func() { b.notice(conference.Notice{Type: kind, At: start.Add(at), Resource: resource}) })
		}
		for _, record := range []string{"a", "b"} {
			name := "conferenceRecords/" + record
			notice(conference.ConferenceStarted, 0, name)
			notice(conference.ConferenceEnded, 21*minute, name)
			notice(conference.RecordingStarted, 3*minute, name+"/recordings/r")
			notice(conference.RecordingEnded, 19*minute, name+"/recordings/r")
			notice(conference.RecordingGenerated, 25*minute, name+"/recordings/r")
			for _, p := range people[:2] {
				notice(conference.ParticipantJoined, 2*minute, name+"/participants/"+p+"/participantSessions/1")
				notice(conference.ParticipantLeft, 18*minute, name+"/participants/"+p+"/participantSessions/1")
			}
		}
		for _, o := range []conference.Observed{
			running("a", -2*minute), with(running("a", -2*minute)), with(running("a", -2*minute), recording("a", conference.ArtifactStarted, "")),
			with(over("a", -2*minute, 20*minute), recording("a", conference.ArtifactEnded, "")), running("b", 22*minute),
			with(running("b", 22*minute), recording("b", conference.ArtifactStarted, "")),
		} {
			out = append(out, func() { b.observe(true, o) })
		}
		return out
	}
	reference := newBook(t)
	reference.at(60*minute).observe(true, full()...)
	want := rows(reference)
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		b := newBook(t)
		todo := steps(b)
		todo = append(todo, todo[rnd.IntN(len(todo))], todo[rnd.IntN(len(todo))]) // doubled
		rnd.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		todo = todo[:rnd.IntN(len(todo)+1)] // lost
		for i, step := range todo {
			b.at(time.Duration(i) * minute)
			step()
		}
		b.at(60*minute).observe(true, full()...)
		late := steps(b)
		for range 5 { // and what comes after it changes nothing
			late[rnd.IntN(len(late))]()
		}
		if got := rows(b); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: known is\n%v\nwant\n%v", seed, got, want)
		}
		if n := count[conference.StartedEvent](b.facts); n != 2 {
			t.Fatalf("seed %d: %d conferences were told to have started, want 2", seed, n)
		}
		if n := count[conference.EndedEvent](b.facts); n != 2 {
			t.Fatalf("seed %d: %d conferences were told to have ended, want 2", seed, n)
		}
		if n := count[conference.FileGeneratedEvent](b.facts); n != 2 {
			t.Fatalf("seed %d: %d files were told of, want 2", seed, n)
		}
		if n := count[conference.JoinedEvent](b.facts); n != 5 {
			t.Fatalf("seed %d: %d were told to have joined, want 5", seed, n)
		}
		if n := count[conference.NoShowEvent](b.facts); n != 1 {
			t.Fatalf("seed %d: %d were told to have missed it, want 1", seed, n)
		}
	}
}

// rows is what is known, without its numbers and without when and how it became known.
func rows(b *book) []string {
	var out []string
	for _, c := range b.Conferences {
		out = append(out, fmt.Sprintf("%s %s %s %v %v", c.Record, c.StartedAt, c.EndedAt, c.EndExact, c.ExpiresAt))
		rs := slices.Clone(c.Recordings)
		slices.SortFunc(rs, func(a, b *conference.Recording) int { return len(a.Name) - len(b.Name) })
		for _, r := range rs {
			out = append(out, fmt.Sprintf("%s %d %s %s %s %s", r.Name, r.State, r.StartedAt, r.EndedAt, r.DriveFileID, r.File.State))
		}
		people := slices.Clone(c.Attendees)
		slices.SortFunc(people, func(a, b *conference.Attendee) int { return slices.Compare([]byte(a.Name), []byte(b.Name)) })
		for _, a := range people {
			out = append(out, fmt.Sprintf("%s %s %s %s %s %d %s", a.Name, a.Kind, a.Email, a.FirstJoinedAt, a.LastLeftAt, a.ParticipantID, a.Match))
			for _, s := range a.Sessions {
				out = append(out, fmt.Sprintf("%s %s %s %v", s.Name, s.JoinedAt, s.LeftAt, s.Exact))
			}
		}
	}
	return append(out, b.state(), fmt.Sprint(b.Meeting.HasRecording), b.Meeting.ConferenceRecordID)
}

func TestEndedConferencesAreNotTakenUpAgainByLateReadings(t *testing.T) {
	b := newBook(t)
	b.at(31*minute).observe(true, over("a", 0, 30*minute))
	b.observe(true, running("a", 0))
	if c := b.Conferences[0]; c.EndedAt.IsZero() || !c.EndExact {
		t.Errorf("it ended at %s, exact %v", c.EndedAt, c.EndExact)
	}
}

func TestAFileNoticeIsAReasonToLook(t *testing.T) {
	b := newBook(t)
	b.at(10*minute).observe(true, running("a", 0))
	if look := b.notice(conference.Notice{Type: conference.RecordingGenerated, At: b.now, Resource: "conferenceRecords/a/recordings/r"}); !look {
		t.Error("nobody looks at the file")
	}
	if look := b.notice(conference.Notice{Type: conference.RecordingGenerated, At: b.now, Resource: "conferenceRecords/other/recordings/r"}); look {
		t.Error("a conference that is not known is looked at")
	}
	b.want("expected")
}

func TestNoticesNameTheirConferenceAndPerson(t *testing.T) {
	for _, c := range []struct{ resource, record, attendee string }{
		{"conferenceRecords/a", "conferenceRecords/a", ""},
		{"conferenceRecords/a/participants/p/participantSessions/s", "conferenceRecords/a", "conferenceRecords/a/participants/p"},
		{"conferenceRecords/a/participants/p", "conferenceRecords/a", ""},
		{"conferenceRecords/", "", ""},
		{"spaces/a", "", ""},
		{"", "", ""},
	} {
		n := conference.Notice{Resource: c.resource}
		if n.Record() != c.record || n.Attendee() != c.attendee {
			t.Errorf("%q is about %q and %q, want %q and %q", c.resource, n.Record(), n.Attendee(), c.record, c.attendee)
		}
	}
}
