package stacktest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Addresses are where a standalone answers, as its data folder says.
type Addresses struct{ HTTP, Ops, NATS, Emulator, Postgres string }

// NewStandalone makes the program that is the whole product, on a data folder and free ports; nobody else runs it, and it ends
// with the test.
func NewStandalone(tb testing.TB, dir string, credential *syscall.Credential) *Process {
	tb.Helper()
	env := []string{"MEET_DATA_DIR=" + dir, "HOME=" + filepath.Dir(dir), "TMPDIR=" + filepath.Dir(dir)}
	for _, name := range []string{"MEET_ADDR", "MEET_OPS_ADDR", "MEET_NATS_ADDR", "MEET_EMULATOR_ADDR"} {
		env = append(env, name+"=127.0.0.1:0")
	}
	p := &Process{
		Name: "meet-middleware", path: Program(tb, "meet-middleware"), env: append(env, "MEET_POSTGRES_BIN="+os.Getenv("MEET_POSTGRES_BIN")),
		ready: serviceStarted, credential: credential,
	}
	tb.Cleanup(func() {
		if r := p.current(); r != nil && !r.over() {
			family := Family(p.PID())
			p.end()
			if err := AwaitGone(family); err != nil {
				tb.Error(err)
			}
		}
		if tb.Failed() {
			p.show(tb)
		}
	})
	return p
}

// Folder is a new data folder that credential's user, or Postgres's own, can reach; it is removed at the end of the test.
func Folder(tb testing.TB, credential *syscall.Credential) string {
	tb.Helper()
	top, err := tempFolder()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(top); err != nil {
			tb.Error(err)
		}
	})
	err = os.Chmod(top, 0o755) // Postgres has a user of its own when root tests
	if credential != nil {
		err = errors.Join(err, os.Chown(top, int(credential.Uid), int(credential.Gid)))
	}
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(top, "data")
}

// ReadAddresses reads the data folder of a standalone that has started.
func ReadAddresses(dir string) (Addresses, error) {
	var a Addresses
	text, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

// AwaitAddresses returns the addresses once they stand there; a file that another program writes tells nobody, so it is looked
// for.
func AwaitAddresses(ctx context.Context, dir string) (Addresses, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errors.New("no addresses in time"))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := ReadAddresses(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return a, context.Cause(ctx)
		}
	}
}

// ClientOf is a client of a standalone.
func ClientOf(a Addresses) *Client {
	s := &Stack{urls: []string{a.HTTP}}
	return s.NewClient()
}

// Of is a standalone seen as a stack, to look at its database and its emulator.
func Of(a Addresses) *Stack {
	return &Stack{urls: []string{a.HTTP}, emulator: a.Emulator, nats: a.NATS, database: a.Postgres}
}

// Family is a process and all that it and its children have started.
func Family(pid int) []int {
	parents := make(map[int][]int)
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it has ended meanwhile
		}
		id, err := strconv.Atoi(filepath.Base(dir))
		fields := statFields(string(text))
		if err != nil || len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(fields[1])
		if err == nil {
			parents[parent] = append(parents[parent], id)
		}
	}
	family := []int{pid}
	for i := 0; i < len(family); i++ {
		family = append(family, parents[family[i]]...)
	}
	return family
}

// statFields are those of /proc/…/stat after the name, which may contain anything: state, parent, ….
func statFields(stat string) []string {
	return strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
}

// Usage of a family of processes.
type Usage struct {
	CPU time.Duration // since their start
	PSS int64         // bytes of memory, shared ones by share
}

// Measure adds up what these processes use.
func Measure(pids []int) (Usage, error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	var u Usage
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended meanwhile
		}
		fields := statFields(string(stat))
		const user, system = 11, 12 // proc(5): fields 14 and 15, counted here from the third
		for _, field := range []int{user, system} {
			ticks, err := strconv.ParseInt(fields[field], 10, 64)
			if err != nil {
				return u, fmt.Errorf("read the time of process %d: %w", pid, err)
			}
			u.CPU += time.Duration(ticks) * tick
		}
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return u, fmt.Errorf("read the memory of process %d: %w", pid, err)
		}
		for line := range strings.Lines(string(maps)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
				if err != nil {
					return u, fmt.Errorf("read the memory of process %d: %w", pid, err)
				}
				u.PSS += kb << 10
			}
		}
	}
	return u, nil
}

// AwaitGone returns once none of these processes is there any more.
func AwaitGone(pids []int) error {
	for _, pid := range pids {
		if err := awaitNoProcess(pid, stopPatience); err != nil {
			return err
		}
	}
	return nil
}
