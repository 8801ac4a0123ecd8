// Package compose holds the stack to the programs that it runs.
package compose

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// leftOut are settings that the stack does not pass on, and why.
var leftOut = map[string]string{
	"MEET_ADDR": "the image's", "MEET_OPS_ADDR": "the image's", "WEB_PORT": "what the front is published on",
	"MEET_EMULATOR_ADDR": "the image's", "MEET_DATA_DIR": "the image's",
	"NATS_CREDS": "users have passwords", "NATS_NKEY_FILE": "users have passwords",
	"NATS_CA_FILE": "nothing leaves the machine", "NATS_CERT_FILE": "nothing leaves the machine", "NATS_KEY_FILE": "nothing leaves the machine",
	"OTEL_SERVICE_NAME": "each service has its own",
	"DATABASE_URL":      "the stack has a database", "POSTGRES_PORT": "the stack has a database",
}

func TestEverySettingReachesTheServiceWhoseItIs(t *testing.T) {
	source, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var stack struct {
		Services map[string]struct {
			Environment map[string]any
		}
	}
	if err := yaml.Unmarshal(source, &stack); err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("../../docs/config.md") // made from the programs
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)`")
	for service, program := range map[string]string{"gateway": "gateway", "meetings": "meetings", "scheduler": "scheduler", "emulator": "google-emulator"} {
		names := variable.FindAllStringSubmatch(section(t, string(settings), program), -1)
		if len(names) == 0 {
			t.Errorf("docs/config.md has no settings of %s", program)
		}
		for _, name := range names {
			_, passed := stack.Services[service].Environment[name[1]]
			if _, out := leftOut[name[1]]; passed == out {
				t.Errorf("%s of %s: passed on %v, left out %v", name[1], service, passed, out)
			}
		}
	}
}

// section is what follows a program's heading.
func section(t *testing.T, text, program string) string {
	t.Helper()
	_, after, found := strings.Cut(text, "\n## `"+program+"`\n")
	if !found {
		t.Fatalf("docs/config.md has no %s", program)
	}
	own, _, _ := strings.Cut(after, "\n## ")
	return own
}
