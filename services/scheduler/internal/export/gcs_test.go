package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// fakeGCS is what the copies need of Google Cloud Storage: its JSON API with resumable uploads, and reading by path.
type fakeGCS struct {
	*testing.T
	mu       sync.Mutex
	objects  map[string][]byte
	sessions map[string][]byte
	uploads  int
}

func newGCS(t *testing.T) *fakeGCS {
	t.Helper()
	g := &fakeGCS{T: t, objects: make(map[string][]byte), sessions: make(map[string][]byte)}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(server.URL, "http://"))
	return g
}

func (g *fakeGCS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	path, _ := url.PathUnescape(r.URL.EscapedPath())
	name, ofObject := strings.CutPrefix(path, "/storage/v1/b/"+bucket+"/o/")
	switch {
	case strings.HasPrefix(path, "/upload/") && r.URL.Query().Get("uploadType") == "multipart":
		_, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		var meta struct{ Name string }
		if p, err := parts.NextPart(); err != nil || json.NewDecoder(p).Decode(&meta) != nil {
			g.Error("no metadata")
		}
		p, err := parts.NextPart()
		if err != nil {
			g.Error(err)
			return
		}
		content, _ := io.ReadAll(p)
		g.keep(w, meta.Name, content)
	case strings.HasPrefix(path, "/upload/") && r.Method == http.MethodPost:
		var meta struct{ Name string }
		if err := json.Unmarshal(body, &meta); err != nil {
			g.Error(err)
		}
		if meta.Name == "" {
			meta.Name = r.URL.Query().Get("name")
		}
		g.uploads++
		w.Header().Set("Location", fmt.Sprintf("http://%s/session/%d?name=%s", r.Host, g.uploads, url.QueryEscape(meta.Name)))
	case strings.HasPrefix(path, "/session/"):
		g.sessions[path] = append(g.sessions[path], body...)
		if total := r.Header.Get("Content-Range"); strings.HasSuffix(total, "/*") {
			w.Header().Set("X-Http-Status-Code-Override", "308")
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", len(g.sessions[path])-1))
			return
		}
		g.keep(w, r.URL.Query().Get("name"), g.sessions[path])
		delete(g.sessions, path)
	case ofObject && r.Method == http.MethodDelete:
		if _, ok := g.objects[name]; !ok {
			g.none(w)
			return
		}
		delete(g.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case path == "/storage/v1/b/"+bucket+"/o":
		_, _ = io.WriteString(w, `{"kind":"storage#objects"}`)
	case strings.HasPrefix(path, "/"+bucket+"/"):
		content, ok := g.objects[strings.TrimPrefix(path, "/"+bucket+"/")]
		if !ok {
			g.none(w)
			return
		}
		w.Header().Set("X-Goog-Generation", "1")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	default:
		g.none(w)
	}
}

func (g *fakeGCS) keep(w http.ResponseWriter, name string, content []byte) {
	g.objects[name] = content
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"name": name, "bucket": bucket, "size": strconv.Itoa(len(content)), "generation": "1"})
}

func (g *fakeGCS) none(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, `{"error":{"code":404,"message":"No such object","errors":[{"reason":"notFound"}]}}`)
}

func (g *fakeGCS) url() string { return "gs://" + bucket + "/copies" }

func (g *fakeGCS) get() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.objects["copies/"+key]
}

func (g *fakeGCS) put(b []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.objects["copies/"+key] = b
}

func (g *fakeGCS) begun() int { return 0 }

func TestACopyInGoogleCloudStorage(t *testing.T) {
	for name, size := range map[string]int64{"small": 1000, "several chunks": 2*part + 7} {
		t.Run(name, func(t *testing.T) {
			r, g := newRig(t, size), newGCS(t)
			e := r.exports(g)
			out := r.export(e)
			if out.URI != "gs://recordings/copies/"+key || sum(g.get()) != out.SHA256 || out.SHA256 != r.truth().SHA256 {
				t.Fatalf("%+v", out)
			}
			if again := r.export(e); again != out || r.downloads.Load() != 1 {
				t.Errorf("the second run: %+v", again)
			}
			w := r.want()
			w.SHA256, w.Size = out.SHA256, out.Size
			if checked, ok := e.Export(t.Context(), w); !ok || !checked.Verified {
				t.Errorf("%+v %v", checked, checked.Failure)
			}
			for range 2 {
				if failure, _, ok := e.Delete(t.Context(), w); failure != nil || !ok || g.get() != nil {
					t.Errorf("%v", failure)
				}
			}
			r.edit = func(f map[string]any) { f["sha256Checksum"] = strings.Repeat("0", 64) }
			if out, ok := e.Export(t.Context(), r.want()); !ok || !out.Mismatch || g.get() != nil {
				t.Errorf("%+v %v", out, out.Failure)
			}
			if result, _, _, ok := e.Verify(t.Context(), w); result != job.VerifiedGone || !ok {
				t.Errorf("%q", result)
			}
		})
	}
}
