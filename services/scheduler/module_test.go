package scheduler_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler"
)

func TestTheGraphOfTheProgramIsWhole(t *testing.T) {
	if err := fx.ValidateApp(scheduler.Program(scheduler.Settings{})); err != nil {
		t.Error(err)
	}
}

func TestEverySettingIsExplained(t *testing.T) {
	if _, err := config.Variables[scheduler.Settings](); err != nil {
		t.Error(err)
	}
}

// emulator is a simulated Google in this process, for the length of the test, and its URL.
func emulator(t *testing.T) (fake *googlefake.Server, url string) {
	t.Helper()
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(fake)
	t.Cleanup(func() {
		server.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	return fake, server.URL
}

// key writes a service account's key as Google gives it out.
func key(t *testing.T) string {
	t.Helper()
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, fake.ServiceAccountKey("https://example.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fake.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsAreCheckedBeforeAnythingIsWaitedFor(t *testing.T) {
	good := key(t)
	notAKey := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(notAKey, []byte(`{"type":"authorized_user"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		env      []string
		problems []string // the variables named
		emulated bool
	}{
		"nothing":                             {nil, []string{"MEET_EMULATOR_URL"}, true},
		"the emulator's address is enough":    {[]string{"MEET_EMULATOR_URL=http://127.0.0.1:8090"}, nil, true},
		"production with an emulator unasked": {[]string{"MEET_ADDR=0.0.0.0:8000", "MEET_EMULATOR_URL=http://e:8090"}, []string{"GOOGLE_SERVICE_ACCOUNT_FILE"}, false},
		"production with an emulator asked":   {[]string{"MEET_ADDR=:8000", "MEET_GOOGLE=emulator", "MEET_EMULATOR_URL=http://e:8090"}, nil, true},
		"debug in public":                     {[]string{"MEET_ADDR=0.0.0.0:8000", "DEBUG=True", "MEET_EMULATOR_URL=http://e:8090"}, nil, true},
		"production with nothing":             {[]string{"MEET_ADDR=0.0.0.0:8000"}, []string{"GOOGLE_SERVICE_ACCOUNT_FILE"}, false},
		"workspace without a key":             {[]string{"MEET_GOOGLE=workspace"}, []string{"GOOGLE_SERVICE_ACCOUNT_FILE"}, false},
		"a key alone":                         {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + good}, []string{"GOOGLE_WORKSPACE_ADMIN_EMAIL"}, false},
		"a key and an admin":                  {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + good, "GOOGLE_WORKSPACE_ADMIN_EMAIL=a@example.org"}, nil, false},
		"a key and domains":                   {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + good, "GOOGLE_WORKSPACE_DOMAINS=example.org, example.com"}, nil, false},
		"a key, in development, is Google":    {[]string{"DEBUG=True", "MEET_EMULATOR_URL=http://e:8090", "GOOGLE_SERVICE_ACCOUNT_FILE=" + good, "GOOGLE_WORKSPACE_DOMAINS=example.org"}, nil, false},
		"a key that is none":                  {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=" + notAKey, "GOOGLE_WORKSPACE_DOMAINS=example.org"}, []string{"GOOGLE_SERVICE_ACCOUNT_FILE"}, false},
		"a key that is not there":             {[]string{"GOOGLE_SERVICE_ACCOUNT_FILE=/nonexistent", "GOOGLE_WORKSPACE_DOMAINS=example.org"}, []string{"GOOGLE_SERVICE_ACCOUNT_FILE"}, false},
		"all wrong at once": {
			[]string{"MEET_GOOGLE=emulator", "MEET_EMULATOR_URL=nope", "GOOGLE_WORKSPACE_ADMIN_EMAIL=nobody", "GOOGLE_WORKSPACE_DOMAINS=a@b", "MEET_GOOGLE_TIMEOUT=0s", "MEET_GOOGLE_WORKERS=0"},
			[]string{"GOOGLE_WORKSPACE_ADMIN_EMAIL", "GOOGLE_WORKSPACE_DOMAINS", "MEET_EMULATOR_URL", "MEET_GOOGLE_TIMEOUT", "MEET_GOOGLE_WORKERS"},
			true,
		},
		"a topic and its subscription": {[]string{"MEET_EMULATOR_URL=http://e:8090", "GOOGLE_PUBSUB_TOPIC=projects/clinic-1/topics/meet-notices", "GOOGLE_PUBSUB_SUBSCRIPTION=projects/clinic-1/subscriptions/meet-notices", "GOOGLE_DIRECTORY=off"}, nil, true},
		"no notices of the emulator":   {[]string{"MEET_EMULATOR_URL=http://e:8090", "GOOGLE_PUBSUB_TOPIC=off", "GOOGLE_PUBSUB_SUBSCRIPTION=off"}, nil, true},
		"a topic alone":                {[]string{"MEET_EMULATOR_URL=http://e:8090", "GOOGLE_PUBSUB_TOPIC=projects/clinic-1/topics/meet-notices"}, []string{"GOOGLE_PUBSUB_SUBSCRIPTION"}, true},
		"a subscription alone":         {[]string{"MEET_EMULATOR_URL=http://e:8090", "GOOGLE_PUBSUB_SUBSCRIPTION=projects/clinic-1/subscriptions/meet-notices"}, []string{"GOOGLE_PUBSUB_TOPIC"}, true},
		"names that are none": {
			[]string{"MEET_EMULATOR_URL=http://e:8090", "GOOGLE_PUBSUB_TOPIC=meet-notices", "GOOGLE_PUBSUB_SUBSCRIPTION=projects/clinic-1/topics/meet-notices", "MEET_OBSERVE_WORKERS=0"},
			[]string{"GOOGLE_PUBSUB_SUBSCRIPTION", "GOOGLE_PUBSUB_TOPIC", "MEET_OBSERVE_WORKERS"},
			true,
		},
		"a mode not known": {[]string{"MEET_GOOGLE=sandbox"}, []string{"MEET_GOOGLE"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			settings, err := config.Load[scheduler.Settings](test.env)
			var named []string
			for _, p := range config.Problems(err) {
				named = append(named, p.Variable)
				if p.Text == "" || p.Fix == "" {
					t.Errorf("%+v does not say what to do", p)
				}
			}
			slices.Sort(named)
			if !slices.Equal(named, test.problems) {
				got, _ := json.Marshal(config.Problems(err))
				t.Errorf("named %v, want %v: %s", named, test.problems, got)
			}
			if len(test.problems) == 0 && settings.Service.Emulated() != test.emulated {
				t.Errorf("emulated %t, want %t", settings.Service.Emulated(), test.emulated)
			}
		})
	}
}
