package standalone_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

func TestTheDoctorAsksTheEmulatorOfAProgramThatRuns(t *testing.T) {
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	emulator, ops := httptest.NewServer(fake), httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(func() {
		emulator.Close()
		ops.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	look := func(env ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		env = append([]string{"MEET_DATA_DIR=" + dir, "MEET_NATS_ADDR=127.0.0.1:1"}, env...)
		if exit := standalone.LoadDoctor(t.Context(), "meet-middleware", env, &out, &errs).Run(t.Context(), nil); exit != 0 {
			t.Errorf("exit %d: %s", exit, &errs)
		}
		return out.String()
	}
	const away = "skipped  google.key                            Google is simulated by meet-middleware itself, which does not run now"
	if got := look(); !strings.Contains(got, away) {
		t.Errorf("with nothing running:\n%s", got)
	}
	publish := func(ops string) {
		t.Helper()
		text, err := json.Marshal(standalone.Addresses{Ops: ops, NATS: "nats://127.0.0.1:1", Emulator: emulator.URL})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "addresses.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	publish("http://127.0.0.1:1")
	if got := look(); !strings.Contains(got, away) {
		t.Errorf("after a kill:\n%s", got)
	}
	publish(ops.URL)
	if got := look("GOOGLE_WORKSPACE_ADMIN_EMAIL=a@clinic.example"); !strings.Contains(got, "ok       google.calendar ") {
		t.Errorf("with a program running:\n%s", got)
	}
}
