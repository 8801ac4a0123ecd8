// Package golden compares what a test made with a file that a person has read and approved.
// `go test ./... -update` writes the files anew; the diff is then reviewed like code. It is for
// tests alone.
package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The test binary's own flag set: read by go test before any test runs, never changed after.
var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// Equal fails the test when got is not, byte for byte, the content of the file at path (relative to
// the test's folder, as testdata/create.golden.json).
func Equal(t testing.TB, path string, got []byte) {
	t.Helper()
	compare(t, path, got, *update)
}

// JSON compares got with the file after indenting both, so that a diff has lines; numbers and the
// order of keys must still be the same.
func JSON(t testing.TB, path string, got []byte) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(got), "", "  "); err != nil {
		t.Fatalf("%s: not JSON: %v\n%s", path, err, got)
	}
	b.WriteByte('\n')
	compare(t, path, b.Bytes(), *update)
}

func compare(t testing.TB, path string, got []byte, write bool) {
	t.Helper()
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s does not exist; go test -update writes it:\n%s", path, got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-file +got); if the change is meant, go test -update writes it:\n%s", path, diff)
	}
}
