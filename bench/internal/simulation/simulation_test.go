package simulation

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/bench/internal/stack"
)

// TestMain lets the test binary be the nats-server too.
func TestMain(m *testing.M) {
	served, err := stack.Serve()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case !served:
		os.Exit(m.Run())
	}
}

// Two days of sixty meetings on the real programs, with everything that goes wrong: the whole month is `make simulate`.
func TestTwoDaysInWhichEverythingGoesWrongEndRight(t *testing.T) {
	if testing.Short() {
		t.Skip("-short is set; this runs the whole product for half a minute")
	}
	bin := t.TempDir()
	if err := stack.Build(t.Context(), bin); err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), Options{
		Programs: bin, Days: 2, Meetings: 60, Organizers: 6, Schedulers: 3, Seed: 2, Bare: 0.1, Grain: 3 * time.Minute,
		Lost: 0.2, Doubled: 0.1, Reordered: 0.05, QuotaErrors: 0.005, Outage: 2 * time.Hour, Kills: 1, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + r.Markdown())
	if faults := r.Faults(); faults != "" {
		t.Error(faults)
	}
	for _, target := range r.Targets() {
		// So few meetings say nothing about averages, as one whose file never comes is asked about for a day, nor about one in a hundred.
		if !target.Met && !strings.HasPrefix(target.Name, "calls of Google after") && !strings.HasPrefix(target.Name, "from the file's") {
			t.Errorf("%s: %s, want %s", target.Name, target.Got, target.Want)
		}
	}
	late := 0
	for _, d := range r.ToFinal {
		if d > finalWithin {
			late++
		}
	}
	if late > len(r.ToFinal)/8 || len(r.ToFinal) == 0 { // those whose notice was lost and whose file was slow
		t.Errorf("%d of %d were verified later than %s after the file was there", late, len(r.ToFinal), finalWithin)
	}
	if len(r.Outcomes) < 4 {
		t.Errorf("only %d outcomes happened: %v", len(r.Outcomes), r.Outcomes)
	}
}

func TestThePlanIsTheSameForTheSameSeedAndHasEverythingInIt(t *testing.T) {
	start := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	o := Options{Days: 30, Meetings: 10_000, Organizers: 200, Seed: 1, Bare: 0.1}
	one, two := plan(o, start), plan(o, start)
	kinds := make(map[string]int)
	for i, v := range one {
		if v.reference() != two[i].reference() || !v.opens.Equal(two[i].opens) || v.kind != two[i].kind {
			t.Fatalf("visit %d: %+v and %+v", i, v, two[i])
		}
		kinds[v.kind]++
		if !v.made.Before(v.opens.Add(-before)) {
			t.Errorf("visit %d is made at %s and people come at %s", i, v.made, v.opens)
		}
		if !v.moveAt.IsZero() && !v.moveAt.After(v.made) {
			t.Errorf("visit %d is made at %s and changed at %s", i, v.made, v.moveAt)
		}
	}
	for _, c := range chances() {
		if want := o.Meetings * c.share / 1000; kinds[c.kind] < want*6/10 || kinds[c.kind] > want*14/10 {
			t.Errorf("%s: %d times, want about %d", c.kind, kinds[c.kind], want)
		}
	}
	if kinds[kindUnlicensed] == 0 || kinds[kindUsual] < o.Meetings/2 {
		t.Errorf("kinds %v", kinds)
	}
}

func TestTheTruthDecidesWhatIsRight(t *testing.T) {
	at := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	after := func(d time.Duration) *time.Time { return new(at.Add(d)) }
	held := func(recordings ...recording) truth {
		return truth{Conferences: []conference{{Start: at, End: at.Add(time.Hour), Recordings: recordings}}}
	}
	there := recording{Ready: after(65 * time.Minute), Copied: after(70 * time.Minute)}
	for name, c := range map[string]struct {
		visit visit
		truth truth
		known bool
		want  string
		alarm bool
	}{
		"recorded":              {visit{record: true}, held(there), true, "verified", false},
		"cancelled":             {visit{record: true, kind: kindCancelled}, truth{}, true, "not_expected", false},
		"not to be":             {visit{}, held(), true, "not_expected", true},
		"no room":               {visit{record: true}, truth{}, false, "missing, NOT_PROVISIONED", false},
		"nobody":                {visit{record: true}, truth{}, true, "missing, NOT_HELD", false},
		"never started":         {visit{record: true}, held(), true, "missing, NEVER_STARTED", true},
		"may not":               {visit{record: true, kind: kindUnlicensed}, held(), true, "missing, RECORDING_NOT_ALLOWED", true},
		"no file":               {visit{record: true}, held(recording{}), true, "missing, FILE_NOT_GENERATED", false},
		"deleted before a copy": {visit{record: true}, held(recording{Ready: after(65 * time.Minute), Lost: after(66 * time.Minute)}), true, "missing, FILE_DELETED", false},
		"deleted after a copy":  {visit{record: true}, held(recording{Ready: there.Ready, Copied: there.Copied, Lost: after(2 * time.Hour)}), true, "verified", false},
		"one of two is lost":    {visit{record: true}, held(there, recording{}), true, "missing, FILE_NOT_GENERATED", false},
	} {
		got := c.visit.judge(c.truth, c.known)
		if got.outcomes[0] != c.want {
			t.Errorf("%s: %v, want %s", name, got.outcomes, c.want)
		}
		if c.visit.record && got.alarm.IsZero() == c.alarm {
			t.Errorf("%s: told at %v, want it told: %t", name, got.alarm, c.alarm)
		}
	}
}

func TestCallsAreCountedOnceAndInTheirGroup(t *testing.T) {
	r := &Result{Options: Options{Meetings: 10}, Calls: map[string]int64{
		"calendar.events.insert": 10, "meet.spaces.get": 10, "calendar.events.list": 5, "meet.conferenceRecords.list": 20, "drive.files.get": 30,
		"drive.files.get:media": 10, "workspaceevents.subscriptions.create": 1, "pubsub.projects.subscriptions.pull": 40, "token": 3,
	}}
	want := map[string]float64{groupCreate: 2, groupCalendar: 0.5, groupReading: 4.1, groupDownload: 1, groupPubsub: 4, groupTokens: 0.3}
	got := r.PerMeeting()
	for g, n := range want {
		if diff := got[g] - n; diff > 0.001 || diff < -0.001 {
			t.Errorf("%s: %.2f for a meeting, want %.2f", g, got[g], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("groups %v", got)
	}
}

func TestShortTimes(t *testing.T) {
	for text, want := range map[string]string{"0s": "0s", "90s": "1m30s", "120s": "2m", "24h": "24h", "90m": "1h30m", "999ms": "1s"} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", text, got, want)
		}
	}
}
