package export_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/export"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

const part = 5 << 20 // what S3 is sent at once

func TestACopyIsWrittenComparedReadBackAndMadeOnce(t *testing.T) {
	for kind, open := range stores(t) {
		for name, size := range map[string]int64{"small": 1, "one part": part, "parts and a byte": 2*part + 1} {
			t.Run(kind+" "+name, func(t *testing.T) {
				r, s := newRig(t, size), open(t)
				e := r.exports(s)
				truth := r.truth()
				out := r.export(e)
				if out.SHA256 != truth.SHA256 || out.Size != size || out.ComparedWith != "sha256" || out.Verified || sum(s.get()) != truth.SHA256 || s.begun() != 0 {
					t.Fatalf("%+v, %d begun", out, s.begun())
				}
				if !strings.HasSuffix(out.URI, key) || strings.Contains(out.URI, "endpoint") {
					t.Errorf("it is at %q", out.URI)
				}
				if again := r.export(e); again != out || r.downloads.Load() != 1 {
					t.Errorf("the second run: %+v, %d downloads", again, r.downloads.Load())
				}
				w := r.want()
				w.SHA256, w.Size = out.SHA256, out.Size
				if checked, ok := e.Export(t.Context(), w); !ok || !checked.Verified || checked.SHA256 != out.SHA256 || r.downloads.Load() != 1 {
					t.Errorf("read back: %+v %t", checked, ok)
				}
			})
		}
	}
}

func TestADownloadThatBreaksIsTakenUpWhereItBroke(t *testing.T) {
	const size = 5<<20 + 17
	for kind, open := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			r.configure(func(d *googlefake.DataSetup) { d.DriveCut = 1 << 20 })
			if out := r.export(r.exports(s)); sum(s.get()) != out.SHA256 || r.downloads.Load() != 6 || r.sent.Load() != size {
				t.Errorf("%+v, %d downloads, %d bytes", out, r.downloads.Load(), r.sent.Load())
			}
		})
		t.Run(kind+" without ranges", func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			r.configure(func(d *googlefake.DataSetup) { d.DriveIgnoreRange = true })
			r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
				if n == 1 {
					return &cut{w, 2 << 20}
				}
				return w
			})
			if out := r.export(r.exports(s)); sum(s.get()) != out.SHA256 || r.downloads.Load() != 2 {
				t.Errorf("%+v, %d downloads", out, r.downloads.Load())
			}
		})
		t.Run(kind+" for ever", func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			r.configure(func(d *googlefake.DataSetup) { d.DriveIgnoreRange, d.DriveCut = true, 1000 })
			out, ok := r.exports(s).Export(t.Context(), r.want())
			if !ok || out.Failure == nil || out.Failure.Permanent() || out.Failure.Code != job.CodeFileCut || out.RetryAt.Before(time.Now()) || s.get() != nil {
				t.Errorf("%+v %v", out, out.Failure)
			}
		})
	}
}

// cut breaks the connection off after some bytes.
type cut struct {
	http.ResponseWriter
	left int64
}

func (c *cut) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func TestADriveThatFallsSilentIsAskedAgain(t *testing.T) {
	r, s := newRig(t, 3<<20), &dir{t, t.TempDir()}
	r.timing.Stall = 50 * time.Millisecond
	r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
		if n == 1 {
			return &gate{w, 1 << 20, make(chan struct{}), nil, t.Context().Done()}
		}
		return w
	})
	if out := r.export(r.exports(s)); sum(s.get()) != out.SHA256 || r.downloads.Load() < 2 {
		t.Errorf("%+v, %d downloads", out, r.downloads.Load())
	}
}

func TestWhatACopyIsComparedWith(t *testing.T) {
	const size = 100_000
	for name, test := range map[string]struct {
		edit     func(map[string]any)
		want     string
		mismatch bool
	}{
		"the best":       {nil, "sha256", false},
		"md5":            {func(f map[string]any) { delete(f, "sha256Checksum") }, "md5", false},
		"a wrong md5":    {func(f map[string]any) { delete(f, "sha256Checksum"); f["md5Checksum"] = strings.Repeat("0", 32) }, "md5", true},
		"a wrong sha256": {func(f map[string]any) { f["sha256Checksum"] = strings.Repeat("0", 64) }, "sha256", true},
		"size":           {func(f map[string]any) { delete(f, "sha256Checksum"); delete(f, "md5Checksum") }, "size", false},
		"a wrong size":   {func(f map[string]any) { f["size"] = "99999" }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := newRig(t, size), &dir{t, t.TempDir()}
			r.edit = test.edit
			out, ok := r.exports(s).Export(t.Context(), r.want())
			if !ok || out.ComparedWith != test.want || out.Mismatch != test.mismatch || (out.Failure != nil) != test.mismatch || (s.get() == nil) != test.mismatch || s.begun() != 0 {
				t.Fatalf("%+v %t %v", out, ok, out.Failure)
			}
			if test.mismatch && (!out.Failure.Permanent() || out.Failure.Code != job.CodeExportMismatch || r.downloads.Load() != 2) {
				t.Errorf("%v, %d downloads", out.Failure, r.downloads.Load())
			}
		})
	}
}

func TestAFlippedByteIsFound(t *testing.T) {
	const size = 2*part + 5
	for kind, open := range stores(t) {
		for times, name := range map[int64]string{1: "once", 1000: "always"} {
			t.Run(kind+" on the way "+name, func(t *testing.T) {
				r, s := newRig(t, size), open(t)
				r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
					if n <= times {
						return &flip{w, part + 3}
					}
					return w
				})
				out, ok := r.exports(s).Export(t.Context(), r.want())
				if !ok || out.Mismatch != (times > 1) || (s.get() != nil) != (times == 1) || r.downloads.Load() != 2 || s.begun() != 0 {
					t.Errorf("%+v %v, %d downloads, %d begun", out, out.Failure, r.downloads.Load(), s.begun())
				}
			})
		}
		t.Run(kind+" where it is kept", func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			e := r.exports(s)
			out := r.export(e)
			w := r.want()
			w.SHA256, w.Size = out.SHA256, out.Size
			spoiled := bytes.Clone(s.get())
			spoiled[part+3] ^= 1
			s.put(spoiled)
			if result, _, _, _ := e.Verify(t.Context(), w); result != job.VerifiedMismatch {
				t.Errorf("verified: %q", result)
			}
			healed, ok := e.Export(t.Context(), w)
			if !ok || !healed.Verified || healed.Failure != nil || sum(s.get()) != out.SHA256 || r.downloads.Load() != 2 {
				t.Errorf("healed: %+v %v", healed, healed.Failure)
			}
			if result, failure, _, ok := e.Verify(t.Context(), w); result != job.VerifiedOK || failure != nil || !ok {
				t.Errorf("verified: %q %v", result, failure)
			}
			s.put(spoiled)
			r.lose(t, true)
			if lost, ok := e.Export(t.Context(), w); !ok || !lost.Mismatch || !lost.SourceGone || !lost.Failure.Permanent() {
				t.Errorf("without the source: %+v %v", lost, lost.Failure)
			}
			for range 2 {
				if failure, _, ok := e.Delete(t.Context(), w); failure != nil || !ok || s.get() != nil {
					t.Errorf("deleted: %v", failure)
				}
			}
			if result, _, _, ok := e.Verify(t.Context(), w); result != job.VerifiedGone || !ok {
				t.Errorf("verified: %q", result)
			}
		})
	}
}

// lose deletes the file in Drive, or puts it in the trash.
func (r *rig) lose(t *testing.T, deleted bool) {
	t.Helper()
	body := `{"id":"` + r.file + `","trashed":true}`
	if deleted {
		body = `{"id":"` + r.file + `","deleted":true}`
	}
	res, err := http.Post(r.emulator+"/_emulator/files", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatal(res.Status)
	}
}

func TestWhatDriveSaysOfTheFile(t *testing.T) {
	forbidden := http.StatusForbidden
	t.Run("deleted", func(t *testing.T) {
		r, s := newRig(t, 1000), &dir{t, t.TempDir()}
		r.lose(t, true)
		out, ok := r.exports(s).Export(t.Context(), r.want())
		if !ok || !out.SourceGone || out.Failure.Code != job.CodeFileGone || !out.Failure.Permanent() {
			t.Errorf("%+v %v", out, out.Failure)
		}
	})
	t.Run("deleted after the copy whose outcome was lost", func(t *testing.T) {
		r, s := newRig(t, 1000), &dir{t, t.TempDir()}
		e := r.exports(s)
		first := r.export(e)
		r.lose(t, true)
		if out := r.export(e); out.SHA256 != first.SHA256 || out.SourceGone {
			t.Errorf("%+v", out)
		}
	})
	t.Run("trashed", func(t *testing.T) {
		r, s := newRig(t, 1000), &dir{t, t.TempDir()}
		r.lose(t, false)
		if out := r.export(r.exports(s)); sum(s.get()) != out.SHA256 {
			t.Errorf("%+v", out)
		}
	})
	for reason, test := range map[string]struct {
		code      string
		permanent bool
		after     time.Duration
	}{
		"downloadQuotaExceeded": {"GOOGLE_DOWNLOAD_QUOTA", false, 3 * time.Hour},
		"cannotDownloadFile":    {"GOOGLE_FILE_DENIED", true, 0},
		"userRateLimitExceeded": {"GOOGLE_QUOTA", false, 0},
	} {
		t.Run(reason, func(t *testing.T) {
			r, s := newRig(t, 1000), &dir{t, t.TempDir()}
			r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
				if n == 1 { // from now on, so that it is not what is said of the file that is refused
					if err := r.fake.AddFaults(googlefake.Fault{Match: "GET /drive/v3/files/" + r.file, Status: &forbidden, Reason: reason}); err != nil {
						t.Error(err)
					}
				}
				return w
			})
			begin := time.Now()
			out, ok := r.exports(s).Export(t.Context(), r.want())
			if !ok || out.Failure == nil || out.Failure.Code != test.code || out.Failure.Permanent() != test.permanent || s.get() != nil {
				t.Fatalf("%+v %v", out, out.Failure)
			}
			if !test.permanent && out.RetryAt.Before(begin.Add(test.after)) {
				t.Errorf("again at %v", out.RetryAt)
			}
		})
	}
}

func TestPeopleAreLetReadTheFile(t *testing.T) {
	r, s := newRig(t, 1000), &dir{t, t.TempDir()}
	e := r.exports(s)
	emails := []string{"ana@example.com", "luis@example.net"}
	for range 2 {
		shared, failure, _, ok := e.Share(t.Context(), r.want(), emails)
		if len(shared) != 2 || failure != nil || !ok {
			t.Fatalf("%v %v", shared, failure)
		}
	}
	f, err := r.client.GetFile(t.Context(), "ana@example.com", r.file)
	if err != nil || f.State != job.FilePresent {
		t.Errorf("%+v %v", f, err)
	}
	shared, failure, _, ok := e.Share(t.Context(), r.want(), []string{"ana@example.com", "nobody"})
	if !ok || len(shared) != 1 || failure == nil || failure.Code != "GOOGLE_SHARE_REFUSED" || !failure.Permanent() {
		t.Errorf("%v %v", shared, failure)
	}
	r.lose(t, true)
	if _, failure, _, _ := e.Share(t.Context(), r.want(), emails); failure == nil || failure.Code != job.CodeFileGone {
		t.Errorf("%v", failure)
	}
}

func TestTheStopBreaksACopyOffAndTheNextOneGoesOn(t *testing.T) {
	const size = 4*part + 100
	for kind, open := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			g := &gate{left: 3*part + 1000, reached: make(chan struct{}), done: t.Context().Done()}
			r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
				if n > 1 {
					return w
				}
				g.ResponseWriter = w
				return g
			})
			e := r.exports(s)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan bool, 1)
			go func() {
				_, ok := e.Export(ctx, r.want())
				ended <- ok
			}()
			<-g.reached
			begin := time.Now()
			stop()
			if <-ended || time.Since(begin) > 5*time.Second {
				t.Fatalf("it went on, or ended only after %v", time.Since(begin))
			}
			if s.get() != nil || s.begun() != map[string]int{"s3": 0, "file": 1}[kind] {
				t.Errorf("%d begun", s.begun())
			}
			before := r.sent.Load()
			if out := r.export(e); sum(s.get()) != out.SHA256 || s.begun() != 0 {
				t.Errorf("%+v", out)
			}
			if more := r.sent.Load() - before; (more < size) != (kind == "file") {
				t.Errorf("%d of %d bytes were fetched again", more, size)
			}
		})
	}
}

// run starts a child on the store and gives what it says; kill ends it when so many bytes were sent.
func (r *rig) run(s store, kill int64) done {
	r.Helper()
	text, err := json.Marshal(order{r.emulator, s.url(), r.want()})
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.CommandContext(r.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, r.Output()
	g := &gate{left: kill, reached: make(chan struct{}), done: r.Context().Done()}
	first := r.downloads.Load() + 1
	if kill > 0 {
		r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
			if n > first {
				return w
			}
			g.ResponseWriter = w
			return g
		})
	}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	if kill > 0 {
		<-g.reached
		if err := cmd.Process.Kill(); err != nil {
			r.Fatal(err)
		}
		if err := cmd.Wait(); err == nil || !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			r.Fatalf("it was not killed: %v", err)
		}
		r.spoiler.Store(nil)
		return done{}
	}
	if err := cmd.Wait(); err != nil {
		r.Fatal(err)
	}
	var d done
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		r.Fatalf("%v: %s", err, out.Bytes())
	}
	return d
}

func TestAKilledCopyIsMadeByTheNextOneAndLeavesNothing(t *testing.T) {
	const size = 5*part + 100
	for kind, open := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			r, s := newRig(t, size), open(t)
			r.run(s, 4*part)
			if s.get() != nil || s.begun() != 1 {
				t.Fatalf("after the kill: %d begun", s.begun())
			}
			before := r.sent.Load()
			out := r.run(s, 0).Out
			if out.Failure != nil || sum(s.get()) != out.SHA256 || out.SHA256 != r.truth().SHA256 || s.begun() != 0 {
				t.Errorf("%+v, %d begun", out, s.begun())
			}
			if more := r.sent.Load() - before; kind == "file" && more > size-part { // the rest was on its way
				t.Errorf("%d of %d bytes were fetched again", more, size)
			}
		})
	}
}

func TestAPartThatACrashSpoiledIsFound(t *testing.T) {
	const size = 5*part + 100
	r, s := newRig(t, size), &dir{t, t.TempDir()}
	r.run(s, 4*part)
	parts, err := filepath.Glob(filepath.Join(s.path, ".parts", "*"))
	if err != nil || len(parts) != 1 {
		t.Fatal(parts, err)
	}
	f, err := os.OpenFile(parts[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), part); err != nil { // a page that the disk never got
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out := r.export(r.exports(s)); sum(s.get()) != out.SHA256 || s.begun() != 0 {
		t.Errorf("%+v", out)
	}
}

func TestAFileOfTwoGigabytesPassesThroughLittleMemory(t *testing.T) {
	if os.Getenv("MEET_TEST_LARGE") == "" {
		t.Skip("needs MEET_TEST_LARGE=1, 6 GB of memory, 2 GB of disk and a minute")
	}
	for kind, open := range stores(t) {
		t.Run(kind, func(t *testing.T) {
			r, s := newRig(t, 2<<30), open(t)
			truth := r.truth() // its checksums cost the emulator a while
			d := r.run(s, 0)
			t.Logf("%s: %.1f s, %.0f MB/s, memory grew by %.1f MB", kind, d.Seconds, float64(r.size)/d.Seconds/1e6, float64(d.PeakKB)/1024)
			if d.Out.Failure != nil || d.Out.SHA256 != truth.SHA256 || d.PeakKB > 32<<10 {
				t.Errorf("%+v", d)
			}
			w := r.want()
			w.SHA256, w.Size = d.Out.SHA256, d.Out.Size
			begin := time.Now()
			if out, ok := r.exports(s).Export(t.Context(), w); !ok || !out.Verified {
				t.Errorf("%+v", out)
			}
			t.Logf("%s: read back in %.1f s", kind, time.Since(begin).Seconds())
			r.spoiler.Store(nil)
			if failure, _, _ := r.exports(s).Delete(t.Context(), w); failure != nil {
				t.Error(failure)
			}
			r.run(s, 1<<30)
			before := r.sent.Load()
			d = r.run(s, 0)
			t.Logf("%s: after a kill in the middle %.1f s, %.2f GB fetched, memory grew by %.1f MB", kind, d.Seconds, float64(r.sent.Load()-before)/1e9, float64(d.PeakKB)/1024)
			if d.Out.Failure != nil || d.Out.SHA256 != truth.SHA256 || s.begun() != 0 {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestAFullDiskHealsOnceThereIsRoom(t *testing.T) {
	mount := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("needs the right to mount a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	fill := func(name string, n int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(mount, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const size = 16 << 20
	r, s := newRig(t, size), &dir{t, mount}
	e := r.exports(s)
	full := func(out job.Exported, ok bool, downloads int64) {
		t.Helper()
		if !ok || out.Failure == nil || out.Failure.Code != job.CodeStorageFull || out.Failure.Permanent() || !out.RetryAt.After(time.Now()) || s.begun() != 0 || r.downloads.Load() != downloads {
			t.Fatalf("%+v %v, %d begun, %d downloads", out, out.Failure, s.begun(), r.downloads.Load())
		}
	}
	fill("before", 12<<20)
	out, ok := e.Export(t.Context(), r.want())
	full(out, ok, 0) // said before anything is fetched
	if err := os.Remove(filepath.Join(mount, "before")); err != nil {
		t.Fatal(err)
	}
	r.spoil(func(n int64, w http.ResponseWriter) http.ResponseWriter {
		if n == 1 {
			g := &gate{w, size / 2, make(chan struct{}), make(chan struct{}), t.Context().Done()}
			go func() {
				<-g.reached
				fill("meanwhile", 14<<20)
				close(g.open)
			}()
			return g
		}
		return w
	})
	out, ok = e.Export(t.Context(), r.want())
	full(out, ok, 1)
	if err := os.Remove(filepath.Join(mount, "meanwhile")); err != nil {
		t.Fatal(err)
	}
	if out := r.export(e); sum(s.get()) != out.SHA256 {
		t.Errorf("%+v", out)
	}
}

func TestAStorageThatCantBeUsedIsDegradedAndSaysNoSecret(t *testing.T) {
	s3 := newS3(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	gone := t.TempDir()
	for name, url := range map[string]string{
		"no such bucket": strings.Replace(s3.url(), bucket, "elsewhere", 1),
		"nobody answers": "s3://recordings?endpoint=http://127.0.0.1:1",
		"no such folder": "file://" + gone,
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
			r := newRig(t, 1000)
			storage, err := export.New(export.Config{URL: url}, prometheus.NewRegistry(), r.log)
			if err != nil {
				t.Fatal(err)
			}
			first := storage.Check(t.Context())
			if second := storage.Check(t.Context()); first == nil || second != first { //nolint:errorlint // the same one is said without asking
				t.Errorf("%v, then %v", first, second)
			}
			out, ok := job.NewExports(r.client, storage, noQuota{}, time.Now, r.timing, r.log).Export(t.Context(), r.want())
			if !ok || out.Failure == nil || out.Failure.Permanent() || strings.Contains(out.Failure.Error()+first.Error(), "very-secret-key") {
				t.Errorf("%+v %v", out, out.Failure)
			}
		})
	}
	storage, err := export.New(export.Config{URL: s3.url()}, prometheus.NewRegistry(), newRig(t, 1).log)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

type noQuota struct{}

func (noQuota) Reserve(ctx context.Context, _ job.Demand) (context.Context, func(), error) {
	return ctx, func() {}, nil
}

func TestWithoutAStorageTheJobWaits(t *testing.T) {
	r := newRig(t, 1000)
	storage, err := export.New(export.Config{}, prometheus.NewRegistry(), r.log)
	if err != nil {
		t.Fatal(err)
	}
	out, ok := job.NewExports(r.client, storage, noQuota{}, time.Now, r.timing, r.log).Export(t.Context(), r.want())
	if !ok || out.Failure == nil || out.Failure.Code != job.CodeExportOff || out.Failure.Permanent() || storage.Check(t.Context()) != nil {
		t.Errorf("%+v %v", out, out.Failure)
	}
}

func TestKeysThatLeaveTheirPlaceAreRefused(t *testing.T) {
	r, s := newRig(t, 1000), &dir{t, t.TempDir()}
	for _, bad := range []string{"", ".", "/a", "../a", "a/../../b", "a//b", "a/", ".parts/x", "a\x00b", `a\b`, strings.Repeat("x", 300)} {
		w := r.want()
		w.Key = bad
		if out, ok := r.exports(s).Export(t.Context(), w); !ok || out.Failure == nil || out.Failure.Code != "EXPORT_KEY_INVALID" || !out.Failure.Permanent() {
			t.Errorf("%q: %+v", bad, out)
		}
	}
}
