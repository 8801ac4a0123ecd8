package conference_test

import (
	"slices"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// truth is what happens to the meeting of a book at Google.
type truth struct {
	began, ended time.Duration // of the conference; both 0: nobody comes
	recorded     bool
	fileAfter    time.Duration // the end of the conference; 0: never
}

// play lets the check row be looked after until it is done, and counts the calls to Google; heard are notices on their way, by
// when they come.
func play(b *book, tr truth, heard map[time.Duration]conference.Notice) (calls int, looks []time.Duration) {
	b.tb.Helper()
	b.rules.Sessions = false
	b.Check = conference.NewCheck("0198a0a0-0000-7000-8000-000000000001", b.Meeting.ID, conference.FirstLook(b.Meeting), b.now)
	pending := make([]time.Duration, 0, len(heard))
	for at := range heard {
		pending = append(pending, at)
	}
	slices.Sort(pending)
	for range 500 {
		if len(pending) > 0 && (b.Check.State == meeting.JobDone || !start.Add(pending[0]).After(b.Check.DueAt)) {
			n := heard[pending[0]]
			b.at(pending[0])
			pending = pending[1:]
			n.At = b.now
			if b.Find(n.Record()) == nil { // the account's reading is due at once: one listing
				calls++
				b.observe(false, tr.at(b.now.Sub(start), false)...)
			}
			b.Owner.Noticed(&n, false, b.now)
			look := b.notice(n)
			b.Replan(b.rules, b.now)
			if look {
				b.Look(b.now.Add(5 * time.Second))
			}
			continue
		}
		if b.Check.State == meeting.JobDone {
			return calls, looks
		}
		b.now = b.Check.DueAt
		b.Check.Send(b.now)
		looks = append(looks, b.now.Sub(start))
		p := b.Plan(b.rules, false, b.now)
		var seen []conference.Observed
		read := func(o conference.Observed, ask conference.Ask) conference.Observed {
			truly := tr.at(b.now.Sub(start), true)[0]
			if ask.Recordings {
				calls++
				o.RecordingsRead, o.Recordings = true, truly.Recordings
				for _, r := range o.Recordings {
					if r.DriveFileID != "" {
						calls++
					}
				}
			}
			if ask.Attendees && (ask.Ended || !o.EndedAt.IsZero()) {
				calls++
				o.AttendeesRead, o.Attendees = true, truly.Attendees
			}
			return o
		}
		if !p.ListUntil.IsZero() {
			calls++
			for _, o := range tr.at(b.now.Sub(start), false) {
				if o.StartedAt.Before(p.ListFrom) {
					b.tb.Errorf("a listing from %s misses the conference", p.ListFrom)
				}
				ask := p.Fresh
				for _, known := range p.Readings {
					ask = known
				}
				seen = append(seen, read(o, ask))
			}
		} else {
			for _, ask := range p.Readings {
				seen = append(seen, read(conference.Observed{Record: ask.Record}, ask))
			}
		}
		b.observe(!p.ListUntil.IsZero(), seen...)
		if !b.Checked(b.Check.Dispatch, nil, b.rules, b.now) {
			b.tb.Fatal("the outcome was not taken")
		}
	}
	b.tb.Fatalf("it is looked at for ever: %v", looks[len(looks)-10:])
	return 0, nil
}

// at is what Google shows then; whole: with what was recorded and who came.
func (tr truth) at(now time.Duration, whole bool) []conference.Observed {
	if tr.ended == 0 || now < tr.began {
		return nil
	}
	o := running("a", tr.began)
	if now >= tr.ended {
		o = over("a", tr.began, tr.ended)
	}
	if !whole {
		return []conference.Observed{o}
	}
	if tr.recorded && now >= tr.began+minute {
		state := conference.ArtifactStarted
		if now >= tr.ended {
			state = conference.ArtifactEnded
		}
		file := conference.FileState("")
		if tr.fileAfter > 0 && now >= tr.ended+tr.fileAfter {
			state, file = conference.ArtifactGenerated, conference.FilePresent
		}
		o = with(o, recording("a", state, file))
	}
	return []conference.Observed{attended(o, "doctor@clinic.example", "ana@mail.example")}
}

// heardOf are the notices of a conference as they come when none is lost.
func (tr truth) heardOf() map[time.Duration]conference.Notice {
	heard := map[time.Duration]conference.Notice{ //nolint:exhaustive // a duration is no enumeration
		tr.began + 2*time.Second:  {Type: conference.ConferenceStarted, Resource: "conferenceRecords/a"},
		tr.began + 20*time.Second: {Type: conference.ParticipantJoined, Resource: "conferenceRecords/a/participants/doctor@clinic.example/participantSessions/1"},
		tr.ended + 2*time.Second:  {Type: conference.ConferenceEnded, Resource: "conferenceRecords/a"},
	}
	if tr.recorded {
		heard[tr.began+minute+2*time.Second] = conference.Notice{Type: conference.RecordingStarted, Resource: "conferenceRecords/a/recordings/r"}
		heard[tr.ended+tr.fileAfter+2*time.Second] = conference.Notice{Type: conference.RecordingGenerated, Resource: "conferenceRecords/a/recordings/r"}
	}
	return heard
}

func TestCallsForAMeetingStayWithinTheBudget(t *testing.T) {
	usual := truth{began: 0, ended: 30 * minute, recorded: true, fileAfter: 3 * minute}
	without := func(lost ...conference.NoticeType) func(truth) map[time.Duration]conference.Notice {
		return func(tr truth) map[time.Duration]conference.Notice {
			heard := tr.heardOf()
			for at, n := range heard {
				if slices.Contains(lost, n.Type) {
					delete(heard, at)
				}
			}
			return heard
		}
	}
	all := truth.heardOf
	none := func(truth) map[time.Duration]conference.Notice { return nil }
	for _, c := range []struct {
		name    string
		truth   truth
		heard   func(truth) map[time.Duration]conference.Notice
		healthy bool
		most    int
		state   string
	}{
		{"with all notices", usual, all, true, 4, "file_generated"},
		{"the start was not heard of", usual, without(conference.ConferenceStarted), true, 5, "file_generated"},
		{"the recording's start was not heard of", usual, without(conference.RecordingStarted), true, 5, "file_generated"},
		{"the end was not heard of", usual, without(conference.ConferenceEnded), true, 5, "file_generated"},
		{"the file was not heard of", usual, without(conference.RecordingGenerated), true, 5, "file_generated"},
		{"nobody recorded", truth{ended: 30 * minute}, all, true, 5, "missing NEVER_STARTED"},
		{"nobody came", truth{}, none, true, 3, "missing NOT_HELD"},
		{"an overrun by half an hour", truth{ended: 60 * minute, recorded: true, fileAfter: 3 * minute}, all, true, 6, "file_generated"},
		{"without notices", usual, none, false, 8, "file_generated"},
		{"nobody recorded, without notices", truth{ended: 30 * minute}, none, false, 8, "missing NEVER_STARTED"},
		{"nobody came, without notices", truth{}, none, false, 8, "missing NOT_HELD"},
		{"a file that never comes, without notices", truth{ended: 30 * minute, recorded: true}, none, false, 22, "missing FILE_NOT_GENERATED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			if c.healthy {
				b.Owner.Subscription = conference.Subscription{Name: "subscriptions/1", State: conference.SubscriptionActive, ExpiresAt: start.Add(7 * 24 * time.Hour)}
			}
			var heard map[time.Duration]conference.Notice
			if c.truth.ended > 0 {
				heard = c.heard(c.truth)
			}
			calls, looks := play(b, c.truth, heard)
			t.Logf("%d calls, looked at %v", calls, looks)
			if calls > c.most {
				t.Errorf("%d calls, want at most %d; looked at %v", calls, c.most, looks)
			}
			b.want(c.state)
		})
	}
}

func TestAFileIsKnownWithinAQuarterOfAnHour(t *testing.T) {
	for after := minute; after < time.Hour; after += 3 * minute {
		b := newBook(t)
		tr := truth{ended: 30 * minute, recorded: true, fileAfter: after}
		play(b, tr, nil)
		r := b.Conferences[0].Recordings[0]
		if waited := r.AvailableAt.Sub(start.Add(tr.ended + after)); waited > 15*minute {
			t.Errorf("a file that is there %s after the end is known %s later", after, waited)
		}
	}
}

func TestThatNothingIsRecordedIsToldInTimeAlsoWithoutNotices(t *testing.T) {
	for _, began := range []time.Duration{-minute, 0, 3 * minute, 8 * minute} {
		b := newBook(t)
		play(b, truth{began: began, ended: 40 * minute}, nil)
		if n := count[conference.NotStartedEvent](b.facts); n != 1 {
			t.Errorf("begun at %s: told %d times", began, n)
		}
	}
}

func TestARescheduleMovesTheNextLook(t *testing.T) {
	b := newBook(t)
	b.Check = conference.NewCheck("id", 7, conference.FirstLook(b.Meeting), b.now)
	b.Meeting.Start, b.Meeting.End = start.Add(time.Hour), start.Add(2*time.Hour)
	b.at(-time.Hour).Replan(b.rules, b.now)
	if want := start.Add(time.Hour + 10*minute); !b.Check.DueAt.Equal(want) {
		t.Errorf("due at %s, want %s", b.Check.DueAt, want)
	}
	b.Meeting.Cancel(b.now)
	b.settle(conference.Looked{}, nil)
	if b.Replan(b.rules, b.now); b.Check.State != meeting.JobDone {
		t.Errorf("a cancelled meeting's check is %s", b.Check.State)
	}
}

func TestAWishToLookWhileTheCheckIsOutIsKept(t *testing.T) {
	b := newBook(t)
	b.Check = conference.NewCheck("id", 7, b.now, b.now)
	b.Check.Send(b.now)
	b.now = b.now.Add(10 * time.Second)
	b.Look(b.now.Add(5 * time.Second))
	b.now = b.now.Add(time.Second)
	b.observe(false)
	b.Checked(1, nil, b.rules, b.now)
	if b.Check.State != meeting.JobDue || b.Check.DueAt.After(b.now.Add(5*time.Second)) {
		t.Errorf("the check is %s, due %s later", b.Check.State, b.Check.DueAt.Sub(b.now))
	}
}

func TestOutcomesOfOldDispatchesMoveNothing(t *testing.T) {
	b := newBook(t)
	b.Check = conference.NewCheck("id", 7, b.now, b.now)
	b.Check.Send(b.now)
	b.Check.Send(b.now.Add(time.Second))
	if b.Checked(1, nil, b.rules, b.now) || b.Check.State != meeting.JobOut {
		t.Errorf("the outcome of the first dispatch was taken, and the check is %s", b.Check.State)
	}
}

func TestACheckThatFailsIsTriedAgain(t *testing.T) {
	b := newBook(t)
	b.Check = conference.NewCheck("id", 7, b.now, b.now)
	for range 3 {
		d := b.Check.Send(b.now)
		b.Checked(d, &meeting.OutcomeFailure{Code: "X", RetryAt: b.now.Add(minute)}, b.rules, b.now)
		if b.Check.State != meeting.JobDue || !b.Check.DueAt.Equal(b.now.Add(minute)) {
			t.Fatalf("after a failure it is %s, due %s later", b.Check.State, b.Check.DueAt.Sub(b.now))
		}
	}
	d := b.Check.Send(b.now)
	b.Checked(d, &meeting.OutcomeFailure{Code: "X", Permanent: true}, b.rules, b.now)
	if b.Check.State != meeting.JobDue || !b.Check.DueAt.Equal(b.now.Add(time.Hour)) {
		t.Errorf("after a refusal it is %s, due %s later, want an hour", b.Check.State, b.Check.DueAt.Sub(b.now))
	}
}

func TestAFileIsKnownInTimeAlsoWhereTheNoticesOfItAndOfTheEndAreLost(t *testing.T) {
	active := conference.Subscription{Name: "subscriptions/1", State: conference.SubscriptionActive, ExpiresAt: start.Add(7 * 24 * time.Hour)}
	for _, ended := range []time.Duration{8 * minute, 15 * minute, 30 * minute, 38 * minute, 55 * minute} {
		b := newBook(t)
		b.Owner.Subscription = active
		tr := truth{ended: ended, recorded: true, fileAfter: 3 * minute}
		heard := tr.heardOf()
		for at, n := range heard {
			switch n.Type { //nolint:exhaustive // the others are heard
			case conference.RecordingGenerated, conference.ConferenceEnded:
				delete(heard, at)
			}
		}
		heard[ended+2*time.Second] = conference.Notice{Type: conference.RecordingEnded, Resource: "conferenceRecords/a/recordings/r"}
		calls, looks := play(b, tr, heard)
		if waited := b.Conferences[0].Recordings[0].AvailableAt.Sub(start.Add(ended + tr.fileAfter)); waited > 15*minute || calls > 6 {
			t.Errorf("ended after %s: the file is known %s later, after %d calls at %v", ended, waited, calls, looks)
		}
	}
}
