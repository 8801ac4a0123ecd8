-- name: HeldOf :many
SELECT c.id, c.record, c.started_at, c.ended_at, c.source, c.attendees_read_at,
    (SELECT count(*) FROM attendees a WHERE a.conference_id = c.id) AS attendees,
    (SELECT count(*) FROM recordings r WHERE r.meeting_id = c.meeting_id AND r.conference_id = c.id) AS recordings
FROM conferences c WHERE c.meeting_id = @meeting_id ORDER BY c.started_at, c.id;

-- name: SeenIn :many
SELECT a.* FROM conferences c JOIN attendees a ON a.conference_id = c.id
WHERE c.meeting_id = @meeting_id ORDER BY c.started_at, c.id, a.first_joined_at, a.id;

-- name: SeenSessionsIn :many
SELECT s.attendee_id, s.joined_at, s.left_at
FROM conferences c JOIN attendees a ON a.conference_id = c.id JOIN attendee_sessions s ON s.attendee_id = a.id
WHERE c.meeting_id = @meeting_id ORDER BY s.attendee_id, s.joined_at, s.name;

-- name: SaidIn :many
SELECT * FROM transcripts WHERE meeting_id = @meeting_id ORDER BY started_at, id;

-- name: EntriesOf :many
-- In the order in which they were said, of all transcripts together.
SELECT e.id, e.conference_id, e.text, e.language, e.started_at, e.ended_at,
    coalesce(a.display_name, '')::text AS display_name, coalesce(a.participant_id, 0)::bigint AS participant_id
FROM (
    SELECT said.*, t.conference_id FROM transcripts t CROSS JOIN LATERAL (
        SELECT n.* FROM transcript_entries n
        WHERE n.transcript_id = t.id AND (n.started_at, n.id) > (@after_time::timestamptz, @after_id::bigint)
        ORDER BY n.started_at, n.id LIMIT @row_limit::bigint) AS said
    WHERE t.meeting_id = @meeting_id
    ORDER BY said.started_at, said.id LIMIT @row_limit::bigint
) AS e LEFT JOIN attendees a ON a.name = e.attendee
ORDER BY e.started_at, e.id;

-- name: MeetingExists :one
SELECT id FROM meetings WHERE id = @id;
