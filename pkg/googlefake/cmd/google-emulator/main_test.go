package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/oauth2/google"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/option"
)

// TestMain lets the test binary be the program, so that it can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("MEET_EMULATOR_ADDR") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process runs the program as a process of its own, logging its address on the first line.
func process(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_DATA_DIR="+dir)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(log).ReadString('\n')
	m := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(line)
	if err != nil || m == nil {
		t.Fatalf("first line %q, %v", line, err)
	}
	return cmd, m[1]
}

func TestItsHealthIsAskedOfItself(t *testing.T) {
	_, url := process(t, t.TempDir())
	if err := healthcheck(t.Context(), url); err != nil {
		t.Error(err)
	}
	if err := healthcheck(t.Context(), url+"/nothing"); err == nil {
		t.Error("healthy although the address is wrong")
	}
}

func TestWhatWasAnsweredSurvivesKill9(t *testing.T) {
	const rounds, writers, killAfter = 3, 4, 40
	dir := t.TempDir()
	var answered []string
	for round := range rounds {
		cmd, url := process(t, dir)
		cfg, err := google.JWTConfigFromJSON(get(t, url+"/_emulator/service-account.json"), calendar.CalendarEventsScope)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Subject = "boss@example.com"
		svc, err := calendar.NewService(t.Context(), option.WithHTTPClient(cfg.Client(t.Context())), option.WithEndpoint(url+"/calendar/v3/"))
		if err != nil {
			t.Fatal(err)
		}
		made := make(chan string)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := 0; ; i++ {
					ev := &calendar.Event{
						Id: fmt.Sprintf("round%dof%dno%05d", round, w, i), Start: &calendar.EventDateTime{Date: "2026-12-01"}, End: &calendar.EventDateTime{Date: "2026-12-02"},
						ConferenceData: &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{RequestId: "r"}},
					}
					if _, err := svc.Events.Insert("primary", ev).ConferenceDataVersion(1).Do(); err != nil {
						return // killed
					}
					made <- ev.Id
				}
			})
		}
		go func() { wg.Wait(); close(made) }()
		for id := range made {
			if answered = append(answered, id); len(answered) == (round+1)*killAfter {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(answered) < (round+1)*killAfter {
			t.Fatalf("the writers gave up after %d inserts", len(answered))
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("it ended well, and should have been killed")
		}
	}
	cmd, url := process(t, dir)
	var state struct {
		Events []struct{ ID, HangoutLink string }
		Spaces []struct{ MeetingURI string }
	}
	if err := json.Unmarshal(get(t, url+"/_emulator/state"), &state); err != nil {
		t.Fatal(err)
	}
	links, spaces := make(map[string]string), make(map[string]bool)
	for _, sp := range state.Spaces {
		spaces[sp.MeetingURI] = true
	}
	for _, ev := range state.Events {
		if links[ev.ID] != "" {
			t.Errorf("%s is there twice", ev.ID)
		}
		if links[ev.ID] = ev.HangoutLink; !spaces[ev.HangoutLink] {
			t.Errorf("%s has no space", ev.ID)
		}
	}
	for _, id := range answered {
		if links[id] == "" {
			t.Errorf("%s was answered and is lost", id)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v, want a clean end", err)
	}
}

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
	defer res.Body.Close()
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
