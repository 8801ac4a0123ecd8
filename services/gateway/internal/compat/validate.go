package compat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

// form is the fields of one body and the protobuf request that they fill, with its rules.
type form[T proto.Message] struct {
	fields    []field[T]
	order     map[string]int    // place of each field
	byTarget  map[string]string // name of the field at a path of the request
	validator protovalidate.Validator
}

// newForm looks up the rules of every target; it panics where the table and the .proto disagree, which any test finds.
func newForm[T proto.Message](validator protovalidate.Validator, message protoreflect.MessageDescriptor, fields []field[T]) *form[T] {
	f := &form[T]{fields: fields, validator: validator, order: make(map[string]int, len(fields)), byTarget: make(map[string]string, len(fields))}
	for i := range fields {
		field := &fields[i]
		f.order[field.name] = i
		if field.target == "" {
			continue
		}
		f.byTarget[field.target] = field.name
		rules := rulesAt(message, field.target)
		field.required = field.required || rules.GetRequired() || rules.GetRepeated().GetMinItems() > 0
		limit(field, rules)
	}
	return f
}

// rulesAt finds the rules of the field at a dotted path.
func rulesAt(message protoreflect.MessageDescriptor, path string) *validate.FieldRules {
	name, rest, nested := strings.Cut(path, ".")
	descriptor := message.Fields().ByName(protoreflect.Name(name))
	if descriptor == nil {
		panic(fmt.Sprintf("compat: %s has no field %s", message.FullName(), path))
	}
	if nested {
		return rulesAt(descriptor.Message(), rest)
	}
	rules, err := protovalidate.ResolveFieldRules(descriptor)
	if err != nil {
		panic(fmt.Sprintf("compat: rules of %s: %v", descriptor.FullName(), err))
	}
	return rules
}

// limit shows the rules in the schema.
func limit[T any](f *field[T], rules *validate.FieldRules) {
	most := func(n uint64) *int {
		if n == 0 {
			return nil
		}
		limit := int(n)
		return &limit
	}
	f.schema.MaxLength = most(rules.GetString().GetMaxLen())
	if f.schema.Items != nil {
		repeated := rules.GetRepeated()
		f.schema.MinItems, f.schema.MaxItems = most(repeated.GetMinItems()), most(repeated.GetMaxItems())
		f.schema.Items.MaxLength = most(repeated.GetItems().GetString().GetMaxLen())
	}
}

// fill reads o into dst and applies the rules. Everything that is wrong is told at once, in the order of the fields.
func (f *form[T]) fill(o object, dst T) error { return f.check(read(o, f.fields, dst), dst) }

// check applies the rules of dst and adds what they find to faults, except for fields that are wrong already.
func (f *form[T]) check(faults []fault.Field, dst T) error {
	already := make(map[string]bool, len(faults))
	for _, failed := range faults {
		already[pathOf(failed.Path)[0]] = true
	}
	found, err := violations(f.validator, dst)
	if err != nil {
		return err
	}
	for _, failed := range found {
		failed.Path = f.named(failed.Path)
		if !already[pathOf(failed.Path)[0]] {
			faults = append(faults, failed)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortStableFunc(faults, func(a, b fault.Field) int { return f.place(a.Path) - f.place(b.Path) })
	return fault.InvalidFields(faults...)
}

func (f *form[T]) place(path string) int {
	if i, ok := f.order[pathOf(path)[0]]; ok {
		return i
	}
	return len(f.fields)
}

// named turns a path of the request into one of the body.
func (f *form[T]) named(path string) string {
	whole, index, _ := strings.Cut(path, "[")
	if name, ok := f.byTarget[whole]; ok {
		if index != "" {
			return name + "[" + index
		}
		return name
	}
	return path
}

// violations are the rules of the .proto that message breaks.
func violations(validator protovalidate.Validator, message proto.Message) ([]fault.Field, error) {
	err := validator.Validate(message)
	if err == nil {
		return nil, nil
	}
	var failed *protovalidate.ValidationError
	if !errors.As(err, &failed) {
		return nil, fmt.Errorf("apply the rules of %s: %w", message.ProtoReflect().Descriptor().FullName(), err)
	}
	found := make([]fault.Field, 0, len(failed.Violations))
	for _, violation := range failed.Violations {
		found = append(found, fieldOf(violation))
	}
	return found, nil
}

// fieldOf says what rule of which field was broken.
func fieldOf(v *protovalidate.Violation) fault.Field {
	path := protovalidate.FieldPathString(v.Proto.GetField())
	limit := func() string {
		if !v.RuleValue.IsValid() {
			return ""
		}
		return v.RuleValue.String()
	}
	switch v.Proto.GetRuleId() {
	case "required":
		return wrong(path, required)
	case "string.email", "string.email_empty":
		return wrong(path, invalidEmail)
	case "string.max_len":
		return wrong(path, tooLong, "max", limit())
	case "string.min_len":
		return wrong(path, blank)
	case "string.pattern":
		return wrong(path, invalidUsername) // the only pattern there is; a test holds the .proto to it
	case "repeated.min_items":
		return wrong(path, emptyList)
	case "repeated.max_items":
		return wrong(path, tooMany, "max", limit())
	case "unique_emails":
		return wrong(path, duplicateEmails)
	case "end_after_start":
		return wrong("scheduled_end", endNotAfterStart)
	}
	return fault.Field{Path: path, Reason: string(invalidValue), Text: v.Proto.GetMessage()}
}
