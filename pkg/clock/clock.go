// Package clock is where programs ask for the time, so that a test can decide it and a simulation
// can move it. It gives the time and the means to wait for one; it knows no zones and no schedules.
//
// Leases, network time-outs and back-off stay on real time and do not use it.
package clock

import (
	"slices"
	"sync"
	"time"

	"go.uber.org/fx"
)

// Resolution is what every time is cut to: what a Postgres timestamptz keeps, so that a time is
// equal to itself after it was stored.
const Resolution = time.Microsecond

// Clock gives the current time, in UTC and whole microseconds.
type Clock func() time.Time

// Alarm returns a channel that is closed once the clock has reached at; it is closed already when
// at has passed. Because at is a time and not a duration, it makes no difference whether the clock
// is moved before or after the alarm is set. Release frees the alarm, may be called twice and never
// closes the channel.
//
//	rung, release := alarm(due)
//	defer release()
//	select {
//	case <-rung:
//	case <-wake:
//	case <-ctx.Done():
//	}
type Alarm func(at time.Time) (rung <-chan struct{}, release func())

// System is the machine's clock.
func System() Clock {
	return func() time.Time { return Cut(time.Now()) }
}

// SystemAlarm rings by the machine's clock. It keeps to the monotonic clock from the moment it is
// set, so a loop that waits for hours looks at the time again when it rings.
func SystemAlarm() Alarm {
	return func(at time.Time) (<-chan struct{}, func()) {
		rung := make(chan struct{})
		wait := time.Until(at)
		if wait <= 0 {
			close(rung)
			return rung, func() {}
		}
		timer := time.AfterFunc(wait, func() { close(rung) })
		return rung, func() { timer.Stop() }
	}
}

// Cut brings t to what a [Clock] gives: UTC, whole microseconds, no monotonic reading.
func Cut(t time.Time) time.Time { return t.UTC().Truncate(Resolution) }

// Manual is a clock that stands still until it is moved. It is safe for concurrent use.
type Manual struct {
	mu      sync.Mutex
	now     time.Time
	waiting []*waiter
}

type waiter struct {
	at   time.Time
	rung chan struct{}
}

// NewManual makes a clock that stands at t.
func NewManual(t time.Time) *Manual { return &Manual{now: Cut(t)} }

// Now is a [Clock].
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Advance moves the clock by d and returns the new time; every alarm due by then has rung when it
// returns. A negative d moves it back and rings nothing.
func (m *Manual) Advance(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(m.now.Add(d))
	return m.now
}

// Set moves the clock to t, as [Manual.Advance] does.
func (m *Manual) Set(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(t)
}

func (m *Manual) set(t time.Time) {
	m.now = Cut(t)
	m.waiting = slices.DeleteFunc(m.waiting, func(w *waiter) bool {
		due := !w.at.After(m.now)
		if due {
			close(w.rung)
		}
		return due
	})
}

// Alarm is an [Alarm] on this clock.
func (m *Manual) Alarm(at time.Time) (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &waiter{at: at, rung: make(chan struct{})}
	if !at.After(m.now) {
		close(w.rung)
		return w.rung, func() {}
	}
	m.waiting = append(m.waiting, w)
	return w.rung, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.waiting = slices.DeleteFunc(m.waiting, func(other *waiter) bool { return other == w })
	}
}

// Next is the time of the earliest alarm that has not rung; false when none waits. A simulation
// jumps from one to the next.
func (m *Manual) Next() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == 0 {
		return time.Time{}, false
	}
	first := slices.MinFunc(m.waiting, func(a, b *waiter) int { return a.at.Compare(b.at) })
	return first.at, true
}

// Module is the machine's clock. Needs nothing; provides [Clock] and [Alarm].
var Module = fx.Module("clock", fx.Provide(System, SystemAlarm))
