-- name: SendDueTasks :many
-- Rows of a class whose jobs are no meetings', oldest first, each with its whole message.
WITH chosen AS (
    SELECT d.id FROM jobs d WHERE d.state = 'due' AND d.class = @class::text AND d.due_at <= @now::timestamptz
    ORDER BY d.due_at LIMIT @row_limit::bigint FOR UPDATE OF d SKIP LOCKED
)
UPDATE jobs j SET state = 'out', dispatch = j.dispatch + 1, dispatched_at = @now::timestamptz FROM chosen WHERE j.id = chosen.id
RETURNING j.id, j.kind, j.dispatch,
    (j.payload || jsonb_build_object('jobId', j.id::text, 'dispatch', j.dispatch::text, 'failedAttempts', j.failed_attempts))::text AS body;

-- name: CountOutOf :one
-- Bounded, as CountOut.
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'out' AND class = @class::text LIMIT @bound::bigint) AS out;
