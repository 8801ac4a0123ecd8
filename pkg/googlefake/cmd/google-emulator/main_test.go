package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2/google"
)

// logSeen gives the first URL that is logged.
type logSeen struct {
	found chan string
	text  bytes.Buffer
}

func (l *logSeen) Write(p []byte) (int, error) {
	l.text.Write(p)
	if m := regexp.MustCompile(`url=(\S+)`).FindSubmatch(p); m != nil {
		l.found <- string(m[1])
	}
	return len(p), nil
}

// started runs the program on a free port and gives its address and how to stop it.
func started(t *testing.T, dir string) (url string, stop func()) {
	t.Helper()
	log := &logSeen{found: make(chan string, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, Config{Addr: "127.0.0.1:0", DataDir: dir}, slog.New(slog.NewTextHandler(log, nil)))
	}()
	select {
	case url = <-log.found:
	case err := <-ended:
		t.Fatalf("ended at once: %v", err)
	}
	return url, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("end: %v", err)
		}
	}
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read whole
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", url, res.Status, b, err)
	}
	return b
}

func TestTheProgramGivesTokensAndKeepsItsStateInTheDataFolder(t *testing.T) {
	dir := t.TempDir()
	url, stop := started(t, dir)
	key := get(t, url+"/_emulator/service-account.json")
	cfg, err := google.JWTConfigFromJSON(key, "https://www.googleapis.com/auth/calendar.events")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Subject = "boss@example.com"
	token, err := cfg.TokenSource(t.Context()).Token()
	if err != nil || !token.Valid() {
		t.Fatalf("token: %v", err)
	}
	stop()
	url, stop = started(t, dir)
	defer stop()
	var state struct{ Users []string }
	if err := json.Unmarshal(get(t, url+"/_emulator/state"), &state); err != nil || len(state.Users) != 1 {
		t.Errorf("after a restart: %+v, %v", state, err)
	}
}

func TestAnAddressInUseIsSaidWithItsVariable(t *testing.T) {
	url, stop := started(t, "")
	defer stop()
	err := run(t.Context(), Config{Addr: strings.TrimPrefix(url, "http://")}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "MEET_EMULATOR_ADDR") {
		t.Errorf("got %v", err)
	}
}
