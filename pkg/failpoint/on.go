//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Enabled says whether this build can be killed.
const Enabled = true

// armed is the place to die at, read from the environment once.
var armed = sync.OnceValue(func() *place {
	text := os.Getenv(Variable)
	if text == "" {
		return nil
	}
	p, err := parse(text)
	if err != nil {
		// A kill test that kills nothing would pass without having shown anything.
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return p
})

type place struct {
	name   string
	passes atomic.Int64 // still to let through, this one included
}

// parse reads name or name:N.
func parse(text string) (*place, error) {
	name, count, counted := strings.Cut(text, ":")
	n := int64(1)
	if counted {
		var err error
		if n, err = strconv.ParseInt(count, 10, 64); err != nil || n < 1 {
			return nil, fmt.Errorf("%s=%s: want name or name:N with N from 1", Variable, text)
		}
	}
	if name == "" {
		return nil, fmt.Errorf("%s=%s: want name or name:N", Variable, text)
	}
	p := &place{name: name}
	p.passes.Store(n)
	return p, nil
}

// Here marks a place; the process ends in it when MEET_FAILPOINT says so.
func Here(name string) {
	p := armed()
	if p == nil || p.name != name || p.passes.Add(-1) != 0 {
		return
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(err)
	}
	select {} // the signal arrives before this goroutine could do more
}
