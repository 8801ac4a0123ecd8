package stacktest_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// disguises are the forms in which a secret may turn up.
func disguises(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), hex.EncodeToString([]byte(secret))}
	quoted, _ := json.Marshal(secret) // of a text: it can't fail
	forms = append(forms, strings.Trim(string(quoted), `"`))
	for offset := range 3 { // base64 depends on where in a group of three it begins
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString([]byte(strings.Repeat("x", offset) + secret))
			// The groups that it shares with what stands before and after it differ.
			forms = append(forms, text[(offset+2)/3*4:len(text)/4*4-4])
		}
	}
	return forms
}

// found are the places where the secret is.
func found(traces map[string]string, secret string) []string {
	var places []string
	for place, text := range traces {
		for _, form := range disguises(secret) {
			if at := strings.Index(text, form); at >= 0 {
				places = append(places, fmt.Sprintf("%s: …%s…", place, text[max(0, at-60):min(len(text), at+len(form)+20)]))
				break
			}
		}
	}
	return places
}

func TestNoSecretIsLeftAnywhere(t *testing.T) {
	t.Parallel()
	const (
		natsPassword = "nats+Hush/Quartz&71%-"
		adminWord    = "Adm1n+Vellum/Ocelot&83%"
		nurseWord    = "Nurs3+Basalt/Heron&59%"
		newWord      = "Chang3+Tundra/Ibis&47%"
		wrongWord    = "Wr0ng+Fathom/Lynx&31%"
		secretKey    = "Key+Obsidian/Marmot&29%-of-some-length"
		awsSecret    = "Aws+Lagoon/Stoat&13%"
		garbageKey   = "mm_live_Zz9ZzZz9_gArBaGeOfNoUse0123456789abcdefghijkl"
	)
	s := stacktest.Start(t, stacktest.Options{
		Throwaway: true, NATSPassword: natsPassword,
		Env: []string{
			"MEET_AUTH=keys", "LOG_LEVEL=debug", "SECRET_KEY=" + secretKey,
			"MEET_ADMIN_USERNAME=root", "MEET_ADMIN_EMAIL=root@clinic.example", "MEET_ADMIN_PASSWORD=" + adminWord,
			"MEET_EXPORT_URL=s3://recordings/x?region=eu-west-1&endpoint=http://127.0.0.1:1", "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=" + awsSecret,
		},
	})
	secrets := map[string]string{
		"NATS's password": natsPassword, "the admin's password": adminWord, "a user's password": nurseWord, "a changed password": newWord, "a wrong password": wrongWord,
		"SECRET_KEY": secretKey, "the storage's secret": awsSecret, "a wrong key": garbageKey,
	}
	database, err := url.Parse(s.DatabaseURL())
	if err != nil {
		t.Fatal(err)
	}
	if word, ok := database.User.Password(); ok {
		secrets["Postgres's password"] = word
	}
	traces := map[string]string{}
	request := func(method, path, credential string, body any) (int, http.Header, map[string]any) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/api/v1/"+path, strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "the-trace-of-a-request")
		if strings.HasPrefix(credential, "mm_") {
			r.Header.Set("Authorization", "Bearer "+credential)
		} else if credential != "" {
			r.Header.Set("Cookie", credential)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		_ = json.Unmarshal(got, &object) // a list is none
		if shown, _ := object["secret"].(string); shown == "" {
			traces[fmt.Sprintf("answer %d to %s %s", len(traces), method, path)] = string(got)
		}
		return answer.StatusCode, answer.Header, object
	}
	want := func(status int, got int, what string, object map[string]any) {
		t.Helper()
		if got != status {
			t.Fatalf("%s: %d %v, want %d", what, got, object, status)
		}
	}

	// Google's key, as the scheduler fetches it.
	answer, err := http.Get(s.EmulatorURL() + "/_emulator/service-account.json")
	if err != nil {
		t.Fatal(err)
	}
	var account struct {
		Key string `json:"private_key"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&account); err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	lines := strings.Split(account.Key, "\n")
	if len(lines) < 5 {
		t.Fatalf("no key in %d lines", len(lines))
	}
	secrets["Google's key"] = lines[3]

	status, header, object := request("POST", "auth/login/", "", map[string]any{"username": "root", "password": adminWord})
	want(http.StatusOK, status, "sign in", object)
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	_, session, ok := strings.Cut(cookie, "=")
	if !ok || len(session) < 20 {
		t.Fatalf("cookie of %d characters", len(session))
	}
	secrets["the session"] = session
	status, _, object = request("POST", "api-keys/", cookie, map[string]any{"name": "backend", "role": "admin"})
	want(http.StatusCreated, status, "make a key", object)
	key, _ := object["secret"].(string)
	secrets["the key"] = key[strings.LastIndexByte(key, '_')+1:] // what stands before it is its name
	status, _, object = request("POST", "meetings/", key, map[string]any{
		"organizer_email": "doctor@clinic.example", "invited_emails": []string{"patient@mail.example"}, "external_reference": "the-trace-of-a-meeting",
	})
	want(http.StatusCreated, status, "make a meeting", object)
	meeting := fmt.Sprint(object["id"])
	status, _, object = request("POST", "user-management/", key, map[string]any{
		"username": "nurse", "email": "nurse@clinic.example", "password": nurseWord, "password_confirm": nurseWord, "role": "service",
	})
	want(http.StatusCreated, status, "make a user", object)
	user := fmt.Sprint(object["id"])
	status, _, object = request("POST", "user-management/"+user+"/change_password/", key, map[string]any{"old_password": nurseWord, "new_password": newWord, "new_password_confirm": newWord})
	want(http.StatusOK, status, "change a password", object)

	// What is refused.
	status, _, object = request("POST", "auth/login/", "", map[string]any{"username": "root", "password": wrongWord})
	want(http.StatusUnauthorized, status, "sign in with a wrong password", object)
	status, _, object = request("GET", "meetings/", garbageKey, nil)
	want(http.StatusUnauthorized, status, "show a wrong key", object)
	_, _, _ = request("POST", "user-management/"+user+"/change_password/", key, map[string]any{"old_password": wrongWord, "new_password": newWord, "new_password_confirm": wrongWord})
	_, _, _ = request("POST", "user-management/", key, map[string]any{"username": []string{nurseWord}, "password": map[string]string{"x": nurseWord}})
	_, _, _ = request("POST", "meetings/", key, map[string]any{"organizer_email": "x", "invited_emails": []string{"y"}})
	_, _, _ = request("GET", "setup/", key, nil)
	_, _, _ = request("GET", "info/", key, nil)
	_, _, _ = request("PATCH", "meetings/"+meeting+"/", key, map[string]any{"status": "SCHEDULED"})
	if err := s.Publish("meet.cmd.meeting.create", `{"no":"command"}`); err != nil { // a dead letter
		t.Fatal(err)
	}
	if err := s.AwaitRest(t.Context()); err != nil {
		t.Fatal(err)
	}
	// NATS goes away, so that connections are made anew, and refused for a while.
	if err := s.NATS.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = request("GET", "health/", "", nil)
	if err := s.NATS.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C { // as a client does, until the connections are there again
		if status, _, object = request("DELETE", "meetings/"+meeting+"/", key, nil); status != http.StatusServiceUnavailable {
			break
		}
	}
	want(http.StatusOK, status, "cancel the meeting", object)
	if err := s.AwaitRest(t.Context()); err != nil {
		t.Fatal(err)
	}

	left, err := s.Traces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range left {
		traces[place] = text
	}
	for name, secret := range secrets {
		if len(secret) < 12 {
			t.Errorf("%s is too short to look for: %d characters", name, len(secret))
		}
		for _, place := range found(traces, secret) {
			t.Errorf("%s is in %s", name, place)
		}
	}
	if strings.Contains(traces["log of gateway-1"], "There is no admin yet") {
		t.Error("a link for the first admin was offered while the settings make one")
	}
	// The search finds what is there.
	for what, where := range map[string]string{
		"the-trace-of-a-meeting": "table meetings", "the-trace-of-a-request": "log of gateway-1", "meeting.created": "stream MEET_EVENTS", "go_goroutines": "/metrics of scheduler-1",
	} {
		if !strings.Contains(traces[where], what) {
			t.Errorf("%s holds no %s: the search looks past it", where, what)
		}
	}
	for place, text := range traces {
		if strings.HasPrefix(place, "log of ") {
			for _, address := range []string{"doctor@clinic.example", "patient@mail.example", "nurse@clinic.example", "patient%40mail.example"} {
				if strings.Contains(text, address) {
					t.Errorf("%s shows %s", place, address)
				}
			}
		}
	}
	if refused := strings.Count(traces["log of nats"], "Violation"); refused > 0 {
		t.Errorf("NATS refused %d operations:\n%s", refused, traces["log of nats"])
	}
}

func TestASecretIsFoundInEveryDisguise(t *testing.T) {
	const secret = "Adm1n+Vellum/Ocelot&83%"
	for _, text := range []string{
		"password=" + secret, "https://x/?p=" + url.QueryEscape(secret), `{"p":"Adm1n+Vellum/Ocelot\u002683%"}`, hex.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("u:" + secret)), base64.StdEncoding.EncodeToString([]byte("usr:" + secret + "!")), base64.URLEncoding.EncodeToString([]byte("root:" + secret)),
	} {
		if len(found(map[string]string{"here": text}, secret)) == 0 {
			t.Errorf("not found in %q", text)
		}
	}
}
