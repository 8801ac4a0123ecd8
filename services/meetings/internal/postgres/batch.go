package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// Batch is [app.Store]: one transaction of two round trips, whatever the number of commands. A pipeline stops at its first
// error and the whole is undone.
func (s *Store) Batch(ctx context.Context, now time.Time, needs *app.Needs, decide func(*app.Unit) error) error {
	unit := app.NewUnit(now)
	var err error
	if unit.Mask, err = s.masks.get(ctx, s.hot()); err != nil {
		return fmt.Errorf("%w: %w", app.ErrUnreachable, err)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("take a connection: %w: %w", app.ErrUnreachable, err)
	}
	defer conn.Release()
	if err := s.resolve(ctx, conn, needs); err != nil {
		return fmt.Errorf("find meetings by their events: %w", classify(err))
	}
	if err := s.resolveExports(ctx, conn, needs); err != nil {
		return fmt.Errorf("find meetings by their recordings: %w", classify(err))
	}
	if err := s.resolveHeld(ctx, conn, unit, needs); err != nil {
		return fmt.Errorf("find meetings by what was held: %w", classify(err))
	}
	if err := load(ctx, conn, unit, needs); err != nil {
		return rollback(ctx, conn, fmt.Errorf("load: %w", classify(err)))
	}
	unit.Chores = chores{ctx, db.New(conn)}
	if err := decide(unit); err != nil {
		return rollback(ctx, conn, err)
	}
	failpoint.Here("meetings.decided")
	if err := save(ctx, conn, unit); err != nil {
		return rollback(ctx, conn, fmt.Errorf("save: %w", classify(err)))
	}
	return nil
}

// classify says what is to be done about an error of the database (PostgreSQL, appendix A). Any other may be gone next time.
func classify(err error) error {
	if unreached(err) {
		return fmt.Errorf("%w: %w", app.ErrUnreachable, err)
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	switch {
	case refused.Code == "23505", refused.Code == "40001", refused.Code == "40P01": // unique, serialization, deadlock
		return fmt.Errorf("%w: %w", app.ErrConflict, err)
	case strings.HasPrefix(refused.Code, "22"), strings.HasPrefix(refused.Code, "23"): // no row can hold the values
		return &app.BrokenError{Cause: err}
	}
	return err
}

// rollback returns err. A connection that can't be rolled back is closed and so not used again.
func rollback(ctx context.Context, conn *pgxpool.Conn, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // also after ctx ended
	defer cancel()
	if _, rbErr := conn.Exec(ctx, "rollback"); rbErr != nil {
		return errors.Join(err, fmt.Errorf("roll back: %w", rbErr), conn.Conn().Close(ctx))
	}
	return err
}

// queue stands in for a connection and queues what the generated code would run, so that one round trip carries it all.
type queue struct{ batch *pgx.Batch }

// errQueued is what a generated read gets while it is only queued.
var errQueued = errors.New("queued")

func (q queue) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	q.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

func (q queue) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	q.batch.Queue(sql, args...)
	return nil, errQueued
}

func (q queue) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	q.batch.Queue(sql, args...)
	return queuedRow{}
}

type queuedRow struct{}

func (queuedRow) Scan(...any) error { return errQueued }

// answers stands in for a connection and gives the generated code the results of what was queued, in the same order.
type answers struct{ results pgx.BatchResults }

func (a answers) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.results.Exec()
}

func (a answers) Query(context.Context, string, ...any) (pgx.Rows, error) { return a.results.Query() }

func (a answers) QueryRow(context.Context, string, ...any) pgx.Row { return a.results.QueryRow() }

// read is one statement of a pipeline: run once to queue it and once to take its result.
type read func(q *db.Queries) error

// pipeline runs the reads in one round trip, after the plain statements in before.
func pipeline(ctx context.Context, conn interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}, before []string, reads []read,
) (err error) {
	batch := new(pgx.Batch)
	for _, sql := range before {
		batch.Queue(sql)
	}
	for _, r := range reads {
		if err := r(db.New(queue{batch})); !errors.Is(err, errQueued) {
			return fmt.Errorf("queue a read: %w", err)
		}
	}
	results := conn.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	q := db.New(answers{results})
	for _, r := range reads {
		if err := r(q); err != nil {
			return err
		}
	}
	return nil
}

func load(ctx context.Context, conn *pgxpool.Conn, u *app.Unit, n *app.Needs) error {
	var reads []read
	add := func(wanted bool, r read) {
		if wanted {
			reads = append(reads, r)
		}
	}
	// Before the commands are looked up: one that becomes known in between has a number too many, never one too few.
	add(len(n.NewMeetings) > 0, func(q *db.Queries) (err error) {
		u.MeetingIDs, err = q.NextMeetingIDs(ctx, n.NewMeetings)
		return err
	})
	add(len(n.Commands) > 0, func(q *db.Queries) error {
		rows, err := q.KnownCommands(ctx, n.Commands)
		for _, r := range rows {
			u.Known[r.ID] = app.Stored{BodyHash: r.BodyHash, Reply: r.Reply}
		}
		return err
	})
	keys := emailKeys(n.Organizers)
	add(len(keys) > 0, func(q *db.Queries) error {
		rows, err := q.OrganizersByEmail(ctx, keys)
		for _, r := range rows {
			u.Organizers[account.EmailKey(r.Email)] = &account.User{ID: account.ID(r.ID), Username: r.Username, Email: r.Email}
		}
		return err
	})
	names := append(localParts(n.Organizers), n.Usernames...)
	add(len(names) > 0, func(q *db.Queries) error {
		rows, err := q.TakenUsernames(ctx, names)
		for _, name := range rows {
			u.TakenNames[name] = struct{}{}
		}
		return err
	})
	add(len(keys) > 0, func(q *db.Queries) (err error) {
		u.UserIDs, err = q.NextUserIDs(ctx, keys)
		return err
	})
	ids, uids := refs(n.Meetings)
	some := len(ids)+len(uids) > 0
	add(some, func(q *db.Queries) error {
		rows, err := q.LockMeetings(ctx, db.LockMeetingsParams{Ids: ids, Uids: uids})
		if err != nil {
			return err
		}
		for _, r := range rows {
			m, err := decodeMeeting(&r.Meeting)
			if err != nil {
				return err
			}
			m.OrganizerUsername = r.Username
			u.Meetings[m.ID], u.UIDs[m.UID] = m, m.ID
		}
		return nil
	})
	add(some, func(q *db.Queries) error {
		rows, err := q.LockGoogleJobs(ctx, db.LockGoogleJobsParams{Ids: ids, Uids: uids})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if m := u.Meetings[meeting.ID(*r.MeetingID)]; m != nil {
				if m.Job, err = decodeJob(&r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	guestIDs, guestUIDs := refs(n.Guests)
	add(len(guestIDs)+len(guestUIDs) > 0, func(q *db.Queries) error {
		rows, err := q.GuestsOf(ctx, db.GuestsOfParams{Ids: guestIDs, Uids: guestUIDs})
		if err != nil {
			return err
		}
		addGuests(u, rows)
		for _, ref := range n.Guests {
			if m, err := u.Meeting(ref); err == nil { // of those that are there
				u.HadGuests[m.ID] = m.Guests
			}
		}
		return nil
	})
	reads = append(reads, loadPeople(ctx, u, n)...)
	reads = append(reads, loadCalendars(ctx, u, n)...)
	reads = append(reads, loadAccess(ctx, u, n)...)
	reads = append(reads, loadNumbers(ctx, u, n)...)
	reads = append(reads, loadLedgers(ctx, u, n)...)
	reads = append(reads, loadTasks(ctx, u, n)...)
	reads = append(reads, loadExports(ctx, u, n)...)
	reads = append(reads, loadOwners(ctx, u, n)...)
	emails := emailKeys(n.UserEmails)
	add(len(emails)+len(n.UserIDs) > 0, func(q *db.Queries) error {
		userIDs := make([]int64, 0, len(n.UserIDs))
		for _, id := range n.UserIDs {
			userIDs = append(userIDs, int64(id))
		}
		rows, err := q.LockUsers(ctx, db.LockUsersParams{Ids: userIDs, LockEmails: emails})
		if err != nil {
			return err
		}
		for _, r := range rows {
			user, err := decodeUser(&r)
			if err != nil {
				return err
			}
			u.Users[user.ID] = user
		}
		return nil
	})
	add(true, func(q *db.Queries) error {
		pressing, err := q.CountPressing(ctx, db.CountPressingParams{Bound: app.DispatchLimit, Now: u.Now})
		u.GooglePressing = int(pressing)
		return err
	})
	return pipeline(ctx, conn, []string{"begin"}, reads)
}

func addGuests(u *app.Unit, rows []db.GuestsOfRow) {
	for _, r := range rows {
		if m := u.Meetings[meeting.ID(r.MeetingID)]; m != nil {
			m.Guests = append(m.Guests, r.Email)
		}
	}
}

// emailKeys are sorted and without doubles: rows are then always written in the same order.
func emailKeys(emails []string) []string {
	keys := make([]string, 0, len(emails))
	for _, e := range emails {
		keys = append(keys, account.EmailKey(e))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// localParts are the usernames that new organizers would get.
func localParts(emails []string) []string {
	names := make([]string, 0, len(emails))
	for _, e := range emails {
		names = append(names, account.OrganizerUsername(e, 0, func(string) bool { return false }))
	}
	return names
}

func refs(rs []meeting.Ref) (ids []int64, uids []uuid.UUID) {
	for _, r := range rs {
		if r.UID == "" {
			ids = append(ids, int64(r.ID))
			continue
		}
		if uid, err := uuid.Parse(r.UID); err == nil { // ParseRef let nothing else through
			uids = append(uids, uid)
		}
	}
	return ids, uids
}

func save(ctx context.Context, conn *pgxpool.Conn, u *app.Unit) error {
	batch := new(pgx.Batch)
	q := db.New(queue{batch})
	errs := []error{ // queueing fails only where a value does not fit its column's type
		saveUsers(ctx, q, u), saveNewMeetings(ctx, q, u), saveDirtyMeetings(ctx, q, u), saveParticipants(ctx, q, u),
		saveResponses(ctx, q, u), saveJobs(ctx, q, u), savePlaces(ctx, q, u), saveCalendars(ctx, q, u),
		saveHeld(ctx, q, u), saveTasks(ctx, q, u), saveExports(ctx, q, u), saveEvents(ctx, q, u), saveCommands(ctx, q, u),
		saveAccess(ctx, q, u), // last, with the lock on the end of the audit log
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	batch.Queue("commit")
	results := conn.SendBatch(ctx, batch)
	for range batch.Len() {
		if _, err := results.Exec(); err != nil {
			return errors.Join(err, results.Close())
		}
	}
	return results.Close()
}

func saveUsers(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.NewUsers) > 0 {
		users := slices.SortedFunc(slices.Values(u.NewUsers), func(a, b *account.User) int {
			return strings.Compare(account.EmailKey(a.Email), account.EmailKey(b.Email))
		})
		var p db.InsertUsersParams
		for _, user := range users {
			p.Ids = append(p.Ids, int64(user.ID))
			p.Usernames = append(p.Usernames, user.Username)
			p.Emails = append(p.Emails, user.Email)
			p.FirstNames = append(p.FirstNames, user.FirstName)
			p.LastNames = append(p.LastNames, user.LastName)
			p.Roles = append(p.Roles, user.Role.String())
			p.PasswordHashes = append(p.PasswordHashes, user.PasswordHash)
			p.DatesJoined = append(p.DatesJoined, user.DateJoined)
		}
		if err := q.InsertUsers(ctx, p); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(u.DirtyUsers)) {
		user := u.Users[id]
		if err := q.UpdateUser(ctx, db.UpdateUserParams{
			ID: int64(id), Email: user.Email, FirstName: user.FirstName, LastName: user.LastName, Role: user.Role.String(),
			IsActive: user.Active, PasswordHash: user.PasswordHash,
		}); err != nil {
			return err
		}
	}
	return nil
}

func saveNewMeetings(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.NewMeetings) == 0 {
		return nil
	}
	var p db.InsertMeetingsParams
	for _, m := range u.NewMeetings {
		uid, err := uuid.Parse(m.UID)
		if err != nil {
			return fmt.Errorf("uid of meeting %d: %w", m.ID, err)
		}
		p.Ids = append(p.Ids, int64(m.ID))
		p.Uids = append(p.Uids, uid)
		p.OrganizerIds = append(p.OrganizerIds, m.OrganizerID)
		p.OrganizerEmails = append(p.OrganizerEmails, m.OrganizerEmail)
		p.Summaries = append(p.Summaries, m.Summary)
		p.Descriptions = append(p.Descriptions, m.Description)
		p.TimeZones = append(p.TimeZones, m.TimeZone)
		p.ScheduledStarts = append(p.ScheduledStarts, m.Start)
		p.ScheduledEnds = append(p.ScheduledEnds, m.End)
		p.ExternalReferences = append(p.ExternalReferences, m.ExternalReference)
		p.AutoRecords = append(p.AutoRecords, m.AutoRecord)
		p.CreateCalendarEvents = append(p.CreateCalendarEvents, m.CreateCalendarEvent)
		p.PublicAccesses = append(p.PublicAccesses, m.PublicAccess)
		p.GuestsCanSeeEachOthers = append(p.GuestsCanSeeEachOthers, m.GuestsCanSeeEachOther)
		p.Statuses = append(p.Statuses, m.Status.String())
		p.Provisionings = append(p.Provisionings, m.Provisioning.String())
		p.GoogleSyncs = append(p.GoogleSyncs, m.GoogleSync.String())
		p.RecordingStates = append(p.RecordingStates, m.Recording.String())
		p.ParticipantsCounts = append(p.ParticipantsCounts, int32(m.ParticipantsCount))
		p.Versions = append(p.Versions, m.Version)
		p.WantedVersions = append(p.WantedVersions, m.WantedVersion)
		p.Generations = append(p.Generations, m.Generation)
		p.CreatedAts = append(p.CreatedAts, m.CreatedAt)
		p.UpdatedAts = append(p.UpdatedAts, m.UpdatedAt)
	}
	return q.InsertMeetings(ctx, p)
}

func saveDirtyMeetings(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Dirty) == 0 {
		return nil
	}
	var p db.UpdateMeetingsParams
	for _, m := range u.Dirty {
		g := &m.Google
		p.Ids = append(p.Ids, int64(m.ID))
		p.Summaries = append(p.Summaries, m.Summary)
		p.Descriptions = append(p.Descriptions, m.Description)
		p.ScheduledStarts = append(p.ScheduledStarts, m.Start)
		p.ScheduledEnds = append(p.ScheduledEnds, m.End)
		p.Statuses = append(p.Statuses, m.Status.String())
		p.Provisionings = append(p.Provisionings, m.Provisioning.String())
		p.GoogleSyncs = append(p.GoogleSyncs, m.GoogleSync.String())
		p.RecordingStates = append(p.RecordingStates, m.Recording.String())
		p.ParticipantsCounts = append(p.ParticipantsCounts, int32(m.ParticipantsCount))
		p.Versions = append(p.Versions, m.Version)
		p.WantedVersions = append(p.WantedVersions, m.WantedVersion)
		p.Generations = append(p.Generations, m.Generation)
		p.GoogleCalendarIds = append(p.GoogleCalendarIds, g.CalendarID)
		p.GoogleEventIds = append(p.GoogleEventIds, g.EventID)
		p.GoogleEventEtags = append(p.GoogleEventEtags, g.EventEtag)
		p.MeetLinks = append(p.MeetLinks, g.MeetLink)
		p.MeetingCodes = append(p.MeetingCodes, g.MeetingCode)
		p.Spaces = append(p.Spaces, g.Space)
		p.Simulateds = append(p.Simulateds, g.Simulated)
		p.EventVersions = append(p.EventVersions, g.EventVersion)
		p.SettingsVersions = append(p.SettingsVersions, g.SettingsVersion)
		p.AutoRecordings = append(p.AutoRecordings, g.AutoRecording)
		p.AccessTypes = append(p.AccessTypes, g.AccessType)
		p.EventDigests = append(p.EventDigests, g.EventDigest)
		p.EventDeleteds = append(p.EventDeleteds, g.Deleted)
		p.GoogleAccounts = append(p.GoogleAccounts, g.Account)
		p.EventUpdateds = append(p.EventUpdateds, g.EventUpdated)
		p.EventShowns = append(p.EventShowns, g.EventShown)
		p.EventNoticeds = append(p.EventNoticeds, g.Noticed)
		p.HasRecordings = append(p.HasRecordings, m.HasRecording)
		p.ConferenceRecordIds = append(p.ConferenceRecordIds, m.ConferenceRecordID)
		p.RecordingReasons = append(p.RecordingReasons, m.RecordingReason)
		p.FailureCodes = append(p.FailureCodes, m.Failure.Code)
		p.FailureMessages = append(p.FailureMessages, m.Failure.Message)
		p.UpdatedAts = append(p.UpdatedAts, m.UpdatedAt)
	}
	return q.UpdateMeetings(ctx, p)
}

func saveParticipants(ctx context.Context, q *db.Queries, u *app.Unit) error {
	in := db.InsertParticipantsParams{CreatedAt: u.Now}
	var out db.DeleteGuestsParams
	add := func(m *meeting.Meeting, email string, invited bool) {
		role := "guest"
		if meeting.SameEmail(email, m.OrganizerEmail) {
			role = "organizer"
		}
		in.MeetingIds = append(in.MeetingIds, int64(m.ID))
		in.Emails = append(in.Emails, email)
		in.Roles = append(in.Roles, role)
		in.Inviteds = append(in.Inviteds, invited)
	}
	for _, m := range u.NewMeetings {
		if !meeting.Holds(m.Guests, m.OrganizerEmail) {
			add(m, m.OrganizerEmail, false)
		}
	}
	changed := func(m *meeting.Meeting, had []string) {
		for _, g := range m.Guests {
			if !meeting.Holds(had, g) {
				add(m, g, true)
			}
		}
		for _, g := range had {
			if !meeting.Holds(m.Guests, g) {
				out.MeetingIds = append(out.MeetingIds, int64(m.ID))
				out.Emails = append(out.Emails, g)
			}
		}
	}
	for _, m := range u.NewMeetings {
		changed(m, nil)
	}
	for _, m := range u.Dirty {
		if had, loaded := u.HadGuests[m.ID]; loaded {
			changed(m, had)
		}
	}
	if len(out.MeetingIds) > 0 {
		if err := errors.Join(q.DeleteGuests(ctx, out), q.UninviteOrganizers(ctx, db.UninviteOrganizersParams(out))); err != nil {
			return err
		}
	}
	if len(in.MeetingIds) > 0 {
		return q.InsertParticipants(ctx, in)
	}
	return nil
}

func saveJobs(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.NewMeetings) > 0 {
		var p db.InsertGoogleJobsParams
		for _, m := range u.NewMeetings {
			id, operation, err := jobIDs(&m.Job)
			if err != nil {
				return err
			}
			p.Ids = append(p.Ids, id)
			p.MeetingIds = append(p.MeetingIds, int64(m.ID))
			p.OrganizerIds = append(p.OrganizerIds, m.OrganizerID)
			p.States = append(p.States, m.Job.State.String())
			p.DueAts = append(p.DueAts, m.Job.DueAt)
			p.Dispatches = append(p.Dispatches, m.Job.Dispatch)
			p.DispatchedAts = append(p.DispatchedAts, m.Job.DispatchedAt)
			p.Operations = append(p.Operations, operation)
			p.ReplyInboxes = append(p.ReplyInboxes, m.Job.ReplyInbox)
			p.Traceparents = append(p.Traceparents, m.Job.Traceparent)
		}
		if err := q.InsertGoogleJobs(ctx, p); err != nil {
			return err
		}
	}
	if len(u.Dirty) == 0 {
		return nil
	}
	var p db.UpdateGoogleJobsParams
	for _, m := range u.Dirty {
		j := &m.Job
		id, operation, err := jobIDs(j)
		if err != nil {
			return err
		}
		history := "[]"
		if len(j.History) > 0 {
			text, err := json.Marshal(j.History)
			if err != nil {
				return fmt.Errorf("history of job %s: %w", j.ID, err)
			}
			history = string(text)
		}
		priority := int16(1)
		if m.Provisioning == meeting.Pending {
			priority = 0
		}
		p.Ids = append(p.Ids, id)
		p.States = append(p.States, j.State.String())
		p.Priorities = append(p.Priorities, priority)
		p.DueAts = append(p.DueAts, j.DueAt)
		p.Dispatches = append(p.Dispatches, j.Dispatch)
		p.DispatchedAts = append(p.DispatchedAts, j.DispatchedAt)
		p.FailedAttempts = append(p.FailedAttempts, int32(j.FailedAttempts))
		p.Operations = append(p.Operations, operation)
		p.ReplyInboxes = append(p.ReplyInboxes, j.ReplyInbox)
		p.Histories = append(p.Histories, history)
		p.Traceparents = append(p.Traceparents, j.Traceparent)
		p.EndedAts = append(p.EndedAts, j.EndedAt)
	}
	return q.UpdateGoogleJobs(ctx, p)
}

// jobIDs parses a job's ids; the operation is the nil UUID where nobody waits.
func jobIDs(j *meeting.Job) (id, operation uuid.UUID, err error) {
	if id, err = uuid.Parse(j.ID); err != nil {
		return id, operation, fmt.Errorf("job id: %w", err)
	}
	if j.Operation != "" {
		if operation, err = uuid.Parse(j.Operation); err != nil {
			return id, operation, fmt.Errorf("operation of job %s: %w", j.ID, err)
		}
	}
	return id, operation, nil
}

func saveEvents(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Events) == 0 {
		return nil
	}
	p := db.InsertEventsParams{OccurredAt: u.Now}
	for n, e := range u.Events {
		p.Ids = append(p.Ids, e.ID)
		p.Types = append(p.Types, e.Type)
		p.Subjects = append(p.Subjects, e.Subject)
		p.MeetingIds = append(p.MeetingIds, int64(e.MeetingID))
		p.Bodies = append(p.Bodies, e.Body)
		p.Traceparents = append(p.Traceparents, e.Traceparent)
		p.Ns = append(p.Ns, int32(n))
	}
	return q.InsertEvents(ctx, p)
}

func saveCommands(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Commands) == 0 {
		return nil
	}
	rows := slices.SortedFunc(slices.Values(u.Commands), func(a, b app.CommandRow) int { return slices.Compare(a.ID[:], b.ID[:]) })
	p := db.InsertCommandsParams{EndedAt: u.Now}
	for _, c := range rows {
		p.Ids = append(p.Ids, c.ID)
		p.Kinds = append(p.Kinds, c.Kind)
		p.BodyHashes = append(p.BodyHashes, c.BodyHash)
		p.Principals = append(p.Principals, c.Principal)
		p.RequestIds = append(p.RequestIds, c.RequestID)
		p.RemoteAddrs = append(p.RemoteAddrs, c.RemoteAddr)
		p.Replies = append(p.Replies, c.Reply)
		p.Refusals = append(p.Refusals, c.Refusal)
		p.MeetingIds = append(p.MeetingIds, int64(c.MeetingID))
	}
	return q.InsertCommands(ctx, p)
}
