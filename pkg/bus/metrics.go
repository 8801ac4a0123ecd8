package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

const (
	// infoFor is how long what NATS said of streams and consumers is shown, so that NATS is not asked for each of many scrapes.
	infoFor = 5 * time.Second
	// infoWait bounds the questions of one scrape, which are asked side by side. What is not answered by then is left out.
	infoWait = time.Second
)

// durable is a consumer that this process pulls from.
type durable struct{ stream, consumer string }

// Lag shows how far the durables are behind that this process consumes, and, where the bus may change the streams, what the
// streams hold. All instances that consume a durable show the same numbers.
type Lag struct {
	bus *Bus

	mu       sync.Mutex
	at       time.Time // real time: it spares the server
	metrics  []prometheus.Metric
	consumed map[durable]struct{}
}

// everywhere ends the help of what all instances read from the one server.
const everywhere = " Every instance shows the same: max, not sum."

var (
	durableLabels   = []string{"stream", "consumer"}
	streamLabels    = []string{"stream"}
	pendingDesc     = prometheus.NewDesc("meet_consumer_pending", "Messages of a durable consumer that were handed to nobody yet."+everywhere, durableLabels, nil)
	ackPendingDesc  = prometheus.NewDesc("meet_consumer_ack_pending", "Messages of a durable consumer that were handed out and not settled."+everywhere, durableLabels, nil)
	redeliveredDesc = prometheus.NewDesc("meet_consumer_redelivered", "Messages of a durable consumer that were handed out more than once and are not settled."+everywhere, durableLabels, nil)
	messagesDesc    = prometheus.NewDesc("meet_stream_messages", "Messages that a stream holds; MEET_DEAD holds dead letters."+everywhere, streamLabels, nil)
	bytesDesc       = prometheus.NewDesc("meet_stream_bytes", "Bytes that a stream holds."+everywhere, streamLabels, nil)
	storedDesc      = prometheus.NewDesc("meet_stream_stored_total", "Messages that were ever stored in a stream, by its last sequence; starts anew when NATS loses its store."+everywhere, streamLabels, nil)
	reconnectsDesc  = prometheus.NewDesc("meet_nats_reconnects_total", "How often the connection to NATS was lost and is back.", nil, nil)
)

// NewLag makes one of a bus, which tells it what it consumes.
func NewLag(b *Bus) *Lag {
	l := &Lag{bus: b, consumed: make(map[durable]struct{})}
	b.lag.Store(l)
	return l
}

// consumes says that this process consumes a durable from now on.
func (l *Lag) consumes(stream, consumer string) {
	if l == nil { // nobody measures
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.consumed[durable{stream, consumer}] = struct{}{}
}

// Describe is [prometheus.Collector].
func (l *Lag) Describe(ch chan<- *prometheus.Desc) {
	shown := []*prometheus.Desc{reconnectsDesc, pendingDesc, ackPendingDesc, redeliveredDesc}
	if !l.bus.config.Guest {
		shown = append(shown, messagesDesc, bytesDesc, storedDesc)
	}
	for _, d := range shown {
		ch <- d
	}
}

// Collect is [prometheus.Collector]. While NATS is away nothing is known of streams and consumers, and nothing is shown.
func (l *Lag) Collect(ch chan<- prometheus.Metric) {
	if !l.bus.open() {
		return
	}
	ch <- prometheus.MustNewConstMetric(reconnectsDesc, prometheus.CounterValue, float64(l.bus.conn.Stats().Reconnects))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) > infoFor {
		l.metrics, l.at = l.ask(), time.Now()
	}
	for _, m := range l.metrics {
		ch <- m
	}
}

// ask asks NATS; call it with mu held.
func (l *Lag) ask() []prometheus.Metric {
	ctx, cancel := context.WithTimeout(context.Background(), infoWait) // the library hands none
	defer cancel()
	var asking sync.WaitGroup
	var mu sync.Mutex
	var out []prometheus.Metric
	found := func(metrics ...prometheus.Metric) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, metrics...)
	}
	for d := range l.consumed {
		asking.Go(func() {
			if c, err := l.bus.js.Consumer(ctx, d.stream, d.consumer); err == nil {
				found(consumerMetrics(c.CachedInfo())...)
			} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
				l.bus.log.DebugContext(ctx, "consumer was not measured", "stream", d.stream, "consumer", d.consumer, "error", err)
			}
		})
	}
	if !l.bus.config.Guest {
		for _, s := range subject.Streams(1) {
			asking.Go(func() {
				if stream, err := l.bus.js.Stream(ctx, s.Name); err == nil {
					found(streamMetrics(stream.CachedInfo())...)
				} else {
					l.bus.log.DebugContext(ctx, "stream was not measured", "stream", s.Name, "error", err)
				}
			})
		}
	}
	asking.Wait()
	return out
}

func consumerMetrics(info *jetstream.ConsumerInfo) []prometheus.Metric {
	gauge := func(d *prometheus.Desc, v float64) prometheus.Metric {
		return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, info.Stream, info.Name)
	}
	return []prometheus.Metric{
		gauge(pendingDesc, float64(info.NumPending)), gauge(ackPendingDesc, float64(info.NumAckPending)), gauge(redeliveredDesc, float64(info.NumRedelivered)),
	}
}

func streamMetrics(info *jetstream.StreamInfo) []prometheus.Metric {
	name := info.Config.Name
	return []prometheus.Metric{
		prometheus.MustNewConstMetric(messagesDesc, prometheus.GaugeValue, float64(info.State.Msgs), name),
		prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(info.State.Bytes), name),
		prometheus.MustNewConstMetric(storedDesc, prometheus.CounterValue, float64(info.State.LastSeq), name),
	}
}
