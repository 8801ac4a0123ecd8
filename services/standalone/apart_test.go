package standalone_test

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/embeddednats"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/meetings"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

// violations keeps the lines of nats-server about what it refused.
type violations struct {
	slog.Handler
	mu    sync.Mutex
	lines []string
}

func (v *violations) Enabled(context.Context, slog.Level) bool { return true }

func (v *violations) Handle(_ context.Context, r slog.Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		if text := a.Value.String(); strings.Contains(text, "Violation") {
			v.lines = append(v.lines, text)
		}
		return true
	})
	return nil
}

// apart runs the three services as programs of their own, each as its own user of a server that knows only them.
type apart struct {
	product
	users   []embeddednats.User
	store   string
	server  *embeddednats.Server
	refused *violations
}

// runApart starts them with more settings for each.
func runApart(t *testing.T, more ...string) *apart {
	t.Helper()
	a := &apart{store: t.TempDir(), refused: &violations{Handler: slog.DiscardHandler}, product: product{t: t}}
	passwords := map[string]string{}
	for _, u := range natsperm.Users() {
		passwords[u.Name] = "pass of " + u.Name
		a.users = append(a.users, embeddednats.User{Name: u.Name, Password: passwords[u.Name], Publish: u.Publish, Subscribe: u.Subscribe})
	}
	a.serve("127.0.0.1:0")
	t.Cleanup(func() { a.stopServer(context.WithoutCancel(t.Context())) })
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	emulator := httptest.NewServer(fake)
	t.Cleanup(func() {
		emulator.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	a.NATS, a.Emulator = a.server.ClientURL(), emulator.URL
	a.Postgres = pgtest.New(t, meetings.Migrate)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	a.HTTP = "http://" + address
	environ := func(user string) []string {
		return append([]string{
			"NATS_URL=" + a.NATS, "NATS_USER=" + user, "NATS_PASSWORD=" + passwords[user], "MEET_ADDR=" + address, "MEET_OPS_ADDR=127.0.0.1:0",
			"DATABASE_URL=" + a.Postgres, "MEET_EMULATOR_URL=" + a.Emulator, "LOG_LEVEL=error",
			"MEET_GOOGLE_QUOTAS=on", "MEET_RATE_LIMIT=on", // both are off by themselves here, and both store
		}, more...)
	}
	// The gateway comes first: nobody has made anything yet.
	begin(t, environ(natsperm.Gateway), gateway.Program)
	begin(t, environ(natsperm.Scheduler), scheduler.Program)
	begin(t, environ(natsperm.Meetings), meetings.Program)
	return a
}

// begin runs a program until the test ends.
func begin[S any](t *testing.T, environ []string, program func(S) fx.Option) {
	t.Helper()
	settings, err := config.Load[S](environ)
	if err != nil {
		t.Fatal(err)
	}
	app := fxtest.New(t, program(settings), fx.NopLogger, fx.StartTimeout(patience))
	app.RequireStart()
	t.Cleanup(func() { app.RequireStop() })
}

func (a *apart) serve(addr string) {
	a.t.Helper()
	server, err := embeddednats.New(embeddednats.Config{Addr: addr, StoreDir: a.store, Users: a.users}, slog.New(a.refused))
	if err != nil {
		a.t.Fatal(err)
	}
	if err := server.Start(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.server = server
}

func (a *apart) stopServer(ctx context.Context) {
	a.t.Helper()
	if err := a.server.Stop(ctx); err != nil {
		a.t.Error(err)
	}
}

// check fails the test for each thing that the server refused.
func (a *apart) check() {
	a.t.Helper()
	a.refused.mu.Lock()
	defer a.refused.mu.Unlock()
	for _, line := range a.refused.lines {
		a.t.Error(line)
	}
}

func TestEachServiceDoesItsWorkAsItsOwnUserOfNATS(t *testing.T) {
	a := runApart(t)
	walkAsEver(a.product)
	a.check()
}

func TestSyncsAndTheDoctorNeedNoMoreOfNATS(t *testing.T) {
	a := runApart(t)
	syncAsEver(a.product)
	if got := a.send("GET", "setup/", ""); got.status != 200 || !strings.Contains(got.body, "nats.consumers") {
		t.Errorf("the doctor: %d %s", got.status, got.body)
	}
	a.check()
}

func TestAServerThatLostItsStoreIsSetUpAgainByTheUsers(t *testing.T) {
	a := runApart(t)
	const body = `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]}`
	if got := a.send("POST", "meetings/", body); got.status != 201 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	a.stopServer(t.Context())
	a.store = t.TempDir()
	a.serve(strings.TrimPrefix(a.NATS, "nats://"))
	if got := a.send("POST", "meetings/", body); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}
	a.check()
}
