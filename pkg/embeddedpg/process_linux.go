package embeddedpg

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// endWithParent has the kernel send SIGINT, PostgreSQL's fast shutdown, when this process dies.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// isPostmaster tells whether pid is a postgres on data: numbers of dead processes are used again.
// A zombie is none.
func isPostmaster(pid int, data string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(cmdline, []byte("\x00-D\x00"+data+"\x00"))
}
