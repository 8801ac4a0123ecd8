// Package backendtest plays the meetings service for tests of the gateway: over a real nats-server it answers the commands
// and queries that a test scripts, and keeps commands' answers under their id as the real one does. Only tests may import it.
package backendtest

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// Meetings is the scripted service.
type Meetings struct {
	// Bus is the gateway's connection.
	Bus *bus.Bus
	// Server is the nats-server of this test.
	Server *embeddednats.Server

	tb      testing.TB
	own     *bus.Bus
	queries *bus.Queries

	mu        sync.Mutex
	stored    map[string]stored
	envelopes []bus.Envelope
}

type stored struct {
	hash  string
	reply *meetv1.CommandReply
}

// New starts a server and connects both sides. Nothing is answered until a test scripts it.
func New(tb testing.TB) *Meetings {
	tb.Helper()
	m := &Meetings{tb: tb, Server: natstest.New(tb), stored: make(map[string]stored)}
	m.Bus, m.own = connect(tb, m.Server, "gateway"), connect(tb, m.Server, "meetings")
	queries, err := bus.ServeQueries(m.own, subject.ServiceMeetings, "0.0.0", 16, quiet(tb))
	if err != nil {
		tb.Fatal(err)
	}
	m.queries = queries
	tb.Cleanup(func() { _ = queries.Stop(context.WithoutCancel(tb.Context())) }) // the server goes right after
	return m
}

func quiet(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelError + 1}))
}

func connect(tb testing.TB, server *embeddednats.Server, name string) *bus.Bus {
	tb.Helper()
	b := bus.New(bus.Config{URL: server.ClientURL(), InProcess: server, Replicas: 1, Wait: 10 * time.Second, Name: name}, quiet(tb))
	if err := b.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Stop(context.WithoutCancel(tb.Context())) }) // fails only on a connection that is gone
	return b
}

// Envelopes are those of all commands that came, repeats included, in their order.
func (m *Meetings) Envelopes() []bus.Envelope {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]bus.Envelope(nil), m.envelopes...)
}

// Answer is what a command comes to.
type Answer[Resp proto.Message] struct {
	Response Resp
	Err      error
	// Done is sent as the second reply, and to whoever awaits the operation.
	Done *meetv1.OperationDone
	// Raw takes the place of the encoded response.
	Raw []byte
}

// Command scripts one command. handle is not asked again for a command id that it answered before: its answer is repeated
// as replayed, or refused where the body is another one.
func Command[Req, Resp proto.Message](m *Meetings, c subject.Command[Req, Resp], handle func(bus.Envelope, Req) Answer[Resp]) {
	m.tb.Helper()
	var zero Req
	conn := m.own.Conn()
	sub, err := conn.Subscribe(string(c), func(msg *nats.Msg) {
		envelope, err := bus.ParseEnvelope(msg.Header)
		if err != nil {
			m.tb.Errorf("command %s: %v", c, err)
			return
		}
		m.mu.Lock()
		m.envelopes = append(m.envelopes, envelope)
		before, repeat := m.stored[envelope.CommandID.String()]
		m.mu.Unlock()
		if repeat {
			reply := proto.CloneOf(before.reply)
			if before.hash != envelope.BodyHash {
				reply = &meetv1.CommandReply{Fault: bus.EncodeFault(fault.New(fault.KeyReused, "IDEMPOTENCY_KEY_REUSED", "this Idempotency-Key was used with another body"))}
			}
			reply.Replayed = true
			m.send(envelope.Reply, reply)
			return
		}
		req := zero.ProtoReflect().New().Interface().(Req)
		if err := protojson.Unmarshal(msg.Data, req); err != nil {
			m.tb.Errorf("command %s: %v", c, err)
			return
		}
		answer := handle(envelope, req)
		reply := &meetv1.CommandReply{Response: answer.Raw}
		switch {
		case answer.Err != nil:
			reply.Fault = bus.EncodeFault(fault.Of(answer.Err))
		case answer.Raw == nil:
			if reply.Response, err = proto.Marshal(answer.Response); err != nil {
				m.tb.Errorf("command %s: %v", c, err)
				return
			}
		}
		m.mu.Lock()
		m.stored[envelope.CommandID.String()] = stored{envelope.BodyHash, reply}
		m.mu.Unlock()
		m.send(envelope.Reply, reply)
		if answer.Done != nil {
			m.send(envelope.Reply, &meetv1.CommandReply{Done: answer.Done})
		}
	})
	if err != nil {
		m.tb.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		m.tb.Fatal(err)
	}
	m.tb.Cleanup(func() { _ = sub.Unsubscribe() }) // fails only on a connection that is gone
}

func (m *Meetings) send(to string, reply *meetv1.CommandReply) {
	body, err := proto.Marshal(reply)
	if err == nil {
		err = m.own.Conn().Publish(to, body)
	}
	if err != nil {
		m.tb.Errorf("reply: %v", err)
	}
}

// Query scripts one query; once for each.
func Query[Req, Resp proto.Message](m *Meetings, q subject.Query[Req, Resp], handle func(Req) (Resp, error)) {
	m.tb.Helper()
	if err := bus.Answer(m.queries, q, func(_ context.Context, req Req) (Resp, error) { return handle(req) }); err != nil {
		m.tb.Fatal(err)
	}
	if err := m.own.Conn().Flush(); err != nil {
		m.tb.Fatal(err)
	}
}
