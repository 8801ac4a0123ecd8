package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Span is a length of time that may be given in days, as 3650d or 1d12h beside what a [time.Duration] takes. A day is 24 hours.
// It is never negative.
type Span time.Duration

const day = 24 * time.Hour

// Duration is the same as a time.Duration.
func (s Span) Duration() time.Duration { return time.Duration(s) }

// String is the text that [Span.UnmarshalText] reads.
func (s Span) String() string {
	days, rest := time.Duration(s)/day, time.Duration(s)%day
	switch {
	case days == 0:
		return rest.String()
	case rest == 0:
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	return strconv.FormatInt(int64(days), 10) + "d" + rest.String()
}

// UnmarshalText reads a number of days, a duration, or days and then a duration; 0 needs no unit.
func (s *Span) UnmarshalText(text []byte) error {
	days, rest, found := strings.Cut(string(text), "d")
	if !found {
		days, rest = "0", string(text)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > uint64(math.MaxInt64/day) {
		return errors.New("write days or a duration, as 3650d, 12h or 1d12h")
	}
	var d time.Duration
	if rest != "" || !found {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 {
			return errors.New("write days or a duration, as 3650d, 12h or 1d12h")
		}
	}
	total := time.Duration(n) * day
	if total > math.MaxInt64-d {
		return fmt.Errorf("%s is longer than can be counted", text)
	}
	*s = Span(total + d)
	return nil
}

// MarshalText is [Span.String].
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
