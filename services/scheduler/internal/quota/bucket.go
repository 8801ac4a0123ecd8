package quota

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const (
	// lateness is how late a slot may be taken that nobody has taken in time; so many slots are also there at once after a rest.
	lateness = time.Second
	// leastSlack and mostSlack bound how much later still its call may be made, while it waits for a slot of another budget:
	// a slot and a half of the project's.
	leastSlack = 500 * time.Millisecond
	mostSlack  = 2 * time.Second
	// leaseSpan is how much of the time to come an instance leases at most at a time. What it leases and does not use is lost.
	leaseSpan = 250 * time.Millisecond
	// halved is how long a refusal halves a budget.
	halved = time.Minute
	// farAhead is further than any pause: a record that says so was written by a clock that has been set back since.
	farAhead = keepRecords
)

// line is the shared record of a budget: which slots are taken.
type line struct {
	// Next is the first slot that nobody has leased, in µs of Unix time on the domain's clock.
	Next int64 `json:"next"`
	// Halved is until when the slots lie twice as far apart.
	Halved int64 `json:"halved,omitempty"`
	// Minute of Unix time in which Leased slots were leased, after Before in the minute before it: for the metrics, not for the limits.
	Minute int64 `json:"minute,omitempty"`
	Leased int   `json:"leased,omitempty"`
	Before int   `json:"before,omitempty"`
}

// bucket is one budget: of the project or of an organizer, in one class. Its calls are given slots, evenly spaced times; the
// record of the first free slot is shared, and each instance leases a run of slots at a time.
type bucket struct {
	key      string
	interval time.Duration // between slots
	budget   int           // calls a minute, of all instances
	scope    string        // for metrics

	waiting atomic.Int32  // callers at the turnstile, this instance's
	turn    chan struct{} // held while slots are taken or leased
	last    bus.Record[line]
	slots   []time.Time // leased and free, in order
	grown   int         // slots of the next lease
	back    [2]time.Time
	used    time.Time
}

// newBucket makes one of which a sliding minute has no more calls than the budget: a minute, and how late slots may be used,
// hold as many, evenly spaced.
func newBucket(key, scope string, perMinute int, slack time.Duration) *bucket {
	return &bucket{key: key, scope: scope, interval: spacing(perMinute, time.Minute+lateness+slack), budget: int(share * float64(perMinute)), turn: make(chan struct{}, 1), grown: 1}
}

// spacing of the calls of a budget over a time, rounded up to what records hold.
func spacing(perMinute int, over time.Duration) time.Duration {
	budget := max(1, int64(share*float64(perMinute)))
	return time.Duration((over.Microseconds()+budget-1)/budget) * time.Microsecond
}

// slackOf is that of a class with such a quota.
func slackOf(q Quota) time.Duration {
	return min(max(spacing(q.Project, time.Minute)*3/2, leastSlack), mostSlack)
}

// enter waits for the caller's turn with the bucket.
func (b *bucket) enter(ctx context.Context) error {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *bucket) leave() { <-b.turn }

// take gives a slot that is not after now and ahead; else no slot, and when the first would come. Call it between enter and
// leave.
func (b *bucket) take(ctx context.Context, s *store, now time.Time, ahead time.Duration) (slot time.Time, later time.Duration, err error) {
	b.used = now
	stale := 0
	for stale < len(b.slots) && b.slots[stale].Before(now.Add(-lateness)) {
		stale++
	}
	if stale > 0 {
		b.slots, b.grown = slices.Delete(b.slots, 0, stale), 1
	}
	if len(b.slots) == 0 {
		if later, err = b.lease(ctx, s, now, ahead); later > 0 || err != nil {
			return time.Time{}, later, err
		}
	}
	if first := b.slots[0]; first.After(now.Add(ahead)) {
		return time.Time{}, first.Sub(now), nil
	}
	slot = b.slots[0]
	b.slots = slices.Delete(b.slots, 0, 1)
	return slot, 0, nil
}

// putBack makes a slot free again that take gave.
func (b *bucket) putBack(slot time.Time) {
	i, _ := slices.BinarySearchFunc(b.slots, slot, time.Time.Compare)
	b.slots = slices.Insert(b.slots, i, slot)
}

// lease takes a run of slots for this instance, none when the first free one is too far ahead.
func (b *bucket) lease(ctx context.Context, s *store, now time.Time, ahead time.Duration) (later time.Duration, err error) {
	most := max(1, int(leaseSpan/b.interval))
	n := min(max(b.grown, int(b.waiting.Load())+1), most)
	var from time.Time
	var step time.Duration
	err = change(ctx, s, b.key, &b.last, func(l *line) bool {
		from, step, later = l.first(now), b.step(*l, now), 0
		if from.After(now.Add(ahead)) {
			later = from.Sub(now)
			return false
		}
		l.Next = from.Add(time.Duration(n) * step).UnixMicro()
		l.count(n, now)
		return true
	})
	if err != nil || later > 0 {
		return later, err
	}
	for i := range n {
		b.slots = append(b.slots, from.Add(time.Duration(i)*step))
	}
	b.grown = min(2*n, most)
	return 0, nil
}

// first is the first slot that is free and not too late.
func (l line) first(now time.Time) time.Time {
	next := time.UnixMicro(l.Next).UTC()
	if oldest := now.Add(-lateness); next.Before(oldest) || next.After(now.Add(farAhead)) {
		return oldest
	}
	return next
}

// count notes n slots that are leased now. A clock that is behind counts them with the minute of the one that is ahead.
func (l *line) count(n int, now time.Time) {
	switch minute := now.Unix() / 60; {
	case minute == l.Minute+1:
		l.Minute, l.Before, l.Leased = minute, l.Leased, 0
	case minute > l.Minute:
		l.Minute, l.Before, l.Leased = minute, 0, 0
	}
	l.Leased += n
}

// leased is how many slots were leased in the minute before now, taking those of the last minute as evenly spread.
func (l line) leased(now time.Time) float64 {
	into := float64(now.Unix()%60) / 60
	switch minute := now.Unix() / 60; {
	case minute <= l.Minute:
		return float64(l.Leased) + float64(l.Before)*(1-into)
	case minute == l.Minute+1:
		return float64(l.Leased) * (1 - into)
	}
	return 0
}

// left is how many calls of a minute's budget are left, and the budget.
func (b *bucket) left(now time.Time) (left, budget float64) {
	budget = float64(b.budget)
	if b.step(b.last.Value, now) > b.interval {
		budget /= 2
	}
	return max(0, budget-b.last.Value.leased(now)), budget
}

func (b *bucket) step(l line, now time.Time) time.Duration {
	if until := time.UnixMicro(l.Halved); until.After(now) && until.Before(now.Add(farAhead)) {
		return 2 * b.interval
	}
	return b.interval
}

// slow halves the budget for a minute and, where Google says how long to wait, closes it until then.
func (b *bucket) slow(ctx context.Context, s *store, now time.Time, after time.Duration) error {
	b.slots, b.grown = nil, 1
	return change(ctx, s, b.key, &b.last, func(l *line) bool {
		l.Halved = max(l.Halved, now.Add(halved+after).UnixMicro())
		l.Next = max(l.first(now).UnixMicro(), now.Add(after).UnixMicro())
		return true
	})
}

// place is when a caller that got no slot should come again; soonest is when the first free slot is near enough. Each of the
// instances sees its part of the callers and spreads them so that, all together, four come for each slot: most come in vain,
// but a slot that nobody takes is lost, and a budget that is used up by 97 % is worth their way.
func (b *bucket) place(d job.Demand, now time.Time, soonest time.Duration, instances int) time.Duration {
	at := &b.back[0]
	if d.Urgent {
		at = &b.back[1]
	}
	first := now.Add(soonest)
	if at.Before(first) || at.After(first.Add(longestLine)) {
		*at = first
	}
	*at = at.Add(b.interval * time.Duration(instances) / 4)
	return max(at.Sub(now), shortestLine)
}

const (
	// longestLine is the longest that callers are spread over; those after it come among them.
	longestLine = 10 * time.Minute
	// shortestLine is the shortest way round through the database.
	shortestLine = 100 * time.Millisecond
)
