-- name: LockGoogleJobs :many
-- An array, not a join: a plan kept from when the tables were empty would walk all jobs.
SELECT j.* FROM jobs j
WHERE j.class = 'google' AND j.meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[])))
ORDER BY j.meeting_id FOR UPDATE OF j;

-- name: CountOut :one
-- Bounded: it only has to tell whether the limit is reached.
SELECT count(*) FROM (SELECT 1 FROM jobs WHERE state = 'out' AND class = 'google' LIMIT @bound::bigint) AS out;

-- name: CountPressing :one
-- Those that are out and those that wait for room; bounded. A batch sends none past those who wait.
SELECT count(*) FROM ((SELECT 1 FROM jobs WHERE state = 'out' AND class = 'google' LIMIT @bound::bigint)
    UNION ALL (SELECT 1 FROM jobs WHERE state = 'due' AND class = 'google' AND due_at <= @now::timestamptz LIMIT @bound::bigint)) AS pressing;

-- name: InsertGoogleJobs :exec
INSERT INTO jobs (id, class, kind, meeting_id, organizer_id, state, priority, due_at, dispatch, dispatched_at, failed_attempts, operation, reply_inbox, traceparent, created_at)
SELECT t.id, 'google', 'sync_meeting', t.meeting_id, t.organizer_id, t.state, 0, t.due_at, t.dispatch,
    NULLIF(t.dispatched_at, '0001-01-01 00:00:00+00'), 0, t.operation, t.reply_inbox, t.traceparent, t.due_at
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@meeting_ids::bigint[]) AS meeting_id,
             unnest(@organizer_ids::bigint[]) AS organizer_id, unnest(@states::text[]) AS state,
             unnest(@due_ats::timestamptz[]) AS due_at, unnest(@dispatches::bigint[]) AS dispatch,
             unnest(@dispatched_ats::timestamptz[]) AS dispatched_at, unnest(@operations::uuid[]) AS operation,
             unnest(@reply_inboxes::text[]) AS reply_inbox, unnest(@traceparents::text[]) AS traceparent) AS t;

-- name: UpdateGoogleJobs :exec
UPDATE jobs j SET state = t.state, priority = t.priority, due_at = t.due_at, dispatch = t.dispatch,
    dispatched_at = NULLIF(t.dispatched_at, '0001-01-01 00:00:00+00'), failed_attempts = t.failed_attempts,
    operation = NULLIF(t.operation, '00000000-0000-0000-0000-000000000000'), reply_inbox = t.reply_inbox, history = t.history::jsonb,
    traceparent = t.traceparent, ended_at = NULLIF(t.ended_at, '0001-01-01 00:00:00+00')
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@priorities::smallint[]) AS priority,
             unnest(@due_ats::timestamptz[]) AS due_at, unnest(@dispatches::bigint[]) AS dispatch,
             unnest(@dispatched_ats::timestamptz[]) AS dispatched_at, unnest(@failed_attempts::integer[]) AS failed_attempts,
             unnest(@operations::uuid[]) AS operation, unnest(@reply_inboxes::text[]) AS reply_inbox,
             unnest(@histories::text[]) AS history, unnest(@traceparents::text[]) AS traceparent, unnest(@ended_ats::timestamptz[]) AS ended_at) AS t
WHERE j.id = t.id;

-- name: SendDueJobs :many
-- Creates first, then round robin by organizer, so that a lone create does not wait behind a thousand. Rows that a batch of
-- commands holds are left to it.
WITH candidates AS (
    SELECT id, priority, due_at, row_number() OVER (PARTITION BY organizer_id ORDER BY priority, due_at) AS turn
    FROM (SELECT id, priority, due_at, organizer_id FROM jobs WHERE state = 'due' AND class = 'google' AND due_at <= @now::timestamptz
          ORDER BY due_at LIMIT 20000) AS waiting
), chosen AS (
    SELECT j.id, c.turn FROM jobs j JOIN (SELECT id, priority, turn, due_at FROM candidates ORDER BY priority, turn, due_at LIMIT @row_limit::bigint) AS c ON c.id = j.id
    WHERE j.state = 'due'
    FOR UPDATE OF j SKIP LOCKED
)
UPDATE jobs j SET state = 'out', dispatch = j.dispatch + 1, dispatched_at = @now::timestamptz FROM chosen
WHERE j.id = chosen.id
RETURNING j.meeting_id, j.priority, chosen.turn, j.due_at;

-- name: NextDue :many
-- None or one of each class, each by one step into the index.
SELECT c.class::text AS class, next.due_at FROM (SELECT unnest(@classes::text[]) AS class) AS c
CROSS JOIN LATERAL (SELECT j.due_at FROM jobs j WHERE j.state = 'due' AND j.class = c.class ORDER BY j.due_at LIMIT 1) AS next;

-- name: OutSince :many
-- Sent before the given time and without an outcome; the relay looks whether their messages are still there.
SELECT c.class::text AS class, sent.id, sent.dispatch FROM (SELECT unnest(@classes::text[]) AS class) AS c
CROSS JOIN LATERAL (SELECT j.id, j.dispatch FROM jobs j WHERE j.state = 'out' AND j.class = c.class AND j.dispatched_at < @before::timestamptz
                    ORDER BY j.dispatched_at LIMIT 2000) AS sent;

-- name: SendAgain :exec
-- The message is gone and no outcome came: due at once, if nothing happened in between. Locked in the order of the batches. The
-- time of the dispatch stays, so that an outcome that is late is taken all the same.
WITH lost AS (
    SELECT j.id FROM jobs j JOIN (SELECT unnest(@ids::uuid[]) AS id, unnest(@dispatches::bigint[]) AS dispatch) AS t
        ON j.id = t.id AND j.dispatch = t.dispatch
    WHERE j.state = 'out' ORDER BY j.meeting_id FOR UPDATE OF j
)
UPDATE jobs j SET state = 'due', due_at = @now::timestamptz FROM lost WHERE j.id = lost.id;
