package nats

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
)

const (
	// refusalsEvery is how often queries that were turned away are written down while they come in a flood; alike ones share an
	// entry with a count. The first is written at once.
	refusalsEvery = time.Second
	// maxRefusals bounds what is not alike within that time; what is beyond shares an entry.
	maxRefusals = 500
	// refusalsWait bounds the last write at a stop.
	refusalsWait = 3 * time.Second
)

// Refusals writes queries that were turned away into the audit log.
type Refusals struct {
	store app.AuditLog
	now   func() time.Time
	log   *slog.Logger
	wake  chan struct{}

	mu      sync.Mutex
	waiting map[refusal]*audit.Entry
}

type refusal struct{ principal, remote, method, reason string }

// NewRefusals makes the writer; Run runs it.
func NewRefusals(store app.AuditLog, now func() time.Time, log *slog.Logger) *Refusals {
	return &Refusals{store: store, now: now, log: log, wake: make(chan struct{}, 1), waiting: map[refusal]*audit.Entry{}}
}

// Add takes one that was turned away.
func (r *Refusals) Add(e audit.Entry) {
	key := refusal{e.Principal, e.RemoteAddr, e.Action, e.Reason}
	r.mu.Lock()
	if _, alike := r.waiting[key]; !alike && len(r.waiting) >= maxRefusals {
		key = refusal{reason: e.Reason}
		e.Principal, e.RemoteAddr, e.RequestID, e.Action = "", "", "", "several"
	}
	if first := r.waiting[key]; first != nil {
		first.Count++
	} else {
		e.Count = 1
		r.waiting[key] = &e
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends, and then what is left.
func (r *Refusals) Run(ctx context.Context) error {
	for {
		select {
		case <-r.wake:
			r.write(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalsWait)
			defer cancel()
			r.write(last)
			return nil
		}
		select {
		case <-time.After(refusalsEvery): // a bound on work stays on real time
		case <-ctx.Done():
		}
	}
}

func (r *Refusals) write(ctx context.Context) {
	r.mu.Lock()
	waiting := r.waiting
	r.waiting = map[refusal]*audit.Entry{}
	r.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	entries := make([]audit.Entry, 0, len(waiting))
	for _, e := range waiting {
		entries = append(entries, *e)
	}
	if err := r.store.RecordAudit(ctx, r.now(), entries); err != nil {
		for i := range entries { // the log must have it when the audit log can't
			e := &entries[i]
			r.log.ErrorContext(ctx, "refused query is not in the audit log", "principal", e.Principal, "method", e.Action, "reason", e.Reason,
				"remote_addr", e.RemoteAddr, "request_id", e.RequestID, "count", e.Count, "error", err)
		}
	}
}
