package postgres_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

const day = 24 * time.Hour

// keeps sets what the operator of these tests wants; change is nil or changes it.
func (i *instance) keeps(tb testing.TB, change func(*app.KeepingConfig)) {
	tb.Helper()
	c := app.KeepingConfig{
		ExportURL: "file:///copies", TimeZone: "America/Bogota", KeepRecordings: config.Span(100 * day),
		SyncCron: "0 2 * * *", ReportCron: "0 6 * * *", RetentionCron: "30 3 * * *",
	}
	if change != nil {
		change(&c)
	}
	keep, err := c.Keeping()
	if err != nil {
		tb.Fatal(err)
	}
	i.Keep(keep)
}

// sent marks the newest job of a kind as sent, as the relay does, and returns it with its payload.
func (i *instance) sent(tb testing.TB, kind string) (job uuid.UUID, dispatch int64, payload map[string]any) {
	tb.Helper()
	i.exec(tb, `UPDATE jobs SET state = 'out', dispatch = dispatch + 1, dispatched_at = $2 WHERE id = (SELECT id FROM jobs WHERE kind = $1 AND state = 'due' ORDER BY created_at DESC, id DESC LIMIT 1)`, kind, i.clock.Now())
	row := `FROM jobs WHERE kind = $1 AND state = 'out' ORDER BY dispatched_at DESC, id DESC LIMIT 1`
	if err := json.Unmarshal([]byte(ask[string](tb, i, `SELECT payload::text `+row, kind)), &payload); err != nil {
		tb.Fatal(err)
	}
	return ask[uuid.UUID](tb, i, `SELECT id `+row, kind), ask[int64](tb, i, `SELECT dispatch `+row, kind), payload
}

func outcomeOf(kind string, do app.UseCase) *app.Command {
	c := command(kind, do)
	c.Outcome = true
	return c
}

// copied carries out the outcome of the export that is due.
func (i *instance) copied(tb testing.TB, o export.Outcome) *app.Command {
	tb.Helper()
	job, dispatch, payload := i.sent(tb, export.KindExport)
	o.Dispatch = dispatch
	var recording int64
	if _, err := fmt.Sscan(payload["recordingId"].(string), &recording); err != nil {
		tb.Fatal(err)
	}
	c := outcomeOf("recording.exported", &app.RecordingExported{Job: job, Recording: recording, Outcome: o})
	i.accept(tb, c)
	return c
}

// ran carries out the housekeeping job that is due until it is over, and returns its result.
func (i *instance) ran(tb testing.TB, kind string) map[string]any {
	tb.Helper()
	job, dispatch, _ := i.sent(tb, kind)
	for more := true; more; dispatch++ {
		i.accept(tb, outcomeOf("housekeeping.run", &app.RunHousekeeping{Job: job, Dispatch: dispatch}))
		more = ask[bool](tb, i, `SELECT result ? 'running_since' FROM jobs WHERE id = $1`, job)
		if more {
			i.exec(tb, `UPDATE jobs SET state = 'out', dispatch = dispatch + 1, dispatched_at = $2 WHERE id = $1 AND state = 'due' AND due_at <= $2`, job, i.clock.Now())
		}
	}
	var result map[string]any
	if err := json.Unmarshal([]byte(ask[string](tb, i, `SELECT result::text FROM jobs WHERE id = $1`, job)), &result); err != nil {
		tb.Fatal(err)
	}
	return result
}

func (i *instance) recordingState(tb testing.TB, m meeting.ID) string {
	tb.Helper()
	return ask[string](tb, i, `SELECT recording_state || CASE WHEN recording_reason = '' THEN '' ELSE ' ' || recording_reason END FROM meetings WHERE id = $1`, int64(m))
}

// held is a meeting that was held and recorded, with its file in Drive.
func (i *instance) held(tb testing.TB, space string) meeting.ID {
	tb.Helper()
	m := i.toRecord(tb, space)
	i.clock.Advance(2 * time.Hour)
	i.observe(tb, m, happened(space, space))
	return m
}

var streamed = export.Outcome{URI: "file:///copies/k", SHA256: "cafe", SizeBytes: 1000, ComparedWith: "sha256"}

func checked() export.Outcome {
	o := streamed
	o.Verified = true
	return o
}

func TestARecordingIsCopiedThenCheckedAndItsMeetingFollows(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	m := i.held(t, "s")
	if got := i.recordingState(t, m); got != "file_generated" {
		t.Fatalf("before the copy it is %s", got)
	}
	key := ask[string](t, i, `SELECT object_key FROM recordings WHERE export_state = 'pending'`)
	if want := "2026/11/24/" + ask[string](t, i, `SELECT uid::text FROM meetings`) + "/1.mp4"; key != want {
		t.Errorf("the key is %s, want %s", key, want)
	}
	i.observe(t, m, happened("s", "s")) // whatever is seen again asks for no second copy
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'export_recording'`); n != 1 {
		t.Fatalf("%d exports", n)
	}
	_, _, payload := i.sent(t, export.KindExport)
	i.exec(t, `UPDATE jobs SET state = 'due' WHERE kind = 'export_recording'`)
	for name, want := range map[string]any{"recordingId": "1", "meetingId": "1", "account": clinic, "driveFileId": "file-s", "objectKey": key} {
		if payload[name] != want {
			t.Errorf("payload %s is %v, want %v", name, payload[name], want)
		}
	}
	if file, _ := payload["file"].(map[string]any); file["sizeBytes"] != "1000" || file["sha256"] != "ab" || file["state"] != "present" {
		t.Errorf("the check has read what Drive says of the file, and the export is told %v", file)
	}
	version := ask[int64](t, i, `SELECT version FROM meetings`)
	first := i.copied(t, streamed)
	if got := i.recordingState(t, m); got != "exported" {
		t.Fatalf("copied, it is %s", got)
	}
	second := i.copied(t, checked())
	if got := i.recordingState(t, m); got != "verified" {
		t.Fatalf("checked, it is %s", got)
	}
	if payload := ask[string](t, i, `SELECT payload->>'sha256' || ' ' || (payload->>'sizeBytes') || ' ' || state FROM jobs WHERE kind = 'export_recording'`); payload != "cafe 1000 done" {
		t.Errorf("the row has %s", payload)
	}
	if row := ask[string](t, i, `SELECT concat_ws(' ', export_state, export_uri, sha256, size_bytes, compared_with, verified_at = $1, delete_after = $1::timestamptz + interval '100 days') FROM recordings`, i.clock.Now()); row != "verified file:///copies/k cafe 1000 sha256 t t" {
		t.Errorf("the recording has %s", row)
	}
	if after := ask[int64](t, i, `SELECT version FROM meetings`); after != version+2 {
		t.Errorf("the version rose from %d to %d", version, after)
	}
	before := i.types(t, m)
	for _, c := range []*app.Command{first, second} { // delivered again
		i.accept(t, outcomeOf("recording.exported", c.Do))
	}
	if after := i.types(t, m); !slices.Equal(after, before) || !slices.Contains(after, "recording.exported") || !slices.Contains(after, "recording.verified") {
		t.Errorf("facts %v, before the doubles %v", after, before)
	}
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`); state != "done" {
		t.Errorf("the check is %s", state)
	}
}

func TestWithoutAPlaceForCopiesNoneIsWanted(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, func(c *app.KeepingConfig) { c.ExportURL = "" })
	m := i.held(t, "s")
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE class = 'export'`); n != 0 || i.recordingState(t, m) != "file_generated" {
		t.Errorf("%d jobs, %s", n, i.recordingState(t, m))
	}
}

func TestACopyThatFailsIsToldAndHealsAtNight(t *testing.T) {
	refused := func(permanent bool, retry time.Time) *meeting.OutcomeFailure {
		return &meeting.OutcomeFailure{Permanent: permanent, Code: "STORAGE_FULL", Message: "no space left", RetryAt: retry}
	}
	for _, c := range []struct {
		name    string
		outcome func(now time.Time) export.Outcome
		state   string // of the meeting
		row     string // of the job
		fact    string
		heals   bool
	}{
		{"for now", func(now time.Time) export.Outcome {
			return export.Outcome{Failure: refused(false, now.Add(time.Minute))}
		}, "file_generated", "due 1 STORAGE_FULL", "", true},
		{"for good", func(time.Time) export.Outcome { return export.Outcome{Failure: refused(true, time.Time{})} }, "missing EXPORT_FAILED", "failed 1 STORAGE_FULL", "recording.missing", true},
		{"the file is gone", func(time.Time) export.Outcome { return export.Outcome{SourceGone: true} }, "missing FILE_DELETED", "failed 0 FILE_DELETED", "recording.missing", false},
		{"other bytes", func(time.Time) export.Outcome { return export.Outcome{Mismatch: true} }, "missing EXPORT_MISMATCH", "failed 0 EXPORT_MISMATCH", "recording.mismatch", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := newInstance(t)
			i.keeps(t, nil)
			m := i.held(t, "s")
			i.copied(t, c.outcome(i.clock.Now()))
			if got := i.recordingState(t, m); got != c.state {
				t.Errorf("the meeting is %s, want %s", got, c.state)
			}
			if got := ask[string](t, i, `SELECT j.state || ' ' || j.failed_attempts || ' ' || r.failure_code FROM jobs j, recordings r WHERE j.kind = 'export_recording'`); got != c.row {
				t.Errorf("the job is %s, want %s", got, c.row)
			}
			if c.fact != "" && !slices.Contains(i.types(t, m), c.fact) {
				t.Errorf("facts %v, want %s", i.types(t, m), c.fact)
			}
			if err := i.PlanPeriodic(t.Context()); err != nil {
				t.Fatal(err)
			}
			i.clock.Advance(day)
			i.ran(t, app.KindSyncAll)
			due := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'export_recording' AND state = 'due'`) == 1
			if due != c.heals {
				t.Fatalf("at night it is due: %v", due)
			}
			if !c.heals {
				return
			}
			if asks := ask[bool](t, i, `SELECT NOT payload ? 'file' FROM jobs WHERE kind = 'export_recording'`); asks != (c.state != "file_generated") {
				t.Errorf("renewed, Drive is asked about the file anew: %v", asks)
			}
			i.copied(t, checked())
			if got := i.recordingState(t, m); got != "verified" {
				t.Errorf("healed, the meeting is %s", got)
			}
		})
	}
}

func TestACopyThatKeepsFailingIsGivenUpAfterThreeDays(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	m := i.held(t, "s")
	for range 6 {
		i.copied(t, export.Outcome{Failure: &meeting.OutcomeFailure{Code: "STORAGE_FULL", RetryAt: i.clock.Now().Add(12 * time.Hour)}})
		if got := i.recordingState(t, m); got != "file_generated" {
			t.Fatalf("it is %s already", got)
		}
		i.clock.Advance(12 * time.Hour)
	}
	i.copied(t, export.Outcome{Failure: &meeting.OutcomeFailure{Code: "STORAGE_FULL", RetryAt: i.clock.Now()}})
	if got := i.recordingState(t, m); got != "missing EXPORT_FAILED" {
		t.Errorf("after three days it is %s", got)
	}
}

func TestACopyCanBeVerifiedAgainAndTellsWhatIsWrong(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	m := i.held(t, "s")
	early := command("recording.verify", &app.VerifyRecording{Recording: 1})
	if i.process(t, early); early.Refusal == nil || early.Refusal.Reason != app.ReasonNotExported {
		t.Fatalf("without a copy: %v", early.Refusal)
	}
	i.copied(t, checked())
	verify := func(result string) {
		t.Helper()
		i.clock.Advance(time.Minute)
		i.accept(t, command("recording.verify", &app.VerifyRecording{Recording: 1}))
		job, dispatch, payload := i.sent(t, export.KindVerify)
		if payload["sha256"] != "cafe" || payload["objectKey"] == "" || payload["sizeBytes"] != "1000" {
			t.Errorf("payload %v", payload)
		}
		i.accept(t, outcomeOf("recording.verified", &app.ExportVerified{Job: job, Dispatch: dispatch, Recording: 1, Result: result}))
	}
	for _, step := range []struct{ result, meeting, copied string }{
		{export.CheckOK, "verified", "verified"},
		{export.CheckMismatch, "missing EXPORT_MISMATCH", "mismatch"},
		{export.CheckOK, "verified", "verified"},
		{export.CheckGone, "missing EXPORT_MISMATCH", "gone"},
	} {
		verify(step.result)
		if got, state := i.recordingState(t, m), ask[string](t, i, `SELECT export_state FROM recordings`); got != step.meeting || state != step.copied {
			t.Fatalf("after %s: %s, %s", step.result, got, state)
		}
	}
	none := command("recording.verify", &app.VerifyRecording{Recording: 99})
	if i.process(t, none); none.Refusal == nil || none.Refusal.Kind != fault.NotFound {
		t.Errorf("an unknown recording: %v", none.Refusal)
	}
}

func TestAFileIsSharedWithPeopleOnce(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	m := i.held(t, "s")
	for _, emails := range [][]string{nil, {"nobody"}} {
		c := command("recording.share", &app.ShareRecording{Recording: 1, Emails: emails})
		if i.process(t, c); c.Refusal == nil || c.Refusal.Kind != fault.Invalid {
			t.Errorf("%v: %v", emails, c.Refusal)
		}
	}
	for range 2 {
		i.accept(t, command("recording.share", &app.ShareRecording{Recording: 1, Emails: []string{"auditor@x.example"}}))
		job, dispatch, payload := i.sent(t, export.KindShare)
		if payload["account"] != clinic || payload["driveFileId"] != "file-s" {
			t.Errorf("payload %v", payload)
		}
		i.accept(t, outcomeOf("recording.shared", &app.RecordingShared{Job: job, Dispatch: dispatch, Recording: 1, Emails: []string{"auditor@x.example"}}))
	}
	shared := 0
	for _, kind := range i.types(t, m) {
		if kind == "recording.shared" {
			shared++
		}
	}
	if got := ask[[]string](t, i, `SELECT shared_with FROM recordings`); !slices.Equal(got, []string{"auditor@x.example"}) || shared != 1 {
		t.Errorf("shared with %v, told %d times", got, shared)
	}
	if body := ask[string](t, i, `SELECT string_agg(body, ' ') FROM events`); strings.Contains(body, "auditor") {
		t.Errorf("an event names a person: %s", body)
	}
}

func TestRetentionDeletesWhatIsOldUnlessItIsOnLegalHold(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, func(c *app.KeepingConfig) {
		c.KeepAttendance, c.KeepTranscripts = config.Span(50*day), config.Span(60*day)
	})
	m := i.held(t, "s")
	i.copied(t, checked())
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts := func() string {
		return ask[string](t, i, `SELECT concat_ws(' ', (SELECT count(*) FROM attendees), (SELECT count(*) FROM attendee_sessions), (SELECT count(*) FROM transcripts), (SELECT count(*) FROM transcript_entries),
			(SELECT count(*) FROM participants WHERE joined_at IS NOT NULL), (SELECT export_state FROM recordings))`)
	}
	whole := counts()
	i.clock.Advance(49 * day)
	if i.ran(t, app.KindRetention); counts() != whole {
		t.Fatalf("too early: %s, before %s", counts(), whole)
	}
	hold := func(on bool, reason string) *app.Command {
		return command("meeting.hold", &app.SetLegalHold{Ref: meeting.Ref{ID: m}, Hold: on, Reason: reason})
	}
	unexplained := hold(true, "")
	if i.process(t, unexplained); unexplained.Refusal == nil || unexplained.Refusal.Kind != fault.Invalid {
		t.Errorf("a hold without a reason: %v", unexplained.Refusal)
	}
	i.accept(t, hold(true, "case 7"))
	i.accept(t, hold(true, "case 7")) // the same again states nothing new
	i.clock.Advance(100 * day)
	if i.ran(t, app.KindRetention); counts() != whole || ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'delete_export'`) != 0 {
		t.Fatalf("on hold: %s, before %s", counts(), whole)
	}
	i.accept(t, hold(false, ""))
	i.clock.Advance(day)
	result := i.ran(t, app.KindRetention)
	if got := counts(); got != "0 0 0 0 0 verified" || result["recordings"] != 1.0 || result["attendees"] != 2.0 || result["transcripts"] != 1.0 {
		t.Fatalf("%s, %v", got, result)
	}
	// A hold that comes while the deletion waits withdraws it; the next round plans it again.
	i.accept(t, hold(true, "case 8"))
	if got := ask[string](t, i, `SELECT state || ' ' || (result->>'result') FROM jobs WHERE kind = 'delete_export'`); got != "done legal_hold" {
		t.Errorf("the deletion is %s", got)
	}
	i.accept(t, hold(false, ""))
	i.clock.Advance(day)
	i.ran(t, app.KindRetention)
	job, dispatch, _ := i.sent(t, export.KindDelete)
	i.accept(t, outcomeOf("recording.export_deleted", &app.ExportDeleted{Job: job, Dispatch: dispatch, Recording: 1}))
	i.clock.Advance(day)
	i.ran(t, app.KindRetention)
	if got := ask[string](t, i, `SELECT export_state || ' ' || (deleted_at IS NOT NULL) || ' ' || (SELECT count(*) FROM jobs WHERE kind = 'delete_export' AND state <> 'done') FROM recordings`); got != "deleted true 0" {
		t.Errorf("the copy is %s", got)
	}
	if got := i.recordingState(t, m); got != "verified" {
		t.Errorf("the meeting is %s", got)
	}
	facts := column[string](t, i, `SELECT type FROM events WHERE type ~ 'retention|deleted|legal_hold' ORDER BY pos`)
	want := []string{
		"meeting.legal_hold_changed", "meeting.legal_hold_changed", "retention.applied", "meeting.legal_hold_changed", "meeting.legal_hold_changed", "retention.applied", "recording.deleted",
	}
	if !slices.Equal(facts, want) {
		t.Errorf("facts %v", facts)
	}
}

// planned are the due times of the periodic jobs in Bogotá.
func (i *instance) planned(tb testing.TB) string {
	tb.Helper()
	return strings.Join(column[string](tb, i, `SELECT kind || ' ' || state || ' ' || to_char(due_at AT TIME ZONE 'America/Bogota', 'DD HH24:MI') FROM jobs WHERE class = 'housekeeping' AND key <> '' ORDER BY kind`), ", ")
}

func TestPeriodicJobsAreRowsThatAreMadeOnceAndMadeUpOnce(t *testing.T) {
	i := newInstance(t) // 07:00 in Bogotá on the 24th
	i.keeps(t, nil)
	others := []*instance{i}
	for range 3 {
		other := i.another(t)
		other.keeps(t, nil)
		others = append(others, other)
	}
	var all sync.WaitGroup
	for _, instance := range others {
		all.Go(func() {
			if err := instance.PlanPeriodic(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := i.planned(t); got != "report due 25 06:00, retention due 25 03:30, sync_all due 25 02:00" {
		t.Fatalf("planned %s", got)
	}
	i.clock.Advance(3 * day) // nothing ran
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := i.planned(t); !strings.Contains(got, "sync_all due 25 02:00") {
		t.Fatalf("what was missed is gone: %s", got)
	}
	i.ran(t, app.KindSyncAll)
	i.ran(t, app.KindReport)
	if got := i.planned(t); got != "report due 28 06:00, retention due 25 03:30, sync_all due 28 02:00" {
		t.Fatalf("made up, planned %s", got)
	}
	i.keeps(t, func(c *app.KeepingConfig) { c.SyncCron, c.ReportCron = "15 4 * * *", "off" })
	for range 2 {
		if err := i.PlanPeriodic(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := i.planned(t); got != "report done 28 06:00, retention due 25 03:30, sync_all due 28 04:15" {
		t.Fatalf("with other lines, planned %s", got)
	}
	i.keeps(t, nil)
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := i.planned(t); got != "report due 28 06:00, retention due 25 03:30, sync_all due 28 02:00" {
		t.Fatalf("with the old lines, planned %s", got)
	}
	job, dispatch, _ := i.sent(t, app.KindRetention)
	stale := outcomeOf("housekeeping.run", &app.RunHousekeeping{Job: job, Dispatch: dispatch - 1})
	i.accept(t, stale)
	if got := ask[string](t, i, `SELECT state FROM jobs WHERE id = $1`, job); got != "out" {
		t.Errorf("an older dispatch made it %s", got)
	}
}

func TestEachDayIsReportedExactlyOnce(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	i.fill(t, 40)
	// From the 24th on, four a day: expected, verified, missing, and one that is not to be recorded; the last without a time.
	i.exec(t, `UPDATE meetings SET recording_state = (ARRAY['expected', 'verified', 'missing', 'not_expected'])[1 + id % 4],
		recording_reason = CASE WHEN id % 4 = 2 THEN 'NOT_HELD' ELSE '' END, scheduled_start = $1::timestamptz + (id - 1) / 4 * interval '1 day'`, today)
	i.exec(t, `UPDATE meetings SET created_at = scheduled_start - interval '1 hour', scheduled_start = NULL WHERE id % 4 = 2`)
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.clock.Set(today.Add(day))
	i.ran(t, app.KindReport)
	i.ran(t, app.KindReport) // an hour later by another line, say
	i.clock.Advance(3 * day) // three days on which nothing ran
	i.ran(t, app.KindReport)
	reports := column[string](t, i, `SELECT body FROM events WHERE type = 'recording.report' ORDER BY pos`)
	if len(reports) != 4 {
		t.Fatalf("%d reports: %v", len(reports), reports)
	}
	for n, text := range reports {
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"date": today.AddDate(0, 0, n).Format(time.DateOnly), "timeZone": "America/Bogota", "expected": "3", "secured": "1", "verified": "1", "missing": "1",
			"underWay": "1", "missingReasons": map[string]any{"NOT_HELD": "1"}, "missingMeetings": []any{fmt.Sprint(4*n + 2)},
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("report %v, want %v", got, want)
		}
	}
}

func TestASyncOfAllPlansChecksAWhileApart(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	const all = 1203 // more than two steps
	i.fill(t, all+10)
	i.exec(t, `DELETE FROM jobs WHERE kind = 'check_recording'`)
	i.exec(t, `UPDATE meetings SET recording_state = 'expected', scheduled_start = $1::timestamptz - interval '1 hour' WHERE id <= $2`, today, all)
	i.exec(t, `UPDATE meetings SET recording_state = 'expected', scheduled_start = $1::timestamptz + interval '1 hour' WHERE id > $2`, today, all)
	c := command("recording.sync_all", &app.SyncAllRecordings{Limit: 5})
	i.accept(t, c)
	i.clock.Advance(time.Second)
	if got := i.ran(t, app.KindSyncAll); got["meetings"] != 5.0 {
		t.Errorf("limited: %v", got)
	}
	if got := ask[int64](t, i, `SELECT max(meeting_id) FROM jobs WHERE kind = 'check_recording' AND state = 'due'`); got != 5 {
		t.Errorf("the last of the oldest five is %d", got)
	}
	i.accept(t, command("recording.sync_all", &app.SyncAllRecordings{}))
	began := i.clock.Advance(time.Second)
	if got := i.ran(t, app.KindSyncAll); got["meetings"] != float64(all) {
		t.Errorf("all: %v", got)
	}
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'check_recording' AND state = 'due' AND payload->>'meetingId' = key AND meeting_id::text = key`); n != all {
		t.Errorf("%d checks", n)
	}
	last := ask[time.Time](t, i, `SELECT max(due_at) FROM jobs WHERE kind = 'check_recording'`)
	if spread := last.Sub(began); spread != (all-1)*200*time.Millisecond {
		t.Errorf("the last is due %s after the first", spread)
	}
	if state := ask[string](t, i, `SELECT string_agg(DISTINCT state, ' ') FROM jobs WHERE kind = 'sync_all' AND key = ''`); state != "done" {
		t.Errorf("the jobs are %s", state)
	}
	bad := command("recording.sync_all", &app.SyncAllRecordings{Limit: -1})
	if i.process(t, bad); bad.Refusal == nil || bad.Refusal.Kind != fault.Invalid {
		t.Errorf("a negative limit: %v", bad.Refusal)
	}
}

func TestAFileWithoutACopyIsLookedAtAgainEverLessOften(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, func(c *app.KeepingConfig) { c.ExportURL = "" })
	m := i.held(t, "s")
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	var looked []int
	for n := 1; n <= 35; n++ {
		i.clock.Advance(day)
		i.ran(t, app.KindSyncAll)
		if ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`) == "due" {
			looked = append(looked, n)
			i.observe(t, m, happened("s", "s"))
		}
	}
	if !slices.Equal(looked, []int{1, 2, 4, 8, 16}) {
		t.Errorf("looked at after %v days", looked)
	}
}

func TestARecordingWithoutAFileIsLookedAtAgainAFewTimesAndOthersThatAreFinalAreNot(t *testing.T) {
	i := newInstance(t)
	i.keeps(t, nil)
	m := i.toRecord(t, "s")
	none := happened("s", "s")
	none.Recordings[0].State, none.Recordings[0].DriveFileID, none.Recordings[0].File = conference.ArtifactEnded, "", nil
	i.clock.Advance(26 * time.Hour) // a day after the end
	i.observe(t, m, none)
	if got := i.recordingState(t, m); got != "missing FILE_NOT_GENERATED" {
		t.Fatalf("it is %s", got)
	}
	for reason, n := range map[string]int{"NEVER_STARTED": 1001, "NOT_HELD": 1002, "FILE_DELETED": 1003, "EXPORT_MISMATCH": 1004} {
		i.exec(t, `INSERT INTO meetings SELECT (jsonb_populate_record(m, jsonb_build_object('id', $1::int, 'uid', gen_random_uuid(), 'recording_reason', $2::text,
			'space', '', 'meeting_code', '', 'google_event_id', ''))).* FROM meetings m WHERE id = $3`, n, reason, int64(m))
	}
	if err := i.PlanPeriodic(t.Context()); err != nil {
		t.Fatal(err)
	}
	var looked []int
	for n := 2; n <= 12; n++ {
		i.clock.Advance(day)
		if got := i.ran(t, app.KindSyncAll); got["meetings"] != 0.0 {
			looked = append(looked, n)
			if got["meetings"] != 1.0 {
				t.Fatalf("%v meetings are looked at", got["meetings"])
			}
			l, err := i.store.Ledger(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if asks := l.Plan(conference.Rules{}, false, i.clock.Now()).Readings; len(asks) != 1 || !asks[0].Recordings {
				t.Errorf("after %d days it is asked for %+v", n, asks)
			}
			i.observe(t, m, none)
		}
	}
	if !slices.Equal(looked, []int{3, 7}) {
		t.Errorf("looked at after %v days", looked)
	}
}

func TestASyncOfOneMeetingIsAJobThatCanBeFollowed(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("a@x.example"))
	c := command("recording.sync", &app.SyncRecording{Ref: meeting.Ref{ID: 1}})
	if i.process(t, c); c.Refusal == nil || c.Refusal.Kind != fault.Invalid || c.Refusal.Reason != app.ReasonNoStart {
		t.Errorf("without a start: %v", c.Refusal)
	}
	m := i.toRecord(t, "s")
	for range 2 {
		i.accept(t, command("recording.sync", &app.SyncRecording{Ref: meeting.Ref{ID: m}}))
	}
	if got := ask[string](t, i, `SELECT string_agg(class || ' ' || state || ' ' || (payload->>'meetingId') || ' ' || (due_at = $1), ', ') FROM jobs WHERE kind = 'sync_recording'`, today); got != "observe due 2 true, observe due 2 true" {
		t.Errorf("jobs %s", got)
	}
}
