// Package bus carries commands, queries, events and jobs over NATS: the connection and the streams, the headers that travel
// beside a message, waiting for a command's replies, answering queries, and consuming a durable across reconnects and lost
// stores. It knows no meeting and keeps no state that a restart would miss: NATS carries, Postgres keeps.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

// Config of the connection to NATS.
type Config struct {
	URL      string        `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" help:"where NATS is; several servers of one cluster are separated by commas"`
	Replicas int           `env:"MEET_NATS_REPLICAS" envDefault:"1" help:"copies of each stream; 3 on a cluster of three"`
	Wait     time.Duration `env:"MEET_NATS_WAIT" envDefault:"15s" help:"how long a start waits for NATS before it gives up with exit code 1"`
	Login    Login

	// Name of the client as NATS shows it: the service's. Set by code.
	Name string `env:"-"`
	// Guest makes streams that are missing and leaves those that are there as they are: only meetings may change them. Set by code.
	Guest bool `env:"-"`
	// InProcess connects without a socket to a server in this process. Set by standalone and tests.
	InProcess nats.InProcessConnProvider `env:"-"`
}

// Check says what is wrong with the settings.
func (c Config) Check() error { return checkURL(c.URL) }

// Dial connects as the settings say, once.
func (c Config) Dial(opts ...nats.Option) (*nats.Conn, error) {
	login, err := c.Login.options()
	if err != nil {
		return nil, err
	}
	// A user may read its own inboxes alone; the random part tells apart those of several instances.
	opts = append(append(opts, nats.Name(c.Name), nats.CustomInboxPrefix(natsperm.Inbox(inboxName(c.Name))+"."+nuid.Next())), login...)
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess))
	}
	return nats.Connect(c.URL, opts...)
}

// ErrClosed is what a waiting call gets when the bus stops.
var ErrClosed = errors.New("bus is closed")

// flushWait bounds a round trip to the server and back.
const flushWait = 3 * time.Second

// Bus is one connection to NATS.
type Bus struct {
	config Config
	log    *slog.Logger
	conn   *nats.Conn
	js     jetstream.JetStream
	calls  *calls
	lag    atomic.Pointer[Lag] // nil where nobody measures
	tracer trace.Tracer        // nil where nothing is traced

	mu          sync.Mutex
	reconnected []chan<- struct{}
	ensuring    sync.WaitGroup
	ended       chan struct{} // closed by Stop
	stopping    bool
	started     bool // what a reconnect uses is there
	missed      bool // a reconnect came before that
}

// New makes a bus that is not connected yet.
func New(config Config, log *slog.Logger) *Bus {
	return &Bus{config: config, log: log, ended: make(chan struct{})}
}

// waiting bounds what a start waits for.
func (b *Bus) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.config.Wait, fmt.Errorf("NATS did not answer at %s within %s", b.config.URL, b.config.Wait))
}

// Start connects, waiting up to Config.Wait with back-off, and makes the streams.
func (b *Bus) Start(ctx context.Context) error {
	ctx, cancel := b.waiting(ctx)
	defer cancel()
	said := false
	var last error // what NATS said, which the end of the wait would hide
	conn, err := backoff.Retry(ctx, func() (*nats.Conn, error) {
		conn, err := b.config.Dial(b.options()...)
		last = err
		if err != nil && !said {
			said = true
			b.log.InfoContext(ctx, "waiting for NATS", "url", b.config.URL, "error", err)
		}
		return conn, err
	}, backoff.WithBackOff(waitBackOff()))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", errors.Join(context.Cause(ctx), last))
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return fmt.Errorf("open JetStream: %w", err)
	}
	b.conn, b.js = conn, js
	if _, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, b.EnsureStreams(ctx)
	}, backoff.WithBackOff(waitBackOff())); err != nil {
		conn.Close()
		return err
	}
	if b.calls, err = listen(conn, b.log); err == nil {
		err = b.Subscribed(ctx)
	}
	if err != nil {
		conn.Close()
		return err
	}
	b.mu.Lock()
	b.started = true
	missed := b.missed
	b.mu.Unlock()
	if missed {
		b.onReconnect()
	}
	return nil
}

// Subscribed returns once the server knows of all subscriptions of the connection, waiting up to Config.Wait: one that is lost
// meanwhile makes them again when it is back. It is for starts, which are not to fail because NATS is away for a moment.
func (b *Bus) Subscribed(ctx context.Context) error {
	ctx, cancel := b.waiting(ctx)
	defer cancel()
	var last error // what NATS said, which the end of the wait would hide
	if _, err := backoff.Retry(ctx, func() (struct{}, error) {
		trip, done := context.WithTimeout(ctx, flushWait)
		defer done()
		// The client says that the connection is closed of one that is only lost, too.
		if last = b.conn.FlushWithContext(trip); last != nil && b.conn.IsClosed() {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(waitBackOff())); err != nil {
		return fmt.Errorf("subscribe: %w", errors.Join(context.Cause(ctx), last))
	}
	return nil
}

func waitBackOff() *backoff.ExponentialBackOff {
	bo := backoff.NewExponentialBackOff()
	bo.InitialInterval, bo.MaxInterval = 50*time.Millisecond, time.Second
	return bo
}

func (b *Bus) options() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // a password that is changed in the server first is no reason to give up for good
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.PingInterval(20 * time.Second),
		nats.Timeout(2 * time.Second),
		nats.ReconnectBufSize(8 << 20),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subj := ""
			if sub != nil {
				subj = sub.Subject
			}
			b.log.Warn("NATS reported an error", "subject", subj, "error", err)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("NATS connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			b.log.Info("NATS connection is back", "url", conn.ConnectedUrlRedacted())
			b.onReconnect()
		}),
	}
}

// inboxName makes a client name fit for a subject token, so that permissions can name one service's inboxes.
func inboxName(name string) string {
	token := make([]byte, 0, len(name))
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			token = append(token, c)
		}
	}
	return string(token)
}

// onReconnect makes the streams again, because the server that came back may have lost its store, and then tells who asked.
func (b *Bus) onReconnect() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopping {
		return
	}
	if !b.started {
		b.missed = true
		return
	}
	b.ensuring.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // the handler has no ctx; Stop ends and awaits it
		defer cancel()
		go func() {
			select {
			case <-b.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
		if _, err := backoff.Retry(ctx, func() (struct{}, error) {
			return struct{}{}, b.EnsureStreams(ctx)
		}, backoff.WithBackOff(waitBackOff())); err != nil {
			b.log.Error("streams could not be made after a reconnect", "error", err)
		}
		b.mu.Lock()
		listeners := b.reconnected
		b.mu.Unlock()
		for _, ch := range listeners {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
		b.calls.reconnected()
	})
}

// Reconnected returns a channel that gets a value after each reconnect, once the streams are there again. A receiver that
// is behind misses none that matters: the channel holds one.
func (b *Bus) Reconnected() <-chan struct{} {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reconnected = append(b.reconnected, ch)
	return ch
}

// EnsureStreams makes the streams that are missing and, unless [Config.Guest], brings those that are there to the code's
// configuration. It may be repeated and may run in several processes at once.
func (b *Bus) EnsureStreams(ctx context.Context) error {
	for _, stream := range subject.Streams(b.config.Replicas) {
		// A create of what is there and equal changes nothing; an update rewrites the stream's files each time.
		_, err := b.js.CreateStream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			if b.config.Guest {
				continue
			}
			_, err = b.js.UpdateStream(ctx, stream)
		}
		if err != nil {
			return fmt.Errorf("make stream %s: %w", stream.Name, err)
		}
	}
	return nil
}

// KeyValue makes a bucket with the connection's number of copies, or finds it.
func (b *Bus) KeyValue(ctx context.Context, config jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	config.Replicas = b.config.Replicas
	bucket, err := b.js.CreateOrUpdateKeyValue(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", config.Bucket, err)
	}
	return bucket, nil
}

// Stop ends the connection; waiting calls get [ErrClosed]. What was published is flushed first.
func (b *Bus) Stop(ctx context.Context) error {
	if b.conn == nil {
		return nil
	}
	b.mu.Lock()
	if !b.stopping {
		b.stopping = true
		close(b.ended)
	}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	err := b.conn.FlushWithContext(ctx)
	if errors.Is(err, nats.ErrConnectionClosed) || !b.conn.IsConnected() {
		err = nil
	}
	b.conn.Close()
	b.ensuring.Wait()
	b.calls.close()
	return err
}

// Conn is the connection, for core NATS.
func (b *Bus) Conn() *nats.Conn { return b.conn }

// JetStream is the stream side of the connection.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// open tells whether the start has ended and the connection stands.
func (b *Bus) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.started && b.conn.IsConnected()
}

// Check is a readiness check: an error while NATS is away.
func (b *Bus) Check(ctx context.Context) error {
	if !b.open() {
		return errors.New("not connected to NATS")
	}
	ctx, cancel := context.WithTimeout(ctx, flushWait)
	defer cancel()
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("ping NATS: %w", err)
	}
	return nil
}

// Module is the connection. Needs Config, trace.TracerProvider, prometheus.Registerer and *slog.Logger; provides *Bus.
var Module = fx.Module("bus", fx.Provide(func(lc fx.Lifecycle, config Config, traces trace.TracerProvider, metrics prometheus.Registerer, log *slog.Logger) (*Bus, error) {
	b := New(config, log).Trace(traces)
	lc.Append(fx.Hook{OnStart: b.Start, OnStop: b.Stop})
	return b, metrics.Register(NewLag(b))
}))
