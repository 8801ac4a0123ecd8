package job

import (
	"errors"
	"regexp"
	"slices"
	"testing"
	"time"
)

func TestAnEventIDIsTheSameForEveryTryAndFitForCalendar(t *testing.T) {
	id := EventID("0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f", 0)
	if id != EventID("0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f", 0) {
		t.Error("two tries have two ids")
	}
	// Calendar API events.insert.
	if !regexp.MustCompile(`^[0-9a-v]{26,64}$`).MatchString(id) {
		t.Errorf("%q is no id for Calendar", id)
	}
	if id != "mmuq7gnt8cdkfunokgis5ujami7drnom11" {
		t.Errorf("%q: events made by earlier releases would not be found again", id)
	}
	if id == EventID("0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f", 1) || id == EventID("another", 0) {
		t.Error("different events share an id")
	}
}

func TestADigestTellsWhatHasToBeWritten(t *testing.T) {
	base := Wish{Summary: "a", Description: "b", TimeZone: "UTC", Start: time.Unix(0, 0), End: time.Unix(60, 0), Organizer: "o@x", Guests: []string{"a@x", "b@x"}}
	digest := base.event("o@x").digest()
	for name, test := range map[string]struct {
		change     func(*Wish)
		same       bool
		sameGuests bool
	}{
		"nothing":             {func(*Wish) {}, true, true},
		"settings":            {func(w *Wish) { w.AutoRecord, w.PublicAccess, w.Version = true, true, 9 }, true, true},
		"case of an address":  {func(w *Wish) { w.Guests = []string{"A@X", "b@x"} }, true, true},
		"title":               {func(w *Wish) { w.Summary = "c" }, false, true},
		"parts moved":         {func(w *Wish) { w.Summary, w.Description = "ab", "" }, false, true},
		"start":               {func(w *Wish) { w.Start = w.Start.Add(time.Second) }, false, true},
		"zone":                {func(w *Wish) { w.TimeZone = "America/Bogota" }, false, true},
		"who sees whom":       {func(w *Wish) { w.GuestsSeeEachOther = true }, false, true},
		"guests":              {func(w *Wish) { w.Guests = nil }, false, false},
		"same moment, a zone": {func(w *Wish) { w.Start = w.Start.In(time.FixedZone("x", 3600)) }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := base
			test.change(&w)
			got := w.event("o@x").digest()
			if (got == digest) != test.same || sameGuests(got, digest) != test.sameGuests {
				t.Errorf("same %t, same guests %t", got == digest, sameGuests(got, digest))
			}
		})
	}
	if sameGuests("", "") || sameGuests("", digest) {
		t.Error("an unknown digest is taken for equal")
	}
}

func TestGuestsKeepWhatTheyAnswered(t *testing.T) {
	present := []Guest{
		{Email: "Ana@x", Response: "accepted", Comment: "hi"},
		{Email: "gone@x", Response: "declined"},
		{Email: "boss@x", Response: "accepted", Self: true},
	}
	wanted := []Guest{{Email: "new@x", Response: noResponse}, {Email: "ana@x", Response: noResponse}}
	want := []Guest{wanted[0], present[0], present[2]}
	if got := withAnswers(wanted, present); !slices.Equal(got, want) {
		t.Errorf("merged %+v, want %+v", got, want)
	}
}

func TestPauses(t *testing.T) {
	s := &SyncMeeting{timing: DefaultTiming()}
	down := func(after time.Duration) *Failure { return &Failure{Kind: Transient, After: after} }
	for name, test := range map[string]struct {
		failure  *Failure
		attempt  Attempt
		short    bool
		min, max time.Duration
	}{
		"first try":                 {down(0), Attempt{Delivered: 1}, true, 0, time.Second},
		"third try":                 {down(0), Attempt{Delivered: 3}, true, 0, 16 * time.Second},
		"fourth try":                {down(0), Attempt{Delivered: 4}, false, 15 * time.Second, 30 * time.Second},
		"a row that failed":         {down(0), Attempt{Delivered: 1, Failed: 1}, false, 30 * time.Second, time.Minute},
		"one that failed long":      {down(0), Attempt{Delivered: 1, Failed: 500}, false, 5 * time.Minute, 10 * time.Minute},
		"google says when, soon":    {down(20 * time.Second), Attempt{Delivered: 1}, true, 20 * time.Second, 21 * time.Second},
		"google says when, late":    {down(10 * time.Minute), Attempt{Delivered: 1}, false, 10 * time.Minute, 11 * time.Minute},
		"google says a year":        {down(365 * 24 * time.Hour), Attempt{Delivered: 1}, false, 6 * time.Hour, 7 * time.Hour},
		"a space not visible":       {&Failure{Kind: Hidden}, Attempt{Delivered: 2}, true, 8 * time.Second, 8 * time.Second},
		"a space never visible":     {&Failure{Kind: Hidden}, Attempt{Delivered: 1, Failed: 2}, false, 0, 0},
		"for good":                  {&Failure{Kind: Refused}, Attempt{Delivered: 1}, false, 0, 0},
		"a delivery that counts 0 ": {down(0), Attempt{}, true, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 { // they are random
				again, short := s.pause(test.failure, test.attempt)
				if short != test.short || again < test.min || again > test.max {
					t.Fatalf("again in %v, short %t; want %v to %v, short %t", again, short, test.min, test.max, test.short)
				}
			}
		})
	}
}

func TestWhatNobodyHasClassedIsTriedAgain(t *testing.T) {
	f := failureOf(errors.New("x"))
	if f.Permanent() || f.Code != CodeInternal || f.Message == "" {
		t.Errorf("%+v", f)
	}
}
