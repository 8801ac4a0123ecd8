package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
)

func newSetup(s *session) *cobra.Command {
	var organizer string
	var write bool
	diagnose := &cobra.Command{
		Use: "diagnose", Short: "Look whether everything is set up, and say what to do where it is not", Args: none,
		Long: "Look at Google, NATS and Postgres, and say of each mistake where it is put right and what to enter there. For admins.\nExit status 1 when something is wrong. Before the server runs, `scheduler doctor` and `meet-middleware doctor` say the same.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := meetv1connect.NewSetupServiceClient(s.client(), s.server, options...)
			report, err := ask(cmd.Context(), s, &meetv1.DiagnoseRequest{OrganizerEmail: organizer, Write: write}, client.Diagnose)
			if err != nil {
				return err
			}
			if err := s.show(report, found(report)); err != nil {
				return err
			}
			if !report.GetOk() {
				return ended{"something is not set up as it must be", exitFailed}
			}
			return nil
		},
	}
	diagnose.Flags().StringVar(&organizer, "organizer", "", "address of an organizer to act for, beside GOOGLE_WORKSPACE_ADMIN_EMAIL")
	diagnose.Flags().BoolVar(&write, "write", false, "make an event without guests, switch its recording on, and remove it: the only proof that the account may record")
	return group("setup", "Find what is not set up", diagnose)
}

// found is a row for each check, and below it where it is put right and what to enter.
func found(report *meetv1.DiagnoseResponse) table {
	var rows table
	if report.GetSimulated() {
		rows = append(rows, []string{"note", "google", "simulated: the emulator answers in its place"})
	}
	count := make(map[meetv1.SetupStatus]int)
	for _, c := range report.GetChecks() {
		count[c.GetStatus()]++
		rows = append(rows, []string{word(c.GetStatus(), "SETUP_STATUS_"), c.GetName(), c.GetDetail()})
		if c.GetPlace() != "" {
			rows = append(rows, []string{"", "", "where: " + c.GetPlace()})
		}
		label := "enter: "
		for line := range strings.SplitSeq(c.GetPaste(), "\n") {
			if line != "" {
				rows = append(rows, []string{"", "", label + line})
				label = "       "
			}
		}
	}
	return append(rows, []string{fmt.Sprintf("%d ok, %d warning, %d failed, %d skipped in %.1fs",
		count[meetv1.SetupStatus_SETUP_STATUS_OK], count[meetv1.SetupStatus_SETUP_STATUS_WARNING],
		count[meetv1.SetupStatus_SETUP_STATUS_FAILED], count[meetv1.SetupStatus_SETUP_STATUS_SKIPPED], report.GetSeconds())})
}
