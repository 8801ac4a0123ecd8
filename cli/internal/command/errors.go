package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// callError is a call that failed, with what a person needs to put it right.
type callError struct {
	err error
	// key is the idempotency key of a change.
	key string
	// server that was asked.
	server string
}

func (e callError) Error() string { return e.err.Error() }
func (e callError) Unwrap() error { return e.err }

// flagOf names the flag that a field of the API comes from.
var flagOf = map[string]string{
	"organizer_email": "--organizer", "invited_emails": "--invite", "scheduled_start": "--start", "scheduled_end": "--end",
	"meeting.scheduled_start": "--start", "meeting.scheduled_end": "--end", "external_reference": "--external-reference", "summary": "--summary",
	"description": "--description", "time_zone": "--time-zone", "etag": "--etag", "Idempotency-Key": "--idempotency-key", "page_size": "--limit",
	"page_token": "--page-token", "organizer_id": "--organizer-id", "invited_email": "--invited-email", "status": "--status",
	"recording_state": "--recording-state", "scheduled_start_from": "--from", "scheduled_start_to": "--to", "id": "the id",
	"from": "--from", "to": "--to", "state": "--state", "export_state": "--export-state", "class": "--class", "kind": "--kind",
	"emails": "--email", "name": "--name", "role": "--role", "user_id": "--user", "scopes": "--scope", "expires_at": "--expires", "overlap_seconds": "--overlap",
	"after_hash": "--after", "key": "the key", "reason": "--reason", "limit": "--limit",
}

// explain says err to a person, and which exit status it is.
func explain(err error) (string, int) {
	var wrong usageError
	if errors.As(err, &wrong) {
		return err.Error(), exitUsage
	}
	var came ended
	if errors.As(err, &came) {
		return clean(came.text), came.code
	}
	var failed *connect.Error
	if !errors.As(err, &failed) {
		if strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
			return err.Error() + "; see meetctl --help", exitUsage
		}
		return err.Error(), exitFailed
	}
	var call callError
	errors.As(err, &call)
	var b strings.Builder
	info, bad := details(failed)
	switch violations := bad.GetFieldViolations(); {
	case len(violations) > 0:
		b.WriteString("the server found something wrong:")
		for _, v := range violations {
			fmt.Fprintf(&b, "\n  %s: %s", fieldName(v.GetField()), clean(v.GetDescription()))
		}
	case failed.Code() == connect.CodeUnavailable && info == nil:
		fmt.Fprintf(&b, "%s does not answer (%s); is it running? --server or MEET_SERVER names another", call.server, clean(failed.Message()))
	case failed.Code() == connect.CodeDeadlineExceeded || failed.Code() == connect.CodeCanceled:
		fmt.Fprintf(&b, "no answer from %s in time; --timeout waits longer", call.server)
	default:
		b.WriteString(clean(failed.Message()))
	}
	if reason := info.GetReason(); reason != "" {
		fmt.Fprintf(&b, "\n  reason: %s", clean(reason))
		for _, key := range slices.Sorted(maps.Keys(info.GetMetadata())) {
			fmt.Fprintf(&b, "\n  %s: %s", clean(key), clean(info.GetMetadata()[key]))
		}
	}
	code := exitOf(failed.Code())
	switch {
	case failed.Code() == connect.CodeUnauthenticated:
		b.WriteString("\n  MEETCTL_TOKEN, MEET_API_KEY or --token-file names the API key or token to call with")
	case code == exitUnavailable && call.key != "":
		fmt.Fprintf(&b, "\n  the change may have been made; repeat it with --idempotency-key %s to be sure that it is made once", call.key)
	case failed.Code() == connect.CodeAborted && info.GetMetadata()["etag"] != "":
		b.WriteString("\n  it was changed meanwhile: read it again, then repeat with its --etag, or without")
	}
	return b.String(), code
}

func details(failed *connect.Error) (*errdetails.ErrorInfo, *errdetails.BadRequest) {
	var info *errdetails.ErrorInfo
	var bad *errdetails.BadRequest
	for _, detail := range failed.Details() {
		value, err := detail.Value()
		if err != nil {
			continue // a detail of a newer server: the message still says it
		}
		switch d := value.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.BadRequest:
			bad = d
		}
	}
	return info, bad
}

// fieldName is the flag that a field comes from, and which of its values.
func fieldName(path string) string {
	name, index, _ := strings.Cut(path, "[")
	flag, ok := flagOf[name]
	if !ok {
		return clean(path)
	}
	if index == "" {
		return flag
	}
	var i int
	if _, err := fmt.Sscanf(index, "%d]", &i); err != nil {
		return flag
	}
	return fmt.Sprintf("%s (number %d)", flag, i+1)
}

func exitOf(code connect.Code) int {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return exitInvalid
	case connect.CodeNotFound:
		return exitNotFound
	case connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeAlreadyExists:
		return exitConflict
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeResourceExhausted:
		return exitUnavailable
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return exitForbidden
	case connect.CodeUnknown, connect.CodeUnimplemented, connect.CodeInternal, connect.CodeDataLoss:
		return exitFailed
	}
	return exitFailed
}

// ended is a change or a wait that came to no good end although every call was answered.
type ended struct {
	text string
	code int
}

func (e ended) Error() string { return e.text }
