package conference

import (
	"slices"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// When is looked, by the times of the meeting and of what was held. Without notices it is looked at Google whether people came
// and whether it is recorded; with them only where one would have been missed.
var (
	// afterStart: did anybody come, and is it recorded?
	afterStart = []time.Duration{10 * time.Minute, 20 * time.Minute}
	// afterEnd: is the file there? For an hour the pauses keep what is found within a quarter of an hour of its being there.
	afterEnd = append([]time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 35 * time.Minute, 50 * time.Minute}, afterHour...)
	// afterEndHeard is the same where notices tell of the file, and one may be lost.
	afterEndHeard = append([]time.Duration{12 * time.Minute, 24 * time.Minute, 36 * time.Minute, 48 * time.Minute}, afterHour...)
	afterHour     = []time.Duration{
		time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 5 * time.Hour, 6 * time.Hour, 12 * time.Hour, 18 * time.Hour, fileWithin,
	}
	// afterUnrecorded: is there a recording that was not seen while people were there?
	afterUnrecorded = []time.Duration{2 * time.Minute, emptyAfter}
	// afterUnheld: did anybody come late?
	afterUnheld = []time.Duration{endPause, time.Hour, 4 * time.Hour, 10 * time.Hour}
)

const (
	// filePause is how long is waited after a look that should have told all and did not.
	filePause = 12 * time.Minute
	// endPause is between the end that is expected and the look whether it has come; with notices healthyEndPause.
	endPause, healthyEndPause = 2 * time.Minute, 10 * time.Minute
	// silence is how long after the end of its recording a conference may be over without that being known.
	silence = 5 * time.Minute
	// overrun is how often is looked whether a conference that takes longer is over; with notices healthyOverrun.
	overrun, healthyOverrun = 10 * time.Minute, 20 * time.Minute
	// before is how long before its start a meeting may begin and still be found by the looks at it.
	before = 2 * time.Hour
	// breath is the shortest time from one look to the next.
	breath = 30 * time.Second
	// justListed is how old a listing of the whole account may be that spares another.
	justListed = 5 * time.Minute
)

// FirstLook is when a new meeting is first looked after.
func FirstLook(m *meeting.Meeting) time.Time {
	return latest(m.WantedStart().Add(afterStart[0]), m.CreatedAt.Add(time.Minute))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// NextLook is the next moment at which something is to be looked at; zero: nothing more is to come.
func (l *Ledger) NextLook(rules Rules, now time.Time) time.Time {
	var next time.Time
	add := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	healthy := l.Owner.Healthy(now)
	for _, c := range l.Conferences {
		add(l.nextOf(c, rules, healthy, now))
	}
	if l.calledOff() {
		return next
	}
	held, _, _, _ := l.held(now)
	switch {
	case held == 0 && l.Meeting.Recording != meeting.Missing:
		add(l.nextUnheld(healthy, now))
	case held > 0 && !healthy && !l.timeOver().IsZero():
		// Another conference may have begun after the last one ended.
		if at := l.timeOver().Add(endPause); at.After(now) {
			add(at)
		}
	}
	return next
}

// nextUnheld is when to look whether anybody has come.
func (l *Ledger) nextUnheld(healthy bool, now time.Time) time.Time {
	m := l.Meeting
	start, end, over := m.WantedStart(), m.WantedEnd(), l.givenUp()
	looks := []time.Time{start.Add(afterStart[0])}
	if !healthy {
		looks = append(looks, start.Add(afterStart[1]))
	}
	for _, after := range afterUnheld {
		looks = append(looks, end.Add(after))
		if healthy { // somebody who comes later is heard of
			break
		}
	}
	slices.SortFunc(looks, time.Time.Compare)
	for _, at := range looks {
		if at.After(now) {
			return at
		}
	}
	if !now.Before(over) {
		return now // once more, and for good
	}
	return over
}

// nextOf is when to look at one conference; zero: all is known.
func (l *Ledger) nextOf(c *Conference, rules Rules, healthy bool, now time.Time) time.Time {
	if c.Gone(now) {
		return time.Time{}
	}
	if c.EndedAt.IsZero() {
		at := l.nextWhether(c, healthy, now)
		if !l.calledOff() && len(c.Recordings) == 0 && !c.NotStartedTold {
			at = earliest(at, latest(c.StartedAt.Add(notStartedAfter), now))
		}
		return at
	}
	if !c.open(rules) {
		return time.Time{}
	}
	since := now.Sub(c.EndedAt)
	if since >= fileWithin {
		return now
	}
	if c.endLearnt && since > silence && c.wantsRecordings() && len(c.Recordings) > 0 {
		return now.Add(breath) // the file may have been there for long
	}
	looks := afterEnd
	switch {
	case len(c.Recordings) == 0 && healthy:
		looks = afterUnrecorded[1:]
	case len(c.Recordings) == 0:
		looks = afterUnrecorded
	case healthy:
		looks = afterEndHeard
	}
	for _, after := range looks {
		if after > since {
			return c.EndedAt.Add(after)
		}
	}
	return earliest(now.Add(filePause), c.EndedAt.Add(fileWithin)) // what an empty list leaves open
}

// nextWhether is when to look whether a conference is over.
func (l *Ledger) nextWhether(c *Conference, healthy bool, now time.Time) time.Time {
	pause, again := endPause, overrun
	if healthy {
		pause, again = healthyEndPause, healthyOverrun
	}
	next := now.Add(again)
	if at := l.endOf(c).Add(pause); at.After(now) {
		next = at
	}
	if at := c.silent(); at.After(now) {
		next = earliest(next, at)
	}
	return next
}

// silent is when a conference that is not known to be over has had no recording under way for long; zero: it has one, or had none.
func (c *Conference) silent() time.Time {
	var last time.Time
	for _, r := range c.Recordings {
		if r.State == ArtifactStarted || r.EndedAt.IsZero() {
			return time.Time{}
		}
		last = latest(last, r.EndedAt)
	}
	if last.IsZero() {
		return last
	}
	return last.Add(silence)
}

// endOf is when a conference that runs may be expected to end: with the meeting, or after as long as the meeting was to take.
func (l *Ledger) endOf(c *Conference) time.Time {
	start, end := l.Meeting.WantedStart(), l.Meeting.WantedEnd()
	if c.StartedAt.Before(end) && !c.StartedAt.Before(start.Add(-before)) {
		return end
	}
	return c.StartedAt.Add(clampDuration(end.Sub(start), 10*time.Minute, 2*time.Hour))
}

func clampDuration(d, least, most time.Duration) time.Duration { return max(least, min(d, most)) }

// open: more is to be read of a conference that is over. Beyond a day after its end, once is enough.
func (c *Conference) open(rules Rules) bool {
	return c.wantsRecordings() || c.wantsAttendees(rules) || c.wantsTranscripts(rules)
}

func (c *Conference) lastRead(at time.Time) bool { return !at.Before(c.EndedAt.Add(fileWithin)) }

func (c *Conference) wantsRecordings() bool {
	if c.lastRead(c.RecordingsReadAt) {
		return false
	}
	return c.RecordingsReadAt.IsZero() || slices.ContainsFunc(c.Recordings, (*Recording).unsettled)
}

func (c *Conference) wantsAttendees(rules Rules) bool {
	if c.lastRead(c.AttendeesReadAt) {
		return false
	}
	return c.AttendeesReadAt.IsZero() || rules.Sessions && c.SessionsReadAt.IsZero()
}

func (c *Conference) wantsTranscripts(rules Rules) bool {
	if c.lastRead(c.TranscriptsReadAt) {
		return false
	}
	switch rules.Transcripts {
	case TranscriptsAlways:
		return c.TranscriptsReadAt.IsZero() || c.transcriptsOpen()
	case TranscriptsTold:
		return c.transcriptsOpen()
	case TranscriptsNever:
	}
	return false
}

// Plan is what to read at Google for one meeting.
type Plan struct {
	// List the conferences of the account that began from ListFrom until ListUntil; zero: no listing.
	ListFrom, ListUntil time.Time
	Readings            []Ask
	// Fresh is what to read of conferences in FreshSpace that the listing shows and that are not known.
	Fresh      Ask
	FreshSpace string
}

// listed: a listing of the whole account has just shown that nobody came, or that nobody did for as long as is waited.
func (l *Ledger) listed(now time.Time) bool {
	until := l.listedUntil()
	if over := l.givenUp(); !now.Before(over) {
		return !until.Before(over)
	}
	return !until.Before(now.Add(-justListed))
}

// listedUntil is until when the account's listings are known to have shown what was held of this meeting; zero: not at all.
func (l *Ledger) listedUntil() time.Time {
	o := &l.Owner
	since := latest(l.Meeting.CreatedAt, l.Meeting.WantedStart().Add(-before))
	if o.ListedUntil.IsZero() || o.CreatedAt.After(since.Add(time.Hour)) { // listings begin an hour before the account was known
		return time.Time{}
	}
	return o.ListedUntil
}

// Ask is what to read of one conference. What is read of people and transcripts is only read of one that is over: Ended says so,
// or the listing does.
type Ask struct {
	Record                                                      string
	RecordItself, Recordings, Files, Attendees, Sessions, Ended bool
	Transcripts, Entries                                        bool
}

// uncopied: all that there is of it is its file, and no copy is being made.
func (r *Recording) uncopied() bool {
	switch r.Export {
	case ExportNone, ExportFailed, ExportMismatch, ExportGone:
		return r.DriveFileID != ""
	case ExportPending, ExportExported, ExportVerified, ExportDeleted:
	}
	return false
}

// Plan says what to read now. asked: somebody asked for it, so that it is read whatever is known.
func (l *Ledger) Plan(rules Rules, asked bool, now time.Time) Plan {
	var p Plan
	if l.Meeting.Google.Account == "" { // what nobody is shown says nothing about what was held
		return p
	}
	if l.Meeting.Google.Space == "" && len(l.Conferences) == 0 { // nothing can have been held
		return p
	}
	healthy := l.Owner.Healthy(now)
	held, running, _, _ := l.held(now)
	list := asked || held == 0 && !l.calledOff() && !l.listed(now)
	from := l.Meeting.WantedStart().Add(-before)
	if over := l.timeOver(); held > 0 && !healthy && !running && !over.IsZero() && !now.Before(over) && now.Before(over.Add(emptyAfter)) {
		list = true
	}
	for _, c := range l.Conferences {
		if c.Gone(now) {
			continue
		}
		ask := Ask{Record: c.Record, Ended: !c.EndedAt.IsZero()}
		if !ask.Ended {
			over := !now.Before(l.endOf(c))
			if at := c.silent(); !at.IsZero() && !now.Before(at) {
				over = true
			}
			list = list || over || asked
			ask.Recordings = len(c.Recordings) == 0 && (asked || over || !l.calledOff() && !now.Before(c.StartedAt.Add(notStartedAfter)))
			ask.Files, ask.Attendees, ask.Sessions = ask.Recordings, over || asked, rules.Sessions && (over || asked)
			ask.Transcripts = (over || asked) && (rules.Transcripts == TranscriptsAlways || rules.Transcripts == TranscriptsTold && len(c.Transcripts) > 0)
		} else {
			list = list || !c.EndExact && !healthy
			ask.Recordings, ask.Attendees, ask.Transcripts = c.wantsRecordings() || asked, c.wantsAttendees(rules), c.wantsTranscripts(rules)
			ask.Files, ask.Sessions = ask.Recordings, rules.Sessions && ask.Attendees
		}
		ask.Entries = ask.Transcripts
		if !ask.Ended || !c.EndExact {
			from = earliest(from, c.StartedAt)
		}
		if ask.Recordings || ask.Attendees || ask.Transcripts {
			p.Readings = append(p.Readings, ask)
		}
	}
	if len(p.Readings) == 0 && !list { // all is known: is the file still there, or has it come?
		for _, c := range l.Conferences {
			if !c.Gone(now) && slices.ContainsFunc(c.Recordings, func(r *Recording) bool { return r.unsettled() || r.uncopied() }) {
				p.Readings = append(p.Readings, Ask{Record: c.Record, Ended: true, Recordings: true, Files: true})
			}
		}
	}
	if list {
		p.ListFrom, p.ListUntil = latest(from, now.Add(-keptByGoogle)), now
		p.FreshSpace = l.Meeting.Google.Space
		p.Fresh = Ask{
			Recordings: true, Files: true, Attendees: true, Sessions: rules.Sessions,
			Transcripts: rules.Transcripts == TranscriptsAlways, Entries: rules.Transcripts == TranscriptsAlways,
		}
		if p.ListFrom.After(now) { // a check that somebody asked for before the meeting
			p.ListFrom = l.Meeting.CreatedAt
		}
	}
	return p
}
