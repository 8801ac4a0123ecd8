package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/export"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

const (
	boss   = "boss@example.com"
	bucket = "recordings"
	key    = "2026/03/0193a2b4/recording-7.mp4"
	// childVariable makes the test's program a scheduler that exports one file and can be killed.
	childVariable = "MEET_TEST_EXPORT_CHILD"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(child(text))
	}
	os.Exit(m.Run())
}

// order is what a child is to do.
type order struct {
	Emulator, URL string
	Want          job.Export
}

// done is what a child says.
type done struct {
	Out     job.Exported
	Seconds float64
	// PeakKB is how much the resident memory grew, at most.
	PeakKB int64
}

func child(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	exports, err := newExports(context.Background(), o.Emulator, o.URL, quick(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	debug.FreeOSMemory()
	before, begin := status("VmRSS"), time.Now()
	out, _ := exports.Export(context.Background(), o.Want)
	d := done{Out: out, Seconds: time.Since(begin).Seconds(), PeakKB: status("VmHWM") - before}
	if err := json.NewEncoder(os.Stdout).Encode(d); err != nil {
		return 1
	}
	return 0
}

// status is a line of /proc/self/status, in KB.
func status(name string) (kb int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			_, _ = fmt.Sscan(value, &kb)
		}
	}
	return kb
}

// quick is the usual timing with pauses that a test need not wait for.
func quick() job.ExportTiming {
	t := job.DefaultExportTiming()
	t.Pauses = []time.Duration{0, time.Millisecond, time.Millisecond, time.Millisecond}
	t.SecondLook = time.Millisecond
	return t
}

func newExports(ctx context.Context, emulator, url string, timing job.ExportTiming, log *slog.Logger) (*job.Exports, error) {
	client, err := google.New(google.Config{
		Mode: google.ModeEmulator, EmulatorURL: emulator, Timeout: 2 * time.Minute, CalendarID: "primary", Domains: []string{"example.com"},
	}, true, quota.None{}, prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}
	if err := client.Start(ctx); err != nil {
		return nil, err
	}
	storage, err := export.New(export.Config{URL: url}, prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}
	return job.NewExports(client, storage, quota.None{}, time.Now, timing, log), nil
}

// spoiler is asked for the answer to each download: it may change it.
type spoiler func(n int64, w http.ResponseWriter) http.ResponseWriter

func (r *rig) spoil(s spoiler) { r.spoiler.Store(&s) }

// rig is an emulator with one recording, behind a network that a test can spoil, and the jobs over it.
type rig struct {
	*testing.T
	fake     *googlefake.Server
	emulator string
	client   *google.Client
	file     string
	size     int64
	log      *slog.Logger
	timing   job.ExportTiming

	downloads atomic.Int64
	sent      atomic.Int64 // bytes of downloads
	spoiler   atomic.Pointer[spoiler]
	// edit is asked for the answer to each reading of what is said of the file.
	edit func(map[string]any)
}

func newRig(t *testing.T, size int64) *rig {
	t.Helper()
	fake, err := googlefake.New(googlefake.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, fake: fake, size: size, timing: quick(), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	r.emulator = server.URL
	r.client, err = google.New(google.Config{
		Mode: google.ModeEmulator, EmulatorURL: server.URL, Timeout: 2 * time.Minute, CalendarID: "primary", Domains: []string{"example.com"},
	}, true, quota.None{}, prometheus.NewRegistry(), r.log)
	if err == nil {
		err = r.client.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.client.Stop(context.Background())
		server.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	space, err := r.client.CreateSpace(t.Context(), boss, job.Settings{AutoRecording: "ON"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fake.Conferences(googlefake.Script{Code: space.Code, FileSize: size, People: []googlefake.ScriptPerson{{Email: boss}}}); err != nil {
		t.Fatal(err)
	}
	if err := fake.Advance(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	state, err := fake.State()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range state.Files {
		r.file = f.ID
	}
	if r.file == "" {
		t.Fatal("there is no recording")
	}
	return r
}

func (r *rig) serve(w http.ResponseWriter, in *http.Request) {
	file := strings.HasPrefix(in.URL.Path, "/drive/v3/files/") && in.Method == http.MethodGet
	switch {
	case file && in.URL.Query().Get("alt") == "media":
		n := r.downloads.Add(1)
		w = &sentWriter{w, &r.sent}
		if spoil := r.spoiler.Load(); spoil != nil {
			w = (*spoil)(n, w)
		}
	case file && r.edit != nil:
		in.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		r.fake.ServeHTTP(answer, in)
		var said map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &said); err != nil {
			r.Error(err)
		}
		r.edit(said)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Code)
		_ = json.NewEncoder(w).Encode(said)
		return
	}
	r.fake.ServeHTTP(w, in)
}

type sentWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (s *sentWriter) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.sent.Add(int64(n))
	return n, err
}

func (s *sentWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// flip turns a bit of one byte of the body.
type flip struct {
	http.ResponseWriter
	at int64
}

func (f *flip) Write(p []byte) (int, error) {
	if f.at >= 0 && f.at < int64(len(p)) {
		p = bytes.Clone(p)
		p[f.at] ^= 1
	}
	f.at -= int64(len(p))
	return f.ResponseWriter.Write(p)
}

// gate stops the body after so many bytes: reached is closed then, and it goes on when open is.
type gate struct {
	http.ResponseWriter
	left          int64
	reached, open chan struct{}
	done          <-chan struct{}
}

func (g *gate) Write(p []byte) (int, error) {
	if g.left >= 0 {
		if g.left -= int64(len(p)); g.left < 0 {
			_ = http.NewResponseController(g.ResponseWriter).Flush()
			close(g.reached)
			select {
			case <-g.open:
			case <-g.done:
			}
		}
	}
	return g.ResponseWriter.Write(p)
}

func (g *gate) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// truth is the file as the owner sees it.
func (r *rig) truth() job.File {
	r.Helper()
	f, err := r.client.GetFile(r.Context(), boss, r.file)
	if err != nil {
		r.Fatal(err)
	}
	return f
}

func (r *rig) configure(change func(*googlefake.DataSetup)) {
	r.Helper()
	if err := r.fake.Configure(func(u *googlefake.Setup) error { change(&u.Data); return nil }); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) exports(s store) *job.Exports {
	r.Helper()
	storage, err := export.New(export.Config{URL: s.url()}, prometheus.NewRegistry(), r.log)
	if err != nil {
		r.Fatal(err)
	}
	return job.NewExports(r.client, storage, quota.None{}, time.Now, r.timing, r.log)
}

func (r *rig) want() job.Export { return job.Export{Account: boss, FileID: r.file, Key: key} }

// export runs the first step, which must succeed.
func (r *rig) export(e *job.Exports) job.Exported {
	r.Helper()
	out, ok := e.Export(r.Context(), r.want())
	if !ok || out.Failure != nil {
		r.Fatalf("%+v %t %v", out, ok, out.Failure)
	}
	return out
}

// store is a storage as a test looks at it from outside.
type store interface {
	url() string
	// get is the object, nil where there is none.
	get() []byte
	put([]byte)
	// begun counts what was begun and is still there.
	begun() int
}

// stores are one of each kind.
func stores(t *testing.T) map[string]func(*testing.T) store {
	t.Helper()
	return map[string]func(*testing.T) store{
		"s3":   func(t *testing.T) store { return newS3(t) },
		"file": func(t *testing.T) store { return &dir{t, t.TempDir()} },
	}
}

type dir struct {
	*testing.T
	path string
}

func (d *dir) url() string { return "file://" + d.path }

func (d *dir) get() []byte {
	d.Helper()
	b, err := os.ReadFile(filepath.Join(d.path, key))
	if err != nil && !os.IsNotExist(err) {
		d.Fatal(err)
	}
	return b
}

func (d *dir) put(b []byte) {
	d.Helper()
	if err := os.WriteFile(filepath.Join(d.path, key), b, 0o600); err != nil {
		d.Fatal(err)
	}
}

func (d *dir) begun() int {
	d.Helper()
	found, err := os.ReadDir(filepath.Join(d.path, ".parts"))
	if err != nil && !os.IsNotExist(err) {
		d.Fatal(err)
	}
	return len(found)
}

// fakeS3 is a server that speaks S3's protocol, in memory.
type fakeS3 struct {
	*testing.T
	endpoint string
	backend  *s3mem.Backend
}

func newS3(t *testing.T) *fakeS3 {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "very-secret-key")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return &fakeS3{t, server.URL, backend}
}

func (s *fakeS3) url() string { return "s3://" + bucket + "/copies?endpoint=" + s.endpoint }

func (s *fakeS3) get() []byte {
	s.Helper()
	o, err := s.backend.GetObject(bucket, "copies/"+key, nil)
	if gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
		return nil
	}
	if err != nil {
		s.Fatal(err)
	}
	defer o.Contents.Close()
	b, err := io.ReadAll(o.Contents)
	if err != nil {
		s.Fatal(err)
	}
	return b
}

func (s *fakeS3) put(b []byte) {
	s.Helper()
	if _, err := s.backend.PutObject(bucket, "copies/"+key, map[string]string{}, bytes.NewReader(b), int64(len(b)), nil); err != nil {
		s.Fatal(err)
	}
}

func (s *fakeS3) begun() int {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.endpoint+"/"+bucket+"?uploads", nil)
	if err != nil {
		s.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return bytes.Count(body, []byte("<UploadId>"))
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
