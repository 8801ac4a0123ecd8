package golden

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test that is watched failing.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.said += fmt.Sprintf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// watch runs f as a test of its own and returns what it failed with.
func watch(f func(testing.TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.said
}

func TestADifferenceFailsAndUpdateWritesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "x.golden.json")
	if said := watch(func(tb testing.TB) { JSON(tb, path, []byte(`{"a":1}`)) }); !strings.Contains(said, "does not exist") {
		t.Errorf("without the file it said %q", said)
	}
	compare(t, path, []byte("{\n  \"a\": 1\n}\n"), true)
	if content, err := os.ReadFile(path); err != nil || len(content) == 0 {
		t.Fatalf("update wrote %q, %v", content, err)
	}
	if said := watch(func(tb testing.TB) { JSON(tb, path, []byte(`{"a":1}`)) }); said != "" {
		t.Errorf("the same content said %q", said)
	}
	for _, other := range []string{`{"a":2}`, `{"a":1.0}`, `{"a":1,"b":2}`} {
		if said := watch(func(tb testing.TB) { JSON(tb, path, []byte(other)) }); !strings.Contains(said, "differs") {
			t.Errorf("%s said %q", other, said)
		}
	}
	if said := watch(func(tb testing.TB) { JSON(tb, path, []byte(`{"a":`)) }); !strings.Contains(said, "not JSON") {
		t.Errorf("broken JSON said %q", said)
	}
	if said := watch(func(tb testing.TB) { Equal(tb, path, []byte(`{"a":1}`)) }); !strings.Contains(said, "differs") {
		t.Errorf("other bytes said %q", said)
	}
}
