package standalone

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
)

// addressesFile tells other programs where a running standalone answers; it is there only while it does.
const addressesFile = "addresses.json"

// Addresses are where a standalone answers.
type Addresses struct {
	HTTP     string `json:"http"`
	Ops      string `json:"ops"`
	NATS     string `json:"nats"`
	Emulator string `json:"emulator"`
	Postgres string `json:"postgres"`
}

// folder is the data folder, owned by one running program at a time.
type folder struct {
	path string
	lock *dirlock.Lock
}

// folderModule takes the data folder before anything else of the program starts.
var folderModule = fx.Module("standalone/folder",
	fx.Provide(func(lc fx.Lifecycle, s Settings) *folder {
		f := &folder{path: s.DataDir}
		lc.Append(fx.StartStopHook(f.own, f.release))
		return f
	}),
	fx.Invoke(func(*folder) {}),
)

// own makes the folder and takes it, and removes the addresses of a program that was killed.
func (f *folder) own() error {
	if err := os.MkdirAll(f.path, 0o755); err != nil { //nolint:gosec // the database's own user passes through it; what is secret is closed below it
		return fmt.Errorf("make the data folder (MEET_DATA_DIR): %w", err)
	}
	var err error
	if f.lock, err = dirlock.Acquire(f.path); err != nil {
		return fmt.Errorf("take the data folder (MEET_DATA_DIR) %s: %w", f.path, err)
	}
	return f.forget()
}

// publish writes the addresses whole: a reader sees all of them or no file.
func (f *folder) publish(a Addresses) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode the addresses: %w", err)
	}
	partial := filepath.Join(f.path, addressesFile+".partial")
	if err := os.WriteFile(partial, append(text, '\n'), 0o600); err != nil { // the database's URL holds its password
		return fmt.Errorf("write the addresses: %w", err)
	}
	if err := os.Rename(partial, filepath.Join(f.path, addressesFile)); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	return nil
}

// forget removes the addresses.
func (f *folder) forget() error {
	if err := os.Remove(filepath.Join(f.path, addressesFile)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove the addresses: %w", err)
	}
	return nil
}

// release gives the folder up.
func (f *folder) release() error { return f.lock.Release() }
