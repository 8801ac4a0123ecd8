// Package load keeps a number of operations in flight for a while and says how quick they were. It is a closed loop: who waits
// for an answer sends nothing meanwhile, as callers of the API do.
package load

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Op is one operation; n counts from 0 over the whole run, and no two operations of a run share one.
type Op func(ctx context.Context, n int) error

// Result of a run.
type Result struct {
	// Done counts operations without an error, Failed those with one; FirstError is the first's.
	Done, Failed int
	FirstError   error
	Elapsed      time.Duration
	// P50, P99 and Max of the operations without an error.
	P50, P99, Max time.Duration
}

// PerSecond is how many operations were done each second.
func (r Result) PerSecond() float64 { return float64(r.Done) / r.Elapsed.Seconds() }

// Run keeps inFlight operations under way for d, or until ctx ends, and then waits for those under way.
func Run(ctx context.Context, inFlight int, d time.Duration, op Op) Result {
	var (
		next    atomic.Int64
		workers sync.WaitGroup
		mu      sync.Mutex // guards what follows
		result  Result
		took    []time.Duration
	)
	began := time.Now()
	until := began.Add(d)
	for range inFlight {
		workers.Go(func() {
			mine := make([]time.Duration, 0, 1<<14)
			var failed int
			var first error
			for now := time.Now(); now.Before(until) && ctx.Err() == nil; {
				err := op(ctx, int(next.Add(1)-1))
				end := time.Now()
				if err == nil {
					mine = append(mine, end.Sub(now))
				} else if failed++; first == nil {
					first = err
				}
				now = end
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			result.Failed += failed
			if result.FirstError == nil {
				result.FirstError = first
			}
		})
	}
	workers.Wait()
	result.Elapsed = time.Since(began)
	result.Done = len(took)
	slices.Sort(took)
	result.P50, result.P99, result.Max = quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1)
	return result
}

// quantile of sorted values: the smallest that at least the share q of them does not exceed; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(q * float64(len(sorted)))
	if float64(rank) < q*float64(len(sorted)) {
		rank++
	}
	return sorted[max(rank, 1)-1]
}
