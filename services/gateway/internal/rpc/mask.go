package rpc

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// updateMask is the mask that a change of a meeting stands for (AIP-134, AIP-161): none means every field that is set, `*`
// every field that may change. The result holds each path once, in the order of their declaration.
func updateMask(mask *fieldmaskpb.FieldMask, patch *meetv1.MeetingPatch) (*fieldmaskpb.FieldMask, error) {
	message := patch.ProtoReflect()
	changeable := message.Descriptor().Fields()
	if len(mask.GetPaths()) == 0 {
		return pathsWhere(changeable, message.Has), nil
	}
	named := make([]bool, changeable.Len())
	var fields []fault.Field
	for _, path := range mask.GetPaths() {
		if path == "*" {
			if len(mask.GetPaths()) > 1 {
				fields = append(fields, maskField("MASK_WILDCARD", `"*" must be the only path`))
			}
			for i := range named {
				named[i] = true
			}
			continue
		}
		d := changeable.ByName(protoreflect.Name(path))
		if d == nil {
			fields = append(fields, maskField("MASK_UNKNOWN_PATH", quote(path)+" is not a field that may change; name one of "+names(changeable)))
			continue
		}
		named[d.Index()] = true
	}
	status := changeable.ByName("status")
	if len(fields) == 0 && named[status.Index()] && !message.Has(status) {
		fields = append(fields, fault.Field{Path: "meeting.status", Reason: "REQUIRED", Text: "must be set, because update_mask names it"})
	}
	if len(fields) > 0 {
		return nil, fault.InvalidFields(fields...)
	}
	return pathsWhere(changeable, func(d protoreflect.FieldDescriptor) bool { return named[d.Index()] }), nil
}

func pathsWhere(fields protoreflect.FieldDescriptors, wanted func(protoreflect.FieldDescriptor) bool) *fieldmaskpb.FieldMask {
	mask := &fieldmaskpb.FieldMask{}
	for i := range fields.Len() {
		if d := fields.Get(i); wanted(d) {
			mask.Paths = append(mask.Paths, string(d.Name()))
		}
	}
	return mask
}

func maskField(reason, text string) fault.Field {
	return fault.Field{Path: "update_mask", Reason: reason, Text: text}
}

// quote shows a client's own text in an answer, cut to what helps.
func quote(text string) string {
	const limit = 64
	runes := []rune(text)
	if len(runes) > limit {
		return `"` + string(runes[:limit]) + `…"`
	}
	return `"` + text + `"`
}

func names(fields protoreflect.FieldDescriptors) string {
	all := make([]string, 0, fields.Len())
	for i := range fields.Len() {
		all = append(all, string(fields.Get(i).Name()))
	}
	slices.Sort(all)
	return strings.Join(all, ", ") + ` or "*"`
}
