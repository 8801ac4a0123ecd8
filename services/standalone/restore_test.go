package standalone_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

// created makes a meeting and returns its number.
func (p product) created() int64 {
	p.t.Helper()
	r := p.send(http.MethodPost, "meetings/", `{"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]}`)
	if r.status != http.StatusCreated {
		p.t.Fatalf("create: %d %s", r.status, r.body)
	}
	id, err := strconv.ParseInt(p.field(r, "id"), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// ask waits until a question of one row is answered with yes, and returns what else it tells.
func ask[T any](p product, sql string) (told T) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.Postgres)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // nothing is pending on it
	for yes := false; !yes; {
		if err := conn.QueryRow(ctx, sql).Scan(&yes, &told); err != nil {
			p.t.Fatal(err)
		}
	}
	return told
}

// lastSequence is the last number that an event was given, once all are published.
func (p product) lastSequence() int64 {
	p.t.Helper()
	return ask[int64](p, `SELECT published_seq = last_seq AND NOT EXISTS (SELECT FROM events WHERE seq IS NULL), last_seq FROM relay`)
}

func TestAfterADatabaseFolderWasBroughtBackNothingIsNumberedTwice(t *testing.T) {
	dir := t.TempDir()
	backup := filepath.Join(t.TempDir(), "backup")
	keep := func(from, to string) {
		t.Helper()
		if said, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil { // with owners, as a person would
			t.Fatalf("%v: %s", err, said)
		}
	}

	p, stop := start(t, dir)
	kept, database := p.created(), ask[string](p, `SELECT true, current_setting('data_directory')`)
	stop()
	keep(database, backup)
	p, stop = start(t, dir)
	lost, told := p.created(), p.lastSequence()
	stop()
	if err := os.RemoveAll(database); err != nil {
		t.Fatal(err)
	}
	keep(backup, database)

	environ := []string{
		"MEET_ADDR=127.0.0.1:0", "MEET_OPS_ADDR=127.0.0.1:0", "MEET_NATS_ADDR=127.0.0.1:0", "MEET_EMULATOR_ADDR=127.0.0.1:0", "MEET_DATA_DIR=" + dir, "LOG_LEVEL=error",
	}
	settings, err := config.Load[standalone.Settings](environ)
	if err != nil {
		t.Fatal(err)
	}
	settings.Stdout = io.Discard
	forgotten := fxtest.New(t, standalone.Program(settings), fx.NopLogger, fx.StartTimeout(patience))
	if err := forgotten.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "run after-restore") {
		t.Fatalf("without after-restore it starts: %v", err)
	}

	var said bytes.Buffer
	if status := standalone.LoadAfterRestore("meet-middleware", environ, &said, &said).Run(t.Context(), nil); status != 0 {
		t.Fatalf("after-restore ends with %d: %s", status, &said)
	}
	p, stop = start(t, dir)
	defer stop()
	if r := p.send(http.MethodGet, fmt.Sprintf("meetings/%d/", kept), ""); r.status != http.StatusOK {
		t.Errorf("the meeting of the backup: %d %s", r.status, r.body)
	}
	if r := p.send(http.MethodGet, fmt.Sprintf("meetings/%d/", lost), ""); r.status != http.StatusNotFound {
		t.Errorf("the one after it: %d %s", r.status, r.body)
	}
	if id := p.created(); id <= lost {
		t.Errorf("a new meeting is %d, a lost one was %d", id, lost)
	}
	if seq := p.lastSequence(); seq <= told {
		t.Errorf("events are numbered on to %d, told was %d", seq, told)
	}
}
