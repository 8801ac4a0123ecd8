package command_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/golden"
)

// doctor answers every call with the same.
type doctor struct {
	report *meetv1.DiagnoseResponse
	err    error
	asked  *meetv1.DiagnoseRequest
}

func (d *doctor) Diagnose(_ context.Context, req *connect.Request[meetv1.DiagnoseRequest]) (*connect.Response[meetv1.DiagnoseResponse], error) {
	d.asked = req.Msg
	return answer(d.report, d.err)
}

func TestWhatIsNotSetUpIsShownAsApproved(t *testing.T) {
	well := &meetv1.DiagnoseResponse{Ok: true, Seconds: 0.44, Checks: []*meetv1.SetupCheck{
		{Name: "google.key", Status: meetv1.SetupStatus_SETUP_STATUS_OK, Detail: "it is there", Seconds: 0.01},
		{Name: "google.recording", Status: meetv1.SetupStatus_SETUP_STATUS_SKIPPED, Detail: "ask for it with --write"},
	}}
	ill := &meetv1.DiagnoseResponse{Simulated: true, Seconds: 1.26, Checks: []*meetv1.SetupCheck{
		{Name: "google.key", Status: meetv1.SetupStatus_SETUP_STATUS_WARNING, Detail: "worn", Place: "Cloud console"},
		{Name: "google.delegation", Status: meetv1.SetupStatus_SETUP_STATUS_FAILED, Detail: "not\x1b[2J given", Place: "Admin console", Paste: "100\nhttps://a,https://b"},
	}}
	for name, test := range map[string]struct {
		doctor *doctor
		args   []string
		exit   int
	}{
		"setup-well":            {&doctor{report: well}, nil, 0},
		"setup-ill":             {&doctor{report: ill}, []string{"--organizer", "doctor@clinic.example", "--write"}, 1},
		"setup-json":            {&doctor{report: well}, []string{"-o", "json"}, 0},
		"error-setup-forbidden": {&doctor{err: refuse(connect.CodePermissionDenied, "FORBIDDEN", "only an admin may look at the set-up", nil)}, nil, 7},
		"error-setup-nobody":    {&doctor{err: refuse(connect.CodeUnavailable, "SCHEDULER_UNREACHABLE", "the scheduler cannot be reached; try again", nil)}, nil, 6},
	} {
		t.Run(name, func(t *testing.T) {
			_, handler := meetv1connect.NewSetupServiceHandler(test.doctor)
			web := httptest.NewServer(handler)
			defer web.Close()
			got := against(t, web.URL, append([]string{"setup", "diagnose"}, test.args...)...)
			if got.code != test.exit {
				t.Errorf("exit %d, want %d", got.code, test.exit)
			}
			golden.Equal(t, "testdata/"+name+".golden.txt", got.text())
			want := &meetv1.DiagnoseRequest{}
			if name == "setup-ill" {
				want = &meetv1.DiagnoseRequest{OrganizerEmail: "doctor@clinic.example", Write: true}
			}
			if !proto.Equal(test.doctor.asked, want) {
				t.Errorf("asked %v, want %v", test.doctor.asked, want)
			}
		})
	}
}
