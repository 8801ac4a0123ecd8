// Package docker holds the build context of the images to what they are made of.
package docker

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// root is the build context.
const root = "../.."

func ignored(t *testing.T) func(name string) bool {
	t.Helper()
	f, err := os.Open(filepath.Join(root, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) bool {
		t.Helper()
		out, err := matcher.MatchesOrParentMatches(filepath.FromSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// secrets are names under which people keep what no image may have.
var secrets = []string{
	".env", ".env.prod", "prod.env", ".netrc", ".npmrc", ".pgpass", ".git-credentials", ".docker/config.json", ".aws/credentials", ".ssh/id_ed25519",
	"id_rsa", "credentials", "credentials.json", "service-account.json", "client_secret.json", "key.json", "tls.key", "tls.crt", "tls-key.pem", "server.p12",
	"server.pfx", "nats.creds", "user.nk", "nats-gateway.password", "secrets/postgres-password", "secrets/admin-password", "credentials/google.json",
	"kubeconfig", "dump.sql", "backup.dump", "backup.tar.gz", "settings.yaml", "terraform.tfstate",
}

func TestNoSecretIsInTheBuildContext(t *testing.T) {
	out := ignored(t)
	folders := []string{
		".", "pkg", "pkg/googlefake", "pkg/googlefake/templates", "services", "services/gateway", "services/gateway/cmd/gateway", "services/meetings/migrations/old",
		"services/gateway/internal/compat/pages", "cli", "cli/cmd/meetctl", "deploy", "deploy/compose", "docs", "bin", ".data", "credentials",
	}
	for _, folder := range folders {
		for _, name := range secrets {
			if name := path.Join(folder, name); !out(name) {
				t.Errorf("%s would be sent to the builder", name)
			}
		}
	}
}

func TestNoGitAndNoTestIsInTheBuildContext(t *testing.T) {
	out := ignored(t)
	for _, name := range []string{
		".git/config", ".git/HEAD", ".git/objects/ab/cdef", "pkg/.git/config", ".gitignore", ".github/workflows/ci.yaml", ".ci/run", ".data/addresses.json", ".tools/buf",
		"bin/gateway", "Makefile", "README.md", "docs/security.md", "deploy/compose/compose.yaml", "deploy/docker/Dockerfile", "bench/go.mod", "tools/go.mod", "go.work",
		"services/standalone/rest_test.go", "services/standalone/internal/stacktest/kill_test.go", "pkg/bus/bus_test.go", "cli/cmd/meetctl/main_test.go",
		"services/gateway/internal/compat/testdata/meeting.golden.json", "pkg/bus/testdata/fuzz/FuzzDecode/1", "services/gateway/internal/compat/testdata/helper.go",
		"pkg/bus/bus.test", "pkg/cpu.pprof", "coverage.out", "services/gateway/.env", "services/gateway/internal/compat/assets/.env",
		"services/gateway/internal/compat/assets/key.pem",
	} {
		if !out(name) {
			t.Errorf("%s would be sent to the builder", name)
		}
	}
}

// embedded finds what a file embeds.
var embedded = regexp.MustCompile(`(?m)^//go:embed (.+)$`)

func TestWhatProgramsAreBuiltFromIsInTheBuildContext(t *testing.T) {
	out := ignored(t)
	for _, module := range []string{"pkg", "cli", "services/gateway", "services/meetings", "services/scheduler", "services/standalone"} {
		for _, name := range []string{"go.mod", "go.sum"} {
			if name := path.Join(module, name); out(name) {
				t.Errorf("%s is missing", name)
			}
		}
		err := fs.WalkDir(os.DirFS(root), module, func(name string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata":
				return fs.SkipDir
			case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			if out(name) {
				t.Errorf("%s is missing", name)
			}
			source, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				return err
			}
			for _, line := range embedded.FindAllSubmatch(source, -1) {
				for _, pattern := range bytes.Fields(line[1]) {
					checkEmbedded(t, out, path.Join(path.Dir(name), string(pattern)))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// checkEmbedded wants every file that a pattern of go:embed names; a folder is its files but those whose names begin with . or _.
func checkEmbedded(t *testing.T, out func(string) bool, pattern string) {
	t.Helper()
	context := os.DirFS(root)
	names, err := fs.Glob(context, pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("go:embed %s names nothing: %v", pattern, err)
	}
	for _, name := range names {
		err := fs.WalkDir(context, name, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") && !strings.HasPrefix(entry.Name(), "_") && out(name) {
				t.Errorf("%s, which is embedded, is missing", name)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
