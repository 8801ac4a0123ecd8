package natsperm_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/meet-middleware/meet-middleware/pkg/golden"
	"github.com/meet-middleware/meet-middleware/pkg/natsperm"
)

//go:generate go test -run ^TestTheServersConfigurationIsCurrent$ -count=1 . -update

const confFile = "../../deploy/nats/nats.conf"

// passwordVariable is the variable of nats-server's environment with a user's password.
func passwordVariable(user string) string { return "NATS_" + strings.ToUpper(user) + "_PASSWORD" }

func list(b *bytes.Buffer, what string, subjects []string) {
	if len(subjects) == 0 {
		fmt.Fprintf(b, "          %s: {deny: [\">\"]}\n", what)
		return
	}
	fmt.Fprintf(b, "          %s: {allow: [\n", what)
	for _, s := range subjects {
		fmt.Fprintf(b, "            %q\n", s)
	}
	b.WriteString("          ]}\n")
}

func TestTheServersConfigurationIsCurrent(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# nats-server for Meet Middleware: one user for each service, each with what its own work needs and nothing else.
# Made by "make generate" from pkg/natsperm; changes belong there, or into a file of your own that includes this one.
#
#   NATS_GATEWAY_PASSWORD=… NATS_MEETINGS_PASSWORD=… NATS_SCHEDULER_PASSWORD=… NATS_OBSERVER_PASSWORD=… nats-server -c nats.conf
#
# A password is read as a value of this file: begin it with a letter and keep to letters, digits, - and _. A bcrypt hash
# (nats server passwd) works too, in double quotes that are part of the variable.
# TLS and an administrator: docs/how-to/secure-nats-and-postgres.md.

server_name: meet
listen: 0.0.0.0:4222
http: 127.0.0.1:8222 # monitoring, which asks nobody who he is

jetstream {
  store_dir: /data
  max_memory_store: 256MB
  max_file_store: 20GB
}

accounts {
  MEET {
    jetstream: enabled
    users: [
`)
	for _, u := range natsperm.Users() {
		fmt.Fprintf(&b, "      {\n        user: %s, password: $%s\n        permissions: {\n", u.Name, passwordVariable(u.Name))
		list(&b, "publish", u.Publish)
		list(&b, "subscribe", u.Subscribe)
		b.WriteString("        }\n      }\n")
	}
	b.WriteString("    ]\n  }\n}\n")
	golden.Equal(t, confFile, b.Bytes())
}

func TestTheServerReadsTheConfigurationAsItIsMeant(t *testing.T) {
	for _, u := range natsperm.Users() {
		t.Setenv(passwordVariable(u.Name), "pass-of-"+u.Name)
	}
	options, err := server.ProcessConfigFile(confFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(options.Users) != len(natsperm.Users()) || options.NoAuthUser != "" {
		t.Fatalf("%d users, and %q for who shows nothing", len(options.Users), options.NoAuthUser)
	}
	for _, want := range natsperm.Users() {
		i := slices.IndexFunc(options.Users, func(u *server.User) bool { return u.Username == want.Name })
		if i < 0 {
			t.Errorf("there is no %s", want.Name)
			continue
		}
		got := options.Users[i]
		if got.Password != "pass-of-"+want.Name || got.Account.Name != "MEET" {
			t.Errorf("%s: password %q, account %s", want.Name, got.Password, got.Account.Name)
		}
		if p := got.Permissions; !slices.Equal(p.Subscribe.Allow, want.Subscribe) || !slices.Equal(p.Publish.Allow, want.Publish) || p.Response != nil {
			t.Errorf("%s may %+v %+v, want %+v", want.Name, p.Publish, p.Subscribe, want)
		}
		if len(want.Publish) == 0 && !slices.Equal(got.Permissions.Publish.Deny, []string{">"}) {
			t.Errorf("%s may publish", want.Name)
		}
	}
}
