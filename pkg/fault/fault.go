// Package fault says what kind of failure an error is, so that whoever receives it can act on it
// without reading its text: an HTTP edge picks a status, a consumer picks ack, retry or dead
// letter, a person reads what to do.
//
// A failure that a caller may act on is a [Fault]. Every other error is [Internal], and its text
// stays in the log: [Of] never lets it through. A Fault is plain data, so it survives a process
// border; its cause does not. The package knows no transport.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is what a receiver may do about a failure. The set is closed: every edge has one table by
// Kind. The zero Kind is invalid.
type Kind uint8

// The kinds. Their names ([Kind.String]) travel between processes and are never renamed.
const (
	// Invalid: an argument is wrong whatever the state is; Fields says which.
	Invalid Kind = iota + 1
	// NotFound: there is no such thing, or the caller may not know that there is.
	NotFound
	// Conflict: the state forbids it, as leaving CANCELLED does.
	Conflict
	// VersionMismatch: the etag the caller sent is not the current one.
	VersionMismatch
	// AlreadyExists: a thing with this name or address is there already.
	AlreadyExists
	// Unauthenticated: who is calling is not known.
	Unauthenticated
	// Forbidden: who is calling is known and may not.
	Forbidden
	// Exhausted: a rate or quota is used up; the same request is fine later.
	Exhausted
	// Unavailable: a dependency is down; the same request is fine later.
	Unavailable
	// Refused: the outside (Google, a webhook's receiver) refused for good; repeating is useless.
	Refused
	// Expired: the deadline passed before it was applied; nothing was done.
	Expired
	// KeyReused: the idempotency key was used before with another body.
	KeyReused
	// InFlight: the first request with this idempotency key is not committed yet.
	InFlight
	// Internal: a fault of ours; the text says nothing about it, the log does.
	Internal
)

// Kinds returns every kind, in the order of their declaration.
func Kinds() []Kind {
	kinds := make([]Kind, 0, Internal)
	for k := Invalid; k <= Internal; k++ {
		kinds = append(kinds, k)
	}
	return kinds
}

// String is the kind's name on the wire, as "version_mismatch"; "invalid_kind" for a value outside
// the set.
func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not_found"
	case Conflict:
		return "conflict"
	case VersionMismatch:
		return "version_mismatch"
	case AlreadyExists:
		return "already_exists"
	case Unauthenticated:
		return "unauthenticated"
	case Forbidden:
		return "forbidden"
	case Exhausted:
		return "exhausted"
	case Unavailable:
		return "unavailable"
	case Refused:
		return "refused"
	case Expired:
		return "expired"
	case KeyReused:
		return "key_reused"
	case InFlight:
		return "in_flight"
	case Internal:
		return "internal"
	}
	return "invalid_kind"
}

// ParseKind is the inverse of [Kind.String]. Its error is a plain one: a name outside the set comes
// from a program newer than this one, and is [Internal] to whoever does not know it.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if k.String() == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("no fault kind is called %q", name)
}

// Field is one wrong part of a request.
type Field struct {
	// Path names it in the request's own words: "scheduled_start", "participants[2].email". Empty
	// when the fault is of the whole.
	Path string
	// Reason is stable and SCREAMING_SNAKE_CASE, for programs and translators.
	Reason string
	// Text is one English sentence for a person.
	Text string
	// Params are the values inside Text, for translators: "max": "255".
	Params map[string]string
}

// Fault is a failure that a caller may act on. Treat it as a value: the With methods copy.
type Fault struct {
	Kind Kind
	// Reason is stable, SCREAMING_SNAKE_CASE and in the docs.
	Reason string
	// Text is English, for a person, and may be shown to any caller.
	Text string
	// Fields are the wrong parts, for Invalid.
	Fields []Field
	// Meta is more for programs: ids, limits, a retry delay. It may be shown to any caller.
	Meta map[string]string

	cause error
}

// New makes a fault; format and args make its text.
func New(kind Kind, reason, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// ReasonInvalid is the reason of a fault made of fields alone.
const ReasonInvalid = "INVALID_ARGUMENT"

// InvalidField says that one field is wrong; text is a whole sentence.
func InvalidField(path, reason, text string) *Fault {
	return InvalidFields(Field{Path: path, Reason: reason, Text: text})
}

// InvalidFields says that these fields are wrong; the fault's text joins theirs.
func InvalidFields(fields ...Field) *Fault {
	texts := make([]string, 0, len(fields))
	for _, f := range fields {
		if f.Path == "" {
			texts = append(texts, f.Text)
			continue
		}
		texts = append(texts, f.Path+": "+f.Text)
	}
	return &Fault{Kind: Invalid, Reason: ReasonInvalid, Text: strings.Join(texts, "; "), Fields: fields}
}

// Error is for the log: kind, reason, text and cause.
func (f *Fault) Error() string {
	text := f.Kind.String() + " " + f.Reason
	if f.Text != "" {
		text += ": " + f.Text
	}
	if f.cause != nil {
		text += ": " + f.cause.Error()
	}
	return text
}

// Unwrap returns the cause given to [Fault.WithCause]; nil after a process border.
func (f *Fault) Unwrap() error { return f.cause }

// Is makes errors.Is(err, want) true when err's fault has want's kind and reason; a kind or reason
// that want leaves out is not compared. Texts, fields and meta never matter.
func (f *Fault) Is(target error) bool {
	want, ok := target.(*Fault) // errors.Is walks the chain itself
	if !ok || (want.Kind == 0 && want.Reason == "") {
		return false
	}
	return (want.Kind == 0 || want.Kind == f.Kind) && (want.Reason == "" || want.Reason == f.Reason)
}

// WithCause returns a copy that also unwraps to cause and shows it in the log. It reaches no caller
// and crosses no process border.
func (f *Fault) WithCause(cause error) *Fault {
	c := f.clone()
	c.cause = cause
	return c
}

// WithMeta returns a copy with one more entry in Meta.
func (f *Fault) WithMeta(key, value string) *Fault {
	c := f.clone()
	if c.Meta == nil {
		c.Meta = make(map[string]string, 1)
	}
	c.Meta[key] = value
	return c
}

// WithFields returns a copy with more wrong fields.
func (f *Fault) WithFields(fields ...Field) *Fault {
	c := f.clone()
	c.Fields = append(c.Fields, fields...)
	return c
}

// MetaRetryAfter is the entry of Meta that says after how many whole seconds the same request may be
// fine; for [Exhausted], [Unavailable] and [InFlight].
const MetaRetryAfter = "retry_after_seconds"

func (f *Fault) clone() *Fault {
	c := *f
	c.Fields = slices.Clone(f.Fields)
	c.Meta = maps.Clone(f.Meta)
	return &c
}

// ReasonInternal is the reason of an error that is no fault.
const ReasonInternal = "INTERNAL"

// Of is the one way from an error to what a caller may see: the first [Fault] in err's chain, else
// an [Internal] one whose text says nothing and whose cause is err. Nil for nil.
func Of(err error) *Fault {
	if err == nil {
		return nil
	}
	var f *Fault
	if errors.As(err, &f) && f != nil {
		return f
	}
	return New(Internal, ReasonInternal, "internal error").WithCause(err)
}

// KindOf is the kind of [Of]; 0 for nil.
func KindOf(err error) Kind {
	if f := Of(err); f != nil {
		return f.Kind
	}
	return 0
}
