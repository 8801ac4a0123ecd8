-- name: CountJobsInHand :many
-- What is left to do now, of each class by its part of an index. What waits for its time is the many and is counted by CountJobsPlanned.
SELECT c.class::text AS class,
    (SELECT count(*) FROM jobs j WHERE j.state = 'due' AND j.class = c.class AND j.due_at <= @now::timestamptz)::bigint AS due_jobs,
    (SELECT count(*) FROM jobs j WHERE j.state = 'out' AND j.class = c.class)::bigint AS out_jobs,
    (SELECT count(*) FROM jobs j WHERE j.state = 'failed' AND j.class = c.class)::bigint AS failed_jobs
FROM (SELECT unnest(@classes::text[]) AS class) AS c;

-- name: CountJobsPlanned :many
SELECT j.class, count(*) AS jobs FROM jobs j WHERE j.state = 'due' AND j.due_at > @now::timestamptz GROUP BY j.class;

-- name: CountRecentRecordings :many
-- By when they were to end; one without a time was to be held from an hour after it was made for an hour. No meeting that lasted
-- longer than a day is missed but at the far edge.
WITH ended AS (
    SELECT m.recording_state, m.recording_reason, coalesce(m.scheduled_end, m.scheduled_start + interval '1 hour') AS ended_at FROM meetings m
    WHERE m.recording_state <> 'not_expected' AND m.scheduled_start >= sqlc.arg(since)::timestamptz - interval '1 day' AND m.scheduled_start < sqlc.arg(now)::timestamptz
    UNION ALL
    SELECT m.recording_state, m.recording_reason, coalesce(m.scheduled_end, m.created_at + interval '2 hours') FROM meetings m
    WHERE m.recording_state <> 'not_expected' AND m.scheduled_start IS NULL
      AND m.created_at >= sqlc.arg(since)::timestamptz - interval '1 day' AND m.created_at < sqlc.arg(now)::timestamptz
)
SELECT e.recording_state, (CASE WHEN e.recording_state = 'missing' THEN e.recording_reason ELSE '' END)::text AS reason,
    count(*) AS meetings, count(*) FILTER (WHERE e.ended_at > sqlc.arg(last_day)::timestamptz) AS of_last_day
FROM ended e WHERE e.ended_at > sqlc.arg(since)::timestamptz AND e.ended_at <= sqlc.arg(now)::timestamptz
GROUP BY 1, 2;

-- name: CountOpenRecordings :one
-- Overdue are those that should be settled by now. By the index of what is not settled, in which few stand under these states; a file
-- without a copy is the end where no copies are made.
SELECT (
    (SELECT count(*) FROM meetings m WHERE m.recording_state IN ('expected', 'started', 'ended')
        AND m.scheduled_start < @late::timestamptz AND coalesce(m.scheduled_end, m.scheduled_start + interval '1 hour') < @late::timestamptz)
  + (SELECT count(*) FROM meetings m WHERE m.recording_state IN ('expected', 'started', 'ended')
        AND m.scheduled_start IS NULL AND coalesce(m.scheduled_end, m.created_at + interval '2 hours') < @late::timestamptz)
  + (SELECT count(*) FROM meetings m WHERE @copied::boolean AND m.recording_state IN ('file_generated', 'exported')
        AND m.scheduled_start > @kept_since::timestamptz AND m.scheduled_start < @late::timestamptz
        AND coalesce(m.scheduled_end, m.scheduled_start + interval '1 hour') < @late::timestamptz)
    )::bigint AS overdue,
    (SELECT count(*) FROM meetings m WHERE m.recording_state = 'expected' AND m.recording_reason = 'NOT_STARTED'
        AND m.scheduled_start > @late::timestamptz AND m.scheduled_start <= @now::timestamptz) AS not_started;
