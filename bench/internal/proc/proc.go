// Package proc reads from /proc what a program and the processes below it cost: CPU time and memory. The figures of a run
// are for all processes together, so the database's children are found by their parents.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of /proc/PID/stat: USER_HZ, which is 100 on every architecture that Go runs on under Linux.
const tick = 10 * time.Millisecond

// CPU is user and system time since the start.
type CPU struct {
	// Program is that of the process itself, Children that of all below it, ended ones included.
	Program, Children time.Duration
}

// Sub is what was used since earlier.
func (c CPU) Sub(earlier CPU) CPU {
	return CPU{Program: c.Program - earlier.Program, Children: c.Children - earlier.Children}
}

// Total is program and children together.
func (c CPU) Total() time.Duration { return c.Program + c.Children }

// stat is what is used of /proc/PID/stat.
type stat struct {
	pid, parent int
	own, reaped time.Duration
}

// CPUOf reads the time of pid and of all below it. A child that ends between two readings moves to its parent's account, so
// nothing is lost but what ended unseen and unreaped.
func CPUOf(pid int) (CPU, error) {
	all, err := stats()
	if err != nil {
		return CPU{}, err
	}
	root, ok := all[pid]
	if !ok {
		return CPU{}, fmt.Errorf("process %d has ended", pid)
	}
	cpu := CPU{Program: root.own}
	for _, below := range tree(all, pid)[1:] {
		cpu.Children += all[below].own + all[below].reaped
	}
	return cpu, nil
}

// PSS is the memory of pid and of all below it in bytes, shared pages divided among those who share them.
func PSS(pid int) (program, children int64, err error) {
	all, err := stats()
	if err != nil {
		return 0, 0, err
	}
	for _, p := range tree(all, pid) {
		n, err := pss(p)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH): // ended meanwhile
		case err != nil:
			return 0, 0, err
		case p == pid:
			program = n
		default:
			children += n
		}
	}
	return program, children, nil
}

func pss(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: no Pss", pid)
}

// Parent is the process that started pid.
func Parent(pid int) (int, error) {
	s, err := read(pid)
	return s.parent, err
}

// Own is the CPU time of this process.
func Own() (time.Duration, error) {
	s, err := read(os.Getpid())
	return s.own, err
}

// tree is pid and all below it.
func tree(all map[int]stat, pid int) []int {
	found := []int{pid}
	for i := 0; i < len(found); i++ {
		for _, s := range all {
			if s.parent == found[i] {
				found = append(found, s.pid)
			}
		}
	}
	return found
}

func stats() (map[int]stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read the processes (this needs Linux): %w", err)
	}
	all := make(map[int]stat, len(entries))
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // no process
		}
		s, err := read(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		all[pid] = s
	}
	return all, nil
}

func read(pid int) (stat, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	s, err := parse(text)
	if err != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	s.pid = pid
	return s, nil
}

// parse reads what proc(5) says: the name in parentheses may hold anything, so counting starts behind its last one.
func parse(text []byte) (stat, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, errors.New("no name in parentheses")
	}
	fields := strings.Fields(string(text[end+1:])) // fields[0] is the third of proc(5)
	const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14
	if len(fields) <= cstime {
		return stat{}, errors.New("too few fields")
	}
	var n [cstime + 1]int64
	for _, i := range []int{parent, utime, stime, cutime, cstime} {
		var err error
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return stat{}, fmt.Errorf("field %d: %w", i+3, err)
		}
	}
	return stat{
		parent: int(n[parent]),
		own:    time.Duration(n[utime]+n[stime]) * tick,
		reaped: time.Duration(n[cutime]+n[cstime]) * tick,
	}, nil
}
