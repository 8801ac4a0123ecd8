-- name: MeetingsOfRecordings :many
SELECT DISTINCT meeting_id FROM recordings WHERE id = ANY (@ids::bigint[]) ORDER BY meeting_id;

-- name: LockExports :many
-- Drive is read in the name of whoever held the conference.
SELECT sqlc.embed(r), (CASE WHEN c.account <> '' THEN c.account WHEN m.google_account <> '' THEN m.google_account ELSE m.organizer_email END)::text AS account
FROM recordings r JOIN meetings m ON m.id = r.meeting_id LEFT JOIN conferences c ON c.id = r.conference_id
WHERE r.id = ANY (@ids::bigint[]) ORDER BY r.id FOR UPDATE OF r;

-- name: WantExports :exec
-- Once: a copy that was begun is not begun anew.
UPDATE recordings r SET export_state = 'pending', object_key = t.key
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@keys::text[]) AS key) AS t
WHERE r.id = t.id AND r.export_state = 'none';

-- name: UpdateExport :exec
UPDATE recordings SET export_state = @export_state, export_uri = @export_uri, sha256 = @hash, size_bytes = @size_bytes,
    compared_with = @compared_with, exported_at = @exported_at, verified_at = @verified_at, delete_after = @delete_after, deleted_at = @deleted_at,
    failure_code = @failure_code, failure_message = @failure_message, shared_with = @shared_with
WHERE id = @id;

-- name: SetLegalHold :exec
UPDATE meetings SET legal_hold = @legal_hold, legal_hold_reason = @legal_hold_reason WHERE id = @id;

-- name: WithdrawDeletions :exec
-- One that is out is under way.
UPDATE jobs SET state = 'done', ended_at = @now::timestamptz, result = '{"result": "legal_hold"}'
WHERE meeting_id = @meeting_id::bigint AND class = 'export' AND kind = 'delete_export' AND state = 'due';

-- name: MeetingsToCheck :many
-- Each part has its place in the index of what is not settled. A file without a copy is looked at again for 30 days, at pauses that
-- double; where copies are made, at once. So is for a week whether a file came late: a first look that found none was a day after the end.
SELECT m.id FROM meetings m WHERE m.recording_state NOT IN ('not_expected', 'verified') AND m.id > @after::bigint AND (
    m.recording_state = 'expected' AND m.scheduled_start <= @now::timestamptz
    OR m.recording_state = 'expected' AND m.scheduled_start IS NULL AND m.created_at <= @now::timestamptz
    OR m.recording_state = 'started' OR m.recording_state = 'ended'
    OR m.recording_state = 'missing' AND m.scheduled_start > @late_since::timestamptz AND m.recording_reason = 'FILE_NOT_GENERATED'
        AND EXISTS (SELECT FROM conferences c WHERE c.meeting_id = m.id
            AND c.recordings_read_at + greatest(c.recordings_read_at - c.ended_at, interval '20 hours') <= @now::timestamptz)
    OR m.recording_state = 'file_generated' AND (m.scheduled_start > @kept_since::timestamptz OR m.scheduled_start IS NULL)
        AND EXISTS (SELECT FROM recordings r WHERE r.meeting_id = m.id AND r.export_state = 'none' AND r.drive_file_id <> ''
            AND (@copied::boolean OR r.available_at > @kept_since::timestamptz
                AND COALESCE(r.file_checked_at + greatest(r.file_checked_at - r.available_at, interval '20 hours') <= @now::timestamptz, true)))
) ORDER BY m.id LIMIT @row_limit::bigint;

-- name: RenewExports :execrows
WITH lost AS (
    SELECT r.id FROM recordings r
    WHERE r.export_state IN ('mismatch', 'gone', 'failed') AND (r.export_state <> 'mismatch' OR r.verified_at IS NULL)
        AND r.file_state = 'present' AND r.available_at > @since::timestamptz
    ORDER BY r.id LIMIT 5000
), again AS (
    UPDATE jobs j SET state = 'due', due_at = @now::timestamptz, failed_attempts = 0, history = '[]', ended_at = NULL,
        payload = j.payload - 'sha256' - 'sizeBytes' - 'file'
    FROM lost WHERE j.kind = 'export_recording' AND j.key = lost.id::text AND j.key <> '' AND j.state IN ('done', 'failed')
    RETURNING lost.id
)
UPDATE recordings r SET export_state = 'pending' FROM again WHERE r.id = again.id;

-- name: ExpiredExports :many
SELECT sqlc.embed(r) FROM recordings r JOIN meetings m ON m.id = r.meeting_id
WHERE r.delete_after <= @now::timestamptz AND r.delete_after IS NOT NULL AND r.deleted_at IS NULL AND r.export_state NOT IN ('none', 'pending', 'deleted') AND NOT m.legal_hold
    AND NOT EXISTS (SELECT FROM jobs j WHERE j.kind = 'delete_export' AND j.key = r.id::text AND j.key <> '' AND j.state IN ('due', 'out'))
ORDER BY r.delete_after LIMIT @row_limit::bigint;

-- name: ForgetAttendance :one
WITH over AS (
    SELECT c.id, c.meeting_id FROM conferences c JOIN meetings m ON m.id = c.meeting_id
    WHERE c.ended_at < @ended::timestamptz AND c.ended_at IS NOT NULL AND NOT c.attendance_forgotten AND NOT m.legal_hold
    ORDER BY c.ended_at LIMIT @row_limit::bigint
), people AS (
    DELETE FROM attendees a USING over WHERE a.conference_id = over.id RETURNING a.id
), invited AS (
    UPDATE participants p SET joined_at = NULL, left_at = NULL FROM over
    WHERE p.meeting_id = over.meeting_id AND p.joined_at IS NOT NULL
), forgotten AS (
    UPDATE conferences c SET attendance_forgotten = true FROM over WHERE c.id = over.id RETURNING c.id
)
SELECT (SELECT count(*) FROM people) AS people, (SELECT count(*) FROM forgotten) AS conferences;

-- name: ForgetTranscripts :execrows
DELETE FROM transcripts WHERE id IN (
    SELECT t.id FROM transcripts t JOIN meetings m ON m.id = t.meeting_id
    WHERE t.created_at < @before::timestamptz AND NOT m.legal_hold ORDER BY t.created_at LIMIT @row_limit::bigint);

-- name: CountRecordings :many
-- One without a time was to be held an hour after it was made.
SELECT m.recording_state, m.recording_reason, count(*) AS meetings FROM meetings m
WHERE m.recording_state <> 'not_expected' AND (m.scheduled_start >= @from_time::timestamptz AND m.scheduled_start < @to_time::timestamptz
    OR m.scheduled_start IS NULL AND m.created_at >= @made_from::timestamptz AND m.created_at < @made_to::timestamptz)
GROUP BY m.recording_state, m.recording_reason;

-- name: MissingRecordings :many
SELECT m.id FROM meetings m
WHERE m.recording_state = 'missing' AND (m.scheduled_start >= @from_time::timestamptz AND m.scheduled_start < @to_time::timestamptz
    OR m.scheduled_start IS NULL AND m.created_at >= @made_from::timestamptz AND m.created_at < @made_to::timestamptz)
ORDER BY m.id LIMIT @row_limit::bigint;

-- name: LockPeriodicTasks :many
SELECT * FROM jobs j WHERE j.kind = ANY (@kinds::text[]) AND j.key = ANY (@kinds::text[]) AND j.key <> '' AND j.class = 'housekeeping' ORDER BY j.id FOR UPDATE OF j;
