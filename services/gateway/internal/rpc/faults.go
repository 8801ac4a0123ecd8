package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// errorDomain is the domain of every google.rpc.ErrorInfo (AIP-193).
const errorDomain = "meet-middleware"

// retryAfter is what a caller is told to wait when the fault names no time of its own.
const retryAfter = time.Second

// faults turns what the handlers return into Connect errors; what is no fault is logged here and keeps its text.
type faults struct{ log *slog.Logger }

func (i faults) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		resp, err := next(ctx, req)
		if err == nil {
			return resp, nil
		}
		var replay replayedError
		replayed := errors.As(err, &replay)
		var failed *connect.Error
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			failed = connect.NewError(connect.CodeDeadlineExceeded, errors.New("the call's deadline passed; what it asked for may still happen"))
		case errors.Is(ctx.Err(), context.Canceled):
			failed = connect.NewError(connect.CodeCanceled, errors.New("the call was cancelled; what it asked for may still happen"))
		default:
			f := fault.Of(err)
			if f.Kind == fault.Internal {
				i.log.ErrorContext(ctx, "call failed", "procedure", req.Spec().Procedure, "error", err)
			}
			failed = connectError(f)
		}
		if replayed {
			failed.Meta().Set(headerReplayed, "true")
		}
		return nil, failed
	}
}

func (faults) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler has nothing to wrap: meet.v1 has unary methods only.
func (faults) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// connectError is f in the form of AIP-193: its code, ErrorInfo always, BadRequest for wrong fields, RetryInfo where the same
// call is fine later.
func connectError(f *fault.Fault) *connect.Error {
	failed := connect.NewError(bus.Code(f.Kind), errors.New(f.Text))
	attach(failed, &errdetails.ErrorInfo{Reason: f.Reason, Domain: errorDomain, Metadata: f.Meta})
	if len(f.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, field := range f.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: field.Path, Description: field.Text, Reason: field.Reason,
			})
		}
		attach(failed, bad)
	}
	if retryable(f.Kind) {
		delay := retryAfter
		if seconds, err := strconv.ParseInt(f.Meta[fault.MetaRetryAfter], 10, 32); err == nil && seconds > 0 {
			delay = time.Duration(seconds) * time.Second
		}
		attach(failed, &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)})
	}
	return failed
}

// Refuse answers r with err in the protocol that r speaks, for whoever refuses a call before it gets here. What is no fault
// is logged and keeps its text.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	var failed *connect.Error
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		failed = connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the message is larger than %d bytes", tooLarge.Limit))
	} else {
		f := fault.Of(err)
		if f.Kind == fault.Internal {
			h.log.ErrorContext(r.Context(), "call failed", "procedure", r.URL.Path, "error", err)
		}
		failed = connectError(f)
	}
	if failed.Code() == connect.CodeUnauthenticated {
		w.Header().Set("WWW-Authenticate", auth.Challenge)
	}
	// A request of no protocol gets the Connect form, which is plain JSON with an HTTP status.
	_ = h.errors.Write(w, r, failed) // fails only when the client is gone
}

// retryable tells whether the same request is fine later.
func retryable(kind fault.Kind) bool {
	switch kind {
	case fault.Unavailable, fault.Expired, fault.Exhausted, fault.InFlight:
		return true
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.VersionMismatch, fault.AlreadyExists, fault.Unauthenticated,
		fault.Forbidden, fault.Refused, fault.KeyReused, fault.Internal:
		return false
	}
	return false
}

func attach(failed *connect.Error, detail proto.Message) {
	// A detail that does not encode (text that is not UTF-8) is left out: code and text are still true.
	if d, err := connect.NewErrorDetail(detail); err == nil {
		failed.AddDetail(d)
	}
}

// replayedError marks the stored answer of an earlier request under the same idempotency key.
type replayedError struct{ error }

func (e replayedError) Unwrap() error { return e.error }
