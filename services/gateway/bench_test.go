package gateway_test

import (
	"io"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// BenchmarkGet is one GET of a meeting through the whole gateway, client, NATS and a scripted answer included: 32 at once, in open
// mode and with an API key and limits. CPU is of the whole process, in seconds of user and system time for each request.
func BenchmarkGet(b *testing.B) {
	b.Run("open", func(b *testing.B) { get(b, "") })
	key, err := auth.DrawKey("live")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("key", func(b *testing.B) {
		get(b, key.Secret, "MEET_AUTH=keys", "MEET_RATE_LIMIT_PRINCIPAL=10000000", "MEET_RATE_LIMIT_ADDRESS=10000000")
	})
}

func get(b *testing.B, key string, environ ...string) {
	m := backendtest.New(b)
	backendtest.Query(m, subject.Authenticate, func(*meetv1.AuthenticateRequest) (*meetv1.AuthenticateResponse, error) {
		return &meetv1.AuthenticateResponse{Principal: "key:mm_live_7Kq2mXa9", Role: meetv1.UserRole_USER_ROLE_SERVICE}, nil
	})
	backendtest.Command(m, subject.OfferAdmin, func(bus.Envelope, *meetv1.OfferAdminRequest) backendtest.Answer[*meetv1.OfferAdminResponse] {
		return backendtest.Answer[*meetv1.OfferAdminResponse]{Response: &meetv1.OfferAdminResponse{}}
	})
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		return &meetv1.Meeting{
			Id: 12, Uid: "01934b2e-7c11-7abc-8def-0123456789ab", OrganizerEmail: "doctor@clinic.example", OrganizerUsername: "doctor", InvitedEmails: []string{"p@mail.example"},
			Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, MeetLink: "https://meet.google.com/abc-defg-hij", Etag: `"2"`, Organizer: &meetv1.User{Id: 1, Username: "doctor"},
			Participants: []*meetv1.Participant{{Id: 1, Email: "doctor@clinic.example"}, {Id: 2, Email: "p@mail.example"}},
		}, nil
	})
	settings, err := config.Load[gateway.Settings](append(environ, "MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "NATS_URL="+m.Server.ClientURL()))
	if err != nil {
		b.Fatal(err)
	}
	var port *gateway.Port
	app := fxtest.New(b, gateway.Program(settings), fx.NopLogger, fx.Populate(&port))
	app.RequireStart()
	b.Cleanup(app.RequireStop)
	url := port.URL() + "/api/v1/meetings/12/"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(max(32/runtime.GOMAXPROCS(0), 1))
	b.ReportAllocs()
	b.ResetTimer()
	begun := cpu(b)
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
			if err != nil {
				b.Error(err)
				return
			}
			if key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
			resp, err := client.Do(r)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				b.Error(resp.StatusCode, err)
			}
			resp.Body.Close()
		}
	})
	b.ReportMetric(float64((cpu(b)-begun).Microseconds())/float64(b.N), "cpu-µs/op")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
