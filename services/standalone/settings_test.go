package standalone_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/pgtest"
	"github.com/meet-middleware/meet-middleware/services/meetings"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

func TestTheNATSInsideIsReachedFromThisMachineAlone(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		refused bool
	}{
		{"by default", nil, false},
		{"loopback", []string{"MEET_NATS_ADDR=[::1]:0"}, false},
		{"every address", []string{"MEET_NATS_ADDR=0.0.0.0:4222"}, true},
		{"no host", []string{"MEET_NATS_ADDR=:4222"}, true},
		{"another address", []string{"MEET_NATS_ADDR=10.0.0.7:4222"}, true},
		{"a developer's machine", []string{"MEET_NATS_ADDR=0.0.0.0:4222", "DEBUG=True"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Load[standalone.Settings](test.environ)
			if problems := config.Problems(err); test.refused != (len(problems) == 1 && problems[0].Variable == "MEET_NATS_ADDR") || !test.refused && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAPostgresThatIsNamedIsUsedAndNoneIsStarted(t *testing.T) {
	for _, variable := range []string{"DATABASE_URL", "POSTGRES_HOST"} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			named := pgtest.New(t, meetings.Migrate)
			settings := []string{"DATABASE_URL=" + named}
			u, err := url.Parse(named)
			if err != nil {
				t.Fatal(err)
			}
			if variable == "POSTGRES_HOST" {
				password, _ := u.User.Password()
				settings = []string{
					"POSTGRES_HOST=" + u.Hostname(), "POSTGRES_PORT=" + u.Port(), "POSTGRES_DB=" + strings.TrimPrefix(u.Path, "/"),
					"POSTGRES_USER=" + u.User.Username(), "POSTGRES_PASSWORD=" + password,
				}
			}
			dir := t.TempDir()
			p, stop := start(t, dir, settings...)
			defer stop()
			if r := p.send(http.MethodGet, "meetings/", ""); r.status != http.StatusOK {
				t.Errorf("meetings/: %d %s", r.status, r.body)
			}
			if used, err := url.Parse(p.Postgres); err != nil || used.Host != u.Host || used.Path != u.Path {
				t.Errorf("used %s%s, want %s%s (%v)", used.Host, used.Path, u.Host, u.Path, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "postgres")); !os.IsNotExist(err) {
				t.Errorf("a PostgreSQL of its own was made: %v", err)
			}
		})
	}
}
