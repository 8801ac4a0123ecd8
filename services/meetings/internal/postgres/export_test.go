package postgres

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// HotSettings are the hot pool's.
func HotSettings() map[string]string { return hotSettings() }

// Statement is one with its arguments.
type Statement struct {
	SQL  string
	Args []any
}

// HotStatements are those that run for every command, read and round of the relay.
func HotStatements(now time.Time, uid string) map[string]Statement {
	out := map[string]Statement{}
	capture := func(name string, run func(q *db.Queries)) {
		batch := new(pgx.Batch)
		run(db.New(queue{batch}))
		out[name] = Statement{SQL: batch.QueuedQueries[0].SQL, Args: batch.QueuedQueries[0].Arguments}
	}
	ctx, id := context.Background(), uuid.MustParse(uid)
	ids, uids := []int64{7, 11}, []uuid.UUID{id}
	capture("known commands", func(q *db.Queries) { _, _ = q.KnownCommands(ctx, uids) })
	capture("new meeting ids", func(q *db.Queries) { _, _ = q.NextMeetingIDs(ctx, uids) })
	capture("organizers", func(q *db.Queries) {
		_, _ = q.OrganizersByEmail(ctx, []string{"fill7@clinic.example", "new@clinic.example"})
	})
	capture("taken usernames", func(q *db.Queries) { _, _ = q.TakenUsernames(ctx, []string{"fill7", "new"}) })
	capture("new user ids", func(q *db.Queries) { _, _ = q.NextUserIDs(ctx, []string{"new@clinic.example"}) })
	capture("lock meetings", func(q *db.Queries) { _, _ = q.LockMeetings(ctx, db.LockMeetingsParams{Ids: ids, Uids: uids}) })
	capture("lock google jobs", func(q *db.Queries) { _, _ = q.LockGoogleJobs(ctx, db.LockGoogleJobsParams{Ids: ids, Uids: uids}) })
	capture("guests", func(q *db.Queries) { _, _ = q.GuestsOf(ctx, db.GuestsOfParams{Ids: ids, Uids: uids}) })
	capture("lock users", func(q *db.Queries) {
		_, _ = q.LockUsers(ctx, db.LockUsersParams{Ids: ids, LockEmails: []string{"fill9@clinic.example"}})
	})
	capture("count pressing", func(q *db.Queries) {
		_, _ = q.CountPressing(ctx, db.CountPressingParams{Bound: app.DispatchLimit, Now: now})
	})
	capture("meeting", func(q *db.Queries) { _, _ = q.GetMeeting(ctx, 7) })
	capture("meeting by uid", func(q *db.Queries) { _, _ = q.MeetingIDByUID(ctx, id) })
	capture("meeting by reference", func(q *db.Queries) {
		_, _ = q.MeetingIDByReference(ctx, db.MeetingIDByReferenceParams{ExternalReference: "ref7"})
	})
	capture("meeting by event", func(q *db.Queries) { _, _ = q.MeetingIDByEvent(ctx, db.MeetingIDByEventParams{GoogleEventID: "ev7"}) })
	capture("meeting by code", func(q *db.Queries) { _, _ = q.MeetingIDByCode(ctx, db.MeetingIDByCodeParams{MeetingCode: "code-7"}) })
	capture("participants", func(q *db.Queries) { _, _ = q.ParticipantsOf(ctx, 7) })
	capture("longest recording", func(q *db.Queries) { _, _ = q.LongestRecording(ctx, 7) })
	capture("job", func(q *db.Queries) { _, _ = q.GetJob(ctx, id) })
	capture("conferences of a meeting", func(q *db.Queries) { _, _ = q.HeldOf(ctx, 7) })
	capture("people of a meeting", func(q *db.Queries) { _, _ = q.SeenIn(ctx, 7) })
	capture("sessions of a meeting", func(q *db.Queries) { _, _ = q.SeenSessionsIn(ctx, 7) })
	capture("wishes", func(q *db.Queries) { _, _ = q.WishesOf(ctx, ids) })
	capture("operation", func(q *db.Queries) { _, _ = q.GetOperation(ctx, db.GetOperationParams{ID: id, Kinds: operations}) })
	capture("user", func(q *db.Queries) { _, _ = q.GetUser(ctx, db.GetUserParams{ID: 7}) })
	capture("number events", func(q *db.Queries) { _, _ = q.NumberEvents(ctx, 500) })
	capture("next due", func(q *db.Queries) { _, _ = q.NextDue(ctx, []string{"google", "observe"}) })
	capture("count out", func(q *db.Queries) { _, _ = q.CountOut(ctx, app.DispatchLimit) })
	capture("send due", func(q *db.Queries) { _, _ = q.SendDueJobs(ctx, db.SendDueJobsParams{Now: now, RowLimit: 256}) })
	capture("out since", func(q *db.Queries) {
		_, _ = q.OutSince(ctx, db.OutSinceParams{Classes: []string{"google", "observe"}, Before: now})
	})
	capture("lock calendars", func(q *db.Queries) {
		_, _ = q.LockCalendars(ctx, db.LockCalendarsParams{Ids: []int64{7}, Channels: []string{"channel-7"}})
	})
	capture("meetings of events", func(q *db.Queries) { _, _ = q.MeetingsOfEvents(ctx, []string{"ev7", "ev9"}) })
	capture("people", func(q *db.Queries) { _, _ = q.PeopleOf(ctx, db.PeopleOfParams{Ids: ids, Uids: uids}) })
	capture("send due tasks", func(q *db.Queries) {
		_, _ = q.SendDueTasks(ctx, db.SendDueTasksParams{Class: "observe", Now: now, RowLimit: 64})
	})
	capture("count out of a class", func(q *db.Queries) { _, _ = q.CountOutOf(ctx, db.CountOutOfParams{Class: "observe", Bound: 64}) })
	names := []string{"conferenceRecords/7", "conferenceRecords/new"}
	capture("meetings of records", func(q *db.Queries) { _, _ = q.MeetingsOfRecords(ctx, names) })
	capture("meetings of spaces", func(q *db.Queries) { _, _ = q.MeetingsOfSpaces(ctx, []string{"spaces/7", "spaces/x"}) })
	capture("new conference ids", func(q *db.Queries) { _, _ = q.NextConferenceIDs(ctx, names) })
	capture("new attendee ids", func(q *db.Queries) {
		_, _ = q.NextAttendeeIDs(ctx, []string{"conferenceRecords/7/participants/1", "x"})
	})
	capture("new recording ids", func(q *db.Queries) { _, _ = q.NextRecordingIDs(ctx, []string{"conferenceRecords/7/recordings/r", "x"}) })
	capture("new transcript ids", func(q *db.Queries) {
		_, _ = q.NextTranscriptIDs(ctx, []string{"conferenceRecords/7/transcripts/t", "x"})
	})
	capture("known entries", func(q *db.Queries) { _, _ = q.KnownEntries(ctx, []string{"conferenceRecords/7/e", "x"}) })
	capture("lock checks", func(q *db.Queries) { _, _ = q.LockChecks(ctx, db.LockChecksParams{Ids: ids, Uids: uids}) })
	capture("lock tasks", func(q *db.Queries) { _, _ = q.LockTasks(ctx, uids) })
	capture("owners of meetings", func(q *db.Queries) { _, _ = q.OwnersOfMeetings(ctx, db.OwnersOfMeetingsParams{Ids: ids, Uids: uids}) })
	capture("conferences", func(q *db.Queries) { _, _ = q.ConferencesOf(ctx, db.ConferencesOfParams{Ids: ids, Uids: uids}) })
	capture("recordings of conferences", func(q *db.Queries) { _, _ = q.RecordingsOf(ctx, db.RecordingsOfParams{Ids: ids, Uids: uids}) })
	capture("transcripts", func(q *db.Queries) { _, _ = q.TranscriptsOf(ctx, db.TranscriptsOfParams{Ids: ids, Uids: uids}) })
	capture("attendees", func(q *db.Queries) { _, _ = q.AttendeesOf(ctx, ids) })
	capture("sessions", func(q *db.Queries) { _, _ = q.SessionsOf(ctx, ids) })
	capture("no shows", func(q *db.Queries) { _, _ = q.NoShowsOf(ctx, ids) })
	capture("lock owners", func(q *db.Queries) {
		_, _ = q.LockOwners(ctx, db.LockOwnersParams{Ids: []int64{7}, Subscriptions: []string{"subscriptions/9"}, GoogleUsers: []string{"users/11"}})
	})
	capture("lock owner jobs", func(q *db.Queries) {
		_, _ = q.LockOwnerJobs(ctx, db.LockOwnerJobsParams{Ids: []int64{7}, Subscriptions: []string{"subscriptions/9"}, GoogleUsers: []string{"users/11"}})
	})
	capture("ahead of owners", func(q *db.Queries) { _, _ = q.AheadOfOwners(ctx, db.AheadOfOwnersParams{Ids: []int64{7}, Since: now}) })
	capture("open since", func(q *db.Queries) {
		_, _ = q.OpenSince(ctx, db.OpenSinceParams{Ids: []int64{7}, Since: now.Add(-time.Hour)})
	})
	capture("owner", func(q *db.Queries) { _, _ = q.GetOwner(ctx, 7) })
	capture("spaces near", func(q *db.Queries) {
		_, _ = q.SpacesNear(ctx, db.SpacesNearParams{Account: "fill7@clinic.example", Since: now, Until: now.Add(time.Hour)})
	})
	capture("nudge checks", func(q *db.Queries) { _ = q.NudgeChecks(ctx, db.NudgeChecksParams{Now: now, Keys: []string{"7", "9"}}) })
	capture("held by", func(q *db.Queries) {
		_ = q.HeldBy(ctx, db.HeldByParams{Accounts: []string{"fill7@clinic.example"}, HeldAts: []time.Time{now}})
	})
	capture("update tasks", func(q *db.Queries) {
		_ = q.UpdateTasks(ctx, db.UpdateTasksParams{
			Ids: uids, States: []string{"due"}, DueAts: []time.Time{now}, DispatchedAts: []time.Time{{}}, FailedAttempts: []int32{0}, Histories: []string{"[]"},
			Payloads: []string{"{}"}, Results: []string{"{}"}, EndedAts: []time.Time{{}},
		})
	})
	capture("update presences", func(q *db.Queries) {
		_ = q.UpdatePresences(ctx, db.UpdatePresencesParams{Ids: ids, JoinedAts: []time.Time{now, now}, LeftAts: []time.Time{now, now}, NoShows: []bool{false, true}})
	})
	capture("send again", func(q *db.Queries) {
		_ = q.SendAgain(ctx, db.SendAgainParams{Now: now, Ids: uids, Dispatches: []int64{1}})
	})
	capture("delete guests", func(q *db.Queries) {
		_ = q.DeleteGuests(ctx, db.DeleteGuestsParams{MeetingIds: ids, Emails: []string{"guest7@mail.example", "x@mail.example"}})
	})
	capture("uninvite organizers", func(q *db.Queries) {
		_ = q.UninviteOrganizers(ctx, db.UninviteOrganizersParams{MeetingIds: ids, Emails: []string{"fill7@clinic.example", "x@mail.example"}})
	})
	capture("meetings of recordings", func(q *db.Queries) { _, _ = q.MeetingsOfRecordings(ctx, ids) })
	capture("lock exports", func(q *db.Queries) { _, _ = q.LockExports(ctx, ids) })
	capture("want exports", func(q *db.Queries) {
		_ = q.WantExports(ctx, db.WantExportsParams{Ids: ids, Keys: []string{"a", "b"}})
	})
	capture("update export", func(q *db.Queries) {
		_ = q.UpdateExport(ctx, db.UpdateExportParams{ID: 7, ExportState: "exported", SharedWith: []string{}})
	})
	capture("renew tasks", func(q *db.Queries) { _ = q.RenewTasks(ctx, db.RenewTasksParams(oneCheck(now))) })
	capture("look at meetings", func(q *db.Queries) {
		t := oneCheck(now)
		_ = q.LookAtMeetings(ctx, db.LookAtMeetingsParams{
			CreatedAt: t.CreatedAt, Ids: t.Ids, Classes: t.Classes, Kinds: t.Kinds, Keys: t.Keys, Payloads: t.Payloads, MeetingIds: t.MeetingIds, DueAts: t.DueAts,
		})
	})
	capture("periodic tasks", func(q *db.Queries) { _, _ = q.LockPeriodicTasks(ctx, []string{app.KindSyncAll, app.KindReport}) })
	week := now.AddDate(0, 0, -7)
	capture("meetings to check", func(q *db.Queries) {
		_, _ = q.MeetingsToCheck(ctx, db.MeetingsToCheckParams{Now: now, LateSince: week, KeptSince: week, RowLimit: 500})
	})
	capture("renew exports", func(q *db.Queries) { _, _ = q.RenewExports(ctx, db.RenewExportsParams{Now: now, Since: week}) })
	capture("expired exports", func(q *db.Queries) { _, _ = q.ExpiredExports(ctx, db.ExpiredExportsParams{Now: now, RowLimit: 500}) })
	capture("forget attendance", func(q *db.Queries) {
		_, _ = q.ForgetAttendance(ctx, db.ForgetAttendanceParams{Ended: week, RowLimit: 500})
	})
	capture("forget transcripts", func(q *db.Queries) {
		_, _ = q.ForgetTranscripts(ctx, db.ForgetTranscriptsParams{Before: week, RowLimit: 500})
	})
	capture("count recordings", func(q *db.Queries) {
		_, _ = q.CountRecordings(ctx, db.CountRecordingsParams{FromTime: week, ToTime: now, MadeFrom: week, MadeTo: now})
	})
	capture("missing recordings", func(q *db.Queries) {
		_, _ = q.MissingRecordings(ctx, db.MissingRecordingsParams{FromTime: week, ToTime: now, MadeFrom: week, MadeTo: now, RowLimit: 100})
	})
	capture("old commands", func(q *db.Queries) { _, _ = q.DeleteOldCommands(ctx, now.Add(-4900*time.Minute)) })
	capture("old jobs", func(q *db.Queries) { _, _ = q.DeleteDoneJobs(ctx, now.Add(-4900*time.Minute)) })
	for _, part := range []struct {
		name string
		save func(context.Context, *db.Queries, *app.Unit) error
	}{{"update meetings", saveDirtyMeetings}, {"update jobs", saveJobs}} {
		u := app.NewUnit(now)
		u.Touch(&meeting.Meeting{
			ID: 7, Status: meeting.Created, Provisioning: meeting.Ready, GoogleSync: meeting.SyncOK, Recording: meeting.NotExpected,
			Job: meeting.Job{ID: uid, State: meeting.JobDone},
		})
		capture(part.name, func(q *db.Queries) { _ = part.save(ctx, q, u) })
	}
	return out
}

// ListSettings are those of the pool that lists.
func ListSettings() map[string]string { return listSettings() }

// JobLists are the statements that list jobs, with the filters of a page of 101 after a place.
func JobLists(after time.Time) map[string]Statement {
	out := map[string]Statement{}
	capture := func(name string, run func(q *db.Queries)) {
		batch := new(pgx.Batch)
		run(db.New(queue{batch}))
		out[name] = Statement{SQL: batch.QueuedQueries[0].SQL, Args: batch.QueuedQueries[0].Arguments}
	}
	ctx := context.Background()
	ahead := func(p db.JobsAheadParams) func(q *db.Queries) {
		p.AfterTime, p.RowLimit = after, 101
		return func(q *db.Queries) { _, _ = q.JobsAhead(ctx, p) }
	}
	behind := func(p db.JobsBehindParams) func(q *db.Queries) {
		p.BeforeID, p.RowLimit = uuid.Max, 101
		return func(q *db.Queries) { _, _ = q.JobsBehind(ctx, p) }
	}
	capture("all that is ahead", ahead(db.JobsAheadParams{}))
	capture("what is due", ahead(db.JobsAheadParams{State: "due"}))
	capture("what is out", ahead(db.JobsAheadParams{State: "out"}))
	capture("a class", ahead(db.JobsAheadParams{Class: "export"}))
	capture("a class that has none", ahead(db.JobsAheadParams{Class: "webhook"}))
	capture("a kind with its class", ahead(db.JobsAheadParams{Class: "observe", Kind: "check_recording"}))
	capture("all that ended", behind(db.JobsBehindParams{BeforeTime: lastTime}))
	capture("what ended before", behind(db.JobsBehindParams{BeforeTime: after.Add(-24 * time.Hour)}))
	capture("what failed", behind(db.JobsBehindParams{State: "failed", BeforeTime: lastTime}))
	capture("a meeting's", func(q *db.Queries) {
		_, _ = q.JobsAheadOfMeetings(ctx, db.JobsAheadOfMeetingsParams{MeetingID: 7, RowLimit: 101})
	})
	capture("an organizer's", func(q *db.Queries) {
		_, _ = q.JobsBehindOfMeetings(ctx, db.JobsBehindOfMeetingsParams{OrganizerID: 7, BeforeTime: lastTime, BeforeID: uuid.Max, RowLimit: 101})
	})
	return out
}

// oneCheck are the columns of one row that is there already.
func oneCheck(now time.Time) db.InsertTasksParams {
	return db.InsertTasksParams{
		CreatedAt: now, Ids: []uuid.UUID{uuid.MustParse("0193a2b4-7c11-7d10-8c33-0a1b2c3d4e5f")}, Classes: []string{"observe"}, Kinds: []string{"check_recording"},
		Keys: []string{"7"}, Payloads: []string{"{}"}, MeetingIds: []int64{7}, DueAts: []time.Time{now}, Traceparents: []string{""},
	}
}
