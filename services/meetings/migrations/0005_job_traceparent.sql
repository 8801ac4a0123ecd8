-- +goose Up
-- A job carries the trace of the command that wanted it. Only adds: the release before runs on it.

ALTER TABLE jobs
    -- W3C trace context, as the job's message shows it to whoever does it; '' where nothing traced wanted it.
    ADD COLUMN traceparent text NOT NULL DEFAULT '';
