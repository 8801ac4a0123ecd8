-- name: PersonUser :many
-- None or one.
SELECT id FROM users WHERE lower(email COLLATE "C") = @email_key::text FOR UPDATE;

-- name: PersonRows :one
WITH who AS (SELECT @email_key::text AS key), his AS (
    SELECT p.id FROM participants p, who WHERE lower(p.email COLLATE "C") = who.key
), account AS (
    SELECT u.id FROM users u, who WHERE lower(u.email COLLATE "C") = who.key
)
SELECT
    (SELECT count(*) FROM account) AS users,
    (SELECT count(*) FROM meetings m, who WHERE lower(m.organizer_email COLLATE "C") = who.key) AS organized_meetings,
    (SELECT count(*) FROM his) AS participants,
    (SELECT count(*) FROM attendees a, who WHERE a.email <> '' AND lower(a.email COLLATE "C") = who.key
        OR a.match IN ('certain', 'likely') AND a.participant_id IN (SELECT his.id FROM his)) AS attendees,
    (SELECT count(*) FROM api_keys k WHERE k.user_id IN (SELECT account.id FROM account)) AS keys,
    (SELECT count(*) FROM console_sessions s WHERE s.user_id IN (SELECT account.id FROM account)) AS sessions,
    nextval(pg_get_serial_sequence('erasures', 'n'))::bigint AS number;

-- name: PersonMeetings :many
-- The person's meetings that stand against an erasure, the first few, with why.
WITH who AS (SELECT @email_key::text AS key), mine AS (
    SELECT m.id FROM meetings m, who WHERE lower(m.organizer_email COLLATE "C") = who.key
    UNION SELECT p.meeting_id FROM participants p, who WHERE lower(p.email COLLATE "C") = who.key
), judged AS (
    SELECT m.id, m.legal_hold AS held,
        m.status NOT IN ('CANCELLED', 'FINISHED') AND (m.scheduled_end IS NULL AND m.created_at > @now::timestamptz - interval '30 days'
            OR m.scheduled_end > @now::timestamptz) AS ahead,
        lower(m.organizer_email COLLATE "C") = who.key AND (m.recording_state IN ('expected', 'started', 'ended', 'exported') AND m.status <> 'CANCELLED'
            OR EXISTS (SELECT FROM jobs j WHERE j.meeting_id = m.id AND j.state IN ('due', 'out') AND j.class IN ('google', 'export'))) AS under_way
    FROM mine JOIN meetings m ON m.id = mine.id, who
)
SELECT j.id, j.held::boolean AS held, coalesce(j.ahead, false)::boolean AS ahead, j.under_way::boolean AS under_way FROM judged j
WHERE j.held OR j.ahead OR j.under_way ORDER BY j.id LIMIT 100;

-- The erasure, in this order: who an attendee is is told by the participant.

-- name: EraseAttendees :exec
UPDATE attendees a SET display_name = @pseudonym::text, google_user = '', email = CASE WHEN a.email = '' THEN '' ELSE @pseudonym::text END
WHERE a.email <> '' AND lower(a.email COLLATE "C") = @email_key::text
   OR a.match IN ('certain', 'likely') AND a.participant_id IN (SELECT p.id FROM participants p WHERE lower(p.email COLLATE "C") = @email_key::text);

-- name: EraseParticipants :exec
UPDATE participants SET email = @pseudonym WHERE lower(email COLLATE "C") = @email_key::text;

-- name: EraseOrganizer :exec
-- The version rises, so that no etag of before is taken for the present.
UPDATE meetings SET organizer_email = @pseudonym, version = version + 1, updated_at = @now::timestamptz,
    google_account = CASE WHEN lower(google_account COLLATE "C") = @email_key::text THEN @pseudonym::text ELSE google_account END,
    google_calendar_id = CASE WHEN lower(google_calendar_id COLLATE "C") = @email_key::text THEN @pseudonym::text ELSE google_calendar_id END
WHERE lower(organizer_email COLLATE "C") = @email_key::text;

-- name: EraseCalendarJobs :exec
DELETE FROM jobs WHERE (kind = 'follow_calendar' AND key IN (SELECT c.id::text FROM calendars c WHERE lower(c.account COLLATE "C") = @email_key::text AND lower(c.place COLLATE "C") = @email_key::text))
    OR (kind = 'follow_conferences' AND key IN (SELECT o.id::text FROM space_owners o WHERE lower(o.account COLLATE "C") = @email_key::text));

-- name: EraseCalendars :exec
DELETE FROM calendars WHERE lower(account COLLATE "C") = @email_key::text AND lower(place COLLATE "C") = @email_key::text;

-- name: EraseSpaceOwner :exec
DELETE FROM space_owners WHERE lower(account COLLATE "C") = @email_key::text;

-- name: EraseConferenceAccounts :exec
UPDATE conferences SET account = @pseudonym::text WHERE lower(account COLLATE "C") = @email_key::text;

-- name: EraseShares :exec
UPDATE recordings SET shared_with = ARRAY(SELECT DISTINCT CASE WHEN lower(s COLLATE "C") = @email_key::text THEN @pseudonym::text ELSE s END FROM unnest(shared_with) AS s)
WHERE EXISTS (SELECT FROM unnest(shared_with) AS s WHERE lower(s COLLATE "C") = @email_key::text);

-- name: EraseJobPayloads :exec
UPDATE jobs SET payload = '{}', result = '{}' WHERE state IN ('done', 'failed') AND kind = 'share_recording'
    AND (strpos(lower(payload::text COLLATE "C"), @email_key::text) > 0 OR strpos(lower(result::text COLLATE "C"), @email_key::text) > 0);

-- name: EraseReplies :exec
-- What a repeat would be answered holds addresses. They are of meetings that are over.
DELETE FROM commands WHERE meeting_id IN (SELECT p.meeting_id FROM participants p WHERE lower(p.email COLLATE "C") = @email_key::text);

-- name: EraseUser :exec
UPDATE users SET username = @username, email = @pseudonym, first_name = '', last_name = '', is_active = false, password_hash = ''
WHERE id = @id;

-- name: EraseUserKeys :exec
UPDATE api_keys SET revoked_at = @now::timestamptz WHERE user_id = @user_id AND revoked_at IS NULL;

-- name: InsertErasure :exec
INSERT INTO erasures (n, person, pseudonym, principal, at) VALUES (@n, @person, @pseudonym, @principal, @at);

-- The export, by kind, oldest first.

-- name: ExportUsers :many
SELECT id, (to_jsonb(u) - 'password_hash')::text AS body FROM users u WHERE lower(email COLLATE "C") = @email_key::text AND id > @after::bigint ORDER BY id LIMIT @row_limit::bigint;

-- name: ExportOrganized :many
SELECT id, to_jsonb(m)::text AS body FROM meetings m WHERE lower(organizer_email COLLATE "C") = @email_key::text AND id > @after::bigint ORDER BY id LIMIT @row_limit::bigint;

-- name: ExportParticipants :many
SELECT p.id, (to_jsonb(p) || jsonb_build_object('meeting_uid', m.uid, 'scheduled_start', m.scheduled_start, 'scheduled_end', m.scheduled_end))::text AS body
FROM participants p JOIN meetings m ON m.id = p.meeting_id
WHERE lower(p.email COLLATE "C") = @email_key::text AND p.id > @after::bigint ORDER BY p.id LIMIT @row_limit::bigint;

-- name: ExportAttendees :many
SELECT a.id, (to_jsonb(a) || jsonb_build_object('meeting_id', c.meeting_id, 'sessions',
    coalesce((SELECT jsonb_agg(jsonb_build_object('joined_at', s.joined_at, 'left_at', s.left_at) ORDER BY s.joined_at) FROM attendee_sessions s WHERE s.attendee_id = a.id), '[]')))::text AS body
FROM attendees a JOIN conferences c ON c.id = a.conference_id
WHERE (a.email <> '' AND lower(a.email COLLATE "C") = @email_key::text
   OR a.match IN ('certain', 'likely') AND a.participant_id IN (SELECT p.id FROM participants p WHERE lower(p.email COLLATE "C") = @email_key::text))
  AND a.id > @after::bigint ORDER BY a.id LIMIT @row_limit::bigint;

-- name: ExportSpoken :many
SELECT e.id, to_jsonb(e)::text AS body
FROM transcript_entries e JOIN attendees a ON a.name = e.attendee
WHERE (a.email <> '' AND lower(a.email COLLATE "C") = @email_key::text
   OR a.match IN ('certain', 'likely') AND a.participant_id IN (SELECT p.id FROM participants p WHERE lower(p.email COLLATE "C") = @email_key::text))
  AND e.id > @after::bigint ORDER BY e.id LIMIT @row_limit::bigint;

-- name: ExportKeys :many
SELECT k.id, (to_jsonb(k) - 'secret_hash')::text AS body FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE lower(u.email COLLATE "C") = @email_key::text AND k.id > @after::bigint ORDER BY k.id LIMIT @row_limit::bigint;

-- name: ExportSessions :many
-- Few: they are deleted when they end.
SELECT row_number() OVER (ORDER BY s.created_at, s.token_hash) AS id, (to_jsonb(s) - 'token_hash')::text AS body FROM console_sessions s JOIN users u ON u.id = s.user_id
WHERE lower(u.email COLLATE "C") = @email_key::text ORDER BY 1 LIMIT @row_limit::bigint;

-- name: ExportCommands :many
SELECT c.id, jsonb_build_object('id', c.id, 'kind', c.kind, 'principal', c.principal, 'request_id', c.request_id, 'remote_addr', c.remote_addr,
    'refused', c.refused, 'meeting_id', c.meeting_id, 'ended_at', c.ended_at)::text AS body
FROM commands c JOIN users u ON c.principal = 'user:' || u.id
WHERE lower(u.email COLLATE "C") = @email_key::text AND c.id > @after::uuid ORDER BY c.id LIMIT @row_limit::bigint;

-- name: ExportAudit :many
-- What names the person by pseudonym, and what he did himself.
SELECT seq AS id, line FROM audit
WHERE (strpos(line, @person::text) > 0 OR principal = @principal::text) AND seq > @after::bigint ORDER BY seq LIMIT @row_limit::bigint;
