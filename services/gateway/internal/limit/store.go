package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const (
	// storeTimeout bounds one change of a record, its repeats included: a request waits for it.
	storeTimeout = 500 * time.Millisecond
	// awaySpan is how long NATS is not asked after it did not answer.
	awaySpan = 5 * time.Second
	// keepRecords is longer than any bucket takes to be full again.
	keepRecords = time.Hour
	// maxStore holds more than a hundred thousand callers.
	maxStore = 32 << 20
	// maxLost bounds how often a change is tried anew because another gateway was quicker.
	maxLost = 32
)

// store is the records that all gateways share. Nothing in it has to last: without it buckets are full.
type store struct {
	bus *bus.Bus

	mu     sync.Mutex
	bucket jetstream.KeyValue
	away   time.Time // until when it is not asked
}

var errAway = errors.New("NATS is away")

// change runs fn on the record until its result is stored; fn must bear being run again, on a newer record. When fn returns false the
// record stays as it is, once it is sure that it was the newest.
func change[R any](ctx context.Context, s *store, now time.Time, key string, last *bus.Record[R], fn func(*R) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeTimeout, fmt.Errorf("NATS did not change %s within %s", key, storeTimeout))
	defer cancel()
	fresh := false
	for range maxLost {
		bucket, err := s.open(ctx, now)
		if err != nil {
			return err
		}
		next := last.Value
		if !fn(&next) {
			if fresh {
				return nil
			}
			if err := last.Read(ctx, bucket, key); err != nil {
				return s.failed(now, err)
			}
			fresh = true
			continue
		}
		stored, err := last.Swap(ctx, bucket, key, next)
		if err != nil {
			return s.failed(now, err)
		}
		if stored {
			return nil
		}
		fresh = true
	}
	return fmt.Errorf("change %s: others were quicker %d times", key, maxLost)
}

// open makes the bucket where it is not there.
func (s *store) open(ctx context.Context, now time.Time) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.away) || !s.bus.Conn().IsConnected() {
		return nil, errAway
	}
	if s.bucket != nil {
		return s.bucket, nil
	}
	bucket, err := s.bus.KeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: subject.BucketLimits, Description: "how many requests each caller may still send",
		Storage: jetstream.MemoryStorage, TTL: keepRecords, MaxBytes: maxStore,
	})
	if err != nil {
		s.away = now.Add(awaySpan)
		return nil, fmt.Errorf("make the bucket of limits: %w", errors.Join(err, context.Cause(ctx)))
	}
	s.bucket = bucket
	return bucket, nil
}

// failed leaves NATS alone for a while, and makes the bucket anew then: it may have lost its memory.
func (s *store) failed(now time.Time, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.bucket = now.Add(awaySpan), nil
	return err
}
