package tracing_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/meet-middleware/meet-middleware/pkg/tracing"
)

func FuzzParent(f *testing.F) {
	for _, seed := range []string{
		"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff--", strings.Repeat("-", 55), strings.Repeat("é", 60),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, parent string) {
		ctx, ok := tracing.Parent(t.Context(), parent)
		again := tracing.Traceparent(ctx)
		if !ok {
			if again != "" || trace.SpanContextFromContext(ctx).IsValid() {
				t.Errorf("%q is none and became %q", parent, again)
			}
			return
		}
		if len(again) != 55 || !strings.HasPrefix(again, "00-"+parent[3:53]) {
			t.Errorf("%q became %q", parent, again)
		}
	})
}
