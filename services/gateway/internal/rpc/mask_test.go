package rpc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
)

func TestMasksMeanWhatAIP134Says(t *testing.T) {
	patch := &meetv1.MeetingPatch{Status: meetv1.MeetingStatus_MEETING_STATUS_FINISHED, Summary: "x", ScheduledEnd: &timestamppb.Timestamp{}}
	for _, c := range []struct {
		name  string
		patch *meetv1.MeetingPatch
		mask  []string
		want  string
		bad   string
	}{
		{name: "none names all that is set", patch: patch, want: "status scheduled_end summary"},
		{name: "none with nothing set names nothing", patch: &meetv1.MeetingPatch{}},
		{name: "a named field counts even when empty", patch: patch, mask: []string{"description"}, want: "description"},
		{name: "twice is once, in the order of the message", patch: patch, mask: []string{"summary", "status", "summary"}, want: "status summary"},
		{name: "the wildcard names everything", patch: patch, mask: []string{"*"}, want: "status scheduled_start scheduled_end summary description"},
		{name: "the wildcard stands alone", patch: patch, mask: []string{"*", "summary"}, bad: "MASK_WILDCARD"},
		{name: "unknown", patch: patch, mask: []string{"summary", "meet_link"}, bad: "MASK_UNKNOWN_PATH"},
		{name: "below a field", patch: patch, mask: []string{"scheduled_start.seconds"}, bad: "MASK_UNKNOWN_PATH"},
		{name: "an empty path", patch: patch, mask: []string{""}, bad: "MASK_UNKNOWN_PATH"},
		{name: "camel case", patch: patch, mask: []string{"scheduledStart"}, bad: "MASK_UNKNOWN_PATH"},
		{name: "status needs a value", patch: &meetv1.MeetingPatch{}, mask: []string{"status"}, bad: "REQUIRED"},
		{name: "everything needs a status", patch: &meetv1.MeetingPatch{}, mask: []string{"*"}, bad: "REQUIRED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := updateMask(&fieldmaskpb.FieldMask{Paths: c.mask}, c.patch)
			if c.bad != "" {
				var f *fault.Fault
				if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Fields[0].Reason != c.bad {
					t.Errorf("got %v, want %s", err, c.bad)
				}
				return
			}
			if err != nil || strings.Join(got.GetPaths(), " ") != c.want {
				t.Errorf("got %v, %v, want %s", got, err, c.want)
			}
		})
	}
}

func FuzzUpdateMask(f *testing.F) {
	for _, seed := range []string{"", "*", "status", "summary\ndescription", "summary\n*", "a.b", "scheduledStart", "\x00\xff", strings.Repeat("é", 99)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		mask := &fieldmaskpb.FieldMask{Paths: strings.Split(lines, "\n")}
		got, err := updateMask(mask, &meetv1.MeetingPatch{Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("%v is no bad argument", err)
			}
			return
		}
		if len(got.GetPaths()) == 0 || !slices.IsSortedFunc(got.GetPaths(), byDeclaration) {
			t.Errorf("paths %q", got.GetPaths())
		}
		if !got.IsValid(&meetv1.MeetingPatch{}) {
			t.Errorf("%q is no mask of a MeetingPatch", got.GetPaths())
		}
		if _, err := protojson.Marshal(got); err != nil { // a command travels as JSON
			t.Error(err)
		}
	})
}

func byDeclaration(a, b string) int {
	order := []string{"status", "scheduled_start", "scheduled_end", "summary", "description"}
	return slices.Index(order, a) - slices.Index(order, b)
}
