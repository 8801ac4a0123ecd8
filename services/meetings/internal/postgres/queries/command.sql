-- name: KnownCommands :many
SELECT id, body_hash, reply FROM commands WHERE id = ANY (@ids::uuid[]);

-- name: InsertCommands :exec
-- Two instances that carry out one command at once: the second fails here and is answered from the first's row.
INSERT INTO commands (id, kind, body_hash, principal, request_id, remote_addr, reply, refused, meeting_id, ended_at)
SELECT t.id, t.kind, t.body_hash, t.principal, t.request_id, t.remote_addr, t.reply, t.refused, NULLIF(t.meeting_id, 0), @ended_at::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@kinds::text[]) AS kind, unnest(@body_hashes::text[]) AS body_hash,
             unnest(@principals::text[]) AS principal, unnest(@request_ids::text[]) AS request_id,
             unnest(@remote_addrs::text[]) AS remote_addr, unnest(@replies::bytea[]) AS reply, unnest(@refusals::text[]) AS refused,
             unnest(@meeting_ids::bigint[]) AS meeting_id) AS t;

-- name: GetOperation :one
SELECT c.id, c.refused, m.id AS meeting_id, m.status, m.provisioning, m.google_sync, m.failure_code, m.failure_message
FROM commands c JOIN meetings m ON m.id = c.meeting_id
WHERE c.id = @id AND c.kind = ANY (@kinds::text[]);

-- name: DeleteOldCommands :execrows
-- An operation that is still under way can be followed.
DELETE FROM commands WHERE id IN (
    SELECT c.id FROM commands c
    WHERE c.ended_at < @before::timestamptz
      AND (SELECT j.operation FROM jobs j WHERE j.class = 'google' AND j.meeting_id = c.meeting_id) IS DISTINCT FROM c.id
    ORDER BY c.ended_at LIMIT 5000);
