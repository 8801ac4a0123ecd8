package bus

import (
	"connectrpc.com/connect"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// EncodeFault makes a fault fit to cross a process border; its cause stays behind.
func EncodeFault(f *fault.Fault) *meetv1.Fault {
	out := &meetv1.Fault{Kind: f.Kind.String(), Reason: f.Reason, Text: f.Text, Meta: f.Meta}
	for _, field := range f.Fields {
		out.Fields = append(out.Fields, &meetv1.FieldFault{Path: field.Path, Reason: field.Reason, Text: field.Text, Params: field.Params})
	}
	return out
}

// DecodeFault is the inverse of [EncodeFault]. A kind that this program does not know is internal to it.
func DecodeFault(in *meetv1.Fault) *fault.Fault {
	kind, err := fault.ParseKind(in.GetKind())
	if err != nil {
		kind = fault.Internal
	}
	f := &fault.Fault{Kind: kind, Reason: in.GetReason(), Text: in.GetText(), Meta: in.GetMeta()}
	for _, field := range in.GetFields() {
		f.Fields = append(f.Fields, fault.Field{Path: field.GetPath(), Reason: field.GetReason(), Text: field.GetText(), Params: field.GetParams()})
	}
	return f
}

// Code is the Connect code of a kind; answers to queries carry it, and Connect handlers use it.
func Code(kind fault.Kind) connect.Code {
	switch kind {
	case fault.Invalid:
		return connect.CodeInvalidArgument
	case fault.NotFound:
		return connect.CodeNotFound
	case fault.Conflict, fault.Refused:
		return connect.CodeFailedPrecondition
	case fault.VersionMismatch, fault.InFlight:
		return connect.CodeAborted
	case fault.AlreadyExists:
		return connect.CodeAlreadyExists
	case fault.Unauthenticated:
		return connect.CodeUnauthenticated
	case fault.Forbidden:
		return connect.CodePermissionDenied
	case fault.Exhausted:
		return connect.CodeResourceExhausted
	case fault.Unavailable, fault.Expired:
		return connect.CodeUnavailable
	case fault.KeyReused:
		return connect.CodeInvalidArgument
	case fault.Internal:
		return connect.CodeInternal
	}
	return connect.CodeUnknown
}
