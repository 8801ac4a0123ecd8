package doctor

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	oauthgoogle "golang.org/x/oauth2/google"
	"google.golang.org/api/option"
	"google.golang.org/api/pubsub/v1"

	"github.com/meet-middleware/meet-middleware/pkg/googlefake"
)

const (
	admin     = "meetings@clinic.example"
	organizer = "doctor@clinic.example"
	suspended = "gone@clinic.example"
	clientID  = "100000000000000000001"
	topic     = "projects/meet-emulator/topics/meet-notices"
	queue     = "projects/meet-emulator/subscriptions/meet-notices"
	account   = "emulator@meet-emulator.iam.gserviceaccount.com"
)

// rig is the emulator as a Workspace with an administrator, and a doctor that takes it for Google.
type rig struct {
	*googlefake.Server
	t       *testing.T
	url     string
	keyFile string
	target  Target
	secrets []string

	mu     sync.Mutex
	writes []string // requests that may change something, the token's apart
	ahead  time.Duration
	hung   chan struct{} // closed with the first patch
}

func newRig(t *testing.T) *rig {
	t.Helper()
	fake, err := googlefake.New(googlefake.Config{Strict: true, Users: []string{admin, organizer}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Server: fake, t: t, hung: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		server.Close()
		if err := fake.Close(); err != nil {
			t.Error(err)
		}
	})
	r.url = server.URL
	r.keyFile = r.write(string(fake.ServiceAccountKey(server.URL)))
	var key struct {
		PrivateKey string `json:"private_key"`
	}
	if err := json.Unmarshal(fake.ServiceAccountKey(server.URL), &key); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(key.PrivateKey, "\n") {
		if len(line) > 20 && !strings.HasPrefix(line, "-") {
			r.secrets = append(r.secrets, line)
		}
	}
	if len(r.secrets) < 10 {
		t.Fatal("the key's lines were not found")
	}
	r.secrets = append(r.secrets, "emulator.ey", "eyJ", "GOCSPX", "PRIVATE KEY", "Bearer") // access tokens, assertions
	r.target = Target{
		KeyFile: r.keyFile, Emulator: func() string { return server.URL },
		AdminEmail: admin, Domains: []string{"clinic.example"}, CalendarID: "primary", Topic: topic, Pull: queue,
	}
	r.pubsub(fake.ServiceAccountKey(server.URL))
	r.mu.Lock()
	r.writes = nil
	r.mu.Unlock()
	return r
}

// pubsub makes the topic and its subscription, and lets Meet publish.
func (r *rig) pubsub(key []byte) {
	r.t.Helper()
	account, err := oauthgoogle.JWTConfigFromJSON(key, pubsub.PubsubScope)
	if err != nil {
		r.t.Fatal(err)
	}
	service, err := pubsub.NewService(r.t.Context(), option.WithHTTPClient(account.Client(r.t.Context())), option.WithEndpoint(r.url))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := service.Projects.Topics.Create(topic, &pubsub.Topic{}).Do(); err != nil {
		r.t.Fatal(err)
	}
	if _, err := service.Projects.Subscriptions.Create(queue, &pubsub.Subscription{Topic: topic}).Do(); err != nil {
		r.t.Fatal(err)
	}
	r.control("pubsub", `{"topic":"`+topic+`","publisher":true}`)
}

func (r *rig) control(path, body string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+"/_emulator/"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s", path, resp.Status)
	}
}

// write keeps a text in a file of this test.
func (r *rig) write(text string) string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "key.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// serve is the emulator behind a clock that may be off and a list of what was asked.
func (r *rig) serve(w http.ResponseWriter, in *http.Request) {
	r.mu.Lock()
	asks := in.URL.Path == "/token" || strings.HasSuffix(in.URL.Path, ":testIamPermissions") || in.URL.Query().Get("validateOnly") == "true"
	if in.Method != http.MethodGet && !asks {
		r.writes = append(r.writes, in.Method+" "+in.URL.Path)
		if in.Method == http.MethodPatch {
			close(r.hung)
		}
	}
	ahead := r.ahead
	r.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	if in.Method == http.MethodGet && strings.HasSuffix(in.URL.Path, "/events") {
		r.list(w, in)
		return
	}
	r.ServeHTTP(w, in)
}

// list says in the list of a calendar what the administrator's role there is, as Google does.
func (r *rig) list(w http.ResponseWriter, in *http.Request) {
	recorder := httptest.NewRecorder()
	r.ServeHTTP(recorder, in)
	body := recorder.Body.Bytes()
	if role := r.Setup().Calendars[r.target.CalendarID][admin]; role != "" {
		body = regexp.MustCompile(`"accessRole":\s*"[a-z]+"`).ReplaceAll(body, []byte(`"accessRole":"`+role+`"`))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(body)
}

func (r *rig) setup(change func(*googlefake.Setup)) {
	r.t.Helper()
	if err := r.Configure(func(u *googlefake.Setup) error { change(u); return nil }); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) fault(faults ...googlefake.Fault) {
	r.t.Helper()
	if err := r.AddFaults(faults...); err != nil {
		r.t.Fatal(err)
	}
}

// visit runs the checks of Google. No secret may be in what it says.
func (r *rig) visit(o Options) Report {
	r.t.Helper()
	d, err := New(r.target.Simulated, GoogleChecks(r.target, NewTransport())...)
	if err != nil {
		r.t.Fatal(err)
	}
	report := d.Visit(r.t.Context(), o)
	r.noSecret(report.text())
	r.noSecret(report.json())
	return report
}

func (r *rig) noSecret(shown []byte) {
	r.t.Helper()
	for _, secret := range r.secrets {
		if bytes.Contains(shown, []byte(secret)) {
			r.t.Errorf("%q is shown in\n%s", secret, shown)
		}
	}
}

// live are the events that are there.
func (r *rig) live() (ids []string) {
	r.t.Helper()
	state, err := r.State()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range state.Events {
		if e.Status != "cancelled" {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func (r *rig) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.writes)
}

// plain takes out of a report what differs from run to run.
func (r *rig) plain(report []byte) []byte {
	text := strings.NewReplacer(r.url, "http://google", r.target.KeyFile, "/etc/meet/key.json").Replace(string(report))
	text = regexp.MustCompile(`"seconds": [0-9.]+`).ReplaceAllString(text, `"seconds": 0`)
	return []byte(regexp.MustCompile(`skipped in [0-9.]+ s`).ReplaceAllString(text, "skipped in 0 s"))
}

func find(report Report, check string) Result {
	for _, c := range report.Results {
		if c.Check == check {
			return c
		}
	}
	return Result{}
}

// named are the checks with one of the statuses.
func named(report Report, statuses ...Status) (names []string) {
	for _, c := range report.Results {
		if slices.Contains(statuses, c.Status) {
			names = append(names, c.Check)
		}
	}
	return names
}
