package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
)

func line(t *testing.T, b *bytes.Buffer) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatalf("%q is not one JSON line: %v", b, err)
	}
	return got
}

func TestIdsComeFromTheContext(t *testing.T) {
	var b bytes.Buffer
	log := logging.New(&b, logging.Config{}).With("service", "meetings")
	ctx := logging.With(t.Context(), slog.String(logging.RequestID, "r1"), slog.String(logging.CommandID, "old"))
	ctx = logging.With(ctx, slog.String(logging.CommandID, "c1"))
	log.InfoContext(ctx, "applied", "took", 1500*time.Millisecond)

	got := line(t, &b)
	for key, want := range map[string]any{
		"msg": "applied", "level": "INFO", "service": "meetings", "request_id": "r1", "command_id": "c1", "took": "1.5s",
	} {
		if got[key] != want {
			t.Errorf("%s = %v, want %v", key, got[key], want)
		}
	}
	if n := strings.Count(b.String(), `"command_id"`); n != 1 {
		t.Errorf("command_id stands there %d times", n)
	}
	if logging.ID(ctx, logging.CommandID) != "c1" || logging.ID(context.Background(), logging.CommandID) != "" {
		t.Error("ID does not find what With stored")
	}
}

func TestAContextThatBranchesKeepsItsOwnIds(t *testing.T) {
	root := logging.With(t.Context(), slog.String("a", "1"))
	left := logging.With(root, slog.String("b", "left"))
	right := logging.With(root, slog.String("b", "right"))
	if logging.ID(left, "b") != "left" || logging.ID(right, "b") != "right" || logging.ID(root, "b") != "" {
		t.Error("branches share their attributes")
	}
}

func TestLinesBelowTheLevelAreNotWritten(t *testing.T) {
	settings, err := config.Load[logging.Config]([]string{"LOG_LEVEL=WARN"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	log := logging.New(&b, settings)
	log.Info("no")
	log.Warn("yes")
	if got := line(t, &b); got["msg"] != "yes" {
		t.Errorf("got %v", got)
	}
}

func TestDebugWritesText(t *testing.T) {
	var b bytes.Buffer
	logging.New(&b, logging.Config{Debug: true}).Info("hello", "password", config.Secret("hunter2"))
	if got := b.String(); !strings.Contains(got, "level=INFO msg=hello password=***") {
		t.Errorf("got %s", got)
	}
}

func TestModuleProvidesALoggerToTheGraph(t *testing.T) {
	var log *slog.Logger
	app := fxtest.New(t, logging.Module, fx.Supply(logging.Config{Level: slog.LevelError}), fx.Populate(&log))
	app.RequireStart().RequireStop()
	if log.Enabled(t.Context(), slog.LevelWarn) || !log.Enabled(t.Context(), slog.LevelError) {
		t.Error("the level of the configuration is not the logger's")
	}
}
