package httpserver

import (
	"encoding/json"
	"net/http"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
)

// ProblemContentType is RFC 9457's.
const ProblemContentType = "application/problem+json"

// Problem is a problem document (RFC 9457). Its type is "about:blank" and so left out: the reason
// says what a type would.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Reason is the fault's: stable, for programs.
	Reason string `json:"reason"`
	// RequestID finds the request in the log.
	RequestID string            `json:"request_id,omitempty"`
	Errors    []ProblemField    `json:"errors,omitempty"`
	Meta      map[string]string `json:"meta,omitempty"`
}

// ProblemField is one wrong part of the request.
type ProblemField struct {
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Status is the HTTP status of a kind of fault.
func Status(k fault.Kind) int {
	switch k {
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.AlreadyExists, fault.InFlight:
		return http.StatusConflict
	case fault.VersionMismatch:
		return http.StatusPreconditionFailed
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.Exhausted:
		return http.StatusTooManyRequests
	case fault.Refused:
		return http.StatusBadGateway
	case fault.Unavailable, fault.Expired:
		return http.StatusServiceUnavailable
	case fault.KeyReused:
		return http.StatusUnprocessableEntity // draft-ietf-httpapi-idempotency-key-header §2.7
	case fault.Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// ProblemOf is the problem document of err; what is no fault says nothing.
func ProblemOf(err error) Problem {
	f := fault.Of(err)
	if f == nil {
		f = fault.New(fault.Internal, fault.ReasonInternal, "internal error")
	}
	status := Status(f.Kind)
	p := Problem{Title: http.StatusText(status), Status: status, Detail: f.Text, Reason: f.Reason, Meta: f.Meta}
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, ProblemField{Field: field.Path, Reason: field.Reason, Detail: field.Text})
	}
	return p
}

// defaultRetryAfter, in seconds, is told with a 503 whose fault names no delay of its own.
const defaultRetryAfter = "1"

// WriteProblem answers r with err's problem document. Logging err is the caller's: the error stops
// travelling here.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	p.RequestID = logging.ID(r.Context(), logging.RequestID)
	header := w.Header()
	if after := p.Meta[fault.MetaRetryAfter]; after != "" {
		header.Set("Retry-After", after)
	} else if p.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", defaultRetryAfter)
	}
	header.Set("Content-Type", ProblemContentType)
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody to tell
}
