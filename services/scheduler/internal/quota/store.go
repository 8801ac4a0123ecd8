package quota

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const (
	// storeTimeout bounds one change of a shared record, its repeats included.
	storeTimeout = 2 * time.Second
	// keepRecords is how long a record is kept that nobody changes: longer than any pause that it may hold.
	keepRecords = 8 * time.Hour
	// maxLost bounds how often a change is tried anew because another instance was quicker.
	maxLost = 64
)

// store is the records that all schedulers share: a key-value bucket in the memory of NATS. Nothing in it has to last: without
// it an instance starts a fresh one, which lets a second's worth of calls more pass.
type store struct {
	bus *bus.Bus

	mu     sync.Mutex
	bucket jetstream.KeyValue
}

// change runs fn on the record until its result is stored; fn must bear being run again, on a newer record. When fn returns
// false the record stays as it is.
func change[R any](ctx context.Context, s *store, key string, last *bus.Record[R], fn func(*R) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeTimeout, fmt.Errorf("NATS did not change %s within %s", key, storeTimeout))
	defer cancel()
	remade := false
	for lost := 0; lost < maxLost; {
		bucket, err := s.open(ctx)
		if err != nil {
			return err
		}
		next := last.Value
		if !fn(&next) {
			return nil
		}
		stored, err := last.Swap(ctx, bucket, key, next)
		switch {
		case stored:
			return nil
		case err == nil:
			if lost++; lost > 2 { // two that meet every time would go on so
				pause(ctx, rand.N(time.Duration(min(lost, 10))*time.Millisecond)) //nolint:gosec // spreads tries, keeps no secret
			}
		case !remade && (errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)):
			s.forget() // NATS has lost its memory
			*last, remade = bus.Record[R]{}, true
		default:
			return err
		}
	}
	return fmt.Errorf("change %s: others were quicker %d times", key, maxLost)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// open makes the bucket where it is not there.
func (s *store) open(ctx context.Context) (jetstream.KeyValue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.bus.Conn().IsConnected() {
		return nil, errAway // a job must not wait for a reconnect
	}
	if s.bucket != nil {
		return s.bucket, nil
	}
	bucket, err := s.bus.KeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: subject.BucketQuota, Description: "how far Google's quotas are used up, and which of its APIs are down",
		Storage: jetstream.MemoryStorage, TTL: keepRecords, MaxBytes: maxStore,
	})
	if err != nil {
		return nil, fmt.Errorf("make the bucket of quotas: %w", errors.Join(err, context.Cause(ctx)))
	}
	s.bucket = bucket
	return bucket, nil
}

var errAway = errors.New("NATS is away")

// maxStore holds more than fifty thousand organizers.
const maxStore = 32 << 20

func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bucket = nil
}
