package compat

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// times are the forms of a date and time that clients send: RFC 3339, and around it what Django's parse_datetime takes as
// well: a space for the T, one digit where two are usual, no seconds, an offset without colon or minutes, a date alone.
var times = regexp.MustCompile(`^(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,12}))?)?)? ?([Zz]|[+-]\d{2}(?::?\d{2})?)?$`)

const secondsOfDay = 24 * 60 * 60

// parseTime reads a time. One with no zone is UTC; digits beyond microseconds are dropped.
func parseTime(s string) (time.Time, reason) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil { // nearly all
		return inRange(t)
	}
	m := times.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return time.Time{}, notATime
	}
	number := func(digits string) int {
		n, _ := strconv.Atoi(digits) // "" is 0; the expression lets nothing else through
		return n
	}
	year, month, day, hour, minute, second := number(m[1]), number(m[2]), number(m[3]), number(m[4]), number(m[5]), number(m[6])
	nanos := number((m[7] + "000000")[:6]) * int(time.Microsecond)
	zone, ok := offset(m[8])
	if !ok {
		return time.Time{}, notATime
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone)
	if t.Year() != year || t.Month() != time.Month(month) || t.Day() != day || t.Hour() != hour || t.Minute() != minute || t.Second() != second {
		return time.Time{}, notATime // the 30th of February
	}
	return inRange(t)
}

// offset reads Z, +05, +0530 and +05:30.
func offset(s string) (*time.Location, bool) {
	if s == "" || s == "Z" || s == "z" {
		return time.UTC, true
	}
	hours, _ := strconv.Atoi(s[1:3])
	minutes, _ := strconv.Atoi(strings.TrimPrefix(s[3:], ":"))
	if hours > 23 || minutes > 59 {
		return nil, false
	}
	seconds := hours*3600 + minutes*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), true
}

// inRange brings t to what is stored: UTC, microseconds, the years that a calendar has. The very first instant of them is
// out of range too: it stands for no time at all.
func inRange(t time.Time) (time.Time, reason) {
	if _, seconds := t.Zone(); seconds <= -secondsOfDay || seconds >= secondsOfDay {
		return time.Time{}, notATime // RFC 3339 ends offsets at 23:59; the library lets 24:00 through
	}
	t = t.UTC().Truncate(time.Microsecond)
	if t.Year() < 1 || t.Year() > 9999 || t.IsZero() {
		return time.Time{}, timeOutOfRange
	}
	return t, ""
}
