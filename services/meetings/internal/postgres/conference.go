package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// resolveHeld adds the meetings of the conferences and spaces that are asked for. Neither changes its meeting, so this needs no
// lock; it is a round trip of its own, which only observations and notices cost.
func (s *Store) resolveHeld(ctx context.Context, conn *pgxpool.Conn, u *app.Unit, n *app.Needs) error {
	if len(n.Records)+len(n.Spaces) == 0 {
		return nil
	}
	var reads []read
	if len(n.Records) > 0 {
		reads = append(reads, func(q *db.Queries) error {
			rows, err := q.MeetingsOfRecords(ctx, n.Records)
			for _, r := range rows {
				u.Records[r.Record] = meeting.ID(r.MeetingID)
			}
			return err
		}, func(q *db.Queries) error {
			rows, err := q.KeptNotices(ctx, n.Records)
			for i := range rows {
				keep(u, &rows[i])
			}
			return err
		})
	}
	if len(n.Spaces) > 0 {
		reads = append(reads, func(q *db.Queries) error {
			rows, err := q.MeetingsOfSpaces(ctx, n.Spaces)
			for _, r := range rows {
				u.Spaces[r.Space] = meeting.ID(r.ID)
			}
			return err
		})
	}
	if err := pipeline(ctx, conn, nil, reads); err != nil {
		return err
	}
	recall(u, n)
	add := func(id meeting.ID, attended bool) {
		ref := meeting.Ref{ID: id}
		n.Meetings, n.Ledgers = append(n.Meetings, ref), append(n.Ledgers, ref)
		if attended {
			n.Attended, n.People = append(n.Attended, ref), append(n.People, ref)
		}
	}
	for record, id := range u.Records {
		add(id, slices.Contains(n.AttendedRecords, record))
	}
	for space, id := range u.Spaces {
		add(id, slices.Contains(n.AttendedSpaces, space))
	}
	n.Meetings, n.Ledgers, n.Attended, n.People = once(n.Meetings), once(n.Ledgers), once(n.Attended), once(n.People)
	return nil
}

// keep takes a notice of a conference that was not known when it came.
func keep(u *app.Unit, r *db.PendingNotice) {
	u.Kept[r.Record] = append(u.Kept[r.Record], conference.Kept{
		Notice: conference.Notice{Type: conference.ParseNoticeType(r.Type), Resource: r.Resource, At: r.At.UTC()}, CameAt: r.CreatedAt.UTC(),
	})
}

// recall adds what notices that were kept need once their conferences are known.
func recall(u *app.Unit, n *app.Needs) {
	for record, kept := range u.Kept {
		for i := range kept {
			notice := &kept[i].Notice
			switch rows := notice.Rows(); notice.Type { //nolint:exhaustive // the others make no row
			case conference.ParticipantJoined, conference.ParticipantLeft:
				n.New.Attendees = append(n.New.Attendees, rows...)
				n.AttendedRecords = append(n.AttendedRecords, record)
				if space := n.SpaceOf[record]; space != "" {
					n.AttendedSpaces = append(n.AttendedSpaces, space)
				}
			case conference.RecordingStarted, conference.RecordingEnded:
				n.New.Recordings = append(n.New.Recordings, rows...)
			case conference.TranscriptStarted, conference.TranscriptEnded, conference.TranscriptGenerated:
				n.New.Transcripts = append(n.New.Transcripts, rows...)
			default:
			}
		}
	}
}

// once takes out doubles, keeping the order.
func once(refs []meeting.Ref) []meeting.Ref {
	seen := make(map[meeting.Ref]struct{}, len(refs))
	return slices.DeleteFunc(refs, func(r meeting.Ref) bool {
		_, double := seen[r]
		seen[r] = struct{}{}
		return double
	})
}

// loadNumbers takes numbers for what may be new. Before the rows are loaded: one that is there in between has a number too many,
// never one too few.
func loadNumbers(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	var reads []read
	add := func(names []string, read read) {
		if len(names) > 0 {
			reads = append(reads, read)
		}
	}
	names := distinct(n.New.Conferences)
	add(names, func(q *db.Queries) error {
		rows, err := q.NextConferenceIDs(ctx, names)
		for _, r := range rows {
			u.Numbers[r.Name] = r.ID
		}
		return err
	})
	attendees := distinct(n.New.Attendees)
	add(attendees, func(q *db.Queries) error {
		rows, err := q.NextAttendeeIDs(ctx, attendees)
		for _, r := range rows {
			u.Numbers[r.Name] = r.ID
		}
		return err
	})
	recordings := distinct(n.New.Recordings)
	add(recordings, func(q *db.Queries) error {
		rows, err := q.NextRecordingIDs(ctx, recordings)
		for _, r := range rows {
			u.Numbers[r.Name] = r.ID
		}
		return err
	})
	transcripts := distinct(n.New.Transcripts)
	add(transcripts, func(q *db.Queries) error {
		rows, err := q.NextTranscriptIDs(ctx, transcripts)
		for _, r := range rows {
			u.Numbers[r.Name] = r.ID
		}
		return err
	})
	add(n.Entries, func(q *db.Queries) error {
		rows, err := q.KnownEntries(ctx, n.Entries)
		for _, name := range rows {
			u.KnownEntries[name] = struct{}{}
		}
		return err
	})
	return reads
}

func distinct(names []string) []string {
	sorted := slices.Sorted(slices.Values(names))
	return slices.Compact(sorted)
}

// loadLedgers reads what was held of the meetings that were locked by then.
func loadLedgers(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	ids, uids := refs(n.Ledgers)
	if len(ids)+len(uids) == 0 {
		return nil
	}
	attended, _ := refs(n.Attended) // always by number
	l := newLedgers(u, attended)
	reads := []read{
		func(q *db.Queries) error {
			rows, err := q.LockChecks(ctx, db.LockChecksParams{Ids: ids, Uids: uids})
			if err != nil {
				return err
			}
			return l.begin(n, rows)
		},
		func(q *db.Queries) error {
			rows, err := q.OwnersOfMeetings(ctx, db.OwnersOfMeetingsParams{Ids: ids, Uids: uids})
			for i := range rows {
				l.owner(&rows[i])
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.ConferencesOf(ctx, db.ConferencesOfParams{Ids: ids, Uids: uids})
			for i := range rows {
				l.conference(&rows[i].Conference, rows[i].Attendees)
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.RecordingsOf(ctx, db.RecordingsOfParams{Ids: ids, Uids: uids})
			if err != nil {
				return err
			}
			for i := range rows {
				if err := l.recording(&rows[i]); err != nil {
					return err
				}
			}
			return nil
		},
		func(q *db.Queries) error {
			rows, err := q.TranscriptsOf(ctx, db.TranscriptsOfParams{Ids: ids, Uids: uids})
			if err != nil {
				return err
			}
			for i := range rows {
				if err := l.transcript(&rows[i].Transcript, rows[i].Entries); err != nil {
					return err
				}
			}
			return nil
		},
	}
	if len(attended) == 0 {
		return reads
	}
	return append(reads,
		func(q *db.Queries) error {
			rows, err := q.AttendeesOf(ctx, attended)
			for i := range rows {
				l.attendee(&rows[i])
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.SessionsOf(ctx, attended)
			for i := range rows {
				l.session(&rows[i])
			}
			return err
		},
		func(q *db.Queries) error {
			rows, err := q.NoShowsOf(ctx, attended)
			for _, r := range rows {
				if ledger := u.Ledgers[meeting.ID(r.MeetingID)]; ledger != nil {
					ledger.NoShows[r.ID] = true
				}
			}
			return err
		},
	)
}

// ledgers puts rows together.
type ledgers struct {
	unit        *app.Unit
	attended    []int64
	conferences map[int64]*conference.Conference
	attendees   map[int64]*conference.Attendee
}

func newLedgers(u *app.Unit, attended []int64) *ledgers {
	return &ledgers{unit: u, attended: attended, conferences: map[int64]*conference.Conference{}, attendees: map[int64]*conference.Attendee{}}
}

// begin makes the ledgers of the meetings that are there, with their check rows.
func (l *ledgers) begin(n *app.Needs, checks []db.Job) error {
	for _, ref := range n.Ledgers {
		m, err := l.unit.Meeting(ref)
		if err != nil || l.unit.Ledgers[m.ID] != nil {
			continue
		}
		l.unit.Ledgers[m.ID] = &conference.Ledger{Meeting: m, NoShows: map[int64]bool{}, PeopleLoaded: slices.Contains(l.attended, int64(m.ID))}
	}
	for i := range checks {
		if err := l.check(&checks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledgers) check(r *db.Job) error {
	t, err := decodeTask(r)
	if err != nil {
		return err
	}
	if ledger := l.unit.Ledgers[t.MeetingID]; ledger != nil {
		if known := l.unit.Tasks[t.ID]; known != nil {
			t = known
		}
		ledger.Check, l.unit.Tasks[t.ID] = t, t
	}
	return nil
}

func (l *ledgers) owner(r *db.SpaceOwner) {
	for _, ledger := range l.unit.Ledgers {
		if ledger.Meeting.Google.Account == r.Account {
			ledger.Owner = decodeOwner(r)
		}
	}
}

func (l *ledgers) conference(r *db.Conference, attendees int64) {
	ledger := l.unit.Ledgers[meeting.ID(r.MeetingID)]
	if ledger == nil {
		return
	}
	c := decodeConference(r)
	c.AttendeesCount, c.AttendeesLoaded = int(attendees), ledger.PeopleLoaded
	ledger.Conferences = append(ledger.Conferences, c)
	l.conferences[r.ID] = c
}

func (l *ledgers) recording(r *db.Recording) error {
	c := l.conferences[*r.ConferenceID]
	if c == nil {
		return nil
	}
	recording, err := decodeHeldRecording(r)
	if err != nil {
		return err
	}
	c.Recordings = append(c.Recordings, recording)
	return nil
}

func (l *ledgers) transcript(r *db.Transcript, entries int64) error {
	c := l.conferences[r.ConferenceID]
	if c == nil {
		return nil
	}
	state, err := parseArtifact(r.State)
	if err != nil {
		return fmt.Errorf("transcript %d: %w", r.ID, err)
	}
	c.Transcripts = append(c.Transcripts, &conference.Transcript{
		ID: r.ID, Name: r.Name, State: state, StartedAt: value(r.StartedAt), EndedAt: value(r.EndedAt), DocumentID: r.DocumentID, URL: r.ExportUri,
		EntriesReadAt: value(r.EntriesReadAt), CreatedAt: r.CreatedAt.UTC(), EntriesCount: int(entries),
	})
	return nil
}

func (l *ledgers) attendee(r *db.Attendee) {
	c := l.conferences[r.ConferenceID]
	if c == nil {
		return
	}
	a := &conference.Attendee{
		ID: r.ID, Name: r.Name, Kind: conference.Kind(r.Kind), User: r.GoogleUser, DisplayName: r.DisplayName, Email: r.Email,
		FirstJoinedAt: value(r.FirstJoinedAt), LastLeftAt: value(r.LastLeftAt), Match: r.Match, MatchReason: r.MatchReason,
		JoinedTold: r.JoinedTold, LeftTold: r.LeftTold,
	}
	if r.ParticipantID != nil {
		a.ParticipantID = *r.ParticipantID
	}
	c.Attendees = append(c.Attendees, a)
	l.attendees[r.ID] = a
}

func (l *ledgers) session(r *db.AttendeeSession) {
	if a := l.attendees[r.AttendeeID]; a != nil {
		a.Sessions = append(a.Sessions, &conference.Session{
			Name: r.Name, JoinedAt: value(r.JoinedAt), LeftAt: value(r.LeftAt), Exact: r.Exact, JoinedTold: r.JoinedTold, LeftTold: r.LeftTold,
		})
	}
}

func decodeConference(r *db.Conference) *conference.Conference {
	return &conference.Conference{
		ID: conference.ID(r.ID), Meeting: meeting.ID(r.MeetingID), Record: r.Record, Account: r.Account, StartedAt: r.StartedAt.UTC(),
		EndedAt: value(r.EndedAt), EndExact: r.EndExact, ExpiresAt: value(r.ExpiresAt), Source: conference.Source(r.Source),
		RecordingsReadAt: value(r.RecordingsReadAt), AttendeesReadAt: value(r.AttendeesReadAt), SessionsReadAt: value(r.SessionsReadAt),
		TranscriptsReadAt: value(r.TranscriptsReadAt), NotStartedTold: r.NotStartedTold, CreatedAt: r.CreatedAt.UTC(),
	}
}

func decodeHeldRecording(r *db.Recording) (*conference.Recording, error) {
	state, err := parseArtifact(r.State)
	if err != nil {
		return nil, fmt.Errorf("recording %d: %w", r.ID, err)
	}
	out := &conference.Recording{
		ID: r.ID, Name: r.Name, State: state, StartedAt: value(r.StartedAt), EndedAt: value(r.EndedAt), AvailableAt: value(r.AvailableAt),
		DriveFileID: r.DriveFileID, URL: r.DriveFileUrl, Export: conference.ExportState(r.ExportState), CreatedAt: r.CreatedAt.UTC(),
		File: conference.File{
			State: conference.FileState(r.FileState), Name: r.FileName, MimeType: r.MimeType, SHA256: r.DriveSha256, MD5: r.DriveMd5, CheckedAt: value(r.FileCheckedAt),
		},
	}
	if r.SizeBytes != nil {
		out.File.SizeBytes = *r.SizeBytes
	}
	if r.DurationSeconds != nil {
		out.File.DurationSeconds = *r.DurationSeconds
	}
	return out, nil
}

// artifactNames are the states as the columns hold them.
var artifactNames = map[conference.ArtifactState]string{
	conference.ArtifactStarted: "started", conference.ArtifactEnded: "ended", conference.ArtifactGenerated: "file_generated",
}

func parseArtifact(name string) (conference.ArtifactState, error) {
	for state, n := range artifactNames {
		if n == name {
			return state, nil
		}
	}
	return 0, fmt.Errorf("no state is called %q", name)
}

func decodeOwner(r *db.SpaceOwner) conference.Owner {
	return conference.Owner{
		ID: conference.OwnerID(r.ID), Account: r.Account, GoogleUser: r.GoogleUser, BusyUntil: r.BusyUntil.UTC(), ListedUntil: value(r.ListedUntil),
		ReadAt: value(r.ReadAt), ReadAgain: r.ReadAgain,
		Subscription: conference.Subscription{
			Name: r.Subscription, State: r.SubscriptionState, Reason: r.SubscriptionReason, ExpiresAt: value(r.SubscriptionExpiresAt),
			CheckedAt: value(r.SubscriptionCheckedAt),
		},
		NoticedAt: value(r.NoticedAt), HeldAt: value(r.HeldAt), Failure: meeting.Failure{Code: r.FailureCode, Message: r.FailureMessage},
		CreatedAt: r.CreatedAt.UTC(),
	}
}

// loadOwners locks the accounts that are asked for, with what lies ahead of each.
func loadOwners(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	if len(n.Owners)+len(n.Subscriptions)+len(n.GoogleUsers) == 0 {
		return nil
	}
	ids := make([]int64, 0, len(n.Owners))
	for _, id := range n.Owners {
		ids = append(ids, int64(id))
	}
	subscriptions, users := append([]string{}, n.Subscriptions...), append([]string{}, n.GoogleUsers...)
	reads := []read{func(q *db.Queries) error {
		rows, err := q.LockOwners(ctx, db.LockOwnersParams{Ids: ids, Subscriptions: subscriptions, GoogleUsers: users})
		if err != nil {
			return err
		}
		for i := range rows {
			o := decodeOwner(&rows[i].SpaceOwner)
			o.UserID = rows[i].UserID
			u.Owners[o.ID] = &o
		}
		return nil
	}, func(q *db.Queries) error {
		rows, err := q.LockOwnerJobs(ctx, db.LockOwnerJobsParams{Ids: ids, Subscriptions: subscriptions, GoogleUsers: users})
		if err != nil {
			return err
		}
		return ownerJobs(u, rows)
	}}
	if len(ids) == 0 {
		return reads
	}
	return append(reads, func(q *db.Queries) error {
		rows, err := q.AheadOfOwners(ctx, db.AheadOfOwnersParams{Ids: ids, Since: u.Now.Add(-aheadSince)})
		for _, r := range rows {
			if o := u.Owners[conference.OwnerID(r.ID)]; o != nil {
				o.Ahead = append(o.Ahead, window(r.ScheduledStart, r.ScheduledEnd))
			}
		}
		return err
	})
}

// ownerJobs gives the accounts their jobs. An account without one is of a batch that is not committed yet, and left alone.
func ownerJobs(u *app.Unit, rows []db.Job) error {
	jobs := make(map[string]meeting.Job, len(rows))
	for i := range rows {
		job, err := decodeJob(&rows[i])
		if err != nil {
			return err
		}
		jobs[rows[i].Key] = job
	}
	for id, o := range u.Owners {
		job, ok := jobs[strconv.FormatInt(int64(id), 10)]
		if !ok {
			delete(u.Owners, id)
			continue
		}
		o.Job = job
	}
	return nil
}

// aheadSince is how long ago a meeting may have begun that is still going on.
const aheadSince = 12 * time.Hour

func window(start, end *time.Time) conference.Window {
	w := conference.Window{Start: value(start), End: value(end)}
	if w.End.IsZero() {
		w.End = w.Start.Add(time.Hour)
	}
	return w
}

// saveHeld writes what was held.
func saveHeld(ctx context.Context, q *db.Queries, u *app.Unit) error {
	dirty := u.DirtyLedgers()
	return errors.Join(
		saveConferences(ctx, q, dirty), saveAttendees(ctx, q, dirty), saveSessions(ctx, q, dirty), saveRecordings(ctx, q, dirty),
		saveTranscripts(ctx, q, dirty), savePresences(ctx, q, dirty), nudgeChecks(ctx, q, u), saveOwners(ctx, q, u),
		saveNotices(ctx, q, u),
	)
}

// saveNotices keeps notices of conferences that are not known, and forgets those that were of use.
func saveNotices(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.DoneKept) > 0 {
		if err := q.ForgetNotices(ctx, slices.Sorted(maps.Keys(u.DoneKept))); err != nil {
			return err
		}
	}
	p := db.KeepNoticesParams{CreatedAt: u.Now}
	for i := range u.NewKept {
		n := &u.NewKept[i]
		if _, done := u.DoneKept[n.Record()]; done { // in the same batch
			continue
		}
		p.Records = append(p.Records, n.Record())
		p.Resources = append(p.Resources, n.Resource)
		p.Types = append(p.Types, n.Type.String())
		p.Ats = append(p.Ats, n.At)
	}
	if len(p.Records) == 0 {
		return nil
	}
	return q.KeepNotices(ctx, p)
}

func saveConferences(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.SaveConferencesParams
	for _, l := range dirty {
		for c := range l.Changed() {
			p.Ids = append(p.Ids, int64(c.ID))
			p.MeetingIds = append(p.MeetingIds, int64(c.Meeting))
			p.Records = append(p.Records, c.Record)
			p.Accounts = append(p.Accounts, c.Account)
			p.StartedAts = append(p.StartedAts, c.StartedAt)
			p.EndedAts = append(p.EndedAts, c.EndedAt)
			p.EndExacts = append(p.EndExacts, c.EndExact)
			p.ExpiresAts = append(p.ExpiresAts, c.ExpiresAt)
			p.Sources = append(p.Sources, string(c.Source))
			p.RecordingsReadAts = append(p.RecordingsReadAts, c.RecordingsReadAt)
			p.AttendeesReadAts = append(p.AttendeesReadAts, c.AttendeesReadAt)
			p.SessionsReadAts = append(p.SessionsReadAts, c.SessionsReadAt)
			p.TranscriptsReadAts = append(p.TranscriptsReadAts, c.TranscriptsReadAt)
			p.NotStartedTolds = append(p.NotStartedTolds, c.NotStartedTold)
			p.CreatedAts = append(p.CreatedAts, c.CreatedAt)
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	return q.SaveConferences(ctx, p)
}

func saveAttendees(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.SaveAttendeesParams
	for _, l := range dirty {
		for _, c := range l.Conferences {
			for _, a := range c.Attendees {
				if !a.Changed() {
					continue
				}
				p.Ids = append(p.Ids, a.ID)
				p.ConferenceIds = append(p.ConferenceIds, int64(c.ID))
				p.Names = append(p.Names, a.Name)
				p.Kinds = append(p.Kinds, string(a.Kind))
				p.GoogleUsers = append(p.GoogleUsers, a.User)
				p.DisplayNames = append(p.DisplayNames, a.DisplayName)
				p.Emails = append(p.Emails, a.Email)
				p.FirstJoinedAts = append(p.FirstJoinedAts, a.FirstJoinedAt)
				p.LastLeftAts = append(p.LastLeftAts, a.LastLeftAt)
				p.ParticipantIds = append(p.ParticipantIds, a.ParticipantID)
				p.Matches = append(p.Matches, a.Match)
				p.MatchReasons = append(p.MatchReasons, a.MatchReason)
				p.JoinedTolds = append(p.JoinedTolds, a.JoinedTold)
				p.LeftTolds = append(p.LeftTolds, a.LeftTold)
			}
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	return q.SaveAttendees(ctx, p)
}

func saveSessions(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.SaveSessionsParams
	for _, l := range dirty {
		for _, c := range l.Conferences {
			for _, a := range c.Attendees {
				for _, s := range a.Sessions {
					if !s.Changed() {
						continue
					}
					p.Names = append(p.Names, s.Name)
					p.AttendeeIds = append(p.AttendeeIds, a.ID)
					p.JoinedAts = append(p.JoinedAts, s.JoinedAt)
					p.LeftAts = append(p.LeftAts, s.LeftAt)
					p.Exacts = append(p.Exacts, s.Exact)
					p.JoinedTolds = append(p.JoinedTolds, s.JoinedTold)
					p.LeftTolds = append(p.LeftTolds, s.LeftTold)
				}
			}
		}
	}
	if len(p.Names) == 0 {
		return nil
	}
	return q.SaveSessions(ctx, p)
}

func saveRecordings(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.SaveRecordingsParams
	for _, l := range dirty {
		for _, c := range l.Conferences {
			for _, r := range c.Recordings {
				if !r.Changed() {
					continue
				}
				p.Ids = append(p.Ids, r.ID)
				p.MeetingIds = append(p.MeetingIds, int64(c.Meeting))
				p.ConferenceIds = append(p.ConferenceIds, int64(c.ID))
				p.Names = append(p.Names, r.Name)
				p.States = append(p.States, artifactNames[r.State])
				p.StartedAts = append(p.StartedAts, r.StartedAt)
				p.EndedAts = append(p.EndedAts, r.EndedAt)
				p.AvailableAts = append(p.AvailableAts, r.AvailableAt)
				p.DriveFileIds = append(p.DriveFileIds, r.DriveFileID)
				p.DriveFileUrls = append(p.DriveFileUrls, r.URL)
				p.DurationSecondses = append(p.DurationSecondses, r.Duration())
				p.SizeByteses = append(p.SizeByteses, r.File.SizeBytes)
				p.FileStates = append(p.FileStates, string(r.File.State))
				p.FileNames = append(p.FileNames, r.File.Name)
				p.MimeTypes = append(p.MimeTypes, r.File.MimeType)
				p.FileCheckedAts = append(p.FileCheckedAts, r.File.CheckedAt)
				p.DriveSha256s = append(p.DriveSha256s, r.File.SHA256)
				p.DriveMd5s = append(p.DriveMd5s, r.File.MD5)
				p.CreatedAts = append(p.CreatedAts, r.CreatedAt)
			}
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	return q.SaveRecordings(ctx, p)
}

func saveTranscripts(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.SaveTranscriptsParams
	var entries db.InsertEntriesParams
	for _, l := range dirty {
		for _, c := range l.Conferences {
			for _, t := range c.Transcripts {
				if !t.Changed() {
					continue
				}
				p.Ids = append(p.Ids, t.ID)
				p.MeetingIds = append(p.MeetingIds, int64(c.Meeting))
				p.ConferenceIds = append(p.ConferenceIds, int64(c.ID))
				p.Names = append(p.Names, t.Name)
				p.States = append(p.States, artifactNames[t.State])
				p.StartedAts = append(p.StartedAts, t.StartedAt)
				p.EndedAts = append(p.EndedAts, t.EndedAt)
				p.DocumentIds = append(p.DocumentIds, t.DocumentID)
				p.ExportUris = append(p.ExportUris, t.URL)
				p.EntriesReadAts = append(p.EntriesReadAts, t.EntriesReadAt)
				p.CreatedAts = append(p.CreatedAts, t.CreatedAt)
				for _, e := range t.Entries {
					entries.TranscriptIds = append(entries.TranscriptIds, t.ID)
					entries.Names = append(entries.Names, e.Name)
					entries.Attendees = append(entries.Attendees, e.Attendee)
					entries.Texts = append(entries.Texts, e.Text)
					entries.Languages = append(entries.Languages, e.Language)
					entries.StartedAts = append(entries.StartedAts, e.StartedAt)
					entries.EndedAts = append(entries.EndedAts, e.EndedAt)
				}
			}
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	if err := q.SaveTranscripts(ctx, p); err != nil || len(entries.Names) == 0 {
		return err
	}
	return q.InsertEntries(ctx, entries)
}

func savePresences(ctx context.Context, q *db.Queries, dirty []*conference.Ledger) error {
	var p db.UpdatePresencesParams
	for _, l := range dirty {
		for _, presence := range l.Presences() {
			p.Ids = append(p.Ids, presence.ParticipantID)
			p.JoinedAts = append(p.JoinedAts, presence.JoinedAt)
			p.LeftAts = append(p.LeftAts, presence.LeftAt)
			p.NoShows = append(p.NoShows, presence.NoShow)
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	return q.UpdatePresences(ctx, p)
}

func nudgeChecks(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.Nudged) == 0 {
		return nil
	}
	p := db.NudgeChecksParams{Now: u.Now}
	for _, id := range slices.Sorted(maps.Keys(u.Nudged)) {
		p.Keys = append(p.Keys, strconv.FormatInt(int64(id), 10))
	}
	return q.NudgeChecks(ctx, p)
}

// saveOwners gives accounts their rows and jobs, and writes those that were worked on.
func saveOwners(ctx context.Context, q *db.Queries, u *app.Unit) error {
	if len(u.SpaceOwners) > 0 {
		see := db.SeeOwnersParams{CreatedAt: u.Now}
		follow := db.FollowOwnersParams{Now: u.Now, Soon: u.Now.Add(u.Looking.Every)}
		for _, account := range slices.Sorted(maps.Keys(u.SpaceOwners)) {
			id, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("make a job id: %w", err)
			}
			see.Accounts = append(see.Accounts, account)
			see.BusyUntils = append(see.BusyUntils, u.SpaceOwners[account])
			follow.Ids = append(follow.Ids, id)
			follow.Accounts = append(follow.Accounts, account)
		}
		if err := errors.Join(q.SeeOwners(ctx, see), q.FollowOwners(ctx, follow)); err != nil {
			return err
		}
	}
	for _, o := range u.DirtyOwners() {
		if err := q.UpdateOwner(ctx, db.UpdateOwnerParams{
			ID: int64(o.ID), GoogleUser: o.GoogleUser, ListedUntil: maybe(o.ListedUntil), ReadAt: maybe(o.ReadAt), ReadAgain: o.ReadAgain,
			Subscription: o.Subscription.Name, SubscriptionState: o.Subscription.State, SubscriptionReason: o.Subscription.Reason,
			SubscriptionExpiresAt: maybe(o.Subscription.ExpiresAt), SubscriptionCheckedAt: maybe(o.Subscription.CheckedAt),
			NoticedAt: maybe(o.NoticedAt), HeldAt: maybe(o.HeldAt), FailureCode: o.Failure.Code, FailureMessage: o.Failure.Message,
		}); err != nil {
			return err
		}
		if err := saveTask(ctx, q, &o.Job, map[string]any{"owner": strconv.FormatInt(int64(o.ID), 10)}); err != nil {
			return err
		}
	}
	if len(u.Began) == 0 {
		return nil
	}
	var p db.HeldByParams
	for _, account := range slices.Sorted(maps.Keys(u.Began)) {
		p.Accounts = append(p.Accounts, account)
		p.HeldAts = append(p.HeldAts, u.Began[account])
	}
	return q.HeldBy(ctx, p)
}
