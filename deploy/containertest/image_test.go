//go:build container

package containertest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// image is one that is shipped.
type image struct {
	name string // without the tag
	uid  string
	// most is what it may weigh, compressed as a registry keeps it; 0: any.
	most int64
	// bare: it holds the program and nothing to run others with.
	bare bool
	// serves: it is a service, and can say whether it is well.
	serves bool
}

const megabyte = 1_000_000

var images = []image{
	{name: "meet-middleware", uid: "1000", most: 150 * megabyte, serves: true},
	{name: "meet-middleware/gateway", uid: "65532", most: 25 * megabyte, bare: true, serves: true},
	{name: "meet-middleware/meetings", uid: "65532", most: 25 * megabyte, bare: true, serves: true},
	{name: "meet-middleware/scheduler", uid: "65532", most: 30 * megabyte, bare: true, serves: true},
	{name: "meet-middleware/google-emulator", uid: "65532", most: 25 * megabyte, bare: true, serves: true},
	{name: "meet-middleware/meetctl", uid: "65532", most: 25 * megabyte, bare: true},
}

// strangers have no place in an image that runs one program.
var strangers = []string{
	"sh", "bash", "dash", "ash", "busybox", "apk", "apt", "apt-get", "dpkg", "rpm", "yum", "env", "su", "sudo", "perl", "python3", "curl", "wget", "nc",
}

// needless is what the all-in-one image, which has Debian's Postgres and so a shell, does without.
var needless = []string{"llvmjit.so", "libLLVM.so.1", "gcc", "go", "curl", "wget", "sudo"}

func testImages(t *testing.T, r *run) {
	for _, i := range images {
		t.Run(i.name, func(t *testing.T) { i.test(t, r.in(t)) })
	}
}

// imageConfig is what docker image inspect tells.
type imageConfig struct {
	Architecture, Os string
	Config           struct {
		User        string
		Env         []string
		Cmd         []string
		Entrypoint  []string
		Labels      map[string]string
		Volumes     map[string]struct{}
		Healthcheck *struct {
			Test                           []string
			Interval, Timeout, StartPeriod time.Duration
			Retries                        int
		}
	}
}

func (i image) test(t *testing.T, r *run) {
	name := i.name + ":" + r.tag
	var found []imageConfig
	text := r.docker("image", "inspect", name)
	r.decode(text, &found)
	c := found[0].Config
	if user, _, _ := strings.Cut(c.User, ":"); user != i.uid {
		t.Errorf("runs as %q, want %s", c.User, i.uid)
	}
	if want := r.docker("version", "--format", "{{.Server.Arch}}"); found[0].Architecture != want || found[0].Os != "linux" {
		t.Errorf("made for %s/%s, want linux/%s", found[0].Os, found[0].Architecture, want)
	}
	for _, label := range []string{"title", "description", "source", "version", "revision"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("label %s is missing: %v", label, c.Labels)
		}
	}
	switch h := c.Healthcheck; {
	case !i.serves:
	case h == nil:
		t.Error("no HEALTHCHECK")
	case h.Interval != 30*time.Second || h.Timeout != 10*time.Second || h.Retries != 3 || h.StartPeriod <= 0 || h.StartPeriod > 40*time.Second:
		t.Errorf("HEALTHCHECK %+v", *h)
	case h.Test[0] != "CMD" || h.Test[len(h.Test)-1] != "healthcheck":
		t.Errorf("HEALTHCHECK runs %q, want the program itself", h.Test)
	}
	if _, ok := c.Volumes["/data"]; i.name == "meet-middleware" && !ok {
		t.Errorf("volumes %v, want /data", c.Volumes)
	}
	history := r.docker("history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", name)
	for what, told := range map[string]string{"docker inspect": text, "docker history": history} {
		for _, secret := range append(r.proxies(), r.secret) {
			if strings.Contains(told, secret) {
				t.Errorf("%s tells %s: %s", what, secret, told)
			}
		}
		if n := strings.ToUpper(told); strings.Contains(n, "PASSWORD=") || strings.Contains(n, "SECRET_KEY=") {
			t.Errorf("%s tells a password: %s", what, told)
		}
	}
	program := false
	size := r.layers(name, func(file string, body []byte) {
		base := path.Base(file)
		program = program || base == path.Base(c.Entrypoint[0])
		if i.bare && slices.Contains(strangers, base) || !i.bare && slices.Contains(needless, base) {
			t.Errorf("holds %s", file)
		}
		if bytes.Contains(body, []byte(r.secret)) {
			t.Errorf("%s holds what stands in a file that may not be sent to the build", file)
		}
	})
	if !program {
		t.Errorf("%s is not in it", c.Entrypoint[0])
	}
	wanted := ""
	if i.most > 0 {
		wanted = fmt.Sprintf("≤ %d MB", i.most/megabyte)
	}
	r.note("image "+i.name+", compressed", wanted, "%.1f MB", float64(size)/megabyte)
	if i.most > 0 && size > i.most {
		t.Errorf("weighs %.1f MB compressed, want at most %d", float64(size)/megabyte, i.most/megabyte)
	}
}

// proxies are the module mirrors that the build was told of; the public one is no secret.
func (r *run) proxies() []string {
	return slices.DeleteFunc(strings.FieldsFunc(r.proxy, func(c rune) bool { return c == ',' || c == '|' }), func(p string) bool {
		return p == "https://proxy.golang.org" || p == "direct" || p == "off"
	})
}

// layers calls look with every file of every layer of an image, and with the image's own configuration, and gives what the
// layers weigh compressed.
func (r *run) layers(name string, look func(file string, body []byte)) (size int64) {
	r.t.Helper()
	archive := filepath.Join(r.t.TempDir(), "image.tar")
	r.docker("save", "-o", archive, name)
	in, err := os.Open(archive)
	if err != nil {
		r.t.Fatal(err)
	}
	defer in.Close()
	err = eachFile(in, func(header *tar.Header, file io.Reader) error {
		weight, err := layer(header.Name, file, look)
		size += weight
		return err
	})
	if err != nil {
		r.t.Fatalf("read %s: %v", name, err)
	}
	return size
}

// layer reads one file of docker save's archive. It is a layer if it is an archive itself, compressed or not: engines differ in
// how they call it.
func layer(name string, file io.Reader, look func(string, []byte)) (int64, error) {
	content := bufio.NewReader(file)
	if magic, err := content.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		plain, err := gzip.NewReader(content)
		if err != nil {
			return 0, err
		}
		content = bufio.NewReader(plain)
	}
	if magic, err := content.Peek(262); err != nil || string(magic[257:]) != "ustar" {
		body, err := io.ReadAll(content)
		look(name, body)
		return 0, err
	}
	var weight counter
	zip := gzip.NewWriter(&weight)
	weighed := io.TeeReader(content, zip)
	err := eachFile(weighed, func(header *tar.Header, file io.Reader) error {
		if header.Typeflag == tar.TypeDir {
			return nil
		}
		body, err := io.ReadAll(file)
		look(path.Clean("/"+header.Name), body)
		return err
	})
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(io.Discard, weighed); err != nil { // what fills an archive up stands behind its last file
		return 0, err
	}
	err = zip.Close()
	return int64(weight), err
}

func eachFile(archive io.Reader, see func(*tar.Header, io.Reader) error) error {
	files := tar.NewReader(archive)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := see(header, files); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
