package job

import (
	"context"
	"math/rand/v2"
	"time"
)

// patience is how many attempts a space that Google does not show gets before that is taken for a refusal.
const patience = 2

// maxAfter bounds a wait that Google asks for, lest a wrong header parks a meeting for good.
const maxAfter = 6 * time.Hour

// pause is how long to wait after f, and whether that is short enough for the message to wait. Only the first dispatch is
// tried again at once: while Google is down each row asks once, not four times. A failure for good is not waited for.
func (s *SyncMeeting) pause(f *Failure, a Attempt) (again time.Duration, short bool) {
	if f.Kind == Hidden && a.Failed >= patience {
		f.Kind = Refused
	}
	switch {
	case f.Permanent():
		return 0, false
	case f.Kind == Deferred:
		return f.After, false // the row's due time, so that the message does not keep a place from others
	}
	after := min(f.After, maxAfter)
	steps := s.timing.Short
	if f.Kind == Hidden {
		steps = s.timing.Visible
	}
	if n := a.Delivered - 1; a.Failed == 0 && n < len(steps) {
		again = max(after+jitter(time.Second/4), jitter(steps[max(n, 0)]))
		if f.Kind == Hidden {
			again = steps[max(n, 0)]
		}
		if again <= s.timing.ShortMax {
			return again, true
		}
	}
	long := s.timing.LongMax
	if a.Failed < 16 {
		long = min(s.timing.Long<<a.Failed, s.timing.LongMax)
	}
	// Half of it is fixed: a pause near nothing would make the doubling worthless.
	return max(after+jitter(long/4), long/2+jitter(long/2)), false
}

// jitter is a random time up to d, so that what failed together does not come back together.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d) //nolint:gosec // spreads retries, keeps no secret
}

// sleep waits on real time: what it waits for is a network.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
