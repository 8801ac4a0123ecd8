//go:build container

package containertest

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// warmRebuild is how long a developer waits for images after a change.
const warmRebuild = 30 * time.Second

func testBuild(t *testing.T, r *run) {
	t.Run("the build context holds no git, tests, keys or credentials", func(t *testing.T) { testContext(t, r.in(t)) })
	if *builtTag != "" {
		return
	}
	r.note("build, all-in-one image", "", "%s", r.buildAllInOne(r.tag).Round(time.Second))
	r.note("build, images of the services after it", "", "%s", r.buildServices(r.tag).Round(time.Second))

	r.change("services/gateway/internal/edge")
	changed := r.tag + "-gateway-changed" // tags of their own: an image that loses its only one is left behind
	r.atMost("rebuild after a change of the gateway, images of the services", r.buildServices(changed), warmRebuild)
	r.atMost("rebuild after it, all-in-one image", r.buildAllInOne(changed), warmRebuild)
	if err := os.Remove(filepath.Join(r.tree, "services/gateway/internal/edge", changedFile)); err != nil {
		t.Fatal(err)
	}
}

const changedFile = "containertest.go"

// change adds something to a package of the copy that the linker can't leave out.
func (r *run) change(folder string) {
	r.t.Helper()
	r.write(filepath.Join(folder, changedFile), "package "+path.Base(folder)+"\n\nimport \"strconv\"\n\nvar _, _ = strconv.Atoi(\""+r.tag+"\")\n")
}

// buildAllInOne builds the image as its users do, and tells how long it took.
func (r *run) buildAllInOne(tag string) time.Duration {
	r.t.Helper()
	begin := time.Now()
	r.build("-t", "meet-middleware:"+tag, ".")
	return time.Since(begin)
}

// buildServices builds the images that the stack names, and the command line client's.
func (r *run) buildServices(tag string) time.Duration {
	r.t.Helper()
	begin := time.Now()
	s := r.stack()
	s.environ = append(s.environ, "MEET_VERSION="+tag)
	s.compose("build", "--quiet")
	r.build("--target", "meetctl", "-t", "meet-middleware/meetctl:"+tag, ".")
	return time.Since(begin)
}

// build runs docker build in the copy of the tree.
func (r *run) build(args ...string) {
	r.t.Helper()
	args = append([]string{"docker", "build", "--quiet", "--build-arg", "GOPROXY=" + r.proxy, "--build-arg", "VERSION=" + r.tag, "--build-arg", "COMMIT=" + r.commit}, args...)
	if _, err := execute(r.ctx, r.tree, []string{"DOCKER_BUILDKIT=1"}, args...); err != nil {
		r.t.Fatal(err)
	}
}

// testContext copies what a build is sent to an archive and looks through it.
func testContext(t *testing.T, r *run) {
	beside := filepath.Dir(r.tree)
	file, archive := filepath.Join(beside, "context.Dockerfile"), filepath.Join(beside, "context.tar")
	if err := os.WriteFile(file, []byte("FROM scratch\nCOPY . /\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.build("--file", file, "--output", "type=tar,dest="+archive, ".")
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	code := 0
	err = eachFile(in, func(header *tar.Header, file io.Reader) error {
		body, err := io.ReadAll(file)
		switch name := path.Clean("/" + header.Name); {
		case bytes.Contains(body, []byte(r.secret)),
			strings.HasSuffix(name, "_test.go"), strings.Contains(name, "/testdata/"), strings.HasPrefix(name, "/.git"):
			t.Errorf("%s is sent to the build", name)
		case strings.HasSuffix(name, ".go"):
			code++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if code == 0 {
		t.Error("no code is sent to the build")
	}
}
