package scheduler_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

func TestTheDoctorLooksWhereTheSettingsAreWrong(t *testing.T) {
	_, url := emulator(t)
	good := key(t)
	for name, test := range map[string]struct {
		env  []string
		exit int
		says []string
	}{
		"nothing is set, in development": {nil, 1, []string{"ok       settings", "failed   google.key", "MEET_EMULATOR_URL=http://127.0.0.1:8090"}},
		"nothing is set, in production":  {[]string{"MEET_ADDR=0.0.0.0:80"}, 1, []string{"ok       settings", "failed   google.key", "no key file is set"}},
		"an emulator":                    {[]string{"MEET_EMULATOR_URL=" + url}, 0, []string{"Google is simulated", "ok       google.account"}},
		"an emulator and an account":     {[]string{"MEET_EMULATOR_URL=" + url, "GOOGLE_WORKSPACE_ADMIN_EMAIL=a@clinic.example"}, 0, []string{"ok       google.calendar "}},
		"another setting is wrong":       {[]string{"MEET_EMULATOR_URL=" + url, "MEET_GOOGLE_TIMEOUT=5"}, 1, []string{"failed   settings", "MEET_GOOGLE_TIMEOUT", "ok       google.account"}},
		"a key and nobody to act for":    {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + good}, 1, []string{"ok       settings", "failed   google.key", "is not Google's"}},
		"a key file that is not there":   {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + good + ".none", "GOOGLE_WORKSPACE_DOMAINS=clinic.example"}, 1, []string{"ok       settings", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			env := append([]string{"NATS_URL=nats://127.0.0.1:1"}, test.env...)
			if exit := scheduler.LoadDoctor("scheduler", env, &out, &errs).Run(t.Context(), nil); exit != test.exit {
				t.Errorf("exit %d, want %d", exit, test.exit)
			}
			for _, text := range test.says {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is not in\n%s%s", text, &out, &errs)
				}
			}
		})
	}
}
