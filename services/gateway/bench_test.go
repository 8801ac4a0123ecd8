package gateway_test

import (
	"io"
	"net/http"
	"testing"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// BenchmarkGet is one GET of a meeting through the whole gateway, client, NATS and a scripted answer included.
func BenchmarkGet(b *testing.B) {
	m := backendtest.New(b)
	backendtest.Query(m, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
		return &meetv1.Meeting{
			Id: 12, Uid: "01934b2e-7c11-7abc-8def-0123456789ab", OrganizerEmail: "doctor@clinic.example", OrganizerUsername: "doctor", InvitedEmails: []string{"p@mail.example"},
			Status: meetv1.MeetingStatus_MEETING_STATUS_CREATED, MeetLink: "https://meet.google.com/abc-defg-hij", Etag: `"2"`, Organizer: &meetv1.User{Id: 1, Username: "doctor"},
			Participants: []*meetv1.Participant{{Id: 1, Email: "doctor@clinic.example"}, {Id: 2, Email: "p@mail.example"}},
		}, nil
	})
	settings, err := config.Load[gateway.Settings]([]string{"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "NATS_URL=" + m.Server.ClientURL()})
	if err != nil {
		b.Fatal(err)
	}
	var port *gateway.Port
	app := fxtest.New(b, gateway.Program(settings), fx.NopLogger, fx.Populate(&port))
	app.RequireStart()
	b.Cleanup(app.RequireStop)
	url := port.URL() + "/api/v1/meetings/12/"
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(8)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			resp, err := client.Get(url)
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
}
