package embeddedpg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

func TestAnIdleServerIsSmall(t *testing.T) {
	const most = 45 << 10 // kB, of all its processes; idle 24 MB, 20 more once all buffers were used
	s := newServer(t, Config{Dir: folder(t)})
	start(t, s)
	query(t, s.URL(), "SELECT count(*)::text FROM pg_class")
	pid, _, err := readPidFile(s.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	sum, processes := pssOfTree(t, pid)
	t.Logf("%d kB in %d processes", sum, processes)
	if processes < 4 { // postmaster, checkpointer, writer, WAL writer at least
		t.Fatalf("found %d processes", processes)
	}
	if sum > most {
		t.Fatalf("%d kB, want at most %d", sum, most)
	}
}

// pssOfTree sums the proportional memory of a process and its children, in kB.
func pssOfTree(t *testing.T, pid int) (kB, processes int) {
	t.Helper()
	pss := regexp.MustCompile(`(?m)^Pss:\s+(\d+) kB`)
	parent := regexp.MustCompile(`(?m)^PPid:\s+` + strconv.Itoa(pid) + `$`)
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if err != nil || (dir != fmt.Sprintf("/proc/%d", pid) && !parent.Match(status)) {
			continue
		}
		rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if m := pss.FindSubmatch(rollup); err == nil && m != nil {
			n, err := strconv.Atoi(string(bytes.TrimSpace(m[1])))
			if err != nil {
				t.Fatal(err)
			}
			kB += n
			processes++
		}
	}
	return kB, processes
}
