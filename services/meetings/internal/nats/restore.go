package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
)

// ErrOlder says that the database is older than MEET_EVENTS: a backup was brought back and nobody ran after-restore, or a standby
// that lacked the last commits took over, or the streams are another installation's. Whoever went on would give numbers again
// that clients have seen.
var ErrOlder = errors.New("the database is older than MEET_EVENTS: if it was restored from a backup, run after-restore, once, while nothing else runs; if these streams are another installation's, give this one a NATS account of its own")

// NotOlder fails with [ErrOlder], or with [app.ErrUnreachable].
func NotOlder(ctx context.Context, b *bus.Bus, outbox app.Outbox) error {
	stream, err := b.JetStream().Stream(ctx, subject.StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w: %w", subject.StreamEvents, app.ErrUnreachable, err)
	}
	newest, err := newestNumber(ctx, stream)
	if err != nil {
		return fmt.Errorf("%w: %w", app.ErrUnreachable, err)
	}
	last, err := outbox.LastSequence(ctx) // asked later: what is in the stream was numbered before
	if err != nil {
		return err
	}
	return older(newest, last)
}

func older(newest, last int64) error {
	if newest > last {
		return fmt.Errorf("%w (the stream has event %d, the database none after %d)", ErrOlder, newest, last)
	}
	return nil
}

// newestNumber is the number of the last event of the stream; 0 where there is none, or somebody else's message.
func newestNumber(ctx context.Context, stream jetstream.Stream) (int64, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, subject.OfEvent(">"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the last message of %s: %w", subject.StreamEvents, err)
	}
	seq, _ := numbered(msg)
	return seq, nil
}

// RestoredStreams are the streams beside a database that was restored: [app.RestoredStreams].
type RestoredStreams struct {
	js jetstream.JetStream
	// ensure makes the streams that are missing.
	ensure func(context.Context) error
}

// NewRestoredStreams makes them of a bus that has started.
func NewRestoredStreams(b *bus.Bus) *RestoredStreams {
	return &RestoredStreams{js: b.JetStream(), ensure: b.EnsureStreams}
}

// Readers are known by the pulls that wait at the work queues' consumers.
func (s *RestoredStreams) Readers(ctx context.Context) ([]string, error) {
	durables := map[string][]string{subject.StreamCommands: {subject.CommandConsumer().Durable}}
	for _, class := range subject.Classes() {
		durables[subject.StreamJobs] = append(durables[subject.StreamJobs], subject.JobConsumer(class).Durable)
	}
	var readers []string
	for _, stream := range []string{subject.StreamCommands, subject.StreamJobs} {
		for _, durable := range durables[stream] {
			consumer, err := s.js.Consumer(ctx, stream, durable)
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("look at consumer %s: %w", durable, err)
			}
			if n := consumer.CachedInfo().NumWaiting; n > 0 {
				readers = append(readers, fmt.Sprintf("%d pulls at %s's consumer %s", n, stream, durable))
			}
		}
	}
	return readers, nil
}

// Filled are the streams that the relay and the services fill again; MEET_DEAD is kept.
func Filled() []string {
	return []string{subject.StreamCommands, subject.StreamJobs, subject.StreamEvents}
}

// Held is [app.RestoredStreams].
func (s *RestoredStreams) Held(ctx context.Context) (map[string]uint64, error) {
	held := make(map[string]uint64)
	for _, name := range Filled() {
		stream, err := s.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", name, err)
		}
		held[name] = stream.CachedInfo().State.Msgs
	}
	return held, nil
}

// Lost begins a while before the first message whose number is above after: the stream's order may differ from the numbers'.
func (s *RestoredStreams) Lost(ctx context.Context, after int64, each func(app.LostEvent) error) error {
	stream, err := s.js.Stream(ctx, subject.StreamEvents)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", subject.StreamEvents, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	first, end := state.FirstSeq, state.LastSeq+1
	for first < end {
		middle := first + (end-first)/2
		msg, err := next(ctx, stream, middle)
		if err != nil {
			return err
		}
		if seq, ok := numbered(msg); ok && seq <= after {
			first = middle + 1
		} else {
			end = middle
		}
	}
	from := state.FirstSeq
	if first > state.FirstSeq+overlap {
		from = first - overlap
	}
	for {
		msg, err := next(ctx, stream, from)
		if err != nil || msg == nil {
			return err
		}
		from = msg.Sequence + 1
		seq, ok := numbered(msg)
		if !ok || seq <= after {
			continue
		}
		e := app.LostEvent{
			Sequence: seq, ID: msg.Header.Get("ce-id"), Type: msg.Header.Get("ce-type"), Subject: msg.Header.Get("ce-subject"), Time: msg.Header.Get("ce-time"),
		}
		if json.Valid(msg.Data) {
			e.Body = msg.Data
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// next is the first message from a place on; nil where there is none.
func next(ctx context.Context, stream jetstream.Stream, from uint64) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject.OfEvent(">")))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil //nolint:nilnil // said by the comment
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject.StreamEvents, err)
	}
	return msg, nil
}

// numbered gives an event's number; what has none is somebody else's message.
func numbered(msg *jetstream.RawStreamMsg) (int64, bool) {
	if msg == nil {
		return 0, false
	}
	seq, err := strconv.ParseInt(msg.Header.Get("ce-sequence"), 10, 64)
	return seq, err == nil
}

// Empty is [app.RestoredStreams]. The work queues are deleted and made anew: one that is only emptied knows for a while which
// messages it had, and would swallow a job that is sent again under a number that it has seen. MEET_EVENTS keeps the consumers
// that others have on it.
func (s *RestoredStreams) Empty(ctx context.Context) error {
	if err := s.remove(ctx, subject.StreamCommands); err != nil {
		return err
	}
	failpoint.Here("restore.commands_deleted")
	if err := s.remove(ctx, subject.StreamJobs); err != nil {
		return err
	}
	failpoint.Here("restore.jobs_deleted")
	stream, err := s.js.Stream(ctx, subject.StreamEvents)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
	case err != nil:
		return fmt.Errorf("look at %s: %w", subject.StreamEvents, err)
	default:
		if err := stream.Purge(ctx); err != nil {
			return fmt.Errorf("empty %s: %w", subject.StreamEvents, err)
		}
	}
	failpoint.Here("restore.events_emptied")
	if err := s.ensure(ctx); err != nil {
		return err
	}
	failpoint.Here("restore.streams_made")
	return nil
}

func (s *RestoredStreams) remove(ctx context.Context, name string) error {
	if err := s.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return nil
}

// RestoreFact is [app.RestoreCodec].
func (Codec) RestoreFact(f app.RestoreFact) (app.EventRow, error) {
	body := &meetv1.DatabaseRestored{LastSequence: f.LastSeq}
	if !f.TakenAt.IsZero() {
		body.TakenAt = timestamppb.New(f.TakenAt)
	}
	return eventRow(subject.DatabaseRestored, "database", body)
}
