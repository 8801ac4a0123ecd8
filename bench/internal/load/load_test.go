package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunKeepsAsManyUnderWayAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most, calls atomic.Int64
		r := Run(t.Context(), 4, time.Second, func(_ context.Context, n int) error {
			calls.Add(1)
			now := under.Add(1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond) // the bubble's time
			under.Add(-1)
			if n%10 == 0 {
				return errors.New("no")
			}
			return nil
		})
		if most.Load() != 4 || calls.Load() != 400 || r.Done != 360 || r.Failed != 40 || r.FirstError == nil {
			t.Fatalf("most %d, calls %d, result %+v", most.Load(), calls.Load(), r)
		}
		if r.P50 != 10*time.Millisecond || r.P99 != r.P50 || r.Max != r.P50 || r.Elapsed != time.Second || r.PerSecond() != 360 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestQuantilesAreValuesThatWereMeasured(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of   []time.Duration
		q    float64
		want time.Duration
	}{
		{nil, 0.5, 0},
		{hundred[:1], 0.5, 1},
		{hundred[:1], 0.99, 1},
		{hundred[:2], 0.5, 1},
		{hundred[:3], 0.5, 2},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := quantile(c.of, c.q); got != c.want {
			t.Errorf("quantile %v of %d values = %d, want %d", c.q, len(c.of), got, c.want)
		}
	}
}
