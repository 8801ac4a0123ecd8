-- name: ListRecordings :many
-- Runs with custom plans, where a filter that is absent costs nothing.
SELECT r.* FROM recordings r
WHERE (@meeting_id::bigint = 0 OR r.meeting_id = @meeting_id) AND (@before_id::bigint = 0 OR r.id < @before_id)
  AND (@organizer_id::bigint = 0 OR EXISTS (SELECT 1 FROM meetings m WHERE m.id = r.meeting_id AND m.organizer_id = @organizer_id))
  AND (@state::text = '' OR r.state = @state) AND (@export_state::text = '' OR r.export_state = @export_state)
  AND (@started_from::timestamptz = '0001-01-01 00:00:00+00' OR r.started_at >= @started_from)
  AND (@started_to::timestamptz = '0001-01-01 00:00:00+00' OR r.started_at <= @started_to)
ORDER BY r.id DESC LIMIT @row_limit::bigint;

-- name: CountCoverage :many
-- Once by day and once by organizer, in one walk over the meetings that were to be recorded. A meeting without a time is wanted
-- an hour after it was made.
WITH expected AS (
    SELECT timezone(sqlc.arg(zone)::text, m.scheduled_start)::date AS day, m.organizer_id, m.recording_state,
        CASE WHEN m.recording_state = 'missing' THEN m.recording_reason ELSE '' END AS reason
    FROM meetings m
    WHERE m.recording_state <> 'not_expected' AND m.scheduled_start >= sqlc.arg(from_time)::timestamptz AND m.scheduled_start < sqlc.arg(to_time)::timestamptz
      AND (sqlc.arg(organizer_id)::bigint = 0 OR m.organizer_id = sqlc.arg(organizer_id))
    UNION ALL
    SELECT timezone(sqlc.arg(zone)::text, m.created_at + interval '1 hour')::date, m.organizer_id, m.recording_state,
        CASE WHEN m.recording_state = 'missing' THEN m.recording_reason ELSE '' END
    FROM meetings m
    WHERE m.recording_state <> 'not_expected' AND m.scheduled_start IS NULL
      AND m.created_at >= sqlc.arg(from_time)::timestamptz - interval '1 hour' AND m.created_at < sqlc.arg(to_time)::timestamptz - interval '1 hour'
      AND (sqlc.arg(organizer_id)::bigint = 0 OR m.organizer_id = sqlc.arg(organizer_id))
), counted AS (
    SELECT e.day, e.organizer_id, e.recording_state, e.reason, count(*) AS meetings
    FROM expected e GROUP BY GROUPING SETS ((e.day, e.recording_state, e.reason), (e.organizer_id, e.recording_state, e.reason))
)
SELECT coalesce(to_char(c.day, 'YYYY-MM-DD'), '')::text AS day, coalesce(c.organizer_id, 0)::bigint AS organizer_id, coalesce(u.email, '')::text AS organizer_email,
    c.recording_state, c.reason::text AS reason, c.meetings
FROM counted c LEFT JOIN users u ON u.id = c.organizer_id
ORDER BY c.day, u.email, c.organizer_id, c.recording_state, c.reason;
