package proc

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestANameMayLookLikeFields(t *testing.T) {
	const line = "42 (a) R 1 (x) 3) S 7 42 42 0 -1 4194304 100 0 0 0 150 25 9 1 20 0 1 0 100 1000 10 18446744073709551615"
	got, err := parse([]byte(line))
	if want := (stat{parent: 7, own: 1750 * time.Millisecond, reaped: 100 * time.Millisecond}); err != nil || got != want {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "42 (a S 7", "42 (a) S 7", "42 (a) S x 42 42 0 -1 4194304 100 0 0 0 150 25 9 1"} {
		if s, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q: %+v, want an error", bad, s)
		}
	}
}

func TestTheTreeHoldsChildrenAndNobodyElse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	cat := exec.CommandContext(t.Context(), "cat")
	in, err := cat.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		t.Fatal(err)
	}
	all, err := stats()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, pid := range tree(all, os.Getpid()) {
		found = found || pid == cat.Process.Pid
		if pid == os.Getppid() {
			t.Error("the parent is in the tree")
		}
	}
	if !found {
		t.Error("the child is not in the tree")
	}
	if parent, err := Parent(cat.Process.Pid); err != nil || parent != os.Getpid() {
		t.Errorf("parent %d, %v", parent, err)
	}
	program, children, err := PSS(os.Getpid())
	if err != nil || program <= 0 || children <= 0 {
		t.Errorf("PSS %d and %d, %v", program, children, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cat.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := CPUOf(cat.Process.Pid); err == nil {
		t.Error("CPU of a process that has ended")
	}
}
