package stacktest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

func TestARepeatAfterAnOutageIsCarriedOut(t *testing.T) {
	t.Parallel()
	s := stacktest.Start(t, stacktest.Options{Throwaway: true, Env: []string{"MEET_COMMAND_TIMEOUT=1s"}})
	meetings := s.Meetings[0]
	if err := meetings.Kill(); err != nil {
		t.Fatal(err)
	}
	body := map[string]any{"organizer_email": "doctor@clinic.example", "invited_emails": []string{"p@mail.example"}, "external_reference": "late"}
	answer, err := s.NewClient().Once(t.Context(), http.MethodPost, "meetings/", "the-key", body)
	if err != nil || answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Fatalf("without meetings: %d %s %v, want 503 with Retry-After", answer.Status, answer.Body, err)
	}
	if err := meetings.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.AwaitRest(t.Context()); err != nil { // the late command was seen, and refused
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("the repeat was not carried out"))
	defer cancel()
	answer, err = s.NewClient().Do(ctx, http.MethodPost, "meetings/", "the-key", body)
	if err != nil || answer.Status != http.StatusCreated {
		t.Errorf("the repeat under the same key: %d %s %v, want 201", answer.Status, answer.Body, err)
	}
}
