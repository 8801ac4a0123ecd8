package standalone_test

import (
	"slices"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/archtest"
)

const root = "github.com/meet-middleware/meet-middleware/"

// under gives each path the project's prefix.
func under(paths ...string) []string {
	full := make([]string, 0, len(paths))
	for _, p := range paths {
		full = append(full, root+p)
	}
	return full
}

// within is [under] of the packages of a folder.
func within(folder string, names ...string) []string {
	full := make([]string, 0, len(names))
	for _, name := range names {
		full = append(full, root+folder+name)
	}
	return full
}

// What the rules speak of.
var (
	postgresClients = []string{"github.com/jackc/...", "github.com/lib/pq/...", "github.com/pressly/goose/..."}
	googleClients   = []string{"google.golang.org/api/...", "golang.org/x/oauth2/google/..."}
	// A package whose name ends in test is for tests.
	testKits = under("pkg/*test/...", "pkg/golden/...", "services/*/internal/*test/...")
	// Embedded servers and the fake Google are parts of standalone and of tests.
	standInServers = slices.Concat(under("pkg/embeddednats/...", "pkg/embeddedpg/...", "pkg/googlefake/..."),
		[]string{"github.com/nats-io/nats-server/...", "github.com/fergusstrange/embedded-postgres/..."})
	// The rules of the domain, and the only packages that they may use: none of them does I/O. The cron package only parses lines.
	domain = append(under("pkg/access"), within("services/meetings/internal/",
		"meeting", "account", "conference", "attendance", "export", "schedule", "task", "audit", "identity")...)
	pure = append([]string{
		"bytes", "cmp", "crypto/hmac", "crypto/sha256", "crypto/subtle", "encoding/base32", "encoding/base64", "encoding/binary", "encoding/hex",
		"encoding/json", "errors", "fmt", "iter", "maps", "math", "net/mail", "net/url", "path", "reflect", "slices", "strconv", "strings", "time",
		"unicode/...", "golang.org/x/text/...", "github.com/robfig/cron/v3",
	}, under("pkg/fault")...)
)

func rules() []archtest.Rule {
	rules := []archtest.Rule{
		{
			From: under("pkg/..."), To: under("services/...", "cli/...", "bench/..."),
			Because: "pkg is shared by services and knows none",
		},
		{
			From: []string{root + "..."}, To: testKits,
			Because: "test kits are imported by _test.go files only",
		},
		{
			From: []string{root + "..."}, To: []string{"testing", "testing/..."}, Direct: true,
			Because: "only tests and test kits import testing",
		},
		{
			From: under("services/gateway/..."), To: slices.Concat(postgresClients, googleClients, standInServers),
			Because: "the gateway is a door: it keeps no state and calls nobody outside; send a command or ask a query",
		},
		{
			From: under("services/scheduler/..."), To: slices.Concat(postgresClients, standInServers),
			Because: "only meetings touches Postgres; send a command or ask a query",
		},
		{
			From: under("services/meetings/..."), To: slices.Concat(googleClients, standInServers),
			Because: "meetings is the truth and makes no outside calls; write a job row",
		},
		{
			From: under("services/meetings/internal/..."), To: []string{"net/http"}, Direct: true,
			Because: "meetings makes no outside calls and serves no HTTP but its ops port, which is pkg/httpserver's",
		},
		{
			From: domain, To: []string{"..."}, Except: slices.Concat(domain, pure), Direct: true,
			Because: "the rules of the domain do no I/O: no context, no clock, no logger, no library",
		},
		{
			From: under("services/meetings/internal/app/..."), To: under("services/meetings/internal/postgres/...", "services/meetings/internal/nats/..."),
			Because: "a use case declares the interface it needs; adapters depend on it, not the other way round",
		},
		{
			From: under("services/scheduler/internal/job/..."),
			To: under("services/scheduler/internal/google/...", "services/scheduler/internal/webhook/...", "services/scheduler/internal/mail/...",
				"services/scheduler/internal/export/...", "services/scheduler/internal/nats/..."),
			Because: "a job declares the interface it needs; adapters depend on it, not the other way round",
		},
		{
			From: under("cli/..."), To: slices.Concat(under("services/...", "pkg/bus/...", "pkg/subject/..."), postgresClients, googleClients, standInServers),
			Because: "the command line is a client of the public API and nothing more",
		},
		{
			From: under("pkg/fault"), To: []string{"*.*/..."}, // what has a dot in its first element is not the standard library's
			Because: "the domain imports fault, so fault is the standard library alone",
		},
	}
	for _, service := range []string{"gateway", "meetings", "scheduler"} {
		own := under("services/"+service, "services/"+service+"/...")
		rules = append(rules, archtest.Rule{
			From: own, To: under("services/..."), Except: own,
			Because: "a service never imports another: they speak over the bus",
		})
	}
	for service, adapters := range map[string][]string{
		"gateway":   {"rpc", "compat", "console", "stream"},
		"meetings":  {"postgres", "nats"},
		"scheduler": {"google", "webhook", "mail", "export", "nats"},
	} {
		inner := "services/" + service + "/internal/"
		rules = append(rules, adapterRule(inner, adapters)...)
	}
	return rules
}

// adapterRule keeps the adapters of one service apart, those that exist.
func adapterRule(inner string, adapters []string) []archtest.Rule {
	var rules []archtest.Rule
	for _, a := range adapters {
		var others []string
		for _, b := range adapters {
			if b != a {
				others = append(others, root+inner+b+"/...")
			}
		}
		rules = append(rules, archtest.Rule{
			From: under(inner + a + "/..."), To: others, Optional: true,
			Because: "adapters do not know each other: what they share belongs to the use cases",
		})
	}
	return rules
}

func TestNobodyDependsOnWhomTheyMustNot(t *testing.T) {
	tree := archtest.Load(t, ".", root+"...")
	// Test kits are tests: the rules about them are for all others.
	tree.Matched = slices.DeleteFunc(tree.Matched, func(p string) bool { return archtest.Match(testKits, p) })
	tree.Check(t, rules()...)
}

func TestEveryPackageSaysWhyItExists(t *testing.T) {
	archtest.Load(t, ".", root+"...").CheckComments(t)
}
