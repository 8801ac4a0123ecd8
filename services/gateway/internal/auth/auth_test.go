package auth_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

func TestOpenIsTheDefaultOnLoopbackAndWithDebugOnly(t *testing.T) {
	for _, c := range []struct {
		addr string
		env  []string
		want auth.Mode
	}{
		{"127.0.0.1:8000", nil, auth.Open},
		{"127.9.9.9:8000", nil, auth.Open},
		{"localhost:8000", nil, auth.Open},
		{"[::1]:0", nil, auth.Open},
		{"[::ffff:127.0.0.1]:80", nil, auth.Open},
		{":8000", nil, auth.Keys},
		{"0.0.0.0:8000", nil, auth.Keys},
		{"[::]:8000", nil, auth.Keys},
		{"10.0.0.7:8000", nil, auth.Keys},
		{"localhost.example.com:8000", nil, auth.Keys},
		{"0.0.0.0:8000", []string{"DEBUG=True"}, auth.Open},
		{"0.0.0.0:8000", []string{"MEET_AUTH=open"}, auth.Open},
		{"127.0.0.1:8000", []string{"MEET_AUTH=keys", "DEBUG=True"}, auth.Keys},
	} {
		t.Run(c.addr+" "+strings.Join(c.env, " "), func(t *testing.T) {
			settings, err := config.Load[struct {
				Debug bool `env:"DEBUG" envDefault:"False" help:"development"`
				Auth  auth.Config
			}](c.env)
			if err != nil {
				t.Fatal(err)
			}
			if got := settings.Auth.ModeAt(c.addr); got != c.want {
				t.Errorf("mode %q, want %q", got, c.want)
			}
		})
	}
}

// badge is a credential: the header Badge names the principal.
func badge(r *http.Request) (bus.Principal, bool, error) {
	switch name := r.Header.Get("Badge"); name {
	case "":
		return bus.Principal{}, false, nil
	case "stolen":
		return bus.Principal{}, true, fault.New(fault.Unauthenticated, "BADGE_REVOKED", "this badge was revoked")
	default:
		return bus.Principal{Name: name, Role: "service"}, true, nil
	}
}

func TestEachModeDecidesWhoIsCalling(t *testing.T) {
	none := bus.Principal{}
	for _, c := range []struct {
		name, path, badge string
		mode              auth.Mode
		want              bus.Principal
		reason            string
	}{
		{"everybody is the admin in open mode", "/api/v1/meetings/", "", auth.Open, auth.LocalAdmin, ""},
		{"open mode looks at no credential", "/api/v1/meetings/", "stolen", auth.Open, auth.LocalAdmin, ""},
		{"a credential names its owner", "/api/v1/meetings/", "clinic", auth.Keys, bus.Principal{Name: "clinic", Role: "service"}, ""},
		{"none is refused", "/api/v1/meetings/", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"a wrong one is refused with its own reason", "/api/v1/meetings/", "stolen", auth.Keys, none, "BADGE_REVOKED"},
		{"a wrong one is refused on a public page too", "/api/v1/schema/", "stolen", auth.Keys, none, "BADGE_REVOKED"},
		{"health looks at no credential", "/api/v1/health/", "stolen", auth.Keys, none, ""},
		{"an unknown route tells nothing", "/api/v1/nothing/", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"rpc needs one", "/meet.v1.MeetingService/GetMeeting", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"reflection needs one", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"info needs one", "/api/v1/info/", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"a longer name is not a public page", "/api/v1/healthy/", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"a way out of a public page is not public", "/api/v1/docs/../meetings/", "", auth.Keys, none, auth.ReasonUnauthenticated},
		{"health is public", "/api/v1/health/", "", auth.Keys, none, ""},
		{"health without its slash is public", "/api/v1/health", "", auth.Keys, none, ""},
		{"the root is public", "/api/v1/", "", auth.Keys, none, ""},
		{"the schema is public", "/api/v1/schema/", "", auth.Keys, none, ""},
		{"the docs are public", "/api/v1/docs/swagger-ui.css", "", auth.Keys, none, ""},
		{"redoc is public", "/api/v1/redoc/", "", auth.Keys, none, ""},
		{"gRPC health is public", "/grpc.health.v1.Health/Check", "", auth.Keys, none, ""},
		{"the admin page is public", "/admin/", "", auth.Keys, none, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := auth.New(c.mode, slog.New(slog.DiscardHandler), badge)
			r := httptest.NewRequest(http.MethodGet, c.path, nil)
			r.Header.Set("Badge", c.badge)
			got, refused := a.Decide(r)
			if c.reason != "" {
				if !errors.Is(refused, &fault.Fault{Kind: fault.Unauthenticated, Reason: c.reason}) {
					t.Errorf("refused with %v, want %s", refused, c.reason)
				}
				return
			}
			if refused != nil || got != c.want {
				t.Errorf("principal %+v, refused %v", got, refused)
			}
		})
	}
}

func TestOpenModeIsSaidLoudly(t *testing.T) {
	for _, mode := range []auth.Mode{auth.Open, auth.Keys} {
		var log bytes.Buffer
		if got := auth.New(mode, slog.New(slog.NewJSONHandler(&log, nil)), badge).Mode(); got != mode {
			t.Errorf("mode %q", got)
		}
		if loud := strings.Contains(log.String(), `"level":"WARN"`); loud != (mode == auth.Open) {
			t.Errorf("mode %q logged %q", mode, log.String())
		}
	}
}
