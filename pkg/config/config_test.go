package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

type database struct {
	Host     string        `env:"POSTGRES_HOST" envDefault:"localhost" help:"where Postgres listens"`
	Port     int           `env:"POSTGRES_PORT" envDefault:"5432" help:"its port"`
	Password config.Secret `env:"POSTGRES_PASSWORD,required" help:"of POSTGRES_USER"`
	Timeout  time.Duration `env:"POSTGRES_TIMEOUT" envDefault:"5s" help:"of one statement"`
}

type google struct {
	Timeout time.Duration `env:"MEET_GOOGLE_TIMEOUT" envDefault:"60s" help:"of one call"`
	Admin   string        `env:"GOOGLE_ADMIN" help:"who is impersonated"`
	Key     string        `env:"GOOGLE_KEY" help:"needs GOOGLE_ADMIN"`
}

func (g google) Check() error {
	if g.Key != "" && g.Admin == "" {
		return errors.Join(config.Bad("GOOGLE_ADMIN", "is not set, but GOOGLE_KEY is", "set it to an administrator's address"))
	}
	return nil
}

type settings struct {
	Debug    bool     `env:"DEBUG" envDefault:"False" help:"development"`
	Auth     string   `env:"MEET_AUTH" oneof:"open keys" help:"who may call"`
	Hosts    []string `env:"ALLOWED_HOSTS" help:"names this service answers to"`
	Database database
	Google   google
}

func TestDefaultsHoldWhereNothingIsSet(t *testing.T) {
	got, err := config.Load[settings]([]string{"POSTGRES_PASSWORD=x", "POSTGRES_PORT=", "DEBUG="})
	if err != nil {
		t.Fatal(err)
	}
	if got.Debug || got.Database.Port != 5432 || got.Database.Host != "localhost" || got.Google.Timeout != time.Minute || got.Hosts != nil {
		t.Errorf("got %+v", got)
	}
}

func TestValuesAreReadAsTheOriginalReadThem(t *testing.T) {
	for text, want := range map[string]bool{
		"True": true, "true": true, "1": true, "yes": true, "on": true,
		"False": false, "false": false, "0": false, "no": false, "OFF": false,
	} {
		got, err := config.Load[settings]([]string{"POSTGRES_PASSWORD=x", "DEBUG=" + text})
		if err != nil || got.Debug != want {
			t.Errorf("DEBUG=%s is %v, %v", text, got.Debug, err)
		}
	}
	got, err := config.Load[settings]([]string{"POSTGRES_PASSWORD=a=b", "ALLOWED_HOSTS= a.example , b.example,", "MEET_AUTH=keys"})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%q", got.Hosts) != `["a.example" "b.example"]` || got.Database.Password.Reveal() != "a=b" || got.Auth != "keys" {
		t.Errorf("got %q, %q, %q", got.Hosts, got.Database.Password.Reveal(), got.Auth)
	}
}

func TestAllProblemsAreListedAtOnceWithTheirFix(t *testing.T) {
	_, err := config.Load[settings]([]string{
		"DEBUG=maybe", "MEET_AUTH=none", "POSTGRES_PORT=abc", "MEET_GOOGLE_TIMEOUT=5", "POSTGRES_TIMEOUT=1s", "GOOGLE_KEY=k",
	})
	want := `DEBUG: "maybe" is not right; write True or False
MEET_AUTH: "none" is not known; use one of: open, keys
POSTGRES_PORT: "abc" is not right; write a whole number that fits
POSTGRES_PASSWORD: is required and not set; set it to: of POSTGRES_USER
MEET_GOOGLE_TIMEOUT: "5" is not right; write a number with a unit, as 500ms, 15s, 2m or 24h`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestURLsAndTimeZonesAreReadWhole(t *testing.T) {
	type outside struct {
		Public url.URL        `env:"MEET_PUBLIC_URL" help:"where people reach this service"`
		Zone   *time.Location `env:"MEET_TIME_ZONE" envDefault:"America/Bogota" help:"of calendar events"`
		Ports  []int          `env:"PORTS" help:"some ports"`
		Ratio  float64        `env:"RATIO,notEmpty" help:"of something"`
	}
	got, err := config.Load[outside]([]string{"MEET_PUBLIC_URL=https://meet.example/x", "PORTS=1, 2", "RATIO=0.5"})
	if err != nil || got.Public.Host != "meet.example" || got.Zone.String() != "America/Bogota" || !slices.Equal(got.Ports, []int{1, 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err = config.Load[outside]([]string{"MEET_PUBLIC_URL=:bad", "MEET_TIME_ZONE=Bogota", "PORTS=1,x"})
	want := `MEET_PUBLIC_URL: ":bad" is not right; write a whole URL, as https://host:port/path
MEET_TIME_ZONE: "Bogota" is not right; write an IANA name, as Europe/Madrid
PORTS: "1,x" is not right; separate the values by commas; see: some ports
RATIO: is required and not set; set it to: of something`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestARuleBetweenSettingsIsCheckedOnceEachIsRight(t *testing.T) {
	_, err := config.Load[settings]([]string{"POSTGRES_PASSWORD=x", "GOOGLE_KEY=k"})
	got := config.Problems(err)
	if len(got) != 1 || got[0].Variable != "GOOGLE_ADMIN" {
		t.Errorf("got %v", err)
	}
}

func TestASecretMayComeFromAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("p ss\r\n")
	got, err := config.Load[settings]([]string{"POSTGRES_PASSWORD_FILE=" + path})
	if err != nil || got.Database.Password.Reveal() != "p ss" {
		t.Errorf("got %q, %v", got.Database.Password.Reveal(), err)
	}
	write("\n")
	for _, c := range []struct{ name, variable, text string }{
		{"both set", "POSTGRES_PASSWORD_FILE=" + path + "\nPOSTGRES_PASSWORD=y", "POSTGRES_PASSWORD: is set, and so is POSTGRES_PASSWORD_FILE"},
		{"empty file", "POSTGRES_PASSWORD_FILE=" + path, "POSTGRES_PASSWORD_FILE: " + path + " is empty"},
		{"no file", "POSTGRES_PASSWORD_FILE=" + path + "x", "POSTGRES_PASSWORD_FILE: read the secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Load[settings](strings.Split(c.variable, "\n"))
			if err == nil || !strings.HasPrefix(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one problem: %s", err, c.text)
			}
		})
	}
}

func TestASecretMasksItselfEverywhere(t *testing.T) {
	s := config.Secret("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S config.Secret }{s})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S config.Secret }{s})
	body, err := json.Marshal(map[string]any{"a": s, "b": []config.Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(body) + s.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, struct{ S config.Secret }{s})
	}
	for _, leak := range []string{"hunter2", "68756e74657232", "68756E74657232"} {
		if strings.Contains(shown, leak) {
			t.Errorf("%q is seen in %s", leak, shown)
		}
	}
	if s.Reveal() != "hunter2" || config.Secret("").String() != "" {
		t.Error("Reveal or the empty secret is wrong")
	}
}

func TestHelpNamesEverySettingWithItsDefault(t *testing.T) {
	var text, table bytes.Buffer
	if err := config.Help[settings](&text, "meetings"); err != nil {
		t.Fatal(err)
	}
	if err := config.Markdown[settings](&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"POSTGRES_PORT (whole number, default 5432)\n    its port\n",
		"POSTGRES_PASSWORD (secret, required)\n    of POSTGRES_USER\n",
		"MEET_AUTH (open or keys)\n    who may call\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	for _, want := range []string{
		"| `POSTGRES_PASSWORD` (`_FILE`) | secret | required | of POSTGRES_USER |\n",
		"| `MEET_GOOGLE_TIMEOUT` | duration | `60s` | of one call |\n",
	} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is not in\n%s", want, &table)
		}
	}
}

func TestSettingsThatCantBeDocumentedAreAnError(t *testing.T) {
	type unexplained struct {
		A string `env:"A"`
	}
	type disagreeing struct {
		A int `env:"A" envDefault:"1" help:"a"`
		B struct {
			A int `env:"A" envDefault:"2"`
		}
	}
	if _, err := config.Variables[unexplained](); err == nil {
		t.Error("a setting without help passed")
	}
	if _, err := config.Variables[disagreeing](); err == nil {
		t.Error("two defaults of one variable passed")
	}
}

func TestSeveralEnvOptionsReportTogether(t *testing.T) {
	t.Setenv("POSTGRES_PASSWORD", "")
	t.Setenv("MEET_GOOGLE_TIMEOUT", "soon")
	app := fx.New(fx.NopLogger, config.Env[database](), config.Env[google]())
	var names []string
	for _, p := range config.Problems(app.Err()) {
		names = append(names, p.Variable)
	}
	if strings.Join(names, " ") != "POSTGRES_PASSWORD MEET_GOOGLE_TIMEOUT" {
		t.Errorf("problems with %v, from %v", names, app.Err())
	}
	var report bytes.Buffer
	config.Report(&report, "meetings", app.Err())
	if !strings.HasPrefix(report.String(), "meetings can't start, 2 settings are wrong:\n  POSTGRES_PASSWORD: ") {
		t.Errorf("report is %q", &report)
	}
}

func TestEnvSuppliesTheSettings(t *testing.T) {
	t.Setenv("POSTGRES_PASSWORD", "x")
	t.Setenv("POSTGRES_HOST", "db")
	var got database
	app := fx.New(fx.NopLogger, config.Env[database](), fx.Populate(&got))
	if app.Err() != nil || got.Host != "db" {
		t.Errorf("got %+v, %v", got, app.Err())
	}
}
