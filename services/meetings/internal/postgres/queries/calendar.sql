-- name: SeeCalendars :exec
-- Sorted, so that two batches never wait for each other in a ring.
INSERT INTO calendars (place, account, calendar_id, busy_until, created_at)
SELECT t.place, t.account, t.calendar_id, t.busy_until, @created_at::timestamptz
FROM (SELECT unnest(@places::text[]) AS place, unnest(@accounts::text[]) AS account, unnest(@calendar_ids::text[]) AS calendar_id,
             unnest(@busy_untils::timestamptz[]) AS busy_until) AS t
ORDER BY t.place
ON CONFLICT (place) DO UPDATE SET busy_until = greatest(calendars.busy_until, excluded.busy_until);

-- name: FollowCalendars :exec
-- A calendar that was quiet is looked at soon.
INSERT INTO jobs (id, class, kind, key, payload, state, priority, due_at, dispatch, failed_attempts, created_at)
SELECT t.id, 'observe', 'follow_calendar', c.id::text,
    jsonb_build_object('calendar', c.id::text, 'account', c.account, 'calendarId', c.calendar_id, 'push', true),
    'due', 2, @now::timestamptz, 0, 0, @now::timestamptz
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@places::text[]) AS place) AS t JOIN calendars c ON c.place = t.place
ORDER BY t.place
ON CONFLICT (kind, key) WHERE key <> '' DO UPDATE SET due_at = least(jobs.due_at, @soon::timestamptz);

-- name: LockCalendars :many
SELECT sqlc.embed(c), sqlc.embed(j) FROM calendars c JOIN jobs j ON j.kind = 'follow_calendar' AND j.key = c.id::text AND j.key <> ''
WHERE c.id = ANY (@ids::bigint[]) OR c.channel_id = ANY (@channels::text[]) AND c.channel_id <> ''
ORDER BY c.id FOR UPDATE OF c, j;

-- name: UpdateCalendar :exec
UPDATE calendars SET sync_token = @sync_token, full_pass_at = @full_pass_at, read_at = @read_at, read_again = @read_again,
    channel_id = @channel_id, channel_resource = @channel_resource, channel_token_hash = @channel_token_hash,
    channel_expires_at = @channel_expires_at, failure_code = @failure_code, failure_message = @failure_message
WHERE id = @id;

-- name: UpdateTask :exec
-- A row that is no meeting's.
UPDATE jobs SET state = @state, due_at = @due_at, dispatched_at = @dispatched_at, failed_attempts = @failed_attempts,
    history = @history, payload = @payload, ended_at = @ended_at
WHERE id = @id;

-- name: MeetingsOfEvents :many
SELECT id FROM meetings WHERE google_event_id = ANY (@event_ids::text[]) AND google_event_id <> '';

-- name: PeopleOf :many
SELECT p.id, p.meeting_id, p.email, p.response_status FROM participants p
WHERE p.meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[])))
ORDER BY p.id;

-- name: UpdateResponses :exec
UPDATE participants p SET response_status = t.response
FROM (SELECT unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@emails::text[]) AS email, unnest(@responses::text[]) AS response) AS t
WHERE p.meeting_id = t.meeting_id AND lower(p.email COLLATE "C") = lower(t.email COLLATE "C");
