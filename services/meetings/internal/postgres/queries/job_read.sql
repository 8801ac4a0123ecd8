-- name: GetJob :one
SELECT * FROM jobs WHERE id = @id;

-- name: JobsAhead :many
-- The next due first. Each class has its part of the index on what is due, and what is out is little: a page reads a page.
WITH RECURSIVE classes AS (
    (SELECT j.class FROM jobs j WHERE j.state = 'due' ORDER BY j.class LIMIT 1)
    UNION ALL
    SELECT (SELECT j.class FROM jobs j WHERE j.state = 'due' AND j.class > c.class ORDER BY j.class LIMIT 1) FROM classes c WHERE c.class IS NOT NULL
)
SELECT due.* FROM classes c CROSS JOIN LATERAL (
    SELECT d.* FROM jobs d
    WHERE d.state = 'due' AND d.class = c.class AND (d.due_at, d.id) > (@after_time::timestamptz, @after_id::uuid) AND (@kind::text = '' OR d.kind = @kind)
    ORDER BY d.due_at, d.id LIMIT @row_limit::bigint) AS due
WHERE @state::text <> 'out' AND (@class::text = '' OR c.class = @class)
UNION ALL (
    SELECT o.* FROM jobs o
    WHERE o.state = 'out' AND @state::text <> 'due' AND (@class::text = '' OR o.class = @class) AND (@kind::text = '' OR o.kind = @kind)
      AND (o.due_at, o.id) > (@after_time::timestamptz, @after_id::uuid)
    ORDER BY o.due_at, o.id LIMIT @row_limit::bigint)
ORDER BY due_at, id LIMIT @row_limit::bigint;

-- name: JobsBehind :many
-- The last ended first.
SELECT j.* FROM jobs j
WHERE j.state IN ('done', 'failed') AND (@state::text = '' OR j.state = @state) AND (@class::text = '' OR j.class = @class)
  AND (@kind::text = '' OR j.kind = @kind) AND (j.ended_at, j.id) < (@before_time::timestamptz, @before_id::uuid)
ORDER BY j.ended_at DESC, j.id DESC LIMIT @row_limit::bigint;

-- name: JobsAheadOfMeetings :many
-- As JobsAhead, of one meeting or of an organizer's.
SELECT j.* FROM jobs j JOIN (
    SELECT rows.id FROM meetings m CROSS JOIN LATERAL (
        SELECT g.id FROM jobs g WHERE g.meeting_id = m.id AND g.class = 'google'
        UNION ALL SELECT t.id FROM jobs t WHERE t.meeting_id = m.id AND t.class <> 'google') AS rows
    WHERE (@meeting_id::bigint = 0 OR m.id = @meeting_id) AND (@organizer_id::bigint = 0 OR m.organizer_id = @organizer_id)
) AS theirs ON theirs.id = j.id
WHERE j.state IN ('due', 'out') AND (@state::text = '' OR j.state = @state) AND (@class::text = '' OR j.class = @class)
  AND (@kind::text = '' OR j.kind = @kind) AND (j.due_at, j.id) > (@after_time::timestamptz, @after_id::uuid)
ORDER BY j.due_at, j.id LIMIT @row_limit::bigint;

-- name: JobsBehindOfMeetings :many
SELECT j.* FROM jobs j JOIN (
    SELECT rows.id FROM meetings m CROSS JOIN LATERAL (
        SELECT g.id FROM jobs g WHERE g.meeting_id = m.id AND g.class = 'google'
        UNION ALL SELECT t.id FROM jobs t WHERE t.meeting_id = m.id AND t.class <> 'google') AS rows
    WHERE (@meeting_id::bigint = 0 OR m.id = @meeting_id) AND (@organizer_id::bigint = 0 OR m.organizer_id = @organizer_id)
) AS theirs ON theirs.id = j.id
WHERE j.state IN ('done', 'failed') AND (@state::text = '' OR j.state = @state) AND (@class::text = '' OR j.class = @class)
  AND (@kind::text = '' OR j.kind = @kind) AND (j.ended_at, j.id) < (@before_time::timestamptz, @before_id::uuid)
ORDER BY j.ended_at DESC, j.id DESC LIMIT @row_limit::bigint;
