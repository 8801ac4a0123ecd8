package meeting

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

func spec() *Spec {
	return &Spec{OrganizerEmail: "doctor@clinic.example", Guests: []string{"p@mail.example"}, TimeZone: "America/Bogota", CreateCalendarEvent: true}
}

func fresh() *Meeting {
	m, _ := New(spec(), Origin{ID: 1, UID: "u", JobID: "j", OrganizerID: 2, Operation: "op", ReplyInbox: "inbox"}, noon)
	return m
}

// ready is a meeting whose link is made and whose job is done.
func ready() *Meeting {
	m := fresh()
	m.Job.Send(noon)
	m.Synced(success(m), noon)
	m.Job.Operation, m.Job.ReplyInbox = "", ""
	return m
}

// success is an outcome that makes everything true that is wanted now.
func success(m *Meeting) Outcome {
	g := m.Google
	g.EventVersion, g.SettingsVersion = m.WantedVersion, m.WantedVersion
	if m.WantedAbsent() {
		g.Deleted = true
	} else if g.MeetLink == "" {
		g.EventID, g.MeetLink, g.MeetingCode = "ev1", "https://meet.example/abc", "abc"
	}
	return Outcome{Dispatch: m.Job.Dispatch, Version: m.WantedVersion, Complete: true, Google: &g}
}

func failure(m *Meeting, permanent bool, retry time.Time) Outcome {
	return Outcome{Dispatch: m.Job.Dispatch, Version: m.WantedVersion, Failure: &OutcomeFailure{Permanent: permanent, Code: "CODE", Message: "why", RetryAt: retry}}
}

// names are the kinds of events, in order.
func names(events []Event) string {
	var out []string
	for _, e := range events {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", e), "meeting."), "Event"))
	}
	return strings.Join(out, " ")
}

func TestEachStatusMayBecomeAnyButNothingLeavesCancelled(t *testing.T) {
	for _, from := range []Status{Created, Scheduled, Finished, Cancelled} {
		for _, to := range []Status{Created, Scheduled, Finished, Cancelled} {
			t.Run(from.String()+" to "+to.String(), func(t *testing.T) {
				m := ready()
				m.Status = from
				version := m.Version
				events, err := m.Update(Patch{Status: &to}, noon)
				switch {
				case from == Cancelled && to != Cancelled:
					if fault.KindOf(err) != fault.Conflict || m.Version != version || m.Status != from {
						t.Errorf("not refused: %v, %+v", err, m)
					}
					if f := fault.Of(err); f.Meta["from"] != "CANCELLED" || f.Meta["to"] != to.String() {
						t.Errorf("the fault names %v", f.Meta)
					}
				case err != nil:
					t.Error(err)
				case from == to:
					if len(events) != 0 || m.Version != version {
						t.Errorf("stated %v, version %d", names(events), m.Version)
					}
				case to == Cancelled:
					if names(events) != "Cancelled" || m.WantedVersion != version+1 || m.Job.State != JobDue || !m.WantedAbsent() {
						t.Errorf("%s, %+v", names(events), m)
					}
				default:
					if names(events) != "StatusChanged" || m.Version != version+1 || m.WantedVersion != 1 || m.Job.State != JobDone {
						t.Errorf("%s, %+v", names(events), m)
					}
				}
				if m.Status != to && err == nil {
					t.Errorf("status %s", m.Status)
				}
			})
		}
	}
}

func TestAPatchIsCheckedAsAWhole(t *testing.T) {
	at := func(h int) *time.Time { return new(noon.Add(time.Duration(h) * time.Hour)) }
	many := make([]string, MaxGuests)
	for i := range many {
		many[i] = fmt.Sprintf("g%d@mail.example", i)
	}
	for name, c := range map[string]struct {
		patch  Patch
		start  int
		reason string
		events string
	}{
		"end before the start there is":      {Patch{End: at(1)}, 2, ReasonEndBeforeStart, ""},
		"end equal to the start":             {Patch{Start: at(1), End: at(1)}, 0, ReasonEndBeforeStart, ""},
		"end after the start":                {Patch{Start: at(1), End: at(2)}, 0, "", "Rescheduled"},
		"the start cleared":                  {Patch{Start: new(time.Time)}, 2, "", "Rescheduled"},
		"the same start":                     {Patch{Start: at(2)}, 2, "", ""},
		"year 10000":                         {Patch{Start: new(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))}, 0, "RANGE", ""},
		"a long summary":                     {Patch{Summary: new(strings.Repeat("é", maxSummary+1))}, 0, "MAX_LENGTH", ""},
		"a summary of the most characters":   {Patch{Summary: new(strings.Repeat("é", maxSummary))}, 0, "", "Updated"},
		"a NUL":                              {Patch{Description: new("a\x00b")}, 0, "CHARACTERS", ""},
		"bytes that are no text":             {Patch{Summary: new("a\xffb")}, 0, "CHARACTERS", ""},
		"a guest who is no address":          {Patch{AddGuests: []string{"nobody"}}, 0, "EMAIL", ""},
		"a guest too many":                   {Patch{AddGuests: many}, 0, "COUNT", ""},
		"as many guests as fit":              {Patch{AddGuests: many, RemoveGuests: []string{"P@MAIL.example"}}, 0, "", "Updated"},
		"a guest who is there":               {Patch{AddGuests: []string{"P@mail.example"}}, 0, "", ""},
		"a guest removed and added":          {Patch{AddGuests: []string{"p@mail.example"}, RemoveGuests: []string{"p@mail.example"}}, 0, "", ""},
		"everything, and cancelled with it":  {Patch{Summary: new("s"), Start: at(3), Status: new(Cancelled)}, 0, "", "Rescheduled Updated Cancelled"},
		"a status and a text in one version": {Patch{Summary: new("s"), Status: new(Scheduled)}, 0, "", "Updated StatusChanged"},
	} {
		t.Run(name, func(t *testing.T) {
			m := ready()
			if c.start > 0 {
				m.Start = *at(c.start)
			}
			before := *m
			events, err := m.Update(c.patch, noon.Add(time.Minute))
			if c.reason != "" {
				if f := fault.Of(err); f == nil || f.Kind != fault.Invalid || f.Fields[0].Reason != c.reason {
					t.Errorf("got %v, want %s", err, c.reason)
				}
				if m.Version != before.Version || m.Summary != before.Summary || !m.Start.Equal(before.Start) || len(m.Guests) != 1 {
					t.Errorf("changed: %+v", m)
				}
				return
			}
			if err != nil || names(events) != c.events {
				t.Fatalf("%s, error %v", names(events), err)
			}
			if changed := c.events != ""; (m.Version == before.Version+1) != changed || (m.WantedVersion > before.WantedVersion) != changed || m.UpdatedAt.Equal(noon) == changed {
				t.Errorf("version %d, wanted %d, updated %s", m.Version, m.WantedVersion, m.UpdatedAt)
			}
		})
	}
}

func TestACancelledMeetingTakesNoChange(t *testing.T) {
	for name, p := range map[string]Patch{
		"times": {Start: new(noon)}, "texts": {Summary: new("s")}, "guests": {AddGuests: []string{"x@mail.example"}}, "fewer guests": {RemoveGuests: []string{"p@mail.example"}},
	} {
		m := ready()
		m.Cancel(noon)
		if _, err := m.Update(p, noon); !errors.Is(err, &fault.Fault{Kind: fault.Conflict, Reason: ReasonCancelled}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := ready()
	m.Cancel(noon)
	if _, err := m.Provision("again", "", noon); fault.KindOf(err) != fault.Conflict {
		t.Errorf("provisioned: %v", err)
	}
	version := m.Version
	if events := m.Cancel(noon); len(events) != 0 || m.Version != version {
		t.Errorf("cancelled twice: %s, version %d", names(events), m.Version)
	}
}

func TestAnythingTriesAgainWhereGoogleFailed(t *testing.T) {
	for name, try := range map[string]func(m *Meeting) error{
		"an empty patch": func(m *Meeting) error { _, err := m.Update(Patch{}, noon); return err },
		"a status":       func(m *Meeting) error { _, err := m.Update(Patch{Status: new(Scheduled)}, noon); return err },
		"provision":      func(m *Meeting) error { _, err := m.Provision("again", "there", noon); return err },
	} {
		m := fresh()
		m.Job.Send(noon)
		if events, done := m.Synced(failure(m, true, time.Time{}), noon); names(events) != "ProvisionFailed" || !done {
			t.Fatalf("%s: %s, done %v", name, names(events), done)
		}
		if m.Provisioning != Failed || m.GoogleSync != SyncFailed || m.Failure.Code != "CODE" || m.Job.State != JobFailed || m.Status != Created {
			t.Fatalf("%s: %+v", name, m)
		}
		if err := try(m); err != nil {
			t.Fatal(err)
		}
		if m.Provisioning != Pending || m.GoogleSync != SyncPending || m.Failure != (Failure{}) || m.Job.State != JobDue || m.Job.FailedAttempts != 0 || m.WantedVersion != m.Version {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestProvisionFollowsWhatIsUnderWay(t *testing.T) {
	m := fresh()
	m.Job.Send(noon)
	m.Synced(failure(m, false, noon.Add(time.Hour)), noon)
	if op, err := m.Provision("second", "there", noon); err != nil || op != "op" || m.Job.Operation != "op" || m.Job.ReplyInbox != "inbox" {
		t.Errorf("%q, %v, %+v", op, err, m.Job)
	}
	if m.Job.State != JobDue || !m.Job.DueAt.Equal(noon) || m.Version != 1 {
		t.Errorf("it is not tried at once: %+v", m.Job)
	}
	m = ready()
	if op, err := m.Provision("second", "there", noon); err != nil || op != "second" || m.Job.Operation != "" || m.Job.State != JobDone || m.Version != ready().Version {
		t.Errorf("a ready meeting: %q, %v, %+v", op, err, m.Job)
	}
}

func TestASpecIsCheckedAtOnce(t *testing.T) {
	bad := &Spec{
		OrganizerEmail: "@", Guests: []string{"a@b", "A@B", "x y@z"}, Start: noon, End: noon, ExternalReference: strings.Repeat("x", 256), Summary: "\x00",
		Description: strings.Repeat("d", maxDescription+1), TimeZone: "Mars/Olympus",
	}
	var got []string
	for _, f := range fault.Of(bad.Check()).Fields {
		got = append(got, f.Path+" "+f.Reason)
	}
	want := []string{
		"organizer_email EMAIL", "invited_emails UNIQUE", "invited_emails EMAIL", "scheduled_end END_BEFORE_START", "external_reference MAX_LENGTH",
		"summary CHARACTERS", "description MAX_LENGTH", "time_zone TIME_ZONE",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for name, change := range map[string]func(s *Spec){
		"as it is":                       func(*Spec) {},
		"the organizer among the guests": func(s *Spec) { s.Guests = append(s.Guests, "DOCTOR@clinic.example") },
		"letters that only Unicode folds": func(s *Spec) {
			s.Guests = []string{"\u212a@mail.example", "k@mail.example", "\u0130@mail.example", "i@mail.example"}
		},
	} {
		s := spec()
		change(s)
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, zone := range []string{"", "Local", "../etc/passwd"} {
		s := spec()
		s.TimeZone = zone
		if s.Check() == nil {
			t.Errorf("zone %q was taken", zone)
		}
	}
}

func TestTheOrganizerIsCountedOnce(t *testing.T) {
	m := fresh()
	if m.ParticipantsCount != 2 {
		t.Errorf("%d", m.ParticipantsCount)
	}
	for _, step := range []struct {
		patch Patch
		count int
	}{
		{Patch{AddGuests: []string{"Doctor@Clinic.example"}}, 2},
		{Patch{RemoveGuests: []string{"doctor@clinic.example"}}, 2},
		{Patch{RemoveGuests: []string{"p@mail.example"}}, 1},
	} {
		if _, err := m.Update(step.patch, noon); err != nil || m.ParticipantsCount != step.count {
			t.Errorf("%+v: %d, want %d, %v", step.patch, m.ParticipantsCount, step.count, err)
		}
	}
}

func TestGooglesTimesAreThoseOfTheOriginal(t *testing.T) {
	hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	for name, c := range map[string]struct{ start, end, wantedStart, wantedEnd time.Time }{
		"neither":              {time.Time{}, time.Time{}, hour(1), hour(2)},
		"a start":              {hour(5), time.Time{}, hour(5), hour(6)},
		"both":                 {hour(5), hour(9), hour(5), hour(9)},
		"an end later on":      {time.Time{}, hour(3), hour(1), hour(3)},
		"an end in an hour":    {time.Time{}, hour(1), hour(0), hour(1)},
		"the last hour of all": {time.Date(9999, 12, 31, 23, 30, 0, 0, time.UTC), time.Time{}, time.Date(9999, 12, 31, 23, 30, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		"the first of all":     {time.Time{}, time.Date(1, 1, 1, 0, 30, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC), time.Date(1, 1, 1, 0, 30, 0, 0, time.UTC)},
	} {
		m := fresh()
		m.Start, m.End = c.start, c.end
		if !m.WantedStart().Equal(c.wantedStart) || !m.WantedEnd().Equal(c.wantedEnd) {
			t.Errorf("%s: %s to %s", name, m.WantedStart(), m.WantedEnd())
		}
	}
}

func TestAnEtagIsComparedStrongly(t *testing.T) {
	m := fresh()
	for etag, ok := range map[string]bool{"": true, "*": true, `"1"`: true, `"7", "1"`: true, `W/"1"`: false, `"2"`: false, "1": false, `"1`: false} {
		err := m.CheckEtag(etag)
		if (err == nil) != ok {
			t.Errorf("%q: %v", etag, err)
		}
		if err != nil && (fault.KindOf(err) != fault.VersionMismatch || fault.Of(err).Meta["etag"] != `"1"`) {
			t.Errorf("%q: %v", etag, fault.Of(err))
		}
	}
}

func TestEveryStateComesBackFromItsName(t *testing.T) {
	roundTrip(t, statusNames, ParseStatus)
	roundTrip(t, provisioningNames, ParseProvisioning)
	roundTrip(t, syncNames, ParseGoogleSync)
	roundTrip(t, recordingNames, ParseRecordingState)
	roundTrip(t, jobNames, ParseJobState)
}

func roundTrip[S comparable](t *testing.T, table map[S]string, parse func(string) (S, error)) {
	t.Helper()
	for s, n := range table {
		if back, err := parse(n); err != nil || back != s {
			t.Errorf("%q is %v, %v", n, back, err)
		}
	}
	if s, err := parse("invalid"); err == nil {
		t.Errorf("an unknown name became %v", s)
	}
}

func FuzzRef(f *testing.F) {
	for _, s := range []string{"1", "0", "-1", "007", "+3", "9223372036854775807", "9223372036854775808", "0193a7b0-0000-7000-8000-000000000000", "0193A7B0-0000-7000-8000-00000000000G", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseRef(s)
		switch {
		case err != nil:
			if !errors.Is(err, ErrNotFound) || ref != (Ref{}) {
				t.Errorf("%q: %v, %v", s, ref, err)
			}
		case (ref.ID > 0) == (ref.UID != ""), ref.ID < 0, ref.UID != strings.ToLower(ref.UID):
			t.Errorf("%q became %+v", s, ref)
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range []string{"https://meet.google.com/abc-defg-hij", "meet.google.com/ABC-defg-hij/?authuser=0#x", "abc-defg-hij", "http://127.0.0.1:8090/meet/abc", "%zz", "/"} {
		f.Add(s)
	}
	if CodeOf("meet.google.com/ABC-defg-hij/?authuser=0#x") != "abc-defg-hij" || CodeOf(" abc-defg-hij ") != "abc-defg-hij" {
		f.Fatal("no code")
	}
	f.Fuzz(func(t *testing.T, s string) {
		if code := CodeOf(s); strings.ContainsAny(code, "/ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			t.Errorf("%q became %q", s, code)
		}
	})
}
