-- name: LockKeys :many
-- By uid or prefix.
SELECT * FROM api_keys WHERE prefix = ANY (@names::text[]) OR uid::text = ANY (@names::text[]) ORDER BY id FOR NO KEY UPDATE;

-- name: InsertKey :exec
INSERT INTO api_keys (uid, name, prefix, secret_hash, mode, role, user_id, scopes, created_by, created_at, expires_at)
VALUES (@uid, @name, @prefix, @secret_hash, @mode, @role, NULLIF(@user_id::bigint, 0), @scopes, @created_by, @created_at, @expires_at);

-- name: UpdateKey :exec
UPDATE api_keys SET expires_at = @expires_at, revoked_at = @revoked_at, rotated_to = @rotated_to WHERE uid = @uid;

-- name: KeyByPrefix :one
SELECT k.*, coalesce(u.is_active, true)::boolean AS user_active FROM api_keys k LEFT JOIN users u ON u.id = k.user_id WHERE k.prefix = @prefix;

-- name: TouchKey :exec
UPDATE api_keys SET last_used_at = @now::timestamptz WHERE prefix = @prefix AND (last_used_at IS NULL OR last_used_at < @before::timestamptz);

-- name: GetKey :one
SELECT * FROM api_keys WHERE prefix = @name::text OR uid::text = @name::text;

-- name: ListKeys :many
SELECT * FROM api_keys
WHERE (@before_id::bigint = 0 OR id < @before_id)
  AND (@user_id::bigint = 0 OR user_id = @user_id)
  AND (@include_ended::boolean OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > @now::timestamptz)))
ORDER BY id DESC LIMIT @row_limit::bigint;

-- name: InsertSession :exec
INSERT INTO console_sessions (token_hash, user_id, created_at, seen_at, expires_at, idle_seconds, remote_addr, user_agent)
VALUES (@token_hash, @user_id, @created_at, @created_at, @expires_at, @idle_seconds, @remote_addr, @user_agent);

-- name: SessionByHash :one
SELECT s.created_at, s.seen_at, s.expires_at, s.idle_seconds, sqlc.embed(u) FROM console_sessions s JOIN users u ON u.id = s.user_id WHERE s.token_hash = @token_hash;

-- name: SessionUsers :many
SELECT token_hash, user_id FROM console_sessions WHERE token_hash = ANY (@token_hashes::bytea[]);

-- name: TouchSession :exec
UPDATE console_sessions SET seen_at = @now::timestamptz WHERE token_hash = @token_hash AND seen_at < @before::timestamptz;

-- name: DeleteSessions :exec
DELETE FROM console_sessions WHERE token_hash = ANY (@token_hashes::bytea[]);

-- name: DeleteSessionsOfUsers :exec
DELETE FROM console_sessions WHERE user_id = ANY (@user_ids::bigint[]);

-- name: DeleteEndedSessions :execrows
DELETE FROM console_sessions WHERE token_hash IN (
    SELECT token_hash FROM console_sessions WHERE expires_at < @before::timestamptz ORDER BY expires_at LIMIT 5000);

-- name: UserByLogin :many
-- None, one, or two where one's name is another's address; the name goes first.
SELECT * FROM users WHERE username = @login::text OR lower(email COLLATE "C") = @email_key::text
ORDER BY (username = @login::text) DESC LIMIT 2;

-- name: HasAdmin :one
SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND is_active);

-- name: LockAdminClaim :one
-- One at a time: two who claim at once must not both be the first.
SELECT pg_advisory_xact_lock(@key::bigint)::text AS locked;

-- name: InsertLink :exec
INSERT INTO one_time_links (token_hash, purpose, created_at, expires_at) VALUES (@token_hash, 'first_admin', @created_at, @expires_at);

-- name: NewestLink :many
-- None or one that still works.
SELECT created_at FROM one_time_links WHERE purpose = 'first_admin' AND used_at IS NULL AND expires_at > @now::timestamptz ORDER BY created_at DESC LIMIT 1;

-- name: ExpireLinks :exec
-- A newer one takes their place.
UPDATE one_time_links SET expires_at = @now::timestamptz WHERE purpose = 'first_admin' AND used_at IS NULL AND expires_at > @now::timestamptz;

-- name: LockLinks :many
SELECT * FROM one_time_links WHERE token_hash = ANY (@token_hashes::bytea[]) FOR UPDATE;

-- name: UseLink :exec
UPDATE one_time_links SET used_at = @now WHERE token_hash = @token_hash;

-- name: OwnsMeeting :one
SELECT EXISTS (SELECT FROM meetings WHERE id = @id AND organizer_id = @organizer_id);

-- name: OwnsMeetingByUID :one
SELECT EXISTS (SELECT FROM meetings WHERE uid = @uid AND organizer_id = @organizer_id);

-- name: OwnsParticipant :one
SELECT EXISTS (SELECT FROM participants p JOIN meetings m ON m.id = p.meeting_id WHERE p.id = @id AND m.organizer_id = @organizer_id);

-- name: OwnsRecording :one
SELECT EXISTS (SELECT FROM recordings r JOIN meetings m ON m.id = r.meeting_id WHERE r.id = @id AND m.organizer_id = @organizer_id);

-- name: OwnsOperation :one
SELECT EXISTS (SELECT FROM commands c JOIN meetings m ON m.id = c.meeting_id WHERE c.id = @id AND m.organizer_id = @organizer_id);

-- name: OwnsJob :one
SELECT EXISTS (SELECT FROM jobs j JOIN meetings m ON m.id = j.meeting_id WHERE j.id = @id AND m.organizer_id = @organizer_id);

-- name: RecordingOwners :many
-- Whose meetings the recordings are of.
SELECT r.id, m.organizer_id FROM recordings r JOIN meetings m ON m.id = r.meeting_id WHERE r.id = ANY (@ids::bigint[]);
