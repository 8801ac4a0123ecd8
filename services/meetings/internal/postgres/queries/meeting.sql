-- name: NextMeetingIDs :many
-- One number for each command that has not been carried out: a repeat makes no gap. An array for the reason of LockGoogleJobs.
SELECT nextval(pg_get_serial_sequence('meetings', 'id'))::bigint AS id
FROM unnest(@command_ids::uuid[]) AS c (id)
WHERE c.id <> ALL (ARRAY(SELECT k.id FROM commands k WHERE k.id = ANY (@command_ids::uuid[])));

-- name: LockMeetings :many
-- Row locks, sorted: changes to one meeting wait for each other, and two batches never wait in a ring.
SELECT sqlc.embed(m), u.username FROM meetings m JOIN users u ON u.id = m.organizer_id
WHERE m.id = ANY (@ids::bigint[]) OR m.uid = ANY (@uids::uuid[])
ORDER BY m.id FOR NO KEY UPDATE OF m;

-- name: GuestsOf :many
-- An array for the reason of LockGoogleJobs.
SELECT p.meeting_id, p.email FROM participants p
WHERE p.invited AND p.meeting_id = ANY (@ids::bigint[] || ARRAY(SELECT m.id FROM meetings m WHERE m.uid = ANY (@uids::uuid[])))
ORDER BY p.id;

-- name: InsertMeetings :exec
INSERT INTO meetings (id, uid, organizer_id, organizer_email, summary, description, time_zone, scheduled_start, scheduled_end,
    external_reference, auto_record, create_calendar_event, public_access, guests_can_see_each_other, status, provisioning,
    google_sync, recording_state, participants_count, version, wanted_version, generation, created_at, updated_at)
SELECT t.id, t.uid, t.organizer_id, t.organizer_email, t.summary, t.description, t.time_zone,
    NULLIF(t.scheduled_start, '0001-01-01 00:00:00+00'), NULLIF(t.scheduled_end, '0001-01-01 00:00:00+00'),
    t.external_reference, t.auto_record, t.create_calendar_event, t.public_access, t.guests_can_see_each_other, t.status,
    t.provisioning, t.google_sync, t.recording_state, t.participants_count, t.version, t.wanted_version, t.generation, t.created_at, t.updated_at
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@uids::uuid[]) AS uid, unnest(@organizer_ids::bigint[]) AS organizer_id,
             unnest(@organizer_emails::text[]) AS organizer_email, unnest(@summaries::text[]) AS summary,
             unnest(@descriptions::text[]) AS description, unnest(@time_zones::text[]) AS time_zone,
             unnest(@scheduled_starts::timestamptz[]) AS scheduled_start, unnest(@scheduled_ends::timestamptz[]) AS scheduled_end,
             unnest(@external_references::text[]) AS external_reference, unnest(@auto_records::boolean[]) AS auto_record,
             unnest(@create_calendar_events::boolean[]) AS create_calendar_event,
             unnest(@public_accesses::boolean[]) AS public_access,
             unnest(@guests_can_see_each_others::boolean[]) AS guests_can_see_each_other, unnest(@statuses::text[]) AS status,
             unnest(@provisionings::text[]) AS provisioning, unnest(@google_syncs::text[]) AS google_sync,
             unnest(@recording_states::text[]) AS recording_state, unnest(@participants_counts::integer[]) AS participants_count,
             unnest(@versions::bigint[]) AS version, unnest(@wanted_versions::bigint[]) AS wanted_version,
             unnest(@generations::bigint[]) AS generation, unnest(@created_ats::timestamptz[]) AS created_at,
             unnest(@updated_ats::timestamptz[]) AS updated_at) AS t;

-- name: UpdateMeetings :exec
UPDATE meetings m SET summary = t.summary, description = t.description,
    scheduled_start = NULLIF(t.scheduled_start, '0001-01-01 00:00:00+00'), scheduled_end = NULLIF(t.scheduled_end, '0001-01-01 00:00:00+00'),
    status = t.status, provisioning = t.provisioning, google_sync = t.google_sync, recording_state = t.recording_state,
    participants_count = t.participants_count, version = t.version, wanted_version = t.wanted_version, generation = t.generation,
    google_calendar_id = t.google_calendar_id, google_event_id = t.google_event_id, google_event_etag = t.google_event_etag,
    meet_link = t.meet_link, meeting_code = t.meeting_code, space = t.space, simulated = t.simulated,
    event_version = t.event_version, settings_version = t.settings_version, auto_recording = t.auto_recording,
    access_type = t.access_type, event_digest = t.event_digest,
    google_account = t.google_account, event_updated = NULLIF(t.event_updated, '0001-01-01 00:00:00+00'), event_shown = t.event_shown,
    event_noticed = NULLIF(t.event_noticed, '0001-01-01 00:00:00+00'), recording_reason = t.recording_reason,
    has_recording = t.has_recording, conference_record_id = t.conference_record_id,
    event_deleted = t.event_deleted, failure_code = t.failure_code, failure_message = t.failure_message, updated_at = t.updated_at
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@summaries::text[]) AS summary, unnest(@descriptions::text[]) AS description,
             unnest(@scheduled_starts::timestamptz[]) AS scheduled_start, unnest(@scheduled_ends::timestamptz[]) AS scheduled_end,
             unnest(@statuses::text[]) AS status, unnest(@provisionings::text[]) AS provisioning,
             unnest(@google_syncs::text[]) AS google_sync, unnest(@recording_states::text[]) AS recording_state,
             unnest(@participants_counts::integer[]) AS participants_count, unnest(@versions::bigint[]) AS version,
             unnest(@wanted_versions::bigint[]) AS wanted_version, unnest(@generations::bigint[]) AS generation,
             unnest(@google_calendar_ids::text[]) AS google_calendar_id, unnest(@google_event_ids::text[]) AS google_event_id,
             unnest(@google_event_etags::text[]) AS google_event_etag, unnest(@meet_links::text[]) AS meet_link,
             unnest(@meeting_codes::text[]) AS meeting_code, unnest(@spaces::text[]) AS space,
             unnest(@simulateds::boolean[]) AS simulated, unnest(@event_versions::bigint[]) AS event_version,
             unnest(@settings_versions::bigint[]) AS settings_version, unnest(@auto_recordings::text[]) AS auto_recording, unnest(@access_types::text[]) AS access_type,
             unnest(@event_digests::text[]) AS event_digest, unnest(@google_accounts::text[]) AS google_account,
             unnest(@event_updateds::timestamptz[]) AS event_updated, unnest(@event_showns::text[]) AS event_shown,
             unnest(@event_noticeds::timestamptz[]) AS event_noticed, unnest(@recording_reasons::text[]) AS recording_reason,
             unnest(@has_recordings::boolean[]) AS has_recording, unnest(@conference_record_ids::text[]) AS conference_record_id,
             unnest(@event_deleteds::boolean[]) AS event_deleted, unnest(@failure_codes::text[]) AS failure_code,
             unnest(@failure_messages::text[]) AS failure_message, unnest(@updated_ats::timestamptz[]) AS updated_at) AS t
WHERE m.id = t.id;

-- name: InsertParticipants :exec
-- An organizer who was not invited may be invited later: that is the same row.
INSERT INTO participants (meeting_id, email, role, invited, created_at)
SELECT t.meeting_id, t.email, t.role, t.invited, @created_at::timestamptz
FROM (SELECT unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@emails::text[]) AS email, unnest(@roles::text[]) AS role,
             unnest(@inviteds::boolean[]) AS invited) AS t
ON CONFLICT (meeting_id, lower(email COLLATE "C")) DO UPDATE SET invited = true;

-- name: DeleteGuests :exec
DELETE FROM participants p USING (SELECT unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@emails::text[]) AS email) AS t
WHERE p.meeting_id = t.meeting_id AND lower(p.email COLLATE "C") = lower(t.email COLLATE "C") AND p.role = 'guest';

-- name: UninviteOrganizers :exec
UPDATE participants p SET invited = false FROM (SELECT unnest(@meeting_ids::bigint[]) AS meeting_id, unnest(@emails::text[]) AS email) AS t
WHERE p.meeting_id = t.meeting_id AND lower(p.email COLLATE "C") = lower(t.email COLLATE "C") AND p.role = 'organizer';

-- name: GetMeeting :one
SELECT sqlc.embed(m), sqlc.embed(u) FROM meetings m JOIN users u ON u.id = m.organizer_id WHERE m.id = @id;

-- name: MeetingIDByUID :one
SELECT id FROM meetings WHERE uid = @uid;

-- name: MeetingIDByReference :one
SELECT id FROM meetings WHERE external_reference = @external_reference AND external_reference <> '' AND (@owner::bigint = 0 OR organizer_id = @owner) ORDER BY id DESC LIMIT 1;

-- name: MeetingIDByEvent :one
SELECT id FROM meetings WHERE google_event_id = @google_event_id AND google_event_id <> '' AND (@owner::bigint = 0 OR organizer_id = @owner) ORDER BY id DESC LIMIT 1;

-- name: MeetingIDByCode :one
SELECT id FROM meetings WHERE meeting_code = @meeting_code AND meeting_code <> '' AND (@owner::bigint = 0 OR organizer_id = @owner) ORDER BY id DESC LIMIT 1;

-- name: ParticipantsOf :many
SELECT * FROM participants WHERE meeting_id = @meeting_id ORDER BY id;

-- name: LongestRecording :many
-- None or one.
SELECT * FROM recordings WHERE meeting_id = @meeting_id ORDER BY duration_seconds DESC NULLS LAST, id LIMIT 1;

-- name: ListParticipants :many
SELECT * FROM participants
WHERE (@meeting_id::bigint = 0 OR meeting_id = @meeting_id) AND id > @after_id::bigint
  AND (@owner::bigint = 0 OR meeting_id IN (SELECT m.id FROM meetings m WHERE m.organizer_id = @owner))
ORDER BY id LIMIT @row_limit::bigint;

-- name: GetParticipant :one
SELECT * FROM participants WHERE id = @id;

-- name: GetRecording :one
SELECT * FROM recordings WHERE id = @id;

-- name: WishesOf :many
-- What the scheduler needs to act on these meetings.
SELECT sqlc.embed(m), sqlc.embed(j), array(SELECT p.email FROM participants p WHERE p.meeting_id = m.id AND p.invited ORDER BY p.id)::text[] AS guests
FROM meetings m JOIN jobs j ON j.meeting_id = m.id AND j.class = 'google' WHERE m.id = ANY (@ids::bigint[]);

-- name: ListMeetings :many
-- Runs with custom plans, where a filter that is absent costs nothing and one that is there finds its index.
SELECT m.id, m.uid, m.google_event_id, m.meet_link, u.username, u.first_name, u.last_name, m.scheduled_start, m.status, m.created_at
FROM meetings m JOIN users u ON u.id = m.organizer_id
WHERE (@before_id::bigint = 0 OR m.id < @before_id)
  AND (@organizer_id::bigint = 0 OR m.organizer_id = @organizer_id)
  AND (@status::text = '' OR m.status = @status)
  AND (@start_from::timestamptz = '0001-01-01 00:00:00+00' OR m.scheduled_start >= @start_from)
  AND (@start_to::timestamptz = '0001-01-01 00:00:00+00' OR m.scheduled_start <= @start_to)
  AND (@external_reference::text = '' OR m.external_reference = @external_reference)
  AND (@invited_key::text = '' OR m.id IN (SELECT p.meeting_id FROM participants p WHERE lower(p.email COLLATE "C") = @invited_key))
  AND (@recording_state::text = '' OR m.recording_state = @recording_state)
ORDER BY m.id DESC LIMIT @row_limit::bigint;
