-- name: LockUsers :many
-- Sorted, so that two batches never wait for each other in a ring; no number changes, so meetings may be made meanwhile.
SELECT * FROM users
WHERE id = ANY (@ids::bigint[]) OR lower(email COLLATE "C") = ANY (@lock_emails::text[])
ORDER BY id FOR NO KEY UPDATE;

-- name: OrganizersByEmail :many
SELECT id, username, email FROM users WHERE lower(email COLLATE "C") = ANY (@email_keys::text[]);

-- name: TakenUsernames :many
SELECT username FROM users WHERE username = ANY (@usernames::text[]);

-- name: NextUserIDs :many
-- One number for each address that has no user yet; the numbers must be known before the rows are written.
SELECT nextval(pg_get_serial_sequence('users', 'id'))::bigint AS id
FROM unnest(@email_keys::text[]) AS e (email)
WHERE NOT EXISTS (SELECT FROM users u WHERE lower(u.email COLLATE "C") = e.email);

-- name: InsertUsers :exec
INSERT INTO users (id, username, email, first_name, last_name, role, is_active, password_hash, date_joined)
SELECT t.id, t.username, t.email, t.first_name, t.last_name, t.role, true, t.password_hash, t.date_joined
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@usernames::text[]) AS username, unnest(@emails::text[]) AS email,
             unnest(@first_names::text[]) AS first_name, unnest(@last_names::text[]) AS last_name, unnest(@roles::text[]) AS role,
             unnest(@password_hashes::text[]) AS password_hash, unnest(@dates_joined::timestamptz[]) AS date_joined) AS t
ORDER BY lower(t.email COLLATE "C");

-- name: UpdateUser :exec
UPDATE users SET email = @email, first_name = @first_name, last_name = @last_name, role = @role, is_active = @is_active,
    password_hash = @password_hash
WHERE id = @id;

-- name: GetUser :one
SELECT * FROM users WHERE id = @id AND (is_active OR @include_inactive::boolean);

-- name: ListUsers :many
SELECT * FROM users
WHERE (is_active OR @include_inactive::boolean)
  AND (@before_id::bigint = 0 OR id < @before_id)
  AND (@only_id::bigint = 0 OR id = @only_id)
  AND (@role::text = '' OR role = @role)
  AND (@email_part::text = '' OR strpos(lower(email), lower(@email_part)) > 0)
  AND (@username_part::text = '' OR strpos(lower(username), lower(@username_part)) > 0)
ORDER BY id DESC LIMIT @row_limit::bigint;

-- name: UserStats :one
SELECT count(*) AS total, count(*) FILTER (WHERE is_active) AS active,
       count(*) FILTER (WHERE is_active AND role = 'admin') AS admins,
       count(*) FILTER (WHERE is_active AND role = 'service') AS services,
       count(*) FILTER (WHERE is_active AND role = 'external') AS externals
FROM users;
