package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

func TestEveryKindHasItsOwnNameAndComesBackFromIt(t *testing.T) {
	seen := map[string]fault.Kind{}
	for _, k := range fault.Kinds() {
		name := k.String()
		if name == "invalid_kind" {
			t.Errorf("kind %d has no name", k)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("kinds %d and %d are both called %q", other, k, name)
		}
		seen[name] = k
		if back, err := fault.ParseKind(name); err != nil || back != k {
			t.Errorf("ParseKind(%q) = %v, %v, want %d", name, back, err, k)
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d kinds, want 14", len(seen))
	}
	for _, name := range []string{"", "invalid_kind", "Invalid", "teapot"} {
		if k, err := fault.ParseKind(name); err == nil {
			t.Errorf("ParseKind(%q) = %v, want an error", name, k)
		}
	}
	if got := fault.Kind(0).String(); got != "invalid_kind" {
		t.Errorf("the zero kind is called %q", got)
	}
}

func TestOfFindsTheFaultBehindWrapping(t *testing.T) {
	f := fault.New(fault.Conflict, "MEETING_CANCELLED", "meeting %d is cancelled", 12)
	got := fault.Of(fmt.Errorf("update meeting: %w", errors.Join(io.EOF, f)))
	if got != f {
		t.Fatalf("got %v, want the fault itself", got)
	}
	if got.Text != "meeting 12 is cancelled" {
		t.Errorf("text %q", got.Text)
	}
}

func TestOfHidesTheTextOfAnUnknownError(t *testing.T) {
	secret := errors.New("password=hunter2")
	got := fault.Of(secret)
	if got.Kind != fault.Internal || strings.Contains(got.Text, "hunter2") || got.Meta != nil || got.Fields != nil {
		t.Errorf("got %+v", got)
	}
	if !errors.Is(got, secret) || !strings.Contains(got.Error(), "hunter2") {
		t.Error("the log has lost the cause")
	}
	if fault.Of(nil) != nil || fault.KindOf(nil) != 0 {
		t.Error("no error became a fault")
	}
	var none *fault.Fault
	if got := fault.Of(fmt.Errorf("wrapped: %w", none)); got == nil || got.Kind != fault.Internal {
		t.Errorf("a typed nil became %v", got)
	}
}

func TestIsComparesKindAndReasonOnly(t *testing.T) {
	f := fault.New(fault.NotFound, "MEETING_NOT_FOUND", "no meeting 7").WithMeta("id", "7")
	for _, c := range []struct {
		name   string
		target *fault.Fault
		want   bool
	}{
		{"same kind and reason, other text", fault.New(fault.NotFound, "MEETING_NOT_FOUND", "gone"), true},
		{"kind alone", &fault.Fault{Kind: fault.NotFound}, true},
		{"reason alone", &fault.Fault{Reason: "MEETING_NOT_FOUND"}, true},
		{"other reason", fault.New(fault.NotFound, "USER_NOT_FOUND", ""), false},
		{"other kind", fault.New(fault.Conflict, "MEETING_NOT_FOUND", ""), false},
		{"nothing stated", &fault.Fault{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := errors.Is(fmt.Errorf("get: %w", f), c.target); got != c.want {
				t.Errorf("errors.Is = %v, want %v", got, c.want)
			}
		})
	}
}

func TestWithMethodsLeaveTheOriginalAlone(t *testing.T) {
	base := fault.InvalidField("title", "REQUIRED", "must be set").WithMeta("a", "1")
	more := base.WithMeta("b", "2").WithFields(fault.Field{Path: "start", Reason: "PAST"}).WithCause(io.EOF)
	if len(base.Meta) != 1 || len(base.Fields) != 1 || errors.Is(base, io.EOF) {
		t.Errorf("the original changed: %+v", base)
	}
	if len(more.Meta) != 2 || len(more.Fields) != 2 || !errors.Is(more, io.EOF) {
		t.Errorf("the copy is incomplete: %+v", more)
	}
}

func TestInvalidFieldsJoinsTheirTexts(t *testing.T) {
	f := fault.InvalidFields(
		fault.Field{Path: "title", Reason: "REQUIRED", Text: "must be set"},
		fault.Field{Reason: "END_BEFORE_START", Text: "the end is before the start"},
	)
	if f.Kind != fault.Invalid || f.Text != "title: must be set; the end is before the start" {
		t.Errorf("got %v %q", f.Kind, f.Text)
	}
	if got := f.Error(); got != "invalid INVALID_ARGUMENT: title: must be set; the end is before the start" {
		t.Errorf("Error() = %q", got)
	}
}
