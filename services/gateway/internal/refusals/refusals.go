// Package refusals has written down who was turned away at the gateway: what is alike within a second shares one entry of the audit
// log, with a count, so that a flood can't become one of rows.
package refusals

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

const (
	// every is how often attempts are sent while they come in a flood; the first is sent at once.
	every = time.Second
	// maxAlike bounds what is not alike within that time; what is beyond shares an entry for each reason.
	maxAlike = 500
	// maxSent is how many one command takes.
	maxSent = 500
	// lastWait bounds the last try, when the program stops.
	lastWait = 3 * time.Second
)

// Attempt is one request that was turned away.
type Attempt struct {
	// Principal and Credential are empty where nobody known called.
	Principal, Credential string
	// Action is method and path, or the full name of a Connect method.
	Action     string
	RequestID  string
	RemoteAddr string
	Reason     string
}

// Recorder sends them.
type Recorder struct {
	backend *backend.Backend
	now     clock.Clock
	log     *slog.Logger
	wake    chan struct{}

	mu      sync.Mutex
	waiting map[alike]*meetv1.RefusedAttempt
}

type alike struct{ principal, credential, action, remote, reason string }

// New makes a recorder; Run sends.
func New(b *backend.Backend, now clock.Clock, log *slog.Logger) *Recorder {
	return &Recorder{backend: b, now: now, log: log, wake: make(chan struct{}, 1), waiting: make(map[alike]*meetv1.RefusedAttempt)}
}

// Add takes one; it never waits.
func (r *Recorder) Add(a Attempt) {
	host := a.RemoteAddr // each connection has a port of its own
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	key := alike{a.Principal, a.Credential, a.Action, host, a.Reason}
	r.mu.Lock()
	if first := r.waiting[key]; first != nil {
		first.Count++
	} else {
		if len(r.waiting) >= maxAlike {
			key = alike{reason: a.Reason}
			a = Attempt{Action: "several", Reason: a.Reason}
		}
		if first := r.waiting[key]; first != nil {
			first.Count++
		} else {
			r.waiting[key] = &meetv1.RefusedAttempt{
				At: timestamppb.New(r.now()), Principal: a.Principal, Credential: a.Credential, Action: a.Action, RequestId: a.RequestID,
				RemoteAddr: a.RemoteAddr, Reason: a.Reason, Count: 1,
			}
		}
	}
	r.mu.Unlock()
	r.wakeUp()
}

func (r *Recorder) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends, and then what is left.
func (r *Recorder) Run(ctx context.Context) error {
	var kept []*meetv1.RefusedAttempt
	var name string
	for {
		if len(kept) == 0 {
			select {
			case <-r.wake:
			case <-ctx.Done():
			}
		}
		if ctx.Err() == nil {
			kept, name = r.send(ctx, kept, name)
		}
		select {
		case <-time.After(every): // a bound on work stays on real time
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
			defer cancel()
			for last.Err() == nil {
				if kept, name = r.send(last, kept, name); len(kept) > 0 || r.none() {
					break
				}
			}
			if len(kept) > 0 {
				r.lose(last, kept)
			}
			return nil
		}
	}
}

func (r *Recorder) none() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0
}

// send sends what was kept, or what has come since, and gives what is to be sent again, under the same name so that it is written once.
func (r *Recorder) send(ctx context.Context, kept []*meetv1.RefusedAttempt, name string) ([]*meetv1.RefusedAttempt, string) {
	if len(kept) == 0 {
		r.mu.Lock()
		for key, a := range r.waiting {
			if len(kept) == maxSent {
				r.wakeUp() // for the rest
				break
			}
			kept = append(kept, a)
			delete(r.waiting, key)
		}
		r.mu.Unlock()
		if len(kept) == 0 {
			return nil, ""
		}
		name = uuid.NewString()
	}
	caller := backend.Caller{Principal: bus.Gateway, Route: string(subject.RecordAudit), IdempotencyKey: name}
	_, err := backend.Do(ctx, r.backend, subject.RecordAudit, caller, &meetv1.RecordAuditRequest{Attempts: kept})
	if err == nil {
		return nil, ""
	}
	if fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Expired && ctx.Err() == nil {
		r.log.ErrorContext(ctx, "refused attempts were not taken into the audit log", "attempts", len(kept), "error", err)
		r.lose(ctx, kept)
		return nil, ""
	}
	r.log.WarnContext(ctx, "refused attempts are not in the audit log yet", "attempts", len(kept), "error", err)
	return kept, name
}

// lose says in the program's own log what the audit log will not have.
func (r *Recorder) lose(ctx context.Context, lost []*meetv1.RefusedAttempt) {
	for _, a := range lost {
		r.log.ErrorContext(ctx, "refused attempt is not in the audit log", "principal", a.GetPrincipal(), "action", a.GetAction(), "reason", a.GetReason(),
			"remote_addr", a.GetRemoteAddr(), "request_id", a.GetRequestId(), "count", a.GetCount())
	}
}
