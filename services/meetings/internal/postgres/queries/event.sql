-- name: InsertEvents :exec
INSERT INTO events (id, type, subject, meeting_id, occurred_at, body, traceparent)
SELECT t.id, t.type, t.subject, NULLIF(t.meeting_id, 0), @occurred_at::timestamptz, t.body, t.traceparent
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@types::text[]) AS type, unnest(@subjects::text[]) AS subject,
             unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@bodies::text[]) AS body,
             unnest(@traceparents::text[]) AS traceparent, unnest(@ns::integer[]) AS n) AS t
ORDER BY t.n;

-- name: NumberEvents :many
-- Gives the next numbers to the oldest facts that have none. Only the active relay runs it, so the row of numbers never waits.
WITH unnumbered AS (
    SELECT pos, row_number() OVER (ORDER BY pos) AS n
    FROM (SELECT pos FROM events WHERE seq IS NULL ORDER BY pos LIMIT @row_limit::bigint) AS oldest
), counter AS (
    UPDATE relay SET last_seq = last_seq + (SELECT count(*) FROM unnumbered)
    WHERE EXISTS (SELECT FROM unnumbered) RETURNING last_seq - (SELECT count(*) FROM unnumbered) AS base
)
UPDATE events e SET seq = counter.base + unnumbered.n FROM unnumbered, counter WHERE e.pos = unnumbered.pos
RETURNING e.id, e.seq, e.type, e.subject, e.occurred_at, e.body, e.traceparent;

-- name: EventsAfter :many
SELECT id, seq, type, subject, meeting_id, occurred_at, body, traceparent FROM events
WHERE seq > @after::bigint ORDER BY seq LIMIT @row_limit::bigint;

-- name: EventsOfMeetingAfter :many
SELECT id, seq, type, subject, meeting_id, occurred_at, body, traceparent FROM events
WHERE meeting_id = @meeting_id AND seq > @after::bigint ORDER BY seq LIMIT @row_limit::bigint;

-- name: EventsOfOrganizerAfter :many
SELECT e.id, e.seq, e.type, e.subject, e.meeting_id, e.occurred_at, e.body, e.traceparent FROM events e JOIN meetings m ON m.id = e.meeting_id
WHERE m.organizer_id = @owner AND (@meeting_id::bigint = 0 OR e.meeting_id = @meeting_id) AND e.seq > @after::bigint ORDER BY e.seq LIMIT @row_limit::bigint;

-- name: EventTime :many
-- Of the first event from there on; none where there is none. A restored database has numbers that nothing has.
SELECT occurred_at FROM events WHERE seq >= @seq::bigint ORDER BY seq LIMIT 1;

-- name: OldestUnpublished :many
-- None, one without a number, one with.
(SELECT occurred_at FROM events WHERE seq IS NULL ORDER BY pos LIMIT 1)
UNION ALL (SELECT occurred_at FROM events WHERE seq > (SELECT published_seq FROM relay) ORDER BY seq LIMIT 1);

-- name: GetRelay :one
SELECT * FROM relay;

-- name: MarkPublished :exec
UPDATE relay SET published_seq = @published_seq, events_last_seq = @events_last_seq;

-- name: MarkStreams :exec
-- Also says from where events are published again, so that a crash right after it forgets nothing.
UPDATE relay SET published_seq = @published_seq, events_created = @events_created, events_last_seq = @events_last_seq, jobs_created = @jobs_created;

-- name: TryLead :one
SELECT pg_try_advisory_lock(@key::bigint) AS leads;

-- name: DeleteDoneJobs :execrows
-- The google row of a meeting stays with it: it is what the next change makes due. Any other is made anew when it is wanted.
DELETE FROM jobs WHERE id IN (
    SELECT id FROM jobs WHERE state IN ('done', 'failed') AND ended_at < @before::timestamptz AND (meeting_id IS NULL OR class <> 'google') ORDER BY ended_at LIMIT 5000);
