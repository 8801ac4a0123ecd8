package rpc

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"
	headerPrefer         = "Prefer"

	// maxIdempotencyKey in bytes.
	maxIdempotencyKey = 255
)

// callerOf is who sends a change and how. The edge has made sure that request id and trace context are sane.
func callerOf(ctx context.Context, req connect.AnyRequest) (backend.Caller, error) {
	header := req.Header()
	key, err := idempotencyKey(header)
	if err != nil {
		return backend.Caller{}, err
	}
	return backend.Caller{
		Principal:      auth.From(ctx),
		IdempotencyKey: key,
		Route:          http.MethodPost + " " + req.Spec().Procedure,
		RequestID:      logging.ID(ctx, logging.RequestID),
		RemoteAddr:     req.Peer().Addr,
		Traceparent:    header.Get(tracing.Header),
	}, nil
}

func idempotencyKey(header http.Header) (string, error) {
	values := header.Values(headerIdempotencyKey)
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1:
		return "", badKey("must be sent once")
	}
	key := strings.TrimSpace(values[0])
	switch {
	case key == "":
		return "", badKey("must not be empty")
	case len(key) > maxIdempotencyKey:
		return "", badKey("must have at most 255 bytes")
	}
	return key, nil
}

func badKey(text string) error {
	return fault.InvalidField(headerIdempotencyKey, "IDEMPOTENCY_KEY_INVALID", text)
}

// prefersAsync tells whether the caller would rather have an operation than wait (RFC 7240 §4.1).
func prefersAsync(header http.Header) bool {
	return slices.ContainsFunc(header.Values(headerPrefer), func(value string) bool {
		for preference := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
		return false
	})
}
