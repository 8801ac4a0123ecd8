//go:build container

package containertest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is far above what a start takes.
const patience = 3 * time.Minute

// start runs a container of an image in the background, as long as the test runs at most, and gives its id; options stand before
// the image.
func (r *run) start(image string, options ...string) string {
	r.t.Helper()
	id := r.docker(append(append([]string{"run", "-d", "--label", label + "=" + r.name}, options...), image)...)
	r.inspect(id)
	r.later("rm", "-fv", id)
	return id
}

// later runs a command of docker at the end of the test.
func (r *run) later(args ...string) {
	r.t.Cleanup(func() {
		if _, err := list(r.ctx, args...); err != nil {
			r.t.Error(err)
		}
	})
}

// healthy returns once the container's own HEALTHCHECK says that it is, and fails with its log if it ends or is not.
func (r *run) healthy(id string) {
	r.t.Helper()
	r.until(patience, "healthy", func(context.Context) (bool, error) {
		c := r.inspect(id)[0]
		if !c.State.Running || c.State.Health.Status == "unhealthy" {
			r.t.Fatalf("%s is %s, exit code %d, health %+v\n%s", c.Name, c.State.Status, c.State.ExitCode, c.State.Health, r.logs(id))
		}
		return c.State.Health.Status == "healthy", nil
	})
}

// logs are what a container has written.
func (r *run) logs(id string) string {
	r.t.Helper()
	out, err := execute(r.ctx, "", nil, "sh", "-c", "docker logs --tail 60 "+id+" 2>&1")
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// answers checks the three routes that the original was checked by. Health is bounded by 2 s, which a busy machine may exceed once.
func (r *run) answers(c *client) {
	r.t.Helper()
	for path, want := range map[string]string{"health/": `"database":"connected"`, "": `"endpoints":{`, "meetings/": "["} {
		r.until(patience, "GET /api/v1/"+path, func(ctx context.Context) (bool, error) {
			a, err := c.send(ctx, http.MethodGet, path, "")
			if err == nil && (a.status != http.StatusOK || !strings.Contains(a.body, want)) {
				err = fmt.Errorf("%s, want 200 with %s", a, want)
			}
			return err == nil, err
		})
	}
}

const visit = `{"organizer_email":"doctor@clinic.example","invited_emails":["patient@mail.example"],"external_reference":"HIS-4711"}`

// create makes a meeting, which has to get its link at once.
func (r *run) create(c *client) meeting {
	r.t.Helper()
	var made meeting
	a, err := c.send(r.ctx, http.MethodPost, "meetings/", visit)
	if err == nil {
		err = a.into(&made)
	}
	if err != nil || a.status != http.StatusCreated || made.Link == "" || !made.Simulated {
		r.t.Fatalf("create: %s %v", a, err)
	}
	return made
}

// sees checks that a meeting is still what it was.
func (r *run) sees(c *client, want meeting) {
	r.t.Helper()
	var seen meeting
	if _, err := c.get(r.ctx, "meetings/"+want.UID+"/", &seen); err != nil || seen.ID != want.ID || seen.Link != want.Link {
		r.t.Errorf("the meeting is %+v (%v), it was %+v", seen, err, want)
	}
}

func testAllInOne(t *testing.T, r *run) {
	image := "meet-middleware:" + r.tag
	t.Run("it starts, becomes healthy, answers, and keeps what it has over kill -9", func(t *testing.T) {
		r := r.in(t)
		port, data := r.freePort(), r.docker("volume", "create", "--label", label+"="+r.name, r.name+"-data")
		r.later("volume", "rm", data)
		c := newClient("http://127.0.0.1:" + port)
		begin := time.Now()
		id := r.start(image, "-p", "127.0.0.1:"+port+":8000", "-v", data+":/data", "-e", "DEBUG=True",
			"-e", "DJANGO_SUPERUSER_USERNAME=chief", "-e", "DJANGO_SUPERUSER_EMAIL=chief@clinic.example", "-e", "DJANGO_SUPERUSER_PASSWORD=Tr0ub4dor&3")
		r.until(patience, "answers", func(ctx context.Context) (bool, error) {
			a, err := c.send(ctx, http.MethodGet, "health/", "")
			return a.status == http.StatusOK, err
		})
		r.note("all-in-one: from docker run to the first answer", "", "%s", time.Since(begin).Round(100*time.Millisecond))
		r.healthy(id)
		r.note("all-in-one: from docker run to healthy", "", "%s", time.Since(begin).Round(100*time.Millisecond))
		r.answers(c)
		made := r.create(c)
		var admins []struct{ Username string }
		if _, err := c.get(r.ctx, "users/?role=admin", &admins); err != nil || len(admins) != 1 || admins[0].Username != "chief" {
			t.Errorf("admins %v %v, want the superuser of the environment", admins, err)
		}
		r.docker("kill", "-s", "KILL", id)
		r.docker("start", id)
		r.healthy(id)
		r.sees(c, made)
		r.create(c)
		begin = time.Now()
		r.docker("stop", id)
		r.note("all-in-one: docker stop", "", "%s", time.Since(begin).Round(100*time.Millisecond))
		if code := r.inspect(id)[0].State.ExitCode; code != 0 {
			t.Errorf("docker stop ends it with exit code %d\n%s", code, r.logs(id))
		}
	})
	t.Run("in production it refuses to start without Google and names what is missing", func(t *testing.T) {
		r := r.in(t)
		id := r.start(image)
		if code := r.docker("wait", id); code != "2" {
			t.Errorf("exit code %s, want 2", code)
		}
		if log := r.logs(id); !strings.Contains(log, "GOOGLE_SERVICE_ACCOUNT_FILE") {
			t.Errorf("its log names no variable: %s", log)
		}
	})
	t.Run("it uses the Postgres that it is given", func(t *testing.T) {
		r := r.in(t)
		network := r.name + "-network"
		r.docker("network", "create", "--label", label+"="+r.name, network)
		r.later("network", "rm", network)
		const password = "of-a-server-elsewhere"
		db := r.start("postgres:17", "--network", network, "--network-alias", "database", "-e", "POSTGRES_USER=meet", "-e", "POSTGRES_DB=meet", "-e", "POSTGRES_PASSWORD="+password)
		settings := map[string]string{
			"POSTGRES_HOST": "DEBUG=True\nPOSTGRES_HOST=database\nPOSTGRES_DB=meet\nPOSTGRES_USER=meet\nPOSTGRES_PASSWORD=" + password + "\n",
			"DATABASE_URL":  "DEBUG=True\nDATABASE_URL=postgres://meet:" + password + "@database:5432/meet\n",
		}
		var made meeting
		for _, variable := range []string{"POSTGRES_HOST", "DATABASE_URL"} {
			file := filepath.Join(t.TempDir(), variable+".env")
			if err := os.WriteFile(file, []byte(settings[variable]), 0o600); err != nil {
				t.Fatal(err)
			}
			port := r.freePort()
			c := newClient("http://127.0.0.1:" + port)
			id := r.start(image, "--network", network, "-p", "127.0.0.1:"+port+":8000", "--env-file", file)
			r.until(patience, "answers with "+variable, func(ctx context.Context) (bool, error) {
				a, err := c.send(ctx, http.MethodGet, "health/", "")
				return a.status == http.StatusOK, err
			})
			r.answers(c)
			if variable == "POSTGRES_HOST" {
				made = r.create(c)
				if rows := r.docker("exec", db, "psql", "-U", "meet", "-d", "meet", "-Atc", "SELECT meet_link FROM meetings"); rows != made.Link {
					t.Errorf("the server has the links %q, want %q", rows, made.Link)
				}
			} else {
				r.sees(c, made)
			}
			if processes := r.docker("top", id); strings.Contains(processes, "postgres:") {
				t.Errorf("with %s it runs a Postgres of its own: %s", variable, processes)
			}
			r.docker("stop", id)
		}
	})
}
