package nats

import (
	"context"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// settler ends the delivery of a job, in one of three ways. Where NATS is not told, the lease ends and the job comes again.
type settler struct {
	bus *bus.Bus
	log *slog.Logger
}

func (s settler) ack(ctx context.Context, msg jetstream.Msg) {
	if err := msg.Ack(); err != nil { // it comes again, and is found done
		s.log.WarnContext(ctx, "job was not acknowledged", "subject", msg.Subject(), "error", err)
	}
}

// giveBack lets the message come again after d.
func (s settler) giveBack(msg jetstream.Msg, d time.Duration) {
	var err error
	if d <= 0 {
		err = msg.Nak()
	} else {
		err = msg.NakWithDelay(d)
	}
	if err != nil {
		s.log.Warn("job was not handed back", "subject", msg.Subject(), "error", err)
	}
}

// bury keeps a message that no try will ever read.
func (s settler) bury(ctx context.Context, msg jetstream.Msg, reason string) {
	if err := s.bus.Bury(ctx, msg, subject.Dead(subject.StreamJobs, msg.Subject()), reason); err != nil {
		s.log.ErrorContext(ctx, "message could not be buried", "subject", msg.Subject(), "error", err)
		return
	}
	s.log.ErrorContext(ctx, "message was buried", "subject", msg.Subject(), "reason", reason)
}
