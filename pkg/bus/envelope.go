package bus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

// Headers of ours. A client's own headers never travel: Nats-* ones would act on the server.
const (
	headerCommandID = "Meet-Command-Id"
	headerDeadline  = "Meet-Deadline"
	headerReply     = "Meet-Reply"
	headerPrincipal = "Meet-Principal"
	headerRole      = "Meet-Role"
	headerUserID    = "Meet-User-Id"
	headerScopes    = "Meet-Scopes"
	headerKeyID     = "Meet-Key-Id"
	headerMode      = "Meet-Credential"
	headerBodyHash  = "Meet-Body-Hash"
	headerRequestID = "Meet-Request-Id"
	headerRemote    = "Meet-Remote-Addr"

	// HeaderReason says on a dead letter why it is one; HeaderSubject says where it was.
	HeaderReason  = "Meet-Dead-Reason"
	HeaderSubject = "Meet-Dead-Subject"
)

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

// inboxPrefix begins every inbox.
const inboxPrefix = "_INBOX"

var errNoInbox = errors.New("the place for the reply is no inbox")

// maxHeader bounds one header of the envelope, in bytes.
const maxHeader = 1024

// header renders the envelope.
func (e Envelope) header() nats.Header {
	h := make(nats.Header, 14)
	set(h, headerCommandID, e.CommandID.String())
	if !e.Deadline.IsZero() {
		set(h, headerDeadline, strconv.FormatInt(e.Deadline.UnixMilli(), 10))
	}
	set(h, headerReply, e.Reply)
	e.Principal.header(h)
	set(h, headerBodyHash, e.BodyHash)
	set(h, headerRequestID, e.RequestID)
	set(h, headerRemote, e.RemoteAddr)
	set(h, tracing.Header, e.Traceparent)
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
		RemoteAddr: h.Get(headerRemote), Traceparent: h.Get(tracing.Header),
	}
	if e.Reply != "" && (!strings.HasPrefix(e.Reply, inboxPrefix) || strings.ContainsAny(e.Reply, "*> \t\r\n")) {
		return Envelope{}, errNoInbox // meetings may publish where the sender may not
	}
	if !sound(e.Reply, e.BodyHash, e.RequestID, e.RemoteAddr, e.Traceparent) {
		return Envelope{}, errUnsound
	}
	if e.Principal, err = parsePrincipal(h.Get); err != nil {
		return Envelope{}, err
	}
	if v := h.Get(headerDeadline); v != "" {
		ms, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return Envelope{}, fmt.Errorf("header %s: %w", headerDeadline, err)
		}
		e.Deadline = time.UnixMilli(ms).UTC()
	}
	return e, nil
}
