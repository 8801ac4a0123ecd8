package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// methods are those of meet.v1.
func methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		meetv1.File_meet_v1_meeting_proto, meetv1.File_meet_v1_recording_proto, meetv1.File_meet_v1_user_proto, meetv1.File_meet_v1_setup_proto,
		meetv1.File_meet_v1_access_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, service.Methods().Get(j))
			}
		}
	}
	return all
}

// validation refuses a request that breaks the rules written in the .proto, all fields at once.
type validation struct{ validator protovalidate.Validator }

func (i validation) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if msg, ok := req.Any().(proto.Message); ok {
			if err := i.check(msg); err != nil {
				return nil, err
			}
		}
		return next(ctx, req)
	}
}

func (validation) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler has nothing to check: meet.v1 has unary methods only.
func (validation) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// check returns a [fault.Invalid] with every wrong field.
func (i validation) check(msg proto.Message) error {
	// First what the rules themselves, JSON and Postgres can't take.
	if fields := unstorable(nil, "", msg.ProtoReflect()); len(fields) > 0 {
		return fault.InvalidFields(fields...)
	}
	err := i.validator.Validate(msg)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) {
		return fmt.Errorf("validate %s: %w", msg.ProtoReflect().Descriptor().FullName(), err)
	}
	fields := make([]fault.Field, 0, len(broken.Violations))
	for _, v := range broken.Violations {
		path := protovalidate.FieldPathString(v.Proto.GetField())
		if path == "" {
			path = ruleFields[v.Proto.GetRuleId()]
		}
		fields = append(fields, fault.Field{Path: path, Reason: reason(v.Proto.GetRuleId()), Text: v.Proto.GetMessage()})
	}
	return fault.InvalidFields(fields...)
}

// ruleFields names the field that a rule about several is blamed on.
var ruleFields = map[string]string{"end_after_start": "scheduled_end"}

// reason makes a rule's id a reason: "string.max_len" is STRING_MAX_LEN.
func reason(ruleID string) string {
	if ruleID == "" {
		return fault.ReasonInvalid
	}
	return strings.ToUpper(strings.ReplaceAll(ruleID, ".", "_"))
}

// unstorable finds times outside the years 1 to 9999 and texts with a NUL byte.
func unstorable(fields []fault.Field, prefix string, m protoreflect.Message) []fault.Field {
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(d.Name())
		switch {
		case d.IsMap():
			// No request has a map.
		case d.IsList():
			for i := range v.List().Len() {
				fields = unstorableValue(fields, fmt.Sprintf("%s[%d]", path, i), d, v.List().Get(i))
			}
		default:
			fields = unstorableValue(fields, path, d, v)
		}
		return true
	})
	return fields
}

func unstorableValue(fields []fault.Field, path string, d protoreflect.FieldDescriptor, v protoreflect.Value) []fault.Field {
	switch d.Kind() { //nolint:exhaustive // numbers and enums are always storable
	case protoreflect.StringKind:
		if strings.ContainsRune(v.String(), 0) {
			return append(fields, fault.Field{Path: path, Reason: "NUL_CHARACTER", Text: "must not contain a NUL character"})
		}
	case protoreflect.MessageKind:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			if t.CheckValid() != nil {
				return append(fields, fault.Field{Path: path, Reason: "TIME_OUT_OF_RANGE", Text: "must be a time in the years 1 to 9999"})
			}
			return fields
		}
		return unstorable(fields, path+".", v.Message())
	}
	return fields
}
