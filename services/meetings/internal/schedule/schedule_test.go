package schedule

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func line(tb testing.TB, text, zoneName string) Line {
	tb.Helper()
	l, err := Parse(text, zone(tb, zoneName))
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return l
}

func at(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return t.UTC()
}

func TestALineComesOnceWhereTheClockIsPutForwardOrBack(t *testing.T) {
	for _, c := range []struct {
		name, line, zone, from string
		want                   []string
	}{
		{"every night", "0 2 * * *", "America/Bogota", "2026-11-24T12:00:00Z", []string{"2026-11-25T02:00:00-05:00", "2026-11-26T02:00:00-05:00"}},
		{"New York leaps over 02:00", "0 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		{"and over 02:30", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"several that are leapt over are one", "*/15 2 * * *", "America/New_York", "2026-03-08T01:50:00-05:00", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		{"one that is leapt over and one when it has leapt", "0 2,3 * * *", "America/New_York", "2026-03-08T01:50:00-05:00", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		{"New York shows 01:30 twice", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"also when asked in between", "30 1 * * *", "America/New_York", "2026-11-01T01:45:00-04:00", []string{"2026-11-02T01:30:00-05:00"}},
		{"and in the second hour", "30 1 * * *", "America/New_York", "2026-11-01T01:10:00-05:00", []string{"2026-11-02T01:30:00-05:00"}},
		{"two in the hour that is there twice", "0,30 1 * * *", "America/New_York", "2026-11-01T00:50:00-04:00", []string{"2026-11-01T01:00:00-04:00", "2026-11-01T01:30:00-04:00", "2026-11-02T01:00:00-05:00"}},
		{"Berlin leaps over 02:00", "0 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"Berlin shows 02:00 twice", "0 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T02:00:00+02:00", "2026-10-26T02:00:00+01:00"}},
		{"every hour loses one", "0 * * * *", "Europe/Berlin", "2026-03-29T00:30:00+01:00", []string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		{"every hour has one more", "0 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", []string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		{"every 20 minutes goes on", "*/20 * * * *", "America/New_York", "2026-11-01T01:30:00-04:00", []string{"2026-11-01T01:40:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T01:20:00-05:00"}},
		{"half an hour is leapt over on Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a day that Samoa never had", "0 2 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z", []string{"2011-12-31T00:00:00+14:00", "2012-12-30T02:00:00+14:00"}},
		{"every 36 hours", "@every 36h", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-30T00:00:00Z", "2026-03-31T12:00:00Z"}},
		{"midnight", "@daily", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"}},
		{"Mondays", "0 6 * * 1", "America/Bogota", "2026-11-24T12:00:00Z", []string{"2026-11-30T06:00:00-05:00"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, now := line(t, c.line, c.zone), at(t, c.from)
			for _, want := range c.want {
				got := l.Next(now)
				if !got.Equal(at(t, want)) {
					t.Fatalf("after %s comes %s, want %s", now.In(l.zone), got.In(l.zone), want)
				}
				now = got
			}
		})
	}
}

func TestALineThatIsWrongIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "* * * *", "0 25 * * *", "0 2 * * * *", "@often", "0 0 30 2 *", "TZ=UTC 0 2 * * *", "CRON_TZ=0", "TZ=", "@every 0x", "0 2 * * mon-x",
	} {
		if l, err := Parse(text, time.UTC); err == nil {
			t.Errorf("%q is %s", text, l)
		}
	}
	if !(Line{}).Next(time.Now()).IsZero() || (Line{}).String() != "" {
		t.Error("the zero line comes")
	}
}

// Over five years, in zones of all kinds, a line for one time of the day comes exactly once each day, at its time or where the
// clock leapt over it.
func TestADailyLineComesExactlyOnceEachDay(t *testing.T) {
	for _, name := range []string{"America/New_York", "Europe/Berlin", "America/Bogota", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "UTC", "Africa/Casablanca"} {
		z := zone(t, name)
		for _, hm := range [][2]int{{0, 0}, {0, 30}, {1, 30}, {2, 0}, {2, 30}, {2, 59}, {3, 0}, {23, 59}} {
			l := line(t, fmt.Sprintf("%d %d * * *", hm[1], hm[0]), name)
			now := time.Date(2024, time.January, 1, 0, 0, 0, 0, z).Add(-time.Second).UTC()
			day := time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
			for range 5 * 366 {
				next := l.Next(now)
				local := next.In(z)
				if y, m, d := local.Date(); !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Equal(day) {
					t.Fatalf("%s %v: after %s comes %s, want it on %s", name, hm, now.In(z), local, day.Format(time.DateOnly))
				}
				if local.Hour() != hm[0] || local.Minute() != hm[1] {
					// Only where the clock never shows it: a moment before it shows less, now it shows more.
					before := next.Add(-time.Second).In(z)
					shown := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
					wanted := hm[0]*60 + hm[1]
					if before.Day() == local.Day() && shown(before) >= wanted || shown(local) <= wanted {
						t.Fatalf("%s %v comes at %s", name, hm, local)
					}
				}
				now, day = next, day.AddDate(0, 0, 1)
			}
		}
	}
}

// Whatever the line, the next time is later, is the next also from any moment in between, and no run is lost or doubled by asking
// from another moment.
func TestNextDoesNotDependOnWhenItIsAsked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) // repeatable on purpose
	zones := []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"}
	field := func(most int) string {
		switch r.IntN(4) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+r.IntN(most))
		case 2:
			return fmt.Sprintf("%d,%d", r.IntN(most), r.IntN(most))
		}
		return fmt.Sprint(r.IntN(most))
	}
	for range 3000 {
		text, name := field(60)+" "+field(24)+" * * *", zones[r.IntN(len(zones))]
		l := line(t, text, name)
		// Around a change of the clock.
		base := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
		if _, end := base.In(l.zone).ZoneBounds(); !end.IsZero() && r.IntN(4) > 0 {
			base = end
			if _, second := base.In(l.zone).ZoneBounds(); !second.IsZero() && r.IntN(2) == 0 {
				base = second
			}
		}
		from := base.Add(time.Duration(r.Int64N(int64(8*time.Hour))) - 4*time.Hour)
		next := l.Next(from)
		if !next.After(from) {
			t.Fatalf("%s in %s: after %s comes %s", text, name, from, next)
		}
		between := from.Add(time.Duration(r.Int64N(int64(next.Sub(from)))))
		if again := l.Next(between); !again.Equal(next) {
			t.Fatalf("%s in %s: after %s comes %s, but after %s comes %s", text, name, from.In(l.zone), next.In(l.zone), between.In(l.zone), again.In(l.zone))
		}
	}
}

func TestADayBeginsAndEndsWithItsZonesMidnight(t *testing.T) {
	for _, c := range []struct{ zone, at, from, to string }{
		{"America/Bogota", "2026-11-24T03:00:00Z", "2026-11-23T00:00:00-05:00", "2026-11-24T00:00:00-05:00"},
		{"Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},
		{"America/Havana", "2026-03-08T12:00:00Z", "2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"}, // midnight is leapt over
	} {
		from, to := Day(at(t, c.at), zone(t, c.zone))
		if !from.Equal(at(t, c.from)) || !to.Equal(at(t, c.to)) {
			t.Errorf("%s in %s is %s to %s", c.at, c.zone, from, to)
		}
	}
}

func FuzzNoLineGoesBackOrPanics(f *testing.F) {
	f.Add("0 2 * * *", int64(1774746000))
	f.Add("TZ=0", int64(0))
	f.Add("@every 1s", int64(1))
	z := zone(f, "America/New_York")
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		l, err := Parse(text, z)
		if err != nil {
			return
		}
		now := time.Unix(unix%4102444800, 0)
		if next := l.Next(now); !next.IsZero() && !next.After(now) {
			t.Errorf("%q: after %s comes %s", text, now, next)
		}
	})
}
