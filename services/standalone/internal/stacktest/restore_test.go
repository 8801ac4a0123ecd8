package stacktest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

// drill is a stack that is backed up, goes on, is destroyed and comes back.
type drill struct {
	*stacktest.Stack

	client *stacktest.Client
	dump   string
	// kept are the meetings of the backup, lost those made after it, underWay one that Google had not made by then.
	kept, lost []*stacktest.Promise
	underWay   *stacktest.Promise
	// answered are answers to creates, by reference.
	answered map[string][]byte
	// meetings are the rows of the backup, by number.
	meetings map[int64]string
	// lastSeq is the highest number that anybody was told.
	lastSeq int64
}

// meetingRow is a meeting with all that it has, but for when Google last touched its event: the next reading tells that anyway.
type meetingRow struct {
	ID  int64
	Row string
}

func (d *drill) rows(t *testing.T) map[int64]string {
	t.Helper()
	rows, err := stacktest.Query(t.Context(), d.Stack, pgx.RowToStructByPos[meetingRow], "SELECT id, (to_jsonb(m) - 'event_updated' - 'google_event_etag')::text FROM meetings m")
	if err != nil {
		t.Fatal(err)
	}
	byID := make(map[int64]string, len(rows))
	for _, r := range rows {
		byID[r.ID] = r.Row
	}
	return byID
}

func only[T any](t *testing.T, s *stacktest.Stack, sql string, args ...any) T {
	t.Helper()
	rows, err := stacktest.Query(t.Context(), s, pgx.RowTo[T], sql, args...)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%s: %d rows, %v", sql, len(rows), err)
	}
	return rows[0]
}

func (d *drill) create(t *testing.T, reference string) *stacktest.Promise {
	t.Helper()
	p, answer, err := d.client.Create(t.Context(), reference, fmt.Sprintf("doctor%d@clinic.example", len(d.answered)%3), nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status != http.StatusCreated {
		t.Fatalf("create %s: %d %s", reference, answer.Status, answer.Body)
	}
	d.answered[reference] = answer.Body
	return p
}

// load makes meetings, changes and cancels some, leaves one under way at Google, and takes the backup.
func (d *drill) load(t *testing.T) {
	t.Helper()
	for n := range 9 {
		p := d.create(t, fmt.Sprintf("kept-%d", n))
		var err error
		switch n % 3 {
		case 1:
			err = d.client.Change(t.Context(), p, 1)
		case 2:
			err = d.client.Cancel(t.Context(), p)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.kept = append(d.kept, p)
	}
	d.Drain(t)
	if err := d.Faults(t.Context(), map[string]any{"match": "/", "status": 503}); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.underWay, err = d.client.Accept(t.Context(), "under-way", "doctor0@clinic.example"); err != nil {
		t.Fatal(err)
	}
	// The relay numbers and publishes what has happened; its row of it comes a moment later, and does not matter.
	switch err := d.Dump(t.Context(), d.dump); {
	case errors.Is(err, stacktest.ErrNoTool) && os.Getenv("CI") == "":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	d.meetings = d.rows(t)
	if err := d.Faults(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// goOn does what the backup knows nothing of.
func (d *drill) goOn(t *testing.T) {
	t.Helper()
	for n := range 4 {
		d.lost = append(d.lost, d.create(t, fmt.Sprintf("lost-%d", n)))
	}
	err := errors.Join(d.client.Change(t.Context(), d.kept[0], 2), d.client.Change(t.Context(), d.kept[1], 2), d.client.Cancel(t.Context(), d.kept[3]))
	if err != nil {
		t.Fatal(err)
	}
	d.Drain(t)
	d.lastSeq = only[int64](t, d.Stack, "SELECT max(seq) FROM events")
}

// after runs meetings after-restore, which must succeed.
func (d *drill) after(t *testing.T, args ...string) (said, printed string) {
	t.Helper()
	said, printed, err := d.AfterRestore(t.Context(), nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return said, printed
}

func TestWhatWasBackedUpComesBack(t *testing.T) {
	for name, natsSurvives := range map[string]bool{"NATS survives": true, "NATS is lost too": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			d := &drill{
				Stack: stacktest.Start(t, stacktest.Options{Throwaway: true, NATSPassword: "drill-"}),
				dump:  filepath.Join(t.TempDir(), "backup"), answered: map[string][]byte{},
			}
			d.client = d.NewClient()
			d.load(t)
			d.goOn(t)

			if _, _, err := d.AfterRestore(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "other programs are at work") {
				t.Errorf("while the services run it says %v", err)
			}
			if last := only[int64](t, d.Stack, "SELECT last_seq FROM relay"); last != d.lastSeq {
				t.Errorf("a run that was refused numbered on to %d", last)
			}
			destroyed := time.Now()
			d.destroy(t, natsSurvives)
			if err := d.Restore(t.Context(), d.dump); err != nil {
				t.Fatal(err)
			}
			d.putInOrder(t, natsSurvives)
			if err := d.StartServices(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("from the destruction until all serves: %s", time.Since(destroyed).Round(10*time.Millisecond))
			d.Drain(t)
			d.compare(t)
			t.Logf("the drill took %s", time.Since(began).Round(time.Second))
		})
	}
}

func (d *drill) destroy(t *testing.T, natsSurvives bool) {
	t.Helper()
	if err := d.StopServices(); err != nil {
		t.Fatal(err)
	}
	if natsSurvives {
		return
	}
	_, err := d.NATS.Stop()
	if err := errors.Join(err, d.LoseJetStream(), d.NATS.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (d *drill) putInOrder(t *testing.T, natsSurvives bool) {
	t.Helper()
	state := func() string {
		return only[string](t, d.Stack, "SELECT to_jsonb(r)::text || (SELECT count(*) FROM events) || (SELECT count(*) FROM audit) FROM relay r")
	}
	restored := state()
	if natsSurvives { // or nothing tells that it is forgotten
		d.forget(t)
		if state() != restored {
			t.Errorf("a start that was refused changed %s to %s", restored, state())
		}
	}
	said, _ := d.after(t, "--dry-run")
	if state() != restored {
		t.Errorf("a dry run changed %s to %s, and said %s", restored, state(), said)
	}
	said, printed := d.after(t, "--backup", "drill", "--taken-at", "2026-11-28T20:00:00Z", "--lost", "-")
	t.Logf("after-restore says:\n%s", said)
	lost := map[string]int{}
	for line := range strings.Lines(printed) {
		var e struct {
			Sequence      int64
			Type, Subject string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lost[e.Type]++
	}
	if got := lost["meeting.created"]; natsSurvives && got != len(d.lost) || !natsSurvives && len(lost) > 0 {
		t.Errorf("it tells of lost events %v", lost)
	}
	first := only[int64](t, d.Stack, "SELECT last_seq FROM relay")
	if first <= d.lastSeq {
		t.Errorf("it numbers on from %d, told was %d", first, d.lastSeq)
	}
	said, _ = d.after(t)
	if again := only[int64](t, d.Stack, "SELECT last_seq FROM relay"); again != first || !strings.Contains(said, "put in order before") {
		t.Errorf("run twice it numbers on from %d, not %d: %s", again, first, said)
	}
	if n := only[int64](t, d.Stack, "SELECT count(*) FROM audit WHERE action = 'database.restore' AND subject_kind = 'database'"); n != 1 {
		t.Errorf("%d audit entries of one restore", n)
	}
}

// forget starts meetings without after-restore, which must say so and end.
func (d *drill) forget(t *testing.T) {
	t.Helper()
	m := d.Meetings[0]
	if err := m.Start(t.Context()); err == nil {
		t.Error("meetings serves a database that gives numbers again")
	}
	if !slices.ContainsFunc(m.Lines(), func(line string) bool { return strings.Contains(line, "run after-restore") }) {
		t.Errorf("meetings says %q", m.Lines())
	}
}

func (d *drill) compare(t *testing.T) {
	t.Helper()
	// What the backup had is there as it was, but for what Google knows better: those that were changed after it.
	now := d.rows(t)
	better := []int64{d.kept[0].ID, d.kept[1].ID, d.kept[3].ID, d.underWay.ID}
	for id, row := range d.meetings {
		if !slices.Contains(better, id) && now[id] != row {
			t.Errorf("meeting %d was\n%s\nand is\n%s", id, row, now[id])
		}
	}
	if len(now) != len(d.meetings) {
		t.Errorf("meetings %v, backed up were %v", slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(d.meetings)))
	}
	// The job that was out runs again and finds what it did the first time: no event twice, which Verify looks at, too.
	d.VerifyRestored(t, append(slices.Clone(d.kept), d.underWay), d.lost)

	// What was asked for under a key before the backup is answered as it was.
	for n, p := range d.kept {
		again, answer, err := d.client.Create(t.Context(), p.Reference, fmt.Sprintf("doctor%d@clinic.example", n%3), nil)
		if err != nil || again.ID != p.ID || again.UID != p.UID {
			t.Errorf("a repeat of %s: %d %s, %v", p.Reference, answer.Status, answer.Body, err)
		}
	}
	// New meetings get numbers that none had, new events too.
	p := d.create(t, "afterwards")
	for _, l := range d.lost {
		if p.ID <= l.ID {
			t.Errorf("a new meeting has the number %d, a lost one had %d", p.ID, l.ID)
		}
	}
	d.Drain(t)
	d.VerifyRestored(t, append(slices.Clone(d.kept), d.underWay, p), d.lost)
	seqs, err := stacktest.Query(t.Context(), d.Stack, pgx.RowTo[int64], "SELECT seq FROM events WHERE occurred_at >= (SELECT occurred_at FROM events WHERE type = 'database.restored') ORDER BY seq")
	if err != nil || len(seqs) < 3 || seqs[0] <= d.lastSeq {
		t.Errorf("new events are numbered %v after %d, %v", seqs, d.lastSeq, err)
	}
	d.inOrder(t)
	d.audited(t)
}

// inOrder: MEET_EVENTS holds the log from its beginning, in the log's order.
func (d *drill) inOrder(t *testing.T) {
	t.Helper()
	_, js := d.JetStream(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, "MEET_EVENTS", jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	log := d.Log(t)
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for i, e := range log {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("event %d of %d: %v", i+1, len(log), err)
		}
		h := msg.Headers()
		if seq, err := strconv.ParseInt(h.Get("ce-sequence"), 10, 64); err != nil || seq != e.Seq || h.Get("ce-id") != e.ID {
			t.Fatalf("message %d is %s %s, the log has %+v there", i+1, h.Get("ce-sequence"), h.Get("ce-id"), e)
		}
	}
}

// audited: the chain of the audit log is whole.
func (d *drill) audited(t *testing.T) {
	t.Helper()
	answer, err := d.client.Do(t.Context(), http.MethodGet, "audit/verify/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Checked     int64
		Done        bool
		BadSequence *int64 `json:"bad_sequence"`
	}
	if err := answer.Into(&report); err != nil || !report.Done || report.BadSequence != nil || report.Checked == 0 {
		t.Errorf("the audit log: %s, %v", answer.Body, err)
	}
}
