//go:build !linux

package embeddedpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// endWithParent can do nothing here: the server of a killed process lives on until the next Start
// on its data stops it.
func endWithParent(*syscall.SysProcAttr) {}

// isPostmaster tells whether pid is a postgres on data: numbers of dead processes are used again.
// A zombie is none.
func isPostmaster(pid int, data string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), " -D "+data+" ")
}
