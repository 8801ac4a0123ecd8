package command

import (
	"strings"
	"time"
)

// layouts of times without an offset.
var layouts = [...]string{"2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05"}

// parseTime reads RFC 3339, or a date and time of day in location. A time of day that a change of clocks skips or repeats is an
// error: nobody can know which moment was meant.
func parseTime(text string, location *time.Location) (time.Time, error) {
	text = strings.TrimSpace(text)
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, checkYear(t)
	}
	for _, layout := range layouts {
		if wall, err := time.Parse(layout, text); err == nil { // in UTC: the digits as they are
			return moment(wall, location)
		}
	}
	return time.Time{}, usage("%q is no time; write it as 2026-12-01T15:00:00Z, or as \"2026-12-01 15:00\" with --time-zone", text)
}

// moment is when the clocks of location show wall.
func moment(wall time.Time, location *time.Location) (time.Time, error) {
	var found []time.Time
	// No zone changes its clocks twice within a day, so the two offsets around it are all that can hold.
	for _, around := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(around).In(location).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(location)
		if same(t, wall) && (len(found) == 0 || !found[0].Equal(t)) {
			found = append(found, t)
		}
	}
	const layout = "2006-01-02 15:04"
	switch len(found) {
	case 1:
		return found[0], checkYear(found[0])
	case 0:
		return time.Time{}, usage("%s does not exist in %s: clocks are put forward then; choose another time", wall.Format(layout), location)
	}
	return time.Time{}, usage("%s comes twice in %s: clocks are put back then; write %s or %s", wall.Format(layout), location,
		found[0].Format(time.RFC3339), found[1].Format(time.RFC3339))
}

func same(t, wall time.Time) bool {
	return t.Format(time.DateTime) == wall.Format(time.DateTime)
}

func checkYear(t time.Time) error {
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return usage("the year %d is not between 1 and 9999", year)
	}
	return nil
}
