package meeting

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnOutcomeEndsItsDispatchOnce(t *testing.T) {
	m := fresh()
	m.Job.Send(noon)
	o := success(m)
	events, done := m.Synced(o, noon)
	if names(events) != "Ready" || !done || m.Provisioning != Ready || m.GoogleSync != SyncOK || m.Job.State != JobDone || m.Version != 2 || m.WantedVersion != 1 {
		t.Fatalf("%s, done %v, %+v", names(events), done, m)
	}
	after := *m
	if events, done := m.Synced(o, noon.Add(time.Hour)); len(events) != 0 || done || m.Version != after.Version || m.Job.State != JobDone || m.Google != after.Google {
		t.Errorf("a repeat: %s, done %v, %+v", names(events), done, m)
	}
}

func TestAnOutcomeOfAnOlderDispatchOnlyTells(t *testing.T) {
	m := fresh()
	first := m.Job.Send(noon)
	m.Job.State = JobDue // given up for lost
	m.Job.Send(noon)
	o := success(m)
	o.Dispatch = first
	events, done := m.Synced(o, noon)
	if names(events) != "Ready" || !done || m.Job.State != JobOut || m.Job.DispatchedAt.IsZero() || m.GoogleSync != SyncPending {
		t.Errorf("%s, done %v, %+v", names(events), done, m.Job)
	}
	stale := failure(m, true, time.Time{})
	stale.Dispatch = first
	if events, _ := m.Synced(stale, noon); len(events) != 0 || m.Job.State != JobOut || m.GoogleSync != SyncPending {
		t.Errorf("a stale failure: %s, %+v", names(events), m.Job)
	}
}

func TestALateOutcomeSavesTheNextDispatch(t *testing.T) {
	m := fresh()
	m.Job.Send(noon)
	m.Job.State, m.Job.DueAt = JobDue, noon // its message was gone
	if events, _ := m.Synced(success(m), noon); names(events) != "Ready" || m.Job.State != JobDone {
		t.Errorf("%s, %+v", names(events), m.Job)
	}
}

func TestWhatIsWantedMeanwhileIsDoneNext(t *testing.T) {
	for name, c := range map[string]struct {
		outcome func(m *Meeting) Outcome
	}{
		"success":             {success},
		"refused for good":    {func(m *Meeting) Outcome { return failure(m, true, time.Time{}) }},
		"one step of several": {func(m *Meeting) Outcome { o := success(m); o.Complete = false; return o }},
	} {
		t.Run(name, func(t *testing.T) {
			m := fresh()
			m.Job.Send(noon)
			o := c.outcome(m)
			if _, err := m.Update(Patch{Summary: new("new")}, noon); err != nil {
				t.Fatal(err)
			}
			if m.Job.State != JobOut {
				t.Fatalf("sent twice at once: %+v", m.Job)
			}
			m.Synced(o, noon)
			if m.Job.State != JobDue || !m.Job.DueAt.Equal(noon) || m.GoogleSync != SyncPending || m.Provisioning == Failed {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestSeveralStepsAreOneRow(t *testing.T) {
	m := fresh()
	m.Job.Send(noon)
	o := success(m)
	o.Complete, o.Google.SettingsVersion = false, 0
	if events, done := m.Synced(o, noon); names(events) != "Ready" || !done || m.Job.State != JobDue || m.GoogleSync != SyncPending {
		t.Fatalf("%s, done %v, %+v", names(events), done, m)
	}
	m.Job.Send(noon)
	if events, done := m.Synced(success(m), noon); len(events) != 0 || done || m.Job.State != JobDone || m.GoogleSync != SyncOK {
		t.Errorf("%s, done %v, %+v", names(events), done, m)
	}
}

func TestAChangeIsReportedOnceGoogleHasIt(t *testing.T) {
	m := ready()
	if _, err := m.Update(Patch{Summary: new("new")}, noon); err != nil {
		t.Fatal(err)
	}
	m.Job.Send(noon)
	if events, done := m.Synced(success(m), noon); names(events) != "Synced" || done || m.GoogleSync != SyncOK {
		t.Errorf("%s, done %v", names(events), done)
	}
	if _, err := m.Update(Patch{Summary: new("newer")}, noon); err != nil {
		t.Fatal(err)
	}
	m.Job.Send(noon)
	if events, _ := m.Synced(failure(m, true, time.Time{}), noon); names(events) != "SyncFailed" || m.GoogleSync != SyncFailed || m.Provisioning != Ready || m.Google.MeetLink == "" {
		t.Errorf("%s, %+v", names(events), m)
	}
}

func TestACancelBeforeTheLink(t *testing.T) {
	t.Run("before the event", func(t *testing.T) {
		m := fresh()
		m.Cancel(noon)
		m.Job.Send(noon)
		events, done := m.Synced(success(m), noon)
		if len(events) != 0 || !done || m.Provisioning != Failed || m.Failure.Code != ReasonCancelledBeforeLink || m.Job.State != JobDone || !m.Google.Deleted {
			t.Errorf("%s, done %v, %+v", names(events), done, m)
		}
	})
	t.Run("while the event is made", func(t *testing.T) {
		m := fresh()
		m.Job.Send(noon)
		o := success(m)
		m.Cancel(noon)
		if events, done := m.Synced(o, noon); names(events) != "Ready" || !done || m.Status != Cancelled || m.Job.State != JobDue {
			t.Fatalf("%s, done %v, %+v", names(events), done, m)
		}
		m.Job.Send(noon)
		m.Synced(success(m), noon)
		if m.Job.State != JobDone || !m.Google.Deleted || m.GoogleSync != SyncOK {
			t.Errorf("%+v", m)
		}
	})
	t.Run("the insert's outcome comes after that of the delete, which found nothing", func(t *testing.T) {
		for _, reverse := range []bool{false, true} {
			m := fresh()
			m.Job.Send(noon)
			insert := success(m)
			m.Cancel(noon)
			m.Job.State = JobDue // given up for lost
			m.Job.Send(noon)
			deleted := Outcome{Dispatch: m.Job.Dispatch, Version: m.WantedVersion, Complete: true, Google: &GoogleCopy{Deleted: true}}
			outcomes := []Outcome{deleted, insert}
			if reverse {
				slices.Reverse(outcomes)
			}
			for _, o := range outcomes {
				m.Synced(o, noon)
			}
			if m.Job.State != JobDue || m.Google.Deleted || m.Google.EventID != "ev1" {
				t.Fatalf("reverse %v: the event is left: %+v %+v", reverse, m.Job, m.Google)
			}
			m.Job.Send(noon)
			m.Synced(success(m), noon)
			if m.Job.State != JobDone || !m.Google.Deleted {
				t.Errorf("reverse %v: %+v", reverse, m.Job)
			}
		}
	})
}

func TestATemporaryFailureIsTriedForThreeDays(t *testing.T) {
	m := fresh()
	now := noon
	for attempt := 1; ; attempt++ {
		m.Job.Send(now)
		events, done := m.Synced(failure(m, false, now.Add(time.Hour)), now)
		if m.Job.State == JobFailed {
			if names(events) != "ProvisionFailed" || !done || m.Failure.Code != ReasonGaveUp || m.Failure.Message != "why" || now.Sub(noon) <= 72*time.Hour || now.Sub(noon) > 74*time.Hour {
				t.Errorf("after %s: %s, %+v", now.Sub(noon), names(events), m.Failure)
			}
			break
		}
		if len(events) != 0 || done || m.Job.FailedAttempts != attempt || m.Version != 1 || !m.Job.DueAt.Equal(now.Add(time.Hour)) {
			t.Fatalf("attempt %d: %s, %+v", attempt, names(events), m.Job)
		}
		now = now.Add(time.Hour)
	}
	if len(m.Job.History) != keptAttempts || !m.Job.History[0].At.Equal(noon) {
		t.Errorf("history of %d from %s", len(m.Job.History), m.Job.History[0].At)
	}
}

func TestTheTimeOfTheNextTryIsWithinReason(t *testing.T) {
	for name, c := range map[string]struct{ asked, due time.Time }{
		"none":     {time.Time{}, noon},
		"past":     {noon.Add(-time.Hour), noon},
		"soon":     {noon.Add(time.Minute), noon.Add(time.Minute)},
		"for ever": {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), noon.Add(maxPause)},
	} {
		m := fresh()
		m.Job.Send(noon)
		if m.Synced(failure(m, false, c.asked), noon); !m.Job.DueAt.Equal(c.due) {
			t.Errorf("%s: %s", name, m.Job.DueAt)
		}
	}
}

func TestWhatGoogleSaysFitsItsRow(t *testing.T) {
	m := fresh()
	m.Job.Send(noon)
	o := failure(m, true, time.Time{})
	o.Failure.Message = strings.Repeat("é\x00", 4000)
	o.Google = &GoogleCopy{EventID: "a\x00b"}
	m.Synced(o, noon)
	if len(m.Failure.Message) > maxReason || strings.ContainsRune(m.Failure.Message, 0) || m.Google.EventID != "ab" {
		t.Errorf("%d bytes, %q", len(m.Failure.Message), m.Google.EventID)
	}
	if o.Google.EventID != "a\x00b" {
		t.Error("the outcome was changed: its second try would see another")
	}
}

// TestWhateverComesTheRulesHold runs random commands and outcomes, in any order, doubled and late.
func TestWhateverComesTheRulesHold(t *testing.T) {
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		m, now, link := fresh(), noon, ""
		var outcomes []Outcome // of every dispatch so far
		running := 0
		send := func() {
			if m.Job.State == JobDue && !m.Job.DueAt.After(now) {
				if running++; running > 1 {
					t.Fatalf("seed %d: two dispatches run at once", seed)
				}
				m.Job.Send(now)
				o := success(m)
				switch random.IntN(6) {
				case 0:
					o = failure(m, true, time.Time{})
				case 1:
					o = failure(m, false, now.Add(time.Minute))
				case 2:
					o.Complete = false
				}
				outcomes = append(outcomes, o)
			}
		}
		for range 60 {
			before := *m
			var err error
			switch random.IntN(9) {
			case 0:
				_, err = m.Update(Patch{Summary: new(strings.Repeat("s", random.IntN(3)))}, now)
			case 1:
				_, err = m.Update(Patch{Status: new([]Status{Created, Scheduled, Finished}[random.IntN(3)])}, now)
			case 2:
				if random.IntN(8) == 0 {
					m.Cancel(now)
				}
			case 3:
				_, err = m.Provision("again", "", now)
			case 4, 5:
				if n := len(outcomes); n > 0 {
					o := outcomes[n-1]
					if random.IntN(3) == 0 {
						o = outcomes[random.IntN(n)] // a double
					}
					if o.Dispatch == m.Job.Dispatch && !m.Job.DispatchedAt.IsZero() {
						running--
					}
					m.Synced(o, now)
				}
			case 6:
				now = now.Add(time.Duration(random.IntN(120)) * time.Second)
			default:
				send()
			}
			if err != nil && before.Status != Cancelled {
				t.Fatalf("seed %d: %v", seed, err)
			}
			switch {
			case m.Version < before.Version, m.Version > before.Version+1, m.WantedVersion < before.WantedVersion, m.WantedVersion > m.Version:
				t.Fatalf("seed %d: version %d after %d, wanted %d", seed, m.Version, before.Version, m.WantedVersion)
			case link != "" && m.Google.MeetLink != link, link != "" && m.Provisioning != Ready:
				t.Fatalf("seed %d: the link %q became %q, %s", seed, link, m.Google.MeetLink, m.Provisioning)
			case before.Status == Cancelled && m.Status != Cancelled:
				t.Fatalf("seed %d: left CANCELLED", seed)
			case m.Job.State == JobDone && (m.Google.EventVersion < m.WantedVersion || m.WantedAbsent() != m.Google.Deleted || m.GoogleSync != SyncOK):
				t.Fatalf("seed %d: done without being true: %+v", seed, m)
			case m.Job.State == JobFailed && m.GoogleSync != SyncFailed, m.GoogleSync == SyncPending && m.Job.State != JobDue && m.Job.State != JobOut:
				t.Fatalf("seed %d: nobody works on it: %s, %s", seed, m.GoogleSync, m.Job.State)
			case (m.Job.State == JobOut) != (!m.Job.DispatchedAt.IsZero()):
				t.Fatalf("seed %d: %s, sent at %s", seed, m.Job.State, m.Job.DispatchedAt)
			}
			link = m.Google.MeetLink
		}
		// Whatever happened, it comes to rest once Google answers.
		for range 20 {
			now = now.Add(25 * time.Hour)
			if m.Job.State == JobDue {
				m.Job.Send(now)
			}
			if m.Job.State == JobOut {
				m.Synced(success(m), now)
			}
		}
		if m.Job.State != JobDone && m.Job.State != JobFailed {
			t.Fatalf("seed %d: never at rest: %+v", seed, m.Job)
		}
	}
}
