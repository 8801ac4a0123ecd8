-- name: DatabaseIdentity :one
-- Of this database and its tables as they are: what is restored is another one, whether row by row or file by file.
SELECT encode(sha256(convert_to(concat_ws('/', s.system_identifier, c.timeline_id, d.oid, 'relay'::regclass::oid), 'UTF8')), 'hex')::text
FROM pg_control_system() s, pg_control_checkpoint() c, pg_catalog.pg_database d WHERE d.datname = current_database();

-- name: OtherInstances :many
SELECT (application_name || coalesce(' at ' || host(client_addr), ''))::text AS instance FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'meetings%' ORDER BY 1;

-- name: LastNumbered :one
SELECT coalesce(max(seq), 0)::bigint FROM events;

-- name: CountEvents :one
SELECT count(*) FROM events;

-- name: LastEvent :many
-- None or one.
SELECT seq, type, occurred_at FROM events ORDER BY pos DESC LIMIT 1;

-- name: LastRestore :many
-- What this very database was told of its restore; none or one.
SELECT line FROM audit WHERE subject_id = @identity AND subject_kind = 'database' ORDER BY seq DESC LIMIT 1;

-- name: InsertNumberedEvent :exec
INSERT INTO events (id, seq, type, subject, occurred_at, body, traceparent)
VALUES (@id, @seq::bigint, @type, @subject, @occurred_at, @body, '');

-- name: NumberOn :exec
-- Nothing is known of the streams any more: the relay compares them and publishes what they lack.
UPDATE relay SET last_seq = @last_seq, published_seq = least(published_seq, @before::bigint), events_created = NULL, events_last_seq = 0, jobs_created = NULL;

-- name: SkipIDs :many
-- What was made after the backup had the next numbers, and somebody may know it by them. setval is for good also where the
-- transaction is not: then some more are skipped.
SELECT c.relname::text AS sequence, setval(c.oid::regclass, coalesce(pg_sequence_last_value(c.oid), 0) + @skipped::bigint)::bigint AS last
FROM pg_catalog.pg_class c WHERE c.relkind = 'S' AND c.relnamespace = current_schema()::regnamespace ORDER BY 1;

-- name: EndAllSessions :execrows
DELETE FROM console_sessions;

-- name: ForgetOneTimeLinks :execrows
DELETE FROM one_time_links;

-- name: RenewChannels :exec
-- Google's channels may have been replaced since: each is made anew and the one that is known is stopped.
UPDATE calendars SET channel_expires_at = least(channel_expires_at, @now::timestamptz) WHERE channel_id <> '';

-- name: DoubtSubscriptions :exec
-- One whose end is not known is looked at, and adopted, renewed or made anew.
UPDATE space_owners SET subscription_expires_at = NULL, subscription_checked_at = NULL WHERE subscription <> '' OR subscription_state <> '';

-- name: FollowAgain :many
-- Calendars with the sync tokens of the backup: Google tells what has changed since.
UPDATE jobs SET due_at = least(due_at, @now::timestamptz) WHERE kind IN ('follow_calendar', 'follow_conferences') AND state = 'due'
RETURNING kind;
