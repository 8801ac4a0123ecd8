//go:build container

package containertest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testBackup leaves the stack running. Google outlives the loss of all that is ours, so the emulator keeps what it has.
func testBackup(t *testing.T, r *run) {
	s, c := r.running()
	s.healthy()
	s.atRest() // what is not done yet would be done after the restore
	backedUp, err := c.meetings(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "backup")
	begin := time.Now()
	s.make("backup", "TO="+folder)
	r.note("make backup of "+strconv.Itoa(len(backedUp))+" meetings", "", "%s", time.Since(begin).Round(100*time.Millisecond))
	highest := s.lastSequence()

	load := newStorm(r.ctx, c, r.name+"-after-backup")
	defer load.end() //nolint:errcheck // told below, and where the test gave up before, of no interest
	if err := load.answered(r.ctx, enough); err != nil {
		t.Fatal(err)
	}
	if err := load.end(); err != nil {
		t.Fatal(err)
	}
	s.atRest()

	s.compose("down")
	r.docker("volume", "rm", s.project+"_db", s.project+"_nats")
	s.up("--no-build")
	if left, err := c.meetings(r.ctx); err != nil || len(left) > 0 {
		t.Fatalf("the stack was destroyed and has %d meetings, %v", len(left), err)
	}
	begin = time.Now()
	s.make("restore", "FROM="+folder, "YES=1")
	r.note("make restore of them, until the stack is healthy", "", "%s", time.Since(begin).Round(100*time.Millisecond))
	r.answers(c)
	restored, err := c.meetings(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(restored, backedUp) {
		t.Errorf("%d meetings were backed up and %d are back: %s", len(backedUp), len(restored), firstDifference(backedUp, restored))
	}
	r.create(c)
	s.atRest()
	if now := s.lastSequence(); now <= highest {
		t.Errorf("the last event has the number %d, before the backup was restored there was %d", now, highest)
	}
}

// make runs a target of the Makefile on the stack.
func (s *stack) make(target string, arguments ...string) {
	s.t.Helper()
	if _, err := execute(s.ctx, s.tree, append(s.environ, "PROJECT="+s.project), append([]string{"make", target}, arguments...)...); err != nil {
		s.t.Fatalf("%v\n%s", err, s.tail())
	}
}

func (s *stack) lastSequence() int64 {
	s.t.Helper()
	text, err := s.sql("SELECT coalesce(max(seq), 0) FROM events")
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func firstDifference(a, b []meeting) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("%+v became %+v", a[i], b[i])
		}
	}
	return "one list begins with the other"
}
