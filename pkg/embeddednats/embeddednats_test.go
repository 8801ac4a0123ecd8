package embeddednats_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/dirlock"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
)

// storeEnv makes TestMain the process that the kill test kills.
const storeEnv = "EMBEDDEDNATS_TEST_STORE"

func TestMain(m *testing.M) {
	if store := os.Getenv(storeEnv); store != "" {
		if err := publishAndWait(store); err != nil {
			_, _ = os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// publishAndWait stores one message, says so, and runs until it is killed.
func publishAndWait(store string) error {
	ctx := context.Background()
	s, err := embeddednats.New(embeddednats.Config{StoreDir: store}, quiet())
	if err != nil {
		return err
	}
	if err := s.Start(ctx); err != nil {
		return err
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return err
	}
	if err := publish(ctx, nc); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("stored\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // ends only if the killer dies first
	return err
}

func TestAStreamSurvivesStopAndStart(t *testing.T) {
	s := newServer(t, embeddednats.Config{StoreDir: t.TempDir()})
	start(t, s)
	nc := connect(t, s)
	if err := publish(t.Context(), nc); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	stop(t, s)
	if _, err := s.InProcessConn(); !errors.Is(err, embeddednats.ErrNotRunning) {
		t.Fatalf("InProcessConn after Stop = %v, want ErrNotRunning", err)
	}
	stop(t, s) // twice is no error
	start(t, s)
	wantStored(t, connect(t, s))
}

func TestAStreamSurvivesKill(t *testing.T) {
	store := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), storeEnv+"="+store)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil { // held open until the kill
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("stored\n"))
	if _, err := io.ReadFull(out, line); err != nil {
		t.Fatal(err)
	}

	s := newServer(t, embeddednats.Config{StoreDir: store})
	if err := s.Start(t.Context()); !errors.Is(err, dirlock.ErrHeld) {
		t.Fatalf("Start on the folder of a running server = %v, want ErrHeld", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the killed process ended well")
	}
	start(t, s)
	wantStored(t, connect(t, s))
}

func TestATakenAddressIsAClearError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	s := newServer(t, embeddednats.Config{Addr: addr, StoreDir: t.TempDir()})
	err = s.Start(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), addr+" is taken") {
		t.Fatalf("Start = %v, want EADDRINUSE that names %s", err, addr)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	start(t, s) // the failed start holds nothing
	if got, want := s.ClientURL(), "nats://"+addr; got != want {
		t.Fatalf("ClientURL = %q, want %q", got, want)
	}
}

func TestAStoreThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newServer(t, embeddednats.Config{StoreDir: file}).Start(t.Context()); err == nil {
		t.Fatal("Start below a file succeeded")
	}
	// nats-server itself meets this one, after the folder was made.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := newServer(t, embeddednats.Config{StoreDir: dir}).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "JetStream") {
		t.Fatalf("Start = %v, want JetStream's refusal", err)
	}
}

func TestTheAddressOfAClient(t *testing.T) {
	for _, tc := range []struct{ name, addr, before string }{
		{"no listener", "", ""},
		{"a fixed port is known at once", "127.0.0.1:14222", "nats://127.0.0.1:14222"},
		{"all addresses are dialled on loopback", "0.0.0.0:14222", "nats://127.0.0.1:14222"},
		{"no host means all addresses", ":14222", "nats://127.0.0.1:14222"},
		{"a free port is known later", "127.0.0.1:0", ""},
		{"IPv6", "[::1]:14222", "nats://[::1]:14222"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := newServer(t, embeddednats.Config{Addr: tc.addr, StoreDir: t.TempDir()}).ClientURL(); got != tc.before {
				t.Fatalf("ClientURL before Start = %q, want %q", got, tc.before)
			}
		})
	}
}

func TestAFreePortIsServedOverTCP(t *testing.T) {
	s := newServer(t, embeddednats.Config{Addr: "127.0.0.1:0", StoreDir: t.TempDir(), MaxMemory: 1 << 20, MaxStore: 2 << 20})
	start(t, s)
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatalf("connect to %q: %v", s.ClientURL(), err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	// A stream that reserves more than the limit shows that the limit is the configured one.
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "BIG", MaxBytes: 3 << 20})
	if err == nil {
		t.Fatal("a stream of 3 MiB was admitted to a store of 2 MiB")
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SMALL", MaxBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Fatal("a second Start succeeded")
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	for name, c := range map[string]embeddednats.Config{
		"no store":         {},
		"no port":          {StoreDir: "x", Addr: "localhost"},
		"port not numeric": {StoreDir: "x", Addr: "localhost:nats"},
		"port too large":   {StoreDir: "x", Addr: "localhost:70000"},
		"negative limit":   {StoreDir: "x", MaxStore: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := embeddednats.New(c, quiet()); err == nil {
				t.Fatalf("New(%+v) succeeded", c)
			}
		})
	}
}

func TestSignalsStayTheProgramsOwn(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGUSR2, syscall.SIGHUP) // nats-server would take both for itself
	defer signal.Stop(got)
	s := newServer(t, embeddednats.Config{StoreDir: t.TempDir()})
	start(t, s)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	<-got
	if nc := connect(t, s); !nc.IsConnected() { // SIGUSR2 would have been lame duck mode
		t.Fatal("the server stopped on a signal")
	}
}

func TestModuleStartsBeforeWhoNeedsIt(t *testing.T) {
	var nc *nats.Conn
	app := fxtest.New(t, embeddednats.Module,
		fx.Supply(embeddednats.Config{StoreDir: t.TempDir()}, quiet()),
		fx.Invoke(func(lc fx.Lifecycle, s *embeddednats.Server) {
			lc.Append(fx.StartHook(func() (err error) { nc, err = nats.Connect("", nats.InProcessServer(s)); return err }))
		}))
	app.RequireStart()
	defer nc.Close()
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	app.RequireStop()
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func newServer(t *testing.T, c embeddednats.Config) *embeddednats.Server {
	t.Helper()
	s, err := embeddednats.New(c, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, s *embeddednats.Server) {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
}

func stop(t *testing.T, s *embeddednats.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, s *embeddednats.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func publish(ctx context.Context, nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		return err
	}
	_, err = js.Publish(ctx, "s.a", []byte("kept"))
	return err
}

func wantStored(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	st, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := st.GetMsg(t.Context(), 1)
	if err != nil || string(m.Data) != "kept" {
		t.Fatalf("GetMsg = %v, %v", m, err)
	}
}
