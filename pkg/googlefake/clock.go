package googlefake

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Bounds of the emulator's clock.
const (
	farthest   = 100 * 365 * 24 * time.Hour // ahead of the machine's, so that years keep their four digits
	fastest    = 100_000                    // rate
	clockWait  = 30 * time.Second           // usual wait of a long poll
	longestWay = 5 * time.Minute            // and its cap
)

// Clock is what a client needs to follow the emulator's clock by itself: at the machine's time t the
// emulator's is Epoch.Emulated + (t − Epoch.Real) × Rate, until the revision changes.
type Clock struct {
	Now      time.Time  `json:"now"`      // on the emulator's clock, when this was written
	Rate     float64    `json:"rate"`     // emulated seconds in a real one; 0 is frozen
	Revision int64      `json:"revision"` // changes with every change of the clock
	Epoch    ClockEpoch `json:"epoch"`
}

// ClockEpoch is one moment on both clocks.
type ClockEpoch struct {
	Real     time.Time `json:"real"`
	Emulated time.Time `json:"emulated"`
}

// ClockChange is a change of the emulator's clock. Set and Advance come first, then Rate.
type ClockChange struct {
	Set     time.Time     // zero: not
	Advance time.Duration // zero: not
	Rate    *float64      // nil: as it is; 0 freezes
}

// clockState is the clock as it is kept; it never changes, a new one takes its place.
type clockState struct {
	Real     time.Time `json:"real"`
	Emulated time.Time `json:"emulated"`
	Rate     float64   `json:"rate"`
	Revision int64     `json:"revision"`
	Before   float64   `json:"before,omitempty"` // the rate that a freeze ends with
}

// at is the emulated time at the machine's time t.
func (c *clockState) at(t time.Time) time.Time {
	d := float64(t.Sub(c.Real)) * c.Rate
	d = min(d, float64(farthest))
	return c.Emulated.Add(time.Duration(d)).UTC()
}

// bell wakes everybody who waits for a change.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait gives a channel that the next ring closes.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// now is the emulator's own time, in UTC.
func (s *Server) now() time.Time { return s.store.clock.Load().at(s.cfg.Now()) }

// Now is the emulator's clock.
func (s *Server) Now() time.Time { return s.now() }

// Clock says how the emulator's clock runs.
func (s *Server) Clock() Clock {
	c := s.store.clock.Load()
	return Clock{
		Now: c.at(s.cfg.Now()), Rate: c.Rate, Revision: c.Revision,
		Epoch: ClockEpoch{Real: c.Real.UTC(), Emulated: c.Emulated.UTC()},
	}
}

// Advance moves the emulator's clock forward, for good where there is a directory. It goes no more
// than a hundred years ahead in all.
func (s *Server) Advance(d time.Duration) error {
	if d <= 0 {
		return &fieldError{"advance", "want more than 0"}
	}
	return s.SetClock(ClockChange{Advance: d})
}

// SetClock changes the emulator's clock, for good where there is a directory, and lets everything
// happen that is due by then. It goes back only while there are no events and no spaces: what has
// happened can't happen again.
func (s *Server) SetClock(change ClockChange) error {
	if err := s.setClock(change); err != nil {
		return err
	}
	s.clockChanged.ring()
	return s.progress()
}

func (s *Server) setClock(change ClockChange) error {
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	old := st.clock.Load()
	real := s.cfg.Now()
	now := old.at(real)
	next := &clockState{Real: real, Emulated: now, Rate: old.Rate, Revision: old.Revision + 1, Before: old.Before}
	if !change.Set.IsZero() {
		if change.Set.Before(now) && len(st.calendars)+len(st.spaces) > 0 {
			return &fieldError{"set", "want no time before " + now.Format(time.RFC3339) + ": there are events or spaces already"}
		}
		next.Emulated = change.Set
	}
	if change.Advance < 0 {
		return &fieldError{"advance", "want more than 0"}
	}
	if change.Advance > farthest || next.Emulated.Add(change.Advance).Sub(real) > farthest || real.Sub(next.Emulated) > farthest {
		field := "advance"
		if change.Advance == 0 {
			field = "set"
		}
		return &fieldError{field, "want at most a hundred years ahead in all"}
	}
	next.Emulated = next.Emulated.Add(change.Advance)
	if r := change.Rate; r != nil {
		if math.IsNaN(*r) || *r < 0 || *r > fastest {
			return &fieldError{"rate", "want 0 (frozen) to " + strconv.Itoa(fastest)}
		}
		if *r == 0 && old.Rate != 0 {
			next.Before = old.Rate
		}
		next.Rate = *r
	}
	if err := st.commit(appendRecord(st.scratch[:0], record{Kind: "clock", Clock: next})); err != nil {
		return err
	}
	st.clock.Store(next)
	return nil
}

// clockBody is POST /_emulator/clock.
type clockBody struct {
	Advance *string  `json:"advance"`
	Set     *string  `json:"set"`
	Rate    *float64 `json:"rate"`
	Freeze  *bool    `json:"freeze"`
}

// decodeClock reads the body of POST /_emulator/clock. Errors are *fieldError.
func decodeClock(body []byte) (change ClockChange, freeze *bool, err error) {
	var in clockBody
	if err := decodeStrict(body, &in); err != nil {
		return change, nil, asFieldError(err)
	}
	if in == (clockBody{}) {
		return change, nil, &fieldError{"advance", "want some of advance, set, rate and freeze"}
	}
	if in.Advance != nil {
		d, err := time.ParseDuration(*in.Advance)
		if err != nil || d <= 0 {
			return change, nil, &fieldError{"advance", `want a duration such as "1h" or "90s"`}
		}
		change.Advance = d
	}
	if in.Set != nil {
		t, err := time.Parse(time.RFC3339, *in.Set)
		if err != nil || t.IsZero() {
			return change, nil, &fieldError{"set", `want a time such as "2026-12-01T09:00:00Z"`}
		}
		change.Set = t
	}
	if in.Rate != nil && in.Freeze != nil {
		return change, nil, &fieldError{"freeze", "want rate or freeze, not both"}
	}
	change.Rate = in.Rate
	return change, in.Freeze, nil
}

func (s *Server) postClock(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	change, freeze, err := decodeClock(body)
	if err != nil {
		return err
	}
	if c := s.store.clock.Load(); freeze != nil && *freeze != (c.Rate == 0) {
		change.Rate = new(float64)
		if !*freeze {
			*change.Rate = 1
			if c.Before > 0 {
				*change.Rate = c.Before
			}
		}
	}
	if err := s.SetClock(change); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(s.Clock())))
	return nil
}

// getClock answers at once, or with ?after=REVISION when the clock has another revision; after
// ?wait (30s) it answers all the same.
func (s *Server) getClock(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if text := q.Get("after"); text != "" {
		after, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return &fieldError{"after", "want a revision"}
		}
		wait := clockWait
		if text := q.Get("wait"); text != "" {
			if wait, err = time.ParseDuration(text); err != nil || wait < 0 || wait > longestWay {
				return &fieldError{"wait", `want a duration up to "5m"`}
			}
		}
		s.awaitClock(r.Context(), after, wait)
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(s.Clock())))
	return nil
}

func (s *Server) awaitClock(ctx context.Context, after int64, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		changed := s.clockChanged.wait()
		if s.store.clock.Load().Revision != after {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		}
	}
}

// untilEmulated is how long, in real time, the emulator's clock needs to t; ok is false when it
// stands still.
func (s *Server) untilEmulated(t time.Time) (d time.Duration, ok bool) {
	c := s.store.clock.Load()
	if c.Rate == 0 {
		return 0, false
	}
	left := float64(t.Sub(c.at(s.cfg.Now()))) / c.Rate
	return time.Duration(min(max(left, 0), float64(time.Hour))), true
}
