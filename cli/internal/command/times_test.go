package command

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

func TestTimesAreReadInTheirZone(t *testing.T) {
	for _, c := range []struct{ name, text, zone, want, bad string }{
		{"RFC 3339", "2026-12-01T15:00:00Z", "America/Bogota", "2026-12-01T15:00:00Z", ""},
		{"RFC 3339 with an offset and a fraction", "2026-12-01T15:00:00.25-05:00", "UTC", "2026-12-01T20:00:00.25Z", ""},
		{"a time of day", "2026-12-01 15:00", "America/Bogota", "2026-12-01T20:00:00Z", ""},
		{"with seconds", " 2026-12-01 15:00:07 ", "America/Bogota", "2026-12-01T20:00:07Z", ""},
		{"with a T", "2026-12-01T15:00", "Europe/Madrid", "2026-12-01T14:00:00Z", ""},
		{"in summer", "2026-07-01 15:00", "Europe/Madrid", "2026-07-01T13:00:00Z", ""},
		{"skipped", "2026-03-29 02:30", "Europe/Madrid", "", "does not exist in Europe/Madrid"},
		{"just before", "2026-03-29 01:59", "Europe/Madrid", "2026-03-29T00:59:00Z", ""},
		{"just after", "2026-03-29 03:00", "Europe/Madrid", "2026-03-29T01:00:00Z", ""},
		{"twice", "2026-10-25 02:30", "Europe/Madrid", "", "write 2026-10-25T02:30:00+02:00 or 2026-10-25T02:30:00+01:00"},
		{"twice, where half an hour is changed", "2026-04-05 01:45", "Australia/Lord_Howe", "", "comes twice"},
		{"a day that a zone left out", "2011-12-30 12:00", "Pacific/Apia", "", "does not exist"},
		{"no time", "tomorrow", "UTC", "", "is no time"},
		{"no such day", "2026-02-30 10:00", "UTC", "", "is no time"},
		{"a date alone", "2026-02-03", "UTC", "", "is no time"},
		{"before all years", "0001-01-01T00:00:00+14:00", "UTC", "", "the year 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseTime(c.text, zone(t, c.zone))
			if c.bad != "" {
				if err == nil || !strings.Contains(err.Error(), c.bad) {
					t.Errorf("got %v, %v, want %q", got, err, c.bad)
				}
				return
			}
			if err != nil || got.UTC().Format(time.RFC3339Nano) != c.want {
				t.Errorf("got %v, %v, want %s", got.UTC(), err, c.want)
			}
		})
	}
}

func FuzzParseTime(f *testing.F) {
	zones := []*time.Location{time.UTC, zone(f, "Europe/Madrid"), zone(f, "Australia/Lord_Howe"), zone(f, "Pacific/Apia"), zone(f, "America/Bogota")}
	for i, seed := range []string{"2026-12-01 15:00", "2026-03-29T02:30", "2026-12-01T15:00:00.25-05:00", "2011-12-30 12:00", "9999-12-31 23:59:59", "0001-01-01 00:00", "x"} {
		f.Add(seed, uint8(i))
	}
	f.Fuzz(func(t *testing.T, text string, pick uint8) {
		location := zones[int(pick)%len(zones)]
		got, err := parseTime(text, location)
		if err != nil {
			if _, code := explain(err); code != exitUsage {
				t.Fatalf("%q is no wrong use: %v", text, err)
			}
			return
		}
		if year := got.UTC().Year(); year < 1 || year > 9999 {
			t.Errorf("%q is in the year %d", text, year)
		}
		if again, err := parseTime(got.UTC().Format(time.RFC3339Nano), location); err != nil || !again.Equal(got) {
			t.Errorf("%q is %v and then %v, %v", text, got, again, err)
		}
		for _, layout := range layouts { // the clocks there show what was written
			if wall, err := time.Parse(layout, strings.TrimSpace(text)); err == nil && got.In(location).Format(time.DateTime) != wall.Format(time.DateTime) {
				t.Errorf("%q shows as %s", text, got.In(location))
			}
		}
	})
}
