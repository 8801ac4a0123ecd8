package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream        = "BENCH_LIMIT"
	streamSubject = "bench.limit"
	window        = 256 // messages without an acknowledgement, when they are not waited for one by one
)

// JetStream stores messages in a stream of its own on the instance's NATS, as the product's commands are stored.
type JetStream struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	body []byte
}

// NewJetStream connects and makes the stream, with so many copies; messages have the size of a create command. Close deletes it.
func NewJetStream(ctx context.Context, url string, size, copies int) (*JetStream, error) {
	nc, err := nats.Connect(url, nats.Name("bench"))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
	if err == nil {
		_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: stream, Subjects: []string{streamSubject}, Storage: jetstream.FileStorage, MaxBytes: 256 << 20, Replicas: copies,
		})
	}
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("make the stream %s: %w", stream, err)
	}
	return &JetStream{nc: nc, js: js, body: make([]byte, size)}, nil
}

// Close deletes the stream.
func (j *JetStream) Close(ctx context.Context) error {
	err := j.js.DeleteStream(context.WithoutCancel(ctx), stream)
	j.nc.Close()
	return err
}

// Version is the server's.
func (j *JetStream) Version() string { return j.nc.ConnectedServerVersion() }

// OneByOne is how many messages a second are stored when each is waited for.
func (j *JetStream) OneByOne(ctx context.Context, d time.Duration) (float64, error) {
	began := time.Now()
	stored := 0
	for ; time.Since(began) < d; stored++ {
		if _, err := j.js.Publish(ctx, streamSubject, j.body); err != nil {
			return 0, fmt.Errorf("publish: %w", err)
		}
	}
	return float64(stored) / time.Since(began).Seconds(), nil
}

// Pipelined is how many messages a second are stored with a window of them under way.
func (j *JetStream) Pipelined(ctx context.Context, d time.Duration) (float64, error) {
	began := time.Now()
	var under []jetstream.PubAckFuture
	stored := 0
	settle := func() error {
		for _, f := range under {
			select {
			case <-f.Ok():
				stored++
			case err := <-f.Err():
				return fmt.Errorf("publish: %w", err)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		under = under[:0]
		return nil
	}
	for time.Since(began) < d {
		for range window / 2 {
			f, err := j.js.PublishAsync(streamSubject, j.body)
			if err != nil {
				return 0, errors.Join(fmt.Errorf("publish: %w", err), settle())
			}
			under = append(under, f)
		}
		if len(under) >= window {
			if err := settle(); err != nil {
				return 0, err
			}
		}
	}
	if err := settle(); err != nil {
		return 0, err
	}
	return float64(stored) / time.Since(began).Seconds(), nil
}
