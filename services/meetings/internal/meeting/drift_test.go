package meeting

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// calendarMeeting is in sync with its event.
func calendarMeeting() *Meeting {
	start := time.Date(2026, 12, 1, 15, 0, 0, 0, time.UTC)
	m := &Meeting{
		ID: 7, UID: "u", OrganizerEmail: "doctor@clinic.example", Summary: "Visit", Description: "Room 2", Start: start, End: start.Add(time.Hour),
		Guests: []string{"ana@x.example", "bob@x.example"}, Status: Created, Provisioning: Ready, GoogleSync: SyncOK, Recording: Expected,
		CreateCalendarEvent: true, Version: 4, WantedVersion: 3, Generation: 1, CreatedAt: start.AddDate(0, 0, -1),
		Google: GoogleCopy{
			CalendarID: "primary", EventID: "e1", EventEtag: `"5"`, MeetLink: "https://meet.google.com/aaa-bbbb-ccc", MeetingCode: "aaa-bbbb-ccc", Space: "spaces/1",
			EventVersion: 3, SettingsVersion: 3, AutoRecording: "ON", EventDigest: "d", Account: "doctor@clinic.example", EventUpdated: start.Add(-time.Hour), EventShown: "s.d",
		},
		Job:    Job{ID: "j", State: JobDone, Dispatch: 2},
		People: []Person{{ID: 1, Email: "doctor@clinic.example"}, {ID: 2, Email: "ana@x.example"}, {ID: 3, Email: "bob@x.example"}},
	}
	m.countParticipants()
	return m
}

// asSeen is the meeting's event as Google shows it after somebody touched it.
func asSeen(m *Meeting) Snapshot {
	return Snapshot{
		EventID: m.Google.EventID, MeetingUID: m.UID, Etag: `"6"`, Updated: m.Google.EventUpdated.Add(time.Minute), Summary: m.Summary, Description: m.Description,
		Start: m.Start, End: m.End, Guests: []Answer{{"bob@x.example", "needsAction"}, {"ANA@x.example", "needsAction"}}, Shown: m.Google.EventShown,
	}
}

func kinds(events []Event) string {
	var names []string
	for _, e := range events {
		name := strings.TrimSuffix(reflect.TypeOf(e).Name(), "Event")
		if d, ok := e.(DriftedEvent); ok {
			name += fmt.Sprint(d.Fields)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestWhatIsNoDrift(t *testing.T) {
	for name, test := range map[string]struct {
		meeting  func(*Meeting)
		snapshot func(*Snapshot)
	}{
		"nothing but a touch":        {nil, func(*Snapshot) {}},
		"our own write":              {nil, func(s *Snapshot) { s.Etag, s.Summary = `"5"`, "x" }},
		"a stale read":               {nil, func(s *Snapshot) { s.Updated, s.Summary = s.Updated.Add(-2*time.Minute), "x" }},
		"another generation":         {nil, func(s *Snapshot) { s.EventID, s.Cancelled = "e0", true }},
		"a text stored otherwise":    {func(m *Meeting) { m.Description = "a\r\nb" }, func(s *Snapshot) { s.Description = "a\nb" }},
		"parts of a second":          {func(m *Meeting) { m.Start = m.Start.Add(time.Millisecond) }, func(*Snapshot) {}},
		"the organizer stands on it": {nil, func(s *Snapshot) { s.Guests = append(s.Guests, Answer{"Doctor@clinic.example", "needsAction"}) }},
		"the account stands on it":   {func(m *Meeting) { m.Google.Account = "admin@x.example" }, func(s *Snapshot) { s.Guests = append(s.Guests, Answer{"admin@x.example", "needsAction"}) }},
		"no title":                   {func(m *Meeting) { m.Summary = "" }, func(s *Snapshot) { s.Summary = DefaultSummary }},
		"no times": {func(m *Meeting) { m.Start, m.End = time.Time{}, time.Time{} }, func(s *Snapshot) {
			s.Start, s.End = s.Start.AddDate(0, 0, -1).Add(time.Hour), s.Start.AddDate(0, 0, -1).Add(2*time.Hour)
		}},
		"a refused change":             {func(m *Meeting) { m.GoogleSync, m.Failure.Code = SyncFailed, "GOOGLE_PERMISSION_DENIED" }, func(s *Snapshot) { s.Summary = "x" }},
		"the deletion that was wished": {func(m *Meeting) { m.Status = Cancelled }, func(s *Snapshot) { *s = Snapshot{EventID: "e1", Etag: `"9"`, Updated: s.Updated, Cancelled: true} }},
	} {
		for _, p := range []DriftPolicy{Adopt, Restore, Alert} {
			t.Run(name+" "+p.String(), func(t *testing.T) {
				m := calendarMeeting()
				s := asSeen(m)
				if test.meeting != nil {
					test.meeting(m)
				}
				test.snapshot(&s)
				version, wanted, job := m.Version, m.WantedVersion, m.Job.State
				if events := m.Noticed(s, p, s.Updated); len(events) > 0 || m.Version != version || m.WantedVersion != wanted || m.Job.State != job {
					t.Errorf("%s, version %d, wanted %d, job %s", kinds(events), m.Version, m.WantedVersion, m.Job.State)
				}
			})
		}
	}
}

func TestEachPolicyDoesAsItSays(t *testing.T) {
	edit := func(s *Snapshot) {
		s.Start, s.End, s.Summary, s.Shown = s.Start.Add(time.Hour), s.End.Add(time.Hour), "Theirs", "t.d"
		s.Guests = []Answer{{"ana@x.example", "accepted"}, {"new@x.example", "declined"}}
	}
	drop := func(s *Snapshot) {
		*s = Snapshot{EventID: s.EventID, Etag: s.Etag, Updated: s.Updated, Cancelled: true}
	}
	const fields = "[scheduled_start scheduled_end summary invited_emails]"
	for name, test := range map[string]struct {
		policy DriftPolicy
		what   func(*Snapshot)
		events string
		want   func(*Meeting) bool
	}{
		"adopt an edit": {Adopt, edit, "Responded Drifted" + fields + " Rescheduled Updated", func(m *Meeting) bool {
			return m.Summary == "Theirs" && m.Start.Hour() == 16 && slices.Equal(m.Guests, []string{"ana@x.example", "new@x.example"}) && m.ParticipantsCount == 3 &&
				m.GoogleSync == SyncOK && m.Job.State == JobDone && m.WantedVersion == 3 && m.Google.EventDigest == "" && m.Google.EventEtag == `"6"` &&
				m.People[3] == Person{Email: "new@x.example", Response: "declined", Changed: true}
		}},
		"adopt a deletion": {Adopt, drop, "Drifted[deleted] Cancelled", func(m *Meeting) bool {
			return m.Status == Cancelled && m.Google.Deleted && m.GoogleSync == SyncOK && m.Job.State == JobDone && m.Recording == NotExpected
		}},
		"undo an edit": {Restore, edit, "Responded Drifted" + fields, func(m *Meeting) bool {
			return m.Summary == "Visit" && len(m.Guests) == 2 && m.GoogleSync == SyncPending && m.Job.State == JobDue && m.WantedVersion == m.Version &&
				m.Google.EventDigest == "" && m.Google.EventShown == "s.d"
		}},
		"undo a deletion": {Restore, drop, "Drifted[deleted]", func(m *Meeting) bool {
			return m.Status == Created && m.Generation == 2 && m.Google.EventVersion == 0 && m.Google.EventID == "" && m.Google.Space == "" &&
				m.Google.MeetLink != "" && m.GoogleSync == SyncPending && m.Job.State == JobDue
		}},
		"tell of an edit": {Alert, edit, "Responded Drifted" + fields, func(m *Meeting) bool {
			return m.GoogleSync == SyncFailed && m.Failure.Code == ReasonDrifted && strings.Contains(m.Failure.Message, `summary is "Theirs" there and "Visit" here`) &&
				strings.Contains(m.Failure.Message, "1 guests more and 1 fewer") && m.Job.State == JobFailed && m.Summary == "Visit"
		}},
		"tell of a deletion": {Alert, drop, "Drifted[deleted]", func(m *Meeting) bool {
			return m.GoogleSync == SyncFailed && m.Failure.Code == ReasonDrifted && m.Status == Created && m.Google.Deleted
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := calendarMeeting()
			s := asSeen(m)
			test.what(&s)
			events := m.Noticed(s, test.policy, s.Updated)
			if got := kinds(events); got != test.events || !test.want(m) {
				t.Errorf("%s, want %s\n%+v", got, test.events, m)
			}
			version := m.Version
			if again := m.Noticed(s, test.policy, s.Updated); len(again) > 0 || m.Version != version {
				t.Errorf("the same once more: %s", kinds(again))
			}
		})
	}
}

func TestAFinishedMeetingWasNotCalledOff(t *testing.T) {
	m := calendarMeeting()
	m.Status = Finished
	s := asSeen(m)
	s.Cancelled = true
	if got := kinds(m.Noticed(s, Adopt, s.Updated)); got != "Drifted[deleted]" || m.Status != Finished {
		t.Errorf("%s, status %s", got, m.Status)
	}
}

func TestAnAlertHeals(t *testing.T) {
	drifted := func() (*Meeting, Snapshot) {
		m := calendarMeeting()
		s := asSeen(m)
		s.Summary, s.Shown = "Theirs", "t.d"
		m.Noticed(s, Alert, s.Updated)
		s.Etag, s.Updated = `"7"`, s.Updated.Add(time.Minute)
		return m, s
	}
	t.Run("changed back", func(t *testing.T) {
		m, s := drifted()
		s.Summary, s.Shown = "Visit", "s.d"
		if got := kinds(m.Noticed(s, Alert, s.Updated)); got != "Synced" || m.GoogleSync != SyncOK || m.Failure != (Failure{}) || m.Job.State != JobDone {
			t.Errorf("%s %+v", got, m)
		}
	})
	t.Run("touched again", func(t *testing.T) {
		m, s := drifted()
		if got := kinds(m.Noticed(s, Alert, s.Updated)); got != "" || m.GoogleSync != SyncFailed {
			t.Errorf("%s %+v", got, m)
		}
	})
	t.Run("changed otherwise", func(t *testing.T) {
		m, s := drifted()
		s.Summary = "Other"
		if got := kinds(m.Noticed(s, Alert, s.Updated)); got != "Drifted[summary]" || !strings.Contains(m.Failure.Message, "Other") {
			t.Errorf("%s %+v", got, m)
		}
	})
	t.Run("provisioned", func(t *testing.T) {
		m, s := drifted()
		if _, err := m.Provision("o", "", s.Updated); err != nil || m.GoogleSync != SyncPending || m.Job.State != JobDue || m.Google.EventDigest != "" {
			t.Errorf("%v %+v", err, m)
		}
	})
	t.Run("deleted, then provisioned", func(t *testing.T) {
		m, s := drifted()
		s.Cancelled = true
		m.Noticed(s, Alert, s.Updated)
		if _, err := m.Provision("o", "", s.Updated); err != nil || m.Generation != 2 || m.Google.EventVersion != 0 || m.Google.Deleted {
			t.Errorf("%v %+v", err, m)
		}
	})
}

func TestAnEventFromTheBinOfACancelledMeetingGoesAgain(t *testing.T) {
	for p, want := range map[DriftPolicy]GoogleSync{Adopt: SyncPending, Restore: SyncPending, Alert: SyncFailed} {
		m := calendarMeeting()
		m.Cancel(m.CreatedAt)
		m.agreed(m.CreatedAt)
		m.Google.Deleted = true
		s := asSeen(m)
		if got := kinds(m.Noticed(s, p, s.Updated)); got != "Drifted[restored]" || m.GoogleSync != want || m.Google.Deleted || !m.WantedAbsent() {
			t.Errorf("%s: %s %+v", p, got, m)
		}
	}
}

func TestWhoEditsWhileAChangeIsUnderWayIsOverruled(t *testing.T) {
	for name, after := range map[string]bool{"after our write": true, "before our write": false} {
		t.Run(name, func(t *testing.T) {
			m := calendarMeeting()
			now := m.Google.EventUpdated.Add(time.Hour)
			summary := "Ours"
			if _, err := m.Update(Patch{Summary: &summary}, now); err != nil {
				t.Fatal(err)
			}
			dispatch := m.Job.Send(now)
			s := asSeen(m)
			s.Summary, s.Updated = "Theirs", now
			if events := m.Noticed(s, Adopt, now); len(events) > 0 || m.Summary != "Ours" {
				t.Fatalf("compared while under way: %s", kinds(events))
			}
			google := m.Google
			google.EventVersion, google.EventEtag, google.EventUpdated = m.WantedVersion, `"8"`, now.Add(time.Second)
			if after {
				google.EventUpdated = now.Add(-time.Second)
			}
			m.Synced(Outcome{Dispatch: dispatch, Version: m.WantedVersion, Google: &google, Complete: true, Policy: Adopt}, now)
			if again := m.Job.State == JobDue && m.GoogleSync == SyncPending && m.Google.EventEtag == "" && m.WantedVersion > google.EventVersion; again != after {
				t.Errorf("looked at again: %t, want %t\n%+v", again, after, m)
			}
		})
	}
}

func TestAChangeThatFindsTheEventGoneFollowsThePolicy(t *testing.T) {
	for p, want := range map[DriftPolicy]func(*Meeting) bool{
		Adopt: func(m *Meeting) bool {
			return m.Status == Cancelled && m.GoogleSync == SyncOK && m.Job.State == JobDone
		},
		Restore: func(m *Meeting) bool {
			return m.Generation == 2 && m.GoogleSync == SyncPending && m.Job.State == JobDue
		},
		Alert: func(m *Meeting) bool {
			return m.GoogleSync == SyncFailed && m.Failure.Code == ReasonDrifted && m.Job.State == JobFailed
		},
	} {
		t.Run(p.String(), func(t *testing.T) {
			m := calendarMeeting()
			now := m.Google.EventUpdated.Add(time.Hour)
			summary := "Ours"
			if _, err := m.Update(Patch{Summary: &summary}, now); err != nil {
				t.Fatal(err)
			}
			dispatch := m.Job.Send(now)
			google := m.Google
			events, _ := m.Synced(Outcome{
				Dispatch: dispatch, Version: m.WantedVersion, Google: &google, Policy: p, Failure: &OutcomeFailure{Permanent: true, Code: ReasonEventGone, Message: "gone"},
			}, now)
			if !strings.HasPrefix(kinds(events), "Drifted[deleted]") || !want(m) {
				t.Errorf("%s\n%+v", kinds(events), m)
			}
		})
	}
}

func TestADoubleOfAnOldOutcomeForgetsNothingThatWasSeen(t *testing.T) {
	m := calendarMeeting()
	before := m.Google
	s := asSeen(m)
	s.Summary, s.Shown = "Theirs", "t.d"
	m.Noticed(s, Adopt, s.Updated)
	seen := m.Google
	m.Synced(Outcome{Dispatch: m.Job.Dispatch, Version: 3, Google: &before, Complete: true, Policy: Adopt}, s.Updated)
	if m.Google != seen {
		t.Errorf("%+v, want %+v", m.Google, seen)
	}
}

func TestANewEventHasANewLinkAndSaysSo(t *testing.T) {
	m := calendarMeeting()
	s := asSeen(m)
	s.Cancelled = true
	m.Noticed(s, Restore, s.Updated)
	dispatch := m.Job.Send(s.Updated)
	events, _ := m.Synced(Outcome{
		Dispatch: dispatch, Version: m.WantedVersion, Complete: false, Policy: Restore,
		Google: &GoogleCopy{EventID: "e2", MeetLink: "https://meet.google.com/ddd-eeee-fff", MeetingCode: "ddd-eeee-fff", EventVersion: m.WantedVersion},
	}, s.Updated)
	if !strings.Contains(kinds(events), "Updated") || m.Google.MeetingCode != "ddd-eeee-fff" || m.Google.Space != "" || m.Google.Account == "" {
		t.Errorf("%s\n%+v", kinds(events), m)
	}
}

func TestAnswersAreToldOnce(t *testing.T) {
	m := calendarMeeting()
	s := asSeen(m)
	s.Etag = m.Google.EventEtag // our own write carries the answers of before
	s.Guests = []Answer{{"ana@x.example", "accepted"}, {"bob@x.example", "needsAction"}}
	version := m.Version
	if got := kinds(m.Noticed(s, Adopt, s.Updated)); got != "Responded" || m.Version != version+1 || m.People[1].Response != "accepted" || m.People[2].Changed {
		t.Errorf("%s %+v", got, m.People)
	}
	if got := kinds(m.Noticed(s, Adopt, s.Updated)); got != "" {
		t.Errorf("again: %s", got)
	}
	s.Guests[0].Response = "needsAction"
	if got := kinds(m.Noticed(s, Adopt, s.Updated)); got != "Responded" {
		t.Errorf("taken back: %s", got)
	}
	s.Guests[0].Response = "<script>"
	if got := kinds(m.Noticed(s, Adopt, s.Updated)); got != "" {
		t.Errorf("no answer: %s", got)
	}
}

func TestTheOrganizerStays(t *testing.T) {
	m := calendarMeeting()
	if _, err := m.Update(Patch{RemovePeople: []int64{1}}, m.CreatedAt); err == nil {
		t.Error("the organizer was removed")
	}
	if _, err := m.Update(Patch{RemovePeople: []int64{2, 99}}, m.CreatedAt); err != nil || !slices.Equal(m.Guests, []string{"bob@x.example"}) {
		t.Errorf("%v %v", err, m.Guests)
	}
}
