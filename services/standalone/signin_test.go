package standalone_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// do sends a request as a browser, and reads its answer.
func (g *guarded) do(browser *http.Client, method, path, media, body string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.HTTP+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	r.Header.Set("Accept-Language", "en")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := browser.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return resp, string(text)
}

const (
	asForm = "application/x-www-form-urlencoded"
	asJSON = "application/json"
)

func TestAPersonSignsInAndOutWithoutAScript(t *testing.T) {
	g := guard(t)
	browser := newBrowser(t)
	resp, page := g.do(browser, "GET", "/admin/", "", "")
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/login/" || !strings.Contains(page, `<form method="post" action="/login/">`) {
		t.Fatalf("%d %s %s", resp.StatusCode, resp.Request.URL, page)
	}
	form := func(name, password string) string {
		return url.Values{"username": {name}, "password": {password}, "next": {"//evil.example/"}}.Encode()
	}
	if resp, page = g.do(browser, "POST", "/login/", asForm, form("root", "wrong")); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(page, "Name and password do not belong together.") {
		t.Errorf("%d %s", resp.StatusCode, page)
	}
	if resp, _ = g.do(browser, "POST", "/login/", asForm, form("root", adminPassword), "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("signed in by a page of another site: %d", resp.StatusCode)
	}
	resp, page = g.do(browser, "POST", "/login/", asForm, form("root@clinic.example", adminPassword))
	if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/admin/" || !strings.Contains(page, "user:") {
		t.Fatalf("%d %s %s", resp.StatusCode, resp.Request.URL, page)
	}
	at, err := url.Parse(g.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	token := browser.Jar.Cookies(at)[0].Value
	if resp, body := g.do(browser, "GET", "/api/v1/auth/whoami/", "", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"role":"admin","credential":"session"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := g.do(browser, "POST", "/api/v1/api-keys/", asJSON, `{"name":"theirs"}`, "Sec-Fetch-Site", "same-site"); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "another site") {
		t.Errorf("a change that a page of another site sent: %d %s", resp.StatusCode, body)
	}
	if resp, body := g.do(browser, "POST", "/api/v1/api-keys/", asJSON, `{"name":"mine"}`, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusCreated || strings.Contains(body, token) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := g.do(browser, "POST", "/logout/", asForm, ""); resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/login/" {
		t.Errorf("%d %s", resp.StatusCode, resp.Request.URL)
	}
	if resp, body := g.do(newBrowser(t), "GET", "/api/v1/meetings/", "", "", "Cookie", "meet_session="+token); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session that was ended: %d %s", resp.StatusCode, body)
	}
	var log string
	if err := g.db.QueryRow(t.Context(), `SELECT string_agg(audit::text, '') || (SELECT string_agg(s::text, '') FROM console_sessions s) || (SELECT string_agg(c::text, '') FROM commands c) FROM audit`).Scan(&log); err == nil && strings.Contains(log, token) {
		t.Error("the session's token is kept")
	}
}

func TestASessionEndsWhenItIsNotUsedAndWhenItsUserIsDeactivated(t *testing.T) {
	g := guard(t)
	r := g.with("admin", "POST", "user-management/", `{"username":"dora","email":"dora@clinic.example","password":"Straße-42-blau","password_confirm":"Straße-42-blau","role":"service"}`)
	if r.status != http.StatusCreated {
		t.Fatal(r.body)
	}
	enter := func() *http.Client {
		browser := newBrowser(t)
		if resp, body := g.do(browser, "POST", "/api/v1/auth/login/", asJSON, `{"email":"dora@clinic.example","password":"Straße-42-blau"}`); resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		if resp, body := g.do(browser, "GET", "/api/v1/users/me/", "", ""); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"username":"dora"`) {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		return browser
	}
	refused := func(browser *http.Client, what string) {
		t.Helper()
		for begun := time.Now(); ; runtime.Gosched() {
			asked := time.Since(begun) // when it asks counts, not how long a busy machine takes to answer
			resp, body := g.do(browser, "GET", "/api/v1/meetings/", "", "")
			if resp.StatusCode == http.StatusUnauthorized {
				return
			}
			if asked > 2*time.Second {
				t.Fatalf("%s: %d %s", what, resp.StatusCode, body)
			}
		}
	}
	browser := enter()
	g.exec(`UPDATE console_sessions SET seen_at = seen_at - interval '31 minutes'`)
	refused(browser, "not used for half an hour")
	browser = enter()
	g.exec(`UPDATE console_sessions SET expires_at = now()`)
	refused(browser, "open for half a day")
	browser = enter()
	if r := g.with("admin", "DELETE", "user-management/"+g.field(r, "id")+"/", ""); r.status != http.StatusOK {
		t.Fatal(r.body)
	}
	refused(browser, "of a user who was deactivated")
	if resp, body := g.do(newBrowser(t), "POST", "/api/v1/auth/login/", asJSON, `{"username":"dora","password":"Straße-42-blau"}`); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestGuessingAPasswordIsThrottled(t *testing.T) {
	g := guard(t)
	tries := 0
	for range 15 {
		resp, body := g.do(newBrowser(t), "POST", "/api/v1/auth/login/", asJSON, `{"username":"ROOT","password":"a guess"}`)
		if resp.StatusCode == http.StatusTooManyRequests {
			if resp.Header.Get("Retry-After") == "" {
				t.Errorf("%v", resp.Header)
			}
			break
		}
		if tries++; resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if tries > 11 {
		t.Errorf("%d guesses", tries)
	}
	if resp, _ := g.do(newBrowser(t), "POST", "/api/v1/auth/login/", asJSON, `{"username":"root","password":"`+adminPassword+`"}`); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the right one tells that it is right: %d", resp.StatusCode)
	}
}

// terminal is what a program printed.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *terminal) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func TestTheFirstStartPrintsALinkThatMakesTheFirstAdmin(t *testing.T) {
	dir, out := t.TempDir(), &terminal{}
	settings, err := config.Load[standalone.Settings]([]string{
		"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "MEET_NATS_ADDR=127.0.0.1:0", "MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_DATA_DIR=" + dir, "LOG_LEVEL=error", "MEET_AUTH=keys",
	})
	if err != nil {
		t.Fatal(err)
	}
	settings.Stdout = out
	app := fxtest.New(t, standalone.Program(settings), fx.NopLogger, fx.StartTimeout(patience))
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	g := &guarded{product: product{t: t}, keys: map[string]string{}}
	raw, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &g.Addresses); err != nil {
		t.Fatal(err)
	}
	var link []string
	for begun := time.Now(); link == nil; runtime.Gosched() {
		if time.Since(begun) > patience {
			t.Fatalf("no link in %s", out)
		}
		link = regexp.MustCompile(`http://[^/]+(/first-admin/\?token=([A-Za-z0-9]+))`).FindStringSubmatch(out.String())
	}
	browser := newBrowser(t)
	if resp, page := g.do(browser, "GET", link[1], "", ""); resp.StatusCode != http.StatusOK || !strings.Contains(page, `value="`+link[2]+`"`) {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	form := func(password string) string {
		return url.Values{"token": {link[2]}, "username": {"root"}, "email": {"root@clinic.example"}, "password": {password}, "password_confirm": {password}}.Encode()
	}
	if resp, page := g.do(browser, "POST", "/first-admin/", asForm, form("12345678")); resp.StatusCode != http.StatusBadRequest || !strings.Contains(page, "Password: ") || strings.Contains(page, "12345678") {
		t.Errorf("a weak password: %d %s", resp.StatusCode, page)
	}
	if resp, page := g.do(browser, "POST", "/first-admin/", asForm, form(adminPassword)); resp.StatusCode != http.StatusCreated || strings.Contains(page, adminPassword) {
		t.Fatalf("%d %s", resp.StatusCode, page)
	}
	if resp, body := g.do(browser, "POST", "/api/v1/setup/first-admin/", asJSON, `{"token":"`+link[2]+`","username":"two","email":"two@clinic.example","password":"Straße-42-blau","password_confirm":"Straße-42-blau"}`); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the link works twice: %d %s", resp.StatusCode, body)
	}
	if resp, body := g.do(browser, "POST", "/api/v1/auth/login/", asJSON, `{"username":"root","password":"`+adminPassword+`"}`); resp.StatusCode != http.StatusOK || !strings.Contains(body, `"role":"admin"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
