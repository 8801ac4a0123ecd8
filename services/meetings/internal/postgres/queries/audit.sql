-- name: LockAuditHead :exec
-- The last lock before the commit: whoever holds it waits for nobody.
SELECT seq FROM audit_head FOR UPDATE;

-- name: AppendAudit :exec
-- Chains the lines one after the other. It is a statement of its own after the lock, so that it sees the head as it is then.
WITH RECURSIVE chain (n, seq, prev_hash, hash) AS (
    SELECT 0, h.seq, h.hash, h.hash FROM audit_head h
    UNION ALL
    SELECT c.n + 1, c.seq + 1, c.hash, sha256(c.hash || convert_to((c.seq + 1)::text || ' ' || (@lines::text[])[c.n + 1], 'UTF8'))
    FROM chain c WHERE c.n < cardinality(@lines::text[])
), appended AS (
    INSERT INTO audit (seq, at, principal, action, subject_kind, subject_id, outcome, line, prev_hash, hash)
    SELECT c.seq, (@ats::timestamptz[])[c.n], (@principals::text[])[c.n], (@actions::text[])[c.n], (@subject_kinds::text[])[c.n],
           (@subject_ids::text[])[c.n], (@outcomes::text[])[c.n], (@lines::text[])[c.n], c.prev_hash, c.hash
    FROM chain c WHERE c.n > 0
)
UPDATE audit_head SET seq = t.seq, hash = t.hash FROM (SELECT c.seq, c.hash FROM chain c ORDER BY c.n DESC LIMIT 1) AS t;

-- name: AuditKey :one
SELECT secret FROM audit_key;

-- name: AuditHead :one
SELECT seq, hash FROM audit_head;

-- name: AuditAfter :many
SELECT seq, at, principal, action, subject_kind, subject_id, outcome, line, prev_hash, hash FROM audit
WHERE seq > @after::bigint ORDER BY seq LIMIT @row_limit::bigint;

-- name: AuditHashAt :many
-- None or one.
SELECT hash FROM audit WHERE seq = @seq;

-- name: ListAudit :many
-- Runs with custom plans, where a filter that is absent costs nothing.
SELECT seq, at, principal, action, subject_kind, subject_id, outcome, line, prev_hash, hash FROM audit
WHERE (@before_seq::bigint = 0 OR seq < @before_seq)
  AND (@from_at::timestamptz = '0001-01-01 00:00:00+00' OR at >= @from_at)
  AND (@to_at::timestamptz = '0001-01-01 00:00:00+00' OR at < @to_at)
  AND (@principal::text = '' OR principal = @principal)
  AND (@action::text = '' OR action = @action)
  AND (@subject_kind::text = '' OR subject_kind = @subject_kind)
  AND (@subject_id::text = '' OR subject_id = @subject_id)
  AND (@outcome::text = '' OR outcome = @outcome)
  AND (@part::text = '' OR strpos(line, @part) > 0)
  AND (@request_id_part::text = '' OR strpos(line, @request_id_part) > 0)
ORDER BY seq DESC LIMIT @row_limit::bigint;

-- name: ListAuditAscending :many
SELECT seq, at, principal, action, subject_kind, subject_id, outcome, line, prev_hash, hash FROM audit
WHERE seq > @after_seq::bigint
  AND (@from_at::timestamptz = '0001-01-01 00:00:00+00' OR at >= @from_at)
  AND (@to_at::timestamptz = '0001-01-01 00:00:00+00' OR at < @to_at)
  AND (@principal::text = '' OR principal = @principal)
  AND (@action::text = '' OR action = @action)
  AND (@subject_kind::text = '' OR subject_kind = @subject_kind)
  AND (@subject_id::text = '' OR subject_id = @subject_id)
  AND (@outcome::text = '' OR outcome = @outcome)
  AND (@part::text = '' OR strpos(line, @part) > 0)
  AND (@request_id_part::text = '' OR strpos(line, @request_id_part) > 0)
ORDER BY seq LIMIT @row_limit::bigint;
