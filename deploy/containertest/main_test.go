//go:build container

package containertest

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// builtTag lets who works on this test leave out the building.
var builtTag = flag.String("images", "", "tag of images that are there already, which are used and kept; absent: they are built, and removed at the end")

// cleaning bounds the removal of all that is left at the end, which happens within go test's own -timeout.
const cleaning = 90 * time.Second

// TestContainers is one test because its parts share images that take minutes to build, and a stack.
func TestContainers(t *testing.T) {
	if out, err := exec.Command("docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		t.Fatalf("no Docker engine answers: %v\n%s", err, out)
	}
	// What runs is given up at the first signal, and then cleaned away.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if end, ok := t.Deadline(); ok {
		ctx, stop = context.WithDeadlineCause(ctx, end.Add(-cleaning), errors.New("go test's -timeout comes near"))
		t.Cleanup(stop)
	}
	r := newRun(t, ctx)
	for _, part := range []struct {
		name string
		test func(*testing.T, *run)
		// needed: without it the others can't be tried.
		needed bool
	}{
		{"the images build", testBuild, true},
		{"the images hold what they should and nothing else", testImages, false},
		{"the all-in-one image serves by itself", testAllInOne, false},
		{"every combination of compose files is valid", testConfigs, false},
		{"the stack serves", testStack, false},
		{"nothing is lost or doubled under load", testStorm, false},
		{"a backup brings everything back", testBackup, false},
		{"the production stack asks for a key, over https", testProduction, false},
		{"nothing is left", testNothingIsLeft, false},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.test(t, r.in(t)) }) && part.needed {
			break
		}
		if err := context.Cause(ctx); err != nil {
			t.Fatal(err)
		}
	}
	r.report(t)
}

// testNothingIsLeft takes away what an operator takes away, and looks for what that leaves.
func testNothingIsLeft(t *testing.T, r *run) {
	r.stack().compose("down", "-v")
	look := func() map[string][]string {
		t.Helper()
		left, err := r.left(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if images := look()["image"]; len(images) > 0 {
		r.docker(append([]string{"rmi"}, images...)...)
	}
	for kind, ids := range look() {
		t.Errorf("%s: %v", kind, ids)
	}
}
