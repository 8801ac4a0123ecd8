package embeddedpg

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func TestBinariesCanBeDownloaded(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("needs xz to pack an archive to download")
	}
	dir := folder(t)
	place, err := findPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	finder := newServer(t, Config{Dir: dir})
	bin, err := finder.binaries(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	program, err := filepath.EvalSymlinks(filepath.Join(bin, "postgres")) // packages link it into PATH
	if err != nil {
		t.Fatal(err)
	}
	bin = filepath.Dir(program)
	major, err := majorOf(t.Context(), bin, place.user)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := downloads()[major]; !ok {
		t.Skipf("nobody offers PostgreSQL %d for download", major)
	}
	jar := jarOf(t, bin)
	sum := sha256.Sum256(jar)
	var fetched atomic.Int32
	repository := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !strings.Contains(r.URL.Path, string(downloads()[major])):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, ".sha256"):
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
		default:
			fetched.Add(1)
			_, _ = w.Write(jar)
		}
	}))
	defer repository.Close()

	s := newServer(t, Config{Dir: dir, Mirror: repository.URL})
	for range 2 {
		got, err := s.download(t.Context(), place, major)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, place.dir) {
			t.Fatalf("binaries are in %s", got)
		}
		bin = got
	}
	if n := fetched.Load(); n != 1 {
		t.Fatalf("fetched %d times", n)
	}
	for _, pattern := range []string{filepath.Join(dir, "download-*"), filepath.Join(os.TempDir(), libraryLogs)} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) != 0 {
			t.Fatalf("left behind: %v (%v)", left, err)
		}
	}
	s = newServer(t, Config{Dir: dir, BinDir: bin})
	start(t, s)
	query(t, s.URL(), "SELECT 'served'")

	if _, err := s.download(t.Context(), place, 99); err == nil {
		t.Fatal("a version that nobody offers was downloaded")
	}
}

func TestAFailedDownloadIsAnError(t *testing.T) {
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	dir := folder(t)
	place, err := findPlace(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, Config{Dir: dir, Mirror: repository.URL})
	if _, err := s.download(t.Context(), place, 0); err == nil {
		t.Fatal("downloaded from an empty repository")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.download(ended, place, 0); err == nil {
		t.Fatal("downloaded though nobody waits")
	}
}

func TestDataOfAnotherVersionAreRefusedWithWhatToDo(t *testing.T) {
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	dir := folder(t)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := newServer(t, Config{Dir: dir, Mirror: repository.URL}).Start(t.Context())
	if !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), "install version 99") {
		t.Fatalf("Start = %v", err)
	}
}

func TestTheGivenBinariesMustWork(t *testing.T) {
	old := folder(t)
	for _, name := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n"
		if err := os.WriteFile(filepath.Join(old, name), []byte(script), 0o755); err != nil { // a program
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ dir, want string }{
		"absent":  {"/nowhere", "nowhere"},
		"too old": {old, "PostgreSQL 14"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newServer(t, Config{Dir: folder(t), BinDir: tc.dir}).Start(t.Context())
			if !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Start = %v", err)
			}
		})
	}
}

func TestTheHelpFitsTheMachine(t *testing.T) {
	for goos, want := range map[string]string{"linux": "apt-get install postgresql", "darwin": "brew install postgresql@17"} {
		if got := installCommand(goos); got != want {
			t.Errorf("%s: %q, want %q", goos, got, want)
		}
	}
}

// jarOf packs binaries as the download has them: a .txz in a .jar.
func jarOf(t *testing.T, bin string) []byte {
	t.Helper()
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	names := []string{"bin/postgres", "bin/initdb", "bin/pg_ctl"}
	libraries, err := filepath.Glob(filepath.Join(filepath.Dir(bin), "lib", "*.so"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range libraries {
		if base := filepath.Base(path); !strings.HasPrefix(base, "llvmjit") { // the largest, and off
			names = append(names, "lib/"+base)
		}
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(bin), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "xz", "-0", "-c")
	cmd.Stdin = &plain
	packed, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	f, err := z.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(packed); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return jar.Bytes()
}
