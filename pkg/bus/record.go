package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Record is a JSON value of a key-value bucket that several instances change, as this one last saw it. What others have changed
// since shows when it is to be changed. The zero Record is one that is not there, as far as is known.
type Record[R any] struct {
	Value    R
	Revision uint64 // 0: not there, as far as is known
}

// Swap stores next in place of what this instance last saw. Where another was quicker it stores nothing, reads what is there now,
// and returns false.
func (r *Record[R]) Swap(ctx context.Context, bucket jetstream.KeyValue, key string, next R) (bool, error) {
	body, err := json.Marshal(next)
	if err != nil {
		return false, fmt.Errorf("encode %s: %w", key, err)
	}
	var revision uint64
	if r.Revision == 0 {
		revision, err = bucket.Create(ctx, key, body)
	} else {
		revision, err = bucket.Update(ctx, key, body, r.Revision)
	}
	switch {
	case err == nil:
		*r = Record[R]{next, revision}
		return true, nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return false, r.Read(ctx, bucket, key)
	}
	return false, fmt.Errorf("change %s: %w", key, errors.Join(err, context.Cause(ctx)))
}

// Read takes what is there now. What nobody can decode is as good as lost: the zero value.
func (r *Record[R]) Read(ctx context.Context, bucket jetstream.KeyValue, key string) error {
	entry, err := bucket.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		*r = Record[R]{}
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", key, errors.Join(err, context.Cause(ctx)))
	}
	var fresh R
	if json.Unmarshal(entry.Value(), &fresh) != nil {
		fresh = *new(R)
	}
	*r = Record[R]{fresh, entry.Revision()}
	return nil
}
