package standalone

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

// dialWait is far above what a port of this machine takes to answer.
const dialWait = 500 * time.Millisecond

// LoadDoctor makes the subcommand doctor; environ is as [os.Environ] gives it. Where this program would start an emulator of its
// own, the one of a program that runs on the same data folder is asked.
func LoadDoctor(ctx context.Context, program string, environ []string, out, err io.Writer) scheduler.Doctor {
	s, problems := config.Load[Settings](environ)
	// It completes the settings. What it finds wrong is among the problems, or is behind one that is.
	_ = s.Check()
	running := runningAt(ctx, s.DataDir)
	d := scheduler.Doctor{
		Program: program, Problems: problems, Service: s.Scheduler, Bus: bus.Config{Name: program, URL: "nats://" + s.NATSAddr}, Out: out, Err: err,
	}
	if running.NATS != "" {
		d.Bus.URL = running.NATS
	}
	if s.ownsEmulator() {
		if d.Service.Google.EmulatorURL = running.Emulator; running.Emulator == "" {
			d.Away = "Google is simulated by " + program + " itself, which does not run now; GOOGLE_SERVICE_ACCOUNT_FILE makes it real"
		}
	}
	return d
}

// runningAt are the addresses of the program that runs on a data folder; empty when none does.
func runningAt(ctx context.Context, dir string) (a Addresses) {
	text, err := os.ReadFile(filepath.Join(dir, addressesFile))
	if err != nil || json.Unmarshal(text, &a) != nil {
		return Addresses{}
	}
	// The file of a program that was killed is still there.
	u, err := url.Parse(a.Ops)
	if err != nil {
		return Addresses{}
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return Addresses{}
	}
	_ = conn.Close() // nothing was sent
	return a
}
