package compat

import (
	"math"
	"net/http"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

// SetupReport is what was found of everything outside.
type SetupReport struct {
	OK        bool         `json:"ok" doc:"No check failed."`
	Simulated bool         `json:"simulated" doc:"The emulator answered in Google's place."`
	Seconds   float64      `json:"seconds" doc:"Of all checks, which run side by side."`
	Checks    []SetupCheck `json:"checks" doc:"In the order in which mistakes are to be put right."`
}

// SetupCheck is one thing that must be right.
type SetupCheck struct {
	Name    string  `json:"name" doc:"Such as google.delegation; it keeps its meaning for ever."`
	Status  string  `json:"status" enum:"ok,warning,failed,skipped" doc:"skipped: not looked at, detail says why."`
	Detail  string  `json:"detail" doc:"One sentence, in English: what is wrong, or what was seen."`
	Place   string  `json:"place" doc:"Where it is put right: the page of a console, or the setting. Empty where nothing is wrong."`
	Paste   string  `json:"paste" doc:"What to enter there, never a secret; several fields are several lines."`
	Seconds float64 `json:"seconds"`
}

func setupStatus(s meetv1.SetupStatus) string {
	switch s {
	case meetv1.SetupStatus_SETUP_STATUS_OK:
		return "ok"
	case meetv1.SetupStatus_SETUP_STATUS_WARNING:
		return "warning"
	case meetv1.SetupStatus_SETUP_STATUS_SKIPPED:
		return "skipped"
	case meetv1.SetupStatus_SETUP_STATUS_FAILED, meetv1.SetupStatus_SETUP_STATUS_UNSPECIFIED:
	}
	return "failed" // also of a status that a newer scheduler knows: nothing is called well that was not found so
}

// setup looks whether everything is set up. A GET changes nothing, so it never makes the trial that [meetv1.DiagnoseRequest] can
// ask for.
func (a *API) setup(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.DiagnoseRequest{OrganizerEmail: f.text("organizer", maxAddress)}
	if req.GetOrganizerEmail() != "" && !isEmail(req.GetOrganizerEmail()) {
		f.fail("organizer", invalidEmail)
	}
	if err := f.err(); err != nil {
		return err
	}
	found, err := a.backend.Diagnose(x.r.Context(), x.principal(), req)
	if err != nil {
		return err
	}
	report := SetupReport{
		OK: found.GetOk(), Simulated: found.GetSimulated(), Seconds: milliseconds(found.GetSeconds()), Checks: make([]SetupCheck, 0, len(found.GetChecks())),
	}
	for _, c := range found.GetChecks() {
		report.Checks = append(report.Checks, SetupCheck{c.GetName(), setupStatus(c.GetStatus()), c.GetDetail(), c.GetPlace(), c.GetPaste(), milliseconds(c.GetSeconds())})
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, report)
	return nil
}

// milliseconds cuts what is finer off.
func milliseconds(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
