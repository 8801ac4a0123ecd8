package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// repeatEvery is how long a command may stay without a reply before it is published again under the same command id.
const repeatEvery = time.Second

// calls is the one inbox subscription of a bus, shared by all waiting calls.
type calls struct {
	conn   *nats.Conn
	log    *slog.Logger
	prefix string

	mu      sync.Mutex
	next    uint64
	waiting map[string]*pending
	closed  bool
}

type pending struct {
	replies chan *meetv1.CommandReply // holds both replies, which may come in either order, and doubles
	refused chan error                // the stream's refusal of the publish
	again   chan struct{}             // a reconnect: publish again, ask again
}

func listen(conn *nats.Conn, log *slog.Logger) (*calls, error) {
	c := &calls{conn: conn, log: log, prefix: conn.NewInbox() + ".", waiting: make(map[string]*pending)}
	sub, err := conn.Subscribe(c.prefix+"*", c.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe to the inbox: %w", err)
	}
	if err := sub.SetPendingLimits(-1, 64<<20); err != nil {
		return nil, fmt.Errorf("size the inbox: %w", err)
	}
	return c, nil
}

// ackSuffix marks the reply subject that the stream's own acknowledgement comes to.
const ackSuffix = "a"

func (c *calls) receive(msg *nats.Msg) {
	token, isAck := strings.CutSuffix(strings.TrimPrefix(msg.Subject, c.prefix), ackSuffix)
	c.mu.Lock()
	p := c.waiting[token]
	c.mu.Unlock()
	if p == nil {
		return // the call has ended: a double or late reply
	}
	if isAck {
		if err := publishRefused(msg); err != nil {
			select {
			case p.refused <- err:
			default:
			}
		}
		return
	}
	reply := new(meetv1.CommandReply)
	if err := proto.Unmarshal(msg.Data, reply); err != nil {
		c.log.Error("command reply does not decode", "error", err)
		return
	}
	select {
	case p.replies <- reply:
	default: // full of doubles: the call has what it needs
	}
}

// publishRefused reads a PubAck. JetStream away is "no responders"; a full stream is an error in the body.
func publishRefused(msg *nats.Msg) error {
	if status := msg.Header.Get("Status"); status != "" {
		return fmt.Errorf("publish: status %s", status)
	}
	var ack struct {
		Error *struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if !strings.Contains(string(msg.Data), `"error"`) {
		return nil
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		return fmt.Errorf("decode the publish acknowledgement: %w", err)
	}
	if ack.Error == nil {
		return nil
	}
	return fmt.Errorf("publish: %s (%d)", ack.Error.Description, ack.Error.ErrCode)
}

func (c *calls) open() (string, *pending, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return "", nil, ErrClosed
	}
	c.next++
	token := strconv.FormatUint(c.next, 36) + "-"
	p := &pending{replies: make(chan *meetv1.CommandReply, 4), refused: make(chan error, 1), again: make(chan struct{}, 1)}
	c.waiting[token] = p
	return token, p, nil
}

func (c *calls) end(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, token)
}

func (c *calls) reconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.waiting {
		select {
		case p.again <- struct{}{}:
		default:
		}
	}
}

func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, p := range c.waiting {
		select {
		case p.refused <- ErrClosed:
		default:
		}
	}
}

// Call is a command that was published and is waited for. Close it.
type Call[Resp proto.Message] struct {
	bus   *Bus
	token string
	*pending
	msg       *nats.Msg
	id        string
	published int
	done      *meetv1.OperationDone
}

// Start publishes a command; its deadline is when it stops to be of use. It does not wait for the stream: a refusal shows
// in [Call.Committed].
func Start[Req, Resp proto.Message](b *Bus, command subject.Command[Req, Resp], req Req, envelope Envelope) (*Call[Resp], error) {
	body, err := protojson.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", command, err)
	}
	token, p, err := b.calls.open()
	if err != nil {
		return nil, err
	}
	envelope.Reply = b.calls.prefix + token
	var span trace.Span
	envelope.Traceparent, span = b.Sending(envelope.Traceparent, string(command))
	defer span.End()
	call := &Call[Resp]{bus: b, token: token, pending: p, id: envelope.CommandID.String(), msg: &nats.Msg{
		Subject: string(command), Reply: b.calls.prefix + token + ackSuffix, Data: body, Header: envelope.header(),
	}}
	if err := call.publish(); err != nil {
		call.Close()
		return nil, unreachable(err)
	}
	return call, nil
}

// publish sends the command under a message id of its own each time: JetStream must not swallow a repeat that needs an answer.
func (c *Call[Resp]) publish() error {
	if !c.bus.conn.IsConnected() {
		return nil // published once the connection is back
	}
	c.published++
	c.msg.Header.Set("Nats-Msg-Id", c.id+"."+c.token+strconv.Itoa(c.published))
	return c.bus.conn.PublishMsg(c.msg)
}

// Close frees the call's place in the inbox.
func (c *Call[Resp]) Close() { c.bus.calls.end(c.token) }

// Committed waits until the command is committed or refused, publishing it again while nothing is heard. replayed says that
// it had been carried out before. When ctx ends first the outcome is unknown and the fault is [fault.Unavailable]: the caller
// may repeat under the same command id.
func (c *Call[Resp]) Committed(ctx context.Context) (resp Resp, replayed bool, err error) {
	repeat := time.NewTicker(repeatEvery)
	defer repeat.Stop()
	var refusal error
	for {
		select {
		case reply := <-c.replies:
			if reply.GetDone() != nil {
				c.done = reply.GetDone() // the outcome overtook the commit's reply
				continue
			}
			if reply.GetFault() != nil {
				return resp, reply.GetReplayed(), DecodeFault(reply.GetFault())
			}
			resp = resp.ProtoReflect().New().Interface().(Resp)
			if err := proto.Unmarshal(reply.GetResponse(), resp); err != nil {
				return resp, false, fmt.Errorf("decode the response of command %s: %w", c.id, err)
			}
			return resp, reply.GetReplayed(), nil
		case refusal = <-c.refused:
			if errors.Is(refusal, ErrClosed) {
				return resp, false, unreachable(refusal)
			}
			// Full or away: the next repeat may find it better.
		case <-c.again:
			if err := c.publish(); err != nil {
				refusal = err
			}
		case <-repeat.C:
			if err := c.publish(); err != nil {
				refusal = err
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return resp, false, ctx.Err()
			}
			return resp, false, unreachable(errors.Join(ctx.Err(), refusal))
		}
	}
}

// Done waits for the second reply. Nil when ctx ends or the connection was lost and came back before it came: the caller
// then asks for the operation.
func (c *Call[Resp]) Done(ctx context.Context) *meetv1.OperationDone {
	for c.done == nil {
		select {
		case reply := <-c.replies:
			c.done = reply.GetDone()
		case <-c.again:
			return nil
		case <-c.refused: //nolint:errcheck // of a repeat, or closed: nothing comes of it
			return nil
		case <-ctx.Done():
			return nil
		}
	}
	return c.done
}

// Await waits for an operation that another call began, until ctx ends. ready is run once the subscription stands, to ask
// whether it has ended already; it returns nil when not.
func Await(ctx context.Context, b *Bus, operation string, ready func(context.Context) (*meetv1.OperationDone, error)) (*meetv1.OperationDone, error) {
	sub, err := b.conn.SubscribeSync(subject.Done(operation))
	if err != nil {
		return nil, unreachable(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only on a closed connection
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return nil, unreachable(err)
	}
	if done, err := ready(ctx); done != nil || err != nil {
		return done, err
	}
	msg, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, nil //nolint:nilnil // not done in time is no failure: the operation goes on
	}
	reply := new(meetv1.CommandReply) // the same message that the caller of the command gets as its second reply
	if err := proto.Unmarshal(msg.Data, reply); err != nil {
		return nil, fmt.Errorf("decode the end of operation %s: %w", operation, err)
	}
	return reply.GetDone(), nil
}

// Post publishes a command that nobody waits for, such as an outcome, and returns once the stream has stored it.
func Post[Req, Resp proto.Message](ctx context.Context, b *Bus, command subject.Command[Req, Resp], req Req, envelope Envelope) error {
	body, err := protojson.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode command %s: %w", command, err)
	}
	var span trace.Span
	envelope.Traceparent, span = b.Sending(envelope.Traceparent, string(command))
	_, err = b.js.PublishMsg(ctx, &nats.Msg{Subject: string(command), Data: body, Header: envelope.header()})
	tracing.End(span, kindOf(err))
	if err != nil {
		return fmt.Errorf("publish command %s: %w", command, err)
	}
	return nil
}
