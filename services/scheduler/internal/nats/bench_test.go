package nats_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/nats"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// newGoogle is the real client on an emulator in this process.
func newGoogle(b *testing.B, log *slog.Logger) *job.SyncMeeting {
	b.Helper()
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(fake)
	client, err := google.New(google.Config{Mode: google.ModeEmulator, EmulatorURL: server.URL, CalendarID: "primary", Domains: []string{"example.com"}, Timeout: time.Minute}, true, quota.None{}, prometheus.NewRegistry(), log)
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := client.Stop(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
		server.Close()
		if err := fake.Close(); err != nil {
			b.Error(err)
		}
	})
	return job.NewSyncMeeting(client, client, quota.None{}, clock.System(), job.DefaultTiming(), log)
}

// BenchmarkCreate is one create: its Google call, client and emulator together, from 32 goroutines. organizers 1: the token is
// there; organizers n: each create needs one.
func BenchmarkCreate(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own_token=%t", own), func(b *testing.B) {
			sync := newGoogle(b, slog.New(slog.DiscardHandler))
			b.SetParallelism(16)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := uuid.NewString()
					w := job.Wish{
						MeetingID: 1, MeetingUID: id, Version: 1, Organizer: "boss@example.com", Summary: "x", Calendar: true,
						Start: time.Now(), End: time.Now().Add(time.Hour), Guests: []string{"a@example.net", "b@example.net"},
					}
					if own {
						w.Organizer = id + "@example.com"
					}
					if v := sync.Do(b.Context(), w, job.Attempt{Dispatch: 1, Delivered: 1}); v.Outcome == nil || !v.Outcome.Complete {
						b.Errorf("verdict %+v", v)
					}
				}
			})
		})
	}
}

// BenchmarkJob is the whole of the scheduler's part: a job from JetStream, the Google call, the outcome stored, the
// acknowledgement; NATS and the emulator in the same process.
func BenchmarkJob(b *testing.B) {
	log := slog.New(slog.DiscardHandler)
	server := natstest.New(b)
	connect := func() *bus.Bus {
		c := bus.New(bus.Config{Name: "bench", InProcess: server, Replicas: 1, Wait: patience}, log)
		if err := c.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(b.Context()), patience)
			defer cancel()
			if err := c.Stop(ctx); err != nil {
				b.Error(err)
			}
		})
		return c
	}
	mine := connect()
	for i := range b.N {
		in := syncJob(1)
		in.MeetingId, in.Wish.MeetingId, in.Wish.MeetingUid = int64(i)+1, int64(i)+1, uuid.NewString()
		body, err := protojson.Marshal(in)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := mine.JetStream().PublishAsync(string(subject.SyncMeeting), body); err != nil {
			b.Fatal(err)
		}
	}
	<-mine.JetStream().PublishAsyncComplete()
	outcomes := make(chan struct{}, 1024)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 2)
	go func() {
		done <- mine.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), 256, func(m jetstream.Msg) {
			if err := m.Ack(); err != nil {
				b.Error(err)
			}
			outcomes <- struct{}{}
		})
	}()
	jobs := nats.NewGoogleJobs(nats.Config{GoogleWorkers: 64}, connect(), newGoogle(b, log), newMetrics(b), log)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { done <- jobs.Run(ctx) }()
	for range b.N {
		<-outcomes
	}
	b.StopTimer()
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
