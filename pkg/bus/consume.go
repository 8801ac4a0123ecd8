package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
)

const (
	// drainWait bounds the end of a consumer: a service that stops exits within 10 s.
	drainWait = 5 * time.Second
	// lostWait is the same without a connection, where it can't end by itself.
	lostWait = 2 * time.Second
)

// Consume hands the messages of a durable to handle until ctx ends, making the durable and its stream where they are missing:
// at the start, after a reconnect, after the store was lost. handle must not block for long; it owns the message and its ack.
// prefetch bounds the messages held here that handle has not returned from. Once Consume has returned handle is neither running
// nor called again.
func (b *Bus) Consume(ctx context.Context, stream string, consumer jetstream.ConsumerConfig, prefetch int, handle func(jetstream.Msg)) error {
	reconnected := b.Reconnected()
	b.lag.Load().consumes(stream, consumer.Durable)
	for {
		lost, err := b.consumeOnce(ctx, stream, consumer, prefetch, handle, reconnected)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		if err != nil {
			b.log.WarnContext(ctx, "consumer is not there yet", "stream", stream, "consumer", consumer.Durable, "error", err)
			if ensureErr := b.EnsureStreams(ctx); ensureErr != nil {
				b.log.WarnContext(ctx, "streams could not be made", "error", ensureErr)
			}
		} else {
			b.log.InfoContext(ctx, "consuming anew", "stream", stream, "consumer", consumer.Durable, "reason", lost)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond): // network back-off stays on real time
		}
	}
}

// consumeOnce consumes until ctx ends or the durable is lost; lost says why.
func (b *Bus) consumeOnce(ctx context.Context, stream string, config jetstream.ConsumerConfig, prefetch int, handle func(jetstream.Msg), reconnected <-chan struct{}) (lost error, err error) {
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, stream, config)
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of %s: %w", config.Durable, stream, err)
	}
	gone := make(chan error, 1)
	var handling sync.Mutex // nats.go may still be calling when it is closed
	over := false
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		handling.Lock()
		defer handling.Unlock()
		if !over {
			handle(msg)
		}
	},
		jetstream.PullMaxMessages(prefetch),
		jetstream.PullHeartbeat(5*time.Second), jetstream.PullExpiry(30*time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			// nats.go heals a lost pull by itself; a durable that is gone it does not.
			if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
				errors.Is(err, jetstream.ErrNoHeartbeat) || errors.Is(err, nats.ErrNoResponders) {
				select {
				case gone <- err:
				default:
				}
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("consume %s of %s: %w", config.Durable, stream, err)
	}
	defer func() {
		consuming.Drain() // what was fetched is still handed over: left here it would wait for its lease to end
		wait := drainWait
		if !b.conn.IsConnected() {
			wait = lostWait
		}
		select {
		case <-consuming.Closed():
		case <-time.After(wait):
			b.log.WarnContext(ctx, "consumer is left with what was fetched", "stream", stream, "consumer", config.Durable)
			consuming.Stop()
			<-consuming.Closed()
		}
		handling.Lock()
		defer handling.Unlock()
		over = true
	}()
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case lost := <-gone:
			return lost, nil
		case <-consuming.Closed():
			return errors.New("the subscription ended"), nil
		case <-reconnected:
			// The pull that was open may be lost without a word, and is missed only when it would have expired.
			return errors.New("the connection was lost and is back"), nil
		}
	}
}

// Bury copies a message that can never be handled to MEET_DEAD with the reason and takes it out of its stream. When the copy
// is not stored the message stays and comes again.
func (b *Bus) Bury(ctx context.Context, msg jetstream.Msg, deadSubject, reason string) error {
	dead := nats.NewMsg(deadSubject)
	dead.Data = msg.Data()
	for key, values := range msg.Headers() {
		if len(key) < 5 || key[:5] != "Nats-" {
			dead.Header[key] = values
		}
	}
	dead.Header.Set(HeaderReason, reason)
	dead.Header.Set(HeaderSubject, msg.Subject())
	if meta, err := msg.Metadata(); err == nil {
		dead.Header.Set("Nats-Msg-Id", fmt.Sprintf("dead-%s-%d-%d", meta.Stream, meta.Timestamp.UnixNano(), meta.Sequence.Stream))
	}
	if _, err := b.js.PublishMsg(ctx, dead); err != nil {
		return fmt.Errorf("bury a message of %s: %w", msg.Subject(), err)
	}
	failpoint.Here("bus.buried")
	if err := msg.TermWithReason(reason); err != nil {
		return fmt.Errorf("terminate a buried message of %s: %w", msg.Subject(), err)
	}
	return nil
}
