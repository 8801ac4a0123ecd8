-- name: NextConferenceIDs :many
-- Numbers for what has no row yet, by Google's names; as in the three that follow.
SELECT n.name::text AS name, nextval(pg_get_serial_sequence('conferences', 'id'))::bigint AS id FROM unnest(@names::text[]) AS n (name)
WHERE n.name <> ALL (ARRAY(SELECT c.record FROM conferences c WHERE c.record = ANY (@names::text[])));

-- name: NextAttendeeIDs :many
SELECT n.name::text AS name, nextval(pg_get_serial_sequence('attendees', 'id'))::bigint AS id FROM unnest(@names::text[]) AS n (name)
WHERE n.name <> ALL (ARRAY(SELECT a.name FROM attendees a WHERE a.name = ANY (@names::text[])));

-- name: NextRecordingIDs :many
SELECT n.name::text AS name, nextval(pg_get_serial_sequence('recordings', 'id'))::bigint AS id FROM unnest(@names::text[]) AS n (name)
WHERE n.name <> ALL (ARRAY(SELECT r.name FROM recordings r WHERE r.name = ANY (@names::text[]) AND r.name <> ''));

-- name: NextTranscriptIDs :many
SELECT n.name::text AS name, nextval(pg_get_serial_sequence('transcripts', 'id'))::bigint AS id FROM unnest(@names::text[]) AS n (name)
WHERE n.name <> ALL (ARRAY(SELECT t.name FROM transcripts t WHERE t.name = ANY (@names::text[])));

-- name: KnownEntries :many
SELECT name FROM transcript_entries WHERE name = ANY (@names::text[]);

-- name: MeetingsOfRecords :many
SELECT record, meeting_id FROM conferences WHERE record = ANY (@records::text[]);

-- name: MeetingsOfSpaces :many
-- The newest, should a space be two meetings'.
SELECT space, max(id)::bigint AS id FROM meetings WHERE space = ANY (@spaces::text[]) AND space <> '' GROUP BY space;

-- name: KeptNotices :many
SELECT * FROM pending_notices WHERE record = ANY (@records::text[]) ORDER BY record, at;

-- name: KeepNotices :exec
-- Sorted, so that two batches never wait for each other in a ring.
INSERT INTO pending_notices (record, resource, type, at, created_at)
SELECT t.record, t.resource, t.type, t.at, @created_at::timestamptz
FROM (SELECT unnest(@records::text[]) AS record, unnest(@resources::text[]) AS resource, unnest(@types::text[]) AS type, unnest(@ats::timestamptz[]) AS at) AS t
ORDER BY t.record, t.resource, t.type
ON CONFLICT (record, resource, type) DO NOTHING;

-- name: ForgetNotices :exec
WITH locked AS (SELECT n.record, n.resource, n.type FROM pending_notices n WHERE n.record = ANY (@records::text[]) ORDER BY n.record, n.resource, n.type FOR UPDATE)
DELETE FROM pending_notices n USING locked WHERE n.record = locked.record AND n.resource = locked.resource AND n.type = locked.type;

-- name: DeleteOldNotices :execrows
DELETE FROM pending_notices WHERE (record, resource, type) IN (
    SELECT n.record, n.resource, n.type FROM pending_notices n WHERE n.created_at < @before::timestamptz ORDER BY n.created_at LIMIT 5000);

-- name: LockChecks :many
-- Of these meetings the rows that look after them.
SELECT * FROM jobs j WHERE j.kind = 'check_recording' AND j.key <> ''
    AND j.key = ANY (ARRAY(SELECT unnest(@ids::bigint[])::text UNION ALL SELECT m.id::text FROM meetings m WHERE m.uid = ANY (@uids::uuid[])))
ORDER BY j.meeting_id FOR UPDATE OF j;

-- name: ConferencesOf :many
SELECT sqlc.embed(c), (SELECT count(*) FROM attendees a WHERE a.conference_id = c.id)::bigint AS attendees
FROM conferences c WHERE c.meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[]))) ORDER BY c.started_at, c.record;

-- name: RecordingsOf :many
SELECT * FROM recordings WHERE meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[]))) AND conference_id IS NOT NULL ORDER BY id;

-- name: TranscriptsOf :many
SELECT sqlc.embed(t), (SELECT count(*) FROM transcript_entries e WHERE e.transcript_id = t.id)::bigint AS entries
FROM transcripts t WHERE t.meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[]))) ORDER BY t.id;

-- name: AttendeesOf :many
SELECT * FROM attendees
WHERE conference_id = ANY (ARRAY(SELECT c.id FROM conferences c WHERE c.meeting_id = ANY (@meeting_ids::bigint[]))) ORDER BY id;

-- name: SessionsOf :many
SELECT * FROM attendee_sessions WHERE attendee_id = ANY (ARRAY(SELECT a.id FROM attendees a
    WHERE a.conference_id = ANY (ARRAY(SELECT c.id FROM conferences c WHERE c.meeting_id = ANY (@meeting_ids::bigint[]))))) ORDER BY name;

-- name: NoShowsOf :many
SELECT id, meeting_id FROM participants WHERE meeting_id = ANY (@meeting_ids::bigint[]) AND no_show_told ORDER BY id;

-- name: OwnersOfMeetings :many
-- As they are, without a lock: whether notices arrive is no promise.
SELECT * FROM space_owners WHERE account = ANY (ARRAY(SELECT m.google_account FROM meetings m WHERE (m.id = ANY (@ids::bigint[]) OR m.uid = ANY (@uids::uuid[])) AND m.google_account <> ''));

-- name: SaveConferences :exec
INSERT INTO conferences (id, meeting_id, record, account, started_at, ended_at, end_exact, expires_at, source, recordings_read_at, attendees_read_at,
    sessions_read_at, transcripts_read_at, not_started_told, created_at)
SELECT t.id, t.meeting_id, t.record, t.account, t.started_at, NULLIF(t.ended_at, '0001-01-01 00:00:00+00'), t.end_exact,
    NULLIF(t.expires_at, '0001-01-01 00:00:00+00'), t.source, NULLIF(t.recordings_read_at, '0001-01-01 00:00:00+00'),
    NULLIF(t.attendees_read_at, '0001-01-01 00:00:00+00'), NULLIF(t.sessions_read_at, '0001-01-01 00:00:00+00'),
    NULLIF(t.transcripts_read_at, '0001-01-01 00:00:00+00'), t.not_started_told, t.created_at
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@records::text[]) AS record,
             unnest(@accounts::text[]) AS account, unnest(@started_ats::timestamptz[]) AS started_at, unnest(@ended_ats::timestamptz[]) AS ended_at,
             unnest(@end_exacts::boolean[]) AS end_exact, unnest(@expires_ats::timestamptz[]) AS expires_at, unnest(@sources::text[]) AS source,
             unnest(@recordings_read_ats::timestamptz[]) AS recordings_read_at, unnest(@attendees_read_ats::timestamptz[]) AS attendees_read_at,
             unnest(@sessions_read_ats::timestamptz[]) AS sessions_read_at, unnest(@transcripts_read_ats::timestamptz[]) AS transcripts_read_at,
             unnest(@not_started_tolds::boolean[]) AS not_started_told, unnest(@created_ats::timestamptz[]) AS created_at) AS t
ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, ended_at = excluded.ended_at, end_exact = excluded.end_exact,
    expires_at = excluded.expires_at, recordings_read_at = excluded.recordings_read_at, attendees_read_at = excluded.attendees_read_at,
    sessions_read_at = excluded.sessions_read_at, transcripts_read_at = excluded.transcripts_read_at, not_started_told = excluded.not_started_told;

-- name: SaveAttendees :exec
-- A participant who was removed meanwhile is nobody's match.
INSERT INTO attendees (id, conference_id, name, kind, google_user, display_name, email, first_joined_at, last_left_at, participant_id, match, match_reason,
    joined_told, left_told)
SELECT t.id, t.conference_id, t.name, t.kind, t.google_user, t.display_name, t.email, NULLIF(t.first_joined_at, '0001-01-01 00:00:00+00'),
    NULLIF(t.last_left_at, '0001-01-01 00:00:00+00'), NULLIF(t.participant_id, 0), t.match, t.match_reason, t.joined_told, t.left_told
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@conference_ids::bigint[]) AS conference_id, unnest(@names::text[]) AS name,
             unnest(@kinds::text[]) AS kind, unnest(@google_users::text[]) AS google_user, unnest(@display_names::text[]) AS display_name,
             unnest(@emails::text[]) AS email, unnest(@first_joined_ats::timestamptz[]) AS first_joined_at,
             unnest(@last_left_ats::timestamptz[]) AS last_left_at, unnest(@participant_ids::bigint[]) AS participant_id,
             unnest(@matches::text[]) AS match, unnest(@match_reasons::text[]) AS match_reason, unnest(@joined_tolds::boolean[]) AS joined_told,
             unnest(@left_tolds::boolean[]) AS left_told) AS t
ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, google_user = excluded.google_user, display_name = excluded.display_name, email = excluded.email,
    first_joined_at = excluded.first_joined_at, last_left_at = excluded.last_left_at, participant_id = excluded.participant_id,
    match = excluded.match, match_reason = excluded.match_reason, joined_told = excluded.joined_told, left_told = excluded.left_told;

-- name: SaveSessions :exec
INSERT INTO attendee_sessions (name, attendee_id, joined_at, left_at, exact, joined_told, left_told)
SELECT t.name, t.attendee_id, NULLIF(t.joined_at, '0001-01-01 00:00:00+00'), NULLIF(t.left_at, '0001-01-01 00:00:00+00'), t.exact, t.joined_told, t.left_told
FROM (SELECT unnest(@names::text[]) AS name, unnest(@attendee_ids::bigint[]) AS attendee_id, unnest(@joined_ats::timestamptz[]) AS joined_at,
             unnest(@left_ats::timestamptz[]) AS left_at, unnest(@exacts::boolean[]) AS exact, unnest(@joined_tolds::boolean[]) AS joined_told,
             unnest(@left_tolds::boolean[]) AS left_told) AS t
ORDER BY t.name
ON CONFLICT (name) DO UPDATE SET joined_at = excluded.joined_at, left_at = excluded.left_at, exact = excluded.exact,
    joined_told = excluded.joined_told, left_told = excluded.left_told;

-- name: SaveRecordings :exec
-- What is of the copy is another's.
INSERT INTO recordings (id, meeting_id, conference_id, name, state, started_at, ended_at, available_at, drive_file_id, drive_file_url, duration_seconds,
    size_bytes, file_state, file_name, mime_type, file_checked_at, drive_sha256, drive_md5, created_at)
SELECT t.id, t.meeting_id, t.conference_id, t.name, t.state, NULLIF(t.started_at, '0001-01-01 00:00:00+00'), NULLIF(t.ended_at, '0001-01-01 00:00:00+00'),
    NULLIF(t.available_at, '0001-01-01 00:00:00+00'), t.drive_file_id, t.drive_file_url, NULLIF(t.duration_seconds, 0), NULLIF(t.size_bytes, 0), t.file_state,
    t.file_name, t.mime_type, NULLIF(t.file_checked_at, '0001-01-01 00:00:00+00'), t.drive_sha256, t.drive_md5, t.created_at
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@conference_ids::bigint[]) AS conference_id,
             unnest(@names::text[]) AS name, unnest(@states::text[]) AS state, unnest(@started_ats::timestamptz[]) AS started_at,
             unnest(@ended_ats::timestamptz[]) AS ended_at, unnest(@available_ats::timestamptz[]) AS available_at,
             unnest(@drive_file_ids::text[]) AS drive_file_id, unnest(@drive_file_urls::text[]) AS drive_file_url,
             unnest(@duration_secondses::bigint[]) AS duration_seconds, unnest(@size_byteses::bigint[]) AS size_bytes,
             unnest(@file_states::text[]) AS file_state, unnest(@file_names::text[]) AS file_name, unnest(@mime_types::text[]) AS mime_type,
             unnest(@file_checked_ats::timestamptz[]) AS file_checked_at, unnest(@drive_sha256s::text[]) AS drive_sha256,
             unnest(@drive_md5s::text[]) AS drive_md5, unnest(@created_ats::timestamptz[]) AS created_at) AS t
ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET state = excluded.state, started_at = excluded.started_at, ended_at = excluded.ended_at,
    available_at = excluded.available_at, drive_file_id = excluded.drive_file_id, drive_file_url = excluded.drive_file_url,
    duration_seconds = excluded.duration_seconds, size_bytes = COALESCE(excluded.size_bytes, recordings.size_bytes), file_state = excluded.file_state,
    file_name = excluded.file_name, mime_type = excluded.mime_type, file_checked_at = excluded.file_checked_at,
    drive_sha256 = excluded.drive_sha256, drive_md5 = excluded.drive_md5;

-- name: SaveTranscripts :exec
INSERT INTO transcripts (id, meeting_id, conference_id, name, state, started_at, ended_at, document_id, export_uri, entries_read_at, created_at)
SELECT t.id, t.meeting_id, t.conference_id, t.name, t.state, NULLIF(t.started_at, '0001-01-01 00:00:00+00'), NULLIF(t.ended_at, '0001-01-01 00:00:00+00'),
    t.document_id, t.export_uri, NULLIF(t.entries_read_at, '0001-01-01 00:00:00+00'), t.created_at
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@conference_ids::bigint[]) AS conference_id,
             unnest(@names::text[]) AS name, unnest(@states::text[]) AS state, unnest(@started_ats::timestamptz[]) AS started_at,
             unnest(@ended_ats::timestamptz[]) AS ended_at, unnest(@document_ids::text[]) AS document_id, unnest(@export_uris::text[]) AS export_uri,
             unnest(@entries_read_ats::timestamptz[]) AS entries_read_at, unnest(@created_ats::timestamptz[]) AS created_at) AS t
ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET state = excluded.state, started_at = excluded.started_at, ended_at = excluded.ended_at,
    document_id = excluded.document_id, export_uri = excluded.export_uri, entries_read_at = excluded.entries_read_at;

-- name: InsertEntries :exec
INSERT INTO transcript_entries (transcript_id, name, attendee, text, language, started_at, ended_at)
SELECT t.transcript_id, t.name, t.attendee, t.text, t.language, t.started_at, t.ended_at
FROM (SELECT unnest(@transcript_ids::bigint[]) AS transcript_id, unnest(@names::text[]) AS name, unnest(@attendees::text[]) AS attendee,
             unnest(@texts::text[]) AS text, unnest(@languages::text[]) AS language, unnest(@started_ats::timestamptz[]) AS started_at,
             unnest(@ended_ats::timestamptz[]) AS ended_at) AS t
ORDER BY t.name
ON CONFLICT (name) DO NOTHING;

-- name: UpdatePresences :exec
UPDATE participants p SET joined_at = COALESCE(NULLIF(t.joined_at, '0001-01-01 00:00:00+00'), p.joined_at),
    left_at = CASE WHEN t.joined_at = '0001-01-01 00:00:00+00' THEN p.left_at ELSE NULLIF(t.left_at, '0001-01-01 00:00:00+00') END,
    no_show_told = p.no_show_told OR t.no_show
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@joined_ats::timestamptz[]) AS joined_at, unnest(@left_ats::timestamptz[]) AS left_at,
             unnest(@no_shows::boolean[]) AS no_show) AS t
WHERE p.id = t.id;

-- name: NudgeChecks :exec
-- What they are due for has changed; the look itself plans the next.
UPDATE jobs SET due_at = least(due_at, @now::timestamptz) WHERE kind = 'check_recording' AND key = ANY (@keys::text[]) AND key <> '' AND state = 'due';

-- name: SeeOwners :exec
-- Sorted, so that two batches never wait for each other in a ring.
INSERT INTO space_owners (account, busy_until, created_at)
SELECT t.account, t.busy_until, @created_at::timestamptz
FROM (SELECT unnest(@accounts::text[]) AS account, unnest(@busy_untils::timestamptz[]) AS busy_until) AS t
ORDER BY t.account
ON CONFLICT (account) DO UPDATE SET busy_until = greatest(space_owners.busy_until, excluded.busy_until);

-- name: FollowOwners :exec
-- An account that was quiet is looked at soon.
INSERT INTO jobs (id, class, kind, key, payload, state, priority, due_at, dispatch, failed_attempts, created_at)
SELECT t.id, 'observe', 'follow_conferences', o.id::text, jsonb_build_object('owner', o.id::text), 'due', 2, @now::timestamptz, 0, 0, @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@accounts::text[]) AS account) AS t JOIN space_owners o ON o.account = t.account
ORDER BY t.account
ON CONFLICT (kind, key) WHERE key <> '' DO UPDATE SET due_at = least(jobs.due_at, @soon::timestamptz);

-- name: LockOwners :many
SELECT sqlc.embed(o), COALESCE(u.id, 0)::bigint AS user_id
FROM space_owners o LEFT JOIN users u ON lower(u.email COLLATE "C") = lower(o.account COLLATE "C")
WHERE o.id = ANY (@ids::bigint[])
    OR o.subscription = ANY (@subscriptions::text[]) AND o.subscription <> ''
    OR o.google_user = ANY (@google_users::text[]) AND o.google_user <> ''
ORDER BY o.id FOR UPDATE OF o;

-- name: LockOwnerJobs :many
-- An array for the reason of LockGoogleJobs.
SELECT * FROM jobs j WHERE j.kind = 'follow_conferences' AND j.key <> '' AND j.key = ANY (ARRAY(SELECT o.id::text FROM space_owners o
    WHERE o.id = ANY (@ids::bigint[])
        OR o.subscription = ANY (@subscriptions::text[]) AND o.subscription <> ''
        OR o.google_user = ANY (@google_users::text[]) AND o.google_user <> ''))
ORDER BY j.id FOR UPDATE OF j;

-- name: AheadOfOwners :many
-- The next meetings of each account, those about now included.
SELECT o.id, ahead.scheduled_start, ahead.scheduled_end FROM space_owners o
CROSS JOIN LATERAL (SELECT m.scheduled_start, m.scheduled_end FROM meetings m
    WHERE m.google_account = o.account AND m.google_account <> '' AND m.scheduled_start IS NOT NULL AND m.scheduled_start > @since::timestamptz AND m.status <> 'CANCELLED'
    ORDER BY m.scheduled_start LIMIT 20) AS ahead
WHERE o.id = ANY (@ids::bigint[]);

-- name: OpenSince :many
-- When the oldest conference of each account began whose end is not known exactly.
SELECT o.id, open.started_at FROM space_owners o
CROSS JOIN LATERAL (SELECT c.started_at FROM conferences c WHERE c.account = o.account AND NOT c.end_exact AND c.started_at > @since::timestamptz
    ORDER BY c.started_at LIMIT 1) AS open
WHERE o.id = ANY (@ids::bigint[]);

-- name: UpdateOwner :exec
UPDATE space_owners SET google_user = @google_user, listed_until = @listed_until, read_at = @read_at, read_again = @read_again,
    subscription = @subscription, subscription_state = @subscription_state, subscription_reason = @subscription_reason,
    subscription_expires_at = @subscription_expires_at, subscription_checked_at = @subscription_checked_at,
    noticed_at = @noticed_at, held_at = @held_at, failure_code = @failure_code, failure_message = @failure_message
WHERE id = @id;

-- name: HeldBy :exec
-- Locked in the order of the batches.
WITH locked AS (SELECT o.id, o.account FROM space_owners o WHERE o.account = ANY (@accounts::text[]) ORDER BY o.id FOR UPDATE)
UPDATE space_owners s SET held_at = greatest(s.held_at, t.held_at)
FROM locked JOIN (SELECT unnest(@accounts::text[]) AS account, unnest(@held_ats::timestamptz[]) AS held_at) AS t ON t.account = locked.account
WHERE s.id = locked.id;

-- name: GetTask :one
SELECT * FROM jobs WHERE id = @id;

-- name: SpacesNear :many
-- The spaces of an account's meetings about a time, that one listing shows them all.
SELECT space FROM meetings
WHERE google_account = @account AND google_account <> '' AND scheduled_start IS NOT NULL AND scheduled_start >= @since::timestamptz AND scheduled_start <= @until::timestamptz AND space <> ''
ORDER BY scheduled_start LIMIT 200;

-- name: GetOwner :one
SELECT sqlc.embed(o), COALESCE(u.id, 0)::bigint AS user_id FROM space_owners o LEFT JOIN users u ON lower(u.email COLLATE "C") = lower(o.account COLLATE "C")
WHERE o.id = @id;

-- name: ReadMeetings :many
SELECT * FROM meetings WHERE id = ANY (@ids::bigint[]);

-- name: ReadChecks :many
SELECT * FROM jobs j WHERE j.kind = 'check_recording' AND j.key <> '' AND j.key = ANY (ARRAY(SELECT unnest(@ids::bigint[])::text));
