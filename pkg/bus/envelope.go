package bus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// Headers of ours. A client's own headers never travel: Nats-* ones would act on the server.
const (
	headerCommandID = "Meet-Command-Id"
	headerDeadline  = "Meet-Deadline"
	headerReply     = "Meet-Reply"
	headerPrincipal = "Meet-Principal"
	headerRole      = "Meet-Role"
	headerUserID    = "Meet-User-Id"
	headerBodyHash  = "Meet-Body-Hash"
	headerRequestID = "Meet-Request-Id"
	headerRemote    = "Meet-Remote-Addr"
	headerTrace     = "traceparent"

	// HeaderReason says on a dead letter why it is one; HeaderSubject says where it was.
	HeaderReason  = "Meet-Dead-Reason"
	HeaderSubject = "Meet-Dead-Subject"
)

// Principal is who asks, as the gateway knows him.
type Principal struct {
	// Name is stable and goes into the command id and the audit log, such as "local-admin" or "key:mm_live_ab12".
	Name string
	// Role is admin, service or external.
	Role string
	// UserID is the user behind it; 0 when there is none.
	UserID int64
}

// Envelope is what travels in headers beside a command.
type Envelope struct {
	// CommandID is what makes a command act once.
	CommandID uuid.UUID
	// Deadline: a command that arrives later is refused and stored as expired. Zero: none.
	Deadline time.Time
	// Reply is the inbox for [meetv1.CommandReply]; empty: nobody waits.
	Reply     string
	Principal Principal
	// BodyHash tells a repeat from another body under the same idempotency key.
	BodyHash  string
	RequestID string
	// RemoteAddr is the caller's address.
	RemoteAddr  string
	Traceparent string
}

// maxHeader bounds one header of the envelope, in bytes.
const maxHeader = 1024

// header renders the envelope.
func (e Envelope) header() nats.Header {
	h := make(nats.Header, 11)
	set := func(key, value string) {
		if value != "" {
			h[key] = []string{value}
		}
	}
	set(headerCommandID, e.CommandID.String())
	if !e.Deadline.IsZero() {
		set(headerDeadline, strconv.FormatInt(e.Deadline.UnixMilli(), 10))
	}
	set(headerReply, e.Reply)
	set(headerPrincipal, e.Principal.Name)
	set(headerRole, e.Principal.Role)
	if e.Principal.UserID != 0 {
		set(headerUserID, strconv.FormatInt(e.Principal.UserID, 10))
	}
	set(headerBodyHash, e.BodyHash)
	set(headerRequestID, e.RequestID)
	set(headerRemote, e.RemoteAddr)
	set(headerTrace, e.Traceparent)
	return h
}

// ParseEnvelope reads the headers of a command. Its error is permanent: the message is a dead letter.
func ParseEnvelope(h nats.Header) (Envelope, error) {
	id, err := uuid.Parse(h.Get(headerCommandID))
	if err != nil {
		return Envelope{}, fmt.Errorf("header %s: %w", headerCommandID, err)
	}
	e := Envelope{
		CommandID: id, Reply: h.Get(headerReply), BodyHash: h.Get(headerBodyHash), RequestID: h.Get(headerRequestID),
		RemoteAddr: h.Get(headerRemote), Traceparent: h.Get(headerTrace),
		Principal: Principal{Name: h.Get(headerPrincipal), Role: h.Get(headerRole)},
	}
	for _, text := range []string{e.Reply, e.BodyHash, e.RequestID, e.RemoteAddr, e.Traceparent, e.Principal.Name, e.Principal.Role} {
		if len(text) > maxHeader || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return Envelope{}, errors.New("a header of the envelope is too long or holds what no row can hold")
		}
	}
	if v := h.Get(headerDeadline); v != "" {
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return Envelope{}, fmt.Errorf("header %s: %w", headerDeadline, err)
		}
		e.Deadline = time.UnixMilli(ms).UTC()
	}
	if v := h.Get(headerUserID); v != "" {
		if e.Principal.UserID, err = strconv.ParseInt(v, 10, 64); err != nil {
			return Envelope{}, fmt.Errorf("header %s: %w", headerUserID, err)
		}
	}
	return e, nil
}
