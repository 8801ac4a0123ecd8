package bus_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
)

func TestARecordIsSwappedByWhoeverSawTheNewest(t *testing.T) {
	b := start(t, natstest.New(t))
	ctx := within(t, patience)
	bucket, err := b.KeyValue(ctx, jetstream.KeyValueConfig{Bucket: "records", Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	var mine, theirs bus.Record[map[string]int]
	swap := func(r *bus.Record[map[string]int], n int, want bool) {
		t.Helper()
		stored, err := r.Swap(ctx, bucket, "k", map[string]int{"n": n})
		if err != nil || stored != want {
			t.Fatalf("%d: stored %v, %v", n, stored, err)
		}
	}
	swap(&mine, 1, true)
	swap(&theirs, 2, false)
	if theirs.Value["n"] != 1 {
		t.Errorf("who was slower sees %v", theirs.Value)
	}
	swap(&theirs, 2, true)
	swap(&mine, 3, false)
	if mine.Value["n"] != 2 || mine.Revision != theirs.Revision {
		t.Errorf("sees %+v, not %+v", mine, theirs)
	}
	if err := bucket.Purge(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	swap(&mine, 3, false)
	if mine.Value != nil || mine.Revision != 0 {
		t.Errorf("sees %+v of what is gone", mine)
	}
	swap(&mine, 3, true)
	if _, err := bucket.PutString(ctx, "k", `{"n":`); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Read(ctx, bucket, "k"); err != nil || theirs.Value != nil || theirs.Revision == 0 {
		t.Errorf("what can't be decoded: %+v, %v", theirs, err)
	}
	swap(&theirs, 4, true)
}
