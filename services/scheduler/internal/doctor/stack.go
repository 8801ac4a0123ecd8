package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// stackWait bounds each question to the stack: it is near.
const stackWait = 2 * time.Second

// Broker is the way to NATS.
type Broker struct {
	// Connect returns a connection and what gives it back.
	Connect func(ctx context.Context) (*nats.Conn, func(), error)
	// Running: the stack runs, so that a part that is not there is a mistake.
	Running bool
}

// Joined is the broker of a program that is connected.
func Joined(b *bus.Bus) Broker {
	return Broker{Running: true, Connect: func(ctx context.Context) (*nats.Conn, func(), error) {
		return b.Conn(), func() {}, b.Check(ctx)
	}}
}

// Visited is the broker at an address, which need not run.
func Visited(c bus.Config) Broker {
	return Broker{Connect: func(context.Context) (*nats.Conn, func(), error) {
		conn, err := c.Dial(nats.Timeout(stackWait/2), nats.NoReconnect())
		if err != nil {
			return nil, nil, err
		}
		return conn, conn.Close, nil
	}}
}

// StackChecks are those of NATS and, through it, of Postgres.
func StackChecks(b Broker) []Check {
	return []Check{
		{Name: "nats", Run: b.nats},
		{Name: "nats.streams", After: []string{"nats"}, Run: b.streams},
		{Name: "nats.consumers", After: []string{"nats.streams"}, Run: b.consumers},
		{Name: "postgres", After: []string{"nats"}, Run: b.postgres},
	}
}

const placeNATS = "the setting NATS_URL, the same for every service, and the others that start with NATS_"

// missing is a part of the stack that is not there: a mistake once the stack runs.
func (b Broker) missing(place, paste, format string, args ...any) Finding {
	if !b.Running {
		return skipped("%s: the stack does not run, or not whole", fmt.Sprintf(format, args...))
	}
	return failed(place, paste, format, args...)
}

func (b Broker) nats(ctx context.Context, v *Visit) Finding {
	ctx, cancel := context.WithTimeout(ctx, stackWait)
	defer cancel()
	conn, leave, err := b.Connect(ctx)
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return failed(placeNATS, "", "NATS does not let this program in: NATS_USER, NATS_CREDS or NATS_NKEY_FILE is another user's, or not set")
	case err != nil && (errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || b.Running):
		return b.missing(placeNATS, "NATS_URL=nats://127.0.0.1:4222", "NATS does not answer")
	case err != nil: // a credentials file that can't be read, an address that is none
		return failed(placeNATS, "", "NATS can't be asked: NATS_URL is no address, or the file of NATS_CREDS, NATS_NKEY_FILE or NATS_CA_FILE can't be used")
	}
	v.broker, v.leave = conn, leave
	return ok("connected to NATS %s", conn.ConnectedServerVersion())
}

func (b Broker) streams(ctx context.Context, v *Visit) Finding {
	ctx, cancel := context.WithTimeout(ctx, stackWait)
	defer cancel()
	js, err := jetstream.New(v.broker)
	if err != nil {
		return failed(placeNATS, "", "JetStream can't be asked: %v", err)
	}
	var absent []string
	names := subject.Streams(1)
	for _, stream := range names {
		_, err := js.Stream(ctx, stream.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			absent = append(absent, stream.Name)
		case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
			return failed("the configuration of nats-server", "jetstream {}", "JetStream is switched off in NATS")
		case err != nil:
			return failed("the permissions of the NATS account", "", "the stream %s can't be read: %v", stream.Name, err)
		}
	}
	if len(absent) > 0 {
		return b.missing("any service makes them: start it again", "", "the streams %s are not there", strings.Join(absent, ", "))
	}
	return ok("all %d streams are there", len(names))
}

func (b Broker) consumers(ctx context.Context, v *Visit) Finding {
	ctx, cancel := context.WithTimeout(ctx, stackWait)
	defer cancel()
	js, err := jetstream.New(v.broker)
	if err != nil {
		return failed(placeNATS, "", "JetStream can't be asked: %v", err)
	}
	wanted := []struct{ stream, consumer, service string }{
		{subject.StreamCommands, subject.CommandConsumer().Durable, "meetings"},
		{subject.StreamJobs, subject.JobConsumer(subject.ClassGoogle).Durable, "scheduler"},
	}
	for _, w := range wanted {
		_, err := js.Consumer(ctx, w.stream, w.consumer)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			return b.missing("start the service "+w.service+"; it makes its consumer", "", "nobody takes what is in %s: the consumer %s is not there", w.stream, w.consumer)
		case err != nil:
			return failed("the permissions of the NATS account", "", "the consumer %s of %s can't be read: %v", w.consumer, w.stream, err)
		}
	}
	return ok("commands and jobs have their consumers")
}

func (b Broker) postgres(ctx context.Context, v *Visit) Finding {
	ctx, cancel := context.WithTimeout(ctx, stackWait)
	defer cancel()
	const place = "the service meetings: its log and /readyz say more; settings DATABASE_URL, or POSTGRES_HOST, _PORT, _DB, _USER, _PASSWORD"
	answer, err := v.broker.RequestWithContext(ctx, string(subject.CheckHealth), nil) // the request has no fields
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return b.missing("start the service meetings", "", "no meetings service answers, so Postgres was not asked")
	case err != nil:
		return failed(place, "", "the meetings service did not answer within %s", stackWait)
	}
	var health meetv1.CheckHealthResponse
	if answer.Header.Get(micro.ErrorCodeHeader) != "" || proto.Unmarshal(answer.Data, &health) != nil {
		return failed(place, "", "the meetings service could not tell how Postgres is")
	}
	if !health.GetDatabase() {
		return failed(place, "", "the meetings service can't reach Postgres")
	}
	return ok("meetings reaches Postgres")
}
