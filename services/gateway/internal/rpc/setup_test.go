package rpc_test

import (
	"testing"

	"connectrpc.com/connect"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

func TestTheSetUpIsDiagnosedByAScheduler(t *testing.T) {
	s := serve(t, quick)
	client := meetv1connect.NewSetupServiceClient(s.h2c, s.url, connect.WithGRPC())
	_, err := client.Diagnose(t.Context(), connect.NewRequest(&meetv1.DiagnoseRequest{}))
	expect(t, err, connect.CodeUnavailable, bus.ReasonSchedulerUnreachable)
	backendtest.Query(s.Meetings, subject.Diagnose, func(req *meetv1.DiagnoseRequest) (*meetv1.DiagnoseResponse, error) {
		return &meetv1.DiagnoseResponse{Ok: req.GetWrite(), Checks: []*meetv1.SetupCheck{{Name: "google.organizer", Detail: req.GetOrganizerEmail()}}}, nil
	})
	got, err := client.Diagnose(t.Context(), connect.NewRequest(&meetv1.DiagnoseRequest{OrganizerEmail: "doctor@clinic.example", Write: true}))
	if err != nil || !got.Msg.GetOk() || got.Msg.GetChecks()[0].GetDetail() != "doctor@clinic.example" {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = client.Diagnose(t.Context(), connect.NewRequest(&meetv1.DiagnoseRequest{OrganizerEmail: "nobody"}))
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("an address that is none: %v", err)
	}
}
