// Package schedule says when periodic jobs run: by a cron line in a time zone whose clocks are put forward and back. It does no I/O
// and asks no clock.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Line is a checked cron line in a zone; its zero value never comes.
type Line struct {
	text string
	zone *time.Location
	// wall is asked with the reading of the wall clock as if it were UTC, so that it knows no changes of the clock.
	wall cron.Schedule
	// often: it comes in every hour, and goes by real time through a change of the clock.
	often bool
}

// anyHour is the bit that the library sets for a field that was written as * (cron's spec.go, starBit).
const anyHour = 1 << 63

// Parse reads five fields (minute, hour, day of month, month, day of week), @daily and the like, or @every and a duration. A line
// that never comes is an error.
func Parse(text string, zone *time.Location) (Line, error) {
	if strings.Contains(text, "TZ=") {
		return Line{}, errors.New("names a time zone of its own")
	}
	s, err := cron.ParseStandard(text)
	if err != nil {
		return Line{}, fmt.Errorf("is no cron line (%w)", err)
	}
	l := Line{text: text, zone: zone, wall: s}
	if s, ok := s.(*cron.SpecSchedule); ok {
		s.Location, l.often = time.UTC, s.Hour&anyHour != 0
	}
	if l.Next(time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Line{}, errors.New("never comes")
	}
	return l, nil
}

// String is the line as it was written, with its zone: two that are equal come at the same times.
func (l Line) String() string {
	if l.wall == nil {
		return ""
	}
	return l.text + " " + l.zone.String()
}

// Next is the first time after t, in UTC; the zero time when there is none. A time that the clock leaps over comes when the clock
// has leapt, once however many were leapt over; one that it shows twice comes the first time alone. A line for every hour comes as
// the clock shows it, in the hour that is there twice both times.
func (l Line) Next(t time.Time) time.Time {
	if l.wall == nil {
		return time.Time{}
	}
	if every, ok := l.wall.(cron.ConstantDelaySchedule); ok {
		return every.Next(t).UTC()
	}
	if l.often {
		return l.nextOften(t)
	}
	wall := l.read(t)
	for {
		if wall = l.wall.Next(wall); wall.IsZero() {
			return time.Time{}
		}
		if at := l.at(wall); at.After(t) {
			return at
		}
	}
}

// nextOften goes by real time: within one offset the wall clock is real time, and where it changes it is read anew.
func (l Line) nextOften(t time.Time) time.Time {
	for {
		_, change := t.In(l.zone).ZoneBounds()
		next := l.wall.Next(l.read(t))
		if next.IsZero() {
			return time.Time{}
		}
		_, offset := t.In(l.zone).Zone()
		at := next.Add(-time.Duration(offset) * time.Second)
		if change.IsZero() || at.Before(change) {
			return at.UTC()
		}
		if l.comesAt(change) {
			return change.UTC()
		}
		t = change
	}
}

// comesAt tells whether the line comes at what the clock shows at t.
func (l Line) comesAt(t time.Time) bool {
	wall := l.read(t)
	return l.wall.Next(wall.Add(-time.Second)).Equal(wall)
}

// read is what the wall clock shows at t, as if it were UTC.
func (l Line) read(t time.Time) time.Time {
	t = t.In(l.zone)
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// at is the first time that the wall clock shows wall, or has leapt over it.
func (l Line) at(wall time.Time) time.Time {
	// Offsets are within a day: before first and after last the clock shows other times.
	first, last := wall.Add(-24*time.Hour), wall.Add(24*time.Hour)
	for t := first; ; {
		_, end := t.In(l.zone).ZoneBounds()
		_, offset := t.In(l.zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		switch {
		case at.Before(t): // it was leapt over when this offset began
			return t.UTC()
		case end.IsZero(), at.Before(end):
			return at.UTC()
		case end.After(last):
			return at.UTC()
		}
		t = end
	}
}

// Day is the calendar day of the zone that t is on: its beginning and its end.
func Day(t time.Time, zone *time.Location) (from, to time.Time) {
	y, m, d := t.In(zone).Date()
	l := Line{zone: zone}
	return l.at(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)), l.at(time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC))
}
