package postgres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// clinic is who owns the spaces of these tests.
const clinic = "doctor@clinic.example"

// toRecord makes a meeting from 13:00 to 13:30 today that is to be recorded, with its link and its space.
func (i *instance) toRecord(tb testing.TB, space string) meeting.ID {
	tb.Helper()
	c := command("meeting.create", &app.CreateMeeting{Spec: meeting.Spec{
		OrganizerEmail: clinic, Guests: []string{"ana@mail.example", "luis@mail.example"}, TimeZone: "UTC", AutoRecord: true, CreateCalendarEvent: true,
		Start: today.Add(time.Hour), End: today.Add(90 * time.Minute),
	}})
	i.accept(tb, c)
	id := ask[int64](tb, i, `SELECT max(id) FROM meetings`)
	i.accept(tb, command("meeting.synced", &app.SyncOutcome{MeetingID: meeting.ID(id), Outcome: meeting.Outcome{
		Dispatch: 1, Version: 1, Complete: true,
		Google: &meeting.GoogleCopy{
			EventID: fmt.Sprintf("ev%d", id), MeetLink: "https://meet.example/" + space, Space: "spaces/" + space, Account: clinic, EventVersion: 1, SettingsVersion: 1,
			AutoRecording: "ON",
		},
	}}))
	return meeting.ID(id)
}

// check sends the check row of a meeting, as the relay does, and returns it.
func (i *instance) check(tb testing.TB, m meeting.ID) (job uuid.UUID, dispatch int64) {
	tb.Helper()
	i.exec(tb, `UPDATE jobs SET state = 'out', dispatch = dispatch + 1, dispatched_at = $2 WHERE kind = 'check_recording' AND meeting_id = $1`, int64(m), i.clock.Now())
	return ask[uuid.UUID](tb, i, `SELECT id FROM jobs WHERE kind = 'check_recording' AND meeting_id = $1`, int64(m)),
		ask[int64](tb, i, `SELECT dispatch FROM jobs WHERE kind = 'check_recording' AND meeting_id = $1`, int64(m))
}

func observedCommand(o app.ConferenceObserved) *app.Command {
	c := command("conference.observed", &o)
	c.Outcome = true
	return c
}

// observe carries out the outcome of a check that listed.
func (i *instance) observe(tb testing.TB, m meeting.ID, seen ...conference.Observed) {
	tb.Helper()
	job, dispatch := i.check(tb, m)
	i.accept(tb, observedCommand(app.ConferenceObserved{
		Job: job, Dispatch: dispatch, MeetingID: m, Account: clinic, Conferences: seen, Listed: true, From: today, Until: i.clock.Now(),
	}))
}

func (i *instance) notice(tb testing.TB, notices ...conference.Notice) {
	tb.Helper()
	c := command("conference.noticed", &app.ConferenceNoticed{Notices: notices})
	c.Outcome = true
	i.accept(tb, c)
}

// sweep deletes what is kept long enough, as the leader does.
func (i *instance) sweep(tb testing.TB) {
	tb.Helper()
	lead, err := i.store.Lead(tb.Context())
	if err != nil || lead == nil {
		tb.Fatal("does not lead:", err)
	}
	_, err = lead.Sweep(tb.Context(), i.clock.Now())
	if err = errors.Join(err, lead.Close(tb.Context())); err != nil {
		tb.Fatal(err)
	}
}

// happened is a conference of a space that was held, recorded and attended, as a full reading shows it.
func happened(record, space string) conference.Observed {
	began, ended := today.Add(time.Hour), today.Add(85*time.Minute)
	name := "conferenceRecords/" + record
	o := conference.Observed{
		Record: name, Space: "spaces/" + space, StartedAt: began, EndedAt: ended, ExpiresAt: ended.Add(30 * 24 * time.Hour), RecordRead: true,
		RecordingsRead: true, Recordings: []conference.ObservedRecording{{
			Name: name + "/recordings/r", State: conference.ArtifactGenerated, StartedAt: began.Add(time.Minute), EndedAt: ended, DriveFileID: "file-" + record, URL: "https://drive.example/" + record,
			File: &conference.File{State: conference.FilePresent, Name: "x.mp4", MimeType: "video/mp4", SizeBytes: 1000, SHA256: "ab", DurationSeconds: 1440},
		}},
		AttendeesRead: true, TranscriptsRead: true,
		Transcripts: []conference.ObservedTranscript{{
			Name: name + "/transcripts/t", State: conference.ArtifactGenerated, StartedAt: began, EndedAt: ended, DocumentID: "doc", EntriesRead: true,
			Entries: []conference.Entry{{Name: name + "/e/1", Attendee: name + "/participants/1", Text: "hola", Language: "es-CO", StartedAt: began, EndedAt: began.Add(time.Second)}},
		}},
	}
	for n, email := range []string{clinic, "ana@mail.example"} {
		who := fmt.Sprintf("%s/participants/%d", name, n+1)
		o.Attendees = append(o.Attendees, conference.ObservedAttendee{
			Name: who, Kind: conference.SignedIn, User: fmt.Sprintf("users/%d", n+1), DisplayName: "Person", Email: email, FirstJoinedAt: began, LastLeftAt: ended, SessionsRead: true,
			Sessions: []conference.ObservedSession{{Name: who + "/participantSessions/s", JoinedAt: began, LeftAt: ended}},
		})
	}
	return o
}

func (i *instance) types(tb testing.TB, m meeting.ID) []string {
	tb.Helper()
	types := column[string](tb, i, `SELECT type FROM events WHERE meeting_id = $1 AND type !~ '^meeting.(created|ready)$' ORDER BY pos`, int64(m))
	slices.Sort(types)
	return types
}

func TestACreateThatIsToBeRecordedPlansItsCheckAndItsAccount(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	if due := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'check_recording' AND meeting_id = $1 AND state = 'due' AND key = $1::text`, int64(m)); !due.Equal(today.Add(70 * time.Minute)) {
		t.Errorf("the check is due at %s, want ten minutes after the start", due)
	}
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs j JOIN space_owners o ON j.kind = 'follow_conferences' AND j.key = o.id::text AND j.payload->>'owner' = o.id::text WHERE o.account = $1`, clinic); n != 1 {
		t.Errorf("%d jobs follow the account, want 1", n)
	}
	i.accept(t, create("other@clinic.example")) // not to be recorded
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'check_recording'`); n != 1 {
		t.Errorf("%d checks, want 1", n)
	}
	i.accept(t, update(int64(m), meeting.Patch{Start: new(today.Add(3 * time.Hour)), End: new(today.Add(4 * time.Hour))}))
	if due := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'check_recording'`); !due.Equal(today.Add(3*time.Hour + 10*time.Minute)) {
		t.Errorf("after the reschedule the check is due at %s", due)
	}
	i.accept(t, cancel(int64(m)))
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`); state != "done" {
		t.Errorf("after the cancel the check is %s", state)
	}
}

func TestAFullReadingIsStoredAndToldOnce(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	i.clock.Set(today.Add(105 * time.Minute))
	i.observe(t, m, happened("a", "s"), happened("elsewhere", "not-ours"))
	want := []string{
		"meeting.ended", "meeting.started", "participant.joined", "participant.joined", "participant.left", "participant.left", "participant.no_show",
		"recording.file_generated", "recording.started", "transcript.generated",
	}
	if got := i.types(t, m); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	for sql, want := range map[string]string{
		`SELECT recording_state || ' ' || has_recording || ' ' || conference_record_id FROM meetings`: "file_generated true conferenceRecords/a",
		`SELECT string_agg(record, ',') FROM conferences`:                                             "conferenceRecords/a",

		`SELECT state || ' ' || drive_file_id || ' ' || duration_seconds || ' ' || size_bytes || ' ' || file_state || ' ' || file_name || ' ' || drive_sha256 FROM recordings`: "file_generated file-a 1440 1000 present x.mp4 ab",
		`SELECT string_agg(p.email || ' ' || a.match || ' ' || a.match_reason, ',' ORDER BY a.id) FROM attendees a JOIN participants p ON p.id = a.participant_id`:             clinic + " certain directory,ana@mail.example certain directory",
		`SELECT count(*)::text FROM attendee_sessions WHERE exact AND joined_told AND left_told`:                                                                               "2",
		`SELECT string_agg(email, ',') FROM participants WHERE no_show_told`:                                                                                                   "luis@mail.example",
		`SELECT count(*)::text FROM participants WHERE joined_at = '2026-11-24 13:00:00Z' AND left_at = '2026-11-24 13:25:00Z'`:                                                "2",
		`SELECT string_agg(t.state || ' ' || e.text, ',') FROM transcripts t JOIN transcript_entries e ON e.transcript_id = t.id`:                                              "file_generated hola",
		`SELECT state || ' ' || (result->>'recording_state') FROM jobs WHERE kind = 'check_recording'`:                                                                         "done file_generated",
	} {
		if got := ask[string](t, i, sql); got != want {
			t.Errorf("%s\nis %q, want %q", sql, got, want)
		}
	}
	for _, body := range column[string](t, i, `SELECT body FROM events`) {
		if strings.Contains(body, "@") || strings.Contains(body, "Person") {
			t.Errorf("an event names a person: %s", body)
		}
	}
	version := ask[int64](t, i, `SELECT version FROM meetings`)
	i.observe(t, m, happened("a", "s"))
	if got := i.types(t, m); !slices.Equal(got, want) {
		t.Errorf("after the same reading again: told %v", got)
	}
	if again := ask[int64](t, i, `SELECT version FROM meetings`); again != version {
		t.Errorf("the same reading again raised the version from %d to %d", version, again)
	}
}

func TestAReadingInPartsIsOneAndMovesItsRowWithTheLast(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	i.clock.Set(today.Add(105 * time.Minute))
	whole := happened("a", "s")
	first, second := whole, whole
	first.Attendees, first.AttendeesRead, first.Transcripts, first.TranscriptsRead = whole.Attendees[:1], false, nil, false
	second.Attendees = whole.Attendees[1:]
	job, dispatch := i.check(t, m)
	part := app.ConferenceObserved{Job: job, Dispatch: dispatch, MeetingID: m, Account: clinic, Conferences: []conference.Observed{first}, Partial: true}
	i.accept(t, observedCommand(part))
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`); state != "out" {
		t.Errorf("after the first part the row is %s", state)
	}
	i.accept(t, observedCommand(part)) // delivered twice
	part.Partial, part.Conferences, part.Listed, part.Until = false, []conference.Observed{second}, true, i.clock.Now()
	i.accept(t, observedCommand(part), observedCommand(part))
	if n := ask[int64](t, i, `SELECT count(*) FROM attendees`); n != 2 {
		t.Errorf("%d attendees, want 2", n)
	}
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`); state != "done" {
		t.Errorf("after the last part the row is %s", state)
	}
	if n := ask[int64](t, i, `SELECT count(*) FROM events WHERE type = 'participant.joined'`); n != 2 {
		t.Errorf("%d were told to have joined, want 2", n)
	}
}

func TestNoticesAreBelievedAboutWhenAndMakeTheRowsDue(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	i.exec(t, `UPDATE space_owners SET subscription = 'subscriptions/1', subscription_state = 'active', subscription_expires_at = $1, google_user = 'users/1'`, today.Add(7*24*time.Hour))
	i.exec(t, `UPDATE jobs SET due_at = $1 WHERE kind = 'follow_conferences'`, today.Add(24*time.Hour))
	i.clock.Set(today.Add(61 * time.Minute))
	heard := func(kind conference.NoticeType, resource string) conference.Notice {
		return conference.Notice{Type: kind, At: i.clock.Now(), Resource: resource, Subscription: "subscriptions/1", User: "users/1"}
	}
	owner := func() time.Duration {
		return ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'follow_conferences'`).Sub(i.clock.Now())
	}
	i.notice(t, heard(conference.ConferenceStarted, "conferenceRecords/a"))
	if in := owner(); in > 10*time.Second {
		t.Fatalf("after a notice of a record that is not known the account is due in %s", in)
	}
	// The account's job finds it.
	i.exec(t, `UPDATE jobs SET state = 'out', dispatch = 1, dispatched_at = $1 WHERE kind = 'follow_conferences'`, i.clock.Now())
	found := conference.Observed{Record: "conferenceRecords/a", Space: "spaces/s", StartedAt: today.Add(time.Hour), RecordRead: true}
	i.accept(t, observedCommand(app.ConferenceObserved{
		Job: ask[uuid.UUID](t, i, `SELECT id FROM jobs WHERE kind = 'follow_conferences'`), Dispatch: 1, Owner: conference.OwnerID(ask[int64](t, i, `SELECT id FROM space_owners`)), Account: clinic,
		Conferences: []conference.Observed{found}, Listed: true, From: today, Until: i.clock.Now(),
	}))
	if in := owner(); in < 23*time.Hour {
		t.Errorf("with healthy notices the account is due in %s", in)
	}
	if listed := ask[time.Time](t, i, `SELECT listed_until FROM space_owners`); !listed.Equal(i.clock.Now()) {
		t.Errorf("listed until %s", listed)
	}
	if source := ask[string](t, i, `SELECT source FROM conferences`); source != "notice" {
		t.Errorf("it became known by %s", source)
	}
	who := "conferenceRecords/a/participants/1/participantSessions/s"
	i.notice(t, heard(conference.ParticipantJoined, who), heard(conference.RecordingStarted, "conferenceRecords/a/recordings/r"), heard(conference.ParticipantJoined, who))
	i.clock.Set(today.Add(85 * time.Minute))
	i.notice(t, heard(conference.ParticipantLeft, who), heard(conference.ConferenceEnded, "conferenceRecords/a"))
	want := []string{"meeting.ended", "meeting.started", "participant.joined", "participant.left", "recording.started"}
	if got := i.types(t, m); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
	if state := ask[string](t, i, `SELECT recording_state FROM meetings`); state != "ended" {
		t.Errorf("the recording is %s", state)
	}
	i.clock.Set(today.Add(88 * time.Minute))
	i.notice(t, heard(conference.RecordingGenerated, "conferenceRecords/a/recordings/r"))
	if in := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'check_recording'`).Sub(i.clock.Now()); in > 10*time.Second {
		t.Errorf("after the file's notice the check is due in %s", in)
	}
	i.notice(t, conference.Notice{Type: conference.SubscriptionSuspended, At: i.clock.Now(), Resource: "subscriptions/1", Subscription: "subscriptions/1", Reason: "USER_SCOPE_REVOKED"})
	if state := ask[string](t, i, `SELECT subscription_state || ' ' || subscription_reason FROM space_owners`); state != "suspended USER_SCOPE_REVOKED" {
		t.Errorf("the subscription is %s", state)
	}
	var told struct{ State, Reason string }
	if err := json.Unmarshal([]byte(ask[string](t, i, `SELECT body FROM events WHERE type = 'notices.state_changed'`)), &told); err != nil || told.State != "suspended" {
		t.Errorf("told %+v, %v", told, err)
	}
}

func TestASyncThatSomebodyAskedForEndsItsOwnRow(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	i.clock.Set(today.Add(2 * time.Hour))
	job := uuid.Must(uuid.NewV7())
	send := func() int64 {
		return ask[int64](t, i, `UPDATE jobs SET state = 'out', dispatch = dispatch + 1, dispatched_at = $2 WHERE id = $1 RETURNING dispatch`, job, i.clock.Now())
	}
	i.exec(t, `INSERT INTO jobs (id, class, kind, meeting_id, payload, state, priority, due_at, dispatch, failed_attempts, created_at)
		VALUES ($1, 'observe', 'sync_recording', $2, '{}', 'due', 2, $3, 0, 0, $3)`, job, int64(m), i.clock.Now())
	for n := range 4 {
		i.accept(t, observedCommand(app.ConferenceObserved{
			Job: job, Dispatch: send(), MeetingID: m, Account: clinic, Failure: &meeting.OutcomeFailure{Code: "UNAVAILABLE", RetryAt: i.clock.Now()},
		}))
		if n == 3 {
			break
		}
		if in := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE id = $1 AND state = 'due'`, job).Sub(i.clock.Now()); in != time.Duration(n+1)*time.Minute {
			t.Errorf("after failure %d it is due in %s", n+1, in)
		}
	}
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE id = $1`, job); state != "failed" {
		t.Errorf("after three retries it is %s", state)
	}
	i.exec(t, `UPDATE jobs SET state = 'due', failed_attempts = 0 WHERE id = $1`, job)
	i.accept(t, observedCommand(app.ConferenceObserved{
		Job: job, Dispatch: send(), MeetingID: m, Account: clinic, Conferences: []conference.Observed{happened("a", "s")}, Listed: true, Until: i.clock.Now(),
	}))
	if state := ask[string](t, i, `SELECT state || ' ' || (result->>'recordings') FROM jobs WHERE id = $1`, job); state != "done 1" {
		t.Errorf("after a success it is %s", state)
	}
	if state := ask[string](t, i, `SELECT state FROM jobs WHERE kind = 'check_recording'`); state != "done" {
		t.Errorf("nothing more is to come, and the meeting's own check is %s", state)
	}
}

func TestAMeetingThatWasRecordedByHandGetsARowThatLooksAfterIt(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create(clinic))
	i.accept(t, command("meeting.synced", &app.SyncOutcome{MeetingID: 1, Outcome: meeting.Outcome{
		Dispatch: 1, Version: 1, Complete: true, Google: &meeting.GoogleCopy{EventID: "ev", MeetLink: "l", Space: "spaces/s", Account: clinic, EventVersion: 1, SettingsVersion: 1},
	}}))
	o := happened("a", "s")
	o.AttendeesRead, o.Attendees, o.TranscriptsRead, o.Transcripts = false, nil, false, nil
	o.Recordings[0].State, o.Recordings[0].DriveFileID, o.Recordings[0].File = conference.ArtifactEnded, "", nil
	i.clock.Set(today.Add(90 * time.Minute))
	i.accept(t, observedCommand(app.ConferenceObserved{Job: uuid.New(), Owner: 99, Account: clinic, Conferences: []conference.Observed{o}}))
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'check_recording' AND state = 'due'`); n != 1 {
		t.Errorf("%d checks, want 1", n)
	}
	if state := ask[string](t, i, `SELECT recording_state FROM meetings`); state != "ended" {
		t.Errorf("the recording is %s", state)
	}
}

func TestTwoInstancesThatObserveTheSameAtOnceMakeOneRow(t *testing.T) {
	i := newInstance(t)
	other := i.another(t)
	m := i.toRecord(t, "s")
	i.clock.Set(today.Add(105 * time.Minute))
	for round := range 10 {
		record := fmt.Sprintf("r%d", round)
		done := make(chan error, 2)
		for _, at := range []*instance{i, other} {
			go func() {
				c := observedCommand(app.ConferenceObserved{Job: uuid.New(), MeetingID: m, Account: clinic, Conferences: []conference.Observed{happened(record, "s")}})
				at.Process(t.Context(), []*app.Command{c})
				done <- c.Err
			}()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := ask[int64](t, i, `SELECT count(*) FROM events WHERE type = 'meeting.started'`); n != 10 {
		t.Errorf("%d conferences were told to have started, want 10", n)
	}
}

func TestNoticesThatComeBeforeTheirConferenceIsKnownAreToldWithIt(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	began, record := today.Add(time.Hour), "conferenceRecords/a"
	early := []conference.Notice{
		{Type: conference.ConferenceStarted, At: began, Resource: record},
		{Type: conference.RecordingStarted, At: began.Add(2 * time.Second), Resource: record + "/recordings/r"},
		{Type: conference.ParticipantJoined, At: began.Add(time.Second), Resource: record + "/participants/1/participantSessions/1"},
	}
	i.clock.Advance(time.Hour + time.Minute)
	i.notice(t, early...)
	i.notice(t, early...) // doubled
	if n := ask[int64](t, i, `SELECT count(*) FROM pending_notices`); n != 3 {
		t.Fatalf("%d notices are kept", n)
	}
	running := conference.Observed{Record: record, Space: "spaces/s", StartedAt: began, RecordRead: true}
	i.observe(t, m, running)
	for _, fact := range []string{"meeting.started", "recording.started", "participant.joined"} {
		if n := ask[int64](t, i, `SELECT count(*) FROM events WHERE type = $1`, fact); n != 1 {
			t.Errorf("%s was told %d times", fact, n)
		}
	}
	if at := ask[time.Time](t, i, `SELECT started_at FROM recordings WHERE meeting_id = $1`, int64(m)); !at.Equal(began.Add(2 * time.Second)) {
		t.Errorf("the recording started at %s", at)
	}
	if n := ask[int64](t, i, `SELECT count(*) FROM pending_notices`); n != 0 {
		t.Errorf("%d notices are still kept", n)
	}
	i.notice(t, early...)
	i.observe(t, m, running)
	if n := ask[int64](t, i, `SELECT count(*) FROM events WHERE type IN ('recording.started', 'participant.joined')`); n != 2 {
		t.Errorf("%d facts once the same notices came again", n)
	}
	due := ask[time.Time](t, i, `SELECT due_at FROM jobs WHERE kind = 'check_recording' AND meeting_id = $1`, int64(m))
	if due.Before(today.Add(90 * time.Minute)) {
		t.Errorf("it is looked at %s whether it is recorded, which is known", due)
	}
}

func TestNoticesOfAConferenceElsewhereAreForgottenAfterADay(t *testing.T) {
	i := newInstance(t)
	i.notice(t, conference.Notice{Type: conference.ConferenceStarted, At: today, Resource: "conferenceRecords/elsewhere"})
	for _, step := range []struct {
		after time.Duration
		kept  int64
	}{{app.KeepNotices - time.Minute, 1}, {2 * time.Minute, 0}} {
		i.clock.Advance(step.after)
		i.sweep(t)
		if n := ask[int64](t, i, `SELECT count(*) FROM pending_notices`); n != step.kept {
			t.Errorf("%d notices are kept, want %d", n, step.kept)
		}
	}
}

func TestRowsOfJobsThatAreOverAreSweptButTheOneThatMakesGoogleAgree(t *testing.T) {
	i := newInstance(t)
	m := i.toRecord(t, "s")
	i.exec(t, `UPDATE jobs SET state = 'done', ended_at = $1 WHERE kind = 'check_recording'`, i.clock.Now())
	i.exec(t, `INSERT INTO jobs (id, class, kind, key, meeting_id, state, priority, due_at, dispatch, failed_attempts, created_at, ended_at)
		VALUES (gen_random_uuid(), 'observe', 'sync_recording', '', $1, 'done', 2, $2, 1, 0, $2, $2), (gen_random_uuid(), 'export', 'export_recording', '9', $1, 'done', 2, $2, 1, 0, $2, $2)`, int64(m), i.clock.Now())
	i.exec(t, `UPDATE jobs SET ended_at = $1 WHERE class = 'google'`, i.clock.Now())
	i.clock.Advance(app.KeepJobs + time.Minute)
	i.sweep(t)
	if left := ask[string](t, i, `SELECT string_agg(kind, ' ') FROM jobs WHERE meeting_id = $1`, int64(m)); left != "sync_meeting" {
		t.Errorf("left are %q", left)
	}
	// The check is made anew when there is something to look at.
	i.notice(t, conference.Notice{Type: conference.ConferenceStarted, At: i.clock.Now(), Resource: "conferenceRecords/late"})
	job := ask[uuid.UUID](t, i, `SELECT id FROM jobs WHERE kind = 'follow_conferences'`)
	i.exec(t, `UPDATE jobs SET state = 'out', dispatch = 7, dispatched_at = $1 WHERE kind = 'follow_conferences'`, i.clock.Now())
	i.accept(t, observedCommand(app.ConferenceObserved{Job: job, Dispatch: 7, Owner: 1, Account: clinic, Listed: true, From: today, Until: i.clock.Now(), Conferences: []conference.Observed{
		{Record: "conferenceRecords/late", Space: "spaces/s", StartedAt: i.clock.Now(), RecordRead: true},
	}}))
	if n := ask[int64](t, i, `SELECT count(*) FROM jobs WHERE kind = 'check_recording' AND state = 'due'`); n != 1 {
		t.Errorf("%d rows look after it", n)
	}
}
