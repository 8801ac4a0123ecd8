package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
)

const program = `package main

import (
	"fmt"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
)

func main() {
	for i := range 3 {
		failpoint.Here("test.other")
		fmt.Println(i)
		failpoint.Here("test.printed")
	}
}
`

func TestAProgramDiesAtTheNamedPassAndOnlyWhenItWasBuiltForIt(t *testing.T) {
	if failpoint.Enabled {
		t.Skip("the tests themselves were built with the tag")
	}
	build := func(t *testing.T, tags string) string {
		t.Helper()
		dir := t.TempDir()
		source, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
		if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", bin, source).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		return bin
	}
	armedBin, usualBin := build(t, "failpoint"), build(t, "")
	for name, test := range map[string]struct {
		bin, place string
		output     string
		killed     bool
		code       int
	}{
		"first pass":            {armedBin, "test.printed", "0\n", true, 0},
		"third pass":            {armedBin, "test.printed:3", "0\n1\n2\n", true, 0},
		"a pass never reached":  {armedBin, "test.printed:4", "0\n1\n2\n", false, 0},
		"another place":         {armedBin, "test.nowhere", "0\n1\n2\n", false, 0},
		"not armed":             {armedBin, "", "0\n1\n2\n", false, 0},
		"a count that is wrong": {armedBin, "test.printed:0", "", false, 2},
		"a usual build":         {usualBin, "test.printed", "0\n1\n2\n", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), test.bin)
			cmd.Env = append(os.Environ(), failpoint.Variable+"="+test.place)
			out, err := cmd.Output()
			if string(out) != test.output {
				t.Errorf("printed %q, want %q", out, test.output)
			}
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if status.Signaled() != test.killed || !test.killed && status.ExitStatus() != test.code {
				t.Errorf("ended with %v, want killed %t, code %d", status, test.killed, test.code)
			}
		})
	}
}
