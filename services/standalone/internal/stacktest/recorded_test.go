//go:build kill

package stacktest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

const (
	exportVariable = "MEET_EXPORT_URL="
	bucket         = "recordings"
	// recordingSize takes several parts of an upload.
	recordingSize = 14 << 20
	// crowd is more people than one command holds.
	crowd = 900
)

// settings are what a stack needs besides, for acts in which time passes at Google.
func settings(t *testing.T, acts []act) []string {
	t.Helper()
	recordings := func(a act) bool { return slices.Contains([]act{recorded, uploaded, crowded, damaged, shared}, a) }
	if !slices.ContainsFunc(acts, recordings) {
		return nil
	}
	env := []string{
		"MEET_CLOCK=emulator", "MEET_TIME_ZONE=UTC", "MEET_DRIFT_EVERY=24h", "GOOGLE_PUBSUB_TOPIC=projects/meet-emulator/topics/meet",
		"GOOGLE_PUBSUB_SUBSCRIPTION=projects/meet-emulator/subscriptions/meet", "GOOGLE_WORKSPACE_DOMAINS=clinic.example", "GOOGLE_WORKSPACE_ADMIN_EMAIL=admin@clinic.example",
	}
	if !slices.Contains(acts, uploaded) {
		return append(env, exportVariable+"file://"+t.TempDir())
	}
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	return append(env, exportVariable+"s3://"+bucket+"?endpoint="+server.URL, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true")
}

// duringRecording crashes the victim once in the life of a meeting that is held and recorded, which must end with a copy that was
// checked all the same.
func (c crash) duringRecording(ctx context.Context, a act, reference string) (*stacktest.Promise, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("two minutes are over"))
	defer cancel()
	// The meetings of these tests lie ahead; those of one stack follow each other.
	p, _, err := c.client.Create(ctx, reference, doctor, nil)
	if err != nil {
		return nil, err
	}
	if err := c.stack.AwaitRest(ctx); err != nil {
		return p, err
	}
	now, err := c.now(ctx)
	if err != nil {
		return p, err
	}
	if p.Start.Before(now) { // the second of a stack
		if err := c.client.Change(ctx, p, 1+int(now.Sub(p.Start)/(24*time.Hour))); err != nil {
			return p, err
		}
	}
	if err := errors.Join(c.jump(ctx, p.Start.Add(-5*time.Minute)), c.hold(ctx, p, a)); err != nil {
		return p, err
	}
	if err := c.awaitSubscription(ctx); err != nil { // else it may be made only when all is over
		return p, err
	}
	place := c.name
	if a == damaged {
		// The first step is over, its acknowledgement at the server, and the check yet to come. An earlier crash may lose the
		// acknowledgement: then the first step comes again and mends the copy before the check.
		place = "scheduler.export_took_job:2"
	}
	var life chan error
	passing, stop := context.WithCancel(ctx)
	defer stop()
	if a == shared {
		if err := c.pass(ctx, p); err != nil {
			return p, err
		}
	}
	if err := c.arm(ctx, place); err != nil {
		return p, err
	}
	if a == shared {
		if err := c.share(ctx, p); err != nil {
			return p, err
		}
	} else {
		life = make(chan error, 1)
		go func() { life <- c.pass(passing, p) }()
	}
	if err := c.crashed(ctx, life); err != nil {
		return p, err
	}
	if a == damaged {
		if err := c.damage(ctx, p); err != nil {
			return p, err
		}
		if err := c.victim.Start(ctx, failpoint.Variable+"="+c.name); err != nil {
			return p, err
		}
		if err := c.crashed(ctx, life); err != nil {
			return p, err
		}
	}
	if err := c.victim.Start(ctx); err != nil {
		return p, err
	}
	if a == shared {
		return p, c.awaitShared(ctx, p)
	}
	if err := <-life; err != nil {
		return p, err
	}
	return p, c.verifyCopy(ctx, p)
}

// awaitSubscription returns once notices are subscribed to. Nothing tells of that, so it is looked for.
func (c crash) awaitSubscription(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var state struct{ Subscriptions []struct{ Name string } }
		if err := c.stack.Control(ctx, http.MethodGet, "state?only=subscriptions", nil, &state); err != nil {
			return err
		}
		if len(state.Subscriptions) > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("nobody subscribes to notices: %w", context.Cause(ctx))
		}
	}
}

// arm starts the victim so that it crashes at a place.
func (c crash) arm(ctx context.Context, place string) error {
	if err := c.victim.Kill(); err != nil {
		return err
	}
	return c.victim.Start(ctx, failpoint.Variable+"="+place)
}

// crashed returns once the victim has; that over ends before is an error, nil where it may.
func (c crash) crashed(ctx context.Context, over <-chan error) error {
	select {
	case <-c.victim.Exited():
		return c.victim.Crashed()
	case err := <-over:
		return errors.Join(fmt.Errorf("%s did not crash, and all is over", c.victim.Name), err)
	case <-ctx.Done():
		return fmt.Errorf("%s did not crash: %w", c.victim.Name, context.Cause(ctx))
	}
}

func (c crash) now(ctx context.Context) (time.Time, error) {
	var clock struct{ Now time.Time }
	return clock.Now, c.stack.Control(ctx, http.MethodGet, "clock", nil, &clock)
}

func (c crash) jump(ctx context.Context, to time.Time) error {
	return c.stack.Control(ctx, http.MethodPost, "clock", map[string]any{"set": to}, nil)
}

// hold lets people come and be recorded.
func (c crash) hold(ctx context.Context, p *stacktest.Promise, a act) error {
	space, err := one(stacktest.Query(ctx, c.stack, pgx.RowTo[string], "SELECT space FROM meetings WHERE id = $1", p.ID))
	if err != nil {
		return err
	}
	people := []map[string]any{{"email": doctor, "leaves": "20m"}, {"name": "Guest", "joins": "1m", "leaves": "15m"}}
	for i := range crowd {
		if a == crowded {
			people = append(people, map[string]any{"name": "Guest with a name that is rather long, number " + strconv.Itoa(i), "joins": "2m", "leaves": "15m"})
		}
	}
	return c.stack.Control(ctx, http.MethodPost, "conference", map[string]any{
		"space": space, "starts": p.Start, "file_after": "1m", "file_size": recordingSize, "people": people,
	}, nil)
}

// pass lets the time pass until the copy of the meeting's recording was checked, and then the night.
func (c crash) pass(ctx context.Context, p *stacktest.Promise) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	state := ""
	for step := "1m"; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the recording is %q: %w", state, context.Cause(ctx))
		}
		if err := c.stack.Control(ctx, http.MethodPost, "clock", map[string]any{"advance": step}, nil); err != nil {
			return err
		}
		var err error
		if state, err = one(stacktest.Query(ctx, c.stack, pgx.RowTo[string], "SELECT recording_state FROM meetings WHERE id = $1", p.ID)); err != nil {
			return err
		}
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		switch {
		case state != "verified":
		case c.name != "scheduler.housekeeping_answered", now.After(p.Start.Add(24 * time.Hour)):
			return nil
		default:
			step = "10m"
		}
	}
}

// copyOf is the folder's file of the meeting's recording, once the product says where it is: a scheduler that has acknowledged its job
// may be ahead of the outcome. Nothing tells of that here, so it is looked for.
func (c crash) copyOf(ctx context.Context, p *stacktest.Promise) (path string, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		uri, err := one(stacktest.Query(ctx, c.stack, pgx.RowTo[string], "SELECT export_uri FROM recordings WHERE meeting_id = $1", p.ID))
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(uri, "file://"); ok {
			return url.PathUnescape(rest)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", fmt.Errorf("the copy is at %q: %w", uri, context.Cause(ctx))
		}
	}
}

// damage flips a byte of the copy.
func (c crash) damage(ctx context.Context, p *stacktest.Promise) error {
	path, err := c.copyOf(ctx, p)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text[len(text)/2] ^= 1
	return os.WriteFile(path, text, 0o600)
}

// verifyCopy: there is one recording, and its copy in the folder is what the product says that it is.
func (c crash) verifyCopy(ctx context.Context, p *stacktest.Promise) error {
	type copied struct {
		State, SHA256, URI string
		Size               int64
	}
	row, err := one(stacktest.Query(ctx, c.stack, pgx.RowToStructByPos[copied], "SELECT export_state, sha256, export_uri, size_bytes FROM recordings WHERE meeting_id = $1", p.ID))
	if err != nil {
		return err
	}
	if row.State != "verified" || row.Size != recordingSize {
		return fmt.Errorf("the copy is %s with %d bytes", row.State, row.Size)
	}
	if strings.HasPrefix(row.URI, "s3:") {
		return nil // the product has read it back
	}
	path, err := c.copyOf(ctx, p)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != row.SHA256 || len(bytes.TrimRight(text, "\x00")) == 0 {
		return fmt.Errorf("the file is not what the product says that it has copied")
	}
	return nil
}

func (c crash) share(ctx context.Context, p *stacktest.Promise) error {
	id, err := one(stacktest.Query(ctx, c.stack, pgx.RowTo[int64], "SELECT id FROM recordings WHERE meeting_id = $1", p.ID))
	if err != nil {
		return err
	}
	answer, err := c.client.Do(ctx, http.MethodPost, "recordings/"+strconv.FormatInt(id, 10)+"/share/", "share-"+p.Reference, map[string]any{"emails": auditors()})
	if err == nil && answer.Status != http.StatusAccepted {
		err = fmt.Errorf("share: %d %s", answer.Status, answer.Body)
	}
	return err
}

func auditors() []string { return []string{"auditor@clinic.example", "notary@clinic.example"} }

// awaitShared returns once both are said to have been let in. Nothing tells of that here, so it is looked for.
func (c crash) awaitShared(ctx context.Context, p *stacktest.Promise) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		with, err := one(stacktest.Query(ctx, c.stack, pgx.RowTo[[]string], "SELECT shared_with FROM recordings WHERE meeting_id = $1", p.ID))
		if err != nil {
			return err
		}
		if slices.Equal(slices.Sorted(slices.Values(with)), auditors()) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("shared with %v: %w", with, context.Cause(ctx))
		}
	}
}

// one is the only row of a query.
func one[T any](rows []T, err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	if len(rows) != 1 {
		return none, fmt.Errorf("%d rows, want one", len(rows))
	}
	return rows[0], nil
}
