package export

import (
	"errors"
	"os"
	"syscall"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// lockFile makes the file this process's until it is closed. It does not wait.
func lockFile(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &job.Failure{Kind: job.Transient, Code: job.CodeExportBusy, Message: "another scheduler is writing this object"}
	}
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.ENOLCK) {
		return nil // a network file system without locks: two writers write the same bytes to the same places
	}
	return fileFailure("lock what is being written", err)
}

// freeBytes is the room on the file's disk.
func freeBytes(file *os.File) (int64, bool) {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(file.Fd()), &s); err != nil || s.Blocks == 0 {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true //nolint:unconvert // the types differ between systems
}
