// Package dirlock lets one process at a time own a data folder, so that a second start on the same
// data is a clear error and not two servers writing over each other. The kernel frees the lock when
// its process ends in whatever way, so what kill -9 leaves behind never blocks a start.
package dirlock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fileName is the locked file. It stays after the lock is freed: removing it would let two
// processes hold locks on two files of one name.
const fileName = ".lock"

// ErrHeld is what [Acquire] wraps when another process, or another owner in this one, has the folder.
var ErrHeld = errors.New("in use")

// Lock is a held folder.
type Lock struct{ file *os.File }

// Acquire takes dir, which must exist, for this process. It never waits: a folder that is taken is
// an error that wraps [ErrHeld] and names the process that has it. Who acquires, releases.
func Acquire(dir string) (*Lock, error) {
	path := filepath.Join(dir, fileName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // close-on-exec, so children hold nothing
	if err != nil {
		return nil, fmt.Errorf("open the lock of %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, err)
		}
		if pid, err := io.ReadAll(io.LimitReader(f, 32)); err == nil && len(pid) > 0 {
			return nil, fmt.Errorf("%s is %w by process %s", dir, ErrHeld, strings.TrimSpace(string(pid)))
		}
		return nil, fmt.Errorf("%s is %w by another process", dir, ErrHeld)
	}
	// Only for the message above; the lock itself is the kernel's.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &Lock{file: f}, nil
}

// Release gives the folder back. A second call does nothing.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	if err := f.Close(); err != nil { // frees the lock
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}
