-- name: SendDueTasks :many
-- Rows of a class whose jobs are no meetings', oldest first, each with its whole message.
WITH chosen AS (
    SELECT d.id FROM jobs d WHERE d.state = 'due' AND d.class = @class::text AND d.due_at <= @now::timestamptz
    ORDER BY d.due_at LIMIT @row_limit::bigint FOR UPDATE OF d SKIP LOCKED
)
UPDATE jobs j SET state = 'out', dispatch = j.dispatch + 1, dispatched_at = @now::timestamptz FROM chosen WHERE j.id = chosen.id
RETURNING j.id, j.kind, j.dispatch, j.traceparent,
    (j.payload || jsonb_build_object('jobId', j.id::text, 'dispatch', j.dispatch::text, 'failedAttempts', j.failed_attempts))::text AS body;

-- name: CountOutOf :one
-- Bounded, as CountOut.
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'out' AND class = @class::text LIMIT @bound::bigint) AS out;

-- name: LockTasks :many
SELECT * FROM jobs j WHERE j.id = ANY (@ids::uuid[]) AND j.class <> 'google' ORDER BY j.id FOR UPDATE OF j;

-- name: InsertTasks :exec
-- One with a key that is there already stays as it is.
INSERT INTO jobs (id, class, kind, key, payload, meeting_id, state, priority, due_at, dispatch, failed_attempts, traceparent, created_at)
SELECT t.id, t.class, t.kind, t.key, t.payload::jsonb, NULLIF(t.meeting_id, 0), 'due', 2, t.due_at, 0, 0, t.traceparent, @created_at::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@classes::text[]) AS class, unnest(@kinds::text[]) AS kind, unnest(@keys::text[]) AS key,
             unnest(@payloads::text[]) AS payload, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@due_ats::timestamptz[]) AS due_at,
             unnest(@traceparents::text[]) AS traceparent) AS t
ORDER BY t.kind, t.key
ON CONFLICT (kind, key) WHERE key <> '' DO NOTHING;

-- name: RenewTasks :exec
-- One with the same key that is over is due again.
INSERT INTO jobs (id, class, kind, key, payload, meeting_id, state, priority, due_at, dispatch, failed_attempts, traceparent, created_at)
SELECT t.id, t.class, t.kind, t.key, t.payload::jsonb, NULLIF(t.meeting_id, 0), 'due', 2, t.due_at, 0, 0, t.traceparent, @created_at::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@classes::text[]) AS class, unnest(@kinds::text[]) AS kind, unnest(@keys::text[]) AS key,
             unnest(@payloads::text[]) AS payload, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@due_ats::timestamptz[]) AS due_at,
             unnest(@traceparents::text[]) AS traceparent) AS t
ORDER BY t.kind, t.key
ON CONFLICT (kind, key) WHERE key <> '' DO UPDATE SET state = 'due', due_at = excluded.due_at, payload = excluded.payload, failed_attempts = 0,
    history = '[]', traceparent = excluded.traceparent, ended_at = NULL WHERE jobs.state IN ('done', 'failed');

-- name: LookAtMeetings :exec
-- The check rows of meetings: due at a time at the latest. One that is out has a wish for after its outcome. They carry no
-- trace: each look at a meeting leads to the next, for weeks.
INSERT INTO jobs (id, class, kind, key, payload, meeting_id, state, priority, due_at, dispatch, failed_attempts, created_at)
SELECT t.id, t.class, t.kind, t.key, t.payload::jsonb, NULLIF(t.meeting_id, 0), 'due', 2, t.due_at, 0, 0, @created_at::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@classes::text[]) AS class, unnest(@kinds::text[]) AS kind, unnest(@keys::text[]) AS key,
             unnest(@payloads::text[]) AS payload, unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@due_ats::timestamptz[]) AS due_at) AS t
ORDER BY t.kind, t.key
ON CONFLICT (kind, key) WHERE key <> '' DO UPDATE SET
    state = CASE WHEN jobs.state = 'out' THEN 'out' ELSE 'due' END,
    due_at = CASE WHEN jobs.state = 'due' THEN least(jobs.due_at, excluded.due_at) ELSE greatest(excluded.due_at, jobs.dispatched_at + interval '1 millisecond') END,
    ended_at = NULL;

-- name: UpdateTasks :exec
UPDATE jobs j SET state = t.state, due_at = t.due_at, dispatched_at = NULLIF(t.dispatched_at, '0001-01-01 00:00:00+00'),
    failed_attempts = t.failed_attempts, history = t.history::jsonb, payload = t.payload::jsonb, result = t.result::jsonb,
    ended_at = NULLIF(t.ended_at, '0001-01-01 00:00:00+00')
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@due_ats::timestamptz[]) AS due_at,
             unnest(@dispatched_ats::timestamptz[]) AS dispatched_at, unnest(@failed_attempts::integer[]) AS failed_attempts,
             unnest(@histories::text[]) AS history, unnest(@payloads::text[]) AS payload, unnest(@results::text[]) AS result,
             unnest(@ended_ats::timestamptz[]) AS ended_at) AS t
WHERE j.id = t.id;
